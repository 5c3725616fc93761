"""The program of a residual, operation by operation, as operations between sums."""

import functools
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from pinops.problem._algebra import (
    FUNCTIONS,
    Kind,
    Sum,
    Symbol,
    applied,
    constant,
    power,
    symbolic,
    total,
)
from pinops.problem._rewriting import replaced, symbols_in

LISTED = 16  # numbers of an array that are coefficients one by one
UNFOLDED = 64  # opaque values that are told apart one by one where they are only multiplied

INLINED = {  # programs within the program, and where they are kept
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
}
MOVES = {"reshape", "squeeze", "broadcast_in_dim", "transpose", "rev", "slice", "expand_dims"}
MOVES |= {"concatenate", "stack", "unstack", "pad", "copy", "copy_p"}
INDEXED = {"gather", "dynamic_slice"}  # moves whose indices are arguments
# Opaque parts that equations name, which are no result of an operation.
INTEGRAL, INSIDE = "an integral", "the inside of a subdomain"
CHOICES = {"select_n", "gt", "ge", "lt", "le", "eq", "ne", "and", "or", "not"}


@dataclass(frozen=True)
class Opaque:
    """What an opaque part of an equation is made of.

    Args:
        arrays: The arrays of the problem in it.
        arguments: The unknowns, derivatives and coordinates that it depends on.
        operation: The first operation without a symbol.
    """

    arrays: frozenset[str]
    arguments: frozenset[str]
    operation: str


@dataclass(frozen=True)
class Veiled:
    """An array of opaque values.

    Args:
        number: Which it is, in the order of the program.
        shape: Of the array.
    """

    number: int
    shape: tuple[int, ...]


Value = np.ndarray | Veiled  # numbers, or sums (dtype object), or opaque values


class Traced(NamedTuple):
    """Equations as sums, and what they are made of."""

    equations: dict[str, Sum]
    coefficients: dict[str, float]  # those that occur
    opaque: dict[str, str]  # why each opaque part has no symbols


