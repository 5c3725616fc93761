"""Random states of a gas."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.functions._waves import MODES, plane_waves
from pinops.settings import check_settings, number, whole


def gas(
    coefficients: Float[Any, "fields 4 n"], *at: Float[Any, "*points"]
) -> list[Float[Any, "*points"]]:
    """Density, velocities and pressure of a gas in one or two coordinates.

    Each is a sum of `plane_waves`, exponentiated for density and pressure, so that both are
    positive.

    Args:
        coefficients: ``(fields, 4, n)``, one set of plane waves for each of the d + 2 fields.
        *at: the d = 1 or 2 coordinates, NumPy or JAX arrays of the same shape.

    Returns:
        The d + 2 fields, in the shape of the coordinates.
    """
    xp = at[0].__array_namespace__()
    x, y = (*at, xp.zeros_like(at[0])) if len(at) == 1 else at
    density, *velocities, pressure = (plane_waves(rows, x, y) for rows in coefficients)
    return [xp.exp(density), *velocities, xp.exp(pressure)]


class RandomGas(eqx.Module):
    """The random initial states of PDEBench's compressible flows, in one or two coordinates.

    Source: Takamoto et al., NeurIPS 2022. The means of density and temperature are uniform on
    (0.1, 10), and the mean speed is the Mach number times the speed of sound. All fields have
    waves of numbers 1 to 4 along each axis in either direction, with amplitudes |k|^(-1/2) and
    random phases. The waves of density and pressure have mean absolute values from
    U(0.01, 0.2).

    Two differences from the source: these waves are those of the logarithm, since the source's
    own fields may become negative, and no state is cut off outside a window (the source does so
    with half of its states).

    Args:
        dimensions: 1 or 2.
        heat_ratio: Γ > 1, the ratio of specific heats.

    Raises:
        ValueError: for another number of dimensions.
    """

    dimensions: int = whole(least=1, most=2)
    heat_ratio: float = number(above=1)

    def __check_init__(self):
        check_settings(self)

    def sample(self, key: PRNGKeyArray, mach: Float[Any, ""]) -> Float[Array, "fields 4 n"]:
        """A random state.

        Args:
            key: determines the state.
            mach: the mean speed relative to the speed of sound, > 0.

        Returns:
            ``(dimensions + 2, 4, n)``, coefficients for `gas`.
        """
        numbers = jnp.arange(1.0, MODES + 1)
        vectors = jnp.stack([numbers, jnp.zeros(MODES)])
        if self.dimensions == 2:
            pairs = jnp.meshgrid(numbers, jnp.concatenate([-numbers, numbers]), indexing="ij")
            vectors = jnp.stack(pairs).reshape(2, -1)
        # One draw for all numbers compiles in a fraction of the time of several.
        fields, n = self.dimensions + 2, vectors.shape[1]
        uniform = jax.random.uniform(key, (fields * n + 4,))
        phases = 2 * jnp.pi * uniform[:-4].reshape(fields, n)
        density, temperature, *contrasts = uniform[-4:]
        density, temperature = (0.1 + 9.9 * number for number in (density, temperature))
        amplitudes = jnp.broadcast_to(jnp.sum(vectors**2, 0) ** -0.25, (fields, n))
        numbers_of_all = jnp.broadcast_to(vectors[:, None], (2, fields, n))
        rows = jnp.stack([amplitudes, phases, *numbers_of_all], 1)
        # Means are taken over 32 grid points along each axis, eight for the shortest wave.
        line = (jnp.arange(32) + 0.5) / 32
        x, y = jnp.meshgrid(line, line if self.dimensions == 2 else jnp.zeros(1), indexing="ij")
        shapes = jnp.stack([plane_waves(rows[k], x, y) for k in range(fields)])
        sound = jnp.sqrt(self.heat_ratio * temperature)
        speed = mach * sound / jnp.mean(jnp.sqrt(jnp.sum(shapes[1:-1] ** 2, 0)))
        first, last = (
            (0.01 + 0.19 * contrasts[end]) / jnp.mean(jnp.abs(shapes[end])) for end in (0, -1)
        )
        sizes = jnp.stack([first, *[speed] * self.dimensions, last])
        zeros = jnp.zeros(fields)
        means = zeros.at[0].set(jnp.log(density)).at[-1].set(jnp.log(density * temperature))
        # A constant is the wave of number 0 and phase π/2.
        constants = jnp.stack([means, jnp.full(fields, jnp.pi / 2), zeros, zeros], 1)
        return jnp.concatenate([constants[..., None], rows.at[:, 0].multiply(sizes[:, None])], -1)
