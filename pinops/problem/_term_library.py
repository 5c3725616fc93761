"""Many equations as rows of numbers: the coefficients of products of derivatives.

With the columns u_t, u_xx, u u_x, ... the residual of an equation is its row of coefficients times
the columns, and that of a batch of *different* equations one product of matrices. The same columns
are candidates where an equation is found from data (Brunton, Proctor & Kutz 2016).
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import Names
from pinops.problem._algebra import Function, Sum, Symbol, Term, total
from pinops.problem._expression import Expression
from pinops.problem._typeset import Latex, Typesetter


def evolution_terms(
    u: Any, u_t: Any, u_tt: Any, u_x: Any, u_xx: Any, u_xxx: Any, u_xxxx: Any
) -> dict[str, Any]:
    """The 22 products of 19 of the 20 one-dimensional families of PROSE-PDE.

    Source: Sun et al., arXiv:2404.12355.

    Args:
        u: The unknown.
        u_t: Its derivatives; so are the others.
        u_tt: Second in time.
        u_x: First in space.
        u_xx: Second.
        u_xxx: Third.
        u_xxxx: Fourth.
    """
    return {
        "u_t": u_t,
        "u_tt": u_tt,
        "u_x": u_x,
        "u_xx": u_xx,
        "u_xxx": u_xxx,
        "u_xxxx": u_xxxx,
        "u": u,
        "u**2": u**2,
        "u**3": u**3,
        "u**4": u**4,
        "u*u_x": u * u_x,
        "u**2*u_x": u**2 * u_x,
        "cos(u)*u_x": jnp.cos(u) * u_x,
        "sin(u)*u_x": jnp.sin(u) * u_x,
        "sin(u)": jnp.sin(u),
        "u_x**2": u_x**2,
        "u*u_xx": u * u_xx,
        "u**2*u_xx": u**2 * u_xx,
        "u**3*u_xx": u**3 * u_xx,
        "u*u_x**2": u * u_x**2,
        "u**2*u_x**2": u**2 * u_x**2,
        "1": 1.0,
    }


@dataclass(frozen=True)
class TermLibrary:
    """Products of derivatives, the columns that equations are combinations of, made by `of`.

    Args:
        expression: One equation for each column, a single product.

    Raises:
        ValueError: For a column with a part that has no symbols or that is not one product, and for
            two equal columns.

    Example:
        >>> library = po.problem.TermLibrary.of()
        >>> row = library.coefficients(po.Expression.of("heat"))
        >>> {name: float(c) for name, c in zip(library.columns, row) if c}
        {'u_t': 1.0, 'u_xx': -0.25}
    """

    expression: Expression

    @classmethod
    def of(
        cls,
        terms: Callable[..., Mapping[str, Any]] = evolution_terms,
        *,
        coordinates: tuple[str, ...] = ("x", "t"),
        space: tuple[str, ...] = ("x",),
        unknowns: tuple[str, ...] = ("u",),
    ) -> "TermLibrary":
        """The library of a function that is written as a residual is.

        Args:
            terms: A function of named derivatives that returns each product by its name; by
                default the 22 of `evolution_terms`.
            coordinates: All coordinates.
            space: Those that are space.
            unknowns: All unknowns.

        Raises:
            ValueError: For a name that means nothing, and for columns that are no library.
        """
        names = Names(coordinates, space, unknowns)
        return cls(Expression.of_function(terms, names, owner="TermLibrary"))

    def __post_init__(self):
        self.expression.check_symbols("no columns")
        seen: dict[str, str] = {}
        for name, each in self.expression.equations.items():
            if len(each.terms) != 1:
                raise ValueError(f"the column {name} is a sum of {len(each.terms)} products, not 1")
            other = seen.setdefault(each.terms[0].key, name)
            if other != name:
                raise ValueError(f"the columns {other} and {name} are the same; leave one out")

    @property
    def columns(self) -> tuple[str, ...]:
        """Their names, in order."""
        return tuple(self.expression.equations)

    @functools.cached_property
    def _places(self) -> dict[str, tuple[int, float]]:
        """The number of a column and the number before it, by its key."""
        terms = [each.terms[0] for each in self.expression.equations.values()]
        return {term.key: (k, term.number) for k, term in enumerate(terms)}

    def factored(self, column: str) -> tuple[Expression, str | None]:
        """A column as a function of unknowns and coordinates times one derivative, if it is that.

        An unknown alone is its own derivative of order zero.

        Args:
            column: Its name.

        Returns:
            The function and the name of the derivative; of any other column itself and None.

        Example:
            >>> function, derivative = po.TermLibrary.of().factored("u**2*u_x")
            >>> function.latex(), derivative
            ('u^{2} = 0', 'u_x')
        """
        names = self.expression.names
        (term,) = self.expression.equations[column].terms
        alone = len(term.factors) == 1 and term.factors[0][0].order == 0
        least = 0 if alone else 1
        found = [(atom, exponent) for atom, exponent in term.factors if atom.order >= least]
        kept = tuple(each for each in term.factors if each[0].order < least)
        derivative = None
        if len(found) == 1 and isinstance(found[0][0], Symbol) and found[0][1] == 1.0:
            derivative, term = found[0][0].name, Term(term.number, kept)
        return Expression(names, {"": Sum((term,))}, {}, {}), derivative

    def complexity(self, column: str) -> float:
        """How long a column is: one for each factor, five more for an elementary function.

        Args:
            column: Its name.

        Example:
            >>> library = po.TermLibrary.of()
            >>> [library.complexity(name) for name in ("u_xx", "u**2*u_x", "sin(u)*u_x")]
            [1.0, 3.0, 7.0]
        """
        return _length(self.expression.equations[column])

    def matrix(self, derivatives: Mapping[str, Any]) -> Float[Array, "... k"]:
        """The columns at some points.

        Args:
            derivatives: What `Expression.signature` of the library names, arrays of one shape.

        Returns:
            The columns along a new last axis.
        """
        found = self.expression.residual(**derivatives)
        found = found if isinstance(found, dict) else {"": found}
        return jnp.stack([found[name] for name in self.columns], -1)

    def residual(
        self, coefficients: Float[Any, "... k"], derivatives: Mapping[str, Any]
    ) -> Float[Array, "... n"]:
        """The residuals of equations, each at points of its own, as one product of matrices.

        Args:
            coefficients: ``(..., k)``, a row for each equation.
            derivatives: ``(..., n)`` each, as for `matrix`.

        Returns:
            ``(..., n)``.
        """
        rows = jnp.asarray(coefficients)
        if rows.shape[-1:] != (len(self.columns),):
            raise ValueError(
                f"a row has {len(self.columns)} coefficients, got an array of shape {rows.shape}"
            )
        return jnp.matmul(self.matrix(derivatives), rows[..., None])[..., 0]

    def coefficients(self, expression: Expression) -> Float[np.ndarray, " k"]:
        """The row of an equation.

        Args:
            expression: One equation, for the unknowns and coordinates of the library.

        Raises:
            ValueError: For a term that is no column, naming it, for a system, and for an equation
                with a part that has no symbols.
        """
        expression.check_symbols("no row of coefficients")
        if expression.names != self.expression.names:
            raise ValueError(f"the library is for {self.expression.names}, not {expression.names}")
        if len(expression.equations) != 1:
            raise ValueError(
                f"a row is for one equation, got {', '.join(expression.equations)}; make a library "
                "and a row for each"
            )
        (equation,) = expression.with_values().equations.values()
        row = np.zeros(len(self.columns))
        for term in equation.terms:
            if term.key not in self._places:
                name = Typesetter(expression.names, Latex()).sum(Sum((Term(1.0, term.factors),)))
                raise ValueError(
                    f"the term {name} is not in the library, whose columns are "
                    f"{', '.join(self.columns)}; add it to the function of TermLibrary.of"
                )
            place, number = self._places[term.key]
            row[place] = term.number / number
        return row

    def equation(self, coefficients: Float[Any, " k"]) -> Expression:
        """The equation of a row: the way back.

        Args:
            coefficients: ``(k,)``; a column whose coefficient is 0 is left out.

        Raises:
            ValueError: For another number of coefficients.
        """
        row = np.asarray(coefficients, np.float64)
        if row.shape != (len(self.columns),):
            raise ValueError(
                f"a row has {len(self.columns)} coefficients, got an array of shape {row.shape}"
            )
        columns = self.expression.equations.values()
        terms = [
            part
            for number, column in zip(row, columns, strict=True)
            for part in column.scaled(float(number)).terms
        ]
        return Expression(self.expression.names, {"": total(terms)}, {}, {})


def _length(there: Sum) -> float:
    """How long a sum is, for `TermLibrary.complexity`."""
    length = 0.0
    for term in there.terms:
        for atom, exponent in term.factors:
            match atom:
                case Symbol():
                    length += abs(exponent)
                case Function():
                    length += 5 + sum(map(_length, atom.arguments))
                case Sum():
                    length += _length(atom)
    return length
