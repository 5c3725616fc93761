"""Laplace's equation on a square with four holes."""

import numpy as np

import pinops as po
from pinops.reference import Reference, poisson_disks

CENTERS = tuple((x, y) for x in (-0.3, 0.3) for y in (-0.3, 0.3))
RADIUS = 0.1


def perforated_square() -> po.Domain:
    """(-1/2, 1/2)² without four disks; the boundary parts are "square" and "circle"."""
    domain: po.Domain = po.Box(x=(-0.5, 0.5), y=(-0.5, 0.5), name="square")
    for x, y in CENTERS:
        domain = domain - po.Disk(x=x, y=y, radius=RADIUS)
    return domain


@po.register("poisson_disks")
class PoissonDisks(po.Problem):
    """Δu = 0 on (-1/2, 1/2)² without disks of radius 0.1 at (±0.3, ±0.3), u given on its boundary.

    Source: Hao et al. (2023), PINNacle's Poisson2d-C.

    The solution is steep in the gaps between disks and square.

    Args:
        outer: u on the square (default 1).
        inner: u on the circles (default 0).
    """

    domain = perforated_square()
    outer: float = 1.0
    inner: float = 0.0

    def residual(self, lap_u):
        return lap_u

    def conditions(self):
        return (po.Dirichlet(self.outer, on="square"), po.Dirichlet(self.inner, on="circle"))

    def reference(self) -> Reference:
        grid = np.linspace(-0.5, 0.5, 101)
        return poisson_disks(
            grid,
            grid,
            half_width=0.5,
            centers=CENTERS,
            radius=RADIUS,
            outer=float(self.outer),
            inner=float(self.inner),
        )
