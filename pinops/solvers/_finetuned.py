"""Fine-tuning: a trained network on a grid goes on with the equations of some samples alone."""

from typing import Any

import optax

from pinops.losses import Fixed
from pinops.optimizers import Optax
from pinops.training import FineTuning, Given, Outcome, Params, Phase, Training, Tunable


def finetuned(
    model: Tunable,
    params: Params,
    points: Any,
    *,
    steps: int,
    learning_rate: float,
    anchor: float,
) -> Outcome:
    """Adam on the equations of some samples, its learning rate falling to zero by a cosine.

    Args:
        model: What was trained.
        params: Its parameters.
        points: What ``model.unsolved`` takes.
        steps: Of Adam, at least 1.
        learning_rate: At the start, greater than zero.
        anchor: The weight >= 0 of the mean square distance to the predictions before, relative to
            these.

    Raises:
        ValueError: For a number out of its range.
    """
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"learning_rate must be finite and greater than zero, got {learning_rate}")
    if not 0 <= anchor < float("inf"):
        raise ValueError(f"anchor must be finite and zero or more, got {anchor}")
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
    descent = Optax(optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    training = Training(
        model=FineTuning.of(model, params, points),
        phases=(Phase(descent, steps),),
        source=Given(points),
        seed=0,
        weighting=Fixed(auxiliary=anchor),
    )
    return training.run(training.init(params, fit=False))


def tuned(outcome: Outcome) -> dict[str, Any]:
    """What a result takes of it, by the names of its fields."""
    status = "finetuned" if outcome.status == "finished" else outcome.status
    return {"params": outcome.params, "state": None, "status": status}
