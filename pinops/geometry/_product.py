"""Products of domains: a shape and time, a disk and a height."""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Float

from ._box import Box
from ._domain import Domain, Face
from ._level_sets import Wall, meet


class Product(Domain):
    """All pairs of a point of `first` and a point of `second`.

    Example:
        >>> cylinder = po.Disk(x=0, y=0, radius=1) * po.Box(z=(0, 2), t=(0, 1))
        >>> cylinder.coordinates
        ('x', 'y', 'z', 't')

    The boundary is first's surface times second, and first times second's surface, with their
    names.

    Args:
        first: A domain, whose coordinates come first.
        second: A domain of other coordinates.

    Raises:
        ValueError: For a coordinate or a boundary part of both.
    """

    first: Domain
    second: Domain

    def __check_init__(self):
        shared = [c for c in self.first.coordinates if c in self.second.coordinates]
        if shared:
            raise ValueError(
                f"Product: {shared[0]} is a coordinate of both factors; rename it in one of them."
            )

    @property
    def coordinates(self) -> tuple[str, ...]:
        return self.first.coordinates + self.second.coordinates

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        return self.first.bounds | self.second.bounds

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        return self.first.intervals | self.second.intervals

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.first.parts + self.second.parts))

    @property
    def measure(self) -> float:
        return self.first.measure * self.second.measure

    def _extent(self, direction: np.ndarray) -> float:
        d = len(self.first.space)
        return self.first._extent(direction[:d]) + self.second._extent(direction[d:])

    def _distance(self, points: np.ndarray) -> np.ndarray:
        d = len(self.first.coordinates)
        a, b = self.first._distance(points[:, :d]), self.second._distance(points[:, d:])
        return np.hypot(np.maximum(a, 0.0), np.maximum(b, 0.0)) + np.minimum(np.maximum(a, b), 0.0)

    def level(self, point: Float[Array, " space"]) -> Float[Array, ""]:
        d = len(self.first.space)
        parts = [(self.first, point[:d]), (self.second, point[d:])]
        return functools.reduce(meet, [shape.level(at) for shape, at in parts if shape.space])

    def walls(self) -> tuple[Wall, ...]:
        d = len(self.first.space)

        def of(columns: slice, level: Callable[[Array], Array]) -> Callable[[Array], Array]:
            return lambda point: level(point[columns])

        pairs = (self.first, slice(d)), (self.second, slice(d, None))
        return tuple(
            Wall(wall.name, of(columns, wall.level))
            for shape, columns in pairs
            for wall in shape.walls()
        )

    @property
    def _width(self) -> int:
        return self.first._width + self.second._width

    @property
    def _proposal_measure(self) -> float:
        return self.first._proposal_measure * self.second._proposal_measure

    def _propose(self, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        p, in_first = self.first._propose(cube[:, : self.first._width])
        q, in_second = self.second._propose(cube[:, self.first._width :])
        return np.hstack([p, q]), in_first & in_second

    def _faces(self) -> list[Face]:
        sides = [
            _extruded(face, self.second, (0, len(self.second.space)), False)
            for face in self.first._faces()
        ]
        return sides + [
            _extruded(face, self.first, (len(self.first.space), 0), True)
            for face in self.second._faces()
        ]

    def _without_time(self) -> Domain | None:
        spaces = [
            s for s in (self.first._without_time(), self.second._without_time()) if s is not None
        ]
        return product(*spaces) if len(spaces) == 2 else spaces[0] if spaces else None


def product(first: Domain, second: Domain) -> Domain:
    """`first * second`; two boxes make a box, so that all its coordinates stay intervals."""
    if not isinstance(second, Domain):
        raise ValueError(
            f"Product: both factors must be domains, got {second!r}; time is Time(0, 1)."
        )
    pair = Product(first, second)
    # A box is named as a whole or by its faces: two boxes merge only where the names of the parts
    # survive.
    if isinstance(first, Box) and isinstance(second, Box):
        named = [box.name for box in (first, second) if box.space]
        if len(set(named)) <= 1:
            return Box(name=named[0] if named else None, **pair.intervals)
    return pair


def _extruded(face: Face, other: Domain, padding: tuple[int, int], behind: bool) -> Face:
    """The face times the other factor; `behind` where the face belongs to the second factor."""

    def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p, normals, keep = face.draw(cube[:, : face.width])
        q, inside = other._propose(cube[:, face.width : face.width + other._width])
        points = np.hstack([q, p] if behind else [p, q])
        return points, np.pad(normals, ((0, 0), padding)), keep & inside

    return Face(face.name, face.measure * other._proposal_measure, face.width + other._width, draw)
