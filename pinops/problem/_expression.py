"""Equations as data: the expression of a residual, which is compared, written, and evaluated."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from pinops.derivatives import Names, Signature, parse_name, parse_names, parse_signature, taking
from pinops.problem._algebra import (
    BINARY,
    FUNCTIONS,
    Function,
    Kind,
    Sum,
    Symbol,
    Term,
    applied,
    constant,
    power,
    symbolic,
    total,
)
from pinops.problem._problem import Problem, names_of
from pinops.problem._registry import load_problem
from pinops.problem._rewriting import close, evaluated, normalised, replaced, symbols_in
from pinops.problem._tracing import symbol, traced, traced_function
from pinops.problem._typeset import Latex, MathML, Typesetter
from pinops.settings import shown

TOLERANCE = 1e-9  # relative, of numbers that are called equal
DEEPEST = 200  # sums within sums, in a file


@dataclass(frozen=True, eq=False)
class Expression:
    """The equations of a problem as sums of products, made by `Expression.of`.

    Each equation is a sum of numbers times products of coefficients, coordinates, unknowns, their
    derivatives and elementary functions. What contains an unknown is multiplied out, like terms
    are added, and the order is always the same, so that two ways to write an equation are equal.

    What has no symbols (a function given by an array, a choice, a network) is an *opaque* part: it
    has a name, such as ``source(x)``, and no value. Such an equation is shown and compared, but has
    neither tokens nor a residual; it is trained as it is.

    Args:
        names: Coordinates, spatial coordinates and unknowns.
        equations: Each equation by its name, "" for a single one.
        coefficients: The values of the coefficients that occur, by name.
        opaque: Why each opaque part has no symbols, by its name.

    Example:
        >>> burgers = po.Expression.of("burgers")
        >>> burgers.latex()
        'u_{t} - \\\\mathrm{viscosity}\\\\,u_{xx} + u\\\\,u_{x} = 0'
    """

    names: Names
    equations: Mapping[str, Sum]
    coefficients: Mapping[str, float]
    opaque: Mapping[str, str]

    @classmethod
    def of(cls, problem: "Problem | Expression | str") -> "Expression":
        """The expression of a problem, read from the program of its residual.

        Args:
            problem: Any problem, or the name of a registered one; an expression is returned.

        Raises:
            ValueError: For anything else, without a residual, for one that raises, and for a
                coefficient that has the name of an unknown or a coordinate.
        """
        if isinstance(problem, Expression):
            return problem
        problem = load_problem(problem) if isinstance(problem, str) else problem
        if not isinstance(problem, Problem):
            raise ValueError(
                "an expression is made of a problem, such as po.load_problem('heat'), or of the "
                f"name of a registered one, got {shown(problem)}"
            )
        return cls(names_of(problem), *traced(problem))

    @classmethod
    def of_function(cls, function: Callable[..., Any], names: Names, *, owner: str) -> "Expression":
        """The expression of a function of named derivatives; its numbers are constants.

        Args:
            function: Written for one point, as a residual is.
            names: Coordinates, spatial coordinates and unknowns.
            owner: What it is, the beginning of every sentence.

        Raises:
            ValueError: For a name that means nothing, and what the function itself raises.
        """
        signature = parse_signature(function, names, owner=owner)
        return cls(names, *traced_function(function, signature, owner))

    @property
    def signature(self) -> Signature:
        """The unknowns, derivatives and coordinates that occur: the derivative plan."""
        return parse_names(self._quantities(), self.names, owner="the expression")

    def _quantities(self) -> list[str]:
        found: dict[str, Symbol] = {}
        for each in self.equations.values():
            found |= symbols_in(each)
        wanted = (Kind.UNKNOWN, Kind.COORDINATE)
        return sorted(name for name, each in found.items() if each.kind in wanted)

    @property
    def residual(self) -> Callable[..., Any]:
        """A function of named derivatives, with the values of the problem's own.

        Its arguments are numbers or arrays of one shape, its result is one of them, or a dict by
        the name of the equation.

        Raises:
            ValueError: For an expression with opaque parts; of the function, without one of its
                arguments.
        """
        self.check_symbols("no residual")
        wanted = self._quantities()

        def residual(**values: Any) -> Any:
            lacking = [name for name in wanted if name not in values]
            if lacking:
                raise ValueError(
                    f"the equation needs {', '.join(wanted)}; {lacking[0]} is not given"
                )
            known = {name: jnp.asarray(values[name]) for name in wanted}
            fixed = {name: jnp.asarray(value) for name, value in self.coefficients.items()}
            all_values, atoms = {**fixed, **known}, {}
            shape = jnp.broadcast_shapes(*(value.shape for value in known.values()))
            out = {
                name: jnp.broadcast_to(evaluated(each, all_values, atoms), shape)
                for name, each in self.equations.items()
            }
            return out[""] if out.keys() == {""} else out

        return taking(residual, wanted)

    def check_symbols(self, lacks: str) -> None:
        """Raises ValueError for opaque parts, naming each, and what an equation with them lacks."""
        if self.opaque:
            parts = "; ".join(f"{name}, {why}" for name, why in self.opaque.items())
            raise ValueError(
                f"the equation has {lacks}, because a part of it has no symbols ({parts}); it is "
                "trained as it is, by the residual of its problem"
            )

    def with_values(self, values: Mapping[str, float] | None = None) -> "Expression":
        """The expression with numbers in the place of coefficients.

        Args:
            values: The new value of some coefficients, which keep their names; by default all
                coefficients become numbers of their own values.

        Raises:
            ValueError: For a name that is no coefficient of the equation, a value that is no
                finite number, and for a division by zero.
        """
        if values is None:
            new = {name: constant(value) for name, value in self.coefficients.items()}
            try:
                equations = {name: replaced(each, new) for name, each in self.equations.items()}
            except ArithmeticError as error:
                known = ", ".join(
                    f"{name} = {value:g}" for name, value in self.coefficients.items()
                )
                raise ValueError(
                    f"the equation has no value with {known}: {error}; change a coefficient"
                ) from error
            return replace(self, equations=equations, coefficients={})
        for name, value in values.items():
            if name not in self.coefficients:
                listed = ", ".join(self.coefficients) or "none"
                raise ValueError(
                    f"the equation has no coefficient {shown(name)}; its coefficients are {listed}"
                )
            if not isinstance(value, int | float | np.ndarray | np.generic) or not np.isfinite(
                value
            ):
                raise ValueError(f"{name} must be a finite number, got {shown(value)}")
        fresh = {name: float(value) for name, value in values.items()}
        return replace(self, coefficients={**self.coefficients, **fresh})

    def latex(self) -> str:
        """The equations in LaTeX, without dollars; those of a system are aligned."""
        return Typesetter(self.names, Latex()).equations(self.equations)

    def mathml(self) -> str:
        """The equations in MathML, which pages and notebooks show; those of a system in rows."""
        return Typesetter(self.names, MathML()).equations(self.equations)

    def _repr_html_(self) -> str:
        return self.mathml()

    def __repr__(self) -> str:
        return f"Expression({self.latex()})"

    def __eq__(self, other: object) -> bool:
        """Whether both are the same equations up to the order in which they are written.

        Numbers and the values of coefficients may differ by 1e-9 of their size.
        """
        if not isinstance(other, Expression) or self.names != other.names:
            return False
        if self.equations.keys() != other.equations.keys():
            return False
        if self.coefficients.keys() != other.coefficients.keys():
            return False
        return all(
            math.isclose(value, other.coefficients[name], rel_tol=TOLERANCE)
            for name, value in self.coefficients.items()
        ) and all(
            close(normalised(each), normalised(other.equations[name]), TOLERANCE)
            for name, each in self.equations.items()
        )

    def __hash__(self) -> int:
        skeletons = {name: normalised(each).skeleton for name, each in self.equations.items()}
        return hash(tuple(sorted(skeletons.items())))

    def to_json(self) -> dict[str, Any]:
        """The expression as tables, lists, texts and numbers, which `from_json` reads."""
        return {
            "coordinates": list(self.names.coordinates),
            "space": list(self.names.space),
            "unknowns": list(self.names.unknowns),
            "coefficients": dict(self.coefficients),
            "opaque": dict(self.opaque),
            "equations": {name: _written(each) for name, each in self.equations.items()},
        }

    @classmethod
    def from_json(cls, written: Any) -> "Expression":
        """The expression that `to_json` wrote.

        Args:
            written: What `json.loads` gives.

        Raises:
            ValueError: For anything else, in one sentence.
        """
        try:
            names = Names(*(tuple(written[key]) for key in ("coordinates", "space", "unknowns")))
            coefficients = {
                str(name): _number(value) for name, value in written["coefficients"].items()
            }
            opaque = {str(name): str(why) for name, why in written["opaque"].items()}
            vocabulary = Vocabulary(names, coefficients, opaque)
            equations = {
                str(name): _read(each, vocabulary) for name, each in written["equations"].items()
            }
        except (KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            raise ValueError(
                f"this is no expression as to_json writes it ({type(error).__name__}: {error})"
            ) from error
        if not equations:
            raise ValueError("an expression has at least one equation, got none")
        return cls(names, equations, coefficients, opaque)


@dataclass(frozen=True)
class Vocabulary:
    """Which symbols there are.

    Args:
        names: Coordinates, spatial coordinates and unknowns.
        coefficients: By name.
        opaque: By name.
    """

    names: Names
    coefficients: Mapping[str, Any]
    opaque: Mapping[str, Any]

    def symbol(self, name: str) -> Symbol:
        """The symbol of a name. Raises ValueError for a name that means nothing."""
        if name in self.coefficients:
            return Symbol(name, Kind.COEFFICIENT)
        if name in self.opaque:
            return Symbol(name, Kind.OPAQUE)
        argument = parse_name(name, self.names)
        if argument is None:
            raise ValueError(f"{shown(name)} is no symbol; {self.names.available(boundary=False)}")
        return symbol(name, argument, self.names)


def latex(problem: "Problem | Expression | str") -> str:
    """The equation of a problem in LaTeX, read from the program of its residual.

    Args:
        problem: Any problem, the name of a registered one, or an `Expression`.

    Returns:
        ``... = 0`` without dollars, coefficients by name; the equations of a system are aligned.
        What has no symbols appears by name, such as ``source(x)``.

    Raises:
        ValueError: For a problem without a residual, and for one that raises.

    Example:
        >>> po.latex("heat")
        'u_{t} - \\\\mathrm{diffusivity}\\\\,u_{xx} = 0'
    """
    return Expression.of(problem).latex()


def _written(there: Sum) -> list[Any]:
    """A sum as lists: ``[number, [atom, exponent], ...]`` for each term."""
    out: list[Any] = []
    for term in there.terms:
        factors: list[Any] = []
        for atom, exponent in term.factors:
            match atom:
                case Symbol():
                    factors.append([atom.name, exponent])
                case Function():
                    inner = [_written(each) for each in atom.arguments]
                    factors.append([{atom.name: inner}, exponent])
                case Sum():
                    factors.append([_written(atom), exponent])
        out.append([term.number, *factors])
    return out


def _read(written: Any, vocabulary: Vocabulary, depth: int = 0) -> Sum:
    """The sum of these lists, in canonical form."""
    if depth > DEEPEST or not isinstance(written, list):
        raise TypeError(f"{shown(written)} is no list of terms")
    terms: list[Term] = []
    for number, *factors in written:
        number = _number(number)
        whole = constant(1.0)
        for atom, exponent in factors:
            whole = whole * power(_read_atom(atom, vocabulary, depth), _number(exponent))
        terms += whole.scaled(number).terms
    return total(terms)


def _number(written: Any) -> float:
    if not isinstance(written, int | float) or not math.isfinite(written):
        raise TypeError(f"{shown(written)} is no finite number")
    return float(written)


def _read_atom(written: Any, vocabulary: Vocabulary, depth: int) -> Sum:
    if isinstance(written, str):
        return symbolic(vocabulary.symbol(written))
    if isinstance(written, list):
        return _read(written, vocabulary, depth + 1)
    ((name, arguments),) = written.items()
    if name not in FUNCTIONS or len(arguments) != (2 if name in BINARY else 1):
        raise ValueError(
            f"there is no function {shown(name)} of {len(arguments)} arguments; there are "
            f"{', '.join(FUNCTIONS)}"
        )
    return applied(name, tuple(_read(each, vocabulary, depth + 1) for each in arguments))
