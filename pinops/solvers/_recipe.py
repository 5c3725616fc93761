"""The default recipe: a small network in float64, Adam followed by SSBroyden.

Sobol points are refined where the residual is large. All problems share the same numbers; only the
number of steps depends on the declaration (coordinates, unknowns, order).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pinops.losses import NTK, PointWeighting, SelfAdaptive, Weighting
from pinops.networks import MLP, Architecture
from pinops.optimizers import Adam, Optax, OptaxMethod, SSBroyden, as_optimizer, innermost
from pinops.problem import Problem, residual_signature
from pinops.settings import Whole
from pinops.training import STEPS as ALLOWED_STEPS
from pinops.training import UNLIMITED, Collocation, Phase

ALLOWED_EPOCHS = Whole(1, 1_000_000)
STEPS = 6000  # one unknown of two coordinates
STEPS_LARGE = 9000  # systems, more coordinates, waves and dispersion
MINUTES = 4.5  # of training, where neither steps nor minutes are given
ADAM_STEPS = 300  # at most
ADAM_SHARE = 4  # at most a quarter of the steps: short trainings end with SSBroyden, too


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


def map_optimizer(steps: int) -> Adam:
    """Of a network on a grid that is trained on data: Adam, whose learning rate rises to 2e-3 in a
    tenth of the steps and falls to zero.
    """
    return Adam(2e-3, steps, warm_up=0.1)


def checked_steps(steps: int | None, default: int) -> int:
    """The number of steps, or the default for None. Raises ValueError for one below 1."""
    if steps is None:
        return default
    if fault := ALLOWED_STEPS.fault("steps", steps):
        raise ValueError(fault)
    return steps


@dataclass(frozen=True)
class Length:
    """How long a training on data is asked to be.

    Attributes:
        steps: The number of steps; None: not said.
        epochs: The number of passes through the samples for training; None: not said.

    Raises:
        ValueError: Where both are said, and for a number that is out of its range.
    """

    steps: int | None
    epochs: int | None

    def __post_init__(self):
        if self.epochs is None:
            return
        if self.steps is not None:
            raise ValueError("steps and epochs exclude each other: give one of them")
        if fault := ALLOWED_EPOCHS.fault("epochs", self.epochs):
            raise ValueError(fault)

    def in_steps(self, samples: int | None, batch: int) -> int | None:
        """The number of steps; None where nothing is said.

        Args:
            samples: For training; None without data.
            batch: How many of them a step takes.

        Raises:
            ValueError: For epochs without data.
        """
        if self.epochs is None:
            return self.steps
        if samples is None:
            raise ValueError("epochs are passes through data, and there are none; give steps")
        return self.epochs * -(-samples // batch)


def check_digits(compute_dtype: str | None, *, equation: bool) -> None:
    """Raises ValueError for an equation whose derivatives a narrow type has too few digits for."""
    if compute_dtype is not None and equation:
        raise ValueError(
            f"compute_dtype={compute_dtype} is for data: the derivatives of an equation need "
            "float32; leave it out, or physics"
        )


def check_forgetful(plan: Sequence[Phase], remedy: str) -> None:
    """Raises ValueError for an optimizer that needs the same loss in every step."""
    for phase in plan:
        if phase.optimizer.remembers:
            name = type(innermost(phase.optimizer)).__name__
            raise ValueError(f"{name} needs the same loss in every step; {remedy}")


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
        inner = innermost(phase.optimizer)
        if not isinstance(inner, Optax | OptaxMethod):
            raise ValueError(
                f"{type(inner).__name__} does not suit {what}; give Adam, SOAP or "
                "another optax transformation"
            )


def phases(
    optimizer: Any,
    steps: int | None,
    default: int,
    *,
    warm: bool = False,
    before: Mapping[str, Any] | None = None,
) -> tuple[Phase, ...]:
    """The phases of a training: the default ones, one optimizer for all steps, or those given.

    Args:
        optimizer: What was asked for; None: Adam and then SSBroyden.
        steps: The number of all steps; None: ``default``.
        default: See ``steps``.
        warm: Whether the network has been trained before.
        before: The request of the run that is resumed: it goes on as it began, with more steps.

    Raises:
        ValueError: For a number of steps below 1.
        TypeError: For what is not an optimizer.
    """
    total = checked_steps(steps, default)
    if optimizer is None:
        return _default_phases(total, 0 if warm else _adam_steps(total, before))
    if (
        isinstance(optimizer, tuple | list)
        and optimizer
        and all(isinstance(phase, Phase) for phase in optimizer)
    ):
        if steps is not None:
            raise ValueError(
                "steps and phases exclude each other: each phase has its own number of steps"
            )
        return tuple(Phase(phase.optimizer.over(phase.steps), phase.steps) for phase in optimizer)
    return (Phase(as_optimizer(optimizer).over(total), total),)


def _adam_steps(total: int, before: Mapping[str, Any] | None) -> int:
    """A quarter of all steps and at most 300; as many as a run has that is resumed."""
    begun = (before or {}).get("phase_steps")
    return begun[0] if begun else min(ADAM_STEPS, -(-total // ADAM_SHARE))


def _default_phases(total: int, adam: int) -> tuple[Phase, ...]:
    """Adam, whose learning rate falls to zero, and then SSBroyden for what is left."""
    first = min(adam, total)
    left = total if total == UNLIMITED else total - first
    both = ((Adam(5e-3, max(adam, 1)), first), (SSBroyden(), left))
    return tuple(Phase(method, count) for method, count in both if count)
