"""The page of problems: from the registry, with the errors that `benchmarks/results` records."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pinops
from pinops.problem import written_equation

BEGINNING = """\
# Problems

Every problem that is registered, with the equation, the coefficients and their defaults. Formulas
are [read from the residual](../guide/equations.md), with coefficients by name. A problem is solved
by `po.solve("NAME")` or `pinops solve NAME`; a *family* is one that operators and surrogates are
trained on, by `po.train("NAME")` or `pinops train NAME`.

Errors are relative L2 errors of recorded runs, the median over their seeds, with the wall time of
the whole process; [Benchmarks](../benchmarks.md) has each seed, the settings and the hardware. The
error bar of a reference is measured: it is the difference between two resolutions, or round-off
where the solution is known in closed form. Pictures show the reference; of a family that of one
member.

"""
SOLVED = ("time_to_accuracy", "catalogue", "pig")  # files of results, the first that knows a name


def page(root: Path, pictures: Mapping[str, int]) -> str:
    """The whole page in Markdown.

    Args:
        root: Of the repository.
        pictures: The width of each picture, in pixels, by the name of its problem.
    """
    recorded = {name: _results(root, name) for name in (*SOLVED, "operators")}
    parts = [BEGINNING]
    for title, is_family in (("Single problems", False), ("Families", True)):
        parts.append(f"## {title}\n")
        for name in pinops.available():
            problem = pinops.load_problem(name)
            if (problem.sample is not None) == is_family:
                parts.append(_section(name, problem, recorded, pictures.get(name)))
    return "\n".join(parts)


def _results(root: Path, name: str) -> dict[str, Any]:
    path = root / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))["cases"]


def _section(
    name: str, problem: pinops.Problem, recorded: dict[str, Any], width: int | None
) -> str:
    kind = type(problem)
    facts = [
        f"unknowns: {', '.join(problem.unknowns)}",
        f"coordinates: {_listed(problem.domain.coordinates)}",
        *_recorded(name, recorded),
    ]
    path = f"{kind.__module__}.{kind.__qualname__}"
    lines = [f"### {name}", "", *(f"- {fact}" for fact in facts), ""]
    picture = [
        f"```{{image}} pictures/{name}.png",
        f":alt: The reference solution of {name}",
        f":width: {width}px",
        "```",
        "",
    ]
    written = written_equation(problem)
    equation = [f'<div class="equation">{written}</div>', ""] if written else []
    directive = ["```{eval-rst}", f".. autoclass:: {path}", "```", ""]
    return "\n".join([*lines, *equation, *([] if width is None else picture), *directive])


def _listed(names: tuple[str, ...]) -> str:
    """The names; of many only the ends."""
    return ", ".join(names if len(names) < 6 else [names[0], names[1], "...", names[-1]])


def _recorded(name: str, recorded: dict[str, Any]) -> list[str]:
    """What is recorded of a problem or family under its own name."""
    facts = []
    for results in SOLVED:
        runs = [
            run for run in recorded[results].get(name, {"runs": []})["runs"] if "relative_l2" in run
        ]
        if not runs:
            continue
        known = runs[0].get("reference")
        if known and not any(fact.startswith("reference") for fact in facts):
            facts.append(
                f"reference: {known['kind']}, error bar {max(known['error_bar'].values()):.0e}"
            )
        if not any(fact.startswith("recorded") for fact in facts):
            errors = sorted(max(run["relative_l2"].values()) for run in runs)
            facts.append(_error(errors, [run["process_seconds"] for run in runs]))
    runs = recorded["operators"].get(name, {"runs": []})["runs"]
    if runs:
        errors = sorted(max(e["mean"] for e in run["relative_l2"].values()) for run in runs)
        facts.append(_error(errors, [run["process_seconds"] for run in runs], "unseen members"))
    return facts


def _error(errors: list[float], seconds: list[float], of: str = "") -> str:
    middle, typical = errors[len(errors) // 2], sorted(seconds)[len(seconds) // 2]
    seeds = "1 seed" if len(errors) == 1 else f"{len(errors)} seeds"
    return f"recorded error{' over ' + of if of else ''}: {middle:.1e} in {typical:.0f} s ({seeds})"
