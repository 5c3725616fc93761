"""Values on curved walls and on a part of a wall, met exactly and as terms of the loss.

    python benchmarks/curved_walls.py [--cases "ring, exact" ...] [--seeds 0 1 2] [--pin]
    python benchmarks/curved_walls.py --markdown

The first command solves every problem by the default recipe within its seconds and updates
``benchmarks/results/curved_walls.json``; the second writes the table of ``docs/guide/geometry.md``.
In the cases that end with "soft", the same conditions are declared ``soft=True``. Fluxes are terms
of the loss in all of them. The solutions are closed forms, that of the four holes a series.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import _record
from _record import Row

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "geometry.md"
MARKS = ("<!-- table: benchmarks/curved_walls.py --markdown -->", "<!-- end of table -->")
SECONDS = 60
PROBLEMS = {
    "ring": ("a ring, flux on the outer wall", 1e-5),
    "hole": ("a square with a hole", 1e-5),
    "ellipse": ("an ellipse", 1e-5),
    "disks": ("`poisson_disks`, a square with four holes", 1e-5),
    "plate": ("a plate heated on a part of one wall", 1e-3),
}
HOW = ("exact", "soft")
CASES = tuple(f"{name}, {how}" for name in PROBLEMS for how in HOW)
INNER, HOLE, HALF = 0.4, 0.3, 0.5  # radii of the holes, half of the heated part


def ring(soft: bool) -> Any:
    """Laplace's equation with a flux that varies along the outer wall."""
    import jax.numpy as jnp

    import pinops as po

    class Ring(po.Problem):
        domain = po.Disk(x=0.0, y=0.0, radius=1.0, name="outer") - po.Disk(
            x=0.0, y=0.0, radius=INNER, name="inner"
        )

        def residual(self, lap_u):
            return lap_u

        def conditions(self):
            wall = po.Dirichlet(0.0, on="inner", soft=soft)
            return wall, po.Neumann(self.flux, on="outer")

        def flux(self, x, y):
            return 1 + (1 + INNER**4) * (x**2 - y**2)

        def exact(self, x, y):
            square = x**2 + y**2
            wave = (1 - INNER**4 / square**2) * (x**2 - y**2) / 2
            return jnp.log(square / INNER**2) / 2 + wave

    return Ring()


def hole(soft: bool) -> Any:
    """Poisson's equation in a square, with values that vary around the hole."""
    import jax.numpy as jnp

    import pinops as po

    def solution(x: Any, y: Any) -> Any:
        wave = jnp.cos(jnp.pi * x / 2) * jnp.cos(jnp.pi * y / 2)
        return wave * (1 + jnp.exp(x) * jnp.sin(2 * y + 1))

    class Hole(po.Problem):
        domain = po.Box(x=(-1, 1), y=(-1, 1)) - po.Disk(x=0.0, y=0.0, radius=HOLE, name="hole")

        def residual(self, lap_u, x, y):
            return lap_u - laplacian(solution, x, y)

        def conditions(self):
            return (
                po.Dirichlet(0.0, on=("x", "y"), soft=soft),
                po.Dirichlet(self.around, on="hole", soft=soft),
            )

        def around(self, x, y):
            # From the direction alone, so that inside it is not the solution.
            r = jnp.sqrt(x**2 + y**2)
            return solution(HOLE * x / r, HOLE * y / r)

        def exact(self, x, y):
            return solution(x, y)

    return Hole()


def ellipse(soft: bool) -> Any:
    """Poisson's equation with zero on the wall."""
    import jax.numpy as jnp

    import pinops as po

    def solution(x: Any, y: Any) -> Any:
        return (1 - x**2 - 4 * y**2) * jnp.exp(x) * jnp.sin(2 * y + 1)

    class Ellipse(po.Problem):
        domain = po.Ellipse(x=0.0, y=0.0, radii=(1.0, 0.5))

        def residual(self, lap_u, x, y):
            return lap_u - laplacian(solution, x, y)

        def conditions(self):
            return (po.Dirichlet(0.0, soft=soft),)

        def exact(self, x, y):
            return solution(x, y)

    return Ellipse()


def disks(soft: bool) -> Any:
    """The problem of the catalogue."""
    import pinops as po

    found = po.load_problem("poisson_disks")
    if not soft:
        return found

    class Soft(type(found)):
        def conditions(self):
            return tuple(
                po.Dirichlet(one.value, on=one.on, soft=True)
                for one in super().conditions()
                if isinstance(one, po.Dirichlet)
            )

    return Soft()


def plate(soft: bool) -> Any:
    """Laplace's equation: 1 on the middle half of the lower wall, no flux beside it, and the fluxes
    of the solution, 1 - mu + sinh(2 mu) cos(2 nu) / 10 in elliptic coordinates, elsewhere.
    """
    import jax
    import jax.numpy as jnp

    import pinops as po

    def solution(x: Any, y: Any) -> Any:
        first, last = (jnp.sqrt((x + end) ** 2 + y**2) for end in (HALF, -HALF))
        mu = jnp.arccosh(jnp.maximum((first + last) / (2 * HALF), 1.0))
        cosine = (first - last) / (2 * HALF)
        return 1 - mu + jnp.sinh(2 * mu) * (2 * cosine**2 - 1) / 10

    class Plate(po.Problem):
        domain = po.Polygon([(-1, 0), (-HALF, 0), (HALF, 0), (1, 0), (1, 1), (-1, 1)])

        def residual(self, lap_u):
            return lap_u

        def conditions(self):
            return (
                po.Dirichlet(1.0, on="edge_1", soft=soft),
                po.Neumann(0.0, on=("edge_0", "edge_2")),
                po.Neumann(lambda x, y: jax.grad(solution, 0)(x, y), on="edge_3"),
                po.Neumann(lambda x, y: jax.grad(solution, 1)(x, y), on="edge_4"),
                po.Neumann(lambda x, y: -jax.grad(solution, 0)(x, y), on="edge_5"),
            )

        def exact(self, x, y):
            return solution(x, y)

    return Plate()


def laplacian(function: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    """Of a function of the plane."""
    import jax

    return sum(jax.grad(jax.grad(function, axis), axis)(x, y) for axis in (0, 1))


def problem(case: str) -> Any:
    """The problem of a case."""
    name, how = case.split(", ")
    made = {"ring": ring, "hole": hole, "ellipse": ellipse, "disks": disks, "plate": plate}
    return made[name](how == "soft")


def run(case: str, seed: int, smoke: bool) -> Row:
    """One training of the default recipe, in nine tenths of the seconds: the rest compiles."""
    import pinops as po

    length: dict[str, Any] = {"steps": 3} if smoke else {"minutes": 0.9 * SECONDS / 60}
    solution = po.solve(problem(case), seed=seed, progress=False, **length)
    errors = {unknown: one["mean"] for unknown, one in solution.error().items()}
    steps = solution.history[-1].step
    return {"relative_l2": errors, "steps": steps, "seconds": round(solution.seconds, 1)}


def table(content: Row) -> list[str]:
    """A row for each problem that was solved in both ways."""
    return _record.paired(content, PROBLEMS, HOW, ("met exactly", "terms of the loss"))


def main() -> None:
    settings = {
        case: {"target": PROBLEMS[case.split(", ")[0]][1], "seconds": SECONDS} for case in CASES
    }
    _record.by_case(__file__, __doc__, run, settings, page=PAGE, marks=MARKS, table=table)


if __name__ == "__main__":
    main()
