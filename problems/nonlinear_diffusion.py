"""Nonlinear diffusion."""

import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.reference import Reference, nonlinear_diffusion


def bumps(exp, x, y):
    """Three Gaussians; ``exp`` is that of JAX or NumPy."""
    return (
        0.25 * exp(-((x - 0.3) ** 2 + (y - 0.2) ** 2) / 0.1)
        + 0.4 * exp(-15 * ((x + 0.5) ** 2 + (y + 0.1) ** 2))
        + 0.3 * exp(-20 * (x**2 + (y + 0.5) ** 2))
    )


@po.register("nonlinear_diffusion")
class NonlinearDiffusion(po.Problem):
    """u_t = k (|∇u|² + u Δu) = k ∇·(u ∇u) on (-1, 1)² x (0, 1], u = 0 on the boundary.

    Source: PIG (arXiv:2412.05994).

    Three Gaussian bumps at t = 0 spread where u is large and keep their feet where it is small.
    They are up to 9e-3 at the walls, where u must be 0: at once u falls to it within a distance of
    √(k 0.01 t), at last like the square root of the distance, because the flux is finite. ``wall``
    has that form and meets both conditions; they are declared soft for manufactured solutions. The
    residual is scaled down within the layer, whose exact form has no influence beyond it.

    Args:
        diffusivity: k > 0 (default 0.05).
    """

    domain = po.Box(x=(-1, 1), y=(-1, 1), t=(0, 1))
    diffusivity: float = po.positive(0.05)

    def residual(self, x, y, u, u_t, grad_u, lap_u):
        a, b = 1 - x**2, 1 - y**2  # twice the distances, near the walls
        scale = a / (a + 0.04) * b / (b + 0.04)
        return scale * (u_t - self.diffusivity * (jnp.sum(grad_u**2) + u * lap_u))

    def wall(self, x, y, t):
        width = 2 * jnp.sqrt(self.diffusivity * 0.01 * (t + 1e-4))
        return jnp.sqrt(jnp.tanh((1 - x**2) / width) * jnp.tanh((1 - y**2) / width))

    def lift(self, x, y, t):
        return self.wall(x, y, t) * bumps(jnp.exp, x, y)

    def factor(self, x, y, t):
        return t * self.wall(x, y, t)

    def conditions(self):
        return (
            po.Initial(lambda x, y: bumps(jnp.exp, x, y), soft=True),
            po.Dirichlet(0.0, soft=True),
        )

    def reference(self) -> Reference:
        space = np.linspace(-1, 1, 65)
        return nonlinear_diffusion(
            space,
            space,
            np.linspace(0, 1, 21),
            diffusivity=float(self.diffusivity),
            initial=lambda x, y: bumps(np.exp, x, y),
            nodes=100,
        )
