"""Korteweg-de Vries equation."""

import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.reference import Reference, periodic_etdrk4


@po.register("kdv")
class KdV(po.Problem):
    """u_t + u u_x + δ² u_xxx = 0 on (-1, 1) x (0, 1], periodic in x, u(x, 0) = cos πx.

    Source: Zabusky & Kruskal (1965).

    The wave steepens until dispersion breaks it into a train of solitons, the tallest in front.

    Args:
        dispersion: δ > 0 (default 0.022); the smaller, the more and the narrower the solitons.
    """

    domain = po.Box(x=(-1, 1), t=(0, 1))
    dispersion: float = po.positive(0.022)

    def residual(self, u, u_t, u_x, u_xxx):
        return u_t + u * u_x + self.dispersion**2 * u_xxx

    def conditions(self):
        return (po.Periodic("x"), po.Initial(lambda x: jnp.cos(jnp.pi * x)))

    def reference(self) -> Reference:
        dispersion = float(self.dispersion)
        return periodic_etdrk4(
            np.linspace(-1, 1, 257),
            np.linspace(0, 1, 101),
            interval=(-1, 1),
            symbol=lambda k: 1j * dispersion**2 * k**3,
            flux=lambda u: u**2 / 2,
            initial=lambda x: np.cos(np.pi * x),
            modes=512,
            max_step=2.5e-4,
        )
