"""``pinops problems``: what there is to solve."""

import argparse
import inspect
from typing import Any

import pinops
from pinops._numbers import as_json
from pinops.cli._arguments import add_json, add_problems
from pinops.cli._tables import table
from pinops.data import cached_reference

USAGE = "pinops problems [options]"
ABOUT = "List the registered problems."
TEXT = """\
List the registered problems: equation, unknowns, reference and its error bar. A
numerical reference is computed when a problem is first solved. With --latex the
equations in LaTeX, read from the residuals."""
EXAMPLES = """\
pinops problems --latex
pinops problems --problems my_problems --json"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--latex", action="store_true", help="the equations in LaTeX")
    add_json(parser)
    add_problems(parser)


def run(options: argparse.Namespace) -> int:
    """Print the problems; returns the exit code."""
    if options.problems is not None:
        pinops.load_folder(options.problems)
    rows = {name: _row(pinops.load_problem(name)) for name in pinops.available()}
    if options.latex:
        for name, row in rows.items():
            row["latex"] = pinops.latex(name)
    if options.json:
        print(as_json(rows))
        return 0
    if options.latex:
        for name, row in rows.items():
            print(f"{name}: {row['latex']}")
        return 0
    header = ("problem", "unknowns", "reference", "equation")
    print(table(header, [_cells(name, row) for name, row in rows.items()]))
    return 0


def _row(problem: pinops.Problem) -> dict[str, Any]:
    kind = type(problem)
    reference = cached_reference(problem, compute=False)
    if kind.reference is not pinops.Problem.reference:
        source = "numerical, refined"
    else:
        source = "closed form" if problem.exact is not None else "none"
    return {
        "equation": " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split()),
        "unknowns": list(problem.unknowns),
        "coordinates": list(problem.domain.coordinates),
        "reference": source,
        "error_bar": None if reference is None else reference.error_bar,
    }


def _cells(name: str, row: dict[str, Any]) -> tuple[str, str, str, str]:
    """A row of the table: of the reference one word, and its error bar."""
    known = row["reference"].split(",")[0].removesuffix(" form")
    if row["error_bar"]:
        known += f" {max(row['error_bar'].values()):.0e}"
    return name, ", ".join(row["unknowns"]), known, row["equation"]
