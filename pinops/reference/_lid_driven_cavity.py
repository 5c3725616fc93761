"""The steady lid-driven cavity, by a streamfunction in tensor-product splines.

With u = ψ_y, v = -ψ_x continuity holds identically, the pressure drops out, and Navier-Stokes
becomes: find ψ with the wall data such that, for every test spline φ with φ = φ_n = 0 on the
walls,

    ∫ Δψ Δφ + Re ∫ Δψ (u φ_x + v φ_y) = 0.

Splines of degree 5 are smooth enough for Δψ, and their trace on the lid is a spline that
vanishes at the corners, so that the discrete cavity does not leak, not even under the
discontinuous lid u = 1.

Sources: Botella & Peyret, Comput. Fluids 27 (1998) for the benchmark; Tagliabue, Dede &
Quarteroni, Comput. Fluids 102 (2014) for splines and the streamfunction.
"""

from collections.abc import Callable

import numpy as np

from ._reference import Reference, relative_difference

_DEGREE = 5
# Knots tanh(2.2 s): 5 times denser at the walls, for boundary layers and corner singularities.
_GRADING = 2.2
_NEWTON_STEPS = 20


class _Cavity:
    """The discrete problem on `elements`² cells.

    Sparse operators map spline coefficients to values at quadrature points.
    """

    def __init__(self, elements: int, lid: Callable[[np.ndarray], np.ndarray]):
        import scipy.sparse as sp
        from scipy.interpolate import BSpline

        breaks = (1 + np.tanh(_GRADING * np.linspace(-1, 1, elements + 1)) / np.tanh(_GRADING)) / 2
        self.knots = np.concatenate([np.zeros(_DEGREE), breaks, np.ones(_DEGREE)])
        self.size = elements + _DEGREE
        nodes, weights = np.polynomial.legendre.leggauss(_DEGREE + 1)
        cells = np.diff(breaks)[:, None]
        points = (breaks[:-1, None] + cells * (nodes + 1) / 2).ravel()
        weights = (cells * weights / 2).ravel()
        self.weights = np.outer(weights, weights).ravel()
        one = [sp.csr_array(self.basis(points, order)) for order in range(3)]

        def operator(x_order: int, y_order: int):
            return sp.csr_array(sp.kron(one[x_order], one[y_order]))

        self.dx, self.dy = operator(1, 0), operator(0, 1)
        self.laplacian = sp.csr_array(operator(2, 0) + operator(0, 2))
        # ψ = ψ_n = 0 on the walls removes two rows of coefficients per wall; on the lid the
        # second row carries ψ_y.
        free = np.zeros((self.size, self.size), bool)
        free[2:-2, 2:-2] = True
        self.free = np.flatnonzero(free)
        trace = np.zeros(self.size)
        values = one[0].toarray()[:, 2:-2]
        mass = values.T @ (weights[:, None] * values)
        trace[2:-2] = np.linalg.solve(mass, values.T @ (weights * lid(points)))
        slope = BSpline(self.knots, np.eye(self.size)[-2], _DEGREE)(1.0, nu=1)
        self.lid_row = trace / slope

    def basis(self, points: np.ndarray, order: int = 0) -> np.ndarray:
        """Values or derivatives of all splines, `(points, size)`."""
        from scipy.interpolate import BSpline

        return BSpline(self.knots, np.eye(self.size), _DEGREE)(points, nu=order)

    def carry(self, coarse: "_Cavity", coefficients: np.ndarray) -> np.ndarray:
        """The streamfunction of a coarser mesh in these splines.

        By interpolation at the Greville points.
        """
        greville = np.lib.stride_tricks.sliding_window_view(self.knots[1:-1], _DEGREE).mean(axis=1)
        transfer = np.linalg.solve(self.basis(greville), coarse.basis(greville))
        return transfer @ coefficients @ transfer.T

    def newton(self, coefficients: np.ndarray, reynolds: float) -> np.ndarray:
        """The solution at a Reynolds number, `(size, size)`, from a guess.

        Raises:
            ValueError: where Newton's method does not converge.
        """
        import scipy.sparse as sp
        from scipy.sparse.linalg import splu

        psi = np.zeros((self.size, self.size))
        psi[2:-2, 2:-2] = coefficients[2:-2, 2:-2]
        psi[:, -2] = self.lid_row
        psi = psi.ravel()
        test_x, test_y, test_laplacian = (
            a[:, self.free] for a in (self.dx, self.dy, self.laplacian)
        )
        stokes = test_laplacian.T @ sp.diags_array(self.weights) @ test_laplacian
        for _ in range(_NEWTON_STEPS):
            laplacian = self.laplacian @ psi
            u, v = self.dy @ psi, -(self.dx @ psi)
            along_x = sp.diags_array(self.weights * u) @ test_x
            advection = along_x + sp.diags_array(self.weights * v) @ test_y
            diffusion = test_laplacian.T @ (self.weights * laplacian)
            residual = diffusion + reynolds * (advection.T @ laplacian)
            turn = test_x.T @ sp.diags_array(self.weights * laplacian) @ test_y
            jacobian = stokes + reynolds * (advection.T @ test_laplacian + turn - turn.T)
            step = splu(sp.csc_array(jacobian)).solve(-residual)
            psi[self.free] += step
            # Newton's method converges quadratically: the next step is rounding.
            if np.abs(step).max() <= 1e-10 * np.abs(psi).max():
                return psi.reshape(self.size, self.size)
        raise ValueError(
            f"Newton's method did not converge in {_NEWTON_STEPS} steps at Reynolds number "
            f"{reynolds:g} on {self.size - _DEGREE}² elements: give more elements, or a Reynolds "
            "number whose steady flow is stable."
        )


