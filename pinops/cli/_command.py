"""The table of commands, and the way from a command line to an exit code."""

import argparse
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from pinops.cli import (
    _data,
    _discover,
    _evaluate,
    _export,
    _plot,
    _problems,
    _report,
    _settings,
    _solve,
    _train,
)
from pinops.cli._arguments import Parser, Usage
from pinops.cli._devices import switch_on_compilation_cache
from pinops.data import environment
from pinops.settings import shown

COMMANDS: dict[str, ModuleType] = {
    "problems": _problems,
    "settings": _settings,
    "solve": _solve,
    "train": _train,
    "data": _data,
    "discover": _discover,
    "evaluate": _evaluate,
    "plot": _plot,
    "export": _export,
    "report": _report,
}
_ABOUT = "Physics-informed networks and neural operators in JAX."
_LONGEST = 600  # characters of an error sentence, whatever the user wrote


class _Versions(argparse.Action):
    """The option ``--versions``, which prints what an issue report needs and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        for name, value in environment().items():
            print(f"{name:10}{value}")
        parser.exit()


def parser() -> Parser:
    """The parser of all commands."""
    usage = "pinops COMMAND [options]"
    whole = Parser(prog="pinops", description=_ABOUT, usage=usage)
    whole.add_argument(
        "--versions", action=_Versions, nargs=0, help="print what a report of a fault needs"
    )
    commands = whole.add_subparsers(
        title="commands", metavar="COMMAND", required=True, dest="command"
    )
    for name, module in COMMANDS.items():
        examples = "\n".join(f"  {line}" for line in module.EXAMPLES.splitlines())
        one = commands.add_parser(
            name,
            help=module.ABOUT,
            description=module.TEXT,
            epilog=f"examples:\n{examples}",
            prog=f"pinops {name}",
            usage=module.USAGE,
        )
        module.arguments(one)
        one.set_defaults(run=module.run, parser=one)
    return whole


def run(arguments: Sequence[str] | None = None) -> int:
    """The command with these arguments (default: those of the process); returns the exit code."""
    try:
        options, unknown = parser().parse_known_args(arguments)
        if unknown:
            options.parser.error(f"there is no option {shown(' '.join(unknown))}")
        switch_on_compilation_cache()
        return options.run(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever reads has enough (`pinops problems | head`); Python would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Usage, ValueError, OSError, OverflowError, MemoryError) as error:
        sentence = " ".join(str(error).split()) or type(error).__name__
        if len(sentence) > _LONGEST:
            sentence = f"{sentence[:_LONGEST]}..."
        print(f"pinops: {sentence}", file=sys.stderr)
        return 2


def main() -> NoReturn:
    """Entry point of the ``pinops`` command."""
    sys.exit(run())
