"""Mixing by a vortex."""

import jax.numpy as jnp

import pinops as po


def tanh_ratio(square):
    """tanh(r) / r as a function of r² <= 32, to rounding.

    By Lambert's continued fraction 1 / (1 + r²/(3 + r²/(5 + ...))). Unlike the quotient it is
    smooth at r = 0, with all its derivatives.
    """
    fraction = 33.0
    for odd in range(31, 0, -2):
        fraction = odd + square / fraction
    return 1 / fraction


@po.register("flow_mixing")
class FlowMixing(po.Problem):
    """u_t - ω y u_x + ω x u_y = 0 on (-4, 4)² x (0, 4], ω = sech² r tanh r / (r v), r² = x² + y²,
    u given at t = 0 and on the boundary.

    Source: PIG (arXiv:2412.05994).

    A vortex turns the front u = -tanh(y/2) into the spiral u = -tanh(½ y cos ωt - ½ x sin ωt): by
    10 radians at the centre and hardly at the rim, with ever finer layers in between.

    Args:
        peak_speed: v > 0, of the vortex before scaling (default 0.385, the maximum of
            sech² r tanh r).
    """

    domain = po.Box(x=(-4, 4), y=(-4, 4), t=(0, 4))
    peak_speed: float = po.positive(0.385)

    def rotation(self, x, y):
        """ω, smooth in r², also at the centre."""
        square = x**2 + y**2
        ratio = tanh_ratio(square)
        return (1 - square * ratio**2) * ratio / self.peak_speed  # sech² = 1 - tanh²

    def residual(self, u_t, u_x, u_y, x, y):
        omega = self.rotation(x, y)
        return u_t - omega * y * u_x + omega * x * u_y

    def conditions(self):
        return (po.Initial(lambda y: -jnp.tanh(y / 2)), po.Dirichlet(self.exact))

    def exact(self, x, y, t):
        angle = self.rotation(x, y) * t
        return -jnp.tanh(y / 2 * jnp.cos(angle) - x / 2 * jnp.sin(angle))
