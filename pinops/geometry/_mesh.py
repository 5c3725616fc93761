"""Meshes: points of one sample, with the cells between them where they are known."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from ._edges import between_edges, nearest_on_edges

# Facets of a cell by dimension of the cell and its corners, in the order of VTK.
_TRIANGLE = ((0, 1), (1, 2), (2, 0))
_QUADRILATERAL = ((0, 1), (1, 2), (2, 3), (3, 0))
_TETRAHEDRON = ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))
_FACETS = {(2, 3): _TRIANGLE, (2, 4): _QUADRILATERAL, (3, 3): _TRIANGLE, (3, 4): _TETRAHEDRON}
_CLOSE = 1e-9  # of the size of the mesh: a point that is on the boundary up to rounding


@dataclass(frozen=True, eq=False)
class Mesh:
    """Points, and cells between them: triangles or quadrilaterals in the plane, triangles of a
    surface, tetrahedra.

    Args:
        points: ``(m, d)``, d from 1 to 3, finite.
        cells: ``(k, corners)``, numbers of points from 0; None: a cloud without cells.

    Raises:
        ValueError: For other shapes, cells of another kind, and corners that are no points or no
            whole numbers.
    """

    points: Float[np.ndarray, "m d"]
    cells: Int[np.ndarray, "k corners"] | None = None

    def __post_init__(self):
        shape = np.shape(self.points)
        if len(shape) != 2 or not shape[0] or not 1 <= shape[1] <= 3:
            raise ValueError(
                f"Mesh: points must have the shape (m, d) with d from 1 to 3, got {shape}"
            )
        if not np.isfinite(self.points).all():
            raise ValueError("Mesh: points must be finite; one has a NaN or infinite coordinate")
        if self.cells is None:
            return
        kind = (shape[1], *np.shape(self.cells)[1:])
        if kind not in _FACETS:
            raise ValueError(
                "Mesh: cells are triangles (k, 3), quadrilaterals of the plane (k, 4) or "
                f"tetrahedra (k, 4), got the shape {np.shape(self.cells)} in {shape[1]} dimensions"
            )
        if np.asarray(self.cells).dtype.kind not in "iu":
            raise ValueError(
                f"Mesh: cells must be whole numbers, got {np.asarray(self.cells).dtype}; give the "
                "numbers of their corners"
            )
        low, high = np.min(self.cells, initial=0), np.max(self.cells, initial=0)
        if low < 0 or high >= shape[0]:
            raise ValueError(
                f"Mesh: cells name points from 0 to {shape[0] - 1}, got {low if low < 0 else high}"
            )

    @cached_property
    def edges(self) -> Int[np.ndarray, "e 2"]:
        """The edges of all cells, each once, the smaller number first.

        Raises:
            ValueError: Without cells.
        """
        facets = self._all_facets()
        corners = facets.shape[1]
        pairs = [facets[:, [i, j]] for i in range(corners) for j in range(i + 1, corners)]
        return np.unique(np.sort(np.concatenate(pairs), axis=1), axis=0)

    @cached_property
    def boundary(self) -> Int[np.ndarray, "b corners"]:
        """The facets that belong to one cell only.

        Raises:
            ValueError: Without cells.
        """
        facets = self._all_facets()
        _, first, counts = np.unique(
            np.sort(facets, axis=1), axis=0, return_index=True, return_counts=True
        )
        return facets[np.sort(first[counts == 1])]

    def _all_facets(self) -> Int[np.ndarray, "f corners"]:
        if self.cells is None:
            raise ValueError(
                "Mesh: a cloud of points has no edges and no boundary; give cells, or a radius"
            )
        kind = _FACETS[self.points.shape[1], self.cells.shape[1]]
        return np.concatenate([self.cells[:, list(facet)] for facet in kind])

    def nearest(
        self, count: int, at: Float[np.ndarray, "q d"] | None = None
    ) -> tuple[Float[np.ndarray, "q k"], Int[np.ndarray, "q k"]]:
        """Distances and numbers of the points nearest to each of some places.

        Args:
            count: k, how many; at most all of them.
            at: The places; None: the points themselves, each of which is then not among its own.
        """
        from scipy.spatial import KDTree

        own = at is None
        places = self.points if at is None else at
        count = min(count + own, len(self.points))
        tree: Any = KDTree(self.points)  # whose query has narrower types than it takes
        distances, numbers = tree.query(places, list(range(1, count + 1)))
        if not own:
            return distances, numbers
        # Where points coincide, a point need not be the first of its own list.
        others = numbers != np.arange(len(places))[:, None]
        others[others.all(1), -1] = False
        kept = (len(places), count - 1)
        return distances[others].reshape(kept), numbers[others].reshape(kept)

    def within(
        self, radius: float, at: Float[np.ndarray, "q d"] | None = None
    ) -> Int[np.ndarray, "e 2"]:
        """Pairs of a point, and a place no farther from it than ``radius``: numbers of both.

        Args:
            radius: > 0.
            at: The places; None: the points themselves, without pairs of a point with itself.
        """
        from scipy.spatial import KDTree

        tree = KDTree(self.points)
        if at is None:
            pairs = tree.query_pairs(radius, output_type="ndarray")
            return np.concatenate([pairs, pairs[:, ::-1]])
        near = tree.query_ball_point(at, radius)
        places = np.repeat(np.arange(len(at)), [len(found) for found in near])
        numbers = np.concatenate([*map(np.asarray, near), np.zeros(0)]).astype(np.int64)
        return np.stack([numbers, places], 1)

    def signed_distance(
        self, at: Float[np.ndarray, "q d"] | None = None
    ) -> Float[np.ndarray, " q"]:
        """The distance from the boundary of a mesh of the plane: negative inside, positive outside.

        Args:
            at: The places; None: the points themselves, none of which is outside.

        Raises:
            ValueError: Without cells, and for other meshes than those of the plane.
        """
        places = self.points if at is None else at
        distance = np.linalg.norm(self._nearest_on_boundary(places)[0] - places, axis=1)
        inside = True if at is None else self._inside(places)
        return np.where(inside, -distance, distance)

    def normals(self, at: Float[np.ndarray, "q d"] | None = None) -> Float[np.ndarray, "q d"]:
        """The gradient of the signed distance: on the boundary the outward normal.

        Arguments and errors as for `signed_distance`.
        """
        places = self.points if at is None else at
        nearest, facet = self._nearest_on_boundary(places)
        away = nearest - places
        length = np.linalg.norm(away, axis=1, keepdims=True)
        size = np.ptp(self.points, axis=0).max()
        outside = False if at is None else ~self._inside(places)[:, None]
        direction = np.where(outside, -away, away) / np.maximum(length, _CLOSE * size)
        return np.where(length > _CLOSE * size, direction, self._facet_normals[facet])

    @cached_property
    def _facet_normals(self) -> Float[np.ndarray, "b 2"]:
        """Outward unit normals of the boundary's edges; cells may have either orientation."""
        assert self.cells is not None
        start, end = self._boundary_ends
        along = end - start
        normals = np.stack([along[:, 1], -along[:, 0]], 1)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        owner = {tuple(sorted(edge)): k for k, edge in enumerate(self.boundary.tolist())}
        for facet in _FACETS[2, self.cells.shape[1]]:
            for number, edge in enumerate(self.cells[:, list(facet)].tolist()):
                row = owner.get(tuple(sorted(edge)))
                if row is not None:
                    inward = self.points[self.cells[number]].mean(0) - start[row]
                    normals[row] *= -np.sign(normals[row] @ inward)
        return normals

    def _nearest_on_boundary(
        self, places: Float[np.ndarray, "q 2"]
    ) -> tuple[Float[np.ndarray, "q 2"], Int[np.ndarray, " q"]]:
        """The nearest point of the boundary, and the number of the edge that it is on."""
        if self.points.shape[1] != 2:
            raise ValueError(
                "Mesh: distances from the boundary are those of meshes of the plane, got points "
                f"of {self.points.shape[1]} coordinates"
            )
        start, end = self._boundary_ends
        _, facet, share = nearest_on_edges(start, end, places)
        return start[facet] + share[:, None] * (end - start)[facet], facet

    @property
    def _boundary_ends(self) -> tuple[Float[np.ndarray, "b 2"], Float[np.ndarray, "b 2"]]:
        """Where the edges of the boundary start and end."""
        return self.points[self.boundary[:, 0]], self.points[self.boundary[:, 1]]

    def _inside(self, places: Float[np.ndarray, "q 2"]) -> np.ndarray:
        return between_edges(*self._boundary_ends, places)

    def interpolated(
        self, values: Float[np.ndarray, "m c"], at: Float[np.ndarray, "q d"]
    ) -> Float[np.ndarray, "q c"]:
        """Values between the points: linear in simplices of the points, those of the nearest point
        outside of them all.
        """
        from scipy.interpolate import LinearNDInterpolator

        nearest = self.nearest(1, at)[1][:, 0]
        if self.points.shape[1] == 1:
            order = np.argsort(self.points[:, 0])
            columns = [np.interp(at[:, 0], self.points[order, 0], v[order]) for v in values.T]
            return np.stack(columns, 1) if columns else np.zeros((len(at), 0))
        found = (
            LinearNDInterpolator(self.points, values)(at) if values.shape[1] else values[nearest]
        )
        return np.where(np.isnan(found), values[nearest], found)
