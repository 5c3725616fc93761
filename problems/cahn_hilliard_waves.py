"""Cahn-Hilliard equation from random smooth waves."""

import pinops as po
from pinops.problem import PeriodicFamily
from pinops.reference import Reference, periodic_etdrk4


@po.register("cahn_hilliard_waves")
class CahnHilliardWaves(PeriodicFamily):
    """u_t = M (u³ - u - ε² u_xx)_xx on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0), M, ε.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    Two phases begin to separate; short waves decay. Samples have M from 0.05 to 0.15 and ε from
    0.04 to 0.06.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        mobility: M > 0 (default 0.1).
        width: ε > 0, the width of the interfaces (default 0.05).
    """

    spread = {"mobility": (0.05, 0.15), "width": (0.04, 0.06)}
    mobility: float = po.positive(0.1)
    width: float = po.positive(0.05)

    def residual(self, u, u_t, u_x, u_xx, u_xxxx):
        cubic = 3 * u**2 * u_xx + 6 * u * u_x**2
        return u_t - self.mobility * (cubic - u_xx - self.width**2 * u_xxxx)

    def reference(self) -> Reference:
        mobility, width = float(self.mobility), float(self.width)
        return periodic_etdrk4(
            *self.grid(),
            interval=(0, 1),
            symbol=lambda k: -mobility * width**2 * k**4,
            initial=self.start_on,
            potential=lambda u: mobility * (u**3 - u),
            modes=256,
            max_step=2e-3,
        )
