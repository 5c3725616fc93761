"""Diffusion with growth that is slow near both states, from random smooth waves."""

import pinops as po
from pinops.problem import PeriodicFamily
from pinops.reference import Reference


@po.register("square_logistic_waves")
class SquareLogisticWaves(PeriodicFamily):
    """u_t = ν u_xx + ρ u² (1 - u)² on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0).

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    u grows towards 1. Samples have ν from 0.0025 to 0.0075 and ρ from 2 to 6.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        diffusivity: ν > 0 (default 0.005).
        rate: ρ (default 4).
    """

    spread = {"diffusivity": (0.0025, 0.0075), "rate": (2.0, 6.0)}
    diffusivity: float = po.positive(0.005)
    rate: float = 4.0

    def residual(self, u, u_t, u_xx):
        return u_t - self.diffusivity * u_xx - self.rate * u**2 * (1 - u) ** 2

    def reference(self) -> Reference:
        rate = float(self.rate)
        return self.diffused(float(self.diffusivity), reaction=lambda u: rate * u**2 * (1 - u) ** 2)
