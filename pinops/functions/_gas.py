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
    """Density, velocities and pressure in one or two coordinates: `plane_waves`, exponentiated for density and pressure."""
    xp = at[0].__array_namespace__()
    x, y = (*at, xp.zeros_like(at[0])) if len(at) == 1 else at
    density, *velocities, pressure = (plane_waves(rows, x, y) for rows in coefficients)
    return [xp.exp(density), *velocities, xp.exp(pressure)]


class RandomGas(eqx.Module):
    """The random states of PDEBench's compressible flows (Takamoto et al., NeurIPS 2022), in one or two coordinates.

    Density and temperature are uniform on (0.1, 10) on average, and the mean speed is so many times the speed of sound there. All
    fields have waves of numbers 1 to 4 along each axis in either direction, of amplitudes |k|^(-1/2) and random phases. Those of
    density and pressure have mean absolute values from U(0.01, 0.2): of the logarithm, where the source's are of the field and
    may become negative. The source cuts half of its states off outside a window.
    """

    dimensions: int = whole(least=1, most=2)
    heat_ratio: float = number(above=1)

    def __check_init__(self):
        check_settings(self)

    def sample(self, key: PRNGKeyArray, mach: Float[Any, ""]) -> Float[Array, "fields 4 n"]:
        """Coefficients for `gas`."""
        numbers = jnp.arange(1.0, MODES + 1)
        vectors = jnp.stack([numbers, jnp.zeros(MODES)])
        if self.dimensions == 2:
            pairs = jnp.meshgrid(numbers, jnp.concatenate([-numbers, numbers]), indexing="ij")
            vectors = jnp.stack(pairs).reshape(2, -1)
        fields, n = self.dimensions + 2, vectors.shape[1]
        uniform = jax.random.uniform(key, (fields * n + 4,))
        phases, (density, temperature, *contrasts) = (
            2 * jnp.pi * uniform[:-4].reshape(fields, n),
            uniform[-4:],
        )
        density, temperature = (0.1 + 9.9 * number for number in (density, temperature))
        amplitudes = jnp.broadcast_to(jnp.sum(vectors**2, 0) ** -0.25, (fields, n))
        rows = jnp.stack(
            [amplitudes, phases, *jnp.broadcast_to(vectors[:, None], (2, fields, n))], 1
        )
        line = (jnp.arange(32) + 0.5) / 32
        x, y = jnp.meshgrid(line, line if self.dimensions == 2 else jnp.zeros(1), indexing="ij")
        shapes = jnp.stack([plane_waves(rows[k], x, y) for k in range(fields)])
        speed = (
            mach
            * jnp.sqrt(self.heat_ratio * temperature)
            / jnp.mean(jnp.sqrt(jnp.sum(shapes[1:-1] ** 2, 0)))
        )
        first, last = (
            (0.01 + 0.19 * contrasts[end]) / jnp.mean(jnp.abs(shapes[end])) for end in (0, -1)
        )
        sizes = jnp.stack([first, *[speed] * self.dimensions, last])
        means = (
            jnp.zeros(fields).at[0].set(jnp.log(density)).at[-1].set(jnp.log(density * temperature))
        )
        constants = jnp.stack(
            [means, jnp.full(fields, jnp.pi / 2), jnp.zeros(fields), jnp.zeros(fields)], 1
        )
        return jnp.concatenate([constants[..., None], rows.at[:, 0].multiply(sizes[:, None])], -1)
