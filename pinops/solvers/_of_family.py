"""What plans for families and data share: the common part of a request, and of a result."""

from collections.abc import Sequence
from typing import Any

from pinops.data import Dataset
from pinops.losses import Weighting
from pinops.problem import (
    DataFamily,
    Problem,
    coefficients_as_json,
    coefficients_of,
    name_of,
)
from pinops.solvers._door import Options
from pinops.solvers._request import describe
from pinops.training import Functions, Outcome, Phase


def family_request(
    problem: Problem,
    dataset: Dataset | None,
    options: Options,
    *,
    functions: Functions,
    weighting: Weighting,
    fingerprint: dict[str, Any],
    seed: int,
) -> dict[str, Any]:
    """The part of a request that does not depend on what is trained; arguments as for `train`."""
    seen = None if dataset is None else [dataset.origin, dataset.seen("training")]
    request = {
        "problem": name_of(problem),
        "coefficients": describe(coefficients_of(problem)) | coefficients_as_json(problem),
        "data": None if dataset is None else dataset.digest,
        "data_members": seen,
        "functions": describe(functions),
        "weighting": describe(weighting),
        "fingerprint": fingerprint,
        "minutes": options.minutes,
        "seed": seed,
        "dtype": options.dtype,
    }
    if isinstance(problem, DataFamily):
        request["family"] = problem.to_json()
    if dataset is not None and dataset.layout.units:
        request["units"] = dict(dataset.layout.units)
    return request


def phases_request(phases: Sequence[Phase]) -> dict[str, Any]:
    """The optimizers of a request, and their steps."""
    return {
        "phases": [describe(phase.optimizer) for phase in phases],
        "phase_steps": [phase.steps for phase in phases[:-1]],
        "steps": sum(phase.steps for phase in phases),
    }


def of_outcome(outcome: Outcome) -> dict[str, Any]:
    """What a result takes of the end of a training, by the names of its fields."""
    return {
        "params": outcome.state.params,
        "history": outcome.history,
        "status": outcome.status,
        "compile_seconds": outcome.compile_seconds,
        "state": outcome.state,
    }
