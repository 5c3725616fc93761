"""Sums of products: the canonical form of an equation.

A `Sum` adds terms, a `Term` multiplies a number by powers of atoms, and an atom is a symbol, an
elementary function or a sum in parentheses. Two instances: ``u_t + u u_x - viscosity u_xx`` has
three terms, ``(1 - x)**2 u`` one, of two factors.

Sums that contain an unknown are multiplied out, like terms are added, and terms stand in the order
of books: derivatives in time first, then by order of derivative, degree and name. Sums of
coordinates and coefficients alone stay as they are, as factors: they may be long, and it is by
products of unknowns that equations are compared.
"""

import enum
import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import erf

ROUNDING = 1e-14  # relative: what is left of numbers that cancel
LARGEST = 1000  # terms of a product that is multiplied out

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": jnp.abs,
    "acos": jnp.arccos,
    "acosh": jnp.arccosh,
    "asin": jnp.arcsin,
    "asinh": jnp.arcsinh,
    "atan": jnp.arctan,
    "atan2": jnp.arctan2,
    "atanh": jnp.arctanh,
    "cos": jnp.cos,
    "cosh": jnp.cosh,
    "erf": erf,
    "exp": jnp.exp,
    "log": jnp.log,
    "logistic": jax.nn.sigmoid,
    "max": jnp.maximum,
    "min": jnp.minimum,
    "pow": jnp.power,
    "sign": jnp.sign,
    "sin": jnp.sin,
    "sinh": jnp.sinh,
    "tan": jnp.tan,
    "tanh": jnp.tanh,
}
BINARY = ("atan2", "max", "min", "pow")  # the others have one argument


class Kind(enum.Enum):
    """What a symbol stands for."""

    COEFFICIENT = 0
    COORDINATE = 1
    OPAQUE = 2
    UNKNOWN = 3


@dataclass(frozen=True, eq=False)
class Symbol:
    """A coefficient, a coordinate, an opaque part, or an unknown or one of its derivatives.

    Args:
        name: "viscosity", "x", "u_xx".
        kind: Which of them it is.
        order: Of the derivative; -1 for coefficients, coordinates and opaque parts.
        in_time: Whether it is a derivative in time.
    """

    name: str
    kind: Kind
    order: int = -1
    in_time: bool = False

    @property
    def key(self) -> str:
        return self.name

    @property
    def skeleton(self) -> str:
        return self.name

    @property
    def kinds(self) -> frozenset[Kind]:
        return frozenset([self.kind])


@dataclass(frozen=True, eq=False)
class Function:
    """An elementary function of one or two sums, such as sin(u).

    Args:
        name: One of `FUNCTIONS`.
        arguments: What it is a function of.
    """

    name: str
    arguments: tuple["Sum", ...]

    @functools.cached_property
    def key(self) -> str:
        return f"{self.name}({', '.join(argument.key for argument in self.arguments)})"

    @functools.cached_property
    def skeleton(self) -> str:
        return f"{self.name}({', '.join(argument.skeleton for argument in self.arguments)})"

    @functools.cached_property
    def kinds(self) -> frozenset[Kind]:
        return frozenset().union(*(argument.kinds for argument in self.arguments))

    @functools.cached_property
    def order(self) -> int:
        return max(argument.order for argument in self.arguments)

    @functools.cached_property
    def in_time(self) -> bool:
        return any(argument.in_time for argument in self.arguments)


@dataclass(frozen=True, eq=False)
class Term:
    """A number times powers of atoms, made by `product`.

    Args:
        number: Its number.
        factors: Atoms and their exponents, in canonical order.
    """

    number: float
    factors: tuple[tuple["Atom", float], ...] = ()

    @functools.cached_property
    def key(self) -> str:
        """Of the factors; terms of one key are added."""
        return "*".join(f"[{atom.key}]^{exponent:.12g}" for atom, exponent in self.factors)

    @functools.cached_property
    def skeleton(self) -> str:
        """The key without the numbers inside."""
        return "*".join(f"[{atom.skeleton}]^{exponent:.12g}" for atom, exponent in self.factors)

    @functools.cached_property
    def kinds(self) -> frozenset[Kind]:
        return frozenset().union(*(atom.kinds for atom, _ in self.factors))

    @functools.cached_property
    def order(self) -> int:
        return max((atom.order for atom, _ in self.factors), default=-1)

    @functools.cached_property
    def in_time(self) -> bool:
        return any(atom.in_time for atom, _ in self.factors)

    @functools.cached_property
    def rank(self) -> tuple[Any, ...]:
        """What terms are sorted by: the highest derivatives first, plain numbers last."""
        degree = sum(abs(exponent) for atom, exponent in self.factors if atom.order >= 0)
        linear = (not self.in_time, -self.order, degree, not self.factors)
        return (*linear, self.skeleton, self.key, self.number)


