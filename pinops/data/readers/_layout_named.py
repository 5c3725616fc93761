"""Arrays with telling names and no layout of their own, in any format.

* Roles: groups ``inputs/``, ``outputs/`` and ``parameters/`` say them; otherwise ``a``, ``coeff``,
  ``f``, ... go in and ``u``, ``sol``, ``pressure``, ... come out, an array alone is an output, and
  one number for each sample is a parameter.
* Coordinates: ``x``, ``y``, ``z``, ``t`` (``time``, ``x-coordinate``, ``grid/x``), or points
  ``(m, d)``. Axes of an array that come in another order are found by their lengths.
* Without coordinates, an output that has one axis more than the inputs, or has several and no
  inputs, is a trajectory at the times 0, 1, 2, ...; grid points are the centres of the cells of the
  unit square.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinops.data._contents import Contents
from pinops.data.readers._found import (
    Found,
    fields_of,
    moved,
    number_of,
    plain,
    rising,
    shown,
    unit_cells,
)
from pinops.data.readers._roles import INPUTS, OUTPUTS, POINTS, axis_of

_GROUPS = ("inputs", "input", "outputs", "output", "parameters")
_CHANNELS = 4  # at most, of an array whose last axis can be channels or a coordinate


@dataclass(frozen=True)
class _Roles:
    """Names of arrays in a file by what they are for."""

    axes: dict[str, str]  # from x, y, z, t
    points: str | None
    inputs: list[str]
    outputs: list[str]
    parameters: list[str]


def matches(found: Found) -> bool:
    """Whether the names alone say which arrays go in and which come out."""
    return _roles(found) is not None


def _roles(found: Found) -> _Roles | None:
    axes: dict[str, str] = {}
    points: str | None = None
    rest: dict[str, str] = {}
    for name, entry in found.arrays.items():
        group, _, own = name.rpartition("/")
        axis = axis_of(name)
        if axis is not None and _is_line(entry.shape):
            if axis in axes:
                return None
            axes[axis] = name
        elif own.lower() in POINTS and len(entry.shape) == 2 and entry.shape[1] <= 3:
            points = name
        else:
            rest[name] = group.lower() if group.lower() in _GROUPS else own.lower()
    explicit = any(role in ("outputs", "output") for role in rest.values())
    numbers = [
        n
        for n in rest
        if rest[n] == "parameters" or (_is_line(found.shape(n)) and not _in(rest[n], explicit))
    ]
    inputs = [n for n in rest if n not in numbers and _in(rest[n], explicit)]
    outputs = [n for n in rest if n not in (*inputs, *numbers) and _out(rest[n], explicit)]
    others = [name for name in rest if name not in (*inputs, *outputs, *numbers)]
    if len(others) == 1 and not inputs and not outputs:  # alone, whatever its name
        outputs, others = others, []
    same = {found.shape(name) for name in others}
    if "t" in axes and len(same) == 1 and not inputs and not outputs:  # several unknowns of a flow
        outputs, others = others, []
    if not outputs or others:
        return None
    return _Roles(axes, points, inputs, outputs, numbers)


def _long(shape: Sequence[int]) -> list[int]:
    """The axes but those of one row or one column, which MATLAB adds to lines."""
    return [n for n in shape if n != 1] if len(shape) == 2 else list(shape)


def _is_line(shape: Sequence[int]) -> bool:
    return len(shape) <= 2 and len(_long(shape)) <= 1


def _in(role: str, explicit: bool) -> bool:
    return role in ("inputs", "input") if explicit else role in INPUTS


def _out(role: str, explicit: bool) -> bool:
    return role in ("outputs", "output") if explicit else role in OUTPUTS


def read(found: Found) -> Contents:
    """Samples by the names of their arrays."""
    roles = _roles(found)
    if roles is None:
        raise found.error("its names do not say which arrays go in and which come out")
    outputs = {name: found.array(name) for name in roles.outputs}
    inputs = {name: found.array(name) for name in roles.inputs}
    first = found.shape(roles.outputs[0])
    if len(first) < 2:
        raise found.error(
            f"{shown(roles.outputs[0])} has the shape {first}; its first axis must be the sample, "
            "and the others its points"
        )
    coordinates, time = _coordinates(found, roles)
    if isinstance(coordinates, dict):
        outputs = {name: _laid(found, name, a, coordinates) for name, a in outputs.items()}
        space = {name: axis for name, axis in coordinates.items() if name != "t"}
        inputs = {name: _laid(found, name, a, space, field=False) for name, a in inputs.items()}
        inputs |= rising(space, fields_of(inputs, space))[1]
        coordinates, outputs = rising(coordinates, outputs)
    new = {name: plain(name.rpartition("/")[2]) for name in (*outputs, *inputs)}
    _check_counts(found, outputs | inputs, first[0])
    units = new | {name: axis for axis, name in roles.axes.items()}
    return Contents(
        outputs={new[name]: array for name, array in outputs.items()},
        inputs={new[name]: array for name, array in inputs.items()},
        coordinates=coordinates,
        parameters=_parameters(found, roles, first[0]),
        time=time,
        units=found.units(units),
        source=str(found.path),
    )


def _check_counts(found: Found, arrays: Mapping[str, Any], count: int) -> None:
    for name, array in arrays.items():
        if array.shape[0] != count:
            raise found.error(
                f"{shown(name)} has the shape {array.shape}, and another array has {count} samples"
            )


def _parameters(found: Found, roles: _Roles, count: int) -> dict[str, Any]:
    out: dict[str, Any] = {
        plain(name): number_of(value)
        for name, value in found.attributes.items()
        if number_of(value) is not None and np.asarray(value).dtype.kind == "f"
    }
    for name in roles.parameters:
        values = np.asarray(found.array(name)).reshape(-1)
        if values.size not in (1, count) or not np.isfinite(values).all():
            raise found.error(
                f"{shown(name)} has {values.size} numbers, and a parameter has one finite number "
                f"for each of the {count} samples"
            )
        own = plain(name.rpartition("/")[2])
        out[own] = values if values.size == count else float(values[0])
    return out


def _coordinates(found: Found, roles: _Roles) -> tuple[Any, str | None]:
    """Axes by name, or points; and the coordinate that is time."""
    shape = found.shape(roles.outputs[0])
    if roles.points is not None:
        points = np.asarray(found.array(roles.points), np.float64)
        if shape[1] != len(points):
            raise found.error(
                f"{shown(roles.points)} has {len(points)} points, and "
                f"{shown(roles.outputs[0])} has the shape {shape}"
            )
        return points, None
    if roles.axes:
        return _stated(found, roles, shape)
    fields = [found.shape(name)[1:] for name in roles.inputs]
    grid = shape[1:]
    if len(grid) > 1 and grid[-1] <= _CHANNELS < min(grid[:-1]):  # channels
        grid = grid[:-1]
    fields = [field for field in fields if len(field) > 1 or field == grid or field == grid[1:]]
    moving = grid[1:] in fields if roles.inputs else len(grid) > 1
    space = grid[1:] if moving else grid
    if len(space) > 3:
        raise found.error(
            f"{shown(roles.outputs[0])} has the shape {shape}, and there are at most a time and "
            "three axes of space"
        )
    axes = {"t": np.arange(float(shape[1]))} if moving else {}
    axes |= {name: unit_cells(n) for name, n in zip("xyz", space, strict=False)}
    return axes, "t" if moving else None


def _stated(found: Found, roles: _Roles, shape: Sequence[int]) -> tuple[Any, str | None]:
    """The axes of the file; a time that is longer by one than the snapshots is cut."""
    axes = {n: found.axis(roles.axes[n]) for n in ("t", "x", "y", "z") if n in roles.axes}
    if "t" in axes and sorted(len(axis) for axis in axes.values()) != sorted(shape[1:]):
        shorter = len(axes["t"]) - 1
        others = [len(axis) for name, axis in axes.items() if name != "t"]
        if sorted([shorter, *others]) in (sorted(shape[1:]), sorted(shape[1:-1])):
            axes["t"] = axes["t"][:shorter]
    return axes, "t" if "t" in axes else None


def _laid(
    found: Found,
    name: str,
    array: Any,
    axes: Mapping[str, np.ndarray],
    *,
    field: bool = True,
) -> Any:
    """An array with its axes in the order of the coordinates, channels at the end.

    ``field``: what does not lie on the grid is an error, and not an input on a grid of its own.
    """
    wanted, shape = [len(axis) for axis in axes.values()], list(array.shape[1:])
    if shape[: len(wanted)] == wanted and len(shape) <= len(wanted) + 1:
        return array
    for order in itertools.permutations(range(1, len(wanted) + 1)):
        if (
            len(shape) <= len(wanted) + 1
            and [array.shape[k] for k in order if k < array.ndim] == wanted
        ):
            rest = range(len(wanted) + 1, array.ndim)
            return moved(array, (0, *order, *rest))
    if not field:
        return array
    raise found.error(
        f"{shown(name)} has the shape {tuple(array.shape)}, and by its coordinates it must be "
        f"(samples, {', '.join(f'{n} {len(a)}' for n, a in axes.items())})"
    )
