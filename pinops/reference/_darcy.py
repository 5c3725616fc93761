"""Flow through a porous medium in a plane domain, by finite differences cut at its boundary."""

from collections.abc import Callable

import numpy as np

from ._reference import Reference, relative_difference


def darcy(
    log_permeability: Callable[[np.ndarray, np.ndarray], np.ndarray],
    level: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    nodes: int = 33,
    refine: int = 2,
) -> Reference:
    """-∇·(exp(z) ∇u) = 1 where level > 0 in the unit square, u = 0 where level = 0.

    Five-point differences of the fluxes. A neighbour outside the domain is replaced by the
    boundary point in between, at its own distance (Shortley & Weller 1938): second order, also
    on curved and oblique boundaries.

    Args:
        log_permeability: z, a vectorised function of x and y.
        level: a vectorised function of x and y, continuous, and not positive outside the square.
        nodes: >= 5, the grid points of the result along each axis.
        refine: >= 2, the refinement of the computation: (nodes - 1) `refine` intervals. The error
            bar is the distance to the solution with half of these.

    Returns:
        `u` on `x (nodes, 1)` and `y (1, nodes)`, NaN where level < 0.
    """
    intervals = (nodes - 1) * refine
    u, coarser = (_solve(log_permeability, level, n) for n in (intervals, intervals // 2))
    grid = np.linspace(0, 1, nodes)
    return Reference(
        coordinates={"x": grid[:, None], "y": grid[None, :]},
        values={"u": u[::refine, ::refine]},
        error_bar={"u": relative_difference(coarser, u[::2, ::2])},
        kind="finite differences",
        source=f"five-point differences, Shortley-Weller at the boundary, {intervals} intervals",
    )


def _solve(log_permeability: Callable, level: Callable, intervals: int) -> np.ndarray:
    """u at the grid points of a square with `intervals` along each side, NaN outside the domain."""
    from scipy.sparse import csc_matrix
    from scipy.sparse.linalg import spsolve

    h = 1 / intervals
    x, y = np.meshgrid(*[np.linspace(0, 1, intervals + 1)] * 2, indexing="ij")
    height = level(x, y)
    inside = height > 1e-12
    number = np.cumsum(inside).reshape(inside.shape) - 1
    i, j = np.nonzero(inside)
    x, y, row = x[inside], y[inside], np.arange(len(i))
    diagonal, entries = np.zeros(len(i)), []
    # Along each axis the two fluxes act at different distances where the boundary is near, which
    # keeps the difference of second order there.
    for di, dj in ((1, 0), (0, 1)):
        reach, flux = [], []
        for sign in (1, -1):
            a, b = i + sign * di, j + sign * dj
            there = inside[a, b]
            cut = h * _share_inside(level, x, y, sign * di * h, sign * dj * h)
            length = np.where(there, h, cut)
            half = length / 2
            # The permeability between the node and its neighbour, or the boundary.
            z = log_permeability(
                np.clip(x + sign * di * half, 0, 1), np.clip(y + sign * dj * half, 0, 1)
            )
            reach.append(length)
            flux.append((np.exp(z) / length, there, number[a, b]))
        for conductance, there, neighbour in flux:
            weight = 2 * conductance / (reach[0] + reach[1])
            diagonal += weight
            entries.append((row[there], neighbour[there], -weight[there]))
    entries.append((row, row, diagonal))
    rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    u = np.where(height < -1e-12, np.nan, 0.0)
    u[inside] = spsolve(csc_matrix((values, (rows, columns)), (len(i), len(i))), np.ones(len(i)))
    return u


def _share_inside(
    level: Callable, x: np.ndarray, y: np.ndarray, dx: float, dy: float
) -> np.ndarray:
    """The share of the segments from points inside by (dx, dy) that is inside, by bisection."""
    low, high = np.zeros(x.shape), np.ones(x.shape)
    for _ in range(45):
        middle = (low + high) / 2
        within = level(x + middle * dx, y + middle * dy) > 0
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return np.maximum(low, 1e-9)
