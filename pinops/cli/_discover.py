"""``pinops discover``: the equation that trajectories in a file obey."""

import argparse

import pinops
from pinops._numbers import as_json
from pinops.cli._arguments import add_json, path

USAGE = "pinops discover FILE [options]"
ABOUT = "Find the equation that measured trajectories obey."
TEXT = """\
Find the equation that trajectories on a regular grid obey: a derivative in time as a
combination of a few products of derivatives, with an error bar for each
coefficient, in spite of noise. FILE has any layout that pinops data --describe knows."""
EXAMPLES = """\
pinops discover measured.npz
pinops discover measured.h5 --unknown u --json"""
_FORMS = {"weak": pinops.discovery.Weak, "strong": pinops.discovery.Strong}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("file", type=path, metavar="FILE", help="the trajectories")
    parser.add_argument(
        "--unknown",
        nargs="+",
        metavar="NAME",
        help="which outputs are unknowns of the equation (default: all)",
    )
    parser.add_argument(
        "--periodic",
        nargs="*",
        metavar="NAME",
        help="the coordinates along which values are periodic (default: as the values show)",
    )
    parser.add_argument(
        "--form",
        choices=tuple(_FORMS),
        default="weak",
        metavar="FORM",
        help="weak, or strong for data with hardly any noise (default: weak)",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the equation; returns the exit code."""
    found = pinops.discover(
        pinops.Dataset.open(options.file),
        form=_FORMS[options.form](),
        unknown=options.unknown,
        periodic=options.periodic,
    )
    print(as_json(found.summary()) if options.json else found)
    return 0
