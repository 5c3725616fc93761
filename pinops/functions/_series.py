"""Periodic functions that are known by their Fourier coefficients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


def fourier_series(
    coefficients: Float[Array | np.ndarray, "2 k"],
    x: Float[Array, ""],
    interval: tuple[float, float],
) -> Float[Array, ""]:
    """``sum of a_k cos(k z) + b_k sin(k z)`` over k = 1, 2, ..., with z = 2 pi (x - low) / (high - low); rows a and b."""
    low, high = interval
    angles = (
        2
        * jnp.pi
        * (x - low)
        / (high - low)
        * jnp.arange(1, coefficients.shape[1] + 1, dtype=x.dtype)
    )
    # One product with all coefficients: for many functions at the same points the waves are computed once.
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)]) @ jnp.concatenate(list(coefficients))


class PeriodicGaussianField(eqx.Module):
    """A periodic Gaussian process of mean 0: independent normal Fourier coefficients with given standard deviations.

    **Arguments:** ``amplitudes``: ``(k,)``, the standard deviations of both coefficients of the wave numbers 1, 2, ..., k.
    """

    amplitudes: Float[np.ndarray, " k"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "2 k"]:
        """Coefficients for `fourier_series`."""
        return jnp.asarray(self.amplitudes, jnp.result_type(float))[None] * jax.random.normal(
            key, (2, len(self.amplitudes))
        )
