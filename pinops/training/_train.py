"""The training loop: compiled stretches of many steps, and the work on the host in between."""

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
from pinops.training._clock import Clock
from pinops.training._compilation import compiled
from pinops.training._contracts import Params, Source, Stages, Trainable
from pinops.training._devices import agreed, check_shared, gathered, spread
from pinops.training._keys import folded, key_of
from pinops.training._state import Callback, Ends, Outcome, Phase, Report, TrainState, endless
from pinops.training._stretch import Stretch, stacked, started, stretch, stretches, weigh

MAX_RETRIES = 3
MAX_STALLS = 2
Keep = Callable[[list[TrainState], list[list[Report]]], None]


def nothing_kept(states: list[TrainState], histories: list[list[Report]]) -> None:
    """Keep nothing: for trainings without a folder."""


@dataclass(frozen=True)
class Training:
    """A training that can be started, continued and repeated: nothing in it changes.

    Attributes:
        model: What is trained, but for its parameters.
        phases: The optimizers, one after the other.
        source: Where points come from.
        seed: Of all random numbers.
        weighting: Of the terms of the loss.
        stages: With other numbers in each; None: there is one.
        measure: From parameters to errors, for reports.
        pool_seed: The seed of the points, where trainings that advance together share them; they
            must not depend on the parameters then. None: each has its own.
        ends: The status with which a report ends the training; empty: it goes on.
    """

    model: Trainable
    phases: tuple[Phase, ...]
    source: Source
    seed: int
    weighting: Weighting = Fixed()
    stages: Stages | None = None
    measure: Callable[[Params], dict[str, float]] = field(default=lambda params: {})
    pool_seed: int | None = None
    ends: Ends = endless

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

        Args:
            params: The parameters to begin with.
            optimizer: The state of the first optimizer, if it continues another run.
            fit: Whether a network that asks for it is fitted to data first.
        """
        zero, one = _counted(0), _counted(1)
        model = self.model_at(0)
        points = self._points(model, params, 0)
        if fit and self.phases[0].optimizer.trains_all:
            params = model.fitted(params, points)
        weighting = weigh(
            model,
            self.weighting,
            params,
            self.source.representative(points),
            None,
            self._key(2),
        )
        optimizer = started(self.phases[0].optimizer, params) if optimizer is None else optimizer
        first = jnp.asarray(np.asarray(True))
        return self.placed(
            TrainState(params, optimizer, points, weighting, zero, one, zero, zero, first)
        )

    def placed(self, state: TrainState) -> TrainState:
        """The state on the mesh: interior points and divisible arrays spread, the rest copied."""
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

        def rows(s: TrainState) -> list[PyTree]:
            return [] if count is None else [share(s.points), s.weighting]

        def divided(s: TrainState) -> list[PyTree]:
            return [*rows(s), *optimizer.divisible(s.optimizer)]

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
        return key_of(self.seed, purpose)

    def model_at(self, step: int) -> Trainable:
        """The model in the stage of a step."""
        return self.model if self.stages is None else self.model.at(self.stages.at(step))

    def _points(
        self, model: Trainable, params: Params, draws: int, present: PyTree = None
    ) -> PyTree:
        """Drawn on the host of every process alike."""
        params, present = gathered((params, present), model.mesh)
        seed = self.seed if self.pool_seed is None else self.pool_seed
        return self.source.drawn(model, params, folded(key_of(seed, 1), draws), present)

    def _redraw(self, state: TrainState) -> TrainState:
        model = self.model_at(int(state.step))
        state = self._relocated(model, state)
        points = self._points(model, state.params, int(state.draws), state.points)
        key = folded(self._key(2), int(state.step))
        before = gathered((state.params, state.weighting), model.mesh)
        weighting = weigh(
            model,
            self.weighting,
            before[0],
            self.source.representative(points),
            before[1],
            key,
        )
        draws = _counted(int(state.draws) + 1)
        new = (points, weighting, draws, jnp.asarray(np.asarray(True)))
        return self.placed(
            eqx.tree_at(lambda s: (s.points, s.weighting, s.draws, s.changed), state, new)
        )

    def _relocated(self, model: Trainable, state: TrainState) -> TrainState:
        """The state after idle parts of the network have moved; then the optimizer starts anew."""
        optimizer = self.phases[self.phase_at(int(state.step))[0]].optimizer
        if not optimizer.trains_all:
            return state
        params, points = gathered((state.params, state.points), model.mesh)
        moved = model.relocated(params, points)
        if moved is params:
            return state
        return eqx.tree_at(
            lambda s: (s.params, s.optimizer), state, (moved, started(optimizer, moved))
        )

    def answered(self, state: TrainState) -> Params:
        """The parameters that the training answers with in a state."""
        optimizer = self.phases[self.phase_at(int(state.step))[0]].optimizer
        return optimizer.answered(state.params, state.optimizer)

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
            state = eqx.tree_at(lambda s: s.stalls, self._redraw(state), _counted(0))
        until = min(end, step + limit, (step // every + 1) * every if every else end)
        until = until if stages is None else int(min(until, stages.until(step)))
        return state, until - step

    def inputs(self, state: TrainState, number: int, count: int) -> tuple[PyTree, ...]:
        """The arguments of `_stretch`."""
        optimizer = self.phases[number].optimizer
        model = self.model_at(int(state.step))
        model, optimizer, weighting, steps, key = spread(
            (model, optimizer, self.weighting, _counted(count), self._key(3)),
            model.mesh,
        )
        return model, optimizer, weighting, self.source, self.placed(state), steps, key

    def settle(
        self, state: TrainState, number: int, done: Stretch, seconds: float
    ) -> tuple[TrainState, Report]:
        """The state and the report after a stretch; a non-finite loss undoes it, with a message."""
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
                lambda s: (s.optimizer, s.retries),
                state,
                (recovered, _counted(int(state.retries) + 1)),
            )
            message = (
                f"the loss was not finite: back to step {step}, "
                f"try {int(state.retries)} of {MAX_RETRIES}"
            )
            return self._redraw(state), report(
                step=step, errors={}, coefficients={}, seconds=seconds, message=message
            )
        step += int(done.taken)
        stalls = _counted(int(state.stalls) + 1) if bool(done.stalled) else state.stalls
        next_phase = step == self.phase_at(int(state.step))[1] and number + 1 < len(self.phases)
        state = TrainState(
            done.params,
            started(self.phases[number + 1].optimizer, done.params)
            if next_phase
            else done.optimizer,
            state.points,
            done.weighting,
            _counted(step),
            state.draws,
            _counted(0),
            stalls,
            jnp.asarray(np.asarray(next_phase)),
        )
        if bool(done.stalled):
            state = self._redraw(state)
        params = gathered(optimizer.answered(done.params, done.optimizer), self.model.mesh)
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
    """Train until steps or minutes run out, a callback returns True, or the loss is at rest.

    Several trainings that differ in numbers only advance together, on an accelerator in one
    vectorised program, on a CPU in turn; callbacks then see the means over the unfinished ones.
    A stretch of steps that ends in a non-finite loss is undone and repeated, more carefully and
    with other points; after three such repetitions in a row the training stops with its last good
    state and the status "diverged".

    Args:
        trainings: The trainings.
        states: The current state of each.
        minutes: The time limit, ``before`` included.
        callbacks: Called with a `Report` after every stretch.
        keep: Called with the good states, to write checkpoints.
        histories: Earlier reports of each.
        before: Seconds that the caller has already spent; reports include them.
    """
    states = list(states)
    pairs = zip(states, histories or [[]] * len(states), strict=True)
    outcomes = [Outcome(state, list(history), state.params) for state, history in pairs]
    _end_by_report(trainings, outcomes)
    earlier = max((o.history[-1].seconds for o in outcomes if o.history), default=0.0)
    start = time.monotonic() - before - earlier
    clock = Clock(None if minutes is None else time.monotonic() - before + 60 * minutes)
    mark = compiled()

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
            states[k] = _with_shared_points(trainings, states, k)
            counts[k] = agreed(clock.fitting(number, counts[k]))
            # A decaying learning rate should reach its end when the time is up.
            expected = clock.expected(number)
            if expected is not None:
                optimizer = trainings[k].phases[number].optimizer
                later = optimizer.expecting(states[k].optimizer, agreed(expected))
                states[k] = eqx.tree_at(lambda s: s.optimizer, states[k], later)
        done, seconds = _advanced(trainings, states, number, group, counts)
        clock.note(number, seconds, max(counts.values()))
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
        clock.settled(number)
        for report in undone:
            for callback in callbacks:
                callback(report)
        if not reports:
            continue
        keep([outcome.state for outcome in outcomes], [outcome.history for outcome in outcomes])
        if agreed(any([callback(_mean(reports)) for callback in callbacks])):
            _end(outcomes, "stopped")
        _end_by_report(trainings, outcomes)
        if agreed(clock.is_over()):
            _end([outcomes[k] for k in going()], "out of time")
    _end(outcomes, "finished")
    for training, outcome in zip(trainings, outcomes, strict=True):
        outcome.params = training.answered(outcome.state)
        outcome.compile_seconds = compiled() - mark
    return outcomes


def _advanced(
    trainings: Sequence[Training],
    states: Sequence[TrainState],
    number: int,
    group: Sequence[int],
    counts: dict[int, int],
) -> tuple[dict[int, Stretch], float]:
    """Some steps of those in the group, by their number, and the seconds that this took."""
    began = time.monotonic()
    # A core is fastest with the arrays of one training in its cache, and a batch of small products
    # is no product that its library knows.  Threads, one for each core, gain nothing that shows
    # (benchmarks/uncertainty.py).
    if len(trainings) == 1 or jax.default_backend() == "cpu":
        done = {k: stretch(*trainings[k].inputs(states[k], number, counts[k])) for k in group}
    else:
        # A waiting training is represented by an active one and takes no step.
        members = [k if k in group else group[0] for k in counts]
        inputs = [trainings[m].inputs(states[m], number, counts[k]) for k, m in enumerate(members)]
        together = stretches(*stacked(inputs))
        done = {k: jax.tree.map(lambda x, k=k: x[k], together) for k in group}
    jax.block_until_ready(done)
    return done, time.monotonic() - began


def _end(outcomes: Sequence[Outcome], status: str) -> None:
    for outcome in outcomes:
        outcome.status = outcome.status or status


def _end_by_report(trainings: Sequence[Training], outcomes: Sequence[Outcome]) -> None:
    """End those whose last report says so, which may be one of a training that is resumed."""
    for training, outcome in zip(trainings, outcomes, strict=True):
        if outcome.history:
            outcome.status = outcome.status or training.ends(outcome.history[-1])


def _mean(reports: Sequence[Report]) -> Report:
    """One report for several trainings: the slowest step, and the means of all numbers."""
    if len(reports) == 1:
        return reports[0]

    def mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    return replace(
        min(reports, key=lambda report: report.step),
        loss=float(np.mean([report.loss for report in reports])),
        terms=mean([report.terms for report in reports]),
        errors=mean([report.errors for report in reports]),
        coefficients=mean([report.coefficients for report in reports]),
    )


def _with_shared_points(
    trainings: Sequence[Training], states: Sequence[TrainState], k: int
) -> TrainState:
    """The state of a training with the very points of the first, where they share them: a copy for
    each member of an ensemble would fill memory with the same data.
    """
    first, own = states[0], states[k]
    shared = trainings[k].pool_seed is not None and int(first.draws) == int(own.draws)
    return eqx.tree_at(lambda s: s.points, own, first.points) if shared and k else own


def _counted(number: int) -> Array:
    """An int32 on the device, which compiles nothing."""
    return jnp.asarray(np.asarray(number, np.int32))


def _numbers(values: Mapping[str, Array]) -> dict[str, float]:
    """Numbers by name; those of an array by its name and index, ``rate[1]``."""
    return {
        name + "".join(f"[{k}]" for k in index): float(number)
        for name, value in values.items()
        for index, number in np.ndenumerate(np.asarray(value))
    }
