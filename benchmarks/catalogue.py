"""Every catalogue problem with the default recipe, in fresh processes: error, wall time, hardware.

    python benchmarks/catalogue.py [--seeds 0 1 2] [--cases burgers "burgers noise=0.01" ...]
    python benchmarks/catalogue.py --markdown

The first command prints a line for each run and updates ``benchmarks/results/catalogue.json`` with
the final iterates and whether they meet their targets; the second writes the table of its page.
"""

import shlex

import _record
from _record import Row, measure

MARKS = ("<!-- catalogue: benchmarks/catalogue.py --markdown -->", "<!-- end of catalogue -->")
TARGETS = {
    "burgers": 1e-5,
    "poisson": 1e-5,
    "helmholtz": 1e-5,
    "heat": 1e-5,
    "kovasznay": 1e-5,
    "taylor_green": 1e-5,
    "reaction_diffusion": 1e-5,
    "wave": 1e-4,
    "lid_driven_cavity": 1e-2,
}
TARGET, SECONDS = 1e-3, {"burgers": 90.0}
# The largest relative error of the estimated coefficient.
INVERSE = {"burgers_inverse": 1e-3, "burgers_inverse noise=0.01": 2e-2, "allen_cahn_inverse": 1e-2}
SMOKE = ["--steps", "2", "--network", "MLP(6, 2)"]


def reached(case: str, entry: Row, run: Row) -> bool:
    """Whether a run meets its targets: error, coefficient and time."""
    if not run.get("relative_l2"):
        return False
    error = max(run["relative_l2"].values())
    coefficient = run.get("coefficient_error", 0.0) <= INVERSE.get(case, 0.0)
    return error <= entry["target"] and coefficient and run["process_seconds"] <= entry["seconds"]


def table(cases: dict[str, Row]) -> list[str]:
    """The table."""
    lines = [
        "| problem | relative L2 error (worst unknown), each seed | seconds, each seed | target | "
        "reference, its error bar |",
        "|---|---|---|---|---|",
    ]
    for case, entry in sorted(cases.items()):
        good = [run for run in entry["runs"] if run.get("relative_l2")]
        errors = _record.each(good, lambda run: f"{max(run['relative_l2'].values()):.1e}")
        wanted, seconds = f"{entry['target']:.0e}", f" in {entry['seconds']:.0f} s"
        if case in INVERSE:
            off = _record.each(good, lambda run: f"{100 * run['coefficient_error']:.1g} %")
            errors += f"; coefficient off by {off}"
            wanted += f", coefficient {100 * INVERSE[case]:g} %"
        if not all(reached(case, entry, run) for run in entry["runs"]):
            seconds += ", **missed**"
        known = good[0]["reference"] if good else {"kind": "", "error_bar": {"": 0.0}}
        bar = f"{known['kind']}, {max(known['error_bar'].values()):.0e}"
        cells = (case, errors, _record.seconds(entry), wanted + seconds, bar)
        lines.append(f"| {' | '.join(cells)} |")
    on = next(iter(cases.values()))["runs"][0]
    cores, jax = on["machine"]["cores"], on["versions"]["jax"]
    return [*lines, "", f"{cores} cores of {_record.processors(cases)}, jax {jax}."]


def main() -> None:
    options = _record.parser(__file__, __doc__, seeds=[0])
    options.add_argument("--cases", nargs="+", metavar="CASE", help="default: the recorded ones")
    about = 'of pinops solve, as one text: --options="--steps 500"'
    options.add_argument("--options", type=shlex.split, default=[], help=about)
    _record.add_markdown(options)
    arguments = _record.parse(options)
    results = _record.Record(arguments.record)
    if arguments.markdown:
        return _record.into_page(table(results.cases()), MARKS, arguments.markdown)
    more = SMOKE if arguments.smoke else arguments.options
    for case in arguments.cases or results.cases():
        limits = {"target": TARGETS.get(case, TARGET), "seconds": SECONDS.get(case, 300.0)}
        for seed in arguments.seeds:
            run = _record.solved(case, seed, more, cold=not arguments.smoke)
            entry = results.add(case, seed, run, **limits, options=more)
            mark = "" if reached(case, entry, run) else f"  MISSES {_record.target(entry, True)}"
            error, seconds = measure(run), run["process_seconds"]
            print(f"{case:20s} seed {seed}  {error:.2e}  {seconds:6.1f} s{mark}", flush=True)
    return None


if __name__ == "__main__":
    main()
