"""Sine-Gordon equation from random smooth waves at rest."""

import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.problem import PeriodicFamily
from pinops.reference import Reference, periodic_wave


@po.register("sine_gordon_waves")
class SineGordonWaves(PeriodicFamily):
    """u_tt = c² u_xx - m² sin u on (0, 1) x (0, 1], periodic in x, random smooth u(x, 0), u_t = 0.

    Source: after PROSE-PDE (Sun et al., arXiv:2404.12355), whose coefficients vary by 10 %.

    Waves swing about u = 0, the large ones more slowly. Samples have c from 0.2 to 0.6 and m from 1
    to 3.

    Args:
        initial: ``(2, 4)``, the coefficients of the initial values, see `PeriodicFamily`.
        speed: c (default 0.4).
        mass: m (default 2).
    """

    spread = {"speed": (0.2, 0.6), "mass": (1.0, 3.0)}
    speed: float = 0.4
    mass: float = 2.0

    def residual(self, u, u_tt, u_xx):
        return u_tt - self.speed**2 * u_xx + self.mass**2 * jnp.sin(u)

    def conditions(self):
        return (po.Periodic("x"), po.Initial(self.start, derivative=0.0))

    def reference(self) -> Reference:
        mass = float(self.mass)
        return periodic_wave(
            *self.grid(),
            interval=(0, 1),
            speed=float(self.speed),
            initial=self.start_on,
            reaction=lambda u: -(mass**2) * np.sin(u),
        )
