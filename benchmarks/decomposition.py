"""One network against a network in each of many windows of the domain, in the same time.

    python benchmarks/decomposition.py [--cases "burgers, one" ...] [--seeds 0 1 2] [--pin]
    python benchmarks/decomposition.py --markdown

The first command solves every problem within its seconds and updates
``benchmarks/results/decomposition.json``; the second writes the table of
``docs/guide/decomposition.md``. Cases that end with "one" are solved by the default recipe, those
that end with "windows" by the same with a `Decomposed` network. All solutions are closed forms, but
that of Burgers' equation.
"""

from pathlib import Path
from typing import Any

import _record
from _record import Row

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "decomposition.md"
MARKS = ("<!-- table: benchmarks/decomposition.py --markdown -->", "<!-- end of table -->")
SECONDS = 60
PROBLEMS = {
    "harmonics 15": ("u' = cos x + 15 cos 15x, 30 waves in 30 windows", 1e-3),
    "harmonics 60": ("u' = cos x + 60 cos 60x, 120 waves in 120 windows", 1e-3),
    "square": ("Poisson, waves of 4 lengths in a square, 8 x 8 windows", 1e-3),
    "breather": ("sine-Gordon: a breather for 6 periods, 4 x 8 windows", 1e-4),
    "burgers": ("`burgers`, 4 x 2 windows", 1e-5),
}
HOW = ("one", "windows")
CASES = tuple(f"{name}, {how}" for name in PROBLEMS for how in HOW)


def problem(name: str) -> Any:
    """The problem of a case."""
    import jax.numpy as jnp
    import numpy as np

    import pinops as po

    class Harmonics(po.Problem):
        """u' = a cos ax + b cos bx (Moseley et al. 2023, section 5.2)."""

        domain = po.Box(x=(-2 * np.pi, 2 * np.pi))
        a: float = 1.0
        b: float = 15.0

        def residual(self, u_x, x):
            return u_x - self.a * jnp.cos(self.a * x) - self.b * jnp.cos(self.b * x)

        def conditions(self):
            return (po.Dirichlet(0.0, on="x_min"),)  # a and b are whole numbers

        def exact(self, x):
            return jnp.sin(self.a * x) + jnp.sin(self.b * x)

    class Square(po.Problem):
        """-lap u = f, u = 0 on the boundary (Dolean et al. 2024, section 4.2, with n = 4)."""

        domain = po.Box(x=(0, 1), y=(0, 1))

        def residual(self, lap_u, x, y):
            return lap_u + sum(2 * w**2 * wave for w, wave in self.waves(x, y)) / 4

        def conditions(self):
            return (po.Dirichlet(0.0),)

        def waves(self, x, y):
            frequencies = [2**k * np.pi for k in range(1, 5)]
            return [(w, jnp.sin(w * x) * jnp.sin(w * y)) for w in frequencies]

        def exact(self, x, y):
            return sum(wave for _, wave in self.waves(x, y)) / 4

    class Breather(po.Problem):
        """u_tt = u_xx - sin u on (-20, 20) x (0, 40)."""

        domain = po.Box(x=(-20, 20), t=(0, 40))
        frequency: float = 0.9

        def residual(self, u, u_tt, u_xx):
            return u_tt - u_xx + jnp.sin(u)

        def conditions(self):
            start = po.Initial(0.0, lambda x: 4 * self.steepness / jnp.cosh(self.steepness * x))
            return start, po.Dirichlet(self.exact, on="x")

        @property
        def steepness(self):
            return jnp.sqrt(1 - self.frequency**2)

        def exact(self, x, t):
            wave = jnp.sin(self.frequency * t) / jnp.cosh(self.steepness * x)
            return 4 * jnp.arctan(self.steepness / self.frequency * wave)

    made = {
        "harmonics 15": Harmonics,
        "harmonics 60": lambda: Harmonics(b=60.0),
        "square": Square,
        "breather": Breather,
        "burgers": lambda: po.load_problem("burgers"),
    }
    return made[name]()


def network(name: str) -> Any:
    """The windows of a case: about as many parameters as the default network has, or twice."""
    import pinops as po

    parts = {
        "harmonics 15": {"x": 30},
        "harmonics 60": {"x": 120},
        "square": {"x": 8, "y": 8},
        "breather": {"x": 4, "t": 8},
        "burgers": {"x": 4, "t": 2},
    }
    return po.networks.Decomposed(po.networks.MLP(*WIDTHS[name]), parts[name])


WIDTHS = {
    "harmonics 15": (8, 1),
    "harmonics 60": (8, 1),
    "square": (12, 1),
    "breather": (8, 2),
    "burgers": (12, 2),
}


def run(case: str, seed: int, smoke: bool) -> Row:
    """One training, in nine tenths of the seconds: the rest compiles."""
    import pinops as po

    name, how = case.split(", ")
    options: dict[str, Any] = {"steps": 3} if smoke else {"minutes": 0.9 * SECONDS / 60}
    if how == "windows":
        options["network"] = network(name)
    solution = po.solve(problem(name), seed=seed, progress=False, **options)
    return {
        "relative_l2": {unknown: one["mean"] for unknown, one in solution.error().items()},
        "parameters": solution.num_parameters,
        "steps": solution.history[-1].step,
        "seconds": round(solution.seconds, 1),
    }


def table(content: Row) -> list[str]:
    """A row for each problem that was solved in both ways."""
    return _record.paired(content, PROBLEMS, HOW, ("one network", "windows"))


def main() -> None:
    settings = {
        case: {"target": PROBLEMS[case.split(", ")[0]][1], "seconds": SECONDS} for case in CASES
    }
    _record.by_case(__file__, __doc__, run, settings, page=PAGE, marks=MARKS, table=table)


if __name__ == "__main__":
    main()
