"""Sheets of triangles, in the plane or on a surface: what is wrong with them, the loops of their
boundary, and the matrices of linear elements.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pinops.geometry._mesh import Mesh

_SMALL = 1e-9  # of the size of a mesh: points that coincide up to rounding
_CANDIDATES = (4, 24, 128)  # nearest triangles that a point is looked for in, in turn
_OUTSIDE = -1e-9  # the least share of a corner for a point inside of a triangle


def oriented_triangles(mesh: Mesh) -> Int[np.ndarray, "k 3"]:
    """The triangles of one connected sheet, which all turn the same way: in the plane
    counter-clockwise.

    Args:
        mesh: With cells of three corners.

    Raises:
        ValueError: For a cloud and for other cells, for points that coincide or belong to no cell,
            for cells without area, for cells that turn differently from their neighbours, and for
            several pieces.
    """
    cells = mesh.cells
    if cells is None or not len(cells):
        raise ValueError("Mesh: a cloud of points has no triangles; give cells")
    if cells.shape[1] != 3:
        raise ValueError(
            f"Mesh: a sheet of triangles is needed, got cells of {cells.shape[1]} corners; divide "
            "them into triangles"
        )
    _check_points(mesh, cells)
    corners = mesh.points[cells]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    size = float(np.ptp(mesh.points, axis=0).max())
    empty = np.flatnonzero(_twice_area(first, second) <= (_SMALL * size) ** 2)
    if len(empty):
        raise ValueError(f"Mesh: cell {empty[0]} has no area; leave it out")
    if mesh.points.shape[1] == 2:
        left = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] > 0
        if not left.any():
            cells = cells[:, ::-1]
        elif not left.all():
            few = np.flatnonzero(left == (left.mean() < 0.5))
            raise ValueError(
                f"Mesh: cell {few[0]} is flipped: it turns the other way than most; exchange two "
                "of its corners, or unfold the mesh"
            )
    _check_neighbours(cells, len(mesh.points))
    return cells


def _check_points(mesh: Mesh, cells: np.ndarray) -> None:
    """Raises ValueError for points that coincide or belong to no cell."""
    from scipy.spatial import KDTree

    used = np.zeros(len(mesh.points), bool)
    used[cells] = True
    if not used.all():
        raise ValueError(
            f"Mesh: point {int(np.argmin(used))} belongs to no cell; leave it out and number the "
            "others anew"
        )
    size = float(np.ptp(mesh.points, axis=0).max())
    pairs = KDTree(mesh.points).query_pairs(_SMALL * size, output_type="ndarray")
    if len(pairs):
        raise ValueError(f"Mesh: points {pairs[0, 0]} and {pairs[0, 1]} coincide; merge them")


def _check_neighbours(cells: np.ndarray, count: int) -> None:
    """Raises ValueError where triangles do not form one sheet that has two sides."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = _directed(cells)
    _, first, times = np.unique(edges @ [count, 1], return_index=True, return_counts=True)
    if (times > 1).any():
        a, b = edges[first[np.argmax(times > 1)]]
        raise ValueError(
            f"Mesh: two cells at the edge of points {a} and {b} turn differently, or more than two "
            "meet there; flip one of them"
        )
    graph = coo_array((np.ones(len(edges)), edges.T), (count, count))
    pieces = connected_components(graph, directed=False, return_labels=False)
    if pieces > 1:
        raise ValueError(f"Mesh: it consists of {pieces} pieces; give each as a sample of its own")


def _directed(cells: np.ndarray) -> Int[np.ndarray, "e 2"]:
    """The edges of all triangles, each from corner to corner as the triangle turns."""
    return np.concatenate([cells[:, [0, 1]], cells[:, [1, 2]], cells[:, [2, 0]]])


def _twice_area(first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, " k"]:
    """Of triangles with these two sides, in any dimension."""
    squares = np.sum(first**2, 1) * np.sum(second**2, 1) - np.sum(first * second, 1) ** 2
    return np.sqrt(np.maximum(squares, 0))


