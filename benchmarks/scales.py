"""The same problems in other units: the number of correct digits.

    python benchmarks/scales.py [--steps 500] [--problems heat poisson ...] [--factors 1e-9 1e9]
    python benchmarks/scales.py --markdown

The first command solves every problem in its own and in other units, prints a line for each and
writes ``benchmarks/results/scales.json``; the second writes the table of ``docs/scales.md``. Digits
are ``-log10`` of the root mean square error over the standard deviation of the solution, so that a
level of 300 K hides no error.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from _record import provenance

import pinops as po
from pinops.networks import MLP
from pinops.problem import Problem, load_problem

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from units import (  # noqa: E402  # pyright: ignore[reportMissingImports]
    Bar,
    Cooling,
    Coupled,
    Decay,
    Epidemic,
    Pressure,
    rescale,
)

RESULTS = Path(__file__).parent / "results" / "scales.json"
PAGE = Path(__file__).parents[1] / "docs" / "scales.md"
START, END = "<!-- table: benchmarks/scales.py --markdown -->", "<!-- end of table -->"
FACTORS = (1e-9, 1e-6, 1e6, 1e9)
CATALOGUE = ("heat", "poisson", "burgers", "wave")
# Problems of issue 19 in practical units, and their relative errors before sizes were measured.
PRACTICE: dict[str, tuple[Problem, str]] = {
    "cooling, amplitude 1": (Cooling(), ""),
    "cooling, amplitude 1e-9": (Cooling(amplitude=1e-9), "error 491 to 6767"),
    "cooling, 300 K ± 1e-3": (Cooling(amplitude=1e-3, level=300.0), ""),
    "cooling, 300 K ± 1e-3, soft": (Cooling(amplitude=1e-3, level=300.0, softly=True), ""),
    "bar, E = 1": (Bar(), ""),
    "bar, E = 2e11": (Bar(modulus=2e11, weight=7.7e4), "error 0.69 to 8e5"),
    "observed pressure, 1": (Pressure(), ""),
    "observed pressure, 1e5": (Pressure(size=1e5), "error 0.19"),
    "coupled, p ~ 1e5, u ~ 1e-3": (Coupled(pressure=1e5, modulus=1e8), ""),
    "decay in Unix time": (Decay(), ""),
}


def cases(problems: list[str], factors: list[float]) -> Iterator[tuple[str, str, Problem, str]]:
    """Name, factor, problem, and the earlier result."""
    for name in problems:
        if name in PRACTICE:
            problem, before = PRACTICE[name]
            yield name, "", problem, before
            continue
        plain = load_problem(name)
        yield name, "1", plain, ""
        for factor in factors:
            for what in ("unknown", "length", "time", "equation"):
                if what == "time" and plain.domain.time is None:
                    continue
                made: dict[str, Any] = {what: factor}
                yield name, f"{what} × {factor:g}", rescale(plain, **made), ""


def digits(solution: po.Solution, truth: Problem, factors: np.ndarray) -> float:
    """The digits of the worst unknown, on the reference grid of the problem in its own units."""
    reference = truth.reference()
    assert reference is not None
    coordinates = dict(
        zip(reference.coordinates, (c for c in reference.coordinates.values()), strict=True)
    )
    here = solution.problem
    at = {
        name: array * (here.domain.bounds[name][1] / truth.domain.bounds[name][1])
        for name, array in coordinates.items()
    }
    found = solution.values(at)
    worst = 0.0
    for factor, (name, right) in zip(factors, reference.values.items(), strict=True):
        gap = found[name] / factor - right
        inside = np.isfinite(right)
        worst = max(worst, float(np.sqrt(np.mean(gap[inside] ** 2)) / np.std(right[inside])))
    return -float(np.log10(worst))


def solved(problem: Problem, steps: int) -> tuple[float, float]:
    """Digits and seconds."""
    began = time.perf_counter()
    solution = po.solve(problem, network=MLP(16, 2), steps=steps, progress=False)
    plain = getattr(problem, "problem", problem)
    factors = getattr(problem, "of_unknowns", (1.0,) * len(problem.unknowns))
    return digits(solution, plain, np.asarray(factors)), time.perf_counter() - began


def epidemic(people: float, steps: int) -> tuple[float, float]:
    """Digits of β, estimated from daily numbers of susceptible and infected people; seconds."""
    from scipy.integrate import solve_ivp

    began = time.perf_counter()

    def right(t, y):
        return [-0.5 * y[0] * y[1], 0.5 * y[0] * y[1] - 0.1 * y[1]]

    days = np.linspace(0, 40, 81)
    shares = solve_ivp(right, (0, 40), [0.99, 0.01], t_eval=days, rtol=1e-11, atol=1e-13).y
    seen = po.Observed({"t": days}, {"S": people * shares[0], "I": people * shares[1]})
    found = po.invert(
        Epidemic(people=people),
        seen,
        unknown=("beta", "gamma"),
        network=MLP(16, 2),
        steps=steps,
        progress=False,
    )
    return -float(np.log10(abs(found.coefficients["beta"] / 0.5 - 1))), time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--problems", nargs="*", default=[*PRACTICE, "epidemic", *CATALOGUE])
    parser.add_argument("--factors", nargs="*", type=float, default=list(FACTORS))
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.markdown:
        write_table(json.loads(options.out.read_text()))
        return
    rows = []

    def record(name: str, factor: str, before: str, found: tuple[float, float]) -> None:
        row = {"problem": name, "factor": factor, "before": before, "digits": round(found[0], 2)}
        rows.append(row | {"seconds": round(found[1], 1)})
        print(name, factor, f"{found[0]:.2f} digits, {found[1]:.0f} s", flush=True)
        about = {"steps": options.steps, "network": "MLP(16, 2)", "seed": 0}
        content = about | provenance() | {"rows": rows}
        options.out.write_text(json.dumps(content, indent=2) + "\n")

    problems = [name for name in options.problems if name != "epidemic"]
    for name, factor, problem, before in cases(problems, options.factors):
        record(name, factor, before, solved(problem, options.steps))
    if "epidemic" in options.problems:
        record("epidemic, shares", "", "β to 6e-8", epidemic(1.0, options.steps))
        record("epidemic, N = 7.9e6", "", "β = 5.29", epidemic(7.9e6, options.steps))


def write_table(content: dict[str, Any]) -> None:
    """The recorded results in ``docs/scales.md``."""
    lines = ["| problem | factor | before | digits now |", "|---|---|---|---|"]
    lines += [
        f"| {row['problem']} | {row['factor']} | {row['before']} | {row['digits']:.1f} |"
        for row in content["rows"]
    ]
    page = PAGE.read_text()
    before, after = page.split(START)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{START}\n" + "\n".join(lines) + f"\n{END}{after}")


if __name__ == "__main__":
    main()
