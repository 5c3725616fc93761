"""Heat equation."""

import jax.numpy as jnp

import pinops as po


@po.register("heat")
class Heat(po.Problem):
    """u_t = κ u_xx on (0, 1) x (0, 1], u(x, 0) = sin πx, u(0, t) = u(1, t) = 0.

    Source: Müller & Zeinhofer (2023).

    A single mode decays like exp(-κ π² t): the easiest time-dependent problem.

    Args:
        diffusivity: κ > 0 (default 1/4, as in the source).
    """

    domain = po.Box(x=(0, 1), t=(0, 1))
    diffusivity: float = po.positive(0.25)

    def residual(self, u_t, u_xx):
        return u_t - self.diffusivity * u_xx

    def conditions(self):
        return (po.Initial(lambda x: jnp.sin(jnp.pi * x)), po.Dirichlet(0.0, on="x"))

    def exact(self, x, t):
        return jnp.exp(-self.diffusivity * jnp.pi**2 * t) * jnp.sin(jnp.pi * x)
