"""Boxes of any dimension: products of intervals, time among them."""

import functools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from pinops._numbers import real
from pinops.settings import shown

from ._domain import Domain, Face
from ._level_sets import Wall, between, meet


class Box(Domain):
    """The product of intervals, in the order of the keywords.

    Example:
        >>> po.Box(x=(0, 1), y=(-1, 1), t=(0, 2)).space
        ('x', 'y')

    Boundary parts: "x_min", "x_max", "y_min", ..., or one part `name` for the whole surface in
    space.

    Args:
        name: One name for the whole boundary in space; None: two parts for each coordinate.
        intervals: The lower and upper bound of each coordinate.

    Raises:
        ValueError: Without a coordinate, for bounds that do not rise, and for a name that is not a
            string.
    """

    sides: tuple[tuple[str, tuple[float, float]], ...] = eqx.field(static=True)
    name: str | None = eqx.field(static=True)

    def __init__(self, /, *, name: Any = None, **intervals: tuple[float, float]):
        # `name` is str | None; Any, so that type checkers accept Box(**{f"x{i}": (0, 1) for i in
        # range(9)}).
        if not intervals:
            raise ValueError("Box: it needs at least one coordinate, for example Box(x=(0, 1)).")
        if not (name is None or isinstance(name, str)):
            raise ValueError(
                f"Box: name must be a string, got {name!r}; a coordinate cannot be called name."
            )
        self.sides = tuple(
            (c, checked_interval("Box", c, interval)) for c, interval in intervals.items()
        )
        self.name = name

    @property
    def coordinates(self) -> tuple[str, ...]:
        return tuple(c for c, _ in self.sides)

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        return dict(self.sides)

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        return dict(self.sides)

    @property
    def parts(self) -> tuple[str, ...]:
        if self.name is not None:
            return (self.name,) if self.space else ()
        return tuple(f"{c}_{end}" for c in self.space for end in ("min", "max"))

    @property
    def measure(self) -> float:
        return math.prod(high - low for c, (low, high) in self.sides if c != "t")

    def _distance(self, points: np.ndarray) -> np.ndarray:
        columns = [i for i, c in enumerate(self.coordinates) if c != "t"]
        if not columns:
            return np.full(len(points), -np.inf)
        low, high = self._ends()
        excess = np.maximum(low - points, points - high)[
            :, columns
        ]  # (n, space), per axis, negative inside
        return np.linalg.norm(np.maximum(excess, 0.0), axis=1) + np.minimum(excess.max(axis=1), 0.0)

    def level(self, point: Float[Array, " space"]) -> Float[Array, ""]:
        space = [interval for c, interval in self.sides if c != "t"]
        each = [between(point[axis], *interval) for axis, interval in enumerate(space)]
        return functools.reduce(meet, each)

    def walls(self) -> tuple[Wall, ...]:
        space = [(c, ends) for c, ends in self.sides if c != "t"]
        return tuple(
            Wall(self.name or f"{c}_{end}", _plane(axis, at))
            for axis, (c, ends) in enumerate(space)
            for end, at in zip(("min", "max"), ends, strict=True)
        )

    @property
    def _width(self) -> int:
        return len(self.sides)

    @property
    def _proposal_measure(self) -> float:
        return self.measure

    def _propose(self, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = self._ends()
        return low + (high - low) * cube, np.ones(len(cube), bool)

    def _faces(self) -> list[Face]:
        # Once for all faces: there may be thousands of coordinates.
        sides, columns = dict(self.sides), {c: k for k, c in enumerate(self.coordinates)}
        whole = math.prod(b - a for c, (a, b) in self.sides if c != "t")
        faces = []
        for axis, c in enumerate(self.space):
            area = whole / (sides[c][1] - sides[c][0])
            faces += [self._face(c, end, columns[c], axis, sides[c], area) for end in (0, 1)]
        return faces

    def _face(
        self,
        coordinate: str,
        end: int,
        column: int,
        axis: int,
        side: tuple[float, float],
        area: float,
    ) -> Face:
        low, high = side

        def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            points, keep = self._propose(np.insert(cube, column, 0.0, axis=1))
            points[:, column] = (low, high)[end]
            normals = np.zeros((len(cube), len(self.space)))
            normals[:, axis] = (-1.0, 1.0)[end]
            return points, normals, keep

        name = f"{coordinate}_{('min', 'max')[end]}" if self.name is None else self.name
        return Face(name, area, len(self.sides) - 1, draw)

    def _without_time(self) -> Domain | None:
        space = {c: interval for c, interval in self.sides if c != "t"}
        return Box(name=self.name, **space) if space else None

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.array([interval for _, interval in self.sides]).T
        return low, high


def _plane(axis: int, at: float) -> Callable[[Array], Array]:
    return lambda point: point[axis] - at


def Interval(**interval: tuple[float, float]) -> Box:
    """A box of one coordinate: `Interval(x=(0, 1))`.

    Args:
        interval: The name of the coordinate with its lower and upper bound.

    Raises:
        ValueError: For none or several coordinates, and for bounds that do not rise.
    """
    if len(interval) != 1:
        raise ValueError(
            f"Interval: give one coordinate, got {len(interval)}; use Box for several."
        )
    return Box(**interval)


def Time(start: float, end: float) -> Box:
    """The interval of the coordinate t: `Disk(x=0, y=0, radius=1) * Time(0, 1)`.

    Args:
        start: The first instant.
        end: The last instant, after the first.
    """
    return Box(t=(start, end))


def checked_interval(owner: str, name: str, interval: tuple[float, float]) -> tuple[float, float]:
    """(low, high) as floats, finite and low < high."""
    real(interval, f"{owner}: {name}")
    try:
        if any(isinstance(end, str | bytes | bool) for end in interval):
            raise TypeError(
                "text and truth values are no ends, although Python makes floats of them"
            )
        low, high = (float(end) for end in interval)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{owner}: {name} must be a pair of numbers (low, high), got {shown(interval)}."
        ) from error
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(
            f"{owner}: {name} must be bounded, got ({low:g}, {high:g}); cut it at finite ends."
        )
    if low >= high:
        remedy = "swap the ends" if low > high else "give it a positive length"
        raise ValueError(
            f"{owner}: {name} must run from low to high, got ({low:g}, {high:g}); {remedy}."
        )
    return low, high
