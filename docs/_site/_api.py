"""The pages of the interface: every public name, once, with its docstring."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import pinops

# The front page in the order of use; a name that is in none of these comes last.
FRONT = {
    "Solve, train, load": ("solve", "invert", "train", "load"),
    "Error bars": ("uncertain", "Prediction", "TrainedUncertain", "acquire", "distill"),
    "Problems": (
        "Problem",
        "register",
        "load_problem",
        "available",
        "load_folder",
        "manufacture",
        "observe",
        "positive",
        "whole",
        "one_of",
    ),
    "Conditions": (
        "Dirichlet",
        "Neumann",
        "Robin",
        "Initial",
        "Periodic",
        "Equation",
        "Interface",
        "Observed",
    ),
    "Equations as data": (
        "latex",
        "tokens",
        "discover",
        "Expression",
        "Tokens",
        "TermLibrary",
        "Mixture",
    ),
    "Domains": (
        "Box",
        "Interval",
        "Time",
        "Disk",
        "Ball",
        "Ellipse",
        "RoundedRectangle",
        "Polygon",
        "Spline",
        "Revolution",
        "Surface",
        "Domain",
    ),
    "Data": ("Dataset", "MultiFidelity"),
    "Results": (
        "Trained",
        "Solution",
        "WindowedSolution",
        "Ensemble",
        "TrainedOperator",
        "TrainedMap",
        "TrainedMMGP",
        "TrainedMultiFidelity",
        "TrainedPointMap",
        "TrainedPointSurrogate",
        "TrainedSurrogate",
    ),
    "Points, steps and stages": (
        "Collocation",
        "STDE",
        "Phase",
        "StopAt",
        "Report",
        "Continuation",
        "TimeWindows",
        "Functions",
        "Curriculum",
    ),
    "Logs": ("JSONLines", "TensorBoard", "WeightsAndBiases", "MLflow"),
}


@dataclass(frozen=True)
class Room:
    """A page of the interface.

    Args:
        title: Its heading.
        about: One paragraph.
        names: Those that it documents; empty: all that the module exports.
        lazy: Names that the module imports when they are asked for.
    """

    title: str
    about: str
    names: tuple[str, ...] = ()
    lazy: tuple[str, ...] = field(default=())


ROOMS = {
    "pinops": Room("pinops", "The front page: `import pinops as po`."),
    "pinops.networks": Room(
        "Networks",
        "Architectures for `po.solve(..., network=...)` and for branch and trunk of an operator. "
        "[Choose a network](../../guide/networks.md) says which one for what.",
        lazy=("FromLinen", "FromNNX"),
    ),
    "pinops.operators": Room(
        "Operators", "Architectures for `po.train`: operators, steady maps and surrogates."
    ),
    "pinops.optimizers": Room(
        "Optimizers",
        "For `optimizer=`, beside every optax transformation. "
        "[Choose an optimizer](../../guide/optimizers.md) compares them.",
    ),
    "pinops.losses": Room(
        "Weightings", "How the terms of a loss, and the points within a term, are balanced."
    ),
    "pinops.sampling": Room("Sampling", "How points are spread, and how they follow the residual."),
    "pinops.geometry": Room("Geometry", "Domains with named coordinates and boundary parts."),
    "pinops.functions": Room("Random functions", "Input functions of families."),
    "pinops.features": Room(
        "Singular functions",
        "Corners, layers and fronts for `Problem.features` and `Problem.lift`: "
        "[Singularities and layers](../../guide/singularities.md).",
    ),
    "pinops.reference": Room(
        "References", "Numerical solvers that return a solution with its error bar."
    ),
    "pinops.data": Room(
        "Data",
        "Files and families of data; `po.Dataset` is on the [front page](pinops.md).",
        names=(
            "generate",
            "from_pdebench",
            "describe_file",
            "mesh_contents",
            "fidelity_contents",
            "chaotic_contents",
            "DataFileError",
        ),
    ),
    "pinops.metrics": Room(
        "Metrics",
        "How errors are measured, and error bars: "
        "[Calibrated error bars](../../guide/calibration.md).",
    ),
    "pinops.plotting": Room(
        "Plotting", "Figures; `solution.plot()` calls the one that fits.",
        names=(
            "plot_solution",
            "plot_history",
            "plot_bands",
            "plot_calibration",
            "plot_domain",
            "plot_gaussians",
            "plot_maps",
            "plot_points",
            "plot_reference",
            "plot_rollouts",
            "plot_point_rollouts",
            "animate_point_rollouts",
            "animate_rollouts",
            "animate_solution",
        ),
    ),
    "pinops.discovery": Room(
        "Discovery",
        "What `po.discover` takes and returns: [Equations from data](../../guide/discovery.md).",
        names=("Weak", "Strong", "Form", "Discovery", "Candidate", "Fit", "DiscoveredProblem"),
    ),
    "pinops.training": Room(
        "Contracts of a training",
        "What a new kind of training fills in; [The house](../../house.md) explains them.",
        names=("Trainable", "Source", "Stages"),
    ),
}  # fmt: skip


def exported(name: str) -> dict[str, Any]:
    """The public classes and functions of a module, in the order in which it exports them."""
    module, room = import_module(name), ROOMS[name]
    names = room.names or (*_own(module), *room.lazy)
    return {label: getattr(module, label) for label in names}


def _own(module: ModuleType) -> Iterator[str]:
    """What the file imports as itself, or defines: classes and functions of pinops."""
    for label, value in vars(module).items():
        if label.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if value.__module__.startswith("pinops"):
            yield label


def documented() -> dict[str, Any]:
    """Everything public by its full path; what is on the front page has its place there."""
    found: dict[str, Any] = {}
    for module in ROOMS:
        for label, value in exported(module).items():
            if not any(value is known for known in found.values()):
                found[f"{module}.{label}"] = value
    return found


@cache
def links() -> dict[str, str]:
    """The full path of every public name; the first of those with the same name."""
    paths: dict[str, str] = {}
    for path in documented():
        paths.setdefault(path.rpartition(".")[2], path)
    return paths


def pages() -> dict[str, str]:
    """The pages in Markdown by file name."""
    public = documented()
    out = {module.removeprefix("pinops."): _page(module, public) for module in ROOMS}
    listed = [*out]
    about = "Every public name. Docstrings are the same that `help(...)` shows in Python."
    lines = ["# Interface", "", about, "", "```{toctree}", *listed, "```", ""]
    return {"index": "\n".join(lines), **out}


def _page(module: str, public: Mapping[str, Any]) -> str:
    room, names = ROOMS[module], exported(module)
    lines = [f"# {room.title}", "", room.about, ""]
    here = {label: value for label, value in names.items() if f"{module}.{label}" in public}
    elsewhere = [label for label in names if label not in here]
    if elsewhere:
        also = ", ".join(f"{{py:obj}}`{label} <pinops.{label}>`" for label in elsewhere)
        lines += [f"On the front page: {also}.", ""]
    for heading, labels in _sections(module, here).items():
        lines += [f"## {heading}", ""] if heading else []
        for label in labels:
            lines += ["```{eval-rst}", *_directive(f"{module}.{label}", here[label]), "```", ""]
    return "\n".join(lines)


def _sections(module: str, here: Mapping[str, Any]) -> dict[str, list[str]]:
    """The names of a page by heading."""
    if module == "pinops":
        known = {label for labels in FRONT.values() for label in labels}
        rest = [label for label in here if label not in known]
        front = {heading: [*labels] for heading, labels in FRONT.items()}
        return front | ({"More": rest} if rest else {})
    classes = [label for label, value in here.items() if inspect.isclass(value)]
    return {"": classes + [label for label in here if label not in classes]}


def _directive(path: str, value: Any) -> list[str]:
    """The autodoc directive; of what is used or implemented by its methods, these too."""
    if not inspect.isclass(value):
        return [f".. autofunction:: {path}"]
    lines = [f".. autoclass:: {path}"]
    results = (pinops.Trained, pinops.Dataset)
    if issubclass(value, results):
        lines += ["   :members:", "   :inherited-members:", "   :special-members: __call__"]
    elif inspect.isabstract(value) or value is pinops.Problem:
        lines += ["   :members:"]
    return lines


# Code of our docstrings, in single or double backticks, roles of Sphinx apart; or a bar.
_CODE = re.compile(r"(?<![`:\\])(`{1,2})([^`]+)\1(?!`)|(\|)")
_TABLE = re.compile(r"(?:^ *\|.*\|\n?){2,}", re.MULTILINE)


def link_names(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn our docstrings into reStructuredText: links to names, code, and tables as they are."""
    paths = links()

    def replaced(match: re.Match[str]) -> str:
        if match[3]:
            return r"\|"  # elsewhere a substitution
        before, after = match.string[: match.start()][-1:], match.string[match.end() :][:1]
        label = " ".join(match[2].split())
        path = paths.get(label.removeprefix("pinops.").removeprefix("po.").split(".")[-1])
        code = f":py:obj:`{label} <{path}>`" if path and match[1] == "`" else f"``{label}``"
        left, right = (r"\ " if edge.isalnum() else "" for edge in (before, after))
        return f"{left}{code}{right}"

    def literal(match: re.Match[str]) -> str:
        indented = "".join(f"    {line}\n" for line in match[0].splitlines())
        return f"::\n\n{indented}"

    text = "\n".join(lines)
    ends, parts = 0, []
    for table in _TABLE.finditer(text):
        parts += [_CODE.sub(replaced, text[ends : table.start()]), literal(table)]
        ends = table.end()
    lines[:] = "".join([*parts, _CODE.sub(replaced, text[ends:])]).split("\n")


def hide_constructor(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: Any, returned: Any
) -> tuple[str, None] | None:
    """Results are made by the front doors, data sets by their class methods."""
    kinds = (pinops.Trained, pinops.Dataset)
    made = what == "class" and inspect.isclass(obj) and issubclass(obj, kinds)
    return ("", None) if made else None
