"""Advection and diffusion of random smooth waves."""

import jax.numpy as jnp

import pinops as po
from pinops.problem import PeriodicFamily


@po.register("advection_diffusion_waves")
class AdvectionDiffusionWaves(PeriodicFamily):
    """u_t + c u_x = ν u_xx on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0), c and ν.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    Waves move by c t and decay. Samples have c from 0.25 to 0.75 and ν from 0.005 to 0.015.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        speed: c (default 0.5).
        diffusivity: ν > 0 (default 0.01).
    """

    spread = {"speed": (0.25, 0.75), "diffusivity": (0.005, 0.015)}
    speed: float = 0.5
    diffusivity: float = po.positive(0.01)

    def residual(self, u_t, u_x, u_xx):
        return u_t + self.speed * u_x - self.diffusivity * u_xx

    def exact(self, x, t):
        gain = jnp.exp(-self.diffusivity * self.wavenumbers(x.dtype) ** 2 * t)
        return self.mean + self.waves(x - self.speed * t, gain)
