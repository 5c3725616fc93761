"""What a file holds, before anybody says what it means: named arrays, their shapes and attributes.

A *format* (HDF5, ``.npz``, ...) makes a `Found` of a path without loading arrays; a *layout*
(PDEBench, The Well, ...) makes `Contents` of it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pinops._numbers import is_complex
from pinops.data._hdf5 import DataFileError
from pinops.data._lazy import Lazy

RATIO = 1100  # deflate makes numbers at most 1032 times smaller; a file that says more is lying
LONGEST = 10_000_000  # points of an axis
_SHOWN = 40  # characters of a name


def changed(array: Any, shape: Sequence[int], change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The array after a change of its rows; a lazy one stays lazy.

    Args:
        array: ``(n, ...)``.
        shape: Of the result, ``(n, ...)``.
        change: From some rows to as many.
    """
    if isinstance(array, Lazy):
        return Lazy(shape, array.dtype, lambda rows: change(array[rows]))
    return change(np.asarray(array))


def moved(array: Any, order: Sequence[int]) -> Any:
    """The array with its axes in another order, the sample first."""
    if list(order) == list(range(len(order))):
        return array
    shape = [array.shape[axis] for axis in order]
    return changed(array, shape, lambda rows: np.transpose(rows, order))


def repeated(array: np.ndarray, count: int) -> Lazy:
    """One array that is the same for all samples."""

    def rows_of(rows: slice) -> np.ndarray:
        return np.broadcast_to(array, (rows.stop - rows.start, *array.shape))

    return Lazy((count, *array.shape), array.dtype, rows_of)


def rising(axes: Mapping[str, np.ndarray], arrays: Mapping[str, Any]) -> tuple[dict, dict]:
    """Axes that rise, and arrays ``(n, *grid, ...)`` turned round along those that fell."""
    falls = [k for k, axis in enumerate(axes.values()) if len(axis) > 1 and axis[0] > axis[-1]]
    if not falls:
        return dict(axes), dict(arrays)
    turned = {n: a[::-1] if k in falls else a for k, (n, a) in enumerate(axes.items())}
    where = tuple(k + 1 for k in falls)
    flipped = {
        name: changed(array, array.shape, lambda rows: np.flip(rows, where))
        for name, array in arrays.items()
    }
    return turned, flipped