def boundary_loops(mesh: Mesh) -> list[Int[np.ndarray, " l"]]:
    """The closed loops of the boundary, as points in the order in which the mesh lies on their
    left; the outer one first, which is the longest around.

    Args:
        mesh: One connected sheet of triangles.

    Raises:
        ValueError: As `oriented_triangles` does, for a closed surface, and for a boundary that
            touches itself.
    """
    edges = _directed(oriented_triangles(mesh))
    count = len(mesh.points)
    rim = edges[~np.isin(edges @ [count, 1], edges[:, ::-1] @ [count, 1])]
    if not len(rim):
        raise ValueError("Mesh: a closed surface has no boundary; cut it open")
    twice = np.flatnonzero(np.bincount(rim[:, 0]) > 1)
    if len(twice):
        raise ValueError(
            f"Mesh: the boundary touches itself at point {twice[0]}; split that point into two"
        )
    after = dict(rim.tolist())
    loops = []
    while after:
        start, point = next(iter(after.items()))
        loop = [start]
        del after[start]
        while point != start:
            loop.append(point)
            point = after.pop(point)
        loops.append(np.array(loop))

    def size(loop: np.ndarray) -> float:
        return float(np.linalg.norm(np.ptp(mesh.points[loop], axis=0)))

    return sorted(loops, key=size, reverse=True)


def corners_of(mesh: Mesh, loop: Int[np.ndarray, " l"], count: int) -> Int[np.ndarray, " c"]:
    """Where a loop turns the most: places in the loop, in its order, of which the first is the
    lowest left (by the sum of its coordinates, each a share of the bounds of the loop).

    Args:
        mesh: Of the loop.
        loop: Points of a closed loop.
        count: How many corners there are.

    Raises:
        ValueError: Where fewer points of the loop turn by more than a sixth of a right angle.
    """
    points = mesh.points[loop]
    before, after = points - np.roll(points, 1, 0), np.roll(points, -1, 0) - points
    cosine = np.sum(before * after, 1)
    cosine /= np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    turn = np.arccos(np.clip(cosine, -1, 1))
    sharp = int(np.sum(turn > math.pi / 12))
    if sharp < count:
        raise ValueError(
            f"Mesh: {count} corners of the boundary are asked for, and it has {sharp}; ask for "
            "fewer landmarks"
        )
    found = np.sort(np.argsort(-turn, kind="stable")[:count])
    share = (points - points.min(0)) / np.maximum(np.ptp(points, axis=0), 1e-300)
    return np.roll(found, -int(np.argmin(share[found].sum(1))))


def outermost_of(mesh: Mesh, loop: Int[np.ndarray, " l"]) -> Int[np.ndarray, " 4"]:
    """Where a loop lies farthest towards the four corners of its bounds: places in the loop, the
    lowest left first, counter-clockwise.

    Args:
        mesh: Of the loop, in the plane.
        loop: Points of a closed loop.

    Raises:
        ValueError: For a surface in space, and where two of them are the same.
    """
    points = mesh.points[loop]
    if points.shape[1] != 2:
        raise ValueError("Mesh: corners of bounds are those of meshes of the plane")
    share = (points - points.min(0)) / np.maximum(np.ptp(points, axis=0), 1e-300)
    found = np.argmax(share @ [[-1.0, 1.0, 1.0, -1.0], [-1.0, -1.0, 1.0, 1.0]], axis=0)
    if len(np.unique(found)) < 4:
        raise ValueError("Mesh: one point of the boundary is the farthest towards two corners")
    return found


def _entries(cells: np.ndarray, values: np.ndarray, count: int) -> Any:
    """A sparse matrix of values ``(k, 3, 3)`` between the corners of each triangle, summed."""
    from scipy.sparse import coo_array

    rows, columns = np.repeat(cells, 3, axis=1).ravel(), np.tile(cells, (1, 3)).ravel()
    return coo_array((values.ravel(), (rows, columns)), (count, count)).tocsr()


