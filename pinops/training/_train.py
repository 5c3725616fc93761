"""The training loop: compiled stretches of many steps, and what happens on the host between them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from pinops.losses import Fixed, Weighting, WeightingState
from pinops.optimizers import Only, Optimizer, as_optimizer
from pinops.settings import Whole, check_settings, setting
from pinops.training._devices import agreed, check_shared, gathered, spread
from pinops.training._model import Params, fitted, relocated, relocates

STEPS = Whole(1, 10**8)
MAX_RETRIES = 3
MAX_STALLS = 2


class Phase(eqx.Module):
    """One optimizer (of `pinops.optimizers`, or an optax transformation) for a number of steps.

    Raises:
        ValueError: for a number of steps below 1.
        TypeError: for what is no optimizer.
    """

    optimizer: Optimizer = eqx.field(converter=as_optimizer)
    steps: int = setting(STEPS)

    def __check_init__(self):
        check_settings(self)


class TrainState(eqx.Module):
    """All that the next step depends on. What a checkpoint holds; equal states have equal futures, bit for bit."""

    params: Params
    optimizer: PyTree
    points: Any  # of the source: dict[str, Points], or Members
    weighting: WeightingState
    step: Array
    draws: Array  # how many point sets have been drawn: the random key of the next one
    retries: Array  # consecutive stretches that ended in a non-finite loss
    stalls: Array  # how often no step decreased the loss any more since points were last drawn because they were due
    changed: (
        Array  # the optimizer has not seen this objective yet: other points, or another optimizer
    )


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
    status: str = ""
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

    model: Any  # Model, or OperatorModel
    phases: tuple[Phase, ...]
    collocation: Any  # Collocation, or Draw
    seed: int
    weighting: Weighting = Fixed()
    continuation: Any = None  # Continuation, or Epochs
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

    def init(
        self, params: Params, optimizer: PyTree | None = None, *, fit: bool = True
    ) -> TrainState:
        """The state before the first step.

        ``optimizer``: the state of the first optimizer, where it goes on from another run; ``fit``: whether a network that asks
        for it is fitted to data first.
        """
        zero = jnp.zeros((), jnp.int32)
        model = self.model_at(0)
        points = self._points(model, params, 0)
        if fit and not isinstance(self.phases[0].optimizer, Only):
            params = fitted(model, params, points)
        weighting = _weigh(
            model,
            self.weighting,
            params,
            self.collocation.representative(points),
            None,
            self._key(2),
        )
        optimizer = self.phases[0].optimizer.init(params) if optimizer is None else optimizer
        return self.placed(
            TrainState(params, optimizer, points, weighting, zero, zero + 1, zero, zero, zero == 0)
        )

    def placed(self, state: TrainState) -> TrainState:
        """The state with interior points and divisible arrays spread over the devices of the mesh, all else on each of them."""
        mesh = self.model.mesh
        if mesh is None:
            return state
        optimizer = self.phases[self.phase_at(int(state.step))[0]].optimizer
        share = self.collocation.divided
        mine = share(state.points)
        count = None if mine is None else len(mine.at)
        if count is not None:
            check_shared(
                count, "interior points", mesh, "a multiple, such as Collocation(interior={})"
            )
        rows = lambda s: [] if count is None else [share(s.points), s.weighting]
        divided = lambda s: [*rows(s), *optimizer.divisible(s.optimizer)]
        blocks = [
            (a, len(a) if len(a) % mesh.size == 0 else None)
            for a in optimizer.divisible(state.optimizer)
        ]
        parts = [
            spread(part, mesh, total)
            for part, total in [*((part, count) for part in rows(state)), *blocks]
        ]
        if not parts:
            return spread(state, mesh)
        others = spread(eqx.tree_at(divided, state, replace_fn=lambda part: None), mesh)
        return eqx.tree_at(divided, others, parts, is_leaf=lambda leaf: leaf is None)

    def _key(self, purpose: int) -> PRNGKeyArray:
        return jax.random.fold_in(jax.random.key(self.seed), purpose)

    def model_at(self, step: int) -> Any:
        """The model with the coefficients of a step."""
        return (
            self.model if self.continuation is None else self.model.at(self.continuation.at(step))
        )

    def _points(self, model: Any, params: Params, draws: int, present: Any = None) -> Any:
        """Drawn on the host of every process alike."""
        params, present = gathered((params, present), model.mesh)
        return self.collocation.drawn(
            model, params, jax.random.fold_in(self._key(1), draws), present
        )

    def _redraw(self, state: TrainState) -> TrainState:
        model = self.model_at(int(state.step))
        state = self._relocated(model, state)
        points = self._points(model, state.params, int(state.draws), state.points)
        key = jax.random.fold_in(self._key(2), int(state.step))
        before = gathered((state.params, state.weighting), model.mesh)
        weighting = _weigh(
            model,
            self.weighting,
            before[0],
            self.collocation.representative(points),
            before[1],
            key,
        )
        new = (points, weighting, state.draws + 1, jnp.ones((), bool))
        return self.placed(
            eqx.tree_at(lambda s: (s.points, s.weighting, s.draws, s.changed), state, new)
        )

    def _relocated(self, model: Any, state: TrainState) -> TrainState:
        """The state with idle parts of the network moved, and its optimizer begun again where there were any."""
        optimizer = self.phases[self.phase_at(int(state.step))[0]].optimizer
        if not relocates(state.params.network) or isinstance(optimizer, Only):
            return state
        params, points = gathered((state.params, state.points), model.mesh)
        moved = relocated(model, params, points)
        if moved is params:
            return state
        return eqx.tree_at(lambda s: (s.params, s.optimizer), state, (moved, optimizer.init(moved)))

    def run(self, state: TrainState, **options: Any) -> Outcome:
        """`train` for this one alone."""
        return train([self], [state], **options)[0]

    def ready(self, state: TrainState) -> tuple[TrainState, int]:
        """The state with the points of the next stretch, and how many steps that has."""
        step = int(state.step)
        number, end = self.phase_at(step)
        every, limit = self.collocation.every, self.phases[number].optimizer.steps_per_dispatch
        stages = self.continuation
        due = (every and step % every == 0) or (stages is not None and stages.begins(step))
        if step and due and not int(state.retries):
            state = eqx.tree_at(
                lambda s: s.stalls, self._redraw(state), jnp.zeros_like(state.stalls)
            )
        until = min(end, step + limit, (step // every + 1) * every if every else end)
        until = until if stages is None else int(min(until, stages.until(step)))
        return state, until - step

    def inputs(self, state: TrainState, number: int, count: int) -> tuple[Any, ...]:
        """The arguments of `_stretch`."""
        optimizer = self.phases[number].optimizer
        model = self.model_at(int(state.step))
        model, optimizer, weighting, steps, key = spread(
            (model, optimizer, self.weighting, jnp.asarray(count, jnp.int32), self._key(3)),
            model.mesh,
        )
        return model, optimizer, weighting, self.collocation, self.placed(state), steps, key

    def settle(
        self, state: TrainState, number: int, done: _Stretch, seconds: float
    ) -> tuple[TrainState, Report]:
        """The state after a stretch and its report; one with a message where the loss was not finite and it is undone."""
        optimizer, step = self.phases[number].optimizer, int(state.step)
        terms = {name: float(value) for name, value in done.terms.items()}
        loss = sum(terms.values())
        report = partial(
            Report,
            total_steps=self.total_steps,
            phase=type(optimizer).__name__,
            loss=loss,
            terms=terms,
        )
        if not np.isfinite(loss):
            recovered = optimizer.recover(state.params, state.optimizer)
            state = eqx.tree_at(
                lambda s: (s.optimizer, s.retries), state, (recovered, state.retries + 1)
            )
            message = f"the loss was not finite: back to step {step}, try {int(state.retries)} of {MAX_RETRIES}"
            return self._redraw(state), report(
                step=step, errors={}, coefficients={}, seconds=seconds, message=message
            )
        step += int(done.taken)
        stalls = state.stalls + 1 if bool(done.stalled) else state.stalls
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
        params = gathered(done.params, self.model.mesh)
        coefficients, errors = _numbers(self.model.coefficients(params)), self.measure(params)
        return state, report(step=step, errors=errors, coefficients=coefficients, seconds=seconds)


def train(
    trainings: Sequence[Training],
    states: Sequence[TrainState],
    *,
    minutes: float | None = None,
    callbacks: Sequence[Callback] = (),
    keep: Callable[[list[TrainState], list[list[Report]]], None] = lambda states, histories: None,
    histories: Sequence[list[Report]] | None = None,
    before: float = 0.0,
) -> list[Outcome]:
    """Train until the steps or minutes are used up, a callback returns True, or nothing improves any more.

    Several trainings (of one kind: they differ in numbers only) advance together in one vectorised program; callbacks then
    see the means over those that are still going on.

    ``before``: seconds that the caller has spent already; reports count them.
    ``keep`` is called with the good states (to write checkpoints). A stretch that ends in a loss that is not finite is
    undone and tried again, more carefully and with other points; after three in a row that training stops with the last
    good state and the status ``"diverged"``.
    """
    states = list(states)
    outcomes = [
        Outcome(state, list(history))
        for state, history in zip(states, histories or [[]] * len(states), strict=True)
    ]
    start = (
        time.monotonic()
        - before
        - max((o.history[-1].seconds for o in outcomes if o.history), default=0.0)
    )
    deadline = None if minutes is None else time.monotonic() + 60 * minutes
    compiled: set[int] = set()
    going = lambda: [
        k
        for k, o in enumerate(outcomes)
        if not o.status and int(states[k].step) < trainings[k].total_steps
    ]
    while active := going():
        phases = {k: trainings[k].phase_at(int(states[k].step))[0] for k in active}
        number = min(phases.values())
        group = [
            k for k in active if phases[k] == number
        ]  # those ahead wait for the others before a new optimizer
        counts = dict.fromkeys(range(len(states)), 0)
        for k in group:
            states[k], counts[k] = trainings[k].ready(states[k])
        began = time.monotonic()
        if len(trainings) == 1:
            done = {0: _stretch(*trainings[0].inputs(states[0], number, counts[0]))}
        else:
            # Those that wait are represented by one that does not, and take no step.
            members = [k if k in group else group[0] for k in counts]
            stacked = _stacked(
                [trainings[m].inputs(states[m], number, counts[k]) for k, m in enumerate(members)]
            )
            together = _stretches(*stacked)
            done = {k: jax.tree.map(lambda x, k=k: x[k], together) for k in group}
        jax.block_until_ready(done)
        if number not in compiled:
            compiled.add(number)
            for outcome in outcomes:
                outcome.compile_seconds += time.monotonic() - began
        reports, undone = [], []
        for k in group:
            states[k], report = trainings[k].settle(
                states[k], number, done[k], time.monotonic() - start
            )
            if int(states[k].retries) > MAX_RETRIES:
                outcomes[k].status = "diverged"
            elif report.message:
                undone.append(report)
            else:
                outcomes[k].history.append(report)
                outcomes[k].state = states[k]
                reports.append(report)
                if int(states[k].stalls) >= MAX_STALLS:
                    outcomes[k].status = "converged"
        for report in undone:
            for callback in callbacks:
                callback(report)
        if not reports:
            continue
        keep([outcome.state for outcome in outcomes], [outcome.history for outcome in outcomes])
        if agreed(any([callback(_mean(reports)) for callback in callbacks])):
            _end(outcomes, "stopped")
        if deadline is not None and agreed(time.monotonic() >= deadline):
            _end([outcomes[k] for k in going()], "out of time")
    _end(outcomes, "finished")
    return outcomes


def _end(outcomes: Sequence[Outcome], status: str) -> None:
    for outcome in outcomes:
        outcome.status = outcome.status or status


def _mean(reports: Sequence[Report]) -> Report:
    """One report for several trainings: the slowest step, and the means of all numbers."""
    if len(reports) == 1:
        return reports[0]
    mean = lambda rows: {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return replace(
        min(reports, key=lambda report: report.step),
        loss=float(np.mean([report.loss for report in reports])),
        terms=mean([report.terms for report in reports]),
        errors=mean([report.errors for report in reports]),
        coefficients=mean([report.coefficients for report in reports]),
    )


def _stacked(inputs: Sequence[PyTree]) -> PyTree:
    """Trees that are equal but for their arrays, as one with another leading axis."""
    arrays, others = zip(*(eqx.partition(tree, eqx.is_array) for tree in inputs), strict=True)
    return eqx.combine(jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays), others[0])


def _numbers(values: Mapping[str, Array]) -> dict[str, float]:
    """Numbers by name; those of an array by its name and index, ``rate[1]``."""
    return {
        name + "".join(f"[{k}]" for k in index): float(number)
        for name, value in values.items()
        for index, number in np.ndenumerate(np.asarray(value))
    }


def _steps(
    model: Any,  # with a source and points of its kind
    optimizer: Optimizer,
    weighting: Weighting,
    collocation: Any,
    state: TrainState,
    count: Array,
    key: PRNGKeyArray,
) -> _Stretch:
    """Up to ``count`` steps in one program."""
    points, every = state.points, weighting.every
    shown = collocation.representative(points)

    def segment(carry: _Stretch) -> _Stretch:
        """The steps between two updates of the weights."""
        # Not at every stretch: where training pauses must not show in its numbers.
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

        def advance(carry: _Stretch) -> _Stretch:
            own = objective
            if collocation.stochastic:
                step_key = jax.random.fold_in(jax.random.fold_in(key, 1), state.step + carry.taken)
                own = model.objective(
                    *collocation.sampled(model, points, weights.weights, step_key)
                )
            step = optimizer.update(own, carry.params, carry.optimizer)
            return carry._replace(
                params=step.params,
                optimizer=step.state,
                taken=carry.taken + 1,
                stalled=step.stalled,
            )

        start = lambda s: optimizer.start(objective, carry.params, s)
        carry = carry._replace(
            weighting=weights, optimizer=jax.lax.cond(changed, start, lambda s: s, carry.optimizer)
        )
        return jax.lax.while_loop(lambda c: (c.taken < until) & ~c.stalled, advance, carry)

    terms = lambda params, weights: model.terms(params, shown, weights.weights)
    unknown = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(terms, state.params, state.weighting)
    )
    first = _Stretch(
        state.params,
        state.optimizer,
        state.weighting,
        jnp.zeros_like(count),
        unknown,
        jnp.zeros((), bool),
    )
    go_on = lambda c: (c.taken < count) & ~c.stalled
    done = jax.lax.while_loop(go_on, segment, first) if every else segment(first)
    return done._replace(terms=terms(done.params, done.weighting))


def _on_mesh(model: Any, *others: Any) -> _Stretch:
    """`_steps`, where optimizers see the devices that share the work."""
    if model.mesh is None:
        return _steps(model, *others)
    with jax.sharding.use_abstract_mesh(model.mesh.abstract_mesh):
        return _steps(model, *others)


_stretch = eqx.filter_jit(_on_mesh)
_stretches = eqx.filter_jit(eqx.filter_vmap(_steps))


@eqx.filter_jit
def _weigh(
    model: Any,
    weighting: Weighting,
    params: Params,
    points: Any,
    state: WeightingState | None,
    key: PRNGKeyArray,
) -> WeightingState:
    """The state of the weighting at new points."""
    snapshot = model.snapshot(params, points, key)
    return weighting.init(snapshot) if state is None else weighting.redrawn(state, snapshot)
