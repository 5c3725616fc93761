"""PINNacle's steady problems and the one that is solved for a coefficient, repaired.

Source of the statements: Hao et al., arXiv 2306.08827, and the code of that paper.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from _pinnacle_flows import step_flow
from _pinnacle_meshes import blocks

import pinops as po
from pinops.reference import Reference, lid_driven_cavity

NOISE = 0.1  # the standard deviation of what is observed, in units of u


Driven: Any = type(po.load_problem("lid_driven_cavity"))


class Cavity(Driven):
    """The registered problem under the lid u = 4x (1 - x)."""

    def conditions(self):
        lid = {"u": lambda x: 4 * x * (1 - x), "v": 0.0}
        rest = po.Dirichlet({"u": 0.0, "v": 0.0}, on=("x", "y_min"))
        return po.Dirichlet(lid, on="y_max"), rest

    def reference(self) -> Reference:
        grid = np.linspace(0, 1, 101)

        def lid(x: np.ndarray) -> np.ndarray:
            return 4 * x * (1 - x)

        return lid_driven_cavity(grid, grid, reynolds=float(self.reynolds), lid=lid, elements=48)


class BackwardStep(po.Problem):
    """(u·∇)u = -∇p + ν Δu, ∇·u = 0 behind a step, ν = 1/100.

    PINNacle has p = 0 at the outlet and nothing for the velocity there, which leaves the flow open;
    here no force acts on the outlet: ν u_x = p and v_x = 0.
    """

    domain = po.Polygon([(0, 0), (4, 0), (4, 2), (2, 2), (2, 1), (0, 1)])
    unknowns = ("u", "v", "p")
    viscosity: float = po.positive(0.01)

    def residual(self, u, u_x, u_y, lap_u, v, v_x, v_y, lap_v, p_x, p_y):
        return {
            "momentum_x": u * u_x + v * u_y + p_x - self.viscosity * lap_u,
            "momentum_y": u * v_x + v * v_y + p_y - self.viscosity * lap_v,
            "continuity": u_x + v_y,
        }

    def conditions(self):
        walls = tuple(f"edge_{k}" for k in (0, 2, 3, 4))
        return (
            po.Dirichlet({"u": 0.0, "v": 0.0}, on=walls),
            po.Dirichlet({"u": lambda y: 4 * y * (1 - y), "v": 0.0}, on="edge_5"),
            po.Neumann({"v": 0.0}, on="edge_1"),
            po.Equation(lambda u_x, p: self.viscosity * u_x - p, on="edge_1"),
        )

    def reference(self) -> Reference:
        return step_flow(float(self.viscosity))


class Blocks(po.Problem):
    """∇·(a ∇u) + f = 0 on (-10, 10)², a constant on each of 5 x 5 squares, u_n = -u on the walls.

    PINNacle's a, between 1/100 and 1000, and f are in files, and its equation is a Δu + f = 0
    without a condition between squares; here both are formulas, and fluxes are continuous.
    """

    domain = po.Box(x=(-10, 10), y=(-10, 10))
    subdomains = {
        "left": po.Interval(x=(-6, -2)),
        "right": po.Interval(x=(2, 6)),
        "low": po.Interval(y=(-6, -2)),
        "high": po.Interval(y=(2, 6)),
    }

    def residual(self, lap_u, x, y, left, right, low, high):
        return self.conductivity(x, y, left, right, low, high) * lap_u + block_source(x, y)

    def conditions(self):
        return po.Robin(0.0, on=("x", "y")), po.Interface(self.flux)

    def flux(self, u_n, x, y, left, right, low, high):
        return self.conductivity(x, y, left, right, low, high) * u_n

    def conductivity(self, x, y, left, right, low, high):
        """Of the side that is asked for, at an interface."""

        def number(s, second, fourth):
            odd = jnp.where(s < -4, 0, jnp.where(s > 4, 4, 2))
            return jnp.where(second, 1, jnp.where(fourth, 3, odd))

        return block_conductivity(number(x, left, right), number(y, low, high))

    def reference(self) -> Reference:
        def of_block(x: np.ndarray, y: np.ndarray) -> np.ndarray:
            return block_conductivity((x + 10) // 4, (y + 10) // 4, np)

        return blocks(of_block, lambda x, y: block_source(x, y, np))


def block_conductivity(i, j, xp=jnp):
    """a of `Blocks`, between 1/10 and 10, of the square in column i and row j."""
    return 10.0 ** xp.sin(2 + 3.0 * i + 5.0 * j)


def block_source(x, y, xp=jnp):
    """f of `Blocks`, as PINNacle's: a constant and a bump in each square."""
    i, j = xp.clip((x + 10) // 4, 0, 4), xp.clip((y + 10) // 4, 0, 4)
    bump = xp.sin(np.pi * ((x + 10) / 4 - i)) * xp.sin(np.pi * ((y + 10) / 4 - j))
    return xp.cos(1 + 2 * i + 3 * j) + 2 * xp.cos(4 + 5 * i + 2 * j) * bump


class Conductivity(po.Problem):
    """∇·(a ∇u) + f = 0 on (0, 1)², u known by 50 x 50 noisy values and a on the boundary.

    With PINNacle's source, u and a do not solve the equation: its (2x + 1) and (2y + 1) have the
    wrong sign.
    """

    domain = po.Box(x=(0, 1), y=(0, 1))
    unknowns = ("u", "a")

    def residual(self, u_x, u_y, lap_u, a, a_x, a_y, x, y):
        sx, cx, sy, cy = (f(jnp.pi * s) for s in (x, y) for f in (jnp.sin, jnp.cos))
        true = self.field(x, y)
        bend = (2 * x - 1) * cx * sy + (2 * y - 1) * sx * cy
        source = 2 * jnp.pi**2 * sx * sy * true + 2 * jnp.pi * bend * true**2
        return a * lap_u + a_x * u_x + a_y * u_y + source

    def field(self, x, y):
        return 1 / (1 + x**2 + y**2 + (x - 1) ** 2 + (y - 1) ** 2)

    def conditions(self):
        line = np.linspace(0, 1, 50)
        x, y = (part.ravel() for part in np.meshgrid(line, line))
        u = np.sin(np.pi * x) * np.sin(np.pi * y)
        return po.Dirichlet({"a": self.field}), observed({"x": x, "y": y}, u)

    def exact(self, x, y):
        return {"u": jnp.sin(jnp.pi * x) * jnp.sin(jnp.pi * y), "a": self.field(x, y)}


def observed(at: dict[str, np.ndarray], u: np.ndarray) -> Any:
    """Values of u with noise, which is the same for all seeds of a training."""
    noise = np.random.default_rng(0).normal(0, NOISE, u.shape)
    return po.Observed(at, {"u": u + noise}, noise=NOISE)
