"""Linear problems on the square as arrays of one shape, which a hypernetwork reads and trains on.

Conventions (Bischof et al., arXiv 2509.05117): the domain is [-1, 1]^2, or a part of it, with the
coordinates x and y; the second one may be time, which then begins at y = -1. Images have the row 0
at y = 1 and the column 0 at x = -1.
"""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float


class LinearSamples(eqx.Module):
    """Problems ``c0 u + c1 u_x + c2 u_y + c3 u_xx + c4 u_yy = f`` on a part of [-1, 1]^2.

    One of them has no leading axes, a batch has one. ``u = g`` holds at boundary points of the
    Dirichlet mask and ``u_n = h`` at those of the Neumann mask; the first instant of a problem in
    time is such a boundary. Normals point outward on the outer wall and out of the shape of a hole
    (thus into the domain) on holes; the rate at the first instant has the normal (0, 1).

    Args:
        coefficients: ``(..., 5)``, of u, u_x, u_y, u_xx, u_yy, at most 2 in magnitude.
        images: ``(..., N, N, 5)``: Dirichlet mask, Neumann mask, g, h, f. Masks are 0 or 1, g and h
            are 0 off their masks, f goes on inside of holes.
        inside: ``(..., N, N)``, 1 in the domain and 0 in holes.
        nearest: ``(..., N, N, 2)``, the boundary point whose condition a pixel of a mask shows: g
            and h are those there, and so is a misfit; any finite point off the masks.
        nearest_normals: ``(..., N, N, 2)``, unit normals there.
        points: ``(..., n, 2)``, interior points.
        source: ``(..., n)``, f there.
        streams: ``(..., n, 5)``, u, u_x, u_y, u_xx, u_yy of the exact solution there; 0 where it is
            not known.
        known: ``(...)``, whether the exact solution is known.
        boundary: ``(..., m, 2)``, boundary points.
        normals: ``(..., m, 2)``, unit normals there.
        dirichlet: ``(..., m)``, where u is given.
        neumann: ``(..., m)``, where u_n is given.
        values: ``(..., m)``, g; 0 where it is not given.
        fluxes: ``(..., m)``, h; 0 where it is not given.
    """

    coefficients: Float[Any, "*batch 5"]
    images: Float[Any, "*batch N N 5"]
    inside: Float[Any, "*batch N N"]
    nearest: Float[Any, "*batch N N 2"]
    nearest_normals: Float[Any, "*batch N N 2"]
    points: Float[Any, "*batch n 2"]
    source: Float[Any, "*batch n"]
    streams: Float[Any, "*batch n 5"]
    known: Bool[Any, "*batch"]
    boundary: Float[Any, "*batch m 2"]
    normals: Float[Any, "*batch m 2"]
    dirichlet: Bool[Any, "*batch m"]
    neumann: Bool[Any, "*batch m"]
    values: Float[Any, "*batch m"]
    fluxes: Float[Any, "*batch m"]

    @property
    def size(self) -> int:
        """N, the number of rows of an image."""
        return self.images.shape[-2]


def pixels(size: int) -> Float[np.ndarray, "N N 2"]:
    """The points of an image: x grows along rows, y falls along columns.

    Args:
        size: N, rows and columns, of which the first and the last ones are at -1 and 1.
    """
    line = np.linspace(-1, 1, size)
    return np.stack(np.meshgrid(line, line[::-1]), -1)
