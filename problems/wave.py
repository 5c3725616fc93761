"""Wave equation."""

import jax.numpy as jnp

import pinops as po


@po.register("wave")
class Wave(po.Problem):
    """u_tt = c² u_xx on (0, 1) x (0, 1], u(x, 0) = sin πx + ½ sin 4πx, u_t(x, 0) = 0,
    u(0, t) = u(1, t) = 0.

    Source: Wang, Yu & Perdikaris (2022), "When and why PINNs fail to train".

    Two standing waves whose frequencies differ by a factor of four, a test of spectral bias.

    Args:
        speed: c > 0 (default 2).
    """

    domain = po.Box(x=(0, 1), t=(0, 1))
    speed: float = po.positive(2.0)

    def residual(self, u_tt, u_xx):
        return u_tt - self.speed**2 * u_xx

    def conditions(self):
        start = po.Initial(
            lambda x: jnp.sin(jnp.pi * x) + jnp.sin(4 * jnp.pi * x) / 2, derivative=0.0
        )
        return (start, po.Dirichlet(0.0, on="x"))

    def exact(self, x, t):
        phase = jnp.pi * self.speed * t
        slow = jnp.sin(jnp.pi * x) * jnp.cos(phase)
        return slow + jnp.sin(4 * jnp.pi * x) * jnp.cos(4 * phase) / 2
