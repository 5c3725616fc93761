"""The contents of a data set: named arrays of samples, from a user or a file reader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pinops._numbers import real
from pinops.data._lazy import columns
from pinops.data._sensors import readings

SPACE = ("x", "y", "z")  # the names of the coordinates of points


@dataclass(frozen=True)
class Contents:
    """Arrays of n samples; the leading axis of each is the sample.

    Arrays may be lazy: anything with ``shape``, ``dtype`` and slices along the first axis that give
    a NumPy array, such as a part of a file that is read on demand.

    Attributes:
        outputs: By name ``(n, *grid)`` on a grid, ``(n, l)`` at l shared points, or n arrays
            ``(m_k,)`` at the points of each sample. An axis at the end makes several unknowns.
        coordinates: The axes of a grid by name, in the order of the arrays' axes (with a time, that
            comes first); or points ``(l, d)`` that all samples share; or n arrays ``(m_k, d)``.
        inputs: By name ``(n,)``, ``(n, m)``, a field ``(n, *grid[, c])``, or n arrays
            ``(m_k[, c])`` at the points, or at the sensors, of each sample.
        parameters: By name one number for each sample, ``(n,)``; a single number is that of all.
        time: "t" where the outputs have a time axis, and the coordinates a ``t``; None without.
        units: Of coordinates, inputs, outputs and parameters, by name.
        cells: Of a mesh: corners ``(k, corners)`` by their number, shared or one array for each.
        sensors: Of inputs that are known at other places in every sample, n arrays ``(k, d)``.
        source: Where the arrays come from, for messages.
    """

    outputs: Mapping[str, Any]
    coordinates: Any
    inputs: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    time: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    cells: Any = None
    sensors: Mapping[str, Any] = field(default_factory=dict)
    source: str = "the arrays"


@dataclass(frozen=True)
class Layout:
    """Where the values of a data set lie, and what they are called.

    Attributes:
        kind: "grid", "points" (shared by all samples) or "meshes" (points of each sample).
        names: Of the coordinates, in the order of the axes of a grid or the columns of points.
        unknowns: Names of the outputs.
        inputs: Names of the inputs, parameters among them.
        parameters: Those of them that are one number for each sample.
        time: "t" or None.
        units: By name.
        cells: Whether a mesh has cells.
        sensors: The dimension of the sensors of each input that has its own in every sample.
    """

    kind: str
    names: tuple[str, ...]
    unknowns: tuple[str, ...]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    time: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    cells: bool = False
    sensors: Mapping[str, int] = field(default_factory=dict)

    def shape(self, coordinates: Mapping[str, np.ndarray]) -> str:
        """Where values lie, in words: ``a grid of 64 x 64``."""
        if self.kind == "meshes":
            return "meshes"
        grid = np.broadcast_shapes(*(np.shape(axis) for axis in coordinates.values()))
        size = " x ".join(str(n) for n in grid)
        return f"a grid of {size}" if self.kind == "grid" else f"{size} points"

    def summary(self, coordinates: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """All of it by name, as JSON."""
        return {
            "layout": self.kind,
            "coordinates": list(self.names),
            "points": self.shape(coordinates),
            "inputs": list(self.inputs),
            "parameters": list(self.parameters),
            "outputs": list(self.unknowns),
            "time": self.time,
            "units": dict(self.units),
        }


@dataclass(frozen=True)
class Arrays:
    """Contents that have been checked, by the keys of the rows of a data set.

    Attributes:
        count: How many samples.
        coordinates: Shared ones, which broadcast against each other to the shape of the values.
        stored: "inputs/NAME", "values/UNKNOWN"; for meshes "points" and "cells" too: arrays or
            lists of n arrays.
        layout: What they are.
        source: For messages.
    """

    count: int
    coordinates: dict[str, np.ndarray]
    stored: dict[str, Any]
    layout: Layout
    source: str


def checked(contents: Contents) -> Arrays:
    """The arrays of a data set, after everything about them that can be wrong has been looked at.

    Raises:
        ValueError: Naming the array, what it has and what it needs.
    """
    where = contents.source
    if not contents.outputs:
        raise ValueError(f"{where}: outputs is empty; give one array at least, outputs={{'u': u}}")
    _check_names(contents)
    if isinstance(contents.coordinates, list | tuple):
        return _of_meshes(contents)
    coordinates, names, shape, kind = _shared(contents)
    outputs: dict[str, Any] = {}
    for name, array in contents.outputs.items():
        outputs |= _split(name, _array(array, f"outputs[{name!r}]", where), shape, where)
    counts = {name: array.shape[0] for name, array in outputs.items()}
    count = next(iter(counts.values()))
    plain = {n: a for n, a in contents.inputs.items() if n not in contents.sensors}
    given = {n: _array(a, f"inputs[{n!r}]", where) for n, a in plain.items()}
    given |= {n: _parameter(a, n, count, where) for n, a in contents.parameters.items()}
    for name, array in (outputs | given).items():
        if array.shape[:1] != (count,):
            raise ValueError(
                f"{where}: {name} has the shape {array.shape}, and {next(iter(counts))} has "
                f"{count} samples; the first axis of every array is the sample"
            )
    if count < 1:
        raise ValueError(f"{where}: there are no samples")
    functions, sensors = _functions(contents, count)
    given |= functions
    stored = {f"inputs/{name}": array for name, array in given.items()}
    stored |= {f"values/{name}": array for name, array in outputs.items()}
    layout = _layout(contents, kind, names, outputs, given, sensors)
    return Arrays(count, coordinates, stored, layout, where)


def _functions(contents: Contents, count: int) -> tuple[dict[str, Any], dict[str, int]]:
    """The inputs at sensors of their own as they are kept, and the dimension of the sensors."""
    where, found, dimensions = contents.source, {}, {}
    for name, positions in contents.sensors.items():
        values = contents.inputs[name]
        found[name], dimensions[name] = readings(name, values, positions, where)
        if len(found[name]) != count:
            raise ValueError(
                f"{where}: {name} has {len(found[name])} samples, and there are {count}"
            )
    return found, dimensions


def _layout(
    contents: Contents,
    kind: str,
    names: Sequence[str],
    outputs: Any,
    given: Any,
    sensors: Mapping[str, int],
) -> Layout:
    numbers = [name for name, array in given.items() if _number(array)]
    return Layout(
        kind=kind,
        names=tuple(names),
        unknowns=tuple(outputs),
        inputs=tuple(given),
        parameters=tuple(numbers),
        time=contents.time,
        units=dict(contents.units),
        cells=contents.cells is not None,
        sensors=sensors,
    )


def _number(array: Any) -> bool:
    return not isinstance(array, list) and len(array.shape) == 1


def _check_names(contents: Contents) -> None:
    """Raises ValueError for names that no array of a file and no unknown can have."""
    groups = (contents.outputs, contents.inputs, contents.parameters)
    if isinstance(contents.coordinates, Mapping):
        groups = (*groups, contents.coordinates)
    for group in groups:
        for name in group:
            if not isinstance(name, str) or not name.isidentifier() or "__" in name:
                raise ValueError(
                    f"{contents.source}: an array needs a name like a variable, such as u, got "
                    f"{name!r}"
                )
    twice = set(contents.inputs) & set(contents.parameters)
    if twice:
        raise ValueError(f"{contents.source}: {min(twice)} is an input and a parameter; rename one")
    for name in contents.sensors:
        if name not in contents.inputs:
            raise ValueError(
                f"{contents.source}: sensors names {name}, which is not an input; the inputs "
                f"are {', '.join(contents.inputs) or 'none'}"
            )
    if contents.time not in (None, "t"):
        raise ValueError(
            f"{contents.source}: time must be 't' or None, got {contents.time!r}; call the axis of "
            "time t"
        )


def _array(given: Any, name: str, where: str) -> Any:
    """A NumPy array of real numbers; a lazy one stays lazy."""
    if hasattr(given, "shape") and hasattr(given, "dtype") and not isinstance(given, np.ndarray):
        if np.dtype(given.dtype).kind not in "fiub":
            raise ValueError(f"{where}: {name} holds {given.dtype}; give real numbers")
        array = given if _lazy(given) else np.asarray(given)
    else:
        try:
            array = np.asarray(given)
        except ValueError:
            raise ValueError(
                f"{where}: {name} is a list of arrays of different shapes; samples with points of "
                "their own need coordinates=[points, ...], and those with sensors of their own "
                "sensors={name: [positions, ...]}"
            ) from None
        array = real(array, f"{where}: {name}")
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{where}: {name} holds {array.dtype}; give numbers")
    if not array.shape:
        raise ValueError(f"{where}: {name} is one number; its first axis must be the sample")
    return array


def _lazy(array: Any) -> bool:
    return not type(array).__module__.startswith(("jax", "numpy"))


def _parameter(given: Any, name: str, count: int, where: str) -> np.ndarray:
    array = np.asarray(given)
    array = real(np.full(count, array) if array.ndim == 0 else array, f"{where}: {name}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{where}: the parameter {name} holds {array.dtype}; give numbers")
    if array.shape != (count,):
        raise ValueError(
            f"{where}: the parameter {name} must be one number, or one for each of the {count} "
            f"samples, got the shape {array.shape}"
        )
    return array


def _shared(
    contents: Contents,
) -> tuple[dict[str, np.ndarray], tuple[str, ...], tuple[int, ...], str]:
    """Coordinates that all samples share: broadcast, their names, the shape of values, the kind."""
    where = contents.source
    if isinstance(contents.coordinates, Mapping):
        axes = {n: _axis(a, n, where) for n, a in contents.coordinates.items()}
        if not axes:
            raise ValueError(f"{where}: coordinates is empty; give the axes, {{'x': x}}")
        if (contents.time is None) != ("t" not in axes):
            raise ValueError(
                f"{where}: the coordinates are {', '.join(axes)} and time is {contents.time!r}; "
                "give a coordinate t and time='t', or neither"
            )
        if contents.time and next(iter(axes)) != "t":
            raise ValueError(f"{where}: t must be the first coordinate, as time is the first axis")
        grids = np.meshgrid(*axes.values(), indexing="ij", sparse=True)
        shape = tuple(len(axis) for axis in axes.values())
        return dict(zip(axes, grids, strict=True)), tuple(axes), shape, "grid"
    points = real(np.asarray(contents.coordinates), f"{where}: coordinates")
    names = _names_of_points(points, contents)
    columns = dict(zip(names, points.T, strict=True))
    return columns, names, points.shape[:1], "points"


def _names_of_points(points: np.ndarray, contents: Contents) -> tuple[str, ...]:
    where = contents.source
    if points.ndim != 2 or not 1 <= points.shape[1] <= len(SPACE) or not len(points):
        raise ValueError(
            f"{where}: points need the shape (points, dimension), with 1 to 3 dimensions, got "
            f"{points.shape}"
        )
    if not np.isfinite(points).all():
        raise ValueError(f"{where}: a point is not finite")
    if contents.time:
        raise ValueError(
            f"{where}: a time axis needs the axes of a grid, coordinates={{'t': t, 'x': x}}"
        )
    return SPACE[: points.shape[1]]


def _axis(given: Any, name: str, where: str) -> np.ndarray:
    axis = real(np.asarray(given), f"{where}: coordinates[{name!r}]").astype(np.float64)
    if axis.ndim != 1 or not axis.size:
        raise ValueError(
            f"{where}: the axis {name} must be a line of numbers, got the shape {axis.shape}"
        )
    if not np.isfinite(axis).all() or (np.diff(axis) <= 0).any():
        raise ValueError(f"{where}: the axis {name} must rise and be finite; sort it")
    return axis


def _split(name: str, array: Any, shape: tuple[int, ...], where: str) -> dict[str, Any]:
    """An output by unknown: itself, or its channels."""
    found = tuple(array.shape[1:])
    if found == shape:
        return {name: array}
    if found[:-1] == shape:
        if found[-1] == 1:
            return columns(array, (name,))
        return columns(array, [f"{name}{k}" for k in range(found[-1])])
    words = " x ".join(str(n) for n in shape)
    raise ValueError(
        f"{where}: outputs[{name!r}] has the shape {tuple(array.shape)}, and the coordinates have "
        f"{words} points; it must be (samples, {', '.join(str(n) for n in shape)}), perhaps with "
        "channels at the end"
    )


def _of_meshes(contents: Contents) -> Arrays:
    """Samples with points of their own: every array is a list."""
    where, coordinates = contents.source, contents.coordinates
    count = len(coordinates)
    if not count:
        raise ValueError(f"{where}: there are no samples")
    points = [real(np.asarray(p), f"{where}: coordinates[{k}]") for k, p in enumerate(coordinates)]
    names = _names_of_points(points[0], contents)
    for k, own in enumerate(points):
        if own.ndim != 2 or own.shape[1] != len(names) or not len(own):
            raise ValueError(
                f"{where}: sample {k} has points of the shape {own.shape}, and sample 0 of "
                f"{points[0].shape}; all need {len(names)} dimensions"
            )
        if not np.isfinite(own).all():
            raise ValueError(f"{where}: sample {k} has a point that is not finite")
    sizes = [len(own) for own in points]
    outputs: dict[str, Any] = {}
    for name, given in contents.outputs.items():
        outputs |= _ragged(name, given, sizes, where, split=True)
    inputs: dict[str, Any] = {}
    functions, sensors = _functions(contents, count)
    for name, given in contents.inputs.items():
        if name in sensors:
            inputs[name] = functions[name]
        elif isinstance(given, list | tuple):
            inputs |= _ragged(name, given, sizes, where, split=False)
        else:
            inputs[name] = _array(given, f"inputs[{name!r}]", where)
    inputs |= {n: _parameter(a, n, count, where) for n, a in contents.parameters.items()}
    for name, array in inputs.items():
        if len(array) != count:
            raise ValueError(f"{where}: {name} has {len(array)} samples, and there are {count}")
    stored: dict[str, Any] = {"points": points}
    if contents.cells is not None:
        stored["cells"] = _cells(contents.cells, sizes, where)
    stored |= {f"inputs/{name}": array for name, array in inputs.items()}
    stored |= {f"values/{name}": array for name, array in outputs.items()}
    layout = _layout(contents, "meshes", names, outputs, inputs, sensors)
    return Arrays(count, {}, stored, layout, where)


def _ragged(
    name: str, given: Any, sizes: Sequence[int], where: str, *, split: bool
) -> dict[str, Any]:
    """A list of arrays, one number (or a row of them) for each point of each sample."""
    arrays = [real(np.asarray(a), f"{where}: {name}[{k}]") for k, a in enumerate(given)]
    if len(arrays) != len(sizes):
        raise ValueError(f"{where}: {name} has {len(arrays)} samples, and there are {len(sizes)}")
    tail = arrays[0].shape[1:]
    for k, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
        if array.shape != (size, *tail) or len(tail) > 1:
            raise ValueError(
                f"{where}: {name} of sample {k} has the shape {array.shape}, and the sample has "
                f"{size} points"
            )
    if not split or not tail:
        return {name: arrays}
    if tail == (1,):
        return {name: [array[:, 0] for array in arrays]}
    return {f"{name}{c}": [array[:, c] for array in arrays] for c in range(tail[0])}


def _cells(given: Any, sizes: Sequence[int], where: str) -> list[np.ndarray]:
    cells = list(given) if isinstance(given, list | tuple) else [given] * len(sizes)
    if len(cells) != len(sizes):
        raise ValueError(f"{where}: there are cells of {len(cells)} samples, and {len(sizes)}")
    out = []
    for k, (own, size) in enumerate(zip(cells, sizes, strict=True)):
        array = np.asarray(own)
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise ValueError(
                f"{where}: the cells of sample {k} must be whole numbers (cells, corners), got "
                f"{array.dtype} of the shape {array.shape}"
            )
        if array.size and (array.min() < 0 or array.max() >= size):
            raise ValueError(
                f"{where}: a cell of sample {k} has the corner {int(array.max())}, and the sample "
                f"has {size} points, numbered from 0"
            )
        out.append(array.astype(np.int32))
    return out
