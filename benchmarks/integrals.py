"""Equations with integral terms: errors against their exact solutions.

    python benchmarks/integrals.py [--cases fredholm ...] [--seeds 0 1 2] [--steps 500]
    python benchmarks/integrals.py --markdown

A Fredholm equation of the second kind whose kernel has a kink, a Volterra integro-differential
equation, and the population balance `breakage` with its conserved mass as a condition. The first
command updates ``benchmarks/results/integrals.json``, the second writes the table of
``docs/guide/integrals.md``. The mass is the largest deviation from 1/2 over 101 instants.
"""

import json
from typing import Any

import _record
from _record import Row

MARKS = ("<!-- table: benchmarks/integrals.py --markdown -->", "<!-- end of table -->")
CASES = {
    "fredholm": "u = ∫ exp(-\\|x - y\\|) u(y) dy + f, y from 0 to 1",
    "volterra": "u_t + u = ∫ exp(s - t) u(s) ds, s from 0 to t",
    "breakage": "n_t = 2 ∫ n(y, t) dy - x n, y from x to 1",
}

POINTS = {"fredholm": 256, "volterra": 256, "breakage": 1024}


def problem_of(case: str) -> Any:
    """The problem of a case, all with exact solutions."""
    import jax.numpy as jnp

    import pinops as po

    class Fredholm(po.Problem):
        domain = po.Interval(x=(0, 1))

        def integrals(self):
            def kernel(u, x, at_x):
                return jnp.exp(-jnp.abs(at_x - x)) * u

            return {"smoothed": po.Integral(kernel, over="x", breaks=lambda x: x, nodes=12)}

        def residual(self, u, x, smoothed):
            return u - smoothed - (3 * jnp.exp(x - 1) - x - 1)

        def exact(self, x):
            return 1 + x

    class Volterra(po.Problem):
        domain = po.Box(t=(0, 2))

        def integrals(self):
            def kernel(u, t, at_t):
                return jnp.exp(t - at_t) * u

            return {"memory": po.Integral(kernel, over="t", upper=lambda t: t, nodes=12)}

        def residual(self, u, u_t, memory):
            return u_t + u - memory

        def conditions(self):
            return (po.Initial(1.0),)

        def exact(self, t):
            return jnp.exp(-t) * jnp.cosh(t)

    own = {"fredholm": Fredholm, "volterra": Volterra}
    return own[case]() if case in own else po.load_problem(case)


def run(case: str, seed: int, steps: int, smoke: bool) -> Row:
    """The errors of one training."""
    import numpy as np

    import pinops as po

    options: dict[str, Any] = {"steps": steps, "seed": seed, "progress": False}
    interior = 32 if smoke else POINTS[case]
    options["points"] = po.Collocation(interior=interior, boundary=max(8, interior // 8))
    if smoke:
        options["network"] = po.networks.MLP(4, 1)
    solution = po.solve(problem_of(case), **options)
    errors = solution.error()
    row: Row = {"relative_l2": {name: error["mean"] for name, error in errors.items()}}
    row["max_abs"] = {name: error["max_abs"] for name, error in errors.items()}
    if case == "breakage":
        mass = solution.partial("mass", x=0.0, t=np.linspace(0, 2, 101))
        row["mass"] = float(np.max(np.abs(mass - 0.5)))
    return row


def table(cases: dict[str, Any]) -> list[str]:
    """The recorded cases."""
    lines = ["| equation | relative L2 error | largest error | mass | s |", "|---|---|---|---|---|"]
    for name, entry in cases.items():
        runs = entry["runs"]

        def largest(row: Row) -> str:
            return f"{max(row['max_abs'].values()):.1e}"

        cells = [
            CASES[name],
            _record.each(runs, lambda row: f"{_record.measure(row):.1e}"),
            _record.each(runs, largest),
            _record.each(runs, lambda row: f"{row['mass']:.1e}" if "mass" in row else "-"),
            _record.seconds(entry),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES)
    options.add_argument("--steps", type=int, default=500)
    _record.add_markdown(options, _record.ROOT / "docs" / "guide" / "integrals.md")
    asked = _record.parse(options)
    record = _record.Record(asked.record)
    if asked.markdown:
        return _record.into_page(table(record.cases()), MARKS, asked.markdown)
    steps = 2 if asked.smoke else asked.steps
    if asked.one:
        return print(json.dumps(run(asked.cases[0], asked.seeds[0], steps, bool(asked.smoke))))
    more = ["--steps", str(steps), *(["--pin"] if asked.pin else [])]
    more += ["--smoke", str(asked.smoke)] if asked.smoke else []
    for case in asked.cases:
        for seed in asked.seeds:
            row = _record.one(__file__, case, seed, *more)
            record.add(case, seed, row, steps=steps)
            print(case, seed, row, flush=True)
    return None


if __name__ == "__main__":
    main()
