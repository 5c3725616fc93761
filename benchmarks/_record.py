"""The common parts of all benchmarks: options, fresh processes, result files, tables.

A result file holds ``cases``, each with its settings and its ``runs``, one row per seed. A row
holds the measured values, the seconds of the whole process, hardware, versions and the commit. A
new run of a case and seed replaces the old row; other rows remain. Measurements without seeds are
sections of their own, such as ``step``.

This module imports no numerical library, so that ``--help`` answers at once.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
PACKAGES = ("pinops", "jax", "jaxlib", "equinox", "optax", "numpy")

Row = dict[str, Any]


# Options


def parser(
    script: str, doc: str | None, cases: Iterable[str] = (), seeds: Iterable[int] = (0, 1, 2)
) -> argparse.ArgumentParser:
    """The options of every benchmark.

    Args:
        script: Its ``__file__``, which names its results.
        doc: Its docstring.
        cases: The choices of ``--cases`` (default: all); without any, the option is omitted.
        seeds: The default of ``--seeds``; without any, the option is omitted.
    """
    out = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if names := list(cases):
        out.add_argument("--cases", nargs="+", metavar="CASE", default=names, choices=names)
    if numbers := list(seeds):
        out.add_argument("--seeds", type=int, nargs="+", metavar="SEED", default=numbers)
    out.add_argument("--pin", action="store_true", help="use one core only")
    out.add_argument(
        "--smoke", type=Path, metavar="FILE", help="a tiny run, recorded in FILE: does it work?"
    )
    out.add_argument("--one", action="store_true", help=argparse.SUPPRESS)  # see `one`
    out.set_defaults(record=RESULTS / f"{Path(script).stem}.json")
    return out


def parse(options: argparse.ArgumentParser, arguments: list[str] | None = None) -> Any:
    """The arguments; a smoke test takes only the first case and the first seed."""
    out = options.parse_args(arguments)
    if out.smoke:
        out.record = out.smoke
        for name in ("cases", "seeds"):
            if hasattr(out, name):
                setattr(out, name, getattr(out, name)[:1])
    if out.pin:
        pin()
    return out


def pin() -> None:
    """Pin this process and its children to one core.

    If JAX is imported afterwards, it has a single thread.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


# Provenance


