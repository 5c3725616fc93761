"""How a training is repeated: the lines of Python and of the command line that ask for the same.

Both are written from the request, as ``run.json`` has it. What no text describes (a problem of
one's own, an optax transformation, data) is a name, about which a remark says what it stands for.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from pinops.problem import Problem, available, coefficients_as_json, holder, load_problem, name_of
from pinops.settings import source_of
from pinops.solvers._allowed import allowed
from pinops.training import UNLIMITED

_FRONT = ("derivatives", "problem", "training")  # rooms whose objects are on the front page
_FOUND = ("pinops.problems.", "pinops_problem_")  # modules of problems that are found by name
# What is trained, in the request.
_TRAINED = ("operator", "map", "surrogate", "point_map", "mmgp", "hypernetwork")
# Options of the same name in Python and on the command line.
_PLAIN = ("minutes", "seed", "dtype", "compute_dtype", "physics")


@dataclass(frozen=True)
class Repeat:
    """How a training is asked for again.

    Attributes:
        python: Lines of Python.
        command: A command line; "" where there is none.
        remarks: What the names in them stand for, and why there is no command line.
    """

    python: str
    command: str
    remarks: tuple[str, ...]


def repeat_of(request: Mapping[str, Any], problem: Problem) -> Repeat:
    """How a training is repeated.

    Args:
        request: As in ``run.json``.
        problem: What it was of: a problem or a family.
    """
    lines = _Lines(request)
    kind = next((name for name in _TRAINED if name in request), None)
    what = lines.problem(problem, kind is not None)
    if kind is not None:
        lines.object("operator", request[kind], python="")
    else:
        lines.object("network", request.get("network"))
    lines.object("points", request.get("collocation"))
    if "windows" in request:
        lines.object("windows", {"TimeWindows": request["windows"]})
    for name in ("functions", "curriculum", "weighting"):
        lines.object(name, request.get(name))
    if kind == "surrogate":
        # The default one is not described: how it falls follows from the curriculum.
        chosen = request.get("optimizer")
        lines.object("optimizer", None if chosen == "Adam" else chosen)
    else:
        lines.optimizer()
    lines.rest()
    return lines.written("train" if kind else "solve", what)


class _Lines:
    """The arguments of a call and of a command, gathered one after the other."""

    def __init__(self, request: Mapping[str, Any]):
        self._request = request
        self._table = allowed(object)
        self._python: list[str] = []
        self._command: list[str] = []
        self._remarks: list[str] = []
        self._before = ["import pinops as po", ""]
        self._needs_python: list[str] = []
        self._name = ""

    def problem(self, problem: Problem, trained: bool) -> str:
        """The first argument of the call: a name, or what stands for it."""
        request, name = self._request, name_of(problem)
        given = request.get("data") is not None
        if given:
            self._remarks.append(
                f'"DATA.h5" stands for the data of the training, with the checksum '
                f"{request['data']}."
            )
            self._command += ["--data", "DATA.h5"]
        if trained and "family" in request:
            return 'po.Dataset.open("DATA.h5")'
        if given:
            self._python.append('data="DATA.h5"')
        changed = _changed(problem)
        if changed is None:
            self._remarks.append(f"problem is an instance of {type(holder(problem)).__name__}.")
            self._needs_python.append("a problem that is not registered")
            return "problem"
        self._name = name
        if type(problem).__module__.startswith("pinops_problem_"):
            self._before += ['po.load_folder("FOLDER")']
            self._command += ["--problems", "FOLDER"]
            self._remarks.append("FOLDER is the folder with the file of the problem.")
        if not changed:
            return f'"{name}"'
        self._command += ["--set", *(f"{key}={value}" for key, value in changed.items())]
        written = ", ".join(f"{key}={value!r}" for key, value in changed.items())
        self._before += [f'problem = po.load_problem("{name}", {written})']
        return "problem"

    def object(self, option: str, description: Any, *, python: str | None = None) -> None:
        """An option whose value is an object.

        Args:
            option: Its name.
            description: Of the object; None: it was not given.
            python: The name of the argument; "": none; None: that of the option.
        """
        wrapped = self._request.get("uncertain")
        if wrapped is not None and option in ("network", "operator"):
            inside = {"architecture": description, **wrapped}
            if "ensemble" in self._request:
                inside["members"] = len(self._request["ensemble"])
            else:
                self._remarks.append("This is one of the members that these lines train.")
            description = {"uncertain": inside}
        if description is None:
            return
        keyword = option if python is None else python
        try:
            text = source_of(description, self._table, self._spelled)
            self._command += [f"--{option}", source_of(description, self._table)]
        except ValueError:
            text = keyword or option
            self._remarks.append(f"{text} is described in the settings; it cannot be written here.")
            self._needs_python.append(f"an object that no text describes, its {option}")
        if keyword:
            self._python.append(f"{keyword}={text}")
        else:
            self._python.insert(0, text)  # positional

    def optimizer(self) -> None:
        """One optimizer, or phases of several, and the number of steps."""
        phases, first = self._request.get("phases", ()), self._request.get("phase_steps", ())
        total = self._request.get("steps", UNLIMITED)
        if len(phases) == 1:
            self.object("optimizer", phases[0])
            if total < UNLIMITED:
                self._plain("steps", total)
        elif phases:
            steps = [*first, UNLIMITED if total >= UNLIMITED else total - sum(first)]
            pairs = zip(phases, steps, strict=True)
            self.object(
                "optimizer",
                [{"Phase": {"optimizer": phase, "steps": count}} for phase, count in pairs],
            )

    def rest(self) -> None:
        """Settings that are plain numbers or texts, and the start."""
        request = self._request
        plain = [name for name in _PLAIN if name != "physics" or "family" not in request]
        for name in plain:
            if request.get(name) is not None:
                self._plain(name, request[name])
        if request.get("ensemble") is not None and "uncertain" not in request:
            self._plain("ensemble", len(request["ensemble"]))
        if request.get("continuation") is not None:
            ((_, given),) = request["continuation"].items()
            each = given["coefficients"].items()
            values = [f"{name}={tuple(numbers)!r}" for name, numbers in each]
            self._python.append(
                f"continuation=po.Continuation({', '.join([str(given['steps']), *values])})"
            )
            texts = [f"{name}={','.join(map(str, numbers))}" for name, numbers in each]
            stages = ["--stage-steps", str(given["steps"])]
            self._command += ["--continuation", *texts, *stages]
        if request.get("loss") is not None:
            self._python.append(f"loss={request['loss']!r}")
            if request["loss"] != "H1":
                self._needs_python.append("loss")
        if request.get("start") is not None:
            self._python.append("start=start")
            self._remarks.append("start is the result that this training went on from.")
            self._needs_python.append("start")

    def _plain(self, name: str, value: Any) -> None:
        self._python.append(f"{name}={value!r}")
        self._command += [f"--{name.replace('_', '-')}", str(value)]

    def _spelled(self, name: str) -> str:
        """How Python writes the name of an object or an activation."""
        cls = self._table.objects.get(name)
        if cls is None:
            return f'po.networks.activations["{name}"]'
        room = cls.__module__.split(".")[1]
        front = room in _FRONT or name == "uncertain"
        return f"po.{name}" if front else f"po.{room}.{name}"

    def written(self, verb: str, what: str) -> Repeat:
        """All of it, as a call of ``po.solve`` or ``po.train``."""
        arguments = "".join(f"    {argument},\n" for argument in (what, *self._python))
        result = "solution" if verb == "solve" else "trained"
        call = f"{result} = po.{verb}(\n{arguments})"
        if self._needs_python:
            why = ", ".join(self._needs_python)
            remark = f"There is no command line for this training, which needs Python: {why}."
            return Repeat("\n".join([*self._before, call]), "", (*self._remarks, remark))
        words = ["pinops", verb, *([self._name] if self._name else []), *self._command]
        return Repeat("\n".join([*self._before, call]), shlex.join(words), tuple(self._remarks))


def _changed(problem: Problem) -> dict[str, Any] | None:
    """The coefficients that differ from those of the registered problem; None where it is not the
    registered one, or differs in what no number or text says.
    """
    name = name_of(problem)
    if name not in available() or not type(problem).__module__.startswith(_FOUND):
        return None
    usual = load_problem(name)
    if type(usual) is not type(problem):
        return None
    before, now = coefficients_as_json(usual), coefficients_as_json(problem)
    if before.keys() != now.keys() or len(now) < len(fields(problem)):
        return None
    changed = {key: value for key, value in now.items() if before[key] != value}
    plain = all(isinstance(value, bool | int | float | str) for value in changed.values())
    return changed if plain else None