def lid_driven_cavity(
    x: np.ndarray,
    y: np.ndarray,
    *,
    reynolds: float,
    lid: Callable[[np.ndarray], np.ndarray] = np.ones_like,
    elements: int = 64,
) -> Reference:
    """Steady incompressible flow in the unit square under a moving lid, u(x, 1) = lid(x).

    (u·∇)u = -∇p + Δu/Re, ∇·u = 0, and no flow at the other walls.

    Args:
        x: the first axis of the evaluation grid, 1-D, in [0, 1].
        y: its second axis. On the boundary the values are the data; the lid owns its corners.
        reynolds: Re > 0; the steady flow loses stability near 8000.
        lid: its velocity, vectorised; `np.ones_like`, or the regularised
            1 - cosh(50 (x - 1/2)) / cosh(25).
        elements: along each axis. The error bar is the distance to a second solution on 3/4 of
            them.

    Returns:
        `u`, `v` with `x (nx, 1)`, `y (1, ny)`. The pressure is left out: it is unbounded at the
        corners of the lid, like 1/r under u = 1 and like log r under the regularised lid.

    Raises:
        ValueError: for a Reynolds number that is not positive, or without a steady solution.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if not reynolds > 0:
        raise ValueError(f"the Reynolds number is {reynolds}: give a positive value.")

    def evaluate(cavity: _Cavity, psi: np.ndarray) -> dict[str, np.ndarray]:
        u = cavity.basis(x) @ psi @ cavity.basis(y, 1).T
        v = -cavity.basis(x, 1) @ psi @ cavity.basis(y).T
        on_side, on_floor, on_lid = (x == 0) | (x == 1), y == 0, y == 1
        for velocity in (u, v):
            velocity[on_side, :] = 0
            velocity[:, on_floor | on_lid] = 0
        u[:, on_lid] = lid(x)[:, None]
        return {"u": u, "v": v}

    # Newton needs a guess: Stokes flow, then Reynolds numbers doubling on the coarsest mesh.
    cavity = _Cavity(max(elements // 2, 24), lid)
    psi = cavity.newton(np.zeros((cavity.size, cavity.size)), 0.0)
    for halvings in range(int(np.log2(max(reynolds / 100, 1))), -1, -1):
        psi = cavity.newton(psi, reynolds / 2**halvings)
    solutions = []
    for count in (3 * elements // 4, elements):
        finer = _Cavity(count, lid)
        psi = finer.newton(finer.carry(cavity, psi), reynolds)
        cavity = finer
        solutions.append(evaluate(cavity, psi))
    coarse, fine = solutions
    return Reference(
        coordinates={"x": x[:, None], "y": y[None, :]},
        values=fine,
        error_bar={name: relative_difference(coarse[name], fine[name]) for name in fine},
        kind="streamfunction splines",
        source=f"Galerkin, Newton; splines of degree {_DEGREE} on {elements}² cells graded "
        "towards the walls",
    )
