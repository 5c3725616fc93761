"""Functions known by their values on an equally spaced grid."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def interpolate(
    values: Float[Array, " m"], x: Float[Array, ""], interval: tuple[float, float]
) -> Float[Array, ""]:
    """The cubic polynomial through the four nearest of m values on equally spaced nodes.

    Exact at the nodes and for cubic polynomials; the error is O(spacing^4). The derivative jumps
    at the nodes.

    Args:
        values: ``(m,)``, m >= 4, at nodes that include both ends of the interval.
        x: a point of the interval.
        interval: its ends (low, high).

    Raises:
        ValueError: for fewer than four values.
    """
    _check(values, 1)
    nodes, weights = _nearest(values.shape[0], x, interval)
    return weights @ values[nodes]


def interpolate_plane(
    values: Float[Array, "m n"],
    at: Float[Array, "2"],
    intervals: tuple[tuple[float, float], tuple[float, float]],
) -> Float[Array, ""]:
    """`interpolate` along both axes of a grid.

    Args:
        values: ``(m, n)``, m nodes of the first coordinate and n of the second, at least four each.
        at: ``(2,)``, a point of the rectangle.
        intervals: the ends (low, high) of both axes.

    Raises:
        ValueError: for fewer than four values along an axis.
    """
    _check(values, 2)
    (i, u), (j, v) = (
        _nearest(size, x, interval)
        for size, x, interval in zip(values.shape, at, intervals, strict=True)
    )
    return u @ values[i[:, None], j[None]] @ v


def _check(values: Array, dimensions: int) -> None:
    if values.ndim != dimensions or min(values.shape) < 4:
        what = {1: "one dimension", 2: "each of two dimensions"}[dimensions]
        raise ValueError(
            f"interpolate: values must be at least four in {what}, got shape {values.shape}"
        )


def _nearest(
    count: int, x: Float[Array, ""], interval: tuple[float, float]
) -> tuple[Int[Array, "4"], Float[Array, "4"]]:
    """The four nearest of equally spaced nodes, and their Lagrange polynomials at x."""
    low, high = interval
    position = (x - low) / (high - low) * (count - 1)
    first = jnp.clip(jnp.floor(position).astype(jnp.int32) - 1, 0, count - 4)
    s = position - first
    weights = [
        -(s - 1) * (s - 2) * (s - 3) / 6,
        s * (s - 2) * (s - 3) / 2,
        -s * (s - 1) * (s - 3) / 2,
        s * (s - 1) * (s - 2) / 6,
    ]
    return first + jnp.arange(4), jnp.stack(weights)