def fields_of(arrays: Mapping[str, Any], axes: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Those of the arrays ``(n, *grid, ...)`` that lie on these axes."""
    grid = tuple(len(axis) for axis in axes.values())
    return {
        name: array
        for name, array in arrays.items()
        if tuple(array.shape[1 : len(grid) + 1]) == grid
    }


@dataclass(frozen=True)
class Entry:
    """One array of a file.

    Attributes:
        shape: As the file says.
        dtype: Of its numbers, in words.
        read: To the array, lazy where the format can read parts.
        attributes: Numbers and texts beside it.
        dimensions: Names of its axes, where the format has them.
        problem: Why it cannot be read, such as "holds objects"; empty for a good one.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dimensions: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Found:
    """What a file holds.

    Attributes:
        path: Of the file or the folder.
        format: In words.
        arrays: By name; those in groups as "group/name".
        attributes: Of the file.
        groups: Attributes of groups, by the name of the group.
        alike: Groups with a number for a name that were not listed, as there are many.
        used: Names of the arrays that a layout has asked for; what is left out is said.
    """

    path: Path
    format: str
    arrays: Mapping[str, Entry]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alike: tuple[str, ...] = ()
    used: set[str] = field(default_factory=set)

    def error(self, sentence: str) -> DataFileError:
        """An error that names the file."""
        return DataFileError(f"{self.path}: {sentence}")

    def has(self, *names: str) -> bool:
        """Whether there are arrays of all these names."""
        return all(name in self.arrays for name in names)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of an array."""
        return self.arrays[name].shape

    def array(self, name: str, ndim: int | None = None) -> Any:
        """An array of real numbers, lazy where the format can read parts.

        Raises:
            DataFileError: When it is not there, cannot be read, or has another number of axes.
        """
        if name not in self.arrays:
            raise self.error(f"it has no array {shown(name)}")
        entry = self.arrays[name]
        if entry.problem:
            raise self.error(f"{shown(name)} {entry.problem}")
        if ndim is not None and len(entry.shape) != ndim:
            raise self.error(
                f"{shown(name)} has the shape {entry.shape}, and {ndim} axes are needed"
            )
        if 0 in entry.shape:
            raise self.error(f"{shown(name)} is empty, of the shape {entry.shape}")
        self.used.add(name)
        array = entry.read()
        if is_complex(array) or np.dtype(array.dtype).kind not in "fiub":
            raise self.error(f"{shown(name)} holds {array.dtype}; give real numbers")
        return array

    def axis(self, name: str) -> np.ndarray:
        """A coordinate: one line of finite numbers that rise or fall, in double precision.

        Raises:
            DataFileError: When it is something else.
        """
        shape = self.arrays[name].shape if name in self.arrays else ()
        size = int(np.prod([max(length, 1) for length in shape], dtype=object))
        if max(shape, default=1) != size or size > LONGEST:
            raise self.error(
                f"{shown(name)} has the shape {shape}, and a coordinate is one line of numbers"
            )
        line = np.asarray(self.array(name), np.float64).reshape(-1)
        steps = np.diff(line)
        if not np.isfinite(line).all() or not ((steps > 0).all() or (steps < 0).all()):
            raise self.error(f"{shown(name)} must rise or fall all along, and be finite")
        return line

    def times(self, name: str, count: int) -> np.ndarray:
        """The axis of time; one that is longer by one than the snapshots is cut.

        Raises:
            DataFileError: When it has another length.
        """
        line = self.axis(name)
        if line.size == count + 1:  # as in PDEBench, whose files also have the end of the last step
            line = line[:count]
        if line.size != count or line[0] > line[-1]:
            raise self.error(
                f"{shown(name)} has {line.size} times, from {line[0]:g} to {line[-1]:g}, and there "
                f"are {count} snapshots"
            )
        return line

    def units(self, names: Mapping[str, str]) -> dict[str, str]:
        """Units of arrays, from their attributes.

        Args:
            names: From names in the file to those of the data set.
        """
        out = {}
        for name, new in names.items():
            attributes = self.arrays[name].attributes if name in self.arrays else {}
            unit = attributes.get("units", attributes.get("unit"))
            if isinstance(unit, str) and 0 < len(unit.strip()) <= _SHOWN:
                out[new] = unit.strip()
        return out

    def check_shape(self, name: str, axes: Mapping[str, np.ndarray], *, count: int | None) -> None:
        """Raises DataFileError where an array is not (samples, *axes)."""
        shape = self.shape(name)
        wanted = tuple(len(axis) for axis in axes.values())
        if shape[1:] != wanted or (count is not None and shape[0] != count):
            first = "samples" if count is None else count
            raise self.error(
                f"{shown(name)} has the shape {shape}, and by its coordinates it must be "
                f"({first}, {', '.join(f'{n} {len(a)}' for n, a in axes.items())})"
            )


def shown(name: str) -> str:
    """A name of a stranger, printable and short."""
    text = "".join(c if c.isprintable() else "?" for c in name[: _SHOWN + 1])
    return text if len(name) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def plain(name: str) -> str:
    """A name like a variable, such as ``Vx`` or ``wind_speed`` for "wind speed"."""
    text = re.sub(r"\W+", "_", name, flags=re.ASCII)
    text = re.sub(r"__+", "_", text).strip("_") or "u"
    return f"_{text}"[:_SHOWN] if text[0].isdigit() else text[:_SHOWN]


def number_of(value: Any) -> float | None:
    """The finite real number that an attribute is, or None."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    if array.size != 1 or array.dtype.kind not in "fiu" or not np.isfinite(array).all():
        return None
    return float(array.reshape(())[()])


def unit_cells(count: int) -> np.ndarray:
    """The centres of as many cells of the unit interval: where a file says nothing."""
    return (np.arange(count) + 0.5) / count


def components(name: str, axes: Sequence[str], count: int) -> list[str]:
    """Names of the components of a vector: velocity_x, velocity_y; by number where those are not
    as many as the axes.
    """
    tails = list(axes) if len(axes) == count else [str(k) for k in range(count)]
    return [f"{name}_{tail}" for tail in tails]
