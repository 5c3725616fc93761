"""Allen-Cahn equation."""

import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.reference import Reference, periodic_etdrk4


@po.register("allen_cahn")
class AllenCahn(po.Problem):
    """u_t = D u_xx + r (u - u³) on (-1, 1) x (0, 1], periodic in x, u(x, 0) = x² cos πx.

    Source: Raissi et al. (2019).

    Reaction drives u to its stable states ±1; diffusion rounds the fronts between them to a width
    ~√D. The periodic extension of u(x, 0) has a kink at x = ±1, which a lift would keep for all
    times, so the initial condition is a term of the loss.

    Args:
        diffusivity: D > 0 (default 1e-4); the smaller, the narrower the fronts.
        rate: r > 0, of the reaction (default 5).
    """

    domain = po.Box(x=(-1, 1), t=(0, 1))
    diffusivity: float = po.positive(1e-4)
    rate: float = po.positive(5.0)

    def residual(self, u, u_t, u_xx):
        return u_t - self.diffusivity * u_xx - self.rate * (u - u**3)

    def conditions(self):
        return (po.Periodic("x", even=True), po.Initial(lambda x: x**2 * jnp.cos(jnp.pi * x)))

    def reference(self) -> Reference:
        diffusivity, rate = float(self.diffusivity), float(self.rate)
        return periodic_etdrk4(
            np.linspace(-1, 1, 257),
            np.linspace(0, 1, 101),
            interval=(-1, 1),
            symbol=lambda k: -diffusivity * k**2,
            reaction=lambda u: rate * (u - u**3),
            initial=lambda x: x**2 * np.cos(np.pi * x),
            modes=4096,
            max_step=5e-3,
        )
