"""Solids whose surface is made of triangles, as CAD programs export them."""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from pinops._numbers import real

from ._domain import Face
from ._nearest_triangles import Sheet, sheet_of, signed_distances
from ._surface_files import read_surface
from ._within_bounds import WithinBounds

_MOST = 2_000_000  # triangles


class Surface(WithinBounds):
    """The inside of a closed surface of triangles.

    Points that coincide are merged. The distance is exact, with the sign of angle-weighted normals.
    That the surface does not pass through itself is not checked.

    Source: Baerentzen & Aanaes 2005, doi:10.1109/TVCG.2005.49.

    Args:
        vertices: ``(m, 3)``, finite.
        triangles: ``(k, 3)``, numbers of vertices from 0; neighbours turn the same way.
        name: Of the one boundary part, or one name for each triangle.
        coordinates: The names of the three coordinates.

    Raises:
        ValueError: For other shapes, more than two million triangles, a surface that is not
            watertight, and names that are not one for each triangle.

    Example:
        >>> corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
        >>> po.Surface(corners, [(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]).parts
        ('surface',)
    """

    # As bytes the arrays are immutable and have a hash, which Python keeps.
    points: bytes = eqx.field(static=True)
    cells: bytes = eqx.field(static=True)
    owners: bytes = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    axes: tuple[str, str, str] = eqx.field(static=True)

    def __init__(
        self,
        vertices: Sequence[Sequence[float]] | Float[np.ndarray, "m 3"],
        triangles: Sequence[Sequence[int]] | Int[np.ndarray, "k 3"],
        *,
        name: str | Sequence[str] = "surface",
        coordinates: tuple[str, str, str] = ("x", "y", "z"),
    ):
        points, cells = _checked(vertices, triangles)
        if len(coordinates) != 3 or len({*coordinates}) != 3 or "t" in coordinates:
            raise ValueError(
                f"Surface: give three different coordinates of space, got {coordinates}."
            )
        of_each = [name] * len(cells) if isinstance(name, str) else [*name]
        if len(of_each) != len(cells) or not all(isinstance(one, str) for one in of_each):
            raise ValueError(
                f"Surface: name is one string, or one for each of {len(cells)} triangles, got "
                f"{len(of_each)} of them."
            )
        points, cells, kept = _merged(points, cells)
        _check_closed(points, cells)
        volume = _volume(points, cells)
        if abs(volume) <= 1e-12 * math.prod(np.ptp(points, axis=0)):
            raise ValueError("Surface: it encloses no volume; give the surface of a solid.")
        if volume < 0:
            cells = cells[:, ::-1]
        of_each = [one for one, stays in zip(of_each, kept, strict=True) if stays]
        self.names = tuple(dict.fromkeys(of_each))
        number = {one: k for k, one in enumerate(self.names)}
        self.points, self.cells = points.tobytes(), np.ascontiguousarray(cells).tobytes()
        self.owners = np.array([number[one] for one in of_each], np.int64).tobytes()
        self.axes = (coordinates[0], coordinates[1], coordinates[2])

    @classmethod
    def from_file(
        cls, path: str | Path, *, coordinates: tuple[str, str, str] = ("x", "y", "z")
    ) -> "Surface":
        """The surface in an STL or OBJ file.

        The solids of an STL file in text form, and the groups or objects of an OBJ file, are the
        boundary parts, if there are several with names; else the whole is "surface". Nothing else
        that the file names is opened.

        Args:
            path: An .stl or .obj file of at most 128 MiB.
            coordinates: The names of the three coordinates.

        Raises:
            ValueError: For another kind of file, one that is missing, damaged, or too large, and
                for a surface that is not watertight.

        Example:
            >>> part = po.Surface.from_file("part.stl").split(30)  # doctest: +SKIP
        """
        vertices, triangles, names = read_surface(Path(path))
        try:
            return cls(vertices, triangles, name=names or "surface", coordinates=coordinates)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def split(self, angle: float) -> "Surface":
        """The same surface with a part for each smooth patch: "patch_0", the largest one, ...

        Args:
            angle: In degrees, from 0 to 180: neighbouring triangles whose normals differ by no more
                belong to one patch.

        Raises:
            ValueError: For another angle.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        if not 0.0 <= real(angle, "split: angle") <= 180.0:
            raise ValueError(f"split: angle is in degrees from 0 to 180, got {angle:g}.")
        sheet, count = self._sheet(), len(self.triangles)
        pairs = sheet.neighbours
        cosine = np.sum(sheet.normals[pairs[:, 0]] * sheet.normals[pairs[:, 1]], 1)
        # The cosines of rounded normals of one plane are a little below 1.
        smooth = pairs[cosine >= math.cos(math.radians(angle)) - 1e-9]
        graph = coo_array((np.ones(len(smooth)), smooth.T), (count, count))
        _, patch = connected_components(graph, directed=False)
        order = np.argsort(-np.bincount(patch, sheet.areas), kind="stable")
        return self._with_names([f"patch_{k}" for k in np.argsort(order)[patch]])

    def named(self, name: Callable[[np.ndarray, np.ndarray], str]) -> "Surface":
        """The same surface with the boundary parts that a function says.

        Args:
            name: From the middle ``(3,)`` and the outward unit normal ``(3,)`` of a triangle to the
                name of its part.

        Raises:
            ValueError: Where a name is not a string.

        Example:
            >>> part.named(lambda x, n: "base" if n[2] < -0.99 else "wall")  # doctest: +SKIP
        """
        sheet = self._sheet()
        middles = sheet.corners.mean(1)
        return self._with_names([name(x, n) for x, n in zip(middles, sheet.normals, strict=True)])

    def _with_names(self, names: Sequence[str]) -> "Surface":
        return Surface(self.vertices, self.triangles, name=names, coordinates=self.axes)

    @property
    def vertices(self) -> Float[np.ndarray, "m 3"]:
        """Read-only."""
        return np.frombuffer(self.points).reshape(-1, 3)

    @property
    def triangles(self) -> Int[np.ndarray, "k 3"]:
        """Numbers of vertices, counter-clockwise from outside; read-only."""
        return np.frombuffer(self.cells, np.int64).reshape(-1, 3)

    def __repr__(self) -> str:
        parts = ", ".join(map(repr, self.names[:8])) + (", ..." if len(self.names) > 8 else "")
        return f"Surface({len(self.triangles)} triangles, parts {parts})"

    @property
    def coordinates(self) -> tuple[str, ...]:
        return self.axes

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        low, high = self.vertices.min(0), self.vertices.max(0)
        return dict(zip(self.axes, zip(low.tolist(), high.tolist(), strict=True), strict=True))

    @property
    def parts(self) -> tuple[str, ...]:
        return self.names

    @property
    def measure(self) -> float:
        return _volume(self.vertices, self.triangles)

    def _extent(self, direction: np.ndarray) -> float:
        return float(np.max(self.vertices @ direction))

    def _distance(self, points: np.ndarray) -> np.ndarray:
        return signed_distances(self._sheet(), points)

    def _faces(self) -> list[Face]:
        owners = np.frombuffer(self.owners, np.int64)
        return [self._face(name, np.flatnonzero(owners == k)) for k, name in enumerate(self.names)]

    def _face(self, name: str, own: np.ndarray) -> Face:
        sheet = self._sheet()
        corners, normals = sheet.corners[own], sheet.normals[own]
        ends = np.concatenate([[0.0], np.cumsum(sheet.areas[own])])

        def draw(cube: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            at = cube[:, 0] * ends[-1]
            which = np.searchsorted(ends[1:-1], at, side="right")
            # What is left of the first number is uniform again. A triangle is half of a
            # parallelogram, the other half is folded onto it.
            u = (at - ends[which]) / (ends[which + 1] - ends[which])
            v = cube[:, 1]
            u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
            a, b, c = np.moveaxis(corners[which], 1, 0)
            points = a + u[:, None] * (b - a) + v[:, None] * (c - a)
            return points, normals[which], np.ones(len(cube), bool)

        return Face(name, float(ends[-1]), 2, draw)

    def _sheet(self) -> Sheet:
        return _sheet(self.points, self.cells)


@lru_cache(maxsize=4)
def _sheet(points: bytes, cells: bytes) -> Sheet:
    """What distances are computed from, kept for the surfaces used last."""
    return sheet_of(
        np.frombuffer(points).reshape(-1, 3), np.frombuffer(cells, np.int64).reshape(-1, 3)
    )


def _checked(vertices: object, triangles: object) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles as arrays."""
    points, cells = np.asarray(real(vertices, "Surface: vertices")), np.asarray(triangles)
    if points.ndim != 2 or points.shape[1] != 3 or cells.ndim != 2 or cells.shape[1] != 3:
        raise ValueError(
            "Surface: vertices and triangles must have the shapes (m, 3) and (k, 3), got "
            f"{points.shape} and {cells.shape}."
        )
    points = points.astype(np.float64)
    if not np.isfinite(points).all():
        raise ValueError("Surface: vertices must be finite; one has a NaN or infinite coordinate.")
    if cells.dtype.kind not in "iu":
        raise ValueError(f"Surface: triangles must be whole numbers, got {cells.dtype}.")
    if len(cells) > _MOST:
        raise ValueError(
            f"Surface: at most {_MOST} triangles, got {len(cells)}; export a coarser surface."
        )
    low, high = np.min(cells, initial=0), np.max(cells, initial=0)
    if low < 0 or high >= len(points):
        raise ValueError(
            f"Surface: triangles name vertices from 0 to {len(points) - 1}, got "
            f"{low if low < 0 else high}."
        )
    return points, cells.astype(np.int64)


