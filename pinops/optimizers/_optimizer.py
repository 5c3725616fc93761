"""Optimizers: parameters and their state in, better parameters and new state out.

An optimizer is three pure functions.  ``init(params)`` makes the state; ``start(objective, params,
state)`` is called whenever the objective has changed (new collocation points) and refreshes what
the state remembers of it; ``update(objective, params, state)`` takes one step.  The objective is a
function ``params -> (value, gradient)``. Two instances: Adam remembers moments and needs no
``start``; SSBroyden remembers the inverse Hessian, and the value and the gradient at the present
point, which are stale once the points have moved.
"""

import abc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pinops.settings import Instance, check_settings, number, setting, whole

Objective = Callable[[PyTree], tuple[Array, PyTree]]


class LeastSquares(NamedTuple):
    """An objective ``|r(params)|^2`` that also gives its residual vector r and the derivative of r.

    Args:
        value_and_gradient: what calling it does.
        residuals: ``params -> r (n,)``.
        jacobian: ``params -> r (n,), J (n, p)`` by the parameters in the order of
            `jax.flatten_util.ravel_pytree`.
    """

    value_and_gradient: Objective
    residuals: Callable[[PyTree], Float[Array, " n"]]
    jacobian: Callable[[PyTree], tuple[Float[Array, " n"], Float[Array, "n p"]]]

    def __call__(self, params: PyTree) -> tuple[Array, PyTree]:
        return self.value_and_gradient(params)

    @classmethod
    def of(cls, residuals: Callable[[PyTree], Float[Array, " n"]]) -> "LeastSquares":
        """From the residual vector alone."""

        def jacobian(params: PyTree) -> tuple[Float[Array, " n"], Float[Array, "n p"]]:
            flat, unravel = ravel_pytree(params)
            values, back = jax.vjp(lambda flat: residuals(unravel(flat)), flat)
            return values, jax.vmap(lambda one: back(one)[0])(
                jnp.eye(values.size, dtype=values.dtype)
            )

        return cls(
            jax.value_and_grad(lambda params: jnp.sum(jnp.square(residuals(params)))),
            residuals,
            jacobian,
        )


class Step(NamedTuple):
    """Parameters, state, the value before the step, and whether no step decreases it any more.

    Attributes:
        params: After the step.
        state: Of the optimizer, after the step.
        value: Of the objective before the step.
        stalled: Whether no step decreases it any more.
    """

    params: PyTree
    state: PyTree
    value: Array
    stalled: Array


class Optimizer(eqx.Module):
    """Abstract: how parameters are improved.

    ``remembers``: whether a step relies on the value and gradient of the step before, so that all
    steps need the same objective; ``trains_all``: whether all parameters may change;
    ``steps_per_dispatch``: the most steps in one run of the compiled program, few where each may
    take a second: what looks at the clock or the keyboard waits for them.
    """

    remembers: ClassVar[bool] = False
    trains_all: ClassVar[bool] = True
    steps_per_dispatch: ClassVar[int] = 50

    def __check_init__(self):
        check_settings(self)

    @property
    def name(self) -> str:
        """What progress lines and figures call it."""
        return type(self).__name__

    def over(self, steps: int) -> "Optimizer":
        """The optimizer of a phase of a given number of steps, where its settings depend on it."""
        return self

    @abc.abstractmethod
    def init(self, params: PyTree) -> PyTree:
        """The state for fresh parameters."""

    @abc.abstractmethod
    def start(self, objective: Objective, params: PyTree, state: PyTree) -> PyTree:
        """The state for an objective that has changed."""

    @abc.abstractmethod
    def update(self, objective: Objective, params: PyTree, state: PyTree) -> Step:
        """One step."""

    @abc.abstractmethod
    def recover(self, params: PyTree, state: PyTree) -> PyTree:
        """A more careful state, for another try after the loss was not finite."""

    def expecting(self, state: PyTree, steps: int) -> PyTree:
        """The state when the remaining time allows a given number of steps.

        Called on the host, between two steps, if training has a time limit. A decaying learning
        rate then reaches its end with the time, if that comes first.
        """
        return state

    def answered(self, params: PyTree, state: PyTree) -> PyTree:
        """The parameters that a training answers with: by default those that the next step begins
        at.
        """
        return params

    def workspace(self, parameters: int, residuals: int) -> int:
        """How many numbers a step holds besides the state, as far as they matter (a Jacobian)."""
        return 0

    def divisible(self, state: PyTree) -> list[Array]:
        """Large arrays of the state whose leading axis devices may divide among them."""
        return []


