"""What a training consists of and leaves behind: phases, its state, reports and the outcome."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
from jaxtyping import Array, PyTree

from pinops.losses import WeightingState
from pinops.optimizers import Optimizer, as_optimizer
from pinops.settings import Rule, Whole, check_settings, setting
from pinops.training._contracts import Params

STEPS = Whole(1, 10**8)  # that can be asked for
UNLIMITED = 10**15  # where only minutes are given: more than all phases together can ask for


@dataclass(frozen=True)
class _Steps(Rule):
    """Those of a phase: a number that can be asked for, or ``UNLIMITED``."""

    @property
    def text(self) -> str:
        return STEPS.text

    def allows(self, value: Any) -> bool:
        return STEPS.allows(value) or (type(value) is int and value == UNLIMITED)


class Phase(eqx.Module):
    """One optimizer (of `pinops.optimizers`, or an optax transformation) for a number of steps.

    Raises:
        ValueError: For a number of steps below 1.
        TypeError: For what is not an optimizer.
    """

    optimizer: Optimizer = eqx.field(converter=as_optimizer)
    steps: int = setting(_Steps())

    def __check_init__(self):
        check_settings(self)


class TrainState(eqx.Module):
    """Everything that the next step depends on, and the content of a checkpoint.

    Equal states have equal futures, bit for bit.
    """

    params: Params
    optimizer: PyTree
    points: PyTree  # of the source: points by region, members, trajectories
    weighting: WeightingState
    step: Array
    draws: Array  # how many point sets have been drawn: the random key of the next one
    retries: Array  # consecutive stretches that ended in a non-finite loss
    stalls: Array  # stretches without a decrease since points were last drawn on schedule
    changed: Array  # whether the objective is new to the optimizer (other points, or a new phase)


@dataclass(frozen=True)
class Report:
    """What callbacks see after every stretch of steps.

    Attributes:
        step: How many steps have been taken.
        total_steps: How many there will be.
        phase: The name of the optimizer.
        loss: The sum of the terms.
        terms: The weighted mean square of each term, by its name.
        errors: The relative L2 error by unknown, where a reference is known.
        coefficients: The present values of those that are sought.
        seconds: Since the training began, compilation included.
        message: What the progress line adds; empty for nothing.
    """

    step: int
    total_steps: int
    phase: str
    loss: float
    terms: dict[str, float]
    errors: dict[str, float]
    coefficients: dict[str, float]
    seconds: float
    message: str = ""


@dataclass
class Outcome:
    """How training ended: the last good state, its history, the parameters that it answers with,
    and why it stopped.
    """

    state: TrainState
    history: list[Report]
    params: Params
    status: str = ""
    compile_seconds: float = 0.0


Callback = Callable[[Report], Any]  # one that returns True ends the training
Ends = Callable[[Report], str]  # the status with which a report ends the training, or nothing


def endless(report: Report) -> str:
    """No report ends the training."""
    return ""
