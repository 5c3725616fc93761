"""``pinops evaluate``: the errors of a run directory, again or on other members."""

import argparse
from dataclasses import replace

import pinops
from pinops.cli._arguments import Usage, add_json, add_problems, add_set, pairs, path
from pinops.cli._folders import kept
from pinops.cli._tables import show
from pinops.problem import coefficients_as_json
from pinops.solvers import Trained

USAGE = "pinops evaluate FOLDER [options]"
ABOUT = "Compare a run again with the reference, or with data."
TEXT = """\
Compare a run again with the reference; an operator or a surrogate also with the
test part of a data set, an operator with members of other coefficients."""
EXAMPLES = """\
pinops evaluate runs/burgers-seed0
pinops evaluate runs/fisher_family-seed0 --set task=zeldovich --json"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("folder", type=path, metavar="FOLDER", help="the run directory")
    add_set(parser, "coefficients of the family that an operator is evaluated on")
    parser.add_argument(
        "--data", type=path, metavar="FILE", help="evaluate on the test part of this data set"
    )
    add_json(parser)
    add_problems(parser)


def run(options: argparse.Namespace) -> int:
    """Evaluate; returns the exit code."""
    changed = pairs(options.set, "--set")
    result = kept(options, family=bool(changed) or options.data is not None)
    data = None if options.data is None else pinops.Dataset.open(options.data)
    if changed:
        result = _with_members(result, changed)
    show(result.summary(data) | {"out": str(options.folder)}, json_=options.json)
    return 0


def _with_members(result: Trained, changed: dict[str, object]) -> Trained:
    """An operator whose family has other coefficients.

    Raises:
        Usage: For what is no operator, and for coefficients that the family does not take.
    """
    if not isinstance(result, pinops.TrainedOperator):
        raise Usage("--set is for operators; give --data with the members to be evaluated on")
    name, before = result.request["problem"], coefficients_as_json(result.family)
    try:
        return replace(result, family=pinops.load_problem(name, **(before | changed)))
    except TypeError as error:
        raise Usage(f"the problem {name!r}: {error}") from error
