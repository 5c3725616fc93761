"""Heat conduction from random smooth waves."""

import jax.numpy as jnp

import pinops as po
from pinops.problem import PeriodicFamily


@po.register("heat_waves")
class HeatWaves(PeriodicFamily):
    """u_t = κ u_xx on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0) and κ.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    The wave number k decays like exp(-κ (2πk)² t). Samples have κ from 0.005 to 0.015.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        diffusivity: κ > 0 (default 0.01).
    """

    spread = {"diffusivity": (0.005, 0.015)}
    diffusivity: float = po.positive(0.01)

    def residual(self, u_t, u_xx):
        return u_t - self.diffusivity * u_xx

    def exact(self, x, t):
        gain = jnp.exp(-self.diffusivity * self.wavenumbers(x.dtype) ** 2 * t)
        return self.mean + self.waves(x, gain)
