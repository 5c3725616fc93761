"""Poisson's equation."""

import jax.numpy as jnp

import pinops as po


@po.register("poisson")
class Poisson(po.Problem):
    """-Δu = 2π² sin πx sin πy on (0, 1)², u = 0 on the boundary.

    Source: Müller & Zeinhofer (2023).

    The solution is sin πx sin πy: one smooth bump, the easiest steady problem.
    """

    domain = po.Box(x=(0, 1), y=(0, 1))

    def residual(self, lap_u, x, y):
        return -lap_u - 2 * jnp.pi**2 * self.exact(x, y)

    def conditions(self):
        return (po.Dirichlet(0.0),)

    def exact(self, x, y):
        return jnp.sin(jnp.pi * x) * jnp.sin(jnp.pi * y)
