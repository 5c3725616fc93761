"""Viscous conservation law with the flux sin u from random smooth waves."""

import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.problem import PeriodicFamily
from pinops.reference import Reference


@po.register("sine_flux_waves")
class SineFluxWaves(PeriodicFamily):
    """u_t + k (sin u)_x = ν u_xx on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0), k and ν.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    Low waves overtake high ones. Samples have k from 0.5 to 1.5 and ν from 0.01 to 0.03.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        strength: k (default 1).
        viscosity: ν > 0 (default 0.02).
    """

    spread = {"strength": (0.5, 1.5), "viscosity": (0.01, 0.03)}
    strength: float = 1.0
    viscosity: float = po.positive(0.02)

    def residual(self, u, u_t, u_x, u_xx):
        return u_t + self.strength * jnp.cos(u) * u_x - self.viscosity * u_xx

    def reference(self) -> Reference:
        strength = float(self.strength)
        return self.diffused(float(self.viscosity), flux=lambda u: strength * np.sin(u))
