"""Random sums of a few sine waves, some of them folded or cut off by a window."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

MODES = 4
WINDOW_WIDTH = 0.01


def waves(coefficients: Float[Any, "4 4"], x: Float[Any, "*points"]) -> Float[Any, "*points"]:
    """``sign * window(x) * v(x)``, of period 1, where ``v = sum_j A_j sin(2 pi k_j x + phi_j)``.

    With the fold, v is replaced by its absolute value. NumPy arrays give a NumPy array, JAX arrays
    a JAX array, in the precision of x.

    Args:
        coefficients: ``(4, 4)``. The rows are amplitudes A; phases phi; whole wave numbers k; and
            four settings: greater than zero to fold; the sign; the edges l and r of the window,
            which is 1 within [l, r] and 0 outside, with tanh steps of width 0.01 (no window if
            l = r).
        x: points, of any shape.
    """
    xp = x.__array_namespace__()
    amplitudes, phases, numbers, (folded, sign, left, right) = xp.asarray(
        coefficients, dtype=x.dtype
    )
    x = x - xp.floor(x)
    v = sum(amplitudes[j] * xp.sin(2 * xp.pi * numbers[j] * x + phases[j]) for j in range(MODES))

    def step(edge):
        return xp.tanh((x - edge) / WINDOW_WIDTH)

    # With the images of both neighbouring periods the tails of the steps agree at 0 and 1.
    window = sum(step(left + shift) - step(right + shift) for shift in (-1, 0, 1)) / 2
    window = xp.where(right > left, window, xp.ones_like(x))
    return sign * xp.where(folded > 0, xp.abs(v), v) * window


class RandomWaves(eqx.Module):
    """The random initial values of PDEBench for equations in one dimension.

    Source: Takamoto et al., NeurIPS 2022. Two of the wave numbers 1 to 4 are drawn with
    replacement; a number drawn twice is doubled, and a number not drawn is 0, so that its wave is
    a constant. Amplitudes are uniform on (0, 1), phases on (0, 2 pi), and the sign is random. With
    probability 0.1 the absolute value is taken, and with probability 0.1 there is a window from
    U(0.1, 0.45) to U(0.55, 0.9).

    The source divides by the distance between the first and the last cell centre instead of the
    period, so that its waves are not quite periodic; these are.
    """

    def sample(self, key: PRNGKeyArray) -> Float[Array, "4 4"]:
        """Coefficients ``(4, 4)`` for `waves`."""
        # One draw for all numbers compiles in a fraction of the time of one for each.
        uniform = jax.random.uniform(key, (15,))
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
    """``sum_j A_j sin(2 pi (k_j x + m_j y) + phi_j)``, of period 1 for whole wave numbers.

    NumPy arrays give a NumPy array, JAX arrays a JAX array, in the precision of x and y.

    Args:
        coefficients: ``(4, n)``. The rows are amplitudes A; phases phi; wave numbers k and m.
        x: the first coordinate, of any shape.
        y: the second coordinate, of a shape that broadcasts with that of x.
    """
    xp = x.__array_namespace__()
    x, y = (array[..., None] for array in xp.broadcast_arrays(x, y))
    amplitudes, phases, k, m = (
        row.reshape((1,) * (x.ndim - 1) + (-1,)) for row in xp.asarray(coefficients, dtype=x.dtype)
    )
    return xp.sum(amplitudes * xp.sin(2 * xp.pi * (k * x + m * y) + phases), axis=-1)


class RandomPlaneWaves(eqx.Module):
    """Smooth random functions of two periodic coordinates.

    They extend PDEBench's functions of one coordinate (Takamoto et al., NeurIPS 2022): a constant
    and two plane waves, whose wave vectors are drawn from the 24 nonzero ones with whole components
    from -2 to 2. Amplitudes are uniform on (0, 1), phases (also that of the constant) on (0, 2 pi).
    """

    def sample(self, key: PRNGKeyArray) -> Float[Array, "4 3"]:
        """Coefficients ``(4, 3)`` for `plane_waves`."""
        amplitudes, phases, drawn = jnp.split(jax.random.uniform(key, (8,)), (3, 6))
        number = jnp.floor(24 * drawn)
        number = jnp.where(number < 12, number, number + 1)  # 12 is the zero vector
        vectors = jnp.stack([jnp.floor(number / 5), number % 5]) - 2
        return jnp.stack([amplitudes, 2 * jnp.pi * phases, *jnp.pad(vectors, ((0, 0), (1, 0)))])
