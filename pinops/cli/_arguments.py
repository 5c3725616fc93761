"""What a command line may hold: numbers, paths, NAME=VALUE, and options that commands share."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pinops.settings import shown

_WIDTH = 80  # columns of the help, also where the terminal is wider


class Usage(Exception):
    """A user's mistake: the message is the one sentence that is shown."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, and whose options are never abbreviated."""

    def __init__(self, **options: Any):
        super().__init__(allow_abbrev=False, formatter_class=_Help, **options)

    def error(self, message: str) -> NoReturn:
        """Raises Usage with the sentence, and the remedy."""
        raise Usage(f"{message.removeprefix('argument ')}; see {self.prog} --help")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Descriptions and examples as they are written, in 80 columns."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=26, width=_WIDTH)


def whole(text: str) -> int:
    """A whole number; its range is checked where it is used."""
    try:
        return int(text)
    except ValueError:  # also for more than 4300 digits
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a whole number") from None


def number(text: str) -> float:
    """A number, also nan and inf, which are refused where they are used."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number") from None


def path(text: str) -> Path:
    """A path that the operating system can look up."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a path")
    return Path(text)


def value(text: str) -> int | float | bool | str:
    """A number where the text is one, True or False, or the text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def pairs(texts: Sequence[str], flag: str) -> dict[str, Any]:
    """The values of NAME=VALUE by name.

    Raises:
        Usage: For a text of another form, and for a name that is given twice.
    """
    out: dict[str, Any] = {}
    for text in texts:
        name, equals, given = text.partition("=")
        if not equals or not name.isidentifier():
            raise Usage(f"{flag} takes NAME=VALUE, such as viscosity=0.01, got {shown(text)}")
        if name in out:
            raise Usage(f"{flag} gives {name} twice; give it once")
        out[name] = value(given)
    return out


def add_set(parser: argparse.ArgumentParser, about: str) -> None:
    """The option ``--set`` for coefficients."""
    parser.add_argument(
        "--set", nargs="*", action="extend", default=[], metavar="NAME=VALUE", help=about
    )


def add_problems(parser: argparse.ArgumentParser) -> None:
    """The option ``--problems`` for problem files of one's own."""
    parser.add_argument(
        "--problems", type=path, metavar="FOLDER", help="a folder with problem files of your own"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option ``--json``."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object on stdout instead of a table"
    )


def run_options(options: argparse.Namespace) -> dict[str, Any]:
    """Those of `add_run` that `pinops.solve` and `pinops.train` take unchanged, by name."""
    names = ("steps", "minutes", "seed", "ensemble", "dtype", "resume", "checkpoint_seconds")
    return {name: getattr(options, name) for name in names}


def add_run(parser: argparse.ArgumentParser, *, dtype: str, checkpoint_seconds: float) -> None:
    """The options that every training has.

    Args:
        parser: The parser of the command.
        dtype: The default precision.
        checkpoint_seconds: The default time between two checkpoints.
    """
    group = parser.add_argument_group("training")
    group.add_argument("--steps", type=whole, metavar="N", help="number of optimizer steps")
    group.add_argument("--minutes", type=number, metavar="M", help="time limit")
    group.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="random seed (default: 0)"
    )
    group.add_argument(
        "--ensemble",
        type=whole,
        metavar="N",
        help="train N at once, with seeds SEED, SEED + 1, ...",
    )
    group.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default=dtype,
        help=f"float64 or float32 (default: {dtype})",
        metavar="DTYPE",
    )
    group.add_argument(
        "--devices",
        type=whole,
        metavar="N",
        help="share the work among N accelerators, or among N cores where there are none; sums in "
        "another order change the last digits",
    )
    group = parser.add_argument_group("files and output")
    group.add_argument(
        "--out",
        type=path,
        metavar="FOLDER",
        help="run directory (default: runs/NAME-seedSEED, numbered where it exists)",
    )
    group.add_argument(
        "--resume", action="store_true", help="continue from the checkpoint in --out"
    )
    group.add_argument(
        "--checkpoint-seconds",
        type=number,
        default=checkpoint_seconds,
        metavar="S",
        help=f"time between two checkpoints (default: {checkpoint_seconds:g})",
    )
    add_json(group)  # pyright: ignore[reportArgumentType]
    add_problems(group)  # pyright: ignore[reportArgumentType]
