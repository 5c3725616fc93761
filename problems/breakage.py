"""Population balance of breakage."""

import jax.numpy as jnp

import pinops as po


@po.register("breakage")
class Breakage(po.Problem):
    """n_t = k (2 ∫ n(y, t) dy - x n), y from x to 1, on (0, 1) x (0, 2], n(x, 0) = 1.

    Source: Ziff & McGrady (1985), J. Phys. A 18, 3027: binary breakage, uniform, at the rate k x.

    n dx is the number of particles whose mass is between x and x + dx. Each breaks into two, and
    all ways to share its mass are as likely. The number of particles grows and gathers at x = 0,
    while their mass ∫ x n dx stays 1/2, which is a term of the loss.

    Args:
        rate: k > 0 (default 1).
    """

    domain = po.Box(x=(0, 1), t=(0, 2))
    unknowns = ("n",)
    rate: float = po.positive(1.0)

    def integrals(self):
        return {
            "larger": po.Integral(lambda n: n, over="x", lower=lambda x: x, nodes=8),
            "mass": po.Integral(lambda n, x: x * n, over="x", nodes=8),
        }

    def residual(self, n, n_t, x, larger):
        return n_t - self.rate * (2 * larger - x * n)

    def conditions(self):
        return po.Initial(1.0), po.Equation(lambda mass: mass - 0.5, on="x_min")

    def exact(self, x, t):
        s = self.rate * t
        return jnp.exp(-s * x) * (1 + 2 * s * (1 - x) + (s * (1 - x)) ** 2 / 2)
