"""Reaction and diffusion on an interval with absorbing ends, by Chebyshev collocation."""

from collections.abc import Callable

import numpy as np

from ._chebyshev import chebyshev_nodes, differentiation_matrix, interpolation_matrix
from ._etdrk4 import check_times, integrate_etdrk4
from ._reference import Reference, relative_difference


def reaction_diffusion(
    x: np.ndarray,
    t: np.ndarray,
    *,
    diffusivity: float,
    reaction: Callable[[np.ndarray], np.ndarray],
    initial: Callable[[np.ndarray], np.ndarray],
    source: Callable[[np.ndarray], np.ndarray] = np.zeros_like,
    interval: tuple[float, float] = (0.0, 1.0),
    nodes: int = 64,
    max_step: float = 1e-3,
) -> Reference:
    """u_t = D u_xx + reaction(u) + source(x) on `interval`, u = 0 at both ends.

    By Chebyshev collocation and ETDRK4. Fisher's equation (1937) is
    `reaction=lambda u: rate * u * (1 - u)`.

    Args:
        x: the evaluation grid, 1-D, inside `interval`.
        t: its times, 1-D, increasing from t >= 0.
        diffusivity: D > 0.
        reaction: a vectorised function of u.
        initial: u at t = 0, a vectorised function of x. It vanishes at both ends, or the first
            instants (t < (interval / `nodes`²)² / D) are not resolved.
        source: a vectorised function of x, zero by default.
        interval: the ends (low, high) of x.
        nodes: the polynomial degree.
        max_step: the longest time step. The error bar is the distance to a second solution with
            half the degree and twice the step.

    Returns:
        `u` with `x (nx, 1)`, `t (1, nt)`.
    """
    x, t = np.asarray(x, np.float64), check_times(t)

    def solve(degree: int, refinement: int) -> np.ndarray:
        grid = chebyshev_nodes(degree, interval)
        matrix = differentiation_matrix(grid)
        # Eigenvalues of the Dirichlet second derivative are real, negative and distinct
        # (Gottlieb & Lustman, 1983).
        eigenvalues, vectors = np.linalg.eig((matrix @ matrix)[1:-1, 1:-1])
        eigenvalues, vectors = np.real(eigenvalues), np.real(vectors)
        inverse = np.linalg.inv(vectors)
        constant = source(grid[1:-1])
        history = integrate_etdrk4(
            inverse @ initial(grid[1:-1]),
            diffusivity * eigenvalues,
            lambda state: inverse @ (reaction(vectors @ state) + constant),
            t,
            max_step,
            refinement,
        )
        signs = (-1.0) ** np.arange(degree + 1)
        signs[[0, -1]] /= 2
        u = interpolation_matrix(grid, x, signs)[:, 1:-1] @ vectors @ history.T
        if t[0] == 0:
            u[:, 0] = initial(x)
        return u

    u = solve(nodes, 2)
    return Reference(
        coordinates={"x": x[:, None], "t": t[None, :]},
        values={"u": u},
        error_bar={"u": relative_difference(solve(nodes // 2, 1), u)},
        kind="Chebyshev ETDRK4",
        source=f"Kassam & Trefethen (2005); degree {nodes}, steps of at most {max_step / 2:g}",
    )
