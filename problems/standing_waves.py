"""Wave equation from random smooth waves at rest."""

import jax.numpy as jnp

import pinops as po
from pinops.problem import PeriodicFamily


@po.register("standing_waves")
class StandingWaves(PeriodicFamily):
    """u_tt = c² u_xx on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0), u_t = 0, and c.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    Samples have c from 0.2 to 0.6.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        speed: c (default 0.4).
    """

    spread = {"speed": (0.2, 0.6)}
    speed: float = 0.4

    def residual(self, u_tt, u_xx):
        return u_tt - self.speed**2 * u_xx

    def conditions(self):
        return (po.Periodic("x"), po.Initial(self.start, derivative=0.0))

    def exact(self, x, t):
        return self.mean + self.waves(x, jnp.cos(self.speed * self.wavenumbers(x.dtype) * t))
