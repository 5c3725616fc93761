"""Where straight walls of a shape in the plane meet, and at which angle.

    corners(Polygon([(0, 0), (1, 0), (0, 1)]))   # three
    corners(Box(x=(0, 2), y=(0, 2)) - Box(x=(1, 3), y=(1, 3)))  # six, one of them of 3 pi / 2

Walls are taken from the faces of the members of a shape, so that whatever was cut or moved counts.
"""

import math
from typing import NamedTuple

import numpy as np

from ._domain import Domain

_STEP = 1e-6  # of the size of the shape: how far from a corner "inside" is asked for
_SAME = 1e-9  # of the size of the shape


class Corner(NamedTuple):
    """The end of two walls.

    Attributes:
        at: Where they meet.
        opening: The angle between them inside of the domain.
        start: The direction of the first wall, from the first axis; the second is counter-clockwise
            of it.
        parts: The names of both walls.
    """

    at: tuple[float, float]
    opening: float
    start: float
    parts: tuple[str, str]


class _Wall(NamedTuple):
    name: str
    ends: np.ndarray  # (2, 2)


def corners(domain: Domain) -> list[Corner]:
    """The corners between straight walls of a shape in the plane, also where one wall ends and
    another goes on straight.

    Args:
        domain: A shape, also one times an interval of time.

    Returns:
        One corner for each pair of walls; none of shapes that have not two spatial coordinates.
    """
    shape = domain._without_time()
    if shape is None or len(shape.coordinates) != 2:
        return []
    size = max(high - low for low, high in shape.bounds.values())
    walls = _walls(shape, _SAME * size)
    places: list[np.ndarray] = []
    for place in _meetings(walls):
        if all(np.max(np.abs(place - other)) > _SAME * size for other in places):
            places.append(place)
    return [corner for place in places for corner in _around(shape, walls, place, size)]


def _walls(shape: Domain, same: float) -> list[_Wall]:
    """The straight faces."""
    out = []
    for face in shape._faces():
        points, normals, _ = face.draw(np.array([[0.0], [0.25], [0.5]]))
        straight = np.max(np.abs(points[0] + points[2] - 2 * points[1])) < same
        if straight and np.ptp(normals, 0).max() < _SAME:
            out.append(_Wall(face.name, np.stack([points[0], 2 * points[2] - points[0]])))
    return out


def _meetings(walls: list[_Wall]) -> list[np.ndarray]:
    """The ends of all walls, and where two of them cross."""
    out = [end for wall in walls for end in wall.ends]
    for k, wall in enumerate(walls):
        for other in walls[:k]:
            along = np.stack([wall.ends[1] - wall.ends[0], other.ends[0] - other.ends[1]], 1)
            if abs(np.linalg.det(along)) > _SAME * np.prod(np.linalg.norm(along, axis=0)):
                parts = np.linalg.solve(along, other.ends[0] - wall.ends[0])
                if np.all((parts > 0) & (parts < 1)):
                    out.append(wall.ends[0] + parts[0] * along[:, 0])
    return out


def _around(shape: Domain, walls: list[_Wall], place: np.ndarray, size: float) -> list[Corner]:
    """The parts of a small disk about a place that lie inside, as corners."""
    rays = _rays(walls, place, _SAME * size)
    if len(rays) < 2:
        return []
    step = _STEP * size
    turns = sorted(rays)
    gaps = [
        (b - a) % (2 * math.pi) or 2 * math.pi
        for a, b in zip(turns, turns[1:] + turns[:1], strict=True)
    ]

    def within(angle: float) -> bool:
        point = place + step * np.array([math.cos(angle), math.sin(angle)])
        return float(shape._distance(point[None])[0]) < -_SAME * size

    inside = [within(turn + gap / 2) for turn, gap in zip(turns, gaps, strict=True)]
    # A ray with the inside on both sides is not a wall, but a border between two members.
    wall = [not (inside[k - 1] and inside[k]) for k in range(len(turns))]
    out = []
    for k in range(len(turns)):
        if not (inside[k] and wall[k]):
            continue
        opening, last = gaps[k], (k + 1) % len(turns)
        while not wall[last]:
            opening, last = opening + gaps[last], (last + 1) % len(turns)
        parts = (rays[turns[k]], rays[turns[last]])
        if abs(opening - math.pi) > _SAME or parts[0] != parts[1]:
            out.append(Corner((float(place[0]), float(place[1])), opening, turns[k], parts))
    return out


def _rays(walls: list[_Wall], place: np.ndarray, same: float) -> dict[float, str]:
    """The directions, in (-pi, pi], in which walls leave a place, with their names."""
    out: dict[float, str] = {}
    for wall in walls:
        along = wall.ends[1] - wall.ends[0]
        part = np.clip(np.dot(place - wall.ends[0], along) / np.dot(along, along), 0, 1)
        if np.linalg.norm(wall.ends[0] + part * along - place) > same:
            continue
        for end in wall.ends:
            if np.linalg.norm(end - place) > same:
                turn = math.atan2(end[1] - place[1], end[0] - place[0])
                if all(abs(math.remainder(turn - other, 2 * math.pi)) > 1e-9 for other in out):
                    out[turn] = wall.name
    return out
