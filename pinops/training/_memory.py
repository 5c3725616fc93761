"""Whether a training fits into memory: refused with its size before anything of it is allocated."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from pinops.networks import Frozen
from pinops.optimizers import Optimizer, innermost
from pinops.problem import Problem
from pinops.settings import check_fits, numbers_in, shape_of, shown
from pinops.training._operator import Functions
from pinops.training._points import Collocation


def check_network_fits(
    architecture: Any,
    build: Callable[[PRNGKeyArray], Any],
    optimizers: Sequence[Optimizer] = (),
    residuals: int = 0,
) -> None:
    """Refuse a network that does not fit into memory, alone or with what an optimizer keeps for it.

    Args:
        architecture: named in the sentence.
        build: makes the network from a random key; only shapes are computed.
        optimizers: those that train it.
        residuals: the length of the residual vector, for methods that have its Jacobian.

    Raises:
        ValueError: with the size, and that of the memory; and whatever ``build`` refuses.
    """
    name, dtype = shown(architecture), jnp.result_type(float)
    smaller = "choose a smaller network"
    try:
        network = shape_of(lambda: build(jax.random.key(0)))
    except OverflowError as error:  # beyond 2^63 numbers
        raise ValueError(f"{name} is larger than any array can be; {smaller}") from error
    check_fits(name, numbers_in(network), dtype, what="parameters", remedy=smaller)
    trained = [
        leaf
        for leaf in jax.tree.leaves(network, is_leaf=lambda node: isinstance(node, Frozen))
        if isinstance(leaf, jax.ShapeDtypeStruct) and jnp.issubdtype(leaf.dtype, jnp.inexact)
    ]
    count = numbers_in(trained)
    for optimizer in optimizers:
        inner = innermost(optimizer)
        # Of `Only` the part that it trains is not known without parameters; its workspace is that
        # of all.
        state = (
            numbers_in(shape_of(lambda o=optimizer: o.init(_zeros(trained))))
            if optimizer.trains_all
            else 0
        )
        total = 2 * count + state + inner.workspace(count, residuals)
        check_fits(
            f"the training of {name} by {shown(inner)}",
            total,
            dtype,
            remedy=f"{smaller}, fewer points, or another optimizer such as Adam()",
        )


def _zeros(shapes: Sequence[jax.ShapeDtypeStruct]) -> list[jax.Array]:
    return [jnp.zeros(leaf.shape, leaf.dtype) for leaf in shapes]


def check_points_fit(collocation: Collocation, problem: Problem) -> None:
    """Refuse more points than memory holds, with the candidates that refinement chooses from.

    Raises:
        ValueError: with the size, and that of the memory.
    """
    refinement = collocation.refinement
    interior = collocation.interior * (1 if refinement is None else 1 + refinement.candidates)
    points = interior + collocation.boundary + collocation.initial
    check_fits(
        shown(collocation),
        points * len(problem.domain.coordinates),
        np.float64,
        what="coordinates of points",
        remedy="choose fewer points",
    )


def check_functions_fit(functions: Functions, family: Problem) -> None:
    """Refuse a pool of more problems than memory holds.

    Raises:
        ValueError: with the size, and that of the memory.
    """
    if family.sample is None:  # of data there are no more than there are
        check_points_fit(functions.points, family)
        return
    each = numbers_in(shape_of(lambda: family.sample(jax.random.key(0))))
    check_fits(
        shown(functions),
        functions.pool * each,
        jnp.result_type(float),
        what="numbers in its pool of problems",
        remedy="choose a smaller pool",
    )
    check_points_fit(functions.points, family)
