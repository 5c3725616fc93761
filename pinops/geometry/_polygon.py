"""Simple polygons in the plane."""

import math
from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops._numbers import real

from ._domain import Face
from ._edges import between_edges, nearest_on_edges
from ._level_sets import Wall
from ._within_bounds import WithinBounds


class Polygon(WithinBounds):
    """The inside of a closed polygon.

    Boundary parts are "edge_0" (from the first vertex to the second), "edge_1", ..., or one part
    `name` for all edges.

    Args:
        vertices: ``(n, 2)``, n >= 3, in either direction; the last is joined to the first.
        coordinates: the names of the two coordinates.
        name: one name for the whole boundary.

    Raises:
        ValueError: for fewer than three vertices, repeated vertices, or edges that cross.

    Example:
        >>> po.Polygon([(0, 0), (1, 0), (0, 1)]).coordinates
        ('x', 'y')
    """

    vertices: tuple[tuple[float, float], ...] = eqx.field(static=True)
    axes: tuple[str, str] = eqx.field(static=True)
    name: str | None = eqx.field(static=True)

    def __init__(
        self,
        vertices: Sequence[Sequence[float]] | Float[np.ndarray, "n 2"],
        *,
        coordinates: tuple[str, str] = ("x", "y"),
        name: str | None = None,
    ):
        self.vertices, self.axes = checked_outline("Polygon", vertices, coordinates)
        self.name = name

    @property
    def coordinates(self) -> tuple[str, ...]:
        return self.axes

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        return {
            c: (min(v), max(v))
            for c, v in zip(self.axes, zip(*self.vertices, strict=True), strict=True)
        }

    @property
    def parts(self) -> tuple[str, ...]:
        if self.name is not None:
            return (self.name,)
        return tuple(f"edge_{i}" for i in range(len(self.vertices)))

    @property
    def measure(self) -> float:
        return abs(self._oriented_area())

    def _extent(self, direction: np.ndarray) -> float:
        return float(np.max(np.array(self.vertices) @ direction))

    def _distance(self, points: np.ndarray) -> np.ndarray:
        starts = np.array(self.vertices)
        ends = np.roll(starts, -1, 0)
        inside = between_edges(starts, ends, points)
        squared, _, _ = nearest_on_edges(starts, ends, points)
        return np.where(inside, -1.0, 1.0) * np.sqrt(squared)

    def _faces(self) -> list[Face]:
        return [
            self._edge_face(i, np.array(a), np.array(b)) for i, (a, b) in enumerate(self._edges())
        ]

    def walls(self) -> tuple[Wall, ...]:
        return tuple(
            Wall(self.name or f"edge_{i}", _line(a, b), (a, b))
            for i, (a, b) in enumerate(self._edges())
        )

    def _edge_face(self, i: int, a: np.ndarray, b: np.ndarray) -> Face:
        length = math.dist(a, b)
        orientation = math.copysign(1.0, self._oriented_area())
        outward = orientation * np.array([b[1] - a[1], a[0] - b[0]]) / length

        def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return a + cube * (b - a), np.tile(outward, (len(cube), 1)), np.ones(len(cube), bool)

        return Face(f"edge_{i}" if self.name is None else self.name, length, 1, draw)

    def _edges(self) -> list[tuple[tuple[float, float], tuple[float, float]]]:
        return list(zip(self.vertices, self.vertices[1:] + self.vertices[:1], strict=True))

    def _oriented_area(self) -> float:
        """Shoelace formula about the first vertex; positive when counter-clockwise."""
        x0, y0 = self.vertices[0]
        crosses = (
            (ax - x0) * (by - y0) - (bx - x0) * (ay - y0) for (ax, ay), (bx, by) in self._edges()
        )
        return sum(crosses) / 2


def checked_outline(
    owner: str, vertices: Sequence[Sequence[float]] | np.ndarray, coordinates: tuple[str, str]
) -> tuple[tuple[tuple[float, float], ...], tuple[str, str]]:
    """The vertices of a closed outline as floats, and its coordinates.

    Args:
        owner: Whose they are, the beginning of a sentence.
        vertices: ``(n, 2)``, n >= 3, finite; neither neighbours nor edges meet.
        coordinates: Two different ones of space.

    Raises:
        ValueError: For others.
    """
    real(vertices, f"{owner}: vertices")
    shape = np.shape(vertices)
    if len(shape) != 2 or shape[1] != 2:
        raise ValueError(f"{owner}: vertices must have the shape (n, 2), got {shape}.")
    outline = tuple((float(a), float(b)) for a, b in vertices)
    axes = (coordinates[0], coordinates[1])
    if axes[0] == axes[1] or "t" in axes:
        raise ValueError(f"{owner}: give two different coordinates of space, got {axes}.")
    if len(outline) < 3:
        raise ValueError(f"{owner}: it needs at least three vertices, got {len(outline)}.")
    for i, vertex in enumerate(outline):
        if not all(map(math.isfinite, vertex)):
            raise ValueError(f"{owner}: vertices must be finite, got {vertex} at {i}.")
        if vertex == outline[i - 1]:
            raise ValueError(
                f"{owner}: vertex {i} repeats the one before it, {vertex}; leave it out, "
                f"a {owner.lower()} closes itself."
            )
    crossing = first_crossing(np.array(outline))
    if crossing is not None:
        raise ValueError(
            f"{owner}: edge_{crossing[0]} and edge_{crossing[1]} meet; "
            "order the vertices along the boundary."
        )
    return outline, axes


def first_crossing(vertices: np.ndarray) -> tuple[int, int] | None:
    """The first two edges that meet anywhere but at their common vertex, or None."""
    a, b = vertices, np.roll(vertices, -1, axis=0)
    n = len(a)

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        """Sign of the turn p -> q -> r."""
        u, v = q - p, r - p
        return np.sign(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])

    a1, b1, a2, b2 = a[:, None], b[:, None], a[None], b[None]
    # Edges are apart if both ends of one are strictly on one side of the other; edges on one
    # line are apart if their bounding boxes are.
    apart = side(a1, b1, a2) * side(a1, b1, b2) > 0
    boxes = (np.minimum(a1, b1) <= np.maximum(a2, b2)).all(-1)
    meet = ~apart & ~apart.T & boxes & boxes.T
    i = np.arange(n)
    after = (i + 1) % n
    meet[i, i] = meet[after, i] = False
    # Neighbours share a vertex: they only meet elsewhere when the second runs back over the first.
    onward = np.sum((b - a) * (b[after] - b), axis=1)
    meet[i, after] = (side(a, b, b[after]) == 0) & (onward < 0)
    pairs = np.argwhere(meet)
    return (int(pairs[0, 0]), int(pairs[0, 1])) if len(pairs) else None


def _line(a: tuple[float, float], b: tuple[float, float]) -> Callable[[Array], Array]:
    normal = np.array([b[1] - a[1], a[0] - b[0]]) / math.dist(a, b)
    return lambda point: jnp.sum((point - np.array(a)) * normal)
