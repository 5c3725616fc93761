"""Rectangles with round corners."""

import math

import equinox as eqx
import numpy as np

from pinops._numbers import real

from ._box import Box
from ._domain import Face
from ._level_sets import Wall
from ._within_bounds import WithinBounds


class RoundedRectangle(WithinBounds):
    """A rectangle whose corners are quarters of a circle.

    Boundary parts are the straight sides, "x_min", "x_max", "y_min", "y_max", and the four
    "corners" together, or one part `name` for all.

    Args:
        radius: Of the corners; > 0, less than half of the shorter side.
        name: One name for the whole boundary.
        sides: The lower and upper bound of each of two coordinates.

    Raises:
        ValueError: For another number of coordinates, time, bounds that do not rise, and another
            radius.

    Example:
        >>> po.RoundedRectangle(x=(0, 2), y=(0, 1), radius=0.2).parts
        ('x_min', 'x_max', 'y_min', 'y_max', 'corners')
    """

    box: Box
    radius: float = eqx.field(static=True)
    name: str | None = eqx.field(static=True)

    def __init__(self, *, radius: float, name: str | None = None, **sides: tuple[float, float]):
        if len(sides) != 2 or "t" in sides:
            raise ValueError(
                "RoundedRectangle: give two coordinates of space, for example x=(0, 2), y=(0, 1), "
                f"got {', '.join(sides) or 'none'}."
            )
        self.box = Box(name=None, **sides)
        self.radius = float(real(radius, "RoundedRectangle: radius"))
        self.name = name
        limit = min(high - low for low, high in self.bounds.values()) / 2
        if not 0.0 < self.radius < limit:
            raise ValueError(
                "RoundedRectangle: radius must be positive and less than half of the shorter side, "
                f"{limit:g}, got {self.radius:g}."
            )

    @property
    def coordinates(self) -> tuple[str, ...]:
        return self.box.coordinates

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        return self.box.bounds

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.name,) if self.name is not None else (*self.box.parts, "corners")

    @property
    def measure(self) -> float:
        return self.box.measure - (4 - math.pi) * self.radius**2

    def _extent(self, direction: np.ndarray) -> float:
        return self._inner()._extent(direction) + self.radius * float(np.linalg.norm(direction))

    def _distance(self, points: np.ndarray) -> np.ndarray:
        return self._inner()._distance(points) - self.radius

    def _faces(self) -> list[Face]:
        # The sides of the inner rectangle, moved outwards.
        faces = [self._side(face) for face in self._inner()._faces()]
        low, high = np.array([*self._inner().bounds.values()]).T
        right, top = high
        left, bottom = low
        corners = [(right, top), (left, top), (left, bottom), (right, bottom)]
        return faces + [self._corner(k, np.array(middle)) for k, middle in enumerate(corners)]

    def walls(self) -> tuple[Wall, ...]:
        # The circles of the corners pass through the inside.
        return () if self.name is not None else self.box.walls()

    def _side(self, face: Face) -> Face:
        def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            points, normals, keep = face.draw(cube)
            return points + self.radius * normals, normals, keep

        return face._replace(name=self.name or face.name, draw=draw)

    def _corner(self, quarter: int, middle: np.ndarray) -> Face:
        def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            angle = np.pi / 2 * (quarter + cube[:, 0])
            normals = np.stack([np.cos(angle), np.sin(angle)], 1)
            return middle + self.radius * normals, normals, np.ones(len(cube), bool)

        return Face(self.name or "corners", np.pi / 2 * self.radius, 1, draw)

    def _inner(self) -> Box:
        """The rectangle all of whose points within `radius` make up this one."""
        r = self.radius
        return Box(name=None, **{c: (a + r, b - r) for c, (a, b) in self.bounds.items()})
