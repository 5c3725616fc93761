"""Periodic functions known by their Fourier coefficients."""

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
    """``sum_k a_k cos(k z) + b_k sin(k z)`` with z = 2 pi (x - low) / (high - low).

    Args:
        coefficients: ``(2, k)``, rows a and b for the wave numbers 1, 2, ..., k.
        x: a point.
        interval: one period (low, high).
    """
    low, high = interval
    numbers = jnp.arange(1, coefficients.shape[1] + 1, dtype=x.dtype)
    angles = 2 * jnp.pi * (x - low) / (high - low) * numbers
    # One product with all coefficients: many functions at the same points share their waves.
    return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)]) @ jnp.concatenate(list(coefficients))


class PeriodicGaussianField(eqx.Module):
    """A periodic Gaussian process of mean 0 with independent normal Fourier coefficients.

    Args:
        amplitudes: ``(k,)``, the standard deviations of both coefficients of the wave numbers
            1, 2, ..., k.
    """

    amplitudes: Float[np.ndarray, " k"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "2 k"]:
        """Coefficients ``(2, k)`` for `fourier_series`."""
        amplitudes = jnp.asarray(self.amplitudes, jnp.result_type(float))
        return amplitudes[None] * jax.random.normal(key, (2, len(self.amplitudes)))


class BoundedSeries(eqx.Module):
    """Random periodic functions of mean 0 that stay between -1 and 1.

    The coefficients of the wave number k are normal with standard deviation 1/k; all are divided by
    the sum of the amplitudes of all wave numbers, which the function cannot exceed.

    Args:
        modes: the number of wave numbers.
    """

    modes: int = eqx.field(static=True)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "2 k"]:
        """Coefficients ``(2, modes)`` for `fourier_series`."""
        numbers = jnp.arange(1, self.modes + 1, dtype=jnp.result_type(float))
        drawn = jax.random.normal(key, (2, self.modes)) / numbers[None]
        return drawn / jnp.sum(jnp.sqrt(jnp.sum(drawn**2, 0)))
