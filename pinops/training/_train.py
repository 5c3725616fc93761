"""The training loop: compiled stretches of many steps, and what happens on the host between them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from pinops.losses import Fixed, Weighting, WeightingState
from pinops.optimizers import Optimizer, as_optimizer
from pinops.problem import Points
from pinops.training._model import Model, Params
from pinops.training._points import Collocation, refine

STEPS_PER_DISPATCH = 50
MAX_RETRIES = 3
MAX_STALLS = 2


class Phase(eqx.Module):
    """One optimizer (of `pinops.optimizers`, or an optax transformation) for a number of steps.

    **Raises** ValueError for a number of steps below 1; TypeError for what is no optimizer.
    """

    optimizer: Optimizer = eqx.field(converter=as_optimizer)
    steps: int = eqx.field(static=True)

    def __check_init__(self):
        if self.steps < 1:
            raise ValueError(f"Phase: steps must be a whole number of at least 1, got {self.steps}")


class TrainState(eqx.Module):
    """All that the next step depends on. What a checkpoint holds; equal states have equal futures, bit for bit."""

    params: Params
    optimizer: PyTree
    points: dict[str, Points]
    weighting: WeightingState
    step: Array
    draws: Array  # how many point sets have been drawn: the random key of the next one
    retries: Array  # consecutive stretches that ended in a non-finite loss
    stalls: Array  # consecutive stretches in which no step decreased the loss
    changed: Array  # the optimizer has not seen this objective yet: other points, or another optimizer


@dataclass(frozen=True)
class Report:
    """What callbacks see after every stretch of steps."""

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
    """How training ended: the last good state, its history, and why it stopped."""

    state: TrainState
    history: list[Report]
    status: str
    compile_seconds: float = 0.0


Callback = Callable[[Report], Any]


class _Stretch(NamedTuple):
    """What came out of some steps: how many were taken, the terms of the loss, and whether the last one found no decrease."""

    params: Params
    optimizer: PyTree
    weighting: WeightingState
    taken: Array
    terms: dict[str, Array]
    stalled: Array


@dataclass(frozen=True)
class Training:
    """A training that can be started, continued and repeated: nothing in it changes."""

    model: Model
    phases: tuple[Phase, ...]
    collocation: Collocation
    seed: int
    weighting: Weighting = Fixed()
    measure: Callable[[Params], dict[str, float]] = field(default=lambda params: {})

    @property
    def total_steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> tuple[int, int]:
        """The phase that the step belongs to, and the step at which it ends."""
        end = 0
        for number, phase in enumerate(self.phases):
            end += phase.steps
            if step < end:
                return number, end
        return len(self.phases) - 1, end

    def init(self, params: Params) -> TrainState:
        """The state before the first step."""
        zero = jnp.zeros((), jnp.int32)
        points = self._points(params, 0)
        weighting = _weigh(self.model, self.weighting, params, points, None, self._key(2))
        optimizer = self.phases[0].optimizer.init(params)
        return TrainState(params, optimizer, points, weighting, zero, zero + 1, zero, zero, zero == 0)

    def _key(self, purpose: int) -> PRNGKeyArray:
        return jax.random.fold_in(jax.random.key(self.seed), purpose)

    def _points(self, params: Params, draws: int) -> dict[str, Points]:
        return refine(self.model, params, self.collocation, jax.random.fold_in(self._key(1), draws))

    def _redraw(self, state: TrainState) -> TrainState:
        points = self._points(state.params, int(state.draws))
        key = jax.random.fold_in(self._key(2), state.step)
        weighting = _weigh(self.model, self.weighting, state.params, points, state.weighting, key)
        new = (points, weighting, state.draws + 1, jnp.ones((), bool))
        return eqx.tree_at(lambda s: (s.points, s.weighting, s.draws, s.changed), state, new)

    def run(
        self,
        state: TrainState,
        *,
        minutes: float | None = None,
        callbacks: Sequence[Callback] = (),
        keep: Callable[[TrainState, list[Report]], None] = lambda state, history: None,
        history: list[Report] | None = None,
        before: float = 0.0,
    ) -> Outcome:
        """Train until the steps or minutes are used up, a callback returns True, or nothing improves any more.

        ``before``: seconds that the caller has spent already; reports count them.
        ``keep`` is called with every good state (to write checkpoints). A stretch that ends in a loss that is not finite is
        undone and tried again, more carefully and with other points; after three in a row training stops with the last
        good state and the status ``"diverged"``.
        """
        history = list(history or [])
        start = time.monotonic() - before - (history[-1].seconds if history else 0.0)
        deadline = None if minutes is None else time.monotonic() + 60 * minutes
        outcome = Outcome(state, history, "finished")
        compiled: set[int] = set()
        while int(state.step) < self.total_steps:
            state, number, count = self.ready(state)
            began = time.monotonic()
            done = _stretch(*self.inputs(state, number, count))
            done.stalled.block_until_ready()
            if number not in compiled:
                compiled.add(number)
                outcome.compile_seconds += time.monotonic() - began
            state, report = self.settle(state, number, done, time.monotonic() - start)
            if report.message:
                if int(state.retries) > MAX_RETRIES:
                    outcome.status = "diverged"
                    break
                for callback in callbacks:
                    callback(report)
                continue
            history.append(report)
            outcome.state = state
            keep(state, history)
            if any([callback(report) for callback in callbacks]):
                outcome.status = "stopped"
                break
            if int(state.stalls) >= MAX_STALLS:
                outcome.status = "converged"
                break
            if deadline is not None and time.monotonic() >= deadline:
                outcome.status = "out of time"
                break
        return outcome

    def ready(self, state: TrainState) -> tuple[TrainState, int, int]:
        """The state with the points of the next stretch, the number of its phase, and how many steps it has."""
        step = int(state.step)
        number, end = self.phase_at(step)
        every = self.collocation.every
        if step and every and step % every == 0 and not int(state.retries):
            state = self._redraw(state)
        until = min(end, step + STEPS_PER_DISPATCH, (step // every + 1) * every if every else end)
        return state, number, until - step

    def inputs(self, state: TrainState, number: int, count: int) -> tuple[Any, ...]:
        """The arguments of `_stretch`."""
        optimizer = self.phases[number].optimizer
        return self.model, optimizer, self.weighting, state, jnp.asarray(count, jnp.int32), self._key(3)

    def settle(self, state: TrainState, number: int, done: _Stretch, seconds: float) -> tuple[TrainState, Report]:
        """The state after a stretch and its report; one with a message where the loss was not finite and it is undone."""
        optimizer, step = self.phases[number].optimizer, int(state.step)
        terms = {name: float(value) for name, value in done.terms.items()}
        loss = sum(terms.values())
        report = partial(Report, total_steps=self.total_steps, phase=type(optimizer).__name__, loss=loss, terms=terms)
        if not np.isfinite(loss):
            recovered = optimizer.recover(state.params, state.optimizer)
            state = eqx.tree_at(lambda s: (s.optimizer, s.retries), state, (recovered, state.retries + 1))
            message = f"the loss was not finite: back to step {step}, try {int(state.retries)} of {MAX_RETRIES}"
            return self._redraw(state), report(step=step, errors={}, coefficients={}, seconds=seconds, message=message)
        step += int(done.taken)
        stalls = state.stalls + 1 if bool(done.stalled) else jnp.zeros_like(state.stalls)
        next_phase = step == self.phase_at(int(state.step))[1] and number + 1 < len(self.phases)
        state = TrainState(
            done.params,
            self.phases[number + 1].optimizer.init(done.params) if next_phase else done.optimizer,
            state.points,
            done.weighting,
            jnp.asarray(step, jnp.int32),
            state.draws,
            jnp.zeros_like(state.retries),
            stalls,
            jnp.asarray(next_phase),
        )
        if bool(done.stalled):
            state = self._redraw(state)
        coefficients, errors = _numbers(self.model.coefficients(done.params)), self.measure(done.params)
        return state, report(step=step, errors=errors, coefficients=coefficients, seconds=seconds)


def _numbers(values: Mapping[str, Array]) -> dict[str, float]:
    """Numbers by name; those of an array by its name and index, ``rate[1]``."""
    return {
        name + "".join(f"[{k}]" for k in index): float(number)
        for name, value in values.items()
        for index, number in np.ndenumerate(np.asarray(value))
    }


@eqx.filter_jit
def _stretch(
    model: Model, optimizer: Optimizer, weighting: Weighting, state: TrainState, count: Array, key: PRNGKeyArray
) -> _Stretch:
    """Up to ``count`` steps in one program."""
    points, every = state.points, weighting.every

    def segment(carry: _Stretch) -> _Stretch:
        """The steps between two updates of the weights."""
        # Not at every stretch: where training pauses must not show in its numbers.
        changed, weights, until = state.changed & (carry.taken == 0), carry.weighting, count
        if every:
            step = state.step + carry.taken
            due = (step > 0) & (step % every == 0)
            snapshot = model.snapshot(carry.params, points, jax.random.fold_in(key, step))
            weights = jax.lax.cond(due, lambda w: weighting.update(w, snapshot), lambda w: w, weights)
            changed |= due
            until = jnp.minimum(count, carry.taken + every - step % every)
        objective = model.objective(points, weights.weights)

        def advance(carry: _Stretch) -> _Stretch:
            step = optimizer.update(objective, carry.params, carry.optimizer)
            return carry._replace(params=step.params, optimizer=step.state, taken=carry.taken + 1, stalled=step.stalled)

        start = lambda s: optimizer.start(objective, carry.params, s)
        carry = carry._replace(weighting=weights, optimizer=jax.lax.cond(changed, start, lambda s: s, carry.optimizer))
        return jax.lax.while_loop(lambda c: (c.taken < until) & ~c.stalled, advance, carry)

    terms = lambda params, weights: model.terms(params, points, weights.weights)
    unknown = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(terms, state.params, state.weighting))
    first = _Stretch(state.params, state.optimizer, state.weighting, jnp.zeros_like(count), unknown, jnp.zeros((), bool))
    go_on = lambda c: (c.taken < count) & ~c.stalled
    done = jax.lax.while_loop(go_on, segment, first) if every else segment(first)
    return done._replace(terms=terms(done.params, done.weighting))


@eqx.filter_jit
def _weigh(
    model: Model,
    weighting: Weighting,
    params: Params,
    points: dict[str, Points],
    state: WeightingState | None,
    key: PRNGKeyArray,
) -> WeightingState:
    """The state of the weighting at new points."""
    snapshot = model.snapshot(params, points, key)
    return weighting.init(snapshot) if state is None else weighting.redrawn(state, snapshot)