def _sides(mesh: Mesh) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of each corner of all triangles the vectors to the next corner and to the one before it."""
    assert mesh.cells is not None
    x = [mesh.points[mesh.cells[:, k]] for k in range(3)]
    return [(x[(k + 1) % 3] - x[k], x[(k + 2) % 3] - x[k]) for k in range(3)]


def stiffness(mesh: Mesh) -> Any:
    """The matrix of ∫ ∇u·∇v of linear elements, from lengths alone; sparse ``(m, m)``.

    Source: Pinkall & Polthier 1993, Exp. Math. 2, equation 8: half the cotangents of the angles
    opposite to an edge.

    Args:
        mesh: Of triangles, in the plane or in space.
    """
    assert mesh.cells is not None
    values = np.zeros((len(mesh.cells), 3, 3))
    for k, (one, other) in enumerate(_sides(mesh)):
        i, j = (k + 1) % 3, (k + 2) % 3
        half = 0.5 * np.sum(one * other, 1) / _twice_area(one, other)
        for a, b in ((i, j), (j, i)):
            values[:, a, b] -= half
            values[:, a, a] += half
    return _entries(mesh.cells, values, len(mesh.points))


def mass(mesh: Mesh) -> Any:
    """The matrix of ∫ u v of linear elements; sparse ``(m, m)``.

    Args:
        mesh: Of triangles, in the plane or in space.
    """
    assert mesh.cells is not None
    area = 0.5 * _twice_area(*_sides(mesh)[0])
    values = area[:, None, None] / 12 * (np.ones((3, 3)) + np.eye(3))
    return _entries(mesh.cells, values, len(mesh.points))


def mean_values(mesh: Mesh) -> Any:
    """How a point is a mean of its neighbours: positive weights, sparse ``(m, m)``.

    Source: Floater 2003, doi:10.1016/S0167-8396(03)00002-5, equation 2.1.

    Args:
        mesh: Of triangles, in the plane or in space.
    """
    assert mesh.cells is not None
    values = np.zeros((len(mesh.cells), 3, 3))
    for k, (one, other) in enumerate(_sides(mesh)):
        lengths = [np.linalg.norm(side, axis=1) for side in (one, other)]
        product = lengths[0] * lengths[1]
        # tan(α / 2) = sin α / (1 + cos α)
        tangent = _twice_area(one, other) / (product + np.sum(one * other, 1))
        for step, length in zip((1, 2), lengths, strict=True):
            values[:, k, (k + step) % 3] += tangent / length
    return _entries(mesh.cells, values, len(mesh.points))


def interpolation(mesh: Mesh, at: Float[np.ndarray, "q 2"]) -> Any:
    """From values at the points of a mesh of the plane to those at other places: linear in each
    triangle, and outside of them all those of the nearest one's edge; sparse ``(q, m)``.
    """
    from scipy.sparse import csr_array
    from scipy.spatial import KDTree

    assert mesh.cells is not None
    tree: Any = KDTree(mesh.points[mesh.cells].mean(1))
    cell, shares = np.zeros(len(at), np.int64), np.full((len(at), 3), -np.inf)
    for candidates in _CANDIDATES:
        left = np.flatnonzero(shares.min(1) < _OUTSIDE)
        if not len(left):
            break
        near = tree.query(at[left], list(range(1, min(candidates, len(mesh.cells)) + 1)))[1]
        found = _shares(mesh, near, at[left])
        best = np.argmax(found.min(2), axis=1)
        rows = np.arange(len(left))
        cell[left], shares[left] = near[rows, best], found[rows, best]
    shares = np.clip(shares, 0, None)
    shares /= shares.sum(1, keepdims=True)
    rows = np.repeat(np.arange(len(at)), 3)
    entries = (shares.ravel(), (rows, mesh.cells[cell].ravel()))
    return csr_array(entries, (len(at), len(mesh.points)))


def _shares(
    mesh: Mesh, cells: Int[np.ndarray, "q k"], at: Float[np.ndarray, "q 2"]
) -> Float[np.ndarray, "q k 3"]:
    """Barycentric coordinates of places in some triangles each; minus infinity in those without
    area.
    """
    assert mesh.cells is not None
    a, b, c = (mesh.points[mesh.cells[cells, k]] - at[:, None] for k in range(3))

    def cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    parts = np.stack([cross(b, c), cross(c, a), cross(a, b)], -1)
    whole = parts.sum(-1, keepdims=True)
    flat = np.abs(whole) < 1e-14 * np.max(np.abs(mesh.points)) ** 2
    return np.where(flat, -np.inf, parts / np.where(flat, 1.0, whole))


def quartered(mesh: Mesh) -> tuple[Mesh, Int[np.ndarray, "e 2"]]:
    """The mesh with every triangle divided into four, and the edges whose middles are the new
    points, in their order.
    """
    assert mesh.cells is not None
    ends = np.sort(_directed(mesh.cells), axis=1)
    edges, number = np.unique(ends, axis=0, return_inverse=True)
    middle = len(mesh.points) + number.reshape(3, -1).T
    a, b, c = mesh.cells.T
    ab, bc, ca = middle.T
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    cells = np.concatenate([np.stack(part, 1) for part in parts])
    return Mesh(np.concatenate([mesh.points, mesh.points[edges].mean(1)]), cells), edges
