"""Reference solutions of PINNacle's diffusion problems by finite elements (extra ``reference``).

Each is computed on two meshes; its error bar is the difference at the points of the coarser one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from _pinnacle_references import difference

from pinops.reference import Reference

Array = np.ndarray
Circles = Sequence[tuple[float, float, float]]


# Blocks of several materials


def blocks(
    conductivity: Callable[[Array, Array], Array], source: Callable[[Array, Array], Array]
) -> Reference:
    """∇·(a ∇u) + f = 0 on (-10, 10)², u_n = -u on its walls, by elements of degree 2.

    Args:
        conductivity: a, constant on each of 5 x 5 squares.
        source: f, smooth on each of them.
    """
    import skfem as fem

    def solved(count: int) -> Array:
        mesh: Any = fem.MeshQuad.init_tensor(*2 * [np.linspace(-10, 10, count + 1)])
        basis = fem.Basis(mesh, fem.ElementQuad2(), intorder=6)
        rim = fem.FacetBasis(mesh, fem.ElementQuad2(), intorder=6)
        size, middle = 20 / count, np.linspace(-10, 10, count + 1)[:-1] + 10 / count

        def inside(w: Any) -> Array:
            # The material of an element: on its edges the next one has another.
            cell = np.clip((w.x + 10) // size, 0, count - 1).astype(int)
            return conductivity(middle[cell[0]], middle[cell[1]])

        @fem.BilinearForm
        def conducted(u: Any, v: Any, w: Any) -> Any:
            return inside(w) * (u.grad[0] * v.grad[0] + u.grad[1] * v.grad[1])

        @fem.BilinearForm
        def lost(u: Any, v: Any, w: Any) -> Any:
            return inside(w) * u * v

        @fem.LinearForm
        def made(v: Any, w: Any) -> Any:
            return source(*w.x) * v

        matrix = conducted.assemble(basis) + lost.assemble(rim)
        nodes: Any = basis.nodal_dofs
        u = fem.solve(matrix, made.assemble(basis))[nodes[0]]
        at = np.round((mesh.p + 10) * 2).astype(int)
        on_grid = np.full((41, 41), np.nan)
        shown = np.all(np.isclose((mesh.p + 10) * 2, at), 0)
        on_grid[at[0, shown], at[1, shown]] = u[shown]
        return on_grid

    rough, fine = solved(80), solved(160)
    grid = np.linspace(-10, 10, 41)
    return Reference(
        {"x": grid[:, None], "y": grid[None, :]},
        {"u": fine},
        {"u": difference(rough, fine)},
        "finite elements",
        "degree 2, 160 x 160 squares",
    )


# Heat around many circles


def heat_among_circles(
    half: tuple[float, float],
    circles: Circles,
    surroundings: Sequence[float],
    outside: float,
    t: Array,
) -> Reference:
    """u_t = Δu in a rectangle without disks, u_n = g - u on its boundary, u = 0 at first.

    Quadratic elements with curved edges, and L-stable steps of the second order (Alexander 1977).

    Args:
        half: half of the lengths of the rectangle, which is centred at 0.
        circles: (x, y, radius) of the disks.
        surroundings: g on each circle.
        outside: g on the walls.
        t: equally spaced times from 0.
    """
    import skfem as fem

    points, cells = mesh_around(half, circles, 0.3, 0.7)
    rough: Any = fem.MeshTri(points.T.copy(), cells.T.copy())
    refined: Any = rough.refined()
    # The points of a mesh come first in a refined one.
    fine: Any = fem.MeshTri(_onto_circles(refined.p, circles), refined.t)
    count, given = len(points), {"circles": circles, "surroundings": surroundings}
    values = [
        _heat(mesh, **given, outside=outside, t=t, substeps=substeps)[:count]
        for mesh, substeps in ((rough, 3), (fine, 6))
    ]
    return Reference(
        {"x": points[:, :1], "y": points[:, 1:], "t": t[None, :]},
        {"u": values[1]},
        {"u": difference(*values)},
        "finite elements",
        f"degree 2, {fine.p.shape[1]} points",
    )


def _onto_circles(places: Array, circles: Circles) -> Array:
    """Middles of edges along a circle, which are inside of it, are moved onto it."""
    places = np.array(places)
    for a, b, radius in circles:
        centre = np.array([[a], [b]])
        gap = np.hypot(*(places - centre))
        inside = np.flatnonzero(gap < radius)
        places[:, inside] = centre + (places[:, inside] - centre) * radius / gap[inside]
    return places


def mesh_around(
    half: tuple[float, float], circles: Circles, near: float, far: float
) -> tuple[Array, Array]:
    """Triangles of a rectangle without disks: rings around the disks, a lattice between them.

    Args:
        half: half of the lengths of the rectangle.
        circles: (x, y, radius).
        near: the size of triangles at the circles.
        far: and far from them.
    """
    from scipy.spatial import Delaunay, KDTree

    width, height = half
    p, q = (np.linspace(-h, h, int(np.ceil(2 * h / far)) + 1) for h in half)
    walls = [np.stack([p, np.full_like(p, s)], 1) for s in (-height, height)]
    walls += [np.stack([np.full_like(q, s), q], 1)[1:-1] for s in (-width, width)]
    kept, sizes = [np.concatenate(walls)], [np.full(sum(map(len, walls)), far)]
    rings: list[tuple[float, Array]] = []
    for a, b, radius in circles:
        size, r, turned = near, radius, 0.0
        while size < far:
            count = int(np.ceil(2 * np.pi * r / size))
            angle = 2 * np.pi * (np.arange(count) + turned) / count
            ring = np.stack([a + r * np.cos(angle), b + r * np.sin(angle)], 1)
            if r == radius:
                kept.append(ring)
                sizes.append(np.full(count, size))
            else:
                rings.append((size, ring))
            r, size, turned = r + 0.87 * size, 1.25 * size, turned + 0.5
    rows = np.arange(-height + 0.8 * far, height, 0.87 * far)
    lattice = [
        np.stack([x := np.arange(-width + far * (0.8 + k % 2 / 2), width, far), 0 * x + y], 1)
        for k, y in enumerate(rows)
    ]
    rings.append((far, np.concatenate(lattice)))
    for size, ring in sorted(rings, key=lambda one: one[0]):
        there = np.concatenate(kept)
        distance, _ = KDTree(there).query(ring)
        good = distance > 0.7 * size
        good &= (np.abs(ring[:, 0]) < width - size / 3) & (np.abs(ring[:, 1]) < height - size / 3)
        for a, b, radius in circles:
            good &= np.hypot(ring[:, 0] - a, ring[:, 1] - b) > radius * (1 + 1e-9)
        kept.append(ring[good])
    points = np.concatenate(kept)
    cells = Delaunay(points).simplices
    middle = points[cells].mean(1)
    outside = [np.hypot(middle[:, 0] - a, middle[:, 1] - b) > radius for a, b, radius in circles]
    return points, cells[np.all(outside, 0)]


def _heat(
    straight: Any,
    *,
    circles: Circles,
    surroundings: Sequence[float],
    outside: float,
    t: Array,
    substeps: int,
) -> Array:
    """u at the points of a mesh and all times."""
    import skfem as fem
    from scipy.sparse.linalg import splu
    from skfem.models.poisson import laplace, mass

    curved: Any = fem.MeshTri2.from_mesh(straight)
    mesh: Any = fem.MeshTri2(_onto_circles(curved.doflocs, circles), curved.t)
    basis = fem.Basis(mesh, fem.ElementTriP2())
    rim = fem.FacetBasis(mesh, fem.ElementTriP2())

    @fem.LinearForm
    def heated(v: Any, w: Any) -> Any:
        x, y = w.x
        value = np.full_like(x, outside)
        for (a, b, radius), given in zip(circles, surroundings, strict=True):
            value = np.where(np.hypot(x - a, y - b) < radius + 0.05, given, value)
        return value * v

    weight, loss = mass.assemble(basis), laplace.assemble(basis) + mass.assemble(rim)
    nodes: Any = basis.nodal_dofs
    load, at = heated.assemble(rim), nodes[0]
    gamma, u, history = 1 - np.sqrt(0.5), np.zeros(basis.N), [np.zeros(len(at))]
    # The first interval, in which the walls begin to heat, has finer steps.
    counts = [8 * substeps] + [substeps] * (len(t) - 2)
    factored = {}
    for count in counts:
        step = (t[1] - t[0]) / count
        if count not in factored:
            factored[count] = splu((weight + gamma * step * loss).tocsc())
        factors = factored[count]
        for _ in range(count):
            first = factors.solve(load - loss @ u)
            second = factors.solve(load - loss @ (u + (1 - gamma) * step * first))
            u = u + step * ((1 - gamma) * first + gamma * second)
        history.append(u[at])
    return np.stack(history, 1)
