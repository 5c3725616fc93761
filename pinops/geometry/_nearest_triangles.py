"""Distances from triangles in space: a tree of boxes finds the few that can be the nearest."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

_CHUNK = 512  # places at a time, so that memory is bounded
_BITS = 20  # of each coordinate in the order along the Z curve


class Sheet(NamedTuple):
    """A closed surface of triangles, and what distances from it need.

    Args:
        corners: Of each triangle.
        normals: Outward unit normals of the triangles.
        areas: Of the triangles.
        reach: How far the corners of a triangle are from its middle.
        neighbours: Pairs of triangles with a common edge.
        at_edges: Normals at the edges opposite to each corner: the sum of those of both triangles.
        at_corners: Normals at the corners: the sum over triangles, weighted by their angle.
        order: The triangles along the Z curve; each is a leaf of the tree.
        boxes: Lower and upper ends of the boxes of each level of the tree, the root first; a box
            has two below it.
        nearby: Finds the nearest of all corners and middles.
    """

    corners: Float[np.ndarray, "k 3 3"]
    normals: Float[np.ndarray, "k 3"]
    areas: Float[np.ndarray, " k"]
    reach: Float[np.ndarray, " k"]
    neighbours: Int[np.ndarray, "e 2"]
    at_edges: Float[np.ndarray, "k 3 3"]
    at_corners: Float[np.ndarray, "k 3 3"]
    order: Int[np.ndarray, " k"]
    boxes: list[tuple[np.ndarray, np.ndarray]]
    nearby: Any


def sheet_of(points: Float[np.ndarray, "m 3"], cells: Int[np.ndarray, "k 3"]) -> Sheet:
    """Everything that distances need, once for a surface."""
    from scipy.spatial import KDTree

    corners = points[cells]
    a, b, c = np.moveaxis(corners, 1, 0)
    cross = np.cross(b - a, c - a)
    twice = np.linalg.norm(cross, axis=1)
    normals = cross / np.maximum(twice, np.finfo(float).tiny)[:, None]
    order = _along_z_curve(corners.mean(1))
    # The edge opposite to corner k, of triangles one after the other.
    edges = np.sort(np.stack([np.roll(cells, -1, 1), np.roll(cells, -2, 1)], -1), -1)
    code = (edges @ [len(points), 1]).ravel()
    triangle = np.repeat(np.arange(len(cells)), 3)
    _, number = np.unique(code, return_inverse=True)
    at_edges = np.zeros((number.max() + 1, 3))
    np.add.at(at_edges, number, normals[triangle])
    turns = np.argsort(number, kind="stable")
    same = number[turns][1:] == number[turns][:-1]
    neighbours = np.stack([triangle[turns[:-1]], triangle[turns[1:]]], 1)[same]
    one, other = np.roll(corners, -1, 1) - corners, np.roll(corners, -2, 1) - corners
    angles = np.arctan2(twice[:, None], np.sum(one * other, -1))
    at_corners = np.zeros_like(points)
    np.add.at(at_corners, cells.ravel(), angles.reshape(-1, 1) * normals[triangle])
    return Sheet(
        corners=corners,
        normals=normals,
        areas=twice / 2,
        reach=np.linalg.norm(corners - corners.mean(1, keepdims=True), axis=2).max(1),
        neighbours=neighbours,
        at_edges=at_edges[number].reshape(-1, 3, 3),
        at_corners=at_corners[cells],
        order=order,
        boxes=_boxes(corners[order]),
        nearby=KDTree(np.concatenate([points, corners.mean(1)])),
    )


def _along_z_curve(points: Float[np.ndarray, "k 3"]) -> Int[np.ndarray, " k"]:
    """The order in which bits of all coordinates take turns: neighbours stay close together."""
    low = points.min(0)
    size = max(float(np.ptp(points, axis=0).max()), np.finfo(float).tiny)
    whole = ((points - low) / size * (2**_BITS - 1)).astype(np.int64)
    code = np.zeros(len(points), np.int64)
    for bit in range(_BITS):
        for axis in range(3):
            code |= ((whole[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable")


def _boxes(corners: Float[np.ndarray, "k 3 3"]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes of pairs, pairs of pairs, ...; those of the missing ones are infinitely far away."""
    padding = 2 ** max(len(corners) - 1, 0).bit_length() - len(corners)
    low = np.pad(corners.min(1), ((0, padding), (0, 0)), constant_values=np.inf)
    high = np.pad(corners.max(1), ((0, padding), (0, 0)), constant_values=-np.inf)
    levels = [(low, high)]
    while len(low) > 1:
        low, high = low.reshape(-1, 2, 3).min(1), high.reshape(-1, 2, 3).max(1)
        levels.append((low, high))
    return levels[::-1]