class Reader:
    """Reads programs; keeps what the opaque values are made of.

    Args:
        owner: Whose program it is, the beginning of every sentence.
    """

    def __init__(self, owner: str):
        self._owner = owner
        self._opaque: list[Opaque] = []
        self.coefficients: dict[str, float] = {}

    def coefficient(self, name: str, whole: bool, array: np.ndarray) -> Value:
        """A number, or a few, by name; a longer array, and what an object holds, is opaque."""
        if not whole or array.size > LISTED:
            return self._veil(Opaque(frozenset([name]), frozenset(), "array"), array.shape)
        out = np.empty(array.shape, object)
        for place in np.ndindex(array.shape):
            label = f"{name}[{','.join(map(str, place))}]" if place else name
            self.coefficients[label] = float(array[place])
            out[place] = symbolic(Symbol(label, Kind.COEFFICIENT))
        return out

    def unwritten(self, name: str, coordinates: Iterable[str], what: str) -> Value:
        """A function of the coordinates that no symbol describes, by name and kind."""
        return self._veil(Opaque(frozenset([name]), frozenset(coordinates), what), (1,))

    def program(self, program: ClosedJaxpr, inputs: Sequence[Value]) -> Sequence[Value]:
        """What a program returns for these inputs."""
        return self._run(program.jaxpr, [np.asarray(each) for each in program.consts], inputs)

    def _run(
        self, jaxpr: Jaxpr, constants: Sequence[Value], inputs: Sequence[Value]
    ) -> list[Value]:
        known: dict[Any, Value] = dict(zip(jaxpr.constvars, constants, strict=True))
        known |= dict(zip(jaxpr.invars, inputs, strict=True))

        def value(of: Any) -> Value:
            return np.asarray(of.val) if isinstance(of, Literal) else known[of]

        for equation in jaxpr.eqns:
            outputs = self._equation(equation, [value(of) for of in equation.invars])
            known |= dict(zip(equation.outvars, outputs, strict=True))
        return [value(of) for of in jaxpr.outvars]

    def _equation(self, equation: Any, inputs: Sequence[Value]) -> Sequence[Value]:
        name, shapes = equation.primitive.name, [out.aval.shape for out in equation.outvars]
        if name in INLINED and INLINED[name] in equation.params:
            inner = equation.params[INLINED[name]]
            closed = inner if isinstance(inner, ClosedJaxpr) else ClosedJaxpr(inner, ())
            return self.program(closed, inputs)
        arrays = [each for each in inputs if isinstance(each, np.ndarray)]
        if len(arrays) == len(inputs) and all(each.dtype != object for each in arrays):
            return [np.asarray(each) for each in _evaluated(equation, arrays)]
        if self._stays_opaque(name, inputs):
            return self._veiled(name, inputs, shapes)
        try:
            out = self._symbolic(equation, [self._unveiled(each) for each in inputs])
        except ArithmeticError as error:
            raise ValueError(
                f"{self._owner} has no expression: {error}; check its numbers and coefficients"
            ) from error
        return self._veiled(name, inputs, shapes) if out is None else out

    def _symbolic(self, equation: Any, inputs: list[np.ndarray]) -> list[np.ndarray] | None:
        """The results as sums; None where there are no symbols for them."""
        name, parameters = equation.primitive.name, equation.params
        match name:
            case "convert_element_type":
                return inputs if np.issubdtype(parameters["new_dtype"], np.floating) else None
            case "select_n":
                return [_chosen(inputs)] if len(inputs) == 3 else None
            case "reduce_sum":
                return [_added(_sums(inputs[0]), tuple(parameters["axes"]))]
            case "dot_general":
                return [_contracted(_sums(inputs[0]), _sums(inputs[1]), **parameters)]
        if name in MOVES:
            return _moved(equation, inputs, [])
        if name in INDEXED:
            numbers = all(each.dtype != object for each in inputs[1:])
            return _moved(equation, inputs[:1], inputs[1:]) if numbers else None
        function = _arithmetic(name, parameters)
        if function is None:
            return None
        return [np.asarray(np.frompyfunc(function, len(inputs), 1)(*map(_sums, inputs)), object)]

    def _stays_opaque(self, name: str, inputs: Sequence[Value]) -> bool:
        """Whether the result of an operation with opaque values is one opaque value again.

        That is so among data, and with the entries of an array that is not evaluated anywhere yet,
        such as the weights of a network, unless values only move or change their scale.
        """
        kinds = [_kinds_of(each) for each in inputs]
        if Kind.OPAQUE not in frozenset().union(*kinds):
            return False
        parts = [part for each in inputs for part in self._parts_of(each) if part.operation]
        among_data = not any(kind & {Kind.UNKNOWN, Kind.COEFFICIENT} for kind in kinds)
        if not among_data and all(part.arguments for part in parts):
            return False
        if max(int(np.prod(each.shape)) for each in inputs) > UNFOLDED:
            return True
        scaled = (name in ("mul", "div") and not kinds[1]) or (name == "mul" and not kinds[0])
        return not (scaled or name in MOVES or name in ("neg", "convert_element_type"))

    def _parts_of(self, value: Value) -> list[Opaque]:
        """What a value is made of; of an unknown or a coordinate only its name."""
        if isinstance(value, Veiled):
            return [self._opaque[value.number]]
        parts: list[Opaque] = []
        for each in value.ravel() if value.dtype == object else ():
            for inner in symbols_in(each).values():
                if inner.kind is Kind.OPAQUE:
                    parts.append(self._opaque[_number_of(inner.name)])
                elif inner.kind is not Kind.COEFFICIENT:
                    parts.append(Opaque(frozenset(), frozenset([inner.name]), ""))
        return parts

    def _veil(self, opaque: Opaque, shape: tuple[int, ...]) -> Veiled:
        self._opaque.append(opaque)
        return Veiled(len(self._opaque) - 1, shape)

    def _veiled(
        self, name: str, inputs: Sequence[Value], shapes: Iterable[tuple[int, ...]]
    ) -> list[Value]:
        """Opaque outputs that depend on all inputs."""
        parts = [part for each in inputs for part in self._parts_of(each)]
        operation = "where" if name in CHOICES else name
        whole = Opaque(
            frozenset().union(*(part.arrays for part in parts)),
            frozenset().union(*(part.arguments for part in parts)),
            next((part.operation for part in parts if part.operation), operation),
        )
        return [self._veil(whole, shape) for shape in shapes]

    def _unveiled(self, value: Value) -> np.ndarray:
        """Opaque values as symbols, one by one."""
        if isinstance(value, np.ndarray):
            return value
        out = np.empty(value.shape, object)
        for k, place in enumerate(np.ndindex(value.shape)):
            out[place] = symbolic(Symbol(f"#{value.number}:{k}", Kind.OPAQUE))
        return out

    def one(self, value: Value) -> Sum:
        """The only entry of an array."""
        (out,) = _sums(self._unveiled(value)).ravel()
        return out

    def named(self, sums: Mapping[str, Sum]) -> Traced:
        """The equations with names for their opaque parts, and the coefficients that occur."""
        used: dict[str, Symbol] = {}
        for each in sums.values():
            used |= {name: found for name, found in symbols_in(each).items() if name not in used}
        new: dict[str, Sum] = {}
        why: dict[str, str] = {}
        for name, found in used.items():
            if found.kind is Kind.OPAQUE:
                opaque = self._opaque[_number_of(name)]
                label = next(each for each in _labels(opaque) if each not in why)
                why[label] = _reason(opaque)
                new[name] = symbolic(Symbol(label, Kind.OPAQUE))
        coefficients = {name: self.coefficients[name] for name in self.coefficients if name in used}
        return Traced({name: replaced(each, new) for name, each in sums.items()}, coefficients, why)


def _number_of(name: str) -> int:
    return int(name[1:].split(":")[0])


def _labels(opaque: Opaque) -> Iterable[str]:
    """source(x), source_2(x), ..."""
    base = "_".join(sorted(opaque.arrays)) or opaque.operation
    inside = f"({', '.join(sorted(opaque.arguments))})" if opaque.arguments else ""
    for number in itertools.count(1):
        yield f"{base}{'' if number == 1 else f'_{number}'}{inside}"


