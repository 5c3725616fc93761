"""From a residual to its expression: the program that JAX traces is read as algebra.

A residual is a pure function of named derivatives, so that its program is the tree of the equation.
Each array of the program becomes an array of sums: ``viscosity * u_xx`` one term, ``grad_u`` its
components. What only moves numbers (a slice, a transpose) moves sums.

What no symbol describes is *opaque* and gets a name: a function that is given by an array is
``source(x)``, a choice ``where(x, y)``, which is 1 or 0. Operations between opaque values and
coordinates are opaque again, so that an interpolation is one name and not its forty operations.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np

from pinops.derivatives import (
    Coordinate,
    Gradient,
    Index,
    Indicator,
    Integrated,
    Laplacian,
    Names,
    Partial,
    Point,
    Signature,
    apply_pointwise,
)
from pinops.problem._algebra import Kind, Symbol, symbolic
from pinops.problem._derived import DerivedProblem
from pinops.problem._problem import Problem, residual_signature
from pinops.problem._reading import INSIDE, INTEGRAL, Reader, Traced, Value


def traced(problem: Problem) -> Traced:
    """The residual of a problem as sums.

    Args:
        problem: Any problem with a residual, one derived from another included.

    Raises:
        ValueError: Without a residual, for one that raises, for a coefficient with the name of an
            unknown or a coordinate, and for a division by zero.
    """
    leaves, others = eqx.partition(problem, eqx.is_inexact_array)
    paths, structure = jax.tree_util.tree_flatten_with_path(leaves)
    owner = f"{type(problem).__name__}.residual"

    def function(arrays: Sequence[Any]) -> Callable[..., Any]:
        return eqx.combine(jax.tree.unflatten(structure, arrays), others).residual

    names = [_path_of(problem, path) for path, _ in paths]
    arrays = [np.asarray(leaf, np.float64) for _, leaf in paths]
    return _traced(function, residual_signature(problem), names, arrays, owner)


def traced_function(function: Callable[..., Any], signature: Signature, owner: str) -> Traced:
    """A function of named derivatives as sums; its numbers are constants.

    Args:
        function: Written for one point.
        signature: Its parsed names.
        owner: The beginning of every sentence.
    """

    def constantly(_: Sequence[Any]) -> Callable[..., Any]:
        return function

    return _traced(constantly, signature, [], [], owner)


def _path_of(problem: Problem, path: tuple[Any, ...]) -> tuple[str, bool]:
    """The coefficient that a leaf belongs to, and whether it is the leaf itself."""
    keys = [str(getattr(key, "name", getattr(key, "key", key))) for key in path]
    while isinstance(problem, DerivedProblem) and keys[0] == "problem":
        problem, keys = problem.problem, keys[1:]
    return keys[0], len(keys) == 1


def _traced(
    function: Callable[[Sequence[Any]], Callable[..., Any]],
    signature: Signature,
    names: Sequence[tuple[str, bool]],
    arrays: Sequence[np.ndarray],
    owner: str,
) -> Traced:
    reader = Reader(owner)
    inputs = [reader.coefficient(*name, array) for name, array in zip(names, arrays, strict=True)]
    given: dict[str, Value] = {}
    for name, argument in sorted(signature.arguments):  # as JAX sorts them
        if isinstance(argument, Integrated | Indicator):
            what = INTEGRAL if isinstance(argument, Integrated) else INSIDE
            given[name] = reader.unwritten(name, signature.names.coordinates, what)
            continue
        symbols = _symbols_of(argument, signature.names)
        shape = (1,) if not isinstance(argument, Gradient | Point) else (1, len(symbols))
        given[name] = np.array([symbolic(symbol) for symbol in symbols], object).reshape(shape)
        for symbol in symbols:
            if symbol.name in reader.coefficients:
                raise ValueError(
                    f"{owner}: {symbol.name} is a coefficient and a quantity of the equation; "
                    "rename the coefficient"
                )
    order: list[str] = []

    def equations(arrays: Sequence[Any], values: Mapping[str, Any]) -> dict[str, Any]:
        return apply_pointwise(_noting(function(arrays), order), values, owner=owner)

    with jax.enable_x64(True):
        shapes = {
            name: jax.ShapeDtypeStruct(each.shape, np.float64) for name, each in given.items()
        }
        program, out = jax.make_jaxpr(equations, return_shape=True)(list(arrays), shapes)
        found = reader.program(program, [*inputs, *given.values()])
    by_name = dict(zip(sorted(out), found, strict=True))
    return reader.named({name: reader.one(by_name[name]) for name in order})


def _noting(function: Callable[..., Any], order: list[str]) -> Callable[..., Any]:
    """The function, which also leaves the names of its equations as they are written."""

    @functools.wraps(function)
    def noting(*values: Any, **named: Any) -> Any:
        out = function(*values, **named)
        order[:] = list(out) if isinstance(out, Mapping) else [""]
        return out

    return noting


def symbol(name: str, argument: Any, names: Names) -> Symbol:
    """The symbol of a quantity: an unknown, a derivative, the Laplacian or a coordinate."""
    match argument:
        case Partial(_, index):
            axes = {axis for axis in range(len(names.coordinates)) if axis not in names.space_axes}
            return Symbol(name, Kind.UNKNOWN, len(index), any(axis in axes for axis in index))
        case Laplacian():
            return Symbol(name, Kind.UNKNOWN, 2)
        case Coordinate():
            return Symbol(name, Kind.COORDINATE)
    raise ValueError(f"{name} is no single quantity of an equation")


def spelled(component: int, index: Index, names: Names) -> str:
    """The name of a partial derivative, such as u_xt, in the order of the coordinates."""
    unknown = names.unknowns[component]
    letters = [names.coordinates[axis] for axis in index]
    if not letters:
        return unknown
    return f"{unknown}_{('' if all(len(each) == 1 for each in letters) else '_').join(letters)}"


def _symbols_of(argument: Any, names: Names) -> list[Symbol]:
    """The symbols of an argument: of a gradient its components, of the point the coordinates."""
    match argument:
        case Partial(component, index):
            return [symbol(spelled(component, index, names), argument, names)]
        case Laplacian(component) if len(names.space) == 1:
            return _symbols_of(Partial(component, names.space_axes * 2), names)
        case Laplacian(component):
            return [symbol(f"lap_{names.unknowns[component]}", argument, names)]
        case Gradient(component):
            parts = [Partial(component, (axis,)) for axis in names.space_axes]
            return [symbol(spelled(component, p.index, names), p, names) for p in parts]
        case Coordinate(axis):
            return [symbol(names.coordinates[axis], argument, names)]
    return [symbol(name, Coordinate(k), names) for k, name in enumerate(names.coordinates)]
