"""The compiled part of a training: many steps of an optimizer in one program."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from pinops.losses import Weighting, WeightingState
from pinops.optimizers import Optimizer
from pinops.settings import lasting, quick
from pinops.training._contracts import Params, Source, Trainable
from pinops.training._state import TrainState


class Stretch(NamedTuple):
    """The result of some steps."""

    params: Params
    optimizer: PyTree
    weighting: WeightingState
    taken: Array  # the number of steps
    terms: dict[str, Array]  # of the loss, after the last one
    stalled: Array  # whether the last one found no decrease


def _steps(
    model: Trainable,
    optimizer: Optimizer,
    weighting: Weighting,
    source: Source,
    state: TrainState,
    count: Array,
    key: PRNGKeyArray,
) -> Stretch:
    """Up to ``count`` steps in one program."""
    points, every = state.points, weighting.every
    shown = source.representative(points)

    def segment(carry: Stretch) -> Stretch:
        """The steps between two updates of the weights."""
        # Not at every stretch: a pause of the training must not change its numbers.
        changed, weights, until = state.changed & (carry.taken == 0), carry.weighting, count
        if every:
            step = state.step + carry.taken
            due = (step > 0) & (step % every == 0)
            snapshot = model.snapshot(
                carry.params, shown, jax.random.fold_in(jax.random.fold_in(key, 0), step)
            )
            weights = jax.lax.cond(
                due, lambda w: weighting.update(w, snapshot), lambda w: w, weights
            )
            changed |= due
            until = jnp.minimum(count, carry.taken + every - step % every)
        objective = model.objective(points, weights.weights)

        def advance(carry: Stretch) -> Stretch:
            own = objective
            if source.stochastic:
                step_key = jax.random.fold_in(jax.random.fold_in(key, 1), state.step + carry.taken)
                own = model.objective(*source.sampled(model, points, weights.weights, step_key))
            step = optimizer.update(own, carry.params, carry.optimizer)
            return carry._replace(
                params=step.params,
                optimizer=step.state,
                taken=carry.taken + 1,
                stalled=step.stalled,
            )

        def start(s: PyTree) -> PyTree:
            return optimizer.start(objective, carry.params, s)

        carry = carry._replace(
            weighting=weights, optimizer=jax.lax.cond(changed, start, lambda s: s, carry.optimizer)
        )
        return jax.lax.while_loop(lambda c: (c.taken < until) & ~c.stalled, advance, carry)

    def terms(params: Params, weights: WeightingState) -> dict[str, Array]:
        return model.terms(params, shown, weights.weights)

    def continues(c: Stretch) -> Array:
        return (c.taken < count) & ~c.stalled

    unknown = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(terms, state.params, state.weighting)
    )
    first = Stretch(
        state.params,
        state.optimizer,
        state.weighting,
        jnp.zeros_like(count),
        unknown,
        jnp.zeros((), bool),
    )
    done = jax.lax.while_loop(continues, segment, first) if every else segment(first)
    return done._replace(terms=terms(done.params, done.weighting))


def _on_mesh(model: Trainable, *others: PyTree) -> Stretch:
    """`_steps`, where optimizers see the devices that share the work."""
    if model.mesh is None:
        return _steps(model, *others)
    with jax.sharding.use_abstract_mesh(model.mesh.abstract_mesh):
        return _steps(model, *others)


def _together(batched: PyTree, shared: PyTree) -> Stretch:
    """`_steps` of several trainings in one program, which share some of their arrays."""

    def of(own: PyTree) -> Stretch:
        return _steps(*eqx.combine(own, shared))

    return jax.vmap(of)(batched)


stretch = lasting(_on_mesh)
stretches = lasting(_together)


@quick
def started(optimizer: Optimizer, params: Params) -> PyTree:
    """The optimizer's state for fresh parameters."""
    return optimizer.init(params)


@quick
def weigh(
    model: Trainable,
    weighting: Weighting,
    params: Params,
    points: PyTree,
    state: WeightingState | None,
    key: PRNGKeyArray,
) -> WeightingState:
    """The state of the weighting at new points."""
    snapshot = model.snapshot(params, points, key)
    return weighting.init(snapshot) if state is None else weighting.redrawn(state, snapshot)


def stacked(inputs: Sequence[PyTree]) -> tuple[PyTree, PyTree]:
    """Trees that differ only in their arrays: one with a new leading axis of those that differ, and
    one of the arrays that are the same, and of all else.
    """
    arrays, others = zip(*(eqx.partition(tree, eqx.is_array) for tree in inputs), strict=True)
    # Stages have the same numbers for all: stacked, a choice by them would compute every branch.
    models = [jax.tree.leaves(tree[0]) for tree in arrays]
    alike = {id(one): _alike(each) for each in zip(*models, strict=True) for one in each[:1]}

    def differ(*leaves: Any) -> bool:
        same = all(leaf is leaves[0] for leaf in leaves)
        return not (same or alike.get(id(leaves[0]), False))

    own = jax.tree.map(differ, *arrays)
    batched = jax.tree.map(
        lambda batch, *leaves: jnp.stack(leaves) if batch else None, own, *arrays
    )
    shared = jax.tree.map(lambda batch, leaf: None if batch else leaf, own, arrays[0])
    return batched, eqx.combine(shared, others[0])


def _alike(leaves: Sequence[Any]) -> bool:
    """Whether single numbers are the same."""
    if leaves[0].size != 1 or jnp.issubdtype(leaves[0].dtype, jax.dtypes.prng_key):
        return False
    numbers = [np.asarray(leaf) for leaf in leaves]
    return all(np.array_equal(number, numbers[0], equal_nan=True) for number in numbers)
