"""``pinops export``: one file for others of what a run has trained."""

import argparse

from pinops.cli._arguments import add_problems, path, whole
from pinops.cli._folders import kept

USAGE = "pinops export FOLDER FILE [options]"
ABOUT = "Write what a run has trained as one file for other programs."
TEXT = """\
Write what a run has trained as one file, with its description FILE.json beside it.
The suffix says what is written: .stablehlo, a program for jax.export; .onnx, a
program for ONNX Runtime; .safetensors, the weights alone."""
EXAMPLES = """\
pinops export runs/burgers-seed0 burgers.stablehlo
pinops export runs/cape_burgers-seed0 ten_steps.onnx --snapshots 10"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="the run directory")
    parser.add_argument("file", type=path, metavar="FILE", help="the file that is written")
    parser.add_argument(
        "--snapshots",
        type=whole,
        metavar="N",
        help="of a surrogate: how many snapshots follow in one call (default: 1)",
    )
    add_problems(parser)


def run(options: argparse.Namespace) -> int:
    """Export; returns the exit code."""
    print(kept(options).export(options.file, snapshots=options.snapshots))
    return 0
