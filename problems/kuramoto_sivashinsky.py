"""Kuramoto-Sivashinsky equation."""

import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.reference import Reference, periodic_etdrk4


@po.register("kuramoto_sivashinsky")
class KuramotoSivashinsky(po.Problem):
    """u_t + α u u_x + β u_xx + γ u_xxxx = 0 on (0, 2π) x (0, 1], periodic in x,
    u(x, 0) = cos x (1 + sin x).

    Source: Wang, Sankaran & Perdikaris (2024), "Respecting causality".

    Long waves grow (β), short ones are damped (γ), and the nonlinearity carries energy from one to
    the other: the solution becomes chaotic, and an early error grows exponentially. It takes time
    windows.

    Args:
        advection: α (default 100/16).
        growth: β > 0 (default 100/16²).
        damping: γ > 0 (default 100/16⁴).
    """

    domain = po.Box(x=(0, 2 * np.pi), t=(0, 1))
    advection: float = 100 / 16
    growth: float = po.positive(100 / 16**2)
    damping: float = po.positive(100 / 16**4)

    def residual(self, u, u_t, u_x, u_xx, u_xxxx):
        return u_t + self.advection * u * u_x + self.growth * u_xx + self.damping * u_xxxx

    def conditions(self):
        return (po.Periodic("x"), po.Initial(lambda x: jnp.cos(x) * (1 + jnp.sin(x))))

    def reference(self) -> Reference:
        advection, growth, damping = float(self.advection), float(self.growth), float(self.damping)
        return periodic_etdrk4(
            np.linspace(0, 2 * np.pi, 513),
            np.linspace(0, 1, 501),
            interval=(0, 2 * np.pi),
            symbol=lambda k: growth * k**2 - damping * k**4,
            flux=lambda u: advection * u**2 / 2,
            initial=lambda x: np.cos(x) * (1 + np.sin(x)),
            modes=512,
            max_step=1e-4,
        )
