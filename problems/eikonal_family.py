"""The distance to a random circle."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

import pinops as po

ANGLES = 2 * np.pi * np.arange(100) / 100


@po.register("eikonal_family")
class EikonalFamily(po.Problem):
    """|∇u|² = 1 on (-1, 1)², u = 0 on a circle about the origin, u < 0 inside.

    Source: Wang, Wang & Perdikaris (2021), section 4.5.

    A family: an operator sees 100 points of the circle (200 numbers), whose radius is uniform in
    (0, 1). The solution is the signed distance, with a kink at the centre. It is a network times a
    smooth function that vanishes on the circle with slope 2 / (1 + √2): the sign of the distance,
    which the equation leaves open, is that of this function.

    Args:
        radius: > 0, of the circle (default 0.5).
    """

    domain = po.Box(x=(-1, 1), y=(-1, 1))
    radius: float = po.positive(0.5)

    def residual(self, grad_u):
        return jnp.sum(grad_u**2) - 1

    def lift(self, x, y):
        return self.factor(x, y)

    def factor(self, x, y):
        squared = x**2 + y**2
        return (squared - self.radius**2) / (self.radius + jnp.sqrt(squared + self.radius**2))

    def exact(self, x, y):
        return jnp.sqrt(x**2 + y**2) - self.radius

    def conditions(self):
        return ()

    def sample(self, key):
        return replace(self, radius=jax.random.uniform(key, minval=1e-3))

    def inputs(self):
        points = [self.radius * jnp.cos(ANGLES), self.radius * jnp.sin(ANGLES)]
        return {"boundary": jnp.concatenate(points)}
