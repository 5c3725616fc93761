"""Balls of any dimension; a disk is the ball of two."""

import math
from collections.abc import Mapping

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops._numbers import real

from ._domain import Domain, Face
from ._level_sets import Wall


class Ball(Domain):
    """All points within `radius` of `center`.

    Args:
        center: a value for each coordinate, in the order of the coordinates.
        radius: > 0, in the unit of the coordinates.
        name: the name of the one boundary part; by default "circle" in two dimensions and
            "sphere" in others.

    Raises:
        ValueError: without coordinates, for a coordinate `t`, a center that is not finite, or an
            invalid radius.

    Example:
        >>> po.Ball(center={"x": 0, "y": 0, "z": 0}, radius=1).coordinates
        ('x', 'y', 'z')
    """

    center: tuple[tuple[str, float], ...] = eqx.field(static=True)
    radius: float = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, center: Mapping[str, float], radius: float, *, name: str | None = None):
        real([*center.values(), radius], "Ball: center and radius")
        self.center = tuple((c, float(value)) for c, value in center.items())
        self.radius = float(radius)
        self.name = name if name is not None else "circle" if len(self.center) == 2 else "sphere"
        if not self.center:
            raise ValueError(
                'Ball: the center needs at least one coordinate, for example {"x": 0, "y": 0}.'
            )
        if "t" in center:
            raise ValueError(
                "Ball: t is time, and a ball has coordinates of space only; "
                "multiply the ball by Time(0, 1)."
            )
        for c, value in self.center:
            if not math.isfinite(value):
                raise ValueError(f"Ball: the center must be finite, got {c} = {value:g}.")
        if not 0.0 < self.radius < math.inf:
            raise ValueError(f"Ball: radius must be positive and finite, got {self.radius:g}.")

    @property
    def coordinates(self) -> tuple[str, ...]:
        return tuple(c for c, _ in self.center)

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        return {c: (value - self.radius, value + self.radius) for c, value in self.center}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        return {}

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def measure(self) -> float:
        d = len(self.center)
        return math.pi ** (d / 2) / math.gamma(d / 2 + 1) * self.radius**d

    def _extent(self, direction: np.ndarray) -> float:
        return float(self._middle() @ direction + self.radius * np.linalg.norm(direction))

    def _distance(self, points: np.ndarray) -> np.ndarray:
        return np.linalg.norm(points - self._middle(), axis=1) - self.radius

    def level(self, point: Float[Array, " space"]) -> Float[Array, ""]:
        # Smooth at the centre, where the distance has a kink.
        return (jnp.sum((point - self._middle()) ** 2) - self.radius**2) / (2 * self.radius)

    def walls(self) -> tuple[Wall, ...]:
        return (Wall(self.name, self.level),)

    @property
    def _width(self) -> int:
        return 1 + _direction_width(len(self.center))

    @property
    def _proposal_measure(self) -> float:
        return self.measure

    def _propose(self, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        d = len(self.center)
        # Volume within r is proportional to r^d: r = R u^(1/d) is uniform.
        r = self.radius * cube[:, :1] ** (1 / d)
        return self._middle() + r * _directions(cube[:, 1:], d), np.ones(len(cube), bool)

    def _faces(self) -> list[Face]:
        d = len(self.center)

        def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            normals = _directions(cube, d)
            return self._middle() + self.radius * normals, normals, np.ones(len(cube), bool)

        return [Face(self.name, d * self.measure / self.radius, _direction_width(d), draw)]

    def _without_time(self) -> Domain:
        return self

    def _middle(self) -> np.ndarray:
        return np.array([value for _, value in self.center])


def Disk(*, radius: float, name: str | None = None, **center: float) -> Ball:
    """A ball of two coordinates.

    Args:
        radius: > 0, in the unit of the coordinates.
        name: the name of the boundary part, by default "circle".
        **center: the two coordinates of the center.

    Raises:
        ValueError: for another number of coordinates.

    Example:
        >>> po.Disk(x=0.3, y=0.3, radius=0.1, name="hole").name
        'hole'
    """
    if len(center) != 2:
        raise ValueError(
            f"Disk: the center has two coordinates, got {len(center)}; "
            "use Ball for other dimensions."
        )
    return Ball(center, radius, name=name)


def _direction_width(d: int) -> int:
    return d - 1 if d in (2, 3) else d


def _directions(cube: np.ndarray, d: int) -> np.ndarray:
    """Uniform unit vectors (m, d) from `_direction_width(d)` columns of the unit cube."""
    if d == 1:
        return np.where(cube < 0.5, -1.0, 1.0)
    if d == 2:
        angle = 2 * np.pi * cube[:, 0]
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if d == 3:  # Archimedes: the height of a uniform point of the sphere is uniform
        height, angle = 2 * cube[:, 0] - 1, 2 * np.pi * cube[:, 1]
        r = np.sqrt(1 - height**2)
        return np.stack([r * np.cos(angle), r * np.sin(angle), height], axis=1)
    from scipy.special import ndtri

    normal = ndtri(np.clip(cube, 1e-16, 1 - 1e-16))  # isotropic; the clip keeps u = 0 finite
    normal[~normal.any(axis=1), 0] = 1.0  # the centre of the cube has no direction of its own
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)
