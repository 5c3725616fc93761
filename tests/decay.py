"""The smallest problem with everything: what the tests of front doors, resuming and the command
line solve.
"""

import jax.numpy as jnp

import pinops as po


class Decay(po.Problem):
    """u_t = -r u, u(0) = 1."""

    domain = po.Box(t=(0, 1))
    rate: float = po.positive(1.0)

    def residual(self, u, u_t):
        return u_t + self.rate * u

    def conditions(self):
        return (po.Initial(1.0),)

    def exact(self, t):
        return jnp.exp(-self.rate * t)
