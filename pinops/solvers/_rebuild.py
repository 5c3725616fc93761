"""From the description in a run directory to the objects that it describes; nothing in it is
executed or believed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from pinops.data import DataFileError, said, shown
from pinops.networks import Architecture, EncoderArchitecture
from pinops.operators import (
    MMGP,
    Blocks,
    GridArchitecture,
    HyPINO,
    OperatorArchitecture,
    PointArchitecture,
    SurrogateArchitecture,
)
from pinops.problem import DataFamily, Mixture, Problem, available, difference, load_problem
from pinops.settings import from_description
from pinops.solvers._allowed import allowed
from pinops.solvers._request import describe

ARCHITECTURES = (
    Architecture,
    EncoderArchitecture,
    OperatorArchitecture,
    GridArchitecture,
    SurrogateArchitecture,
    PointArchitecture,
    MMGP,
    HyPINO,
    Blocks,
)
_MOST = 1_000_000  # of a coefficient that is a whole number
_SENTENCE = 200  # characters of what an architecture says of its settings
_LONGEST = 360  # characters of the whole sentence


@contextmanager
def rebuilding(folder: Path) -> Iterator[None]:
    """Whatever goes wrong becomes one sentence that names the run.

    Names and types have been checked before; what remains are values that do not fit each other.
    """
    try:
        yield
    except (DataFileError, OSError):
        raise
    except RecursionError:
        raise DataFileError(f"the run in {folder} is nested too deeply; restore a copy") from None
    except MemoryError:
        raise DataFileError(
            f"the run in {folder} does not fit the memory of this machine; restore a copy"
        ) from None
    except ValueError as error:
        text = " ".join(str(error).split())
        if len(text) <= _LONGEST:
            raise
        raise ValueError(_shortened(text)) from error
    except Exception as error:
        raise DataFileError(
            f"the run in {folder} cannot be built again from its run.json "
            f"({type(error).__name__}: {said(error)}); restore a copy"
        ) from error


def _shortened(sentence: str) -> str:
    """The sentence without its middle: the remedy at its end is what a reader needs."""
    _, mark, remedy = sentence.rpartition("; ")
    end = mark + remedy if len(mark + remedy) < _LONGEST // 2 else ""
    return f"{sentence[: _LONGEST - 3 - len(end)]}...{end}"


def problem_of(
    folder: Path, request: Mapping[str, Any], problem: Problem | None, changed: bool
) -> Problem:
    """The problem of a run, by its name where none is given, compared with the one that it was
    trained on.

    Raises:
        ValueError: when it must be given, or differs from that of the run and this is not meant
            (``changed``).
    """
    given = problem is not None
    if problem is None and "family" in request:
        problem = DataFamily.from_json(request["family"])
    if problem is None and "mixture" in request:
        problem = Mixture.from_json(request["mixture"], partial(_by_name, folder))
    if problem is None:
        problem = _by_name(folder, request["problem"], **request["coefficients"])
    stored = request.get("fingerprint")
    words = None if changed or stored is None else difference(stored, problem)
    if words is not None:
        whose = "given" if given else f"named {request['problem'][:40]!r} today"
        raise ValueError(
            f"the run in {folder} is of another problem than the one {whose}: {words}; "
            "give that of the run, or load(..., changed=True) where this is meant"
        )
    return problem


def _by_name(folder: Path, name: str, /, **stored: Any) -> Problem:
    # Coefficients that no number or text describes are those of a problem that has to be given
    # anyway.
    given = stored.items() if name in available() else ()
    for key, value in given:
        large = isinstance(value, int) and not isinstance(value, bool) and abs(value) > _MOST
        if large or value is None or isinstance(value, dict):
            raise DataFileError(
                f"the problem of the run in {folder} must be given, load(..., problem=...): "
                f"its coefficient {key[:40]!r} is {shown(value)}"
            )
    # JSON has no tuples; a static coefficient must be hashable.
    coefficients = {
        key: tuple(value) if isinstance(value, list) else value for key, value in stored.items()
    }
    try:
        if not name.isidentifier():
            raise ValueError(f"{shown(name)} is no name of a problem")
        return load_problem(name, **coefficients)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the problem of the run in {folder} must be given, load(..., problem=...): "
            f"{said(error)}"
        ) from error


def architecture_of(description: Any, folder: Path, given: Any, changed: bool = False) -> Any:
    """One of our own architectures, of a network or an operator, from its description, or the one
    that is given.

    Raises:
        ValueError: for any other, for settings that it does not have, and where the given one is of
            other settings.
    """
    if given is None:
        return _architecture(description, folder)
    if isinstance(given, ARCHITECTURES) and not changed and describe(given) != description:
        raise ValueError(
            f"the run in {folder} has the network {shown(description)}, not "
            f"{shown(describe(given))}; "
            "give that of the run, or load(..., changed=True) where this is meant"
        )
    return given


def _architecture(description: Any, folder: Path) -> Any:
    try:
        return from_description(description, allowed(*ARCHITECTURES))
    except ValueError as error:
        raise ValueError(
            f"the network of the run in {folder} cannot be made again ({said(error, _SENTENCE)}); "
            "give the same one, load(..., network=...)"
        ) from error


def of_another_kind(folder: Path, architecture: object, what: str) -> ValueError:
    """The error of a run that cannot be loaded as the architecture that is given.

    Args:
        folder: Of the run.
        architecture: The one that does not fit.
        what: What the run is, such as "a hypernetwork".
    """
    return ValueError(
        f"the run in {folder} is {what}, and cannot be a {type(architecture).__name__}; "
        "give the same one again, load(..., network=...)"
    )
