"""Nonlinear Klein-Gordon equation."""

import jax.numpy as jnp

import pinops as po


@po.register("klein_gordon")
class KleinGordon(po.Problem):
    """u_tt - Δu + u² = f on (-1, 1)² x (0, 10], u and u_t given at t = 0, u given on the boundary.

    Source: PIG (arXiv:2412.05994).

    The solution u = (x + y) cos 2t + xy sin 2t, with f = u² - 4u, oscillates smoothly for three
    periods. The equation is of second order in time and needs u_t(x, y, 0) = 2xy; the released
    code of the source leaves it out, which makes the problem under-determined.
    """

    domain = po.Box(x=(-1, 1), y=(-1, 1), t=(0, 10))

    def residual(self, u, u_tt, lap_u, x, y, t):
        exact = self.exact(x, y, t)
        return u_tt - lap_u + u**2 - (exact**2 - 4 * exact)

    def conditions(self):
        return (
            po.Initial(lambda x, y: x + y, derivative=lambda x, y: 2 * x * y),
            po.Dirichlet(self.exact),
        )

    def exact(self, x, y, t):
        return (x + y) * jnp.cos(2 * t) + x * y * jnp.sin(2 * t)
