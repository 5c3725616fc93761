"""The default recipe: a small network in float64, Adam followed by SSBroyden.

Sobol points are refined where the residual is large. All problems share the same numbers; only the
number of steps depends on the declaration (coordinates, unknowns, order).
"""

from collections.abc import Sequence
from typing import Any

from pinops.losses import NTK, PointWeighting, SelfAdaptive, Weighting
from pinops.networks import MLP, Architecture
from pinops.optimizers import Adam, Only, Optax, OptaxMethod, SSBroyden, as_optimizer
from pinops.problem import Problem, residual_signature
from pinops.training import STEPS as ALLOWED_STEPS
from pinops.training import UNLIMITED, Collocation, Phase

STEPS = 6000  # one unknown of two coordinates
STEPS_LARGE = 9000  # systems, more coordinates, waves and dispersion
MINUTES = 4.5  # of training, where neither steps nor minutes are given
ADAM_STEPS = 300


def default_architecture() -> Architecture:
    """A multilayer perceptron of 3 x 30."""
    return MLP(width=30, depth=3)


def default_steps(problem: Problem, minutes: float | None) -> int:
    """6000 steps for one unknown of at most two coordinates, else 9000.

    Waves (second order in time), dispersion and bending (third order in space and above) take 9000
    as well. A time limit replaces the number.
    """
    if minutes is not None:
        return UNLIMITED
    time = problem.domain.time
    coordinates = problem.domain.coordinates
    axis = None if time is None else coordinates.index(time)
    oscillates = any(
        index.count(axis) > 1 or len(index) > 2
        for index in residual_signature(problem).plan.indices
    )
    simple = len(problem.unknowns) == 1 and len(coordinates) <= 2 and not oscillates
    return STEPS if simple else STEPS_LARGE


def default_collocation(problem: Problem) -> Collocation:
    """4096 interior points and 512 for each soft condition, by the problem's own sampler.

    Conditions have 2048 where they fill more than a line.
    """
    points = 512 if len(problem.domain.coordinates) <= 2 else 2048
    return Collocation(boundary=points, initial=points, sampler=problem.sampler)


def checked_steps(steps: int | None, default: int) -> int:
    """The number of steps, or the default for None. Raises ValueError for one below 1."""
    total = default if steps is None else steps
    if fault := ALLOWED_STEPS.fault("steps", total):
        raise ValueError(fault)
    return total


def check_forgetful(plan: Sequence[Phase], remedy: str) -> None:
    """Raises ValueError for an optimizer that needs the same loss in every step."""
    for phase in plan:
        if phase.optimizer.remembers:
            inner = (
                phase.optimizer.optimizer if isinstance(phase.optimizer, Only) else phase.optimizer
            )
            raise ValueError(f"{type(inner).__name__} needs the same loss in every step; {remedy}")


def check_terms_weighted(weighting: Weighting | None, what: str) -> None:
    """Raises ValueError for weights of points, or of derivatives, where every step has other
    samples; ``what`` is trained.
    """
    if isinstance(weighting, PointWeighting | SelfAdaptive | NTK):
        raise ValueError(
            f"{type(weighting).__name__} does not suit {what}; choose GradientNorm or ReLoBRaLo"
        )


def check_stochastic(plan: Sequence[Phase], what: str) -> None:
    """Raises ValueError for an optimizer of the second order, where every step has other samples;
    ``what`` is trained.
    """
    for phase in plan:
        if not isinstance(phase.optimizer, Adam | Optax | OptaxMethod):
            raise ValueError(
                f"{type(phase.optimizer).__name__} does not suit {what}; give Adam, SOAP or "
                "another optax transformation"
            )


def phases(
    optimizer: Any, steps: int | None, default: int, *, warm: bool = False
) -> tuple[Phase, ...]:
    """The phases of a training: the default ones, one optimizer for all steps, or a given sequence.

    Args:
        optimizer: An optimizer, a sequence of `Phase`, or None for the default.
        steps: The number of steps, if given.
        default: The number of steps otherwise.
        warm: Whether the network has been trained before.

    Raises:
        ValueError: For a number of steps below 1.
        TypeError: For what is not an optimizer.
    """
    total = checked_steps(steps, default)
    if optimizer is None:
        first = 0 if warm else min(ADAM_STEPS, total)
        return tuple(
            Phase(o, n)
            for o, n in ((Adam(5e-3, ADAM_STEPS), first), (SSBroyden(), total - first))
            if n
        )
    if (
        isinstance(optimizer, tuple | list)
        and optimizer
        and all(isinstance(phase, Phase) for phase in optimizer)
    ):
        if steps is not None:
            raise ValueError(
                "steps and phases exclude each other: each phase has its own number of steps"
            )
        return tuple(optimizer)
    return (Phase(as_optimizer(optimizer), total),)
