"""The training loop: compiled stretches of many steps, and what happens on the host between them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from pinops.losses import Fixed, Weighting
from pinops.optimizers import Only
from pinops.training._contracts import Params, Source, Stages, Trainable
from pinops.training._devices import agreed, check_shared, gathered, spread
from pinops.training._state import Callback, Outcome, Phase, Report, TrainState
from pinops.training._stretch import Stretch, stretch, stretches, weigh

MAX_RETRIES = 3
MAX_STALLS = 2
Keep = Callable[[list[TrainState], list[list[Report]]], None]


def nothing_kept(states: list[TrainState], histories: list[list[Report]]) -> None:
    """Keep nothing: for trainings without a folder."""


@dataclass(frozen=True)
class Training:
    """A training that can be started, continued and repeated: nothing in it changes."""

    model: Trainable
    phases: tuple[Phase, ...]
    source: Source
    seed: int
    weighting: Weighting = Fixed()
    stages: Stages | None = None
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
            params = model.fitted(params, points)
        weighting = weigh(
            model,
            self.weighting,
            params,
            self.source.representative(points),
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
        share = self.source.divided
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

    def model_at(self, step: int) -> Trainable:
        """The model in the stage of a step."""
        return self.model if self.stages is None else self.model.at(self.stages.at(step))

    def _points(
        self, model: Trainable, params: Params, draws: int, present: PyTree = None
    ) -> PyTree:
        """Drawn on the host of every process alike."""
        params, present = gathered((params, present), model.mesh)
        return self.source.drawn(model, params, jax.random.fold_in(self._key(1), draws), present)

    def _redraw(self, state: TrainState) -> TrainState:
        model = self.model_at(int(state.step))
        state = self._relocated(model, state)
        points = self._points(model, state.params, int(state.draws), state.points)
        key = jax.random.fold_in(self._key(2), int(state.step))
        before = gathered((state.params, state.weighting), model.mesh)
        weighting = weigh(
            model,
            self.weighting,
            before[0],
            self.source.representative(points),
            before[1],
            key,
        )
        new = (points, weighting, state.draws + 1, jnp.ones((), bool))
        return self.placed(
            eqx.tree_at(lambda s: (s.points, s.weighting, s.draws, s.changed), state, new)
        )

    def _relocated(self, model: Trainable, state: TrainState) -> TrainState:
        """The state with idle parts of the network moved, and its optimizer begun again where there were any."""
        optimizer = self.phases[self.phase_at(int(state.step))[0]].optimizer
        if isinstance(optimizer, Only):
            return state
        params, points = gathered((state.params, state.points), model.mesh)
        moved = model.relocated(params, points)
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
        every, limit = self.source.every, self.phases[number].optimizer.steps_per_dispatch
        stages = self.stages
        due = (every and step % every == 0) or (stages is not None and stages.begins(step))
        if step and due and not int(state.retries):
            state = eqx.tree_at(
                lambda s: s.stalls, self._redraw(state), jnp.zeros_like(state.stalls)
            )
        until = min(end, step + limit, (step // every + 1) * every if every else end)
        until = until if stages is None else int(min(until, stages.until(step)))
        return state, until - step

    def inputs(self, state: TrainState, number: int, count: int) -> tuple[PyTree, ...]:
        """The arguments of `_stretch`."""
        optimizer = self.phases[number].optimizer
        model = self.model_at(int(state.step))
        model, optimizer, weighting, steps, key = spread(
            (model, optimizer, self.weighting, jnp.asarray(count, jnp.int32), self._key(3)),
            model.mesh,
        )
        return model, optimizer, weighting, self.source, self.placed(state), steps, key

    def settle(
        self, state: TrainState, number: int, done: Stretch, seconds: float
    ) -> tuple[TrainState, Report]:
        """The state after a stretch and its report; one with a message where the loss was not finite and it is undone."""
        optimizer, step = self.phases[number].optimizer, int(state.step)
        terms = {name: float(value) for name, value in done.terms.items()}
        loss = sum(terms.values())
        report = partial(
            Report,
            total_steps=self.total_steps,
            phase=optimizer.name,
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
    keep: Keep = nothing_kept,
    histories: Sequence[list[Report]] | None = None,
    before: float = 0.0,
) -> list[Outcome]:
    """Train until the steps or minutes are used up, a callback returns True, or nothing improves any more.

    Several trainings of one kind, which differ in numbers only, advance together in one vectorised program; callbacks then
    see the means over those that are still going on. A stretch of steps that ends in a loss that is not finite is undone
    and tried again, more carefully and with other points; after three in a row that training stops with its last good
    state and the status "diverged".

    Args:
        trainings: What is trained.
        states: The state that each goes on from.
        minutes: The time limit, ``before`` included.
        callbacks: Called with a `Report` after every stretch.
        keep: Called with the good states, to write checkpoints.
        histories: The reports until now.
        before: Seconds that the caller has spent already; reports count them.
    """
    states = list(states)
    pairs = zip(states, histories or [[]] * len(states), strict=True)
    outcomes = [Outcome(state, list(history)) for state, history in pairs]
    earlier = max((o.history[-1].seconds for o in outcomes if o.history), default=0.0)
    start = time.monotonic() - before - earlier
    clock = _Clock(None if minutes is None else time.monotonic() - before + 60 * minutes)

    def going() -> list[int]:
        unfinished = (k for k, outcome in enumerate(outcomes) if not outcome.status)
        return [k for k in unfinished if int(states[k].step) < trainings[k].total_steps]

    while active := going():
        phases = {k: trainings[k].phase_at(int(states[k].step))[0] for k in active}
        # Those ahead wait for the others before a new optimizer.
        number = min(phases.values())
        group = [k for k in active if phases[k] == number]
        counts = dict.fromkeys(range(len(states)), 0)
        for k in group:
            states[k], counts[k] = trainings[k].ready(states[k])
            counts[k] = agreed(clock.fitting(number, counts[k]))
        done, seconds = _advanced(trainings, states, number, group, counts)
        if clock.first(number, seconds, max(counts.values())):
            for outcome in outcomes:
                outcome.compile_seconds += seconds
        reports, undone = [], []
        for k in group:
            seconds = time.monotonic() - start
            states[k], report = trainings[k].settle(states[k], number, done[k], seconds)
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
        if agreed(clock.is_over()):
            _end([outcomes[k] for k in going()], "out of time")
    _end(outcomes, "finished")
    return outcomes


class _Clock:
    """The time that is left, and how many steps fit into it: a stretch must not end minutes too late."""

    def __init__(self, deadline: float | None):
        self._deadline = deadline
        self._seen: set[int] = set()
        self._pace: dict[int, float] = {}  # seconds a step, by phase

    def first(self, phase: int, seconds: float, steps: int) -> bool:
        """Note how long some steps of a phase took; whether they were its first, compilation included."""
        if phase not in self._seen:
            self._seen.add(phase)
            return True
        self._pace[phase] = seconds / max(1, steps)
        return False

    def fitting(self, phase: int, count: int) -> int:
        """At most ``count`` steps, and no more than fit; one where nothing is known yet."""
        if self._deadline is None:
            return count
        if phase not in self._pace:
            return 1
        left = self._deadline - time.monotonic()
        return max(1, min(count, int(left / max(self._pace[phase], 1e-9))))

    def is_over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline


def _advanced(
    trainings: Sequence[Training],
    states: Sequence[TrainState],
    number: int,
    group: Sequence[int],
    counts: dict[int, int],
) -> tuple[dict[int, Stretch], float]:
    """Some steps of those in the group, by their number, and the seconds that this took."""
    began = time.monotonic()
    if len(trainings) == 1:
        done = {0: stretch(*trainings[0].inputs(states[0], number, counts[0]))}
    else:
        # Those that wait are represented by one that does not, and take no step.
        members = [k if k in group else group[0] for k in counts]
        inputs = [trainings[m].inputs(states[m], number, counts[k]) for k, m in enumerate(members)]
        together = stretches(*_stacked(inputs))
        done = {k: jax.tree.map(lambda x, k=k: x[k], together) for k in group}
    jax.block_until_ready(done)
    return done, time.monotonic() - began


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