def signed_distances(sheet: Sheet, at: Float[np.ndarray, "q 3"]) -> Float[np.ndarray, " q"]:
    """The distance of places from a surface, negative inside."""
    chunks = [at[k : k + _CHUNK] for k in range(0, len(at), _CHUNK)]
    return np.concatenate([np.zeros(0), *(_signed(sheet, chunk) for chunk in chunks)])


def _signed(sheet: Sheet, at: np.ndarray) -> np.ndarray:
    place, triangle = _candidates(sheet, at)
    shares = _nearest_shares(sheet.corners[triangle], at[place])
    away = at[place] - np.einsum("mc,mcd->md", shares, sheet.corners[triangle])
    squared = np.sum(away**2, 1)
    order = np.lexsort((squared, place))
    best = order[np.searchsorted(place[order], np.arange(len(at)))]
    normals = _normals_at(sheet, triangle[best], shares[best])
    outside = np.sum(away[best] * normals, 1) > 0
    return np.where(outside, 1.0, -1.0) * np.sqrt(squared[best])


def _candidates(sheet: Sheet, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of a place and a triangle that can be its nearest: its box is no farther than the
    nearest of the corners and middles.
    """
    limit = sheet.nearby.query(at)[0] ** 2 * (1 + 1e-12)
    place, box = np.arange(len(at)), np.zeros(len(at), np.int64)
    for low, high in sheet.boxes[1:]:
        place, box = np.repeat(place, 2), (2 * box[:, None] + [0, 1]).ravel()
        excess = np.maximum(np.maximum(low[box] - at[place], at[place] - high[box]), 0.0)
        near = np.sum(excess**2, 1) <= limit[place]
        place, box = place[near], box[near]
    triangle = sheet.order[box]
    # The box of an inclined triangle is thick; its plane, and a circle in it, tell more.
    arm = at[place] - sheet.corners[triangle].mean(1)
    above = np.sum(arm * sheet.normals[triangle], 1)
    beside = np.linalg.norm(arm - above[:, None] * sheet.normals[triangle], axis=1)
    least = above**2 + np.maximum(beside - sheet.reach[triangle], 0.0) ** 2
    near = least <= limit[place]
    return place[near], triangle[near]


def _nearest_shares(
    corners: Float[np.ndarray, "m 3 3"], at: Float[np.ndarray, "m 3"]
) -> Float[np.ndarray, "m 3"]:
    """Barycentric coordinates of the point of each triangle that is nearest to its place; zeros
    are exact.
    """
    best, shares = np.full(len(at), np.inf), np.zeros((len(at), 3))
    for k in range(3):  # the edge opposite to corner k
        i, j = (k + 1) % 3, (k + 2) % 3
        start, along = corners[:, i], corners[:, j] - corners[:, i]
        length = np.maximum(np.sum(along**2, 1), np.finfo(float).tiny)
        t = np.clip(np.sum((at - start) * along, 1) / length, 0.0, 1.0)
        squared = np.sum((start + t[:, None] * along - at) ** 2, 1)
        closer = squared < best
        best = np.where(closer, squared, best)
        here = np.zeros_like(shares)
        here[:, i], here[:, j] = 1 - t, t
        shares = np.where(closer[:, None], here, shares)
    a, b, c = np.moveaxis(corners, 1, 0)
    normal = np.cross(b - a, c - a)
    square = np.sum(normal**2, 1)
    arm = at - a
    beta = np.sum(np.cross(arm, c - a) * normal, 1)
    gamma = np.sum(np.cross(b - a, arm) * normal, 1)
    within = (beta > 0) & (gamma > 0) & (beta + gamma < square)
    flat = np.stack([square - beta - gamma, beta, gamma], 1) / np.where(within, square, 1)[:, None]
    return np.where(within[:, None], flat, shares)


def _normals_at(sheet: Sheet, triangle: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Inside of a triangle its own normal, at its edges and corners the mean of all there."""
    zero = shares == 0
    on_edge = np.sum(zero, 1) == 1
    edges = sheet.at_edges[triangle, np.argmax(zero, 1)]
    corners = sheet.at_corners[triangle, np.argmax(shares, 1)]
    inner = np.where(on_edge[:, None], edges, sheet.normals[triangle])
    return np.where((np.sum(zero, 1) == 2)[:, None], corners, inner)
