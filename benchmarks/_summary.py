"""Tables of what other scripts recorded: two of the README, and one of the guide to operators.

    python benchmarks/_summary.py --markdown [FILE]

It records nothing; the numbers are those of ``time_to_accuracy.json`` and ``operators.json``.
"""

import argparse
import statistics
from pathlib import Path

import _record
from _record import RESULTS, Row, measure

MARKS = ("<!-- summary: benchmarks/_summary.py --markdown -->", "<!-- end of summary -->")
GUIDE = ("<!-- families: benchmarks/_summary.py --markdown -->", "<!-- end of families -->")
OTHERS = ("<!-- libraries: benchmarks/_summary.py --markdown -->", "<!-- end of libraries -->")
# Published relative L2 errors of the same problem, the smallest that we know of.
PUBLISHED = {
    "burgers": "8.3e-9 (arXiv:2509.14198)",
    "allen_cahn": "9.4e-7 (arXiv:2501.16371)",
    "kdv": "3.4e-4 (arXiv:2502.00604)",
    "helmholtz": "2.0e-9 (arXiv:2604.05230)",
    "flow_mixing": "4.5e-4 (arXiv:2412.05994)",
    "nonlinear_diffusion": "2.7e-3 (arXiv:2412.05994)",
}
OPERATORS = {
    "antiderivative": "2.5e-3 (arXiv:2103.10974)",
    "eikonal_family": "2.8e-3 (arXiv:2103.10974)",
    "diffusion_reaction": "5.3e-3 (arXiv:2103.10974)",
    "burgers_family": "1.4e-2 (arXiv:2103.10974)",
}
# Of the guide: by case, what is trained on.
TRAINED_ON = {
    "antiderivative": "the equation",
    "diffusion_reaction": "the equation",
    "eikonal_family": "the equation",
    "burgers_family": "the equation",
    "burgers_family, on data": "512 solutions",
    "burgers_family, POD, on data": "512 solutions, `PODDeepONet`",
    "advection_family": "the equation",
    "fisher_family": "2400 solutions",
    "fisher_family, on equations": "the equation",
    "darcy_family": "1920 solutions",
    "plate_family": "240 solutions",
}


def error_of_family(run: Row) -> float:
    """The mean relative L2 error over unseen members, of the worst unknown."""
    return max(found["mean"] for found in run["relative_l2"].values())


def table() -> list[str]:
    """Ten problems with error, time and the published error."""
    lines = ["| problem | error | seconds | best published |", "|---|---|---|---|"]
    single = _record.Record(RESULTS / "time_to_accuracy.json").cases()
    families = _record.Record(RESULTS / "operators.json").cases()
    rows = [(name, single[name], measure, known) for name, known in PUBLISHED.items()]
    rows += [
        (f"{name}, an operator", families[name], error_of_family, known)
        for name, known in OPERATORS.items()
    ]
    for name, entry, error, known in rows:
        seconds = statistics.median(run["process_seconds"] for run in entry["runs"])
        lines.append(f"| {name} | {_record.median(entry, error):.1e} | {seconds:.0f} | {known} |")
    return lines


def guide() -> list[str]:
    """Families on their equation and on data."""
    lines = ["| family | on | error | seconds | published |", "|---|---|---|---|---|"]
    families = _record.Record(RESULTS / "operators.json").cases()
    for case, what in TRAINED_ON.items():
        entry = families[case]
        error = _record.median(entry, error_of_family)
        seconds = statistics.median(run["process_seconds"] for run in entry["runs"])
        name, known = case.split(",")[0], entry["published"]
        lines.append(f"| `{name}` | {what} | {error:.1e} | {seconds:.0f} | {known} |")
    return lines


def others() -> list[str]:
    """The errors of other libraries on Burgers' equation at the end of their time."""
    lines = ["| compared with | error | seconds |", "|---|---|---|"]
    content = _record.Record(RESULTS / "time_to_accuracy.json").read()
    runs = content["cases"]["burgers"]["runs"]
    ours = next(run for run in runs if run["seed"] == 0)
    lines.append(f"| pinops | {measure(ours):.1e} | {ours['process_seconds']:.0f} |")
    for name, curves in content["peers"]["burgers"].items():
        seconds, error = curves[0][-1]
        label = f"{name.split(',')[0]} {content['peers']['installed'][name]}"
        lines.append(f"| {label} | {error:.1e} | {seconds:.0f} |")
    return lines


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _record.add_markdown(options, _record.ROOT / "README.md")
    page: Path | None = options.parse_args().markdown
    if page is not None:
        for marks, rows in ((MARKS, table), (OTHERS, others), (GUIDE, guide)):
            if marks[0] in page.read_text():
                _record.into_page(rows(), marks, page)


if __name__ == "__main__":
    main()
