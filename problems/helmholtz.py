"""Helmholtz equation."""

import jax.numpy as jnp

import pinops as po


@po.register("helmholtz")
class Helmholtz(po.Problem):
    """Δu + k² u = (k² - π² (a₁² + a₂²)) sin(a₁πx) sin(a₂πy) on (-1, 1)², u given on the boundary.

    Source: Wang, Teng & Perdikaris (2021), "Gradient flow pathologies".

    The solution sin(a₁πx) sin(a₂πy) oscillates faster along y than along x by default; it is zero
    on the boundary for whole a₁, a₂.

    Args:
        a1: a₁ > 0, half waves per unit length along x (default 1).
        a2: a₂ > 0, half waves per unit length along y (default 4); a₁ = a₂ = 10 is the hard case.
        k: the wave number (default 1).
    """

    domain = po.Box(x=(-1, 1), y=(-1, 1))
    a1: float = po.positive(1.0)
    a2: float = po.positive(4.0)
    k: float = 1.0

    def residual(self, u, lap_u, x, y):
        eigenvalue = -(jnp.pi**2) * (self.a1**2 + self.a2**2)
        return lap_u + self.k**2 * u - (eigenvalue + self.k**2) * self.exact(x, y)

    def conditions(self):
        return (po.Dirichlet(self.exact),)

    def exact(self, x, y):
        return jnp.sin(jnp.pi * self.a1 * x) * jnp.sin(jnp.pi * self.a2 * y)
