"""Poisson's equation in any dimension."""

from functools import cache

import jax.numpy as jnp

import pinops as po


@cache
def cube(dimension: int) -> po.Box:
    """(0, 1)^d, made once for each d, which may be thousands."""
    return po.Box(**{f"x{i}": (0, 1) for i in range(1, dimension + 1)})


@po.register("poisson_nd")
class PoissonND(po.Problem):
    """-Δu = π²/4 Σ sin(πxᵢ/2) on (0, 1)ᵈ, u = Σ sin(πxᵢ/2) on the boundary.

    Source: Hao et al. (2023), PINNacle's PNd.

    Smooth along every axis: only the sampled volume and the cost of the Laplacian grow with d. In
    hundreds of dimensions, estimate the Laplacian: `Collocation(laplacian=STDE())`.

    Args:
        dimension: d >= 1 (default 5, as in the source); the coordinates are x1, x2, ..., xd.
    """

    dimension: int = po.whole(5, least=1, most=10_000)

    @property
    def domain(self) -> po.Box:  # pyright: ignore[reportIncompatibleVariableOverride]
        return cube(self.dimension)

    def residual(self, lap_u, point):
        return -lap_u - jnp.pi**2 / 4 * self.exact(point)

    def conditions(self):
        return (po.Dirichlet(self.exact),)

    def exact(self, point):
        return jnp.sum(jnp.sin(jnp.pi * point / 2))
