"""Smooth functions that vanish on the boundary of a shape, negative inside, of JAX arrays.

What several shapes enclose follows from the level sets of each by R-functions, which are smooth
except where two boundaries meet (Rvachev 1982; Shapiro 2007, Acta Numerica 16, 239).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Level = Float[Array, ""]
Ends = tuple[tuple[float, float], tuple[float, float]]


class Wall(NamedTuple):
    """A smooth function that vanishes on a boundary part, and perhaps beyond it.

    Attributes:
        name: Of the part; a part may have several walls.
        level: A function ``(space,) -> ()`` of JAX arrays; near the part it is about the distance
            or its opposite.
        ends: Of a straight wall in the plane; None for others.
    """

    name: str
    level: Callable[[Float[Array, " space"]], Level]
    ends: Ends | None = None


def meet(first: Level, second: Level) -> Level:
    """The level set of what two shapes have in common."""
    return first + second + _length(first, second)


def join(first: Level, second: Level) -> Level:
    """The level set of two shapes together."""
    return first + second - _length(first, second)


def between(x: Level, low: float, high: float) -> Level:
    """The level set of an interval, of slope 1 at its ends."""
    return (x - low) * (x - high) / (high - low)


def distance(point: Float[Array, " space"], place: tuple[float, ...]) -> Level:
    """The distance from a place, where its derivatives are zero.

    Args:
        point: ``(space,)``.
        place: Its coordinates.
    """
    return _root(jnp.sum((point - np.array(place)) ** 2))


def stretch(point: Float[Array, "2"], ends: Ends, tips: tuple[bool, bool]) -> Level:
    """A function that vanishes on a segment, and on its line beyond ends that are no tips.

    With the distances r from a tip, and s along the segment, it is the root of the sum of
    ``(r - s) / 2`` over the tips. On the rest of the line its normal derivative is zero, and at a
    tip it behaves like a solution of Laplace's equation, the root of the distance. With two tips it
    is sinh(mu / 2), times a constant, of elliptic coordinates about them.

    Args:
        point: ``(2,)``, to the left of the segment.
        ends: Of the segment.
        tips: Which of the ends are tips, at least one.
    """
    first, last = np.array(ends)
    length = float(np.linalg.norm(last - first))
    along = (last - first) / length
    start = jnp.sum((point - first) * along)
    away = jnp.sum((point - first) * np.array([-along[1], along[0]]))
    beyond, beside = jnp.zeros_like(away), jnp.zeros_like(away)
    for before, tip in zip((start, length - start), tips, strict=True):
        if tip:
            r, ahead = _length(before, away), before > 0
            # r - s = d^2 / (r + s) with the distance d from the line, so that it vanishes like d.
            beside += jnp.where(ahead, 1 / jnp.where(ahead, r + before, 1.0), 0.0)
            beyond += jnp.where(ahead, 0.0, r - before)
    within = beyond == 0
    square = beyond + jnp.where(within, 0.0, away**2 * beside)
    # In the tip itself nothing is beside it.
    return jnp.where(within & (beside > 0), away * _root(beside / 2), _root(square / 2))


def _length(first: Level, second: Level) -> Level:
    return _root(first**2 + second**2)


def _root(square: Level) -> Level:
    """The root, whose derivatives at zero are zero: it has none where two boundaries meet."""
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
