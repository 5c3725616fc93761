"""Domains that are moved, turned and enlarged: x = s R y + b of a point y of the domain before.

    wing = Ellipse(x=0, y=0, radii=(1, 0.1)).rotated(-0.2).moved(x=3.0)
    small = Polygon(outline).scaled(0.001)  # millimetres to metres

Distances grow by s, areas and volumes by powers of it, normals turn; names of parts stay.
"""

import math
from collections.abc import Callable, Mapping

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from pinops._numbers import real

from ._domain import Domain, Face
from ._level_sets import Ends, Wall


class Transformed(Domain):
    """A shape in space after a similarity transformation: x = factor rotation y + shift.

    `Domain.moved`, `Domain.rotated` and `Domain.scaled` make it.

    Args:
        shape: A domain without time.
        rotation: The rows of an orthogonal matrix.
        factor: > 0, of all lengths.
        shift: One number for each coordinate.

    Raises:
        ValueError: For a domain with time.
    """

    shape: Domain
    rotation: tuple[tuple[float, ...], ...] = eqx.field(static=True)
    factor: float = eqx.field(static=True)
    shift: tuple[float, ...] = eqx.field(static=True)

    def __check_init__(self):
        if self.shape.time is not None:
            raise ValueError(
                f"{type(self.shape).__name__}: transform the shape in space first, then multiply: "
                "disk.moved(x=1) * Time(0, 1)."
            )

    @property
    def coordinates(self) -> tuple[str, ...]:
        return self.shape.coordinates

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        axes = np.eye(len(self.coordinates))
        return {
            c: (-self._extent(-axis), self._extent(axis))
            for c, axis in zip(self.coordinates, axes, strict=True)
        }

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        turned = self.rotation != _unturned(len(self.shift))
        return {} if turned else {c: self.bounds[c] for c in self.shape.intervals}

    @property
    def parts(self) -> tuple[str, ...]:
        return self.shape.parts

    @property
    def measure(self) -> float:
        return self._growth * self.shape.measure

    def _extent(self, direction: np.ndarray) -> float:
        before = direction @ np.array(self.rotation)
        return float(direction @ self.shift) + self.factor * self.shape._extent(before)

    def _distance(self, points: np.ndarray) -> np.ndarray:
        before = (points - self.shift) @ np.array(self.rotation) / self.factor
        return self.factor * self.shape._distance(before)

    def level(self, point: Float[Array, " space"]) -> Float[Array, ""]:
        return self._carried(self.shape.level)(point)

    def walls(self) -> tuple[Wall, ...]:
        def ends(wall: Wall) -> Ends | None:
            if wall.ends is None:
                return None
            first, last = self._after(np.array(wall.ends)).tolist()
            return tuple(first), tuple(last)

        return tuple(
            Wall(wall.name, self._carried(wall.level), ends(wall)) for wall in self.shape.walls()
        )

    def _carried(self, level: Callable[[Array], Array]) -> Callable[[Array], Array]:
        def there(point: Array) -> Array:
            before = (point - np.array(self.shift)) @ np.array(self.rotation) / self.factor
            return self.factor * level(before)

        return there

    @property
    def _growth(self) -> float:
        return self.factor ** len(self.coordinates)

    @property
    def _width(self) -> int:
        return self.shape._width

    @property
    def _proposal_measure(self) -> float:
        return self._growth * self.shape._proposal_measure

    def _after(self, points: np.ndarray) -> np.ndarray:
        return self.factor * points @ np.array(self.rotation).T + self.shift

    def _propose(self, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points, inside = self.shape._propose(cube)
        return self._after(points), inside

    def _faces(self) -> list[Face]:
        return [self._face(face) for face in self.shape._faces()]

    def _face(self, face: Face) -> Face:
        def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            points, normals, keep = face.draw(cube)
            return self._after(points), normals @ np.array(self.rotation).T, keep

        measure = face.measure * self.factor ** (len(self.coordinates) - 1)
        return face._replace(measure=measure, draw=draw)

    def _without_time(self) -> Domain:
        return self


def moved(domain: Domain, by: Mapping[str, float]) -> Transformed:
    """`Domain.moved`."""
    names = domain.coordinates
    for name, distance in by.items():
        real(distance, f"moved: {name}")
        if name not in names:
            raise ValueError(f"moved: there is no coordinate {name!r}, only {', '.join(names)}.")
        if not math.isfinite(distance):
            raise ValueError(f"moved: {name} must be finite, got {distance:g}.")
    shift = tuple(float(by.get(name, 0.0)) for name in names)
    return Transformed(domain, _unturned(len(names)), 1.0, shift)


def rotated(domain: Domain, angle: float, axis: str | None) -> Transformed:
    """`Domain.rotated`."""
    names, d = domain.coordinates, len(domain.coordinates)
    if not math.isfinite(real(angle, "rotated: angle")):
        raise ValueError(f"rotated: angle must be finite, got {angle:g}.")
    if d not in (2, 3):
        raise ValueError(f"rotated: shapes of two or three coordinates turn, got {d}.")
    if d == 3 and axis not in names:
        raise ValueError(f"rotated: axis must be one of {', '.join(names)}, got {axis!r}.")
    if d == 2 and axis is not None:
        raise ValueError(f"rotated: a shape of the plane turns without an axis, got {axis!r}.")
    # Of x, y, z those two that follow the axis: y towards z about x, z towards x about y.
    kept = names.index(axis) if axis is not None else 2
    first, second = (kept + 1) % 3, (kept + 2) % 3
    matrix = np.eye(d)
    matrix[[first, second], [first, second]] = math.cos(angle)
    matrix[second, first], matrix[first, second] = math.sin(angle), -math.sin(angle)
    return Transformed(domain, tuple(map(tuple, matrix.tolist())), 1.0, (0.0,) * d)


def scaled(domain: Domain, factor: float) -> Transformed:
    """`Domain.scaled`."""
    if not 0.0 < real(factor, "scaled: factor") < math.inf:
        raise ValueError(f"scaled: factor must be positive and finite, got {factor:g}.")
    d = len(domain.coordinates)
    return Transformed(domain, _unturned(d), float(factor), (0.0,) * d)


def _unturned(d: int) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, np.eye(d).tolist()))
