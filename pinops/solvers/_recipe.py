"""The default recipe: a small network, float64, Sobol points refined where the residual is large, Adam and then SSBroyden.

The same numbers for every problem; what varies follows from the declaration (dimension, unknowns, periodic coordinates).
"""

from typing import Any

from pinops.networks import MLP, Architecture, Embedding
from pinops.optimizers import Adam, SSBroyden, as_optimizer
from pinops.problem import Problem
from pinops.training import Collocation, Phase

STEPS = 6000
ADAM_STEPS = 1000


def default_architecture(problem: Problem, embedding: Embedding) -> Architecture:
    """A multilayer perceptron: 3 x 20 in two dimensions for one unknown, wider for more."""
    return MLP(width=20 if len(problem.unknowns) == 1 and len(embedding.bounds) <= 2 else 30, depth=3)


def default_collocation(problem: Problem) -> Collocation:
    """4096 interior points, 512 for each soft condition."""
    return Collocation()


def phases(optimizer: Any, steps: int | None) -> tuple[Phase, ...]:
    """The phases of a training: the default ones, one optimizer for all steps, or those that are given.

    **Raises** ValueError for a number of steps below 1; TypeError for what is no optimizer.
    """
    total = STEPS if steps is None else steps
    if not isinstance(total, int) or total < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {total!r}")
    if optimizer is None:
        first = min(ADAM_STEPS, max(total // 2, 1))
        return tuple(Phase(o, n) for o, n in ((Adam(5e-3, first), first), (SSBroyden(), total - first)) if n)
    if isinstance(optimizer, tuple | list) and optimizer and all(isinstance(phase, Phase) for phase in optimizer):
        if steps is not None:
            raise ValueError("steps and phases exclude each other: each phase has its own number of steps")
        return tuple(optimizer)
    return (Phase(as_optimizer(optimizer), total),)
