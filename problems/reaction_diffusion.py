"""Fisher's equation."""

import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.reference import Reference, reaction_diffusion


@po.register("reaction_diffusion")
class ReactionDiffusion(po.Problem):
    """u_t = D u_xx + r u (1 - u) on (0, 1) x (0, 1], u(x, 0) = sin πx, u(0, t) = u(1, t) = 0.

    Source: Fisher (1937).

    Growth towards u = 1 competes with losses through the ends.

    Args:
        diffusivity: D > 0 (default 0.1).
        rate: r, of growth (default 1).
    """

    domain = po.Box(x=(0, 1), t=(0, 1))
    diffusivity: float = po.positive(0.1)
    rate: float = 1.0

    def residual(self, u, u_t, u_xx):
        return u_t - self.diffusivity * u_xx - self.rate * u * (1 - u)

    def conditions(self):
        return (po.Initial(lambda x: jnp.sin(jnp.pi * x)), po.Dirichlet(0.0, on="x"))

    def reference(self) -> Reference:
        rate = float(self.rate)
        return reaction_diffusion(
            np.linspace(0, 1, 101),
            np.linspace(0, 1, 101),
            diffusivity=float(self.diffusivity),
            reaction=lambda u: rate * u * (1 - u),
            initial=lambda x: np.sin(np.pi * x),
        )
