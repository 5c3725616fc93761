"""Triangles of a plane region whose boundary is given by closed polygons."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ._edges import between_edges, nearest_on_edges
from ._mesh import Mesh

_ROUNDS = 6  # of smoothing, after which triangles of random shapes change by less than a percent
_CLEARANCE = 0.6  # of the distance of points: how far inner points keep from the boundary


def triangulated(
    outlines: Sequence[Float[np.ndarray, "v 2"]], size: float, *, seed: int = 0
) -> Mesh:
    """A mesh of triangles of about one size, of the region between closed polygons.

    Points on the outlines are evenly spaced, with their vertices among them where these turn by
    more than a sixth of a right angle; inner points begin as a lattice of equilateral triangles and
    move to the mean of their neighbours. The triangulation is Delaunay's.

    Args:
        outlines: The boundary: ``(v, 2)`` vertices of each closed polygon, of the outer one and of
            holes. They do not meet.
        size: The distance of neighbouring points, > 0.
        seed: Of the place of the lattice.

    Raises:
        ValueError: Where the triangles do not fill the region, since ``size`` is too large for it.
    """
    edge = [_evenly_spaced(np.asarray(outline, np.float64), size) for outline in outlines]
    fixed = np.concatenate(edge)
    rng = np.random.default_rng(seed)
    inner = _lattice(fixed, size, rng)
    inner = inner[_depth(edge, inner) > _CLEARANCE * size]
    points = np.concatenate([fixed, inner])
    for _ in range(_ROUNDS - 1):
        points = _smoothed(edge, points, _delaunay(edge, points, size), size)
    return _checked(edge, points, _delaunay(edge, points, size), size)


def _evenly_spaced(outline: np.ndarray, size: float) -> Float[np.ndarray, "n 2"]:
    """Points on a closed polygon, evenly spaced between its corners."""
    before, after = outline - np.roll(outline, 1, 0), np.roll(outline, -1, 0) - outline
    turn = np.abs(
        np.arctan2(
            before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], np.sum(before * after, 1)
        )
    )
    corners = np.flatnonzero(turn > math.pi / 12)
    corners = corners if len(corners) else np.array([0])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(after, axis=1))])
    closed = np.concatenate([outline, outline[:1]])
    stops = np.concatenate([along[corners], [along[corners[0]] + along[-1]]])
    places = []
    for a, b in zip(stops[:-1], stops[1:], strict=True):
        count = max(1 if len(corners) > 2 else 3, round((b - a) / size))
        places.append(a + (b - a) * np.arange(count) / count)
    at = np.concatenate(places) % along[-1]
    return np.stack([np.interp(at, along, closed[:, k]) for k in (0, 1)], 1)


def _lattice(fixed: np.ndarray, size: float, rng: np.random.Generator) -> Float[np.ndarray, "n 2"]:
    """Equilateral triangles over the bounds of some points, moved by a random part of a side."""
    low, high = fixed.min(0) - size, fixed.max(0) + size
    step = np.array([size, size * math.sqrt(3) / 2])
    columns, rows = np.ceil((high - low) / step).astype(int) + 1
    x, y = np.meshgrid(np.arange(columns), np.arange(rows), indexing="ij")
    return (
        low
        - rng.uniform(size=2) * step
        + np.stack([x + 0.5 * (y % 2), y], -1).reshape(-1, 2) * step
    )


def _depth(outlines: Sequence[np.ndarray], at: np.ndarray) -> Float[np.ndarray, " q"]:
    """The distance from the outlines, negative outside of the region."""
    starts = np.concatenate(list(outlines))
    ends = np.concatenate([np.roll(outline, -1, 0) for outline in outlines])
    squared, _, _ = nearest_on_edges(starts, ends, at)
    return np.where(between_edges(starts, ends, at), 1.0, -1.0) * np.sqrt(squared)


def _delaunay(outlines: Sequence[np.ndarray], points: np.ndarray, size: float) -> np.ndarray:
    """The triangles of Delaunay's triangulation that are inside."""
    from scipy.spatial import Delaunay

    cells = Delaunay(points).simplices
    # Three points of a straight side make a triangle without area, on the outline up to rounding.
    return cells[_depth(outlines, points[cells].mean(1)) > 1e-3 * size]


def _smoothed(
    outlines: Sequence[np.ndarray], points: np.ndarray, cells: np.ndarray, size: float
) -> np.ndarray:
    """Inner points at the mean of their neighbours, but for those that came too near."""
    edges = Mesh(points, cells).edges
    total, count = np.zeros_like(points), np.zeros(len(points))
    for here, there in (edges.T, edges.T[::-1]):
        np.add.at(total, here, points[there])
        np.add.at(count, here, 1.0)
    fixed = sum(map(len, outlines))
    inner = total[fixed:] / np.maximum(count[fixed:, None], 1)
    inner = inner[(count[fixed:] > 0) & (_depth(outlines, inner) > _CLEARANCE * size)]
    return np.concatenate([points[:fixed], inner])


def _checked(
    outlines: Sequence[np.ndarray], points: np.ndarray, cells: np.ndarray, size: float
) -> Mesh:
    """The mesh, counter-clockwise. Raises ValueError where it does not fill its outlines."""
    a, b, c = (points[cells[:, k]] for k in range(3))
    twice = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    areas = [
        abs(np.sum(o[:, 0] * np.roll(o[:, 1], -1) - o[:, 1] * np.roll(o[:, 0], -1)))
        for o in outlines
    ]
    wanted = 2 * max(areas) - sum(areas)
    used = np.zeros(len(points), bool)
    used[cells] = True
    if not used.all() or abs(np.abs(twice).sum() - wanted) > 1e-9 * wanted:
        raise ValueError(
            f"triangulated: triangles of the size {size:.3g} do not fill this region; make them "
            "smaller"
        )
    return Mesh(points, np.where((twice > 0)[:, None], cells, cells[:, ::-1]))
