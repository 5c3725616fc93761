"""Korteweg-de Vries equation from random smooth waves."""

import pinops as po
from pinops.problem import PeriodicFamily
from pinops.reference import Reference, periodic_etdrk4


@po.register("kdv_waves")
class KdVWaves(PeriodicFamily):
    """u_t + k u u_x + δ² u_xxx = 0 on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0), k, δ.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    Short waves run backwards, the faster the shorter they are. Samples have k from 0.25 to 0.75 and
    δ from 0.02 to 0.03.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        strength: k (default 0.5).
        dispersion: δ (default 0.025).
    """

    spread = {"strength": (0.25, 0.75), "dispersion": (0.02, 0.03)}
    strength: float = 0.5
    dispersion: float = 0.025

    def residual(self, u, u_t, u_x, u_xxx):
        return u_t + self.strength * u * u_x + self.dispersion**2 * u_xxx

    def reference(self) -> Reference:
        strength, dispersion = float(self.strength), float(self.dispersion)
        return periodic_etdrk4(
            *self.grid(),
            interval=(0, 1),
            symbol=lambda k: 1j * dispersion**2 * k**3,
            initial=self.start_on,
            flux=lambda u: strength * u**2 / 2,
            modes=256,
            max_step=2e-3,
        )
