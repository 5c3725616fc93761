"""Constructive solid geometry: union, intersection and difference of spatial domains.

A point on the surface of one member is on the boundary of the combination or not. This is
decided by stepping off the surface along the normal, which is right even where surfaces
coincide:

* two boxes that share a wall: outside the first is inside the second, so the wall is interior;
* two boxes flush along a wall: outside the first is outside both, so the wall is boundary, and
  its points are drawn from the first box only.
"""

import abc
from collections.abc import Callable

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ._domain import Domain, Face, sobol
from ._level_sets import Wall, join, meet
from ._within_bounds import WithinBounds

_AROUND = 64  # steps from a point


class _Combination(WithinBounds):
    """Two spatial domains with the same coordinates; their boundary parts are merged by name.

    Args:
        left: a spatial domain.
        right: another one with the same coordinates in the same order.

    Raises:
        ValueError: for domains with time, different coordinates, or an empty result.
    """

    left: eqx.AbstractVar[Domain]
    right: eqx.AbstractVar[Domain]

    def __check_init__(self):
        owner = type(self).__name__
        for member in (self.left, self.right):
            if not isinstance(member, Domain):
                raise ValueError(f"{owner}: both members must be domains, got {member!r}.")
            if member.time is not None:
                raise ValueError(
                    f"{owner}: combine shapes in space first, then multiply: (A - B) * Time(0, 1)."
                )
        if self.left.coordinates != self.right.coordinates:
            raise ValueError(
                f"{owner}: the members must have the same coordinates in the same order, "
                f"got {self.left.coordinates} and {self.right.coordinates}."
            )
        for c, (low, high) in self.bounds.items():
            if low >= high:
                raise ValueError(
                    f"{owner}: it is empty, the members do not overlap in {c}; move one of them."
                )

    @property
    def coordinates(self) -> tuple[str, ...]:
        return self.left.coordinates

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.left.parts + self.right.parts))

    def walls(self) -> tuple[Wall, ...]:
        return self.left.walls() + self.right.walls()

    @property
    def measure(self) -> float:
        _, keep = self._propose(sobol(2**16, self._width))
        return self._proposal_measure * float(np.mean(keep))

    @property
    def _step(self) -> float:
        """Far above rounding, far below the features of the shape."""
        sides = (high - low for low, high in self.bounds.values())
        return 1e-8 * max(sides) + 1e-12 * self._magnitude

    def _faces(self) -> list[Face]:
        step = self._step

        def of_left(p: np.ndarray, n: np.ndarray) -> np.ndarray:
            return self._left_stays(p - step * n, p + step * n)

        def of_right(p: np.ndarray, n: np.ndarray) -> np.ndarray:
            # Where the sides disagree the surface coincides with the left one, which owns it.
            return self._right_stays(p - step * n) & self._right_stays(p + step * n)

        right = [_cut(face, of_right, self._right_sign()) for face in self.right._faces()]
        return [_cut(face, of_left, 1.0) for face in self.left._faces()] + right

    @abc.abstractmethod
    def _left_stays(self, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
        """Whether the left surface between these points is on the boundary."""

    @abc.abstractmethod
    def _right_stays(self, points: np.ndarray) -> np.ndarray:
        """Whether the right surface is on the boundary where it passes these points."""

    def _right_sign(self) -> float:
        """The orientation of the right member's normals."""
        return 1.0


class Union(_Combination):
    """`left | right`: the points of either.

    Args:
        left: A domain.
        right: Another one of the same coordinates.
    """

    left: Domain
    right: Domain

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        a, b = self.left.bounds, self.right.bounds
        return {c: (min(a[c][0], b[c][0]), max(a[c][1], b[c][1])) for c in self.coordinates}

    def _extent(self, direction: np.ndarray) -> float:
        return max(self.left._extent(direction), self.right._extent(direction))

    def _distance(self, points: np.ndarray) -> np.ndarray:
        return np.minimum(self.left._distance(points), self.right._distance(points))

    def level(self, point: Float[Array, " space"]) -> Float[Array, ""]:
        return join(self.left.level(point), self.right.level(point))

    def _left_stays(self, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
        return self.right._distance(outside) > 0

    def _right_stays(self, points: np.ndarray) -> np.ndarray:
        return self.left._distance(points) > 0


class Intersection(_Combination):
    """`left & right`: the points of both.

    Args:
        left: A domain.
        right: Another one of the same coordinates.
    """

    left: Domain
    right: Domain

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        a, b = self.left.bounds, self.right.bounds
        return {c: (max(a[c][0], b[c][0]), min(a[c][1], b[c][1])) for c in self.coordinates}

    def _extent(self, direction: np.ndarray) -> float:
        return min(self.left._extent(direction), self.right._extent(direction))

    def _distance(self, points: np.ndarray) -> np.ndarray:
        return np.maximum(self.left._distance(points), self.right._distance(points))

    def level(self, point: Float[Array, " space"]) -> Float[Array, ""]:
        return meet(self.left.level(point), self.right.level(point))

    def _left_stays(self, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
        return self.right._distance(inside) < 0

    def _right_stays(self, points: np.ndarray) -> np.ndarray:
        return self.left._distance(points) < 0


class Difference(_Combination):
    """`left - right`: the points of the first outside the second.

    The normals on the surface of the second point into the hole.

    Args:
        left: A domain.
        right: What is removed from it, a domain of the same coordinates.
    """

    left: Domain
    right: Domain

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        return self.left.bounds

    def _extent(self, direction: np.ndarray) -> float:
        return self.left._extent(direction)

    def _distance(self, points: np.ndarray) -> np.ndarray:
        left, right = self.left._distance(points), self.right._distance(points)
        distance, step = np.maximum(left, -right), self._step
        # A box cut out of a corner has walls in common with the whole, beside which nothing is
        # left: steps to all sides tell.
        common = np.flatnonzero((np.abs(left) < step) & (np.abs(right) < step))
        if len(common):
            around = step * (4 * sobol(_AROUND, self._width) - 2)
            beside = (points[common, None] + around).reshape(-1, self._width)
            out = np.maximum(self.left._distance(beside), -self.right._distance(beside)) > 0
            distance[common[out.reshape(-1, _AROUND).all(1)]] = step
        return distance

    def level(self, point: Float[Array, " space"]) -> Float[Array, ""]:
        return meet(self.left.level(point), -self.right.level(point))

    def _left_stays(self, inside: np.ndarray, outside: np.ndarray) -> np.ndarray:
        return self.right._distance(inside) > 0

    def _right_stays(self, points: np.ndarray) -> np.ndarray:
        return self.left._distance(points) < 0

    def _right_sign(self) -> float:
        return -1.0


def _cut(face: Face, stays: Callable[[np.ndarray, np.ndarray], np.ndarray], sign: float) -> Face:
    def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        points, normals, keep = face.draw(cube)
        return points, sign * normals, keep & stays(points, normals)

    return face._replace(draw=draw)
