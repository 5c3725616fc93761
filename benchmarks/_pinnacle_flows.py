"""The flow over a step by elements of Taylor and Hood (extra ``reference``).

It is computed on two meshes; its error bar is the difference at the points of the coarser one.
"""

from typing import Any, NamedTuple

import numpy as np
from _pinnacle_references import difference

from pinops.reference import Reference

Array = np.ndarray


class _Flow(NamedTuple):
    """What a flow is made of on a mesh.

    Args:
        velocity: quadratic elements.
        pressure: linear elements.
        viscous: the matrix of -Δ.
        gradient: that of the divergence, whose transpose is the gradient of the pressure.
    """

    velocity: Any
    pressure: Any
    viscous: Any
    gradient: Any

    @staticmethod
    def on(mesh: Any) -> "_Flow":
        import skfem as fem

        velocity = fem.Basis(mesh, fem.ElementVector(fem.ElementTriP2()), intorder=5)
        pressure = velocity.with_element(fem.ElementTriP1())

        @fem.BilinearForm
        def viscous(u: Any, v: Any, _: Any) -> Any:
            return sum(u.grad[i, j] * v.grad[i, j] for i in (0, 1) for j in (0, 1))

        @fem.BilinearForm
        def divergence(u: Any, q: Any, _: Any) -> Any:
            return -q * (u.grad[0, 0] + u.grad[1, 1])

        gradient = divergence.assemble(velocity, pressure)
        return _Flow(velocity, pressure, viscous.assemble(velocity), gradient)

    def advection(self, flow: Array) -> Array:
        """The moments of (u·∇) u."""
        import skfem as fem

        @fem.LinearForm
        def moved(v: Any, w: Any) -> Any:
            u, slope = w["flow"], w["flow"].grad
            return sum(slope[i, j] * u[j] * v[i] for i in (0, 1) for j in (0, 1))

        return moved.assemble(self.velocity, flow=self.velocity.interpolate(flow))

    def derivative_of_advection(self, flow: Array) -> Any:
        """The matrix of its derivative."""
        import skfem as fem

        @fem.BilinearForm
        def changed(u: Any, v: Any, w: Any) -> Any:
            old, slope = w["flow"], w["flow"].grad
            pairs = ((i, j) for i in (0, 1) for j in (0, 1))
            return sum((u.grad[i, j] * old[j] + slope[i, j] * u[j]) * v[i] for i, j in pairs)

        return changed.assemble(self.velocity, flow=self.velocity.interpolate(flow))

    def given(self, outlet: float) -> Array:
        """The velocities on the boundary, but for those at the outlet."""
        x, y = self.velocity.doflocs
        ends = (y.min(), y.max())
        free = np.zeros(self.velocity.N, bool)
        free[np.isclose(x, outlet)] = True
        free &= ~np.isclose(y, ends[0]) & ~np.isclose(y, ends[1])
        there = self.velocity.get_dofs().flatten()
        return there[~free[there]]

    def inlet(self) -> tuple[Array, Array]:
        """The velocities along x at x = 0, and their y."""
        there = self.velocity.get_dofs(lambda p: np.isclose(p[0], 0)).all(["u^1"])
        return there, self.velocity.doflocs[1, there]

    def at_points(self, flow: Array, p: Array) -> dict[str, Array]:
        """u, v and p at the points of the mesh."""
        u, v = flow[self.velocity.nodal_dofs]
        return {"u": u, "v": v, "p": p[self.pressure.nodal_dofs[0]]}


def _rectangle(length: int, height: int, count: int) -> Any:
    import skfem as fem

    across = np.linspace(0, height, height * count + 1)
    return fem.MeshTri.init_tensor(np.linspace(0, length, length * count + 1), across)


def _compared(points: Array, rough: Any, fine: Any, source: str) -> Reference:
    """A reference at some points of both meshes."""
    from scipy.spatial import KDTree

    def there(solved: Any) -> dict[str, Array]:
        _, same = KDTree(solved[0]).query(points)
        return {name: value[same] for name, value in solved[1].items()}

    before, values = there(rough), there(fine)
    at = {"x": points[:, 0], "y": points[:, 1]}
    bars = {name: difference(before[name], values[name]) for name in values}
    return Reference(at, values, bars, "finite elements", source)


def step_flow(viscosity: float, count: int = 12, halvings: int = 5) -> Reference:
    """(u·∇)u = -∇p + ν Δu, ∇·u = 0 behind a step: [0, 4] x [0, 2] without [0, 2] x [1, 2].

    u = 4y (1 - y) at x = 0, ν u_x = p and v_x = 0 at x = 4, no flow at the other walls, by
    Newton's method.

    Args:
        viscosity: ν.
        count: of triangles along a unit of length; twice as many in the end.
        halvings: of triangles towards the corner, where derivatives are unbounded.
    """
    box = _rectangle(4, 2, count)
    middle = box.p[:, box.t].mean(1)
    base = box.restrict(np.flatnonzero(~((middle[0] < 2) & (middle[1] > 1))))
    mesh, points = base, base.p.T.copy()
    for k in range(halvings):
        middle = mesh.p[:, mesh.t].mean(1)
        near = np.hypot(middle[0] - 2, middle[1] - 1) < 0.4 / 2**k
        mesh = mesh.refined(np.flatnonzero(near))
    # The pressure is unbounded at the corner.
    points = points[np.hypot(points[:, 0] - 2, points[:, 1] - 1) > 1e-6]
    rough, fine = (_step_flow(viscosity, one) for one in (mesh, mesh.refined()))
    return _compared(points, rough, fine, f"Taylor-Hood, {len(fine[0])} points")


def _step_flow(viscosity: float, mesh: Any) -> tuple[Array, dict[str, Array]]:
    """The points of the mesh, and the flow there."""
    import skfem as fem
    from scipy.sparse import bmat

    one = _Flow.on(mesh)
    size = one.velocity.N
    flow, p, fixed = np.zeros(size), np.zeros(one.pressure.N), one.given(4)
    there, y = one.inlet()
    flow[there] = 4 * y * (1 - y)
    for newton in range(25):
        matrix, moved = viscosity * one.viscous, np.zeros(size)
        missed = matrix @ flow + one.gradient.T @ p
        if newton:  # Stokes' flow first
            matrix, moved = matrix + one.derivative_of_advection(flow), one.advection(flow)
        system = bmat([[matrix, one.gradient.T], [one.gradient, None]], "csr")
        right = -np.concatenate([missed + moved, one.gradient @ flow])
        change = fem.solve(*fem.condense(system, right, D=fixed))
        flow, p = flow + change[:size], p + change[size:]
        if newton and np.abs(change[:size]).max() < 1e-10:
            return mesh.p.T, one.at_points(flow, p)
    raise ValueError("Newton's method did not converge")
