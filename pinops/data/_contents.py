"""The contents of a data set: named arrays of samples, from a user or a file reader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pinops._numbers import real
from pinops.data._lazy import columns
from pinops.data._ragged import at_points, by_channel, cells_of, in_time
from pinops.data._sensors import readings

SPACE = ("x", "y", "z")  # the names of the coordinates of points
_CHANNELS = 4  # more than these, and as many as points, are not taken for unknowns
POINTS = "points"  # stands beside the times where values lie at points and not on a grid


@dataclass(frozen=True)
class Contents:
    """Arrays of n samples; the leading axis of each is the sample.

    Arrays may be lazy: anything with ``shape``, ``dtype`` and slices along the first axis that give
    a NumPy array, such as a part of a file that is read on demand.

    Attributes:
        outputs: By name ``(n, *grid)`` on a grid, ``(n, l)`` at l shared points, or n arrays
            ``(m_k,)``, with a time ``(t, m_k)``, at the points of each sample; beside these, where
            samples have points of their own, numbers of whole samples ``(n,)``. An axis at the end
            makes several unknowns.
        coordinates: The axes of a grid by name, in the order of the arrays' axes (with a time, that
            comes first); or points ``(l, d)`` that all samples share; or n arrays ``(m_k, d)``.
            Points with a time are ``{"t": t, "points": points}``.
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
        unknowns: Names of the outputs that have values at points.
        inputs: Names of the inputs, parameters among them.
        parameters: Those of them that are one number for each sample.
        time: "t" or None.
        units: By name.
        cells: Whether a mesh has cells.
        sensors: The dimension of the sensors of each input that has its own in every sample.
        scalars: Names of the outputs that are one number for each sample.
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
    scalars: tuple[str, ...] = ()

    def shape(self, coordinates: Mapping[str, np.ndarray]) -> str:
        """Where values lie, in words: ``a grid of 64 x 64``."""
        if self.kind == "meshes":
            return f"meshes at {np.size(coordinates['t'])} times" if self.time else "meshes"
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
            "outputs": [*self.unknowns, *self.scalars],
            "time": self.time,
            "units": dict(self.units),
        }


@dataclass(frozen=True)
class Arrays:
    """Contents that have been checked, by the keys of the rows of a data set.

    Attributes:
        count: How many samples.
        coordinates: Shared ones, which broadcast against each other to the shape of the values.
        stored: "inputs/NAME", "values/UNKNOWN"; for meshes "scalars/NAME", "points" and "cells"
            too: arrays or lists of n arrays.
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
    for table in ("outputs", "inputs", "parameters", "units", "sensors"):
        if not isinstance(given := getattr(contents, table), Mapping):
            raise ValueError(
                f"{where}: {table} must be a dict by name, such as {table}={{'a': ...}}, got "
                f"{type(given).__name__}"
            )
    if not contents.outputs:
        raise ValueError(f"{where}: outputs is empty; give one array at least, outputs={{'u': u}}")
    _check_names(contents)
    given = contents.coordinates
    if isinstance(given, Mapping) and POINTS in given:
        return _moving(contents, given)
    if _own_points(given):
        return _of_meshes(contents, contents.coordinates, None)
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


def _field(array: Any, sizes: Sequence[int]) -> bool:
    """Whether one array for all samples has a number for each of their points, which are as many
    in all; else it is a vector.
    """
    shape = getattr(array, "shape", ())
    return len(shape) > 1 and set(sizes) == {shape[1]} and not _lazy(array)


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
    if contents.time and not isinstance(contents.coordinates, Mapping):
        raise ValueError(
            f"{where}: a time axis needs the times too; give "
            "coordinates={'t': t, 'points': points}, or {'t': t, 'x': x} on a grid"
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
        if len(shape) == 1 and found[-1] == shape[0] > _CHANNELS:  # rather a forgotten coordinate
            raise ValueError(
                f"{where}: outputs[{name!r}] has the shape {tuple(array.shape)}, with one "
                f"coordinate of {shape[0]} points; give the other coordinate, or name {found[-1]} "
                "outputs"
            )
        return columns(array, [f"{name}{k}" for k in range(found[-1])])
    words = " x ".join(str(n) for n in shape)
    raise ValueError(
        f"{where}: outputs[{name!r}] has the shape {tuple(array.shape)}, and the coordinates have "
        f"{words} points; it must be (samples, {', '.join(str(n) for n in shape)}), perhaps with "
        "channels at the end"
    )


def _moving(contents: Contents, given: Mapping[str, Any]) -> Arrays:
    """Trajectories at points: those of each sample, or points that all share, which are then those
    of each.
    """
    where, points = contents.source, given[POINTS]
    if set(given) != {"t", POINTS} or contents.time is None:
        raise ValueError(
            f"{where}: the coordinates are {', '.join(given)} and time is {contents.time!r}; "
            "trajectories at points need coordinates={'t': t, 'points': points} and time='t'"
        )
    times = _axis(given["t"], "t", where)
    if _own_points(points):
        return _of_meshes(contents, points, times)
    outputs = {name: list(array) for name, array in contents.outputs.items()}
    contents = replace(contents, outputs=outputs)
    return _of_meshes(contents, [points] * len(next(iter(outputs.values()))), times)


def _own_points(points: Any) -> bool:
    """Whether they are a list of arrays, or ``(n, m, d)``: the points of each sample."""
    return isinstance(points, list | tuple) or len(getattr(points, "shape", ())) == 3


def _numbers_of_samples(given: Any) -> bool:
    """Whether an output is one number for each sample."""
    return np.ndim(given[0]) == 0 if isinstance(given, list | tuple) else np.ndim(given) == 1


def _of_meshes(contents: Contents, coordinates: Sequence[Any], times: np.ndarray | None) -> Arrays:
    """Samples with points of their own: every array is a list. Values are kept with the point in
    the first axis and the time in the second.
    """
    where = contents.source
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
    scalars = {n: a for n, a in contents.outputs.items() if _numbers_of_samples(a)}
    for name, given in contents.outputs.items():
        if name in scalars:
            scalars[name] = _parameter(given, name, count, where)
        elif times is None:
            outputs |= by_channel(name, at_points(name, given, sizes, where), 1)
        else:
            outputs |= by_channel(name, in_time(name, given, sizes, len(times), where), 2)
    if not outputs:
        raise ValueError(f"{where}: outputs has numbers alone; give values at the points, too")
    inputs: dict[str, Any] = {}
    functions, sensors = _functions(contents, count)
    for name, given in contents.inputs.items():
        if name in sensors:
            inputs[name] = functions[name]
        elif isinstance(given, list | tuple) or _field(given, sizes):
            inputs[name] = at_points(name, given, sizes, where)
        else:
            inputs[name] = _array(given, f"inputs[{name!r}]", where)
    inputs |= {n: _parameter(a, n, count, where) for n, a in contents.parameters.items()}
    for name, array in inputs.items():
        if len(array) != count:
            raise ValueError(f"{where}: {name} has {len(array)} samples, and there are {count}")
    stored: dict[str, Any] = {"points": points}
    if contents.cells is not None:
        stored["cells"] = cells_of(contents.cells, sizes, where)
    stored |= {f"inputs/{name}": array for name, array in inputs.items()}
    stored |= {f"values/{name}": array for name, array in outputs.items()}
    stored |= {f"scalars/{name}": array for name, array in scalars.items()}
    layout = _layout(contents, "meshes", names, outputs, inputs, sensors)
    layout = replace(layout, scalars=tuple(scalars))
    return Arrays(count, {} if times is None else {"t": times}, stored, layout, where)
