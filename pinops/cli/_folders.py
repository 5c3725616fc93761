"""Run directories of the command line, from the request to the exit code."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pinops
from pinops.cli._arguments import Usage, pairs
from pinops.cli._tables import show
from pinops.plotting import MOVING
from pinops.solvers import Ensemble, Trained, TrainedUncertain, read_run


def loaded(options: argparse.Namespace) -> pinops.Problem:
    """The problem of a command, from the user's folder of problems too; ``A+B`` is a mixture.

    Raises:
        Usage: For an unknown coefficient, or one that the problem does not take.
    """
    if options.problems is not None:
        pinops.load_folder(options.problems)
    if "+" in options.name:
        if options.set:
            raise Usage("--set is for one family; the families of a mixture are as registered")
        return pinops.Mixture(options.name.split("+"))
    try:
        return pinops.load_problem(options.name, **pairs(options.set, "--set"))
    except TypeError as error:
        raise Usage(f"the problem {options.name!r}: {error}") from error


def kept(options: argparse.Namespace, *, family: bool = False) -> Trained:
    """What the run directory of a command holds, with the user's folder of problems.

    Args:
        options: Of the command line.
        family: Whether options are given that are for families alone.

    Raises:
        Usage: Where they are, and it holds the solution of one problem.
    """
    if options.problems is not None:
        pinops.load_folder(options.problems)
    result = pinops.load(options.folder)
    first = result[0] if isinstance(result, Ensemble | TrainedUncertain) else result
    if family and isinstance(first, pinops.Solution | pinops.WindowedSolution):
        raise Usage(
            f"--set and --data are for what was trained on a family; {options.folder} holds a "
            "solution of one problem"
        )
    return result


def run_folder(options: argparse.Namespace) -> Path:
    """The folder of a run: the one that is given, or a new one."""
    if options.out is not None:
        return options.out
    if options.resume:
        raise Usage("--resume needs --out, the run directory to continue")
    name = options.name or options.data.stem
    base = Path("runs") / f"{name}-seed{options.seed}"
    number, folder = 1, base
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}-{number}")
    return folder


def trained(
    options: argparse.Namespace, train: Callable[[Path], Trained], data: Path | None = None
) -> int:
    """Train in a run directory, draw the figure and print the result.

    Args:
        options: Of the command line.
        train: From the run directory to what was trained.
        data: A data set that the figure is compared with.

    Returns:
        The exit code.
    """
    out = run_folder(options)
    try:
        result = train(out)
    except KeyboardInterrupt:
        print(
            f"interrupted; go on with the same command and: --out {out} --resume",
            file=sys.stderr,
        )
        return 130
    try:
        draw(result, picture_in(out), data)
    except (OSError, ValueError) as error:  # the run is there all the same
        print(f"pinops: there is no figure: {error}", file=sys.stderr)
    # Its errors are not computed again: references of a hundred problems take time.
    summary: dict[str, Any] = read_run(out)["result"]
    show(summary | {"out": str(out)}, json_=options.json)
    if result.status == "diverged":
        print(
            "training diverged; the last good state was kept: try another seed or smaller steps",
            file=sys.stderr,
        )
        return 3
    return 0


def picture_in(folder: Path) -> Path:
    """The figure of a run directory."""
    return folder / "figures" / "solution.png"


def draw(result: Trained, path: Path, data: Path | None) -> Path:
    """The figure of a result, or by the suffix an animation, beside the solutions of a data set
    where one is given.
    """
    dataset = None if data is None else pinops.Dataset.open(data)
    if path.suffix.lower() in MOVING:
        return result.animate(path, dataset)
    result.plot(path, dataset)
    return path