def _merged(points: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each vertex once and only if it is used, no triangle with a corner twice, and which
    triangles are left. An STL file repeats a vertex in every triangle.
    """
    points, number = np.unique(points[cells.ravel()] + 0.0, axis=0, return_inverse=True)
    cells = number.reshape(-1, 3)
    kept = np.all(cells != np.roll(cells, 1, axis=1), axis=1)
    return points, cells[kept], kept


def _check_closed(points: np.ndarray, cells: np.ndarray) -> None:
    """Raises ValueError unless every edge is run through in both directions equally often."""
    if not len(cells):
        raise ValueError("Surface: it has no triangles.")
    edges = np.concatenate([cells[:, [0, 1]], cells[:, [1, 2]], cells[:, [2, 0]]])
    sides = np.where(edges[:, 0] < edges[:, 1], 1, -1)
    code = np.sort(edges, 1) @ np.array([len(points), 1])
    edge, number, times = np.unique(code, return_inverse=True, return_counts=True)
    open_ = times % 2 == 1
    if open_.any():
        at = ", ".join(f"{x:.4g}" for x in points[edge[open_][0] // len(points)])
        raise ValueError(
            f"Surface: it is not watertight, {open_.sum()} edges lack a second triangle, the first "
            f"of them at ({at}); close the surface in the program that made it."
        )
    turned = np.flatnonzero(np.bincount(number, sides) != 0)
    if len(turned):
        at = ", ".join(f"{x:.4g}" for x in points[edge[turned[0]] // len(points)])
        raise ValueError(
            f"Surface: neighbouring triangles turn differently at {len(turned)} edges, the first "
            f"of them at ({at}); orient all normals outwards in the program that made it."
        )


def _volume(points: np.ndarray, cells: np.ndarray) -> float:
    """By the divergence theorem; positive where triangles turn counter-clockwise from outside."""
    a, b, c = np.moveaxis(points[cells] - points[0], 1, 0)
    return float(np.sum(a * np.cross(b, c)) / 6)