def _reason(opaque: Opaque) -> str:
    if opaque.operation in (INTEGRAL, INSIDE):
        return opaque.operation
    if opaque.arrays:
        return f"computed from the array {' and '.join(sorted(opaque.arrays))}"
    if opaque.operation == "where":
        return "a choice between cases"
    return f"the result of {opaque.operation}"


def _kinds_of(value: Value) -> frozenset[Kind]:
    if isinstance(value, Veiled):
        return frozenset([Kind.OPAQUE])
    if value.dtype != object:
        return frozenset()
    return frozenset().union(*(each.kinds for each in value.ravel()))


def _sums(value: np.ndarray) -> np.ndarray:
    """Numbers as sums; sums as they are."""
    if value.dtype == object:
        return value
    out = np.empty(value.shape, object)
    for place in np.ndindex(value.shape):
        out[place] = constant(float(value[place]))
    return out


def _evaluated(equation: Any, inputs: Sequence[np.ndarray]) -> list[Any]:
    """An operation of numbers alone, in double precision."""
    with jax.ensure_compile_time_eval():
        out = equation.primitive.bind(*map(jnp.asarray, inputs), **equation.params)
    return list(out) if equation.primitive.multiple_results else [out]


def _moved(
    equation: Any, inputs: Sequence[np.ndarray], indices: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """An operation that moves values: it is applied to their numbers 0, 1, 2, ..."""
    ends = np.cumsum([each.size for each in inputs])
    places = [
        np.arange(end - each.size, end).reshape(each.shape)
        for each, end in zip(inputs, ends, strict=True)
    ]
    values = np.concatenate([_sums(each).ravel() for each in inputs])
    moved = _evaluated(equation, [*places, *indices])
    return [np.asarray(values[np.asarray(out)], object) for out in moved]


def _chosen(inputs: Sequence[np.ndarray]) -> np.ndarray:
    """A choice between two cases: the opaque 1 or 0 times one plus the rest times the other."""
    which, low, high = inputs[0], _sums(inputs[1]), _sums(inputs[2])
    if which.dtype != object:
        return np.where(which.astype(bool), high, low)
    return np.asarray(low + which * (high - low), object)


def _contracted(left: np.ndarray, right: np.ndarray, **parameters: Any) -> np.ndarray:
    """A product of arrays: common axes, then those of either, then those summed over."""
    (over_left, over_right), (batch_left, batch_right) = parameters["dimension_numbers"]
    free_left = [k for k in range(left.ndim) if k not in (*over_left, *batch_left)]
    free_right = [k for k in range(right.ndim) if k not in (*over_right, *batch_right)]
    a = left.transpose(*batch_left, *free_left, *over_left)
    b = right.transpose(*batch_right, *free_right, *over_right)
    common, first = len(batch_left), len(batch_left) + len(free_left)
    a = np.expand_dims(a, tuple(range(first, first + len(free_right))))
    b = np.expand_dims(b, tuple(range(common, first)))
    summed = tuple(range(first + len(free_right), a.ndim))
    return _added(np.asarray(a * b, object), summed)


def _added(values: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The sums over some axes, of all terms at once."""
    last = np.moveaxis(values, axes, range(values.ndim - len(axes), values.ndim))
    out = np.empty(last.shape[: values.ndim - len(axes)], object)
    for place in np.ndindex(out.shape):
        several = np.asarray(last[place], object).ravel()
        out[place] = total(term for each in several for term in each.terms)
    return out


def _arithmetic(name: str, parameters: Mapping[str, Any]) -> Callable[..., Sum] | None:
    """An operation between single values as one between sums; None where there is none."""
    if name in FUNCTIONS:  # JAX calls its operations by the same names
        return functools.partial(_function, name)
    match name:
        case "add" | "add_any":
            return Sum.__add__
        case "sub":
            return Sum.__sub__
        case "mul":
            return Sum.__mul__
        case "div":
            return Sum.__truediv__
        case "neg":
            return Sum.__neg__
        case "integer_pow":
            return functools.partial(_raised, float(parameters["y"]))
        case "square":
            return functools.partial(_raised, 2.0)
        case "sqrt":
            return functools.partial(_raised, 0.5)
        case "rsqrt":
            return functools.partial(_raised, -0.5)
        case "exp2":
            return _exp2
        case "expm1":
            return _expm1
        case "log1p":
            return _log1p
    return None


def _function(name: str, *arguments: Sum) -> Sum:
    return applied(name, arguments)


def _raised(exponent: float, base: Sum) -> Sum:
    return power(base, exponent)


def _exp2(value: Sum) -> Sum:
    return applied("exp", (value.scaled(float(np.log(2))),))


def _expm1(value: Sum) -> Sum:
    return applied("exp", (value,)) - constant(1.0)


def _log1p(value: Sum) -> Sum:
    return applied("log", (value + constant(1.0),))
