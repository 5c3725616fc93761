"""Trajectories on a regular grid: what an equation is found from, and how noisy it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import Any

import numpy as np
from jaxtyping import Float

from pinops.data import Dataset
from pinops.settings import shown

_MOST = 1_000_000  # values
FEWEST = 8  # points along each axis
_EVEN = 1e-4  # relative, of steps that are called equal
_DIFFERENCE = 6  # order of the difference that leaves the noise
_SEAM = 1.5  # times the usual third difference, across the ends of a periodic axis


@dataclass(frozen=True)
class Axis:
    """Equally spaced points along a coordinate.

    Args:
        name: Of the coordinate.
        first: The first point.
        step: The distance between two points.
        count: How many points there are.
        periodic: Whether the first point follows on the last.
    """

    name: str
    first: float
    step: float
    count: int
    periodic: bool

    @property
    def bounds(self) -> tuple[float, float]:
        """The ends of the interval; of a periodic axis one period."""
        return self.first, self.first + self.step * (self.count - (not self.periodic))

    @property
    def points(self) -> Float[np.ndarray, " n"]:
        """All of them."""
        return self.first + self.step * np.arange(self.count)


@dataclass(frozen=True)
class Trajectories:
    """Values of unknowns on a regular grid, made by `of`.

    Args:
        values: By unknown ``(n, nt, *space)``, n trajectories.
        axes: The time, and the coordinates of space.
    """

    values: Mapping[str, Float[np.ndarray, "n t ..."]]
    axes: tuple[Axis, ...]

    @classmethod
    def of(
        cls,
        data: Dataset,
        unknown: str | Sequence[str] | None = None,
        periodic: str | Sequence[str] | None = None,
    ) -> "Trajectories":
        """The trajectories of a data set; of very many the first, one million values in all.

        Args:
            data: On a regular grid with time.
            unknown: Which outputs are unknowns of the equation; all by default.
            periodic: Which coordinates of space are; by default those across whose ends the values
                are as smooth as elsewhere.

        Raises:
            ValueError: For anything else, naming what does not fit.
        """
        if not isinstance(data, Dataset):
            raise ValueError(
                "an equation is found from a po.Dataset, which po.Dataset.from_arrays makes of "
                f"arrays, got {shown(data)}"
            )
        layout = data.layout
        if layout.kind != "grid" or layout.time is None:
            missing = "no time" if layout.kind == "grid" else f"points of kind {layout.kind}"
            raise ValueError(
                f"{data.path}: an equation is found from trajectories on a regular grid, and these "
                f'data have {missing}; give from_arrays time="t" and an axis for each coordinate'
            )
        names = _chosen(unknown, data.unknowns, "unknown", str(data.path))
        lines = {name: np.ravel(values) for name, values in data.coordinates.items()}
        space = [name for name in lines if name != layout.time]
        steps = {name: _step(line, name, str(data.path)) for name, line in lines.items()}
        size = len(names) * int(np.prod([line.size for line in lines.values()]))
        rows = data.rows(range(min(data.count, max(1, _MOST // size))))
        _check_alike(rows, layout.parameters, str(data.path))
        values = {name: np.asarray(rows[f"values/{name}"], np.float64) for name in names}
        for name, array in values.items():
            _check(array, name, str(data.path))
        around = (
            None if periodic is None else _chosen(periodic, space, "coordinate", str(data.path))
        )
        axes = []
        for number, (name, line) in enumerate(lines.items()):
            if name == layout.time:
                seam = False
            elif around is None:
                seam = all(_is_periodic(array, number + 1) for array in values.values())
            else:
                seam = name in around
            axes.append(Axis(name, float(line[0]), steps[name], line.size, seam))
        return cls(values, tuple(axes))

    @property
    def unknowns(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.values)

    @property
    def count(self) -> int:
        """How many trajectories there are."""
        return len(next(iter(self.values.values())))

    @property
    def time(self) -> Axis:
        """The first axis."""
        return self.axes[0]

    @property
    def space(self) -> tuple[Axis, ...]:
        """The others."""
        return self.axes[1:]

    def part(self, times: slice) -> "Trajectories":
        """The snapshots of a part of the time."""
        time = self.time
        line = time.points[times]
        values = {name: array[:, times] for name, array in self.values.items()}
        return Trajectories(
            values, (Axis(time.name, line[0], time.step, line.size, False), *self.space)
        )

    @cached_property
    def noise(self) -> dict[str, float]:
        """The standard deviation of the noise of each unknown.

        It is what a difference of sixth order leaves along the axis on which that is least, as in
        Messenger & Bortz 2021.
        """
        weights = np.asarray([(-1) ** k * comb(_DIFFERENCE, k) for k in range(_DIFFERENCE + 1)])
        weights = weights / np.linalg.norm(weights)
        found = {}
        for name, array in self.values.items():
            sizes = []
            for axis in range(1, array.ndim):
                moved = np.moveaxis(array, axis, -1)
                windows = np.lib.stride_tricks.sliding_window_view(moved, weights.size, -1)
                sizes.append(float(np.sqrt(np.mean((windows @ weights) ** 2))))
            found[name] = min(sizes)
        return found

    @cached_property
    def smooth(self) -> "Trajectories":
        """The values without most of their noise: a polynomial about every point, along each axis.

        The widest window is taken whose remainder is no larger than the noise.
        """
        out = {}
        for name, array in self.values.items():
            for number, axis in enumerate(self.axes):
                array = _smoothed(array, number + 1, axis, self.noise[name])
            out[name] = array
        return Trajectories(out, self.axes)

    def derivative(self, unknown: str, orders: Sequence[int]) -> Float[np.ndarray, "n nt *space"]:
        """A derivative of the smoothed values on the grid.

        Args:
            unknown: Of what.
            orders: How often along each axis.
        """
        array = self.smooth.values[unknown]
        for number, (axis, order) in enumerate(zip(self.axes, orders, strict=True)):
            if order:
                array = along(local_derivative(axis, order), array, number + 1)
        return array


def local_derivative(
    axis: Axis, order: int, at: np.ndarray | None = None
) -> Float[np.ndarray, "k n"]:
    """The `local_polynomials` by which smoothed data are differentiated: of degree 6, fitted to at
    most nine points.
    """
    return local_polynomials(axis, min(4, (axis.count - 1) // 2), 6, order, at)


def local_polynomials(
    axis: Axis, half: int, degree: int, order: int, at: np.ndarray | None = None
) -> Float[np.ndarray, "k n"]:
    """Rows that give a derivative of the polynomial fitted to a window about each point.

    Near the ends of an axis that is not periodic the window is the nearest one inside (Savitzky &
    Golay 1964).

    Args:
        axis: The points.
        half: The window has 2 half + 1 points.
        degree: Of the polynomial.
        order: Of the derivative.
        at: The numbers of the points; all by default.
    """
    at = np.arange(axis.count) if at is None else at
    out = np.zeros((at.size, axis.count))
    low = at - half if axis.periodic else np.clip(at - half, 0, axis.count - 2 * half - 1)
    offsets = np.arange(2 * half + 1)
    scale = half * axis.step
    fits: dict[int, np.ndarray] = {}
    for row, (point, start) in enumerate(zip(at, low, strict=True)):
        shift = int(point - start)
        if shift not in fits:
            powers = np.vander((offsets - shift) / half, degree + 1, increasing=True)
            # The derivative at the point is the coefficient of its power, times a factorial.
            factor = np.prod(np.arange(1, order + 1)) / scale**order
            fits[shift] = np.linalg.pinv(powers)[order] * factor
        out[row, (start + offsets) % axis.count] = fits[shift]
    return out


def along(matrix: np.ndarray, array: np.ndarray, axis: int) -> np.ndarray:
    """The product of a matrix with an array, along one of its axes."""
    return np.moveaxis(np.moveaxis(array, axis, -1) @ matrix.T, -1, axis)


_DEGREE = 4
_WIDEST = 24


def _smoothed(array: np.ndarray, number: int, axis: Axis, noise: float) -> np.ndarray:
    best = array
    for half in range(_DEGREE // 2 + 1, min(_WIDEST, (axis.count - 1) // 2)):
        tried = along(local_polynomials(axis, half, _DEGREE, 0), array, number)
        if np.sqrt(np.mean((tried - array) ** 2)) > noise:
            break
        best = tried
    return best


def _chosen(given: Any, known: Sequence[str], what: str, source: str) -> tuple[str, ...]:
    """Names, of those that there are."""
    names = tuple(known) if given is None else (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise ValueError(
                f"{source} has no {what} {shown(name)}; there are {listed}: name one of them"
            )
    return names


def _step(line: np.ndarray, name: str, source: str) -> float:
    if line.size < FEWEST:
        raise ValueError(
            f"{source} has {line.size} points along {name}, and an equation is found from at least "
            f"{FEWEST}; give more"
        )
    steps = np.diff(line.astype(np.float64))
    step = (float(line[-1]) - float(line[0])) / (line.size - 1)
    if step <= 0 or np.abs(steps - step).max() > _EVEN * step:
        raise ValueError(
            f"{source}: the points along {name} are not equally spaced (steps from "
            f"{steps.min():.6g} to {steps.max():.6g}); interpolate the values onto a regular grid"
        )
    return step


def _check(array: np.ndarray, name: str, source: str) -> None:
    bad = int(np.sum(~np.isfinite(array)))
    if bad:
        raise ValueError(
            f"{source}: {bad} of {array.size} values of {name} are not finite; fill them in, or "
            "cut the grid to where all values are known"
        )
    if np.ptp(array) == 0:
        raise ValueError(f"{source}: {name} is constant, {array.flat[0]:g}, and has no equation")


def _check_alike(rows: Mapping[str, Any], parameters: Sequence[str], source: str) -> None:
    """Raises ValueError for parameters that differ: the coefficients would, too."""
    for name in parameters:
        values = np.ravel(rows[f"inputs/{name}"])
        if np.ptp(values):
            raise ValueError(
                f"{source}: {name} differs from trajectory to trajectory (from {values.min():g} to "
                f"{values.max():g}), and with it the equation; take() those of one value"
            )


def _is_periodic(array: np.ndarray, axis: int) -> bool:
    """Whether third differences across the ends are as small as elsewhere."""
    moved = np.moveaxis(array, axis, -1)
    joined = np.concatenate([moved, moved[..., :3]], -1)
    size = np.sqrt(np.mean(np.diff(joined, 3, axis=-1) ** 2, axis=tuple(range(array.ndim - 1))))
    return float(size[-3:].max()) <= _SEAM * float(size[:-3].max())
