"""Kovasznay flow."""

import jax.numpy as jnp

import pinops as po


@po.register("kovasznay")
class Kovasznay(po.Problem):
    """(u·∇)u = -∇p + Δu / Re, ∇·u = 0 on (-1/2, 1) x (-1/2, 3/2), (u, v) given on the boundary.

    Source: Kovasznay (1948).

    Steady laminar flow behind a grid of cylinders: u = 1 - exp(λx) cos 2πy,
    v = λ/2π exp(λx) sin 2πy, p = (1 - exp(2λx)) / 2 with λ = Re/2 - (Re²/4 + 4π²)^½. The pressure
    p has no condition: it is determined up to a constant and compared without its mean.

    Args:
        reynolds: the Reynolds number Re > 0 (default 40).
    """

    domain = po.Box(x=(-0.5, 1), y=(-0.5, 1.5))
    unknowns = ("u", "v", "p")
    gauge = ("p",)
    reynolds: float = po.positive(40.0)

    def residual(self, u, u_x, u_y, lap_u, v, v_x, v_y, lap_v, p_x, p_y):
        return {
            "momentum_x": u * u_x + v * u_y + p_x - lap_u / self.reynolds,
            "momentum_y": u * v_x + v * v_y + p_y - lap_v / self.reynolds,
            "continuity": u_x + v_y,
        }

    def conditions(self):
        return (po.Dirichlet({"u": self.along, "v": self.across}),)

    def decay(self):
        """λ < 0, the rate at which the wake decays downstream."""
        # Re/2 - sqrt(Re²/4 + 4π²) without cancellation.
        return -4 * jnp.pi**2 / (self.reynolds / 2 + jnp.sqrt(self.reynolds**2 / 4 + 4 * jnp.pi**2))

    def along(self, x, y):
        return 1 - jnp.exp(self.decay() * x) * jnp.cos(2 * jnp.pi * y)

    def across(self, x, y):
        return self.decay() / (2 * jnp.pi) * jnp.exp(self.decay() * x) * jnp.sin(2 * jnp.pi * y)

    def exact(self, x, y):
        pressure = (1 - jnp.exp(2 * self.decay() * x)) / 2
        return {"u": self.along(x, y), "v": self.across(x, y), "p": pressure}
