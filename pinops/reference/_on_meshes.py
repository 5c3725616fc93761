"""Equations on meshes of triangles, by finite elements of scikit-fem (the extra ``reference``).

Elements are quadratic, and values are those at the points of the mesh, where they are more accurate
than the mesh shows; gradients and stresses are projected onto linear elements in the mean square.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

Function = Callable[[np.ndarray, np.ndarray], Any]  # of x and y, arrays of any one shape
Onto = Callable[[Float[np.ndarray, "n 2"]], Float[np.ndarray, "n 2"]]
Points = Float[np.ndarray, "m 2"]
Cells = Int[np.ndarray, "k 3"]


def poisson_on_mesh(
    points: Points,
    cells: Cells,
    *,
    source: Function,
    given: Function,
    where: Callable[[np.ndarray, np.ndarray], Bool[np.ndarray, "..."]],
    onto: Onto | None = None,
    flux: Function | None = None,
    transfer: Function | None = None,
) -> dict[str, np.ndarray]:
    """-Δu = f, u = g on a part of the boundary, ∂u/∂n = q - h u on the rest of it.

    Args:
        points: Of the mesh.
        cells: Its triangles.
        source: f.
        given: g.
        where: Whether u is given at a point of the boundary, asked in the middle of edges.
        onto: Where the boundary is, for one that is curved: moves the middle of edges onto it.
        flux: q; None: 0.
        transfer: h >= 0; None: 0.

    Returns:
        ``u``, ``u_x`` and ``u_y`` at the points, each ``(m,)``.

    Raises:
        ImportError: Without scikit-fem, with the remedy.
    """
    fem = _scikit_fem()
    mesh = _curved(points, cells, onto)
    basis = fem.CellBasis(mesh, fem.ElementTriP2())

    edges = mesh.facets_satisfying(lambda x: where(x[0], x[1]), boundaries_only=True)
    fixed = basis.get_dofs(edges).flatten()
    values = np.zeros(basis.N)
    values[fixed] = given(*basis.doflocs[:, fixed])
    matrix, load = _stiffness(fem).assemble(basis), _load(fem, source).assemble(basis)
    if flux is not None:
        load = load + _load(fem, flux).assemble(fem.FacetBasis(mesh, fem.ElementTriP2()))
    if transfer is not None:
        rim = fem.FacetBasis(mesh, fem.ElementTriP2())

        @fem.BilinearForm
        def lost(u: Any, v: Any, w: Any) -> Any:
            return transfer(*w.x) * u * v

        matrix = matrix + lost.assemble(rim)
    values = fem.solve(*fem.condense(matrix, load, x=values, D=fixed))
    slope = basis.interpolate(values).grad
    at_points = basis.nodal_dofs[0]
    return {
        "u": values[at_points],
        "u_x": _projected(basis, slope[0]),
        "u_y": _projected(basis, slope[1]),
    }


def heat_on_mesh(
    points: Points,
    cells: Cells,
    *,
    before: Function,
    source: Function,
    diffusivity: float,
    times: Float[np.ndarray, " t"],
    substeps: int = 8,
) -> Float[np.ndarray, "t m"]:
    """∂u/∂t = κ (Δu + f), u = 0 on the boundary; at first u is the steady temperature of another
    source, -Δu = g.

    Steps are those of the L-stable method of two stages and the second order (Alexander 1977, SIAM
    J. Numer. Anal. 14, equation 2.3, γ = 1 - 1/√2), whose stages share one matrix.

    Args:
        points: Of the mesh.
        cells: Its triangles.
        before: g.
        source: f.
        diffusivity: κ > 0.
        times: Rising and equally spaced; u starts at the first.
        substeps: From each to the next, at least 1.

    Returns:
        u at all times and points.

    Raises:
        ImportError: Without scikit-fem, with the remedy.
    """
    from scipy.sparse.linalg import splu

    fem = _scikit_fem()
    basis = fem.CellBasis(_curved(points, cells, None), fem.ElementTriP2())
    inner = basis.complement_dofs(basis.get_dofs())
    stiffness, mass = (
        form.assemble(basis)[inner][:, inner].tocsc() for form in (_stiffness(fem), _mass(fem))
    )
    load = _load(fem, source).assemble(basis)[inner]
    u = splu(stiffness).solve(_load(fem, before).assemble(basis)[inner])
    step, gamma = (times[1] - times[0]) / substeps, 1 - np.sqrt(0.5)
    factors = splu((mass + gamma * step * diffusivity * stiffness).tocsc())

    def slope(u: np.ndarray) -> np.ndarray:
        return factors.solve(diffusivity * (load - stiffness @ u))

    whole = np.zeros((len(times), basis.N))
    whole[0, inner] = u
    for row in whole[1:]:
        for _ in range(substeps):
            first = slope(u)
            second = slope(u + (1 - gamma) * step * first)
            u = u + step * ((1 - gamma) * first + gamma * second)
        row[inner] = u
    return whole[:, basis.nodal_dofs[0]]


def _stiffness(fem: Any) -> Any:
    @fem.BilinearForm
    def stiffness(u: Any, v: Any, _: Any) -> Any:
        return u.grad[0] * v.grad[0] + u.grad[1] * v.grad[1]

    return stiffness


def _mass(fem: Any) -> Any:
    @fem.BilinearForm
    def mass(u: Any, v: Any, _: Any) -> Any:
        return u * v

    return mass


def _load(fem: Any, source: Function) -> Any:
    @fem.LinearForm
    def load(v: Any, w: Any) -> Any:
        return source(*w.x) * v

    return load


def plane_stress(
    points: Points,
    cells: Cells,
    *,
    bottom: float,
    top: float,
    traction: float = 1.0,
    young: float = 1.0,
    poisson: float = 0.3,
    onto: Onto | None = None,
) -> dict[str, np.ndarray]:
    """Linear elasticity in plane stress: a plate on rollers at the bottom, pulled at the top.

    div σ = 0, σ = E / (1 - ν²) ((1 - ν) ε + ν tr ε I); u_y = 0 without shear on the bottom, σ n =
    (0, traction) on the top, σ n = 0 on the rest of the boundary. The leftmost point of the bottom
    does not move.

    Args:
        points: Of the mesh.
        cells: Its triangles.
        bottom: y of the edges at the bottom.
        top: y of the edges at the top.
        traction: Force by length.
        young: E > 0.
        poisson: ν, from 0 to 0.5.
        onto: As for `poisson_on_mesh`.

    Returns:
        Displacements ``ux`` and ``uy``, the stresses ``stress_xx``, ``stress_yy`` and
        ``stress_xy``, and von Mises' ``stress``, at the points, each ``(m,)``.

    Raises:
        ImportError: Without scikit-fem, with the remedy.
    """
    fem = _scikit_fem()
    mesh = _curved(points, cells, onto)
    basis = fem.CellBasis(mesh, fem.ElementVector(fem.ElementTriP2()))
    close = 1e-9 * (top - bottom)

    def stress(gradient: Any) -> tuple[Any, Any, Any]:
        """σ_xx, σ_yy and σ_xy."""
        xx, yy = gradient[0, 0], gradient[1, 1]
        factor = young / (1 - poisson**2)
        shear = 0.5 * (1 - poisson) * factor * (gradient[0, 1] + gradient[1, 0])
        return factor * (xx + poisson * yy), factor * (yy + poisson * xx), shear

    @fem.BilinearForm
    def stiffness(u: Any, v: Any, _: Any) -> Any:
        xx, yy, xy = stress(u.grad)
        return xx * v.grad[0, 0] + yy * v.grad[1, 1] + xy * (v.grad[0, 1] + v.grad[1, 0])

    @fem.LinearForm
    def load(v: Any, _: Any) -> Any:
        return traction * v[1]

    above = mesh.facets_satisfying(lambda x: np.abs(x[1] - top) < close, boundaries_only=True)
    edges = fem.FacetBasis(mesh, fem.ElementVector(fem.ElementTriP2()), facets=above)
    rollers = basis.get_dofs(lambda x: np.abs(x[1] - bottom) < close).all(["u^2"])
    on_bottom = np.flatnonzero(np.abs(points[:, 1] - bottom) < close)
    corner = on_bottom[np.argmin(points[on_bottom, 0])]
    fixed = np.concatenate([rollers, basis.nodal_dofs[:1, corner]])
    system = fem.condense(stiffness.assemble(basis), load.assemble(edges), D=fixed)
    values = fem.solve(*system)
    gradient = basis.interpolate(values).grad
    xx, yy, xy = (_projected(basis, part) for part in stress(gradient))
    return {
        "ux": values[basis.nodal_dofs[0]],
        "uy": values[basis.nodal_dofs[1]],
        "stress_xx": xx,
        "stress_yy": yy,
        "stress_xy": xy,
        "stress": np.sqrt(xx**2 - xx * yy + yy**2 + 3 * xy**2),
    }


def _curved(points: Points, cells: Cells, onto: Onto | None) -> Any:
    """The mesh of scikit-fem, with edges along the boundary that are parabolas where it is curved:
    a polygon has corners, at which stresses are those of the mesh.
    """
    fem = _scikit_fem()
    straight = fem.MeshTri(np.ascontiguousarray(points.T), np.ascontiguousarray(cells.T))
    if onto is None:
        return straight
    mesh = fem.MeshTri2.from_mesh(straight)
    edges = mesh.boundary_facets()
    places = np.array(mesh.doflocs)
    middle = len(points) + edges
    places[:, middle] = onto(places[:, middle].T).T
    return fem.MeshTri2(places, mesh.t)


def _projected(basis: Any, values: Any) -> Float[np.ndarray, " m"]:
    """The linear elements nearest in the mean square to values at the quadrature points."""
    fem = _scikit_fem()
    linear = basis.with_element(fem.ElementTriP1())

    @fem.LinearForm
    def moments(v: Any, w: Any) -> Any:
        return w.known * v

    return fem.solve(_mass(fem).assemble(linear), moments.assemble(linear, known=values))


def _scikit_fem() -> Any:
    try:
        import skfem
    except ImportError as error:
        raise ImportError(
            "solutions on meshes need scikit-fem; pip install 'pinops[reference]'"
        ) from error
    return skfem
