"""Equations as words for a transformer, in prefix (Polish) order, and back.

``u_t + u u_x - 0.01 u_xx = 0`` is ``add u_t add mul <C> u_xx mul u u_x`` with the constant -0.01.
Constants are continuous, for the input of a network; for its output they are written by digits: a
sign, a mantissa of three digits and an exponent, ``- N100 E-4`` (Liu et al., arXiv:2309.16816).

The words of a problem do not depend on the values of its coefficients, so that the members of a
family differ in their constants only: each product of coefficients is one constant, and the
constants of terms with the same unknowns are added.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pinops.derivatives import Names
from pinops.problem._algebra import (
    BINARY,
    FUNCTIONS,
    Atom,
    Function,
    Kind,
    Sum,
    Symbol,
    Term,
    applied,
    constant,
    symbolic,
)
from pinops.problem._expression import Expression, Vocabulary
from pinops.problem._problem import Problem
from pinops.problem._rewriting import evaluated
from pinops.settings import shown

CONSTANT = "<C>"
SEPARATOR = "|"
DIGITS = 3  # of a mantissa
EXPONENT = 10  # the largest, either way


@dataclass(frozen=True)
class Tokens:
    """Equations in prefix order, made by `tokens`.

    Words are ``add``, ``mul``, ``pow``, elementary functions such as ``sin``, the unknowns,
    derivatives and coordinates, whole exponents, ``<C>`` for a constant, and ``|`` between two
    equations. ``add``, ``mul`` and ``pow`` take two operands.

    Args:
        words: All words.
        constants: The number of each ``<C>``, in order.

    Raises:
        ValueError: For more or fewer constants than words ``<C>``.
    """

    words: tuple[str, ...]
    constants: tuple[float, ...]

    def __post_init__(self):
        count = self.words.count(CONSTANT)
        if count != len(self.constants):
            raise ValueError(
                f"{count} words {CONSTANT} need as many constants, got {len(self.constants)}"
            )

    def by_digits(self) -> tuple[str, ...]:
        """The words with each constant as sign, mantissa and exponent, of three digits.

        ``-0.01234`` is ``- N123 E-4``; zero is ``+ N000 E0``.

        Raises:
            ValueError: For a constant that is not below 1e13 or, unless it is zero, not above 1e-8.
        """
        numbers = iter(self.constants)
        out: list[str] = []
        for word in self.words:
            out += _digits(next(numbers)) if word == CONSTANT else [word]
        return tuple(out)

    @classmethod
    def from_digits(cls, words: Sequence[str]) -> "Tokens":
        """The tokens that `by_digits` wrote, with constants of three digits.

        Args:
            words: All words.

        Raises:
            ValueError: For a sign that no mantissa and exponent follow.
        """
        out: list[str] = []
        constants: list[float] = []
        rest = iter(words)
        for word in rest:
            if word not in ("+", "-"):
                out.append(word)
                continue
            mantissa, exponent = next(rest, ""), next(rest, "")
            digits, places = mantissa.removeprefix("N"), exponent.removeprefix("E")
            whole = digits.isdecimal() and places.lstrip("-").isdecimal()
            if not (mantissa[:1] == "N" and exponent[:1] == "E" and whole):
                raise ValueError(
                    f"after a sign stand a mantissa and an exponent, such as N100 E-4, got "
                    f"{shown(mantissa)} {shown(exponent)}"
                )
            constants.append(float(f"{word}{digits}e{places}"))
            out.append(CONSTANT)
        return cls(tuple(out), tuple(constants))

    def expression(self, names: Names, equations: Sequence[str] = ("",)) -> Expression:
        """The equations that these words say; constants are numbers.

        Args:
            names: Coordinates, spatial coordinates and unknowns, ``Expression.names``.
            equations: The names of the equations, "" for a single one.

        Raises:
            ValueError: For a word that is no symbol, an operand too few or too many, and another
                number of equations.
        """
        vocabulary, rest = Vocabulary(names, {}, {}), list(self.words)
        numbers = iter(self.constants)
        parts: list[list[str]] = [[]]
        for word in rest:
            if word == SEPARATOR:
                parts.append([])
            else:
                parts[-1].append(word)
        if len(parts) != len(equations):
            raise ValueError(f"the words have {len(parts)} equations, not {len(equations)}")
        found: dict[str, Sum] = {}
        for name, part in zip(equations, parts, strict=True):
            try:
                found[name] = _parsed(part, vocabulary, numbers)
            except ArithmeticError as error:
                raise ValueError(f"the words have a number that is not finite ({error})") from error
        return Expression(names, found, {}, {})


def tokens(problem: Problem | Expression | str) -> Tokens:
    """The equation of a problem as words in prefix order with continuous constants.

    Args:
        problem: Any problem, the name of a registered one, or an `Expression`.

    Returns:
        Words and constants; `Tokens.expression` is the way back.

    Raises:
        ValueError: For an equation with a part that has no symbols, such as a function that is
            given by an array, naming it; and for a constant that is not finite.

    Example:
        >>> " ".join(po.tokens("heat").words)
        'add u_t mul <C> u_xx'
    """
    expression = Expression.of(problem)
    expression.check_symbols("no tokens")
    words: list[str] = []
    constants: list[float] = []
    for k, each in enumerate(expression.equations.values()):
        words += [SEPARATOR] if k else []
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):
            # As arrays, which divide by zero without raising.
            values = {name: jnp.asarray(c) for name, c in expression.coefficients.items()}
            found = list(_words(each, values))
        words += [word if isinstance(word, str) else CONSTANT for word in found]
        constants += [float(word) for word in found if not isinstance(word, str)]
    if not all(map(math.isfinite, constants)):
        raise ValueError(
            f"a constant of the equation is not finite with the coefficients "
            f"{expression.coefficients}; change them"
        )
    return Tokens(tuple(words), tuple(constants))


def constants_of(
    expression: Expression, coefficients: Mapping[str, Any] | None = None
) -> Float[Array, " c"]:
    """The constants of the tokens of an equation for other values of its coefficients.

    A pure function of them, which `jax.vmap` applies to the members of a family.

    Args:
        expression: Any without opaque parts.
        coefficients: The values by name, ``()`` each; by default its own.

    Returns:
        ``(c,)``, in the order of the words ``<C>``.
    """
    values = {**expression.coefficients, **(coefficients or {})}
    found = [
        jnp.asarray(word)
        for each in expression.equations.values()
        for word in _words(each, values)
        if not isinstance(word, str)
    ]
    return jnp.stack(found) if found else jnp.zeros(0)


def collected(there: Sum) -> list[tuple[tuple[Term, ...], Term]]:
    """The terms of a sum by what they hold besides numbers and coefficients.

    Returns:
        In canonical order: the parts of coefficients, to be added, and the rest with the number 1.
    """
    groups: dict[str, tuple[list[Term], Term]] = {}
    for term in there.terms:
        fixed = [each for each in term.factors if each[0].kinds <= {Kind.COEFFICIENT}]
        rest = Term(1.0, tuple(each for each in term.factors if each not in fixed))
        group = groups.setdefault(rest.key, ([], rest))
        group[0].append(Term(term.number, tuple(fixed)))
    return [(tuple(parts), rest) for parts, rest in groups.values()]


def _words(there: Sum, values: Mapping[str, Any]) -> Iterator[Any]:
    """The words of a sum, numbers for constants."""
    groups = collected(there)
    if not groups:
        yield 0.0
        return
    for k, (parts, rest) in enumerate(groups):
        if k < len(groups) - 1:
            yield "add"
        pure = len(parts) == 1 and not parts[0].factors and parts[0].number == 1.0
        if not pure or not rest.factors:
            yield from ["mul"] * bool(rest.factors)
            yield evaluated(Sum(parts), values)
        for j, (atom, exponent) in enumerate(rest.factors):
            if j < len(rest.factors) - 1:
                yield "mul"
            if exponent == 1.0:
                yield from _words_of(atom, values)
                continue
            yield "pow"
            yield from _words_of(atom, values)
            whole = float(exponent).is_integer()
            yield str(int(exponent)) if whole else exponent


def _words_of(atom: Atom, values: Mapping[str, Any]) -> Iterator[Any]:
    match atom:
        case Symbol():
            yield atom.name
        case Sum():
            yield from _words(atom, values)
        case Function():
            yield atom.name
            for each in atom.arguments:
                yield from _words(each, values)


def _digits(number: float) -> list[str]:
    """Sign, mantissa and exponent."""
    sign = "-" if number < 0 else "+"
    if number == 0:
        return [sign, f"N{'0' * DIGITS}", "E0"]
    text = f"{abs(number):.{DIGITS - 1}e}"
    mantissa, exponent = text.split("e")
    places = int(exponent) - (DIGITS - 1)
    if abs(places) > EXPONENT:
        raise ValueError(
            f"{number:g} has no three words: a constant is below 1e{EXPONENT + DIGITS} and, unless "
            f"it is zero, at least 1e{DIGITS - 1 - EXPONENT} in size; choose other units"
        )
    return [sign, f"N{mantissa.replace('.', '')}", f"E{places}"]


def _parsed(words: list[str], vocabulary: Vocabulary, numbers: Iterator[float]) -> Sum:
    """The sum of some words, read from the end, where every operand is ready for its operator.

    Raises:
        ValueError: For a word that is no symbol, and for an operand too few or too many.
    """
    values = [next(numbers) for word in words if word == CONSTANT]
    ready: list[Sum] = []
    for word in reversed(words):
        if word == CONSTANT:
            ready.append(constant(values.pop()))
            continue
        if word.removeprefix("-").isdecimal():
            ready.append(constant(float(word)))
            continue
        count = 2 if word in ("add", "mul", "pow") or word in BINARY else int(word in FUNCTIONS)
        if len(ready) < count:
            raise ValueError(f"{shown(word)} needs {count} operands, got {len(ready)}")
        operands = [ready.pop() for _ in range(count)]
        match word:
            case "add" | "mul":
                first, second = operands
                ready.append(first + second if word == "add" else first * second)
            case _ if count:
                ready.append(applied(word, tuple(operands)))
            case _:
                ready.append(symbolic(vocabulary.symbol(word)))
    if len(ready) != 1:
        raise ValueError(f"the words of an equation say one sum, got {len(ready)}")
    return ready[0]
