"""Diffusion with the solution itself as its coefficient, on a square with absorbing walls.

This is the porous-medium equation.
"""

from collections.abc import Callable

import numpy as np

from ._chebyshev import chebyshev_nodes, differentiation_matrix, interpolation_matrix
from ._etdrk4 import check_times
from ._reference import Reference, relative_difference


def nonlinear_diffusion(
    x: np.ndarray,
    y: np.ndarray,
    t: np.ndarray,
    *,
    diffusivity: float,
    initial: Callable[[np.ndarray, np.ndarray], np.ndarray],
    half_width: float = 1.0,
    nodes: int = 160,
) -> Reference:
    """u_t = k ∇·(u ∇u) = k (|∇u|² + u Δu) = (k/2) Δ(u²) on [-w, w]², u = 0 on the walls, u >= 0.

    The flux through a wall is finite where u = 0, so u falls like the square root of the distance
    to the wall. Both halves of the method take the smooth quantity: collocation differentiates u²
    as a polynomial, and evaluation interpolates u / sqrt((w² - x²)(w² - y²)). Explicit steps are
    cheap here: diffusion is weak where the nodes crowd.

    Args:
        x: the first axis of the evaluation grid, 1-D.
        y: its second axis, 1-D.
        t: its times, 1-D, increasing from t >= 0.
        diffusivity: k > 0.
        initial: u at t = 0, vectorised, not negative. Where it does not vanish on the walls, a
            layer of width sqrt(k u t) starts there; it is resolved once wider than w/`nodes`², and
            the error is largest before.
        half_width: w > 0.
        nodes: the polynomial degree along each axis. The error bar is the distance to the solution
            of degree 0.7 `nodes` (time errors, tolerance 1e-9, are far below).

    Returns:
        `u` with `x (nx, 1, 1)`, `y (1, ny, 1)`, `t (1, 1, nt)`; NaN at t = 0 where data that do
        not vanish meet a wall.

    Raises:
        ValueError: for invalid times, or where the integrator stops early.
    """
    x, y, t = np.asarray(x, np.float64), np.asarray(y, np.float64), check_times(t)
    if t[-1] == 0:
        raise ValueError(
            "the last time is 0, but there the solution is the initial data: give a later time."
        )

    def solve(degree: int) -> np.ndarray:
        inner, history = _marched(t, diffusivity, initial, half_width, degree)
        wall = np.sqrt(half_width**2 - inner**2)
        # Barycentric weights of the interior Chebyshev points, the roots of U_n (Berrut &
        # Trefethen, 2004).
        weights = (-1.0) ** np.arange(inner.size) * wall**2

        def evaluation(points: np.ndarray) -> np.ndarray:
            envelope = np.sqrt(np.maximum(half_width**2 - points**2, 0.0))
            return envelope[:, None] * interpolation_matrix(inner, points, weights) / wall

        u = np.einsum("xi,ijt->xjt", evaluation(x), history, optimize=True)
        u = np.einsum("xjt,yj->xyt", u, evaluation(y), optimize=True)
        if t[0] == 0:
            u[:, :, 0] = initial(x[:, None], y[None, :])
            # Where data that do not vanish meet the wall the solution has no value.
            on_wall = (np.abs(x)[:, None] == half_width) | (np.abs(y)[None, :] == half_width)
            u[on_wall & (u[:, :, 0] != 0), 0] = np.nan
        return u

    u = solve(nodes)
    return Reference(
        coordinates={"x": x[:, None, None], "y": y[None, :, None], "t": t[None, None, :]},
        values={"u": u},
        error_bar={"u": relative_difference(solve(int(0.7 * nodes)), u)},
        kind="Chebyshev collocation of u²",
        source=f"porous-medium form u_t = (k/2) Δ(u²); degree {nodes}, Runge-Kutta 5(4) with "
        "tolerance 1e-9",
    )


def _marched(
    t: np.ndarray,
    diffusivity: float,
    initial: Callable[[np.ndarray, np.ndarray], np.ndarray],
    half_width: float,
    degree: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The inner Chebyshev nodes, `(n,)`, and u there at all times, `(n, n, nt)`."""
    from scipy.integrate import solve_ivp

    grid = chebyshev_nodes(degree, (-half_width, half_width))
    matrix = differentiation_matrix(grid)
    second = (matrix @ matrix)[1:-1, 1:-1] * diffusivity / 2
    second_transposed = np.ascontiguousarray(second.T)
    inner = grid[1:-1]
    shape = (inner.size, inner.size)

    def slope(_: float, state: np.ndarray) -> np.ndarray:
        square = state.reshape(shape) ** 2
        return (second @ square + square @ second_transposed).ravel()

    start = initial(inner[:, None], inner[None, :]).ravel()
    march = solve_ivp(slope, (0.0, t[-1]), start, method="RK45", t_eval=t, rtol=1e-9, atol=1e-11)
    if not march.success:
        raise ValueError(f"nonlinear diffusion stopped before t = {t[-1]:g}: {march.message}")
    return inner, march.y.reshape(*shape, t.size)
