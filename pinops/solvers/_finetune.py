"""Fine-tuning of a surrogate on the equations of some trajectories: checks, and the training."""

from collections.abc import Sequence

import optax

from pinops.data import GridSpec
from pinops.losses import Fixed
from pinops.optimizers import Optax
from pinops.problem import Problem
from pinops.training import (
    FineTuning,
    Given,
    Outcome,
    Params,
    Phase,
    SurrogateModel,
    Training,
    Unsolved,
)


def finetuning(
    model: SurrogateModel,
    params: Params,
    points: Unsolved,
    *,
    steps: int,
    learning_rate: float,
    anchor: float,
) -> Outcome:
    """What the training of `TrainedSurrogate.finetuned` leaves; arguments as there."""
    descent = Optax(optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    training = Training(
        model=FineTuning.of(model, params, points),
        phases=(Phase(descent, steps),),
        source=Given(points),
        seed=0,
        weighting=Fixed(auxiliary=anchor),
    )
    return training.run(training.init(params, fit=False))


def check_finetuning(
    family: Problem,
    grid: GridSpec,
    members: Sequence[Problem],
    *,
    steps: int,
    learning_rate: float,
    anchor: float,
) -> None:
    """Raises ValueError for numbers out of range, and members that have no equation on the grid."""
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate must be finite and greater than zero, got {learning_rate}")
    if not 0 <= anchor < float("inf"):
        raise ValueError(f"anchor must be finite and zero or more, got {anchor}")
    if not isinstance(steps, int) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
    if not members:
        raise ValueError(
            "members must be the problems of the trajectories, one for each of the first "
            "snapshots, got none"
        )
    for member in members:
        if type(member) is not type(family):
            raise ValueError(
                f"this surrogate is of {type(family).__name__}, not of {type(member).__name__}"
            )
        grid.check_periodic(member)