def processor() -> str:
    """The model name of the CPU, if the system provides it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def commit() -> str:
    """The commit of the checkout, with a plus if files have changed; empty without a checkout."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        # Results and their tables belong to the checkout, too, and change with every row.
        ours = (":!benchmarks/results", ":!README.md", ":!docs/benchmarks.md")
        changed = [*git, "status", "--porcelain", "--", ".", *ours]
        dirty = subprocess.run(changed, capture_output=True, text=True)
    except OSError:
        return ""
    return "" if head.returncode else head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def provenance() -> Row:
    """Hardware, versions and commit of a measurement."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    machine = {
        "processor": processor(),
        "cores": cores,
        "python": platform.python_version(),
    }
    versions = {name: version(name) for name in PACKAGES}
    return {"machine": machine, "versions": versions, "commit": commit()}


# Processes


def fresh(
    command: Iterable[str], *, cold: bool = True, environment: dict[str, str] | None = None
) -> Row:
    """Run a command in a process of its own; its last line of output is JSON.

    Args:
        command: The program and its arguments.
        cold: Whether the compilation cache is empty at the start.
        environment: Further environment variables.

    Returns:
        The printed object with ``process_seconds``, the time of the whole process; after a failure
        ``failed`` is the last line of the errors instead.
    """
    with tempfile.TemporaryDirectory() as folder:
        cache = {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"} if cold else {}
        began = time.perf_counter()
        done = subprocess.run(
            list(command),
            capture_output=True,
            text=True,
            env=os.environ | cache | (environment or {}),
        )
        seconds = {"process_seconds": round(time.perf_counter() - began, 1)}
    if done.returncode:
        return seconds | {"failed": done.stderr.strip().splitlines()[-1:]}
    return seconds | json.loads(done.stdout.splitlines()[-1])


def one(script: str, case: str, seed: int, *options: str, cold: bool = True) -> Row:
    """One case and seed in a process of its own, for benchmarks that do not use the command line.

    The script starts itself with ``--one``, which prints the row instead of recording it.
    """
    command = [sys.executable, script, *options, "--one", "--cases", case, "--seeds", str(seed)]
    return fresh(command, cold=cold)


def peer(python: str, script: str, environment: dict[str, str] | None = None) -> Row:
    """The output of a neighbouring script in another Python, which has the peer libraries.

    Raises:
        SystemExit: With the last line of its errors.
    """
    command = [os.path.abspath(python), str(Path(__file__).with_name(script))]
    found = fresh(command, environment=environment)
    if "failed" in found:
        raise SystemExit(f"{script}: {' '.join(found['failed'])}")
    return found


def pinops(*arguments: str) -> list[str]:
    """A command of pinops in this Python."""
    return [sys.executable, "-m", "pinops", *arguments]


def solved(
    case: str, seed: int, options: Iterable[str], out: Path | None = None, *, cold: bool = True
) -> Row:
    """One ``pinops solve`` of a case "NAME COEFFICIENT=VALUE"; ``out`` keeps its run directory."""
    name, *settings = case.split()
    with tempfile.TemporaryDirectory() as folder:
        where = str(out or Path(folder) / "run")
        command = ["solve", name, "--seed", str(seed), "--out", where, "--json"]
        command += ["--set", *settings] if settings else []
        found = fresh(pinops(*command, *options), cold=cold)
    if "failed" in found:
        return found
    keep = ("process_seconds", "relative_l2", "max_abs", "seconds", "compile_seconds", "steps")
    keep += ("parameters", "status", "reference", "coefficients")
    row = {key: found[key] for key in keep}
    for key, true in found["coefficients"].items():
        if key.startswith("true_"):
            estimate = found["coefficients"][key.removeprefix("true_")]
            row["coefficient_error"] = abs(estimate / true - 1)
    return row


def measure(row: Row) -> float:
    """The error of the coefficient in an inverse problem, otherwise the worst relative L2 error."""
    if not row.get("relative_l2"):
        return float("inf")
    return row.get("coefficient_error", max(row["relative_l2"].values()))


def in_turns(
    ways: dict[str, Callable[[], Any]],
    rounds: int,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Milliseconds of each contender in every round, after a first round that compiles.

    Args:
        ways: Functions that start the work and return its arrays.
        rounds: The number of turns of each; they alternate, so a busy machine slows all alike.
        repeats: The number of calls in a turn.
        clock: A clock in seconds: wall time or processor time.
    """
    import jax

    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, way in ways.items():
            began = clock()
            for _ in range(repeats):
                jax.block_until_ready(way())
            times[name].append(1e3 * (clock() - began) / repeats)
    return {name: values[1:] for name, values in times.items()}


# Results


class Record:
    """A result file; every change is on disk when the call returns."""

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> Row:
        """The whole content."""
        return json.loads(self.path.read_text()) if self.path.exists() else {"cases": {}}

    def cases(self) -> dict[str, Row]:
        """The recorded cases by name."""
        return self.read()["cases"]

    def add(self, case: str, seed: int, row: Row, **settings: Any) -> Row:
        """Record a run, which replaces one of the same case and seed; returns the case."""
        content = self.read()
        entry = content["cases"].setdefault(case, {"runs": []})
        others = [run for run in entry.pop("runs") if run["seed"] != seed]
        runs = [*others, {"seed": seed} | row | provenance()]
        entry.update(settings, runs=sorted(runs, key=lambda run: run["seed"]))
        self._write(content)
        return entry

    def section(self, name: str, **values: Any) -> None:
        """Record a measurement without seeds, which replaces the earlier one."""
        self._write(self.read() | {name: values | provenance()})

    def _write(self, content: Row) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        part.write_text(json.dumps(content, indent=1) + "\n")
        part.replace(self.path)


