"""The problems of PINNacle, repaired, with references of known error.

    python benchmarks/pinnacle.py [--cases Wave1d-C ...] [--seeds 0 1 2] [--pin]
    python benchmarks/pinnacle.py --markdown

The first command solves every problem within its seconds and updates
``benchmarks/results/pinnacle.json``; the second writes the table of ``docs/guide/hard.md``. The
problems are those of Hao et al. (2023, arXiv 2306.08827), in ``_pinnacle_*.py``, ``_hypino.py`` or
the catalogue. The error is the largest of those of all unknowns.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _record
from _record import Row, measure

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "hard.md"
MARKS = ("<!-- table: benchmarks/pinnacle.py --markdown -->", "<!-- end of table -->")
NOTHING = "nothing"


@dataclass(frozen=True)
class Case:
    """One problem.

    Args:
        about: What it is, in a few words.
        repaired: What differs from PINNacle.
        published: The smallest published error.
        method: Whose error that is, where we know it.
        seconds: Of the whole process.
        options: What differs from the default recipe, as the table says it.
    """

    about: str
    repaired: str
    published: float
    method: str
    seconds: int
    options: str = "-"


CASES = {
    "Burgers1d-C": Case(
        "`burgers`", "the reference, whose own error is 1.33e-2", 1.33e-2, "L-BFGS", 45
    ),
    "Poisson2d-C": Case("`poisson_disks`", NOTHING, 8.15e-3, "AdaBGDA", 45),
    "Poisson2d-CG": Case("screened Poisson around four disks", NOTHING, 1.43e-2, "NTK", 60),
    "Heat2d-MS": Case(
        "diffusion, 20 half-waves along x", NOTHING, 1.40e-2, "AdaBGDA", 45, "features: the wave"
    ),
    "NS2d-C": Case("cavity under a parabolic lid, Re 100", NOTHING, 2.35e-2, "AdaBGDA", 80),
    "Wave1d-C": Case("`wave`", NOTHING, 1.63e-2, "AdaBGDA", 300),
    "Wave1d-C, linear": Case(
        "the same", "the same", 1.63e-2, "AdaBGDA", 45, "random features, truncated Gauss-Newton"
    ),
    "PNd": Case("`poisson_nd`, 5 dimensions", NOTHING, 1.31e-4, "AdaBGDA", 60),
    "HNd": Case("heat in the ball of 5 dimensions", NOTHING, 1.19e-4, "L-BFGS", 300),
    "HNd, radial": Case(
        "the same", "the same", 1.19e-4, "L-BFGS", 300, "features: the square of x"
    ),
    "PInv": Case("conductivity of (x, y), noise of 0.1", "a sign of the source", 2e-2, "vPINN", 60),
    "PInv, small": Case("the same", "the same", 2e-2, "vPINN", 60, "`MLP(12, 2)`"),
    "HInv": Case(
        "conductivity in a heat equation", "own points of the data", 1.19e-2, "vPINN", 300
    ),
    "KS": Case(
        "`kuramoto_sivashinsky`",
        "periodicity, which the code lacks",
        9.57e-1,
        "LRA",
        120,
        "100 windows, Fourier series, Gauss-Newton",
    ),
    "Wave2d-LT": Case(
        "two standing waves to t = 100",
        "sines for the hyperbolic sines, which do not solve the equation",
        9.82e-1,
        "vPINN",
        300,
        "200 windows, features: both waves, Chebyshev series, Gauss-Newton",
    ),
    "Heat2d-VC": Case("heat, conduction varies", "own coefficient", 2.12e-1, "LRA", 90),
    "Wave2d-CG": Case(
        "wave, speed varies",
        "own coefficient, smooth instead of jumps from 1 to 12; start",
        7.94e-1,
        "GAAF",
        300,
    ),
    "NS2d-CG": Case(
        "flow over a step, Re 100", "the outlet, which lacks a condition", 8.24e-2, "LAAF", 300
    ),
    "Heat2d-CG": Case("heat around 17 disks", NOTHING, 2.39e-2, "LAAF", 300),
    "Poisson2d-MS": Case(
        "5 x 5 materials",
        "own coefficients, 100 : 1 instead of up to 10⁵ : 1; continuous fluxes",
        5.90e-1,
        "MultiAdam",
        300,
        "`po.Interface`",
    ),
    "Heat2d-LT": Case(
        "reaction and diffusion to t = 100", NOTHING, 9.97e-1, "", 90, "`TimeWindows()`"
    ),
    "GS": Case("Gray-Scott", "periodicity; the term of the start", 7.99e-2, "FBPINN", 300),
    "Burgers2d-C": Case("vector Burgers equation", "own start, slower", 2.60e-1, "", 90),
}


def problem(case: str) -> Any:
    """The problem of a case."""
    import _hypino
    import _pinnacle_heat as heat
    import _pinnacle_steady as steady
    import _pinnacle_waves as waves

    import pinops as po

    names = {
        "Burgers1d-C": "burgers",
        "Poisson2d-C": "poisson_disks",
        "Wave1d-C": "wave",
        "Wave1d-C, linear": "wave",
        "PNd": "poisson_nd",
        "KS": "kuramoto_sivashinsky",
    }
    if case in names:
        return po.load_problem(names[case])
    made = {
        "Poisson2d-CG": _hypino.ScreenedDisks,
        "Heat2d-MS": heat.MultiscaleHeat,
        "NS2d-C": steady.Cavity,
        "HNd": heat.HeatInBall,
        "HNd, radial": heat.RadialHeat,
        "PInv": steady.Conductivity,
        "PInv, small": steady.Conductivity,
        "HInv": heat.VaryingConductivity,
        "Wave2d-LT": waves.LongWave,
        "Heat2d-VC": heat.VaryingHeat,
        "Wave2d-CG": waves.VaryingWave,
        "NS2d-CG": steady.BackwardStep,
        "Heat2d-CG": heat.HeatAmongCircles,
        "Poisson2d-MS": steady.Blocks,
        "Heat2d-LT": heat.LongHeat,
        "GS": waves.GrayScott,
        "Burgers2d-C": waves.VectorBurgers,
    }
    return made[case]()


def options(case: str) -> dict[str, Any]:
    """What differs from the default recipe."""
    import jax.numpy as jnp

    import pinops as po

    def series(windows: int, nodes: int, degrees: tuple[int, ...], points: int) -> dict[str, Any]:
        return {
            "windows": po.TimeWindows(windows, nodes=nodes),
            "network": po.networks.Spectral(degrees),
            "optimizer": po.optimizers.GaussNewton(damping=1e-14),
            "points": po.Collocation(interior=points),
            "steps": 4,
        }

    if case == "KS":
        return series(100, 193, (6, 95, 1), 2000)
    if case == "Wave2d-LT":
        return series(200, 25, (1, 1, 14, 1, 1), 1024)
    if case == "Wave1d-C, linear":
        return {
            "network": po.networks.RandomFeatures(1200, scale=14, activation=jnp.sin),
            "optimizer": po.optimizers.TruncatedGaussNewton(),
            "points": po.Collocation(interior=2400),
            "steps": 2,
        }
    if case == "PInv, small":
        return {"network": po.networks.MLP(12, 2)}
    if case == "Heat2d-LT":
        return {"windows": po.TimeWindows(nodes=33)}
    return {}


def run(case: str, seed: int, smoke: bool) -> Row:
    """One training, in nine tenths of the seconds: the rest compiles and computes the reference."""
    import pinops as po

    length: dict[str, Any] = {"minutes": 0.9 * CASES[case].seconds / 60}
    if smoke:
        length = {"steps": 3}
    given = options(case) | length
    solution = po.solve(problem(case), seed=seed, progress=False, **given)
    reference = solution.reference
    marched = {"reached": solution.windows[-1][1]} if solution.windows else {}
    return marched | {
        "relative_l2": {unknown: one["mean"] for unknown, one in solution.error().items()},
        "status": solution.status,
        "steps": solution.history[-1].step,
        "seconds": round(solution.seconds, 1),
        "compile_seconds": round(solution.compile_seconds, 1),
        "reference": {"kind": reference.kind, "error_bar": reference.error_bar},
    }


def shown(row: Row) -> str:
    """The error, or where a march through time has ended."""
    if "failed" in row:
        return "failed"
    # Beyond the last window values are nan, and in older rows they grow without bound.
    if "reached" in row and not measure(row) < 1e3:
        return f"ended at t = {row['reached']:g}"
    return f"{measure(row):.1e}"


def table(content: Row) -> list[str]:
    """The recorded cases."""
    lines = [
        "| problem | repaired | reference, its error bar | best published | ours, each seed "
        "| seconds | options |",
        "|---|---|---|---|---|---|---|",
    ]
    entries = content["cases"]
    for name, case in CASES.items():
        if name not in entries:
            continue
        entry = entries[name]
        ours = _record.each(entry["runs"], shown)
        taken = f"{_record.seconds(entry)} of {case.seconds}"
        found = next((row["reference"] for row in entry["runs"] if "reference" in row), None)
        known = f"{found['kind']}, {max(found['error_bar'].values()):.0e}" if found else "-"
        best = f"{case.published:.2e} {f'({case.method})' if case.method else ''}".rstrip()
        cells = (f"{name}: {case.about}", case.repaired, known, best, ours, taken, case.options)
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    settings = {
        name: {"published": case.published, "seconds": case.seconds} for name, case in CASES.items()
    }
    _record.by_case(__file__, __doc__, run, settings, page=PAGE, marks=MARKS, table=table)


if __name__ == "__main__":
    main()
