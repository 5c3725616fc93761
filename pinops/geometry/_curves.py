"""What smooth closed curves enclose: a curve is a periodic function of a parameter.

    Ellipse: (a cos s, b sin s), s from 0 to 2π
    Spline: cubic polynomials between given points, with continuous curvature

All else follows from the curve and its derivatives. The nearest point of a curve is where the
tangent is at right angles to the way there: Newton's method between neighbours of the nearest
of many points of the curve.
"""

import abc
import math
from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops._numbers import real

from ._domain import Face
from ._level_sets import Wall
from ._polygon import checked_outline, first_crossing
from ._within_bounds import WithinBounds

_POINTS = 1024  # of the curve, from which the nearest one is looked for
_NEAREST = 4  # of these points are tried: two branches may be about equally far
_ITERATIONS = 10  # of Newton's method; it begins a thousandth of the curve away at most
_GAUSS = 5  # points of a rule for each of the pieces between these points
_CROSSINGS = 600  # points of a curve that is checked for crossing itself


class _Curve(WithinBounds):
    """What a smooth closed curve encloses."""

    @property
    @abc.abstractmethod
    def _knots(self) -> Float[np.ndarray, " p_plus_1"]:
        """Where the pieces of the boundary begin, and the end of the last one, which is the start
        of the first.
        """

    @abc.abstractmethod
    def _at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points, first and second derivatives, each of the shape of s and two more numbers."""

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        return {
            c: (-self._extent(-axis), self._extent(axis))
            for c, axis in zip(self.coordinates, np.eye(2), strict=True)
        }

    @property
    def measure(self) -> float:
        return abs(self._oriented_area())

    def _distance(self, points: np.ndarray) -> np.ndarray:
        from scipy.spatial import KDTree

        nodes = self._nodes(_POINTS).ravel()
        period = self._knots[-1] - self._knots[0]
        tree = KDTree(self._at(nodes)[0])
        _, near = tree.query(points, k=_NEAREST)
        padded = np.concatenate([[nodes[-1] - period], nodes, [nodes[0] + period]])
        low, s, high = padded[near], padded[near + 1], padded[near + 2]
        for _ in range(_ITERATIONS):
            at, tangent, bend = self._at(s)
            gap = at - points[:, None]
            slope = np.sum(gap * tangent, -1)
            curvature = np.sum(tangent**2, -1) + np.sum(gap * bend, -1)
            high, low = np.where(slope > 0, s, high), np.where(slope > 0, low, s)
            newton = s - slope / np.where(curvature > 0, curvature, np.inf)
            good = (curvature > 0) & (low <= newton) & (newton <= high)
            s = np.where(good, newton, (low + high) / 2)
        at, tangent, _ = self._at(s)
        away = points[:, None] - at
        squared = np.sum(away**2, -1)
        best = np.arange(len(points)), np.argmin(squared, 1)
        outside = np.sum(away[best] * self._outward(tangent[best]), -1) > 0
        return np.where(outside, 1.0, -1.0) * np.sqrt(squared[best])

    def _faces(self) -> list[Face]:
        nodes = self._nodes(_POINTS)
        names = self.parts if len(self.parts) == len(nodes) else self.parts * len(nodes)
        ends = [*nodes[1:, 0], self._knots[-1]]
        return [
            self._face(name, np.append(piece, end))
            for name, piece, end in zip(names, nodes, ends, strict=True)
        ]

    def _face(self, name: str, nodes: np.ndarray) -> Face:
        from scipy.interpolate import CubicHermiteSpline

        length = np.concatenate([[0.0], np.cumsum(self._integrals(_speed, nodes))])
        # The parameter as a function of the length has the slope 1 / speed.
        parameter = CubicHermiteSpline(length, nodes, 1 / _speed(*self._at(nodes)))

        def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            points, tangent, _ = self._at(parameter(cube[:, 0] * length[-1]))
            return points, self._outward(tangent), np.ones(len(cube), bool)

        return Face(name, float(length[-1]), 1, draw)

    def _nodes(self, count: int) -> Float[np.ndarray, "p m"]:
        """At least `count` parameters in all, the same number in each piece, without its end."""
        knots = self._knots
        each = max(8, math.ceil(count / (len(knots) - 1)))
        return knots[:-1, None] + np.diff(knots)[:, None] * np.arange(each) / each

    def _integrals(self, integrand, nodes: np.ndarray) -> np.ndarray:
        """Of a function of points and derivatives, between neighbouring parameters."""
        places, weights = np.polynomial.legendre.leggauss(_GAUSS)
        half = np.diff(nodes)[:, None] / 2
        values = integrand(*self._at(nodes[:-1, None] + half * (1 + places)))
        return np.sum(half * weights * values, 1)

    def _oriented_area(self) -> float:
        """Positive when counter-clockwise."""
        origin = self._at(self._knots[:1])[0][0]

        def swept(at: np.ndarray, tangent: np.ndarray, _: np.ndarray) -> np.ndarray:
            arm = at - origin
            return (arm[..., 0] * tangent[..., 1] - arm[..., 1] * tangent[..., 0]) / 2

        nodes = np.append(self._nodes(_POINTS).ravel(), self._knots[-1])
        return float(np.sum(self._integrals(swept, nodes)))

    def _outward(self, tangent: np.ndarray) -> np.ndarray:
        turned = np.stack([tangent[..., 1], -tangent[..., 0]], -1)
        turned *= math.copysign(1.0, self._oriented_area())
        return turned / np.linalg.norm(turned, axis=-1, keepdims=True)


def _speed(_at: np.ndarray, tangent: np.ndarray, _bend: np.ndarray) -> np.ndarray:
    return np.linalg.norm(tangent, axis=-1)


class Ellipse(_Curve):
    """The inside of an ellipse with axes along the coordinates; `rotated` turns it.

    Args:
        radii: Half the length of each axis, > 0, in the order of the coordinates.
        name: Of the one boundary part.
        center: The two coordinates of the center.

    Raises:
        ValueError: For another number of coordinates, time, and values that are not finite or
            radii that are not positive.

    Example:
        >>> po.Ellipse(x=0, y=0, radii=(2, 1)).bounds
        {'x': (-2.0, 2.0), 'y': (-1.0, 1.0)}
    """

    center: tuple[tuple[str, float], ...] = eqx.field(static=True)
    radii: tuple[float, float] = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, *, radii: tuple[float, float], name: str = "ellipse", **center: float):
        real([*center.values(), *np.atleast_1d(radii)], "Ellipse: center and radii")
        if len(center) != 2 or "t" in center:
            raise ValueError(
                "Ellipse: the center has two coordinates of space, for example x=0, y=0, got "
                f"{', '.join(center) or 'none'}."
            )
        if np.shape(radii) != (2,) or not all(0.0 < r < math.inf for r in radii):
            raise ValueError(
                f"Ellipse: radii must be two positive and finite numbers, got {radii}."
            )
        for c, value in center.items():
            if not math.isfinite(value):
                raise ValueError(f"Ellipse: the center must be finite, got {c} = {value:g}.")
        self.center = tuple((c, float(value)) for c, value in center.items())
        self.radii = (float(radii[0]), float(radii[1]))
        self.name = name

    @property
    def coordinates(self) -> tuple[str, ...]:
        return tuple(c for c, _ in self.center)

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def _knots(self) -> np.ndarray:
        return np.array([0.0, 2 * np.pi])

    def _at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        a, b = self.radii
        cos, sin = np.cos(s), np.sin(s)
        arm = np.stack([a * cos, b * sin], -1)
        middle = np.array([value for _, value in self.center])
        return middle + arm, np.stack([-a * sin, b * cos], -1), -arm

    def _extent(self, direction: np.ndarray) -> float:
        middle = np.array([value for _, value in self.center])
        return float(middle @ direction + np.linalg.norm(direction * self.radii))

    def level(self, point: Float[Array, " space"]) -> Float[Array, ""]:
        middle = np.array([value for _, value in self.center])
        square = jnp.sum(((point - middle) / np.array(self.radii)) ** 2)
        return min(self.radii) / 2 * (square - 1)

    def walls(self) -> tuple[Wall, ...]:
        return (Wall(self.name, self.level),)


class Spline(_Curve):
    """The inside of a smooth closed curve through given points: the periodic cubic spline over the
    length of the chords.

    Boundary parts are "edge_0" (from the first point to the second), "edge_1", ..., or one part
    `name` for all.

    Args:
        points: ``(n, 2)``, n >= 3, in either direction; the last is joined to the first.
        coordinates: The names of the two coordinates.
        name: One name for the whole boundary.

    Raises:
        ValueError: For fewer than three points, repeated ones, and a curve that crosses itself.

    Example:
        >>> po.Spline([(0, 0), (2, 0), (1, 2)], name="wall").parts
        ('wall',)
    """

    points: tuple[tuple[float, float], ...] = eqx.field(static=True)
    axes: tuple[str, str] = eqx.field(static=True)
    name: str | None = eqx.field(static=True)

    def __init__(
        self,
        points: Sequence[Sequence[float]] | Float[np.ndarray, "n 2"],
        *,
        coordinates: tuple[str, str] = ("x", "y"),
        name: str | None = None,
    ):
        self.points, self.axes = checked_outline("Spline", points, coordinates)
        self.name = name
        nodes = self._nodes(_CROSSINGS)
        crossing = first_crossing(self._at(nodes.ravel())[0])
        if crossing is not None:
            first, second = (k // nodes.shape[1] for k in crossing)
            raise ValueError(
                f"Spline: the curve crosses itself, between edge_{first} and edge_{second}; give "
                "more points there."
            )

    @property
    def coordinates(self) -> tuple[str, ...]:
        return self.axes

    @property
    def parts(self) -> tuple[str, ...]:
        if self.name is not None:
            return (self.name,)
        return tuple(f"edge_{i}" for i in range(len(self.points)))

    @property
    def _knots(self) -> np.ndarray:
        points = np.array(self.points)
        chords = np.linalg.norm(np.roll(points, -1, 0) - points, axis=1)
        return np.concatenate([[0.0], np.cumsum(chords)])

    def _cubic(self):
        from scipy.interpolate import CubicSpline

        points = np.array(self.points)
        return CubicSpline(self._knots, np.concatenate([points, points[:1]]), bc_type="periodic")

    def _at(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        cubic = self._cubic()
        return cubic(s), cubic(s, 1), cubic(s, 2)

    def _extent(self, direction: np.ndarray) -> float:
        from scipy.interpolate import PPoly

        cubic = self._cubic()
        along = PPoly(cubic.c @ direction, cubic.x)
        turns = along.derivative().roots(discontinuity=False, extrapolate=False)
        return float(np.max(along(np.concatenate([cubic.x, turns[np.isfinite(turns)]]))))
