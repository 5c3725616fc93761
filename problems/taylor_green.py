"""Taylor-Green vortices."""

import jax.numpy as jnp
import numpy as np

import pinops as po


@po.register("taylor_green")
class TaylorGreen(po.Problem):
    """u_t + (u·∇)u = -∇p + ν Δu, ∇·u = 0 on (0, 2π)² x (0, 1], periodic,
    (u, v) = (-cos x sin y, sin x cos y) at t = 0.

    Source: Taylor & Green (1937), in two dimensions.

    The vortices keep their shape and decay like exp(-2νt); the pressure balances the centrifugal
    force, p = -(cos 2x + cos 2y)/4 exp(-4νt). It is determined up to a function of time and
    compared without its mean at each time.

    Args:
        viscosity: ν > 0 (default 0.1).
    """

    domain = po.Box(x=(0, 2 * np.pi), y=(0, 2 * np.pi), t=(0, 1))
    unknowns = ("u", "v", "p")
    gauge = ("p",)
    viscosity: float = po.positive(0.1)

    def residual(self, u, u_t, u_x, u_y, lap_u, v, v_t, v_x, v_y, lap_v, p_x, p_y):
        return {
            "momentum_x": u_t + u * u_x + v * u_y + p_x - self.viscosity * lap_u,
            "momentum_y": v_t + u * v_x + v * v_y + p_y - self.viscosity * lap_v,
            "continuity": u_x + v_y,
        }

    def conditions(self):
        start = {
            "u": lambda x, y: -jnp.cos(x) * jnp.sin(y),
            "v": lambda x, y: jnp.sin(x) * jnp.cos(y),
        }
        return (po.Periodic(("x", "y")), po.Initial(start))

    def exact(self, x, y, t):
        decay = jnp.exp(-2 * self.viscosity * t)
        return {
            "u": -jnp.cos(x) * jnp.sin(y) * decay,
            "v": jnp.sin(x) * jnp.cos(y) * decay,
            "p": -(jnp.cos(2 * x) + jnp.cos(2 * y)) / 4 * decay**2,
        }
