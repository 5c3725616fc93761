"""Porous medium equation from random smooth waves."""

import pinops as po
from pinops.problem import PeriodicFamily
from pinops.reference import Reference


@po.register("porous_medium_waves")
class PorousMediumWaves(PeriodicFamily):
    """u_t = D (u²)_xx on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0) and D.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    Where u is small it spreads slowly. Samples have D from 0.005 to 0.015.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        diffusivity: D > 0 (default 0.01).
    """

    spread = {"diffusivity": (0.005, 0.015)}
    diffusivity: float = po.positive(0.01)

    def residual(self, u, u_t, u_x, u_xx):
        return u_t - 2 * self.diffusivity * (u * u_xx + u_x**2)

    def reference(self) -> Reference:
        diffusivity = float(self.diffusivity)
        # (u²)_xx = 2 u_xx + (u² - 2u)_xx, where the first part takes what is stiff: 0 < u < 1.
        return self.diffused(2 * diffusivity, potential=lambda u: diffusivity * (u**2 - 2 * u))
