"""Diffusion with exponential growth from random smooth waves."""

import jax.numpy as jnp

import pinops as po
from pinops.problem import PeriodicFamily


@po.register("growth_waves")
class GrowthWaves(PeriodicFamily):
    """u_t = ν u_xx + ρ u on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0), ν and ρ.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    Samples have ν from 0.0025 to 0.0075 and ρ from 0.5 to 1.5.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        diffusivity: ν > 0 (default 0.005).
        rate: ρ (default 1).
    """

    spread = {"diffusivity": (0.0025, 0.0075), "rate": (0.5, 1.5)}
    diffusivity: float = po.positive(0.005)
    rate: float = 1.0

    def residual(self, u, u_t, u_xx):
        return u_t - self.diffusivity * u_xx - self.rate * u

    def exact(self, x, t):
        gain = jnp.exp(-self.diffusivity * self.wavenumbers(x.dtype) ** 2 * t)
        return jnp.exp(self.rate * t) * (self.mean + self.waves(x, gain))