class Pace(NamedTuple):
    """How far a learning rate has fallen.

    Attributes:
        taken: the steps taken.
        position: the step of the schedule that comes next.
        speed: by how much one step moves it; 1 where there is time for all.
    """

    taken: Array
    position: Array
    speed: Array

    @classmethod
    def fresh(cls) -> "Pace":
        return cls(jnp.zeros((), jnp.int32), jnp.zeros(()), jnp.ones(()))

    def next(self) -> "Pace":
        return Pace(self.taken + 1, self.position + self.speed, self.speed)

    def until(self, end: int, steps: int) -> "Pace":
        """The pace that reaches the ``end`` of the schedule in a given number of steps, or in the
        remaining steps of the schedule if they are fewer.
        """
        steps = min(end - int(self.taken), max(1, steps))
        speed = (end - float(self.position)) / steps if steps > 0 else 1.0
        return self._replace(speed=jnp.asarray(np.asarray(speed, self.speed.dtype)))


_LONGEST = 10**9  # steps of a schedule
_RISE = 25  # by how much a learning rate grows while it warms up


class OptaxState(NamedTuple):
    inner: PyTree
    scale: Array
    pace: Pace | None = None


# Of transformations that optax names otherwise than the optimizers that they make.
_ALIASES = {"rms": "rmsprop", "rss": "adagrad", "trace": "sgd"}
_WRAPPERS = ("chain", "init_empty_state", "masked")


def _factories(init: Callable[..., Any], depth: int = 0) -> Iterator[str]:
    """The functions that made a transformation and its parts, told by the names of closures.

    Of `chain` and other wrappers only the parts; a learning rate keeps no state, and has no name.

    Args:
        init: that of the transformation.
        depth: of wrappers around it.
    """
    name = getattr(init, "__qualname__", type(init).__name__).split(".")[0]
    if name not in _WRAPPERS:
        yield name
        return
    for cell in getattr(init, "__closure__", None) or ():
        held = cell.cell_contents
        for part in held if isinstance(held, tuple) and not hasattr(held, "init") else (held,):
            inner = getattr(part, "init", part)
            if depth < 8 and callable(inner) and getattr(inner, "__name__", "").startswith("init"):
                yield from _factories(inner, depth + 1)


