"""``pinops data``: members of a family, solved by its reference."""

import argparse
import sys
import tempfile
from pathlib import Path

import pinops
from pinops.cli._arguments import Usage, add_problems, add_set, path, whole
from pinops.cli._devices import cores
from pinops.cli._folders import loaded
from pinops.data import (
    CHAOTIC_SYSTEMS,
    FIDELITY_FAMILIES,
    FIDELITY_LEVELS,
    MESH_FAMILIES,
    Dataset,
    chaotic_contents,
    check_new,
    describe_file,
    fidelity_contents,
    from_pdebench,
    generate,
    is_ours,
    mesh_contents,
)

USAGE = "pinops data [NAME] [--from FILE] --out FILE [options]"
ABOUT = "Solve random members of a family, and write them to one file."
TEXT = """\
Solve random members of a family with the reference solver, and write them to one
HDF5 file; after an interruption the same command resumes. elasticity_hole,
elliptical_hole, notched_plate, heat_polygons, heat_sink, heat_in_time, flow_bodies
and poisson_stars make samples on meshes, which are written at the end;
burgers_levels and column_levels samples of two fidelities, --set level=high, low
or outside; lorenz, thomas, double_pendulum and twelve others trajectories of
chaotic systems. --describe says what is in a file of others, and --from turns it
into one of pinops."""
EXAMPLES = """\
pinops data fisher_family --count 2400 --out fisher.h5
pinops data --from 2D_DarcyFlow_beta1.0_Train.hdf5 --out darcy.h5"""
_MOST_WORKERS = 8  # for each core


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="the family; pinops problems lists them"
    )
    parser.add_argument("--out", type=path, metavar="FILE", help="the HDF5 file")
    parser.add_argument(
        "--from", dest="given", type=path, metavar="FILE", help="a file of others, of any layout"
    )
    parser.add_argument(
        "--describe", type=path, metavar="FILE", help="say what is in a file, and do nothing else"
    )
    add_set(parser, "coefficients of the family, such as viscosity=0.01")
    parser.add_argument(
        "--count",
        type=whole,
        default=1000,
        metavar="N",
        help="number of members, eight tenths of them for training (default: 1000)",
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="random seed of the members (default: 0)"
    )
    parser.add_argument(
        "--workers", type=whole, metavar="N", help="processes that share the work (default: cores)"
    )
    parser.add_argument(
        "--pdebench",
        type=path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="take trajectories from files of PDEBench, for cape_advection and cape_burgers",
    )
    add_problems(parser)


def run(options: argparse.Namespace) -> int:
    """Make the data; returns the exit code."""
    if options.describe is not None:
        print(_described(options.describe))
        return 0
    if (options.name is None) == (options.given is None):
        raise Usage("give the name of a family, or --from FILE for a file of others")
    if options.out is None:
        raise Usage("give --out FILE, the HDF5 file that is made")
    if options.given is not None:
        made = Dataset.open(options.given)
        print(made.save(options.out))
        print(made, file=sys.stderr)
        return 0
    workers = cores() if options.workers is None else options.workers
    most = _MOST_WORKERS * cores()
    if not 1 <= workers <= most:
        raise Usage(f"--workers must be a whole number from 1 to {most} here, got {workers}")
    if options.name in MESH_FAMILIES:
        return _on_meshes(options, workers)
    if options.name in FIDELITY_FAMILIES:
        return _of_a_level(options)
    if options.name in CHAOTIC_SYSTEMS:
        return _chaotic(options)
    family = loaded(options)
    _check_writable(options.out)
    try:
        made = _made(family, options, workers)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on", file=sys.stderr)
        return 130
    if not options.pdebench:
        _report(made, options.name)
    print(options.out)
    return 0


def _described(file: Path) -> str:
    """What is in a file of ours or of others."""
    if not (file.is_file() and is_ours(file)):
        return describe_file(file)
    summary = Dataset.open(file).summary()
    lines = [f"  {name}: {value}" for name, value in summary.items() if name != "source"]
    return "\n".join([f"{file}: a data set of pinops", *lines])


def _check_plain(options: argparse.Namespace, what: str) -> None:
    """Raises Usage for options of families of equations."""
    for name, given in (("--set", options.set), ("--pdebench", options.pdebench)):
        if given:
            raise Usage(f"{name} is not for {options.name}, whose {what} are random; leave it out")


def _on_meshes(options: argparse.Namespace, workers: int) -> int:
    """Make a family of random shapes, each on its own mesh; returns the exit code."""
    _check_plain(options, "shapes")
    check_new(options.out)
    _check_writable(options.out)
    try:
        contents = mesh_contents(
            options.name, options.count, seed=options.seed, workers=workers, report=_progress
        )
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was written", file=sys.stderr)
        return 130
    print("", file=sys.stderr)
    print(Dataset.of(contents).save(options.out))
    return 0


def _of_a_level(options: argparse.Namespace) -> int:
    """Make one level of a problem with two fidelities; returns the exit code."""
    levels = {f"level={level}": level for level in FIDELITY_LEVELS}
    if options.pdebench or len(options.set) != 1 or options.set[0] not in levels:
        raise Usage(f"{options.name} needs --set with one of {', '.join(levels)}, and no other")
    _check_writable(options.out)
    level = levels[options.set[0]]
    contents = fidelity_contents(options.name, level, options.count, seed=options.seed)
    print(Dataset.of(contents).save(options.out))
    return 0


def _chaotic(options: argparse.Namespace) -> int:
    """Make trajectories of a chaotic system; returns the exit code."""
    _check_plain(options, "coefficients")
    check_new(options.out)
    _check_writable(options.out)
    contents = chaotic_contents(options.name, options.count, seed=options.seed)
    print(Dataset.of(contents).save(options.out))
    return 0


def _check_writable(path: Path) -> None:
    """Raises OSError for a file that cannot be written, before anything is solved."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; choose a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path} cannot be written: {reason}; choose another folder") from error


def _made(family: pinops.Problem, options: argparse.Namespace, workers: int) -> Dataset:
    if options.pdebench:
        return from_pdebench(
            family, options.pdebench, options.out, count=options.count, report=_progress
        )
    out: Path = options.out
    return generate(
        family,
        out,
        count=options.count,
        seed=options.seed,
        workers=workers,
        folder=options.problems,
        report=_progress,
    )


def _progress(done: int, count: int) -> None:
    print(f"\r{done} of {count} solved", end="", file=sys.stderr, flush=True)


def _report(made: Dataset, name: str) -> None:
    """How many there are, and the error bars of the first."""
    rows = made.rows(range(min(made.count, 32)))
    bars = {unknown: rows[f"error_bar/{unknown}"].max() for unknown in made.unknowns}
    print(f"\n{made.count} members of {name}, {made.kind}", file=sys.stderr)
    text = ", ".join(f"error bar of {unknown}: {bar:.0e}" for unknown, bar in bars.items())
    print(text, file=sys.stderr)
