"""Fokker-Planck equation from random smooth waves."""

import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.problem import PeriodicFamily
from pinops.reference import Reference


@po.register("fokker_planck_waves")
class FokkerPlanckWaves(PeriodicFamily):
    """u_t + a (sin(2πx) u)_x = D u_xx on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0).

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    For a > 0 a force drives u towards x = 1/2. Samples have a from 0.05 to 0.15 and D from 0.005 to
    0.015.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        force: a (default 0.1).
        diffusivity: D > 0 (default 0.01).
    """

    spread = {"force": (0.05, 0.15), "diffusivity": (0.005, 0.015)}
    force: float = 0.1
    diffusivity: float = po.positive(0.01)

    def residual(self, u, u_t, u_x, u_xx, x):
        angle = 2 * jnp.pi * x
        drift = self.force * (jnp.sin(angle) * u_x + 2 * jnp.pi * jnp.cos(angle) * u)
        return u_t + drift - self.diffusivity * u_xx

    def reference(self) -> Reference:
        force = float(self.force)

        def drift(u: np.ndarray) -> np.ndarray:
            return force * np.sin(2 * np.pi * np.arange(u.size) / u.size) * u

        return self.diffused(float(self.diffusivity), flux=drift)