class Optax(Optimizer):
    """Any optax gradient transformation, L-BFGS with its line search included.

    After a non-finite loss its moments are cleared and its steps are halved.

    Args:
        transformation: Of gradients.
    """

    transformation: optax.GradientTransformation = setting(
        Instance(optax.GradientTransformation, "an optax transformation such as optax.adam(1e-3)")
    )

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The name of the optax function that made it, as far as that can be told: "lion"."""
        found = list(_factories(self.transformation.init))
        scaled = [part.removeprefix("scale_by_") for part in found if part.startswith("scale_by_")]
        first = next(iter([*scaled, *found]), "sgd")  # steps along the gradient itself
        return _ALIASES.get(first, first)

    def init(self, params: PyTree) -> OptaxState:
        return OptaxState(self.transformation.init(params), jnp.ones(()))

    def start(self, objective: Objective, params: PyTree, state: OptaxState) -> OptaxState:
        return state

    def update(self, objective: Objective, params: PyTree, state: OptaxState) -> Step:
        value, gradient = objective(params)
        transformation = optax.with_extra_args_support(self.transformation)
        updates, inner = transformation.update(
            gradient,
            state.inner,
            params,
            value=value,
            grad=gradient,
            value_fn=lambda p: objective(p)[0],
        )
        params = jax.tree.map(lambda p, u: p + (state.scale * u).astype(p.dtype), params, updates)
        return Step(params, OptaxState(inner, state.scale), value, jnp.zeros((), bool))

    def recover(self, params: PyTree, state: OptaxState) -> OptaxState:
        return OptaxState(self.transformation.init(params), state.scale / 2)


class OptaxMethod(Optimizer):
    """Abstract: an optax transformation with settings of its own, called by its name."""

    @abc.abstractmethod
    def transformation(self, position: Array | None = None) -> optax.GradientTransformation:
        """The transformation that the settings describe.

        ``position``: the step of the schedule of the learning rate, where it has one.
        """

    def decays_over(self) -> int:
        """The steps over which the learning rate falls; 0: it does not."""
        return 0

    def init(self, params: PyTree) -> OptaxState:
        state = Optax(self.transformation()).init(params)
        return state._replace(pace=Pace.fresh()) if self.decays_over() else state

    def expecting(self, state: OptaxState, steps: int) -> OptaxState:
        if state.pace is None:
            return state
        return state._replace(pace=state.pace.until(self.decays_over(), steps))

    def start(self, objective: Objective, params: PyTree, state: OptaxState) -> OptaxState:
        return state

    def update(self, objective: Objective, params: PyTree, state: OptaxState) -> Step:
        pace = state.pace
        inner = self.transformation(None if pace is None else pace.position)
        step = Optax(inner).update(objective, params, state)
        pace = None if pace is None else pace.next()
        return step._replace(state=step.state._replace(pace=pace))

    def recover(self, params: PyTree, state: OptaxState) -> OptaxState:
        return self.init(params)._replace(scale=state.scale / 2)


def decay_setting() -> Any:
    """The steps over which a learning rate falls, 0 by default; None: those of its phase."""
    return whole(0, least=0, most=_LONGEST, optional=True)


def decay_over(asked: int | None, steps: int) -> int:
    """The steps over which a learning rate falls in a phase of a given number of steps."""
    return min(steps, _LONGEST) if asked is None else asked


class Adam(OptaxMethod):
    """Adam (Kingma & Ba 2015).

    Args:
        learning_rate: greater than 0.
        decay_steps: steps over which the learning rate falls to zero by a cosine, or sooner where
            there is no time for all of them; None: all steps of its phase; 0: it is constant.
        largest: norm of a gradient; a larger one is shortened to it (Pascanu, Mikolov & Bengio
            2013). 0: none is.
        warm_up: the share of ``decay_steps`` in which it first rises linearly from a
            twenty-fifth, from 0 to below 1.
        weight_decay: by which share of it, times the learning rate, a parameter shrinks in a step
            (AdamW, Loshchilov & Hutter 2019).
    """

    learning_rate: float = number(5e-3, above=0)
    decay_steps: int | None = decay_setting()
    largest: float = number(0.0, least=0)
    warm_up: float = number(0.0, least=0, below=1)
    weight_decay: float = number(0.0, least=0)

    def over(self, steps: int) -> "Adam":
        return replace(self, decay_steps=decay_over(self.decay_steps, steps))

    def decays_over(self) -> int:
        return self.decay_steps or 0

    def transformation(self, position: Array | None = None) -> optax.GradientTransformation:
        rate = falling(self.learning_rate, self.decays_over(), position, self.warm_up)
        adam = optax.adam(rate)
        if self.weight_decay:
            adam = optax.adamw(rate, weight_decay=self.weight_decay)
        if not self.largest:
            return adam
        return optax.chain(optax.clip_by_global_norm(self.largest), adam)


def falling(rate: float, steps: int, position: Array | None, warm_up: float = 0.0) -> Any:
    """A learning rate for optax: constant without ``steps``, else by a cosine from ``rate`` to 0.

    ``position``: the step of the schedule; None: the step that is counted; ``warm_up``: the share
    of the steps in which it rises first.
    """
    if not steps:
        return rate
    rising = round(warm_up * steps)
    schedule = (
        optax.warmup_cosine_decay_schedule(rate / _RISE, rate, rising, steps)
        if rising
        else optax.cosine_decay_schedule(rate, steps)
    )
    return lambda count: schedule(count if position is None else position)


class LBFGS(OptaxMethod):
    """Limited-memory BFGS of optax, with a zoom line search.

    Nocedal & Wright 2006, algorithms 7.4 and 3.5.

    Args:
        memory_size: how many past steps it remembers.
    """

    memory_size: int = whole(10, most=1000)

    def transformation(self, position: Array | None = None) -> optax.GradientTransformation:
        return optax.lbfgs(memory_size=self.memory_size)  # pyright: ignore[reportReturnType]


def as_optimizer(optimizer: Any) -> Optimizer:
    """An `Optimizer` as it is; an optax transformation through the adapter.

    Args:
        optimizer: Either of them.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, optax.GradientTransformation):
        return Optax(optimizer)
    raise TypeError(
        "optimizer must be one of pinops.optimizers or an optax transformation such as "
        f"optax.adam(1e-3), got {optimizer!r}"
    )
