"""Advection of random smooth waves."""

import pinops as po
from pinops.problem import PeriodicFamily


@po.register("advection_waves")
class AdvectionWaves(PeriodicFamily):
    """u_t + c u_x = 0 on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0) and c.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    The solution u(x, 0) moves by c and keeps its shape. Samples have c from 0.25 to 0.75.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        speed: c (default 0.5).
    """

    spread = {"speed": (0.25, 0.75)}
    speed: float = 0.5

    def residual(self, u_t, u_x):
        return u_t + self.speed * u_x

    def exact(self, x, t):
        return self.start(x - self.speed * t)