def by_case(
    script: str,
    doc: str | None,
    run: Callable[[str, int, bool], Row],
    settings: Mapping[str, Mapping[str, Any]],
    *,
    page: Path,
    marks: tuple[str, str],
    table: Callable[[Row], list[str]],
) -> None:
    """The `main` of a benchmark of cases and seeds, each of which is run in a process of its own.

    Args:
        script: Its ``__file__``.
        doc: Its docstring.
        run: From a case, a seed, and whether it is a tiny run, to what is recorded.
        settings: Of each case, recorded beside its runs.
        page: The page that has its table.
        marks: Of the table in the page.
        table: The lines of the table, from all that is recorded.
    """
    options = parser(script, doc, settings)
    add_markdown(options, page)
    asked = parse(options)
    results = Record(asked.record)
    if asked.markdown:
        return into_page(table(results.read()), marks, asked.markdown)
    if asked.one:
        return print(json.dumps(run(asked.cases[0], asked.seeds[0], bool(asked.smoke))))
    width = max(map(len, settings))
    for case in asked.cases:
        for seed in asked.seeds:
            row = one(script, case, seed, *(["--smoke", str(asked.smoke)] if asked.smoke else []))
            results.add(case, seed, row, **settings[case])
            taken = row["process_seconds"]
            print(f"{case:{width}s} seed {seed}  {measure(row):.1e}  {taken:.0f} s", flush=True)
    return None


def paired(
    content: Row,
    problems: Mapping[str, tuple[str, float]],
    ways: tuple[str, str],
    heads: tuple[str, str],
) -> list[str]:
    """A table of problems that were solved in two ways: cases such as "plate, soft".

    Args:
        content: All that is recorded.
        problems: What each is, and the error that is wanted.
        ways: The ends of the names of the cases.
        heads: Of the columns of their errors.
    """
    lines = [f"| problem | target | {' | '.join(heads)} | seconds |", "|---|---|---|---|---|"]
    for name, (about, target) in problems.items():
        pair = [content["cases"].get(f"{name}, {way}") for way in ways]
        if None in pair:
            continue
        errors = [each(entry["runs"], lambda row: f"{measure(row):.1e}") for entry in pair]
        taken = " and ".join(seconds(entry) for entry in pair)
        lines.append(f"| {about} | {target:.0e} | {' | '.join(errors)} | {taken} |")
    return lines


def median(entry: Row, error: Callable[[Row], float] = measure) -> float:
    """The median error over the runs of a case."""
    return statistics.median(error(row) for row in entry["runs"])


def met(entry: Row, error: Callable[[Row], float] = measure) -> bool:
    """Whether the medians of error and time meet the target of the case."""
    seconds = statistics.median(row["process_seconds"] for row in entry["runs"])
    return median(entry, error) <= entry["target"] and seconds <= entry["seconds"]


# Tables


def each(runs: Iterable[Row], shown: Callable[[Row], str]) -> str:
    """A table cell with the values of all seeds."""
    return ", ".join(shown(run) for run in runs)


def seconds(entry: Row) -> str:
    """A table cell with the times of all runs."""
    return each(entry["runs"], lambda run: f"{run['process_seconds']:.0f}")


def target(entry: Row, reached: bool) -> str:
    """A table cell with the target of a case."""
    return f"{entry['target']:.1e} in {entry['seconds']:.0f} s" + (
        "" if reached else ", **missed**"
    )


def processors(cases: dict[str, Row]) -> str:
    """The processors of all runs, in order of appearance."""
    names = {run["machine"]["processor"]: None for entry in cases.values() for run in entry["runs"]}
    return ", ".join(names)


def add_markdown(options: argparse.ArgumentParser, page: Path = PAGE) -> None:
    """The option ``--markdown [FILE]``, for benchmarks with a table in a page."""
    about = f"write the recorded results as the table of {page.name}, or of FILE"
    options.add_argument("--markdown", type=Path, nargs="?", const=page, metavar="FILE", help=about)


def into_page(lines: Iterable[str], marks: tuple[str, str], path: Path) -> None:
    """Replace the lines between two marks of a Markdown file."""
    start, end = marks
    before, rest = path.read_text().split(start)
    path.write_text("\n".join([before + start, *lines, end]) + rest.split(end)[1])
