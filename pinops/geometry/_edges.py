"""Distances from edges in the plane, and what is between those of closed polygons.

Edges are taken one at a time: memory for q places, not for q times the number of edges.
"""

import numpy as np
from jaxtyping import Float, Int


def nearest_on_edges(
    starts: Float[np.ndarray, "e 2"], ends: Float[np.ndarray, "e 2"], at: Float[np.ndarray, "q 2"]
) -> tuple[Float[np.ndarray, " q"], Int[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """Of the nearest point on any edge: the squared distance, the number of the edge, and the share
    of the edge before it, from 0 to 1.

    Args:
        starts: The first end of each edge.
        ends: The second end of each edge.
        at: The points.

    Returns:
        For each point the squared distance, the number of the edge, and the share.
    """
    x, y = at.T
    squared, number = np.full(len(at), np.inf), np.zeros(len(at), np.int64)
    share = np.zeros(len(at))
    for edge, ((ax, ay), (bx, by)) in enumerate(zip(starts, ends, strict=True)):
        ex, ey, px, py = bx - ax, by - ay, x - ax, y - ay
        along = np.clip((px * ex + py * ey) / (ex**2 + ey**2), 0.0, 1.0)
        here = (px - along * ex) ** 2 + (py - along * ey) ** 2
        closer = here < squared
        squared[closer], number[closer], share[closer] = here[closer], edge, along[closer]
    return squared, number, share


def between_edges(
    starts: Float[np.ndarray, "e 2"], ends: Float[np.ndarray, "e 2"], at: Float[np.ndarray, "q 2"]
) -> np.ndarray:
    """Even-odd rule: whether a ray towards +x crosses the edges an odd number of times."""
    x, y = at.T
    inside = np.zeros(len(at), bool)
    for (ax, ay), (bx, by) in zip(starts, ends, strict=True):
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x - ax < (bx - ax) * ((y - ay) / (by - ay)))
    return inside
