"""``pinops report``: one page about a run directory."""

import argparse

import pinops
from pinops.cli._arguments import add_problems, path
from pinops.cli._folders import kept

USAGE = "pinops report FOLDER [FILE] [options]"
ABOUT = "Write one page of HTML about a run."
TEXT = """\
Write one page of HTML about a run: equation, errors, figure, diagnosis, settings,
versions, and how to repeat it. It needs no other file and no network."""
EXAMPLES = """\
pinops report runs/burgers-seed0
pinops report runs/cape_burgers-seed0 cape.html --data burgers.h5"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="the run directory")
    parser.add_argument(
        "file", type=path, nargs="?", metavar="FILE", help="the page (default: FOLDER/report.html)"
    )
    parser.add_argument(
        "--data", type=path, metavar="FILE", help="compare with the test part of this data set"
    )
    add_problems(parser)


def run(options: argparse.Namespace) -> int:
    """Write the page; returns the exit code."""
    result = kept(options, family=options.data is not None)
    data = None if options.data is None else pinops.Dataset.open(options.data)
    print(result.report(options.file or options.folder / "report.html", data))
    return 0
