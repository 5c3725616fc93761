"""``pinops plot``: the figures of a run directory."""

import argparse

from pinops.cli._arguments import add_problems, path
from pinops.cli._folders import draw, kept, picture_in

USAGE = "pinops plot FOLDER [options]"
ABOUT = "Draw the figure of a run again, or animate it."
TEXT = """\
Draw the figure of a run again, or its solution or rollouts over time. What was
trained on a family is drawn beside unseen members, or beside those of a data set."""
EXAMPLES = """\
pinops plot runs/burgers-seed0 --out burgers.gif
pinops plot runs/cape_burgers-seed0 --data burgers.h5"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="the run directory")
    parser.add_argument(
        "--data", type=path, metavar="FILE", help="draw members of the test part of this data set"
    )
    parser.add_argument(
        "--out",
        type=path,
        metavar="FILE",
        help="where it is written (default: FOLDER/figures/solution.png): .png, .pdf or .svg; "
        ".gif, or .mp4 where ffmpeg is installed, is an animation",
    )
    add_problems(parser)


def run(options: argparse.Namespace) -> int:
    """Draw; returns the exit code."""
    result = kept(options, family=options.data is not None)
    print(draw(result, options.out or picture_in(options.folder), options.data))
    return 0