@dataclass(frozen=True, eq=False)
class Sum:
    """A sum of terms, made by `total` and by arithmetic with other sums.

    Args:
        terms: In canonical order; none: zero.
    """

    terms: tuple[Term, ...]

    @functools.cached_property
    def key(self) -> str:
        return " + ".join(f"{term.number:.12g} {term.key}" for term in self.terms)

    @functools.cached_property
    def skeleton(self) -> str:
        return " + ".join(term.skeleton for term in self.terms)

    @functools.cached_property
    def kinds(self) -> frozenset[Kind]:
        return frozenset().union(*(term.kinds for term in self.terms))

    @functools.cached_property
    def order(self) -> int:
        return max((term.order for term in self.terms), default=-1)

    @functools.cached_property
    def in_time(self) -> bool:
        return any(term.in_time for term in self.terms)

    @functools.cached_property
    def number(self) -> float | None:
        """Its value where it is a plain number."""
        if not self.terms:
            return 0.0
        return self.terms[0].number if not self.terms[0].factors else None

    def __add__(self, other: "Sum") -> "Sum":
        return total((*self.terms, *other.terms))

    def __neg__(self) -> "Sum":
        return self.scaled(-1.0)

    def __sub__(self, other: "Sum") -> "Sum":
        return self + other.scaled(-1.0)

    def __mul__(self, other: "Sum") -> "Sum":
        for number, rest in ((self.number, other), (other.number, self)):
            if number is not None:
                return rest.scaled(number)
        left, right = self._opened(), other._opened()
        if len(left.terms) * len(right.terms) > LARGEST:
            left, right = left.grouped(), right.grouped()
        return total(
            product(a.number * b.number, (*a.factors, *b.factors))
            for a in left.terms
            for b in right.terms
        )

    def __truediv__(self, other: "Sum") -> "Sum":
        return self * power(other, -1.0)

    def scaled(self, number: float) -> "Sum":
        """This sum times a number."""
        return total(Term(number * term.number, term.factors) for term in self.terms)

    def grouped(self) -> "Sum":
        """This sum as one term, in parentheses where it has several."""
        return self if len(self.terms) == 1 else Sum((Term(1.0, ((self, 1.0),)),))

    def _opened(self) -> "Sum":
        """What a product is multiplied out over: with an unknown the terms, otherwise the whole."""
        return self if Kind.UNKNOWN in self.kinds else self.grouped()


Atom = Symbol | Function | Sum


def constant(number: float) -> Sum:
    """A plain number. Raises ArithmeticError for one that is not finite."""
    if not math.isfinite(number):
        raise ArithmeticError("a number is not finite")
    return total([Term(float(number))])


def symbolic(symbol: Symbol) -> Sum:
    """A symbol alone."""
    return Sum((Term(1.0, ((symbol, 1.0),)),))


def total(terms: Iterable[Term]) -> Sum:
    """The sum of terms: like ones added, sorted, and what cancels left out."""
    merged: dict[str, Term] = {}
    for term in terms:
        parts = [term]
        if len(term.factors) == 1 and term.factors[0][1] == 1.0:
            (atom, _) = term.factors[0]
            if isinstance(atom, Sum):  # nothing but a sum in parentheses
                parts = [Term(term.number * part.number, part.factors) for part in atom.terms]
        for part in parts:
            there = merged.get(part.key)
            if there is None:
                merged[part.key] = part
                continue
            number = there.number + part.number
            if abs(number) <= ROUNDING * (abs(there.number) + abs(part.number)):
                number = 0.0
            merged[part.key] = Term(number, part.factors)
    left = [term for term in merged.values() if term.number != 0]
    return Sum(tuple(sorted(left, key=_rank)))


def _rank(term: Term) -> tuple[Any, ...]:
    return term.rank


def product(number: float, factors: Iterable[tuple[Atom, float]]) -> Term:
    """A number times powers of atoms: equal atoms merged, sorted, coefficients first."""
    merged: dict[str, tuple[Atom, float]] = {}
    for atom, exponent in factors:
        there = merged.get(atom.key)
        merged[atom.key] = (atom, exponent + (0.0 if there is None else there[1]))
    left = [factor for factor in merged.values() if factor[1] != 0]
    return Term(number, tuple(sorted(left, key=_place)))


def _place(factor: tuple[Atom, float]) -> tuple[Any, ...]:
    atom, _ = factor
    kind = max((kind.value for kind in atom.kinds), default=-1)
    return (kind, atom.order, atom.skeleton, atom.key)


def power(base: Sum, exponent: float) -> Sum:
    """A sum to a constant power.

    Raises:
        ArithmeticError: For zero to a negative power, and for a root of a negative number.
    """
    if base.number == 0 and exponent < 0:
        raise ArithmeticError("zero is divided by")
    if exponent in (0.0, 1.0):
        return constant(1.0) if exponent == 0.0 else base
    if base.number is not None:
        return constant(_real(base.number**exponent))
    whole = float(exponent).is_integer()
    if whole and exponent > 0 and Kind.UNKNOWN in base.kinds:
        if len(base.terms) ** exponent <= LARGEST:
            return functools.reduce(Sum.__mul__, [base] * int(exponent))
    (term,) = base.grouped().terms
    if whole:
        factors = [(atom, exponent * inner) for atom, inner in term.factors]
        return total([product(_real(term.number**exponent), factors)])
    # A root of a product is not the product of the roots where two factors are negative.
    size, sign = abs(term.number), 1.0 if term.number > 0 else -1.0
    inside: tuple[Atom, float] = (total([Term(sign, term.factors)]), exponent)
    if sign > 0 and len(term.factors) == 1 and term.factors[0][1] == 1.0:
        inside = (term.factors[0][0], exponent)
    return Sum((Term(_real(size**exponent), (inside,)),))


def _real(number: Any) -> float:
    """Raises ArithmeticError for a root of a negative number."""
    if isinstance(number, complex):
        raise ArithmeticError("the root of a negative number is taken")
    return float(number)


def applied(name: str, arguments: tuple[Sum, ...]) -> Sum:
    """An elementary function of sums; of numbers it is a number."""
    numbers = [argument.number for argument in arguments]
    if all(number is not None for number in numbers):
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):
            return constant(float(FUNCTIONS[name](*(jnp.asarray(number) for number in numbers))))
    if name == "pow" and numbers[1] is not None:
        return power(arguments[0], numbers[1])
    return Sum((Term(1.0, ((Function(name, arguments), 1.0),)),))
