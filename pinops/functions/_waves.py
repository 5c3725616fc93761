"""Sums of a few sine waves with random amplitudes, phases and wave numbers, now and then folded or cut off."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

MODES = 4
WINDOW_WIDTH = 0.01


def waves(coefficients: Float[Any, "4 4"], x: Float[Any, "*points"]) -> Float[Any, "*points"]:
    """``sign * window(x) * v(x)``, of period 1, where ``v = sum of A_j sin(2 pi k_j x + phi_j)`` or its absolute value.

    Rows of the coefficients: amplitudes A; phases phi; wave numbers k, which are whole; and four settings: greater than zero for
    the absolute value; the sign; the edges l and r of the window, which is 1 within [l, r] and 0 outside, with steps like tanh of
    width 0.01; there is none if l = r. NumPy arrays give a NumPy array, JAX arrays a JAX array, in the precision of x.
    """
    xp = x.__array_namespace__()
    amplitudes, phases, numbers, (folded, sign, left, right) = xp.asarray(
        coefficients, dtype=x.dtype
    )
    x = x - xp.floor(x)
    v = sum(amplitudes[j] * xp.sin(2 * xp.pi * numbers[j] * x + phases[j]) for j in range(MODES))
    step = lambda edge: xp.tanh((x - edge) / WINDOW_WIDTH)
    # With the images of both neighbouring periods the tails of the steps agree at 0 and 1.
    window = sum(step(left + shift) - step(right + shift) for shift in (-1, 0, 1)) / 2
    return (
        sign * xp.where(folded > 0, xp.abs(v), v) * xp.where(right > left, window, xp.ones_like(x))
    )


class RandomWaves(eqx.Module):
    """The random initial values of PDEBench (Takamoto et al., NeurIPS 2022) for equations in one dimension.

    Two of the wave numbers 1 to 4 are drawn, with replacement: one that is drawn twice is doubled, and those that are not drawn
    are 0, so that their waves are constants. Amplitudes are uniform on (0, 1), phases on (0, 2 pi); the absolute value is taken
    with probability 0.1; the sign is random; and with probability 0.1 there is a window, from U(0.1, 0.45) to U(0.55, 0.9).

    The source divides by the distance of the first and the last cell centre, not by the period: its waves are not periodic.
    """

    def sample(self, key: PRNGKeyArray) -> Float[Array, "4 4"]:
        """Coefficients for `waves`."""
        uniform = jax.random.uniform(
            key, (15,)
        )  # one draw for all: it compiles in a fraction of the time
        amplitudes, phases, drawn, (folded, sign, cut, left, right) = jnp.split(uniform, (4, 8, 10))
        numbers = jnp.arange(1, MODES + 1)
        times = jnp.sum(1 + jnp.floor(MODES * drawn)[:, None] == numbers[None], axis=0)
        edges = jnp.where(cut < 0.1, jnp.stack([0.1 + 0.35 * left, 0.55 + 0.35 * right]), 0.0)
        settings = jnp.stack(
            [jnp.where(folded < 0.1, 1.0, 0.0), jnp.where(sign < 0.5, -1.0, 1.0), *edges]
        )
        return jnp.stack(
            [amplitudes, 2 * jnp.pi * phases, (numbers * times).astype(uniform.dtype), settings]
        )


def plane_waves(
    coefficients: Float[Any, "4 n"], x: Float[Any, "*points"], y: Float[Any, "*points"]
) -> Float[Any, "*points"]:
    """``sum of A_j sin(2 pi (k_j x + m_j y) + phi_j)``, of period 1 in x and in y where wave numbers are whole.

    Rows of the coefficients: amplitudes A; phases phi; wave numbers k and m. NumPy arrays give a NumPy array, JAX arrays a JAX
    array, in the precision of x and y, which may be broadcast.
    """
    xp = x.__array_namespace__()
    x, y = (array[..., None] for array in xp.broadcast_arrays(x, y))
    amplitudes, phases, k, m = (
        row.reshape((1,) * (x.ndim - 1) + (-1,)) for row in xp.asarray(coefficients, dtype=x.dtype)
    )
    return xp.sum(amplitudes * xp.sin(2 * xp.pi * (k * x + m * y) + phases), axis=-1)


class RandomPlaneWaves(eqx.Module):
    """Random functions of two periodic coordinates, after PDEBench's of one (Takamoto et al., NeurIPS 2022), and smooth.

    A constant and two plane waves, whose wave vectors are drawn from the 24 with whole components from -2 to 2 but not both zero.
    Amplitudes are uniform on (0, 1), phases, that of the constant too, on (0, 2 pi).
    """

    def sample(self, key: PRNGKeyArray) -> Float[Array, "4 3"]:
        """Coefficients for `plane_waves`."""
        amplitudes, phases, drawn = jnp.split(jax.random.uniform(key, (8,)), (3, 6))
        number = jnp.floor(24 * drawn)
        number = jnp.where(number < 12, number, number + 1)  # 12 is the zero vector
        vectors = jnp.stack([jnp.floor(number / 5), number % 5]) - 2
        return jnp.stack([amplitudes, 2 * jnp.pi * phases, *jnp.pad(vectors, ((0, 0), (1, 0)))])
