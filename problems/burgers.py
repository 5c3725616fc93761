"""Viscous Burgers equation."""

import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.reference import Reference, cole_hopf


@po.register("burgers")
class Burgers(po.Problem):
    """u_t + u u_x = ν u_xx on (-1, 1) x (0, 1], u(x, 0) = -sin πx, u(±1, t) = 0.

    Source: Basdevant et al. (1986).

    A smooth wave steepens into an internal layer of width ~ν at x = 0, sharpest near t = 0.5.

    Args:
        viscosity: ν > 0 (default 0.01/π, the value of the PINN literature).
    """

    domain = po.Box(x=(-1, 1), t=(0, 1))
    viscosity: float = po.positive(0.01 / np.pi)

    def residual(self, u, u_t, u_x, u_xx):
        return u_t + u * u_x - self.viscosity * u_xx

    def conditions(self):
        return (po.Initial(lambda x: -jnp.sin(jnp.pi * x)), po.Dirichlet(0.0, on="x"))

    def reference(self) -> Reference:
        x, t = np.linspace(-1, 1, 256), np.linspace(0, 1, 101)
        return cole_hopf(x, t, float(self.viscosity))
