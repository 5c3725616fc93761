"""The default recipe: a small network, float64, Sobol points refined where the residual is large, Adam and then SSBroyden.

The same numbers for every problem; what varies follows from the declaration (dimension, unknowns, periodic coordinates).
"""

from typing import Any

import equinox as eqx
import jax

from pinops.networks import MLP, Architecture, Embedding, trainable
from pinops.optimizers import Adam, SSBroyden, as_optimizer
from pinops.problem import Problem, residual_signature
from pinops.training import Collocation, Phase

STEPS = 7000  # for networks of up to a thousand parameters
STEPS_LARGE = 9000  # for larger ones: a quasi-Newton method learns about one direction in each step
MINUTES = 4.5  # of training, where neither steps nor minutes are given
ADAM_STEPS = 300


def default_architecture(problem: Problem, embedding: Embedding) -> Architecture:
    """A multilayer perceptron of 3 x 20 for one unknown of at most two coordinates, else 3 x 30.

    Waves (second order in time), dispersion and bending (third order in space and above) take the larger one too.
    """
    time = problem.domain.time
    axis = None if time is None else problem.domain.coordinates.index(time)
    oscillates = any(index.count(axis) > 1 or len(index) > 2 for index in residual_signature(problem).plan.indices)
    simple = len(problem.unknowns) == 1 and len(embedding.bounds) <= 2 and not oscillates
    return MLP(width=20 if simple else 30, depth=3)


def default_steps(network: Any) -> int:
    """7000 steps, 9000 for a network of more than a thousand parameters."""
    parameters = sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(network, trainable(network))))
    return STEPS if parameters <= 1000 else STEPS_LARGE


def default_collocation(problem: Problem) -> Collocation:
    """4096 interior points, 512 for each soft condition."""
    return Collocation()


def phases(optimizer: Any, steps: int | None, default: int, *, warm: bool = False) -> tuple[Phase, ...]:
    """The phases of a training: the default ones, one optimizer for all steps, or those that are given.

    ``default`` is the number of steps where none is given; ``warm``: the network has been trained before.

    **Raises** ValueError for a number of steps below 1; TypeError for what is no optimizer.
    """
    total = default if steps is None else steps
    if not isinstance(total, int) or total < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {total!r}")
    if optimizer is None:
        first = 0 if warm else min(ADAM_STEPS, total)
        return tuple(Phase(o, n) for o, n in ((Adam(5e-3, ADAM_STEPS), first), (SSBroyden(), total - first)) if n)
    if isinstance(optimizer, tuple | list) and optimizer and all(isinstance(phase, Phase) for phase in optimizer):
        if steps is not None:
            raise ValueError("steps and phases exclude each other: each phase has its own number of steps")
        return tuple(optimizer)
    return (Phase(as_optimizer(optimizer), total),)
