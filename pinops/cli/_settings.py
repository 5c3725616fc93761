"""``pinops settings``: what an object of the command line takes."""

import argparse
import difflib
import inspect

from pinops.cli._arguments import Usage
from pinops.cli._objects import OBJECTS, names_of
from pinops.cli._tables import table
from pinops.settings import describe_settings, shown

USAGE = "pinops settings [NAME]"
ABOUT = "List the objects of the command line, or the settings of one."
TEXT = """\
List the objects that options such as --network take, or the settings of one of
them with their values and defaults."""
EXAMPLES = """\
pinops settings
pinops settings MLP"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="an object, such as MLP")


def run(options: argparse.Namespace) -> int:
    """Print the settings; returns the exit code."""
    if options.name is None:
        rows = [(f"--{name}", ", ".join(names_of(name))) for name in OBJECTS]
        print(table(("option", "objects"), rows))
        return 0
    known = {label: cls for name in OBJECTS for label, cls in names_of(name, inside=True).items()}
    if options.name not in known:
        lower = {label.lower(): label for label in known}
        near = difflib.get_close_matches(options.name.lower(), lower, 1, 0.7)
        hint = f"did you mean {lower[near[0]]}?" if near else "pinops settings lists them"
        raise Usage(f"there is no object {shown(options.name)}; {hint}")
    cls = known[options.name]
    print((inspect.getdoc(cls) or options.name).split("\n\n")[0] + "\n")
    rows = list(describe_settings(cls).items())
    print(table(("setting", "values (default)"), rows) if rows else "it has no settings")
    return 0
