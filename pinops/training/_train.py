"""The training loop: compiled stretches of many steps, and what happens on the host between them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

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


@dataclass(frozen=True)
class Training:
    """A training that can be started, continued and repeated: nothing in it changes."""

    model: Model
    phases: tuple[Phase, ...]
    collocation: Collocation
    seed: int
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
        return TrainState(params, self.phases[0].optimizer.init(params), points, zero, zero + 1, zero, zero, zero == 0)

    def _points(self, params: Params, draws: int) -> dict[str, Points]:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), 1), draws)
        return refine(self.model, params, self.collocation, key)

    def _redraw(self, state: TrainState) -> TrainState:
        points = self._points(state.params, int(state.draws))
        new = (points, state.draws + 1, jnp.ones((), bool))
        return eqx.tree_at(lambda s: (s.points, s.draws, s.changed), state, new)

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
            step = int(state.step)
            number, end = self.phase_at(step)
            optimizer = self.phases[number].optimizer
            every = self.collocation.every
            if step and every and step % every == 0 and not int(state.retries):
                state = self._redraw(state)
            until = min(end, step + STEPS_PER_DISPATCH, (step // every + 1) * every if every else end)
            began = time.monotonic()
            params, optimizer_state, taken, terms, stalled = _stretch(
                self.model, optimizer, state.params, state.optimizer, state.points, state.changed, jnp.asarray(until - step)
            )
            terms = {name: float(value) for name, value in terms.items()}
            if number not in compiled:
                compiled.add(number)
                outcome.compile_seconds += time.monotonic() - began
            loss = sum(terms.values())
            if not np.isfinite(loss):
                if int(state.retries) >= MAX_RETRIES:
                    outcome.status = "diverged"
                    break
                recovered = optimizer.recover(state.params, state.optimizer)
                state = eqx.tree_at(lambda s: (s.optimizer, s.retries), state, (recovered, state.retries + 1))
                state = self._redraw(state)
                message = f"the loss was not finite: back to step {step}, try {int(state.retries)} of {MAX_RETRIES}"
                report = Report(step, self.total_steps, _label(optimizer), loss, terms, {}, {}, time.monotonic() - start, message)
                for callback in callbacks:
                    callback(report)
                continue
            step += int(taken)
            stalls = state.stalls + 1 if bool(stalled) else jnp.zeros_like(state.stalls)
            next_phase = step == end and number + 1 < len(self.phases)
            if next_phase:
                optimizer_state = self.phases[number + 1].optimizer.init(params)
            state = TrainState(
                params,
                optimizer_state,
                state.points,
                jnp.asarray(step, jnp.int32),
                state.draws,
                jnp.zeros_like(state.retries),
                stalls,
                jnp.asarray(next_phase),
            )
            if bool(stalled):
                state = self._redraw(state)
            coefficients = _numbers(self.model.coefficients(params))
            report = Report(
                step,
                self.total_steps,
                _label(optimizer),
                loss,
                terms,
                self.measure(params),
                coefficients,
                time.monotonic() - start,
            )
            history.append(report)
            outcome.state = state
            keep(state, history)
            if any([callback(report) for callback in callbacks]):
                outcome.status = "stopped"
                break
            if int(stalls) >= MAX_STALLS:
                outcome.status = "converged"
                break
            if deadline is not None and time.monotonic() >= deadline:
                outcome.status = "out of time"
                break
        return outcome


def _label(optimizer: Optimizer) -> str:
    return type(optimizer).__name__


def _numbers(values: Mapping[str, Array]) -> dict[str, float]:
    """Numbers by name; those of an array by its name and index, ``rate[1]``."""
    return {
        name + "".join(f"[{k}]" for k in index): float(number)
        for name, value in values.items()
        for index, number in np.ndenumerate(np.asarray(value))
    }


@eqx.filter_jit
def _stretch(
    model: Model,
    optimizer: Optimizer,
    params: Params,
    state: PyTree,
    points: dict[str, Points],
    changed: Array,
    count: Array,
) -> tuple[Params, PyTree, Array, dict[str, Array], Array]:
    """Up to ``count`` steps in one program: parameters, state, steps taken, the terms at the end, and whether it stalled."""

    objective = model.objective(points)

    def advance(carry):
        params, state, taken, _ = carry
        step = optimizer.update(objective, params, state)
        return step.params, step.state, taken + 1, step.stalled

    # Not at every stretch: where training pauses must not show in its numbers.
    state = jax.lax.cond(changed, lambda s: optimizer.start(objective, params, s), lambda s: s, state)
    carry = (params, state, jnp.zeros_like(count), jnp.zeros((), bool))
    params, state, taken, stalled = jax.lax.while_loop(lambda c: (c[2] < count) & ~c[3], advance, carry)
    return params, state, taken, model.terms(params, points), stalled
