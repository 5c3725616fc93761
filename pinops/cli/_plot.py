"""``pinops plot``: the figures of a run directory."""

import argparse

from pinops.cli._arguments import add_problems, path
from pinops.cli._folders import draw, kept

USAGE = "pinops plot FOLDER [options]"
ABOUT = "Draw the figure of a run again."
TEXT = """\
Draw the figure of a run again: FOLDER/figures/solution.png. What was trained on a
family is drawn beside unseen members, or beside those of a data set."""
EXAMPLES = """\
pinops plot runs/burgers-seed0
pinops plot runs/cape_burgers-seed0 --data burgers.h5"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="the run directory")
    parser.add_argument(
        "--data", type=path, metavar="FILE", help="draw members of the test part of this data set"
    )
    add_problems(parser)


def run(options: argparse.Namespace) -> int:
    """Draw; returns the exit code."""
    result = kept(options, family=options.data is not None)
    print(draw(result, options.folder, options.data))
    return 0
