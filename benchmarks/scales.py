"""The same problems in other units: the number of correct digits.

    python benchmarks/scales.py [--cases "heat, time × 1e-09" ...] [--seeds 0] [--steps 500]
    python benchmarks/scales.py --markdown

The first command solves every problem in its own and in other units with a small network and
updates ``benchmarks/results/scales.json``; the second writes the table of ``docs/scales.md``.
Digits are ``-log10`` of the root mean square error over the standard deviation of the solution, so
that a level of 300 K hides no error; in the epidemic they are those of the infection rate β.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import _record
from _record import Row

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scales.md"
MARKS = ("<!-- table: benchmarks/scales.py --markdown -->", "<!-- end of table -->")


class Case(NamedTuple):
    """A problem of `tests/units.py` with coefficients, or of the catalogue in other units."""

    problem: str
    coefficients: dict[str, Any] = {}
    units: dict[str, float] = {}  # of `rescale`
    before: str = ""  # the result before sizes were measured


def _catalogue() -> dict[str, Case]:
    out = {}
    for name in ("heat", "poisson", "burgers", "wave"):
        out[f"{name}, 1"] = Case(name)
        for factor in (1e-9, 1e9):
            for what in ("unknown", "length", "time", "equation"):
                if (name, what) != ("poisson", "time"):
                    out[f"{name}, {what} × {factor:g}"] = Case(name, units={what: factor})
    return out


PRACTICE = {
    "cooling, amplitude 1": Case("Cooling"),
    "cooling, amplitude 1e-9": Case("Cooling", {"amplitude": 1e-9}, before="error 491 to 6767"),
    "cooling, 300 K ± 1e-3": Case("Cooling", {"amplitude": 1e-3, "level": 300.0}),
    "cooling, 300 K ± 1e-3, soft": Case(
        "Cooling", {"amplitude": 1e-3, "level": 300.0, "softly": True}
    ),
    "bar, E = 1": Case("Bar"),
    "bar, E = 2e11": Case("Bar", {"modulus": 2e11, "weight": 7.7e4}, before="error 0.69 to 8e5"),
    "observed pressure, 1": Case("Pressure"),
    "observed pressure, 1e5": Case("Pressure", {"size": 1e5}, before="error 0.19"),
    "coupled, p ~ 1e5, u ~ 1e-3": Case("Coupled", {"pressure": 1e5, "modulus": 1e8}),
    "decay in Unix time": Case("Decay"),
    "epidemic, shares": Case("Epidemic", {"people": 1.0}, before="β to 6e-8"),
    "epidemic, N = 7.9e6": Case("Epidemic", {"people": 7.9e6}, before="β = 5.29"),
}
CASES = PRACTICE | _catalogue()


def solved(case: Case, **options: Any) -> float:
    """The digits of the worst unknown, on the reference grid of the problem in its own units."""
    import numpy as np

    import pinops as po

    units = _units()
    if case.problem in vars(units):
        plain = problem = getattr(units, case.problem)(**case.coefficients)
        factors = np.ones(len(plain.unknowns))
    else:
        plain = problem = po.load_problem(case.problem)
        factors = np.ones(len(plain.unknowns))
        if case.units:
            problem = units.rescale(plain, **case.units)
            factors = np.asarray(problem.of_unknowns)
    solution, truth = po.solve(problem, **options), plain.reference()
    assert truth is not None
    there, here = plain.domain.bounds, problem.domain.bounds
    at = {
        name: array * (here[name][1] / there[name][1]) for name, array in truth.coordinates.items()
    }
    found, worst = solution.values(at), 0.0
    for factor, (name, right) in zip(factors, truth.values.items(), strict=True):
        inside = np.isfinite(right)
        gap = (found[name] / factor - right)[inside]
        worst = max(worst, float(np.sqrt(np.mean(gap**2)) / np.std(right[inside])))
    return -float(np.log10(worst))


def epidemic(people: float, **options: Any) -> float:
    """Digits of β, estimated from daily numbers of susceptible and infected people."""
    import numpy as np
    from scipy.integrate import solve_ivp

    import pinops as po

    def right(t, y):
        return [-0.5 * y[0] * y[1], 0.5 * y[0] * y[1] - 0.1 * y[1]]

    days = np.linspace(0, 40, 81)
    shares = solve_ivp(right, (0, 40), [0.99, 0.01], t_eval=days, rtol=1e-11, atol=1e-13).y
    seen = po.Observed({"t": days}, {"S": people * shares[0], "I": people * shares[1]})
    problem = _units().Epidemic(people=people)
    found = po.invert(problem, seen, unknown=("beta", "gamma"), **options)
    return -float(np.log10(abs(found.coefficients["beta"] / 0.5 - 1)))


def _units() -> Any:
    """The module of the tests."""
    sys.path.append(str(ROOT / "tests"))
    import units  # pyright: ignore[reportMissingImports]

    return units


def run(case: Case, seed: int, steps: int) -> Row:
    """The digits of one training and its seconds, compilation included."""
    from pinops.networks import MLP

    began = time.perf_counter()
    options = {"network": MLP(16, 2), "steps": steps, "seed": seed, "progress": False}
    if case.problem == "Epidemic":
        digits = epidemic(**case.coefficients, **options)
    else:
        digits = solved(case, **options)
    return {"digits": round(digits, 2), "seconds": round(time.perf_counter() - began, 1)}


def table(content: Row) -> list[str]:
    """The recorded cases."""
    lines = ["| problem | before | digits now |", "|---|---|---|"]
    for name, entry in content["cases"].items():
        now = _record.each(entry["runs"], lambda row: f"{row['digits']:.1f}")
        lines.append(f"| {name} | {entry['before']} | {now} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES, seeds=(0,))
    options.add_argument("--steps", type=int, default=500)
    _record.add_markdown(options, PAGE)
    arguments = _record.parse(options)
    results = _record.Record(arguments.record)
    if arguments.markdown:
        return _record.into_page(table(results.read()), MARKS, arguments.markdown)
    steps = 2 if arguments.smoke else arguments.steps
    if arguments.one:
        return print(json.dumps(run(CASES[arguments.cases[0]], arguments.seeds[0], steps)))
    for case in arguments.cases:
        for seed in arguments.seeds:
            row = _record.one(__file__, case, seed, "--steps", str(steps), cold=False)
            before = CASES[case].before
            results.add(case, seed, row, steps=steps, network="MLP(16, 2)", before=before)
            print(f"{case:32s} seed {seed}  {row.get('digits', row.get('failed'))}", flush=True)
    return None


if __name__ == "__main__":
    main()
