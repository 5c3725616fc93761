"""Smooth functions that vanish on the boundary of a shape, negative inside, of JAX arrays.

What several shapes enclose follows from the level sets of each by R-functions, which are smooth
except where two boundaries meet (Rvachev 1982; Shapiro 2007, Acta Numerica 16, 239).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

Level = Float[Array, ""]


def meet(first: Level, second: Level) -> Level:
    """The level set of what two shapes have in common."""
    return first + second + _length(first, second)


def join(first: Level, second: Level) -> Level:
    """The level set of two shapes together."""
    return first + second - _length(first, second)


def between(x: Level, low: float, high: float) -> Level:
    """The level set of an interval, of slope 1 at its ends."""
    return (x - low) * (x - high) / (high - low)


def _length(first: Level, second: Level) -> Level:
    square = first**2 + second**2
    # A root has no derivative at zero, where two boundaries meet.
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
