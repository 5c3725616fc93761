"""One page of HTML about what a training has left: self-contained, for whoever was not there.

It has no scripts and asks for nothing: the figure is inside, as PNG in base64. Whatever comes from
the user is escaped.
"""

import base64
import json
import re
from collections.abc import Mapping
from html import escape, unescape
from pathlib import Path
from typing import Any, Protocol

from pinops._html import as_grid, as_table
from pinops.data import environment, replacing
from pinops.problem import Problem, described, residual_source
from pinops.settings import source_of
from pinops.solvers._allowed import allowed
from pinops.solvers._repeat import repeat_of
from pinops.solvers._request import check_same
from pinops.training import UNLIMITED

_MARK = "pinops-request"  # the request, by which a page is known as that of a run
_MARKED = re.compile(rf'<meta name="{_MARK}" content="([^"]*)">')
# Of a request, what is told elsewhere on the page, or to programs alone.
_NOT_SETTINGS = (
    "problem",
    "coefficients",
    "fingerprint",
    "scales",
    "inputs",
    "axes",
    "points",
    "sizes",
)
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
h2 { margin-top: 1.5em; border-bottom: 1px solid #ccc; }
img { max-width: 100%; height: auto; }
pre { background: #f5f5f5; padding: .7em; overflow-x: auto; font-size: 14px; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .15em .8em .15em 0; vertical-align: top; text-align: left; }
"""


class Reportable(Protocol):
    """What a training leaves, as far as a page needs it; the methods are those of `Trained`."""

    request: dict[str, Any]
    history: Any
    status: Any
    num_parameters: Any

    @property
    def subject(self) -> Problem: ...
    @property
    def x64(self) -> bool: ...
    @property
    def steps(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    def identified(self) -> dict[str, Any]: ...
    def summary(self, data: Any = None) -> dict[str, Any]: ...
    def plot(self, path: Any = None, data: Any = None) -> Any: ...
    def diagnosis(self) -> str: ...


def rows_of(trained: Reportable) -> dict[str, object]:
    """What there is to say of it without computing anything, by name."""
    history = trained.history
    return {
        "problem": trained.request["problem"],
        **{name: value for name, value in described(trained.subject).items() if name != "equation"},
        "status": f"{trained.status} after {trained.steps} steps, {trained.seconds:.0f} s",
        "loss": history[-1].loss if history else None,
        "error in training": dict(history[-1].errors) if history else {},
        "parameters": trained.num_parameters,
        "seed": trained.request.get("ensemble") or trained.request["seed"],
        "precision": trained.request["dtype"],
    }


def write_report(trained: Reportable, path: Path, data: Any) -> Path:
    """Write the page; see `Trained.report`."""
    request = trained.identified()
    _check_target(path, request)
    text = _page(trained, request, data)
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")
    return path


def _check_target(path: Path, request: Mapping[str, Any]) -> None:
    """Raises ValueError for a file that is no report of the same run."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; choose a file for the report")
    if not path.exists():
        return
    found = _MARKED.search(path.read_text("utf-8", errors="replace"))
    try:
        before = json.loads(unescape(found[1])) if found else None
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise ValueError(f"{path} is no report of this run; choose another name")
    check_same(before, request, holds=f"{path} is a report of", remedy="choose another name")


def _page(trained: Reportable, request: Mapping[str, Any], data: Any) -> str:
    summary, problem = trained.summary(data), trained.subject
    title = f"{request['problem']}: {type(trained).__name__}"
    repeat = repeat_of(request, problem)
    diagnosis = trained.diagnosis()
    sections = {
        "Equation and conditions": _equation(problem, summary),
        "Result": _result(summary),
        "Figure": _figure(trained, data),
        "Diagnosis": f"<pre>{escape(diagnosis)}</pre>" if diagnosis else "",
        "Settings": as_table(_settings(request)),
        "Repeat it": "".join(
            f"<pre>{escape(part)}</pre>" for part in (repeat.python, repeat.command) if part
        )
        + "".join(f"<p>{escape(remark)}</p>" for remark in repeat.remarks),
        "Versions": "<p>With which this page was made:</p>" + as_table(environment()),
    }
    parts = [f"<h2>{name}</h2>\n{text}" for name, text in sections.items() if text]
    mark = escape(json.dumps(request, default=str))
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta name="{_MARK}" content="{mark}">',
            f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>{escape(title)}</h1>",
            *parts,
            "</body>\n</html>\n",
        ]
    )


def _equation(problem: Problem, summary: Mapping[str, Any]) -> str:
    """What the problem says of itself, and how its conditions were met where that is known."""
    rows = described(problem)
    if summary.get("conditions"):
        rows |= {"conditions": list(summary["conditions"])}
    heading = f"<p>{escape(str(rows.pop('equation')))}</p>" if rows["equation"] else ""
    source = residual_source(problem)
    return heading + as_table(rows) + (f"<pre>{escape(source)}</pre>" if source else "")


def _result(summary: Mapping[str, Any]) -> str:
    errors = summary["errors"]
    columns = ("mean", "std", "median", "worst")
    parts = ["<p>There is nothing to compare with.</p>"]
    if errors:
        rows = [
            (name, *(f"{error[column]:.2e}" for column in (*columns, "max_abs")))
            for name, error in errors.items()
        ]
        parts = [as_grid(("relative L2 error of", *columns, "largest error"), rows)]
    reference = summary.get("reference")
    found = summary.get("coefficients") or {}
    rest = {
        "error bar of the reference": (reference or {}).get("error_bar"),
        "coefficients": found if isinstance(found, dict) else None,
        "status": summary["status"],
        "steps": summary["steps"],
        "seconds": f"{summary['seconds']:.1f}, {summary['compile_seconds']:.1f} of them compiling",
        "loss": summary["loss"],
        "parameters": summary["parameters"],
        "device": summary["device"],
        "compared samples": summary.get("tested"),
    }
    return "".join([*parts, as_table(rest)])


def _figure(trained: Reportable, data: Any) -> str:
    """The figure of the result, in the page; where there is none, why."""
    from pinops.plotting import as_png

    try:
        picture = base64.b64encode(as_png(trained.plot(None, data))).decode()
    except ValueError as error:
        return f"<p>No figure was drawn: {escape(str(error))}.</p>"
    return f'<img alt="figure of the result" src="data:image/png;base64,{picture}">'


def _settings(request: Mapping[str, Any]) -> dict[str, object]:
    """What was asked for, objects as they are written in Python."""
    names = [name for name in request if name not in _NOT_SETTINGS]
    told = {name: _said(request[name]) for name in names}
    if request.get("steps") == UNLIMITED:
        told["steps"] = "as many as the time allows"
    return told


def _said(value: Any) -> object:
    if not isinstance(value, dict | list):
        return value
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return [_said(item) for item in value]
    try:
        return source_of(value, allowed(object))
    except ValueError:
        return json.dumps(value)
