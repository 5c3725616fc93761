"""Linear advection."""

import jax.numpy as jnp
import numpy as np

import pinops as po


@po.register("advection")
class Advection(po.Problem):
    """u_t + c u_x = 0 on (0, 2π) x (0, 1], periodic in x, u(x, 0) = sin x.

    Source: Krishnapriyan et al. (2021).

    The wave travels without changing its shape and crosses the domain c/2π times; the longer it
    travels, the harder it is to transport the initial data without loss.

    Args:
        speed: c, in lengths per time (default 30: 4.8 crossings, the case in which the source
            reports that plain networks fail; others go on to 50 and 80).
    """

    domain = po.Box(x=(0, 2 * np.pi), t=(0, 1))
    speed: float = 30.0

    def residual(self, u_t, u_x):
        return u_t + self.speed * u_x

    def conditions(self):
        return (po.Periodic("x"), po.Initial(lambda x: jnp.sin(x)))

    def exact(self, x, t):
        return jnp.sin(x - self.speed * t)
