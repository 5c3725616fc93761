"""What is made of sums: others by replacing symbols, values, and comparisons."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from pinops.problem._algebra import (
    FUNCTIONS,
    Atom,
    Function,
    Sum,
    Symbol,
    Term,
    applied,
    constant,
    power,
    symbolic,
    total,
)


def replaced(there: Sum, new: Mapping[str, Sum]) -> Sum:
    """The sum with sums in the place of some symbols, in canonical form again."""
    out = []
    for term in there.terms:
        whole = constant(1.0)
        for atom, exponent in term.factors:
            whole = whole * power(_replaced_atom(atom, new), exponent)
        out += whole.scaled(term.number).terms
    return total(out)


def _replaced_atom(atom: Atom, new: Mapping[str, Sum]) -> Sum:
    match atom:
        case Symbol():
            return new.get(atom.name) or symbolic(atom)
        case Function():
            return applied(atom.name, tuple(replaced(each, new) for each in atom.arguments))
        case Sum():
            return replaced(atom, new)


def normalised(there: Sum) -> Sum:
    """The sum with every factor in parentheses divided by its smallest number.

    For comparisons: (2 - 2 x) u and 2 (1 - x) u become one term.
    """
    terms: list[Term] = []
    for term in there.terms:
        whole = constant(term.number)
        for atom, exponent in term.factors:
            inner = _normalised_atom(atom)
            sizes = [abs(part.number) for part in inner.terms if part.factors]
            if isinstance(atom, Sum) and len(inner.terms) > 1 and sizes:
                size = min(sizes)
                if float(exponent).is_integer() and inner.terms[0].number < 0:
                    size = -size
                whole = whole.scaled(size**exponent)
                inner = inner.scaled(1 / size)
            whole = whole * power(inner, exponent)
        terms += whole.terms
    return total(terms)


def _normalised_atom(atom: Atom) -> Sum:
    match atom:
        case Symbol():
            return symbolic(atom)
        case Function():
            return applied(atom.name, tuple(normalised(each) for each in atom.arguments))
        case Sum():
            return normalised(atom)


def evaluated(there: Sum, values: Mapping[str, Any], known: dict[str, Any] | None = None) -> Any:
    """The value of a sum.

    Args:
        there: The sum.
        values: Of every symbol by name, numbers or arrays of one shape.
        known: Values of atoms that were already computed, by key; more are added.

    Returns:
        A number for what holds no symbol, otherwise an array.
    """
    known = {} if known is None else known
    out: Any = 0.0
    for k, term in enumerate(there.terms):
        value = _product_of(term, values, known)
        out = value if k == 0 else out + value
    return out


def _product_of(term: Term, values: Mapping[str, Any], known: dict[str, Any]) -> Any:
    out: Any = None
    for atom, exponent in term.factors:
        value = values[atom.name] if isinstance(atom, Symbol) else _atom_of(atom, values, known)
        if exponent == 0.5:
            value = jnp.sqrt(value)
        elif exponent != 1.0:
            value = value ** (int(exponent) if float(exponent).is_integer() else exponent)
        out = value if out is None else out * value
    if out is None:
        return term.number
    return out if term.number == 1.0 else term.number * out


def _atom_of(atom: Function | Sum, values: Mapping[str, Any], known: dict[str, Any]) -> Any:
    if atom.key not in known:
        if isinstance(atom, Sum):
            known[atom.key] = evaluated(atom, values, known)
        else:
            arguments = (evaluated(each, values, known) for each in atom.arguments)
            known[atom.key] = FUNCTIONS[atom.name](*arguments)
    return known[atom.key]


def symbols_in(there: Sum) -> dict[str, Symbol]:
    """The symbols of a sum by name, in the order in which they stand."""
    out: dict[str, Symbol] = {}
    for term in there.terms:
        for atom, _ in term.factors:
            if isinstance(atom, Symbol):
                out.setdefault(atom.name, atom)
                continue
            for each in atom.arguments if isinstance(atom, Function) else (atom,):
                for name, symbol in symbols_in(each).items():
                    out.setdefault(name, symbol)
    return out


def close(one: Sum, other: Sum, tolerance: float) -> bool:
    """Whether two sums are the same, numbers up to a relative tolerance."""
    if one.skeleton != other.skeleton:
        return False
    for a, b in zip(one.terms, other.terms, strict=True):
        if abs(a.number - b.number) > tolerance * max(abs(a.number), abs(b.number)):
            return False
        for (x, _), (y, _) in zip(a.factors, b.factors, strict=True):
            if not _close_atoms(x, y, tolerance):
                return False
    return True


def _close_atoms(one: Atom, other: Atom, tolerance: float) -> bool:
    if isinstance(one, Function) and isinstance(other, Function):
        pairs = zip(one.arguments, other.arguments, strict=True)
        return all(close(a, b, tolerance) for a, b in pairs)
    if isinstance(one, Sum) and isinstance(other, Sum):
        return close(one, other, tolerance)
    return True  # symbols of one skeleton
