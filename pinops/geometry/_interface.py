"""Points where a shape ends inside of a domain."""

import functools

import numpy as np

from ._box import Box
from ._domain import Cube, Domain, first_accepted, sobol

_LOOKED_AT = 64  # points of each face
_INSIDE = 1e-9  # of the longest side of the domain: nearer to its boundary nothing is inside


def sample_interface(
    domain: Domain, shape: Domain, cube: Cube, n: int, *, owner: str
) -> tuple[np.ndarray, np.ndarray]:
    """Points on the boundary of a shape that lie inside of a domain, uniform in measure.

    Args:
        domain: Whose coordinates the points have.
        shape: In some of the spatial coordinates; it extends along the others, and over all times.
        cube: Points of the unit cube.
        n: How many points.
        owner: Whose shape it is, the beginning of every sentence.

    Returns:
        The points (n, d), and the unit normals (n, space) that point out of the shape.

    Raises:
        ValueError: Where the shape has no boundary inside, and where two parts of it share a wall.
    """
    if _has_seam(shape):
        raise ValueError(
            f"{owner}: two of its parts touch along a wall; let them overlap, or give one shape"
        )
    others = {c: ends for c, ends in domain.bounds.items() if c not in shape.coordinates}
    whole = shape * Box(**others) if others else shape
    columns = [whole.coordinates.index(c) for c in domain.coordinates]
    in_space = [whole.space.index(c) for c in domain.space]
    longest = max(domain.bounds[c][1] - domain.bounds[c][0] for c in domain.space)

    def propose(m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        points, normals = whole.sample_boundary(shape.parts, cube, m)
        points = points[:, columns]
        inside = domain.signed_distance(points) < -_INSIDE * longest
        return points, normals[:, in_space], inside

    empty = f"{owner}: its boundary has no piece inside of the domain; move it, or leave it out"
    points, normals = first_accepted(propose, n, empty)
    return points, normals


@functools.cache
def _has_seam(shape: Domain) -> bool:
    """Whether some wall of a part has the shape on both sides: the level set vanishes there."""
    step = _INSIDE * max(high - low for low, high in shape.bounds.values())
    for face in shape._faces():
        points, normals, keep = face.draw(sobol(_LOOKED_AT, face.width))
        points, normals = points[~keep], normals[~keep]
        if len(points):
            sides = [points - step * normals, points + step * normals]
            within = np.all([shape.signed_distance(side) < 0 for side in sides], axis=0)
            if np.any(within & (shape.signed_distance(points) >= -step / 2)):
                return True
    return False
