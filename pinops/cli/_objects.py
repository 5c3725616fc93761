"""Objects of a command line, written as in Python: ``--network 'MLP(width=30, depth=3)'``."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pinops
from pinops.cli._arguments import Usage, pairs
from pinops.losses import Weighting
from pinops.networks import Architecture, EncoderArchitecture
from pinops.operators import (
    MMGP,
    GridArchitecture,
    OperatorArchitecture,
    PointArchitecture,
    SurrogateArchitecture,
    Uncertain,
)
from pinops.optimizers import Optimizer
from pinops.sampling import Refinement, Sampler
from pinops.settings import Allowed, parsed, shown
from pinops.solvers import allowed
from pinops.training import Collocation, Curriculum, Functions, Log, Phase


class Written(NamedTuple):
    """An option whose value is an object.

    Attributes:
        kind: The classes that the object may have.
        inside: Those of the objects inside it.
        example: How one is written.
        about: What it is, for the help.
    """

    kind: tuple[type, ...]
    inside: tuple[type, ...]
    example: str
    about: str


_POINTS = (Sampler, Refinement, pinops.STDE)
OBJECTS = {
    "network": Written((Architecture, Uncertain), (), "MLP(width=30, depth=3)", "the architecture"),
    "operator": Written(
        (
            OperatorArchitecture,
            SurrogateArchitecture,
            GridArchitecture,
            PointArchitecture,
            MMGP,
            Uncertain,
        ),
        (Architecture, EncoderArchitecture),
        "CAPE(FNO(20, 12), width=64)",
        "what is trained",
    ),
    "optimizer": Written(
        (Optimizer, tuple),
        (Phase,),
        "SOAP(0.003, 10000)",
        "the optimizer, or a tuple of phases such as Phase(Adam(), 300)",
    ),
    "weighting": Written((Weighting,), (), "Fixed(condition=100)", "how terms are balanced"),
    "points": Written(
        (Collocation,), _POINTS, "Collocation(interior=2048, batch=256)", "collocation points"
    ),
    "sampler": Written((Sampler,), (), "Halton()", "how points are spread"),
    "windows": Written(
        (pinops.TimeWindows,), (), "TimeWindows(10)", "solve one part of the time after the other"
    ),
    "functions": Written(
        (Functions,),
        (Collocation, *_POINTS),
        "Functions(pool=1024, batch=32)",
        "how many samples a step takes",
    ),
    "curriculum": Written(
        (Curriculum,), (), "Curriculum(30)", "epochs of a surrogate, from truth to rollouts"
    ),
    "log": Written((Log,), (), 'JSONLines("log.jsonl")', "where losses and errors are logged"),
}


def add_objects(parser: argparse.ArgumentParser, *names: str) -> None:
    """Options of `OBJECTS`; their help lists the names that may be written."""
    group = parser.add_argument_group(
        "objects, written as in Python; pinops settings NAME lists what one takes"
    )
    for name in names:
        option = OBJECTS[name]
        text = f"{option.about}: '{option.example}'"
        known = sorted(names_of(name))
        if len(known) > 1:
            text += f"; one of {', '.join(known)}"
        group.add_argument(f"--{name}", metavar="OBJECT", help=text)


def _table(kinds: tuple[type, ...]) -> Allowed:
    return allowed(*(kind for kind in kinds if kind is not tuple))


def names_of(name: str, *, inside: bool = False) -> Mapping[str, type]:
    """The classes that an option takes by name, with those inside them where asked for."""
    option = OBJECTS[name]
    return _table(option.kind + option.inside if inside else option.kind).objects


def written(name: str, text: str | None) -> Any:
    """The object of an option; None where it is not given.

    Raises:
        Usage: For what is not one, in one sentence.
    """
    if text is None:
        return None
    option = OBJECTS[name]
    table = _table(option.kind + option.inside)
    what = f"an object such as {option.example}"
    try:
        found = parsed(text, table, kind=option.kind, what=what)
    except ValueError as error:
        raise Usage(f"--{name}: {error}") from error
    several = found if isinstance(found, tuple) else None
    if several == () or not all(isinstance(phase, Phase) for phase in several or ()):
        raise Usage(f"--{name}: a tuple has a Phase in each place, such as (Phase(Adam(), 300),)")
    return found


def logs(options: argparse.Namespace) -> list[Log]:
    """The callbacks of a command: what ``--log`` asks for."""
    return [] if options.log is None else [written("log", options.log)]


def continuation(texts: Sequence[str], steps: int) -> pinops.Continuation | None:
    """The stages of ``--continuation reynolds=100,400``, each of a number of steps."""
    if not texts:
        return None
    values = {name: str(each).split(",") for name, each in pairs(texts, "--continuation").items()}
    try:
        numbers = {name: [float(part) for part in parts] for name, parts in values.items()}
    except ValueError:
        raise Usage(
            "--continuation takes NAME=VALUE,VALUE, such as reynolds=100,400, got "
            f"{shown(' '.join(texts))}"
        ) from None
    return pinops.Continuation(steps, **numbers)
