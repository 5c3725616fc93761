"""Optimizers around another one: a mean of the parameters, and several batches in one update."""

from typing import TYPE_CHECKING, Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from pinops.optimizers._optimizer import (
    LBFGS,
    Objective,
    Optax,
    OptaxMethod,
    Optimizer,
    Step,
    as_optimizer,
)
from pinops.settings import number, whole


class Wrapper(Optimizer):
    """Abstract: another optimizer, of which something is changed."""

    if TYPE_CHECKING:  # a field would come first where a subclass is made

        @property
        def optimizer(self) -> Optimizer: ...

    else:
        optimizer: eqx.AbstractVar[Optimizer]

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.optimizer.name

    @property
    def remembers(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.optimizer.remembers

    @property
    def trains_all(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.optimizer.trains_all

    @property
    def steps_per_dispatch(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.optimizer.steps_per_dispatch

    def workspace(self, parameters: int, residuals: int) -> int:
        return self.optimizer.workspace(parameters, residuals)


def innermost(optimizer: Optimizer) -> Optimizer:
    """The optimizer within all that is wrapped around it."""
    while isinstance(optimizer, Wrapper):
        optimizer = optimizer.optimizer
    return optimizer


class AveragedState(NamedTuple):
    """The state of the optimizer inside, the mean, and the sum of the weights in it."""

    inner: PyTree
    mean: PyTree
    weight: Array


class Averaged(Wrapper):
    """Any optimizer, whose training answers with an exponential moving average of the parameters
    (Polyak & Juditsky 1992; with these weights Kingma & Ba 2015, section 7.2).

    After n steps the parameters p_k have the weights ``d^(n - k)``, divided by their sum: the first
    step is not the initial guess. Errors, predictions and files are those of the mean; steps go on
    from the parameters themselves. ``1 / (1 - decay)`` steps should be a small part of the
    training.

    Example:
        >>> optimizer = po.optimizers.Averaged(po.optimizers.Adam(1e-3, None), 0.999)

    Args:
        optimizer: One of `pinops.optimizers`, or an optax transformation.
        decay: d, from 0 (no mean) to below 1.
    """

    optimizer: Optimizer = eqx.field(converter=as_optimizer)
    decay: float = number(0.999, least=0, below=1)

    def over(self, steps: int) -> "Averaged":
        return Averaged(self.optimizer.over(steps), self.decay)

    def init(self, params: PyTree) -> AveragedState:
        return AveragedState(self.optimizer.init(params), params, jnp.zeros(()))

    def start(self, objective: Objective, params: PyTree, state: AveragedState) -> AveragedState:
        return state._replace(inner=self.optimizer.start(objective, params, state.inner))

    def update(self, objective: Objective, params: PyTree, state: AveragedState) -> Step:
        step = self.optimizer.update(objective, params, state.inner)
        weight = self.decay * state.weight + 1

        def moved(mean: Array, now: Array) -> Array:
            return mean + ((now - mean) / weight).astype(mean.dtype)

        mean = jax.tree.map(moved, state.mean, step.params)
        return step._replace(state=AveragedState(step.state, mean, weight))

    def recover(self, params: PyTree, state: AveragedState) -> AveragedState:
        return state._replace(inner=self.optimizer.recover(params, state.inner))

    def expecting(self, state: AveragedState, steps: int) -> AveragedState:
        return state._replace(inner=self.optimizer.expecting(state.inner, steps))

    def answered(self, params: PyTree, state: AveragedState) -> PyTree:
        return state.mean

    def divisible(self, state: AveragedState) -> list[Any]:
        return self.optimizer.divisible(state.inner)


class AccumulatedState(NamedTuple):
    """The state of the optimizer inside; of the batches since its last update the mean of value and
    gradient, as far as it has come, and their number.
    """

    inner: PyTree
    value: Array
    gradient: PyTree
    count: Array


class Accumulated(Wrapper):
    """An optimizer that sees the mean gradient of several batches: that of one large batch in the
    memory of a small one.

    A step takes one batch; parameters change in one step of ``batches``.

    Example:
        >>> optimizer = po.optimizers.Accumulated(po.optimizers.Adam(1e-3, None), 4)

    Args:
        optimizer: Adam, SOAP or an optax transformation without a line search.
        batches: In one update.

    Raises:
        ValueError: For an optimizer that needs more than the gradient of a step.
    """

    optimizer: Optimizer = eqx.field(converter=as_optimizer)
    batches: int = whole(4, least=1, most=100_000)

    def __check_init__(self):
        inner = innermost(self.optimizer)
        searches = isinstance(inner, LBFGS) or inner.name == "lbfgs"
        if searches or not isinstance(inner, Optax | OptaxMethod):
            raise ValueError(
                f"Accumulated: {type(inner).__name__} compares values of one loss, and every "
                "batch has its own; give Adam, SOAP or another optax transformation"
            )

    def over(self, steps: int) -> "Accumulated":
        return Accumulated(self.optimizer.over(max(1, steps // self.batches)), self.batches)

    def init(self, params: PyTree) -> AccumulatedState:
        return self._fresh(self.optimizer.init(params), params)

    def _fresh(self, inner: PyTree, params: PyTree) -> AccumulatedState:
        zero = jax.tree.map(jnp.zeros_like, params)
        return AccumulatedState(inner, jnp.zeros(()), zero, jnp.zeros((), jnp.int32))

    def start(
        self, objective: Objective, params: PyTree, state: AccumulatedState
    ) -> AccumulatedState:
        return state._replace(inner=self.optimizer.start(objective, params, state.inner))

    def update(self, objective: Objective, params: PyTree, state: AccumulatedState) -> Step:
        value, gradient = objective(params)
        before, own = (state.value, state.gradient), (value, gradient)
        mean, direction = jax.tree.map(lambda sum, x: sum + x / self.batches, before, own)

        def updated(_: None) -> tuple[PyTree, AccumulatedState, Array]:
            step = self.optimizer.update(lambda _: (mean, direction), params, state.inner)
            return step.params, self._fresh(step.state, params), step.stalled

        def waiting(_: None) -> tuple[PyTree, AccumulatedState, Array]:
            later = AccumulatedState(state.inner, mean, direction, state.count + 1)
            return params, later, jnp.zeros((), bool)

        last = state.count + 1 >= self.batches
        moved, later, stalled = jax.lax.cond(last, updated, waiting, None)
        return Step(moved, later, value, stalled)

    def recover(self, params: PyTree, state: AccumulatedState) -> AccumulatedState:
        return self._fresh(self.optimizer.recover(params, state.inner), params)

    def expecting(self, state: AccumulatedState, steps: int) -> AccumulatedState:
        updates = max(1, steps // self.batches)
        return state._replace(inner=self.optimizer.expecting(state.inner, updates))

    def answered(self, params: PyTree, state: AccumulatedState) -> PyTree:
        return self.optimizer.answered(params, state.inner)
