"""Functions that are known by their values on an equally spaced grid."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def interpolate(values: Float[Array, " m"], x: Float[Array, ""], interval: tuple[float, float]) -> Float[Array, ""]:
    """The cubic polynomial through the four nearest of m >= 4 values on equally spaced nodes, both ends of the interval included.

    Exact at the nodes and for cubic polynomials; the error is O(spacing^4). The derivative jumps at the nodes.

    **Raises** ValueError for fewer than four values.
    """
    if values.ndim != 1 or values.shape[0] < 4:
        raise ValueError(f"interpolate: it needs at least four values in one dimension, got an array of shape {values.shape}")
    low, high = interval
    position = (x - low) / (high - low) * (values.shape[0] - 1)
    first = jnp.clip(jnp.floor(position).astype(jnp.int32) - 1, 0, values.shape[0] - 4)
    s = position - first
    # Lagrange's polynomials of the nodes 0, 1, 2, 3.
    weights = jnp.stack(
        [
            -(s - 1) * (s - 2) * (s - 3) / 6,
            s * (s - 2) * (s - 3) / 2,
            -s * (s - 1) * (s - 3) / 2,
            s * (s - 1) * (s - 2) / 6,
        ]
    )
    return weights @ values[first + jnp.arange(4)]
