"""Lid-driven cavity."""

import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.reference import Reference, lid_driven_cavity

LAYER = 1 / 50  # the distance from the corners within which the lid comes to rest


@po.register("lid_driven_cavity")
class LidDrivenCavity(po.Problem):
    """(u·∇)u = -∇p + Δu / Re, ∇·u = 0 on (0, 1)², u(x, 1) = 1 - cosh(50(x - ½))/cosh 25,
    (u, v) = 0 on the other walls.

    Source: Ghia, Ghia & Shin (1982), with the lid of Wang et al. (2024), "PirateNets".

    A vortex below a moving lid. The lid of the original moves with u = 1 up to the corners, where
    the data jump; this one comes to rest within 1/50 of them, so that the data are continuous and
    can be imposed exactly. The pressure p has no condition: it is determined up to a constant. It
    is large at the corners of the lid and has no reference.

    At a distance r from a corner of the lid the terms of the momentum equations are of size 1/r²,
    down to r = 1/50. They are multiplied by r² / (r² + 0.1²), and the continuity equation by its
    root: otherwise a handful of points there would be most of the loss. Points are denser near
    the walls, and networks see coordinates whose unit shrinks with the distance to the walls.

    Args:
        reynolds: the Reynolds number Re > 0 (default 100; the flow is stable up to about 8000).
    """

    domain = po.Box(x=(0, 1), y=(0, 1))
    unknowns = ("u", "v", "p")
    gauge = ("p",)
    sampler = po.sampling.Arcsine()
    stretched = True
    reynolds: float = po.positive(100.0)

    def scale(self, x, y):
        """The factor of the momentum equations, between 0 and 1."""
        left, right = x**2 + (1 - y) ** 2, (1 - x) ** 2 + (1 - y) ** 2
        return left / (left + 0.01) * right / (right + 0.01)

    def residual(self, x, y, u, u_x, u_y, lap_u, v, v_x, v_y, lap_v, p_x, p_y):
        scale = self.scale(x, y)
        return {
            "momentum_x": scale * (u * u_x + v * u_y + p_x - lap_u / self.reynolds),
            "momentum_y": scale * (u * v_x + v * v_y + p_y - lap_v / self.reynolds),
            "continuity": jnp.sqrt(scale) * (u_x + v_y),
        }

    def features(self, x, y):
        return tuple(
            jnp.log((LAYER + s) / (LAYER + 1 - s)) / jnp.log(1 + 1 / LAYER) for s in (x, y)
        )

    def conditions(self):
        lid = {"u": lambda x: 1 - jnp.cosh((x - 0.5) / LAYER) / jnp.cosh(0.5 / LAYER), "v": 0.0}
        return (
            po.Dirichlet(lid, on="y_max"),
            po.Dirichlet({"u": 0.0, "v": 0.0}, on=("x", "y_min")),
        )

    def reference(self) -> Reference:
        grid = np.linspace(0, 1, 101)
        return lid_driven_cavity(
            grid,
            grid,
            reynolds=float(self.reynolds),
            lid=lambda x: 1 - np.cosh((x - 0.5) / LAYER) / np.cosh(0.5 / LAYER),
            elements=48,
        )
