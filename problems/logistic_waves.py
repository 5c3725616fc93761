"""Diffusion with logistic growth from random smooth waves."""

import pinops as po
from pinops.problem import PeriodicFamily
from pinops.reference import Reference


@po.register("logistic_waves")
class LogisticWaves(PeriodicFamily):
    """u_t = ν u_xx + ρ u (1 - u) on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0), ν and ρ.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    u grows towards 1. Samples have ν from 0.0025 to 0.0075 and ρ from 1 to 3.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        diffusivity: ν > 0 (default 0.005).
        rate: ρ (default 2).
    """

    spread = {"diffusivity": (0.0025, 0.0075), "rate": (1.0, 3.0)}
    diffusivity: float = po.positive(0.005)
    rate: float = 2.0

    def residual(self, u, u_t, u_xx):
        return u_t - self.diffusivity * u_xx - self.rate * u * (1 - u)

    def reference(self) -> Reference:
        rate = float(self.rate)
        return self.diffused(float(self.diffusivity), reaction=lambda u: rate * u * (1 - u))
