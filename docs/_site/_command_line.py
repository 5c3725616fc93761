"""The page of the command line: what ``--help`` prints."""

import argparse

from pinops.cli._command import COMMANDS, parser

BEGINNING = """\
# Command line

Everything that needs no Python: the command `pinops` solves registered problems, trains on data
files, and draws what a run directory holds.

Objects such as networks and optimizers are written as in Python and as in `run.json`: names and
literals, which are read and never evaluated. `pinops settings` lists their names, `pinops settings
MLP` the settings of one. A run that was interrupted continues with the same command and `--resume`.

| exit code | meaning |
|---|---|
| 0 | solved |
| 2 | invalid input; one sentence on stderr says what is wrong and what would be right |
| 3 | diverged; the last good state is kept |
| 130 | interrupted; a checkpoint is there |
"""


def page() -> str:
    """The whole page in Markdown."""
    whole = parser()
    (commands,) = (
        action.choices
        for action in whole._actions  # argparse has no public way to its subparsers
        if isinstance(action, argparse._SubParsersAction)
    )
    parts = [BEGINNING]
    for name in COMMANDS:
        parts.append(f"## pinops {name}\n\n```text\n{commands[name].format_help().rstrip()}\n```\n")
    return "\n".join(parts)
