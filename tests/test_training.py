"""The training loop: points, schedule, history, and what happens when a loss is not finite."""

import dataclasses
import logging
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pinops as po
from pinops.networks import embedding_of
from pinops.optimizers import Optimizer, SSBroyden, Step
from pinops.problem import (
    INITIAL,
    INTERIOR,
    InverseProblem,
    Points,
    Region,
    constraints,
    impose,
    scales_of,
)
from pinops.solvers._recipe import phases
from pinops.training import UNLIMITED, Model, Report, Training, _chunks, _clock, split
from pinops.training._points import draw, refine
from pinops.training._progress import describe

NETWORK = po.networks.MLP(width=8, depth=2)


class Decay(po.Problem):
    """u_t = -r u, u(0) = 1: the cheapest problem with a solution, exp(-r t)."""

    domain = po.Box(t=(0, 1))
    rate: float = po.positive(1.0)
    shift: float = 0.0

    def residual(self, u, u_t):
        return u_t + self.rate * u + self.shift

    def conditions(self):
        return (po.Initial(1.0),)


class Everywhere(po.Problem):
    """A heat equation with one term in every kind of region."""

    domain = po.Box(x=(0, 1), t=(0, 2))

    def residual(self, u_t, u_xx):
        return {"heat": u_t - u_xx}

    def conditions(self):
        observed = po.Observed({"x": [0.2, 0.3, 0.4], "t": [0.1, 0.1, 0.2]}, {"u": [1.0, 2.0, 3.0]})
        return po.Initial(0.0, soft=True), po.Dirichlet(0.0, on="x_min", soft=True), observed


class Spike(po.Problem):
    """A residual that does not depend on the network and is large at x = 0.7 only."""

    domain = po.Box(x=(0, 1))

    def residual(self, u, x):
        return 0 * u + jnp.exp(-((x - 0.7) ** 2) / (2 * 0.01**2))


@pytest.fixture(autouse=True)
def precision(float64):
    """The loop runs in double precision, except for tests that ask for float32."""


def training_of(problem, *phases, collocation=None, seed=0, **options):
    collocation = collocation or po.Collocation(interior=64, boundary=16, initial=16, every=0)
    imposition = impose(problem)
    network = NETWORK.build(
        embedding_of(problem, imposition).size, len(problem.unknowns), key=jax.random.key(seed)
    )
    model, params = split(
        problem, network, imposition, scales_of(problem, imposition), type(problem).__name__
    )
    return Training(model, phases, collocation, seed, **options), params


LEFT, OBSERVED = Region("boundary", ("x_min",)), Region("observed", condition=2)


def test_every_region_has_its_points():
    problem = Everywhere()
    imposition = impose(problem)
    collocation = po.Collocation(interior=64, boundary=16, initial=8)
    points = draw(problem, imposition.soft, collocation, jax.random.key(0))
    assert {name: region.at.shape for name, region in points.items()} == {
        INTERIOR: (64, 2),
        INITIAL: (8, 2),
        LEFT: (16, 2),
        OBSERVED: (3, 2),
    }
    assert {c.region for c in constraints(problem, imposition.soft)} == set(points)
    inside = np.asarray(points[INTERIOR].at)
    assert np.all((inside > 0) & (inside < [1, 2]))
    assert np.all(points[INITIAL].at[:, 1] == 0) and np.ptp(points[INITIAL].at[:, 0]) > 0.5
    assert np.all(points[LEFT].at[:, 0] == 0) and np.ptp(points[LEFT].at[:, 1]) > 1
    assert np.all(np.asarray(points[LEFT].normals) == [-1.0])
    assert np.array_equal(points[OBSERVED].at, [[0.2, 0.1], [0.3, 0.1], [0.4, 0.2]])
    assert np.array_equal(points[OBSERVED].data["observed_u"], [1.0, 2.0, 3.0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "problem", [Everywhere(), Spike()], ids=lambda problem: type(problem).__name__
)
def test_chunks_of_points_give_the_loss_and_gradient_of_all_points(problem, monkeypatch):
    """With weights of points, fixed streams, terms outside of the interior, and chunks that leave a
    rest.
    """
    monkeypatch.setattr(Model, "_chunk", lambda *_: 100)
    training, params = training_of(
        problem, po.Phase(SSBroyden(), 1), collocation=po.Collocation(interior=512, every=0)
    )
    state = training.init(params)
    points, weights = state.points, state.weighting.weights
    weights["residual" if "residual" in weights else "heat"] = jnp.linspace(0.0, 2.0, 512)
    whole = jax.value_and_grad(
        lambda params: sum(training.model.terms(params, points, weights).values())
    )(params)
    chunked = jax.jit(lambda params: training.model.objective(points, weights)(params))(params)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(chunked), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_a_chunk_divides_the_points_where_it_can_and_fits_the_cache(monkeypatch):
    training, params = training_of(
        Spike(), po.Phase(SSBroyden(), 1), collocation=po.Collocation(interior=601, every=0)
    )
    prime = training.init(params).points[INTERIOR]
    points = jax.tree.map(lambda x: x[:600], prime)
    assert training.model._chunk(params, points) == 600
    monkeypatch.setattr(_chunks, "chunk_bytes", lambda: 40_000)
    few = training.model._chunk(params, points)
    assert 1 < few < 600 and 600 % few == 0
    assert few <= training.model._chunk(params, prime) <= 2 * few
    monkeypatch.setattr(_chunks, "chunk_bytes", lambda: 1)
    assert training.model._chunk(params, points) == 1


def test_points_follow_from_the_key():
    def take(key):
        return draw(Everywhere(), (0, 1, 2), po.Collocation(interior=64), jax.random.key(key))[
            INTERIOR
        ].at

    assert np.array_equal(take(1), take(1)) and not np.array_equal(take(1), take(2))


@pytest.mark.parametrize("name", ["interior", "boundary", "initial"])
def test_a_region_needs_a_point(name):
    with pytest.raises(ValueError, match=f"{name} must be a whole number from 1 to"):
        po.Collocation(**{name: 0})
    with pytest.raises(ValueError, match="every must be a whole number from 0 to"):
        po.Collocation(every=-1)


@pytest.mark.parametrize("rule", [po.sampling.R3(), po.sampling.RAR()], ids=["R3", "RAR"])
def test_points_gather_over_several_draws_and_keep_what_was_computed_for_them(rule):
    collocation = po.Collocation(interior=256, refinement=rule, every=10)
    training, params = training_of(Spike(), po.Phase(Counter(), 60), collocation=collocation)
    points = training.run(training.init(params)).state.points[INTERIOR]
    assert points.at.shape == (256, 1)
    assert np.mean(np.abs(np.asarray(points.at) - 0.7) < 0.03) > 0.2  # 0.06 without a preference
    again = training.model.prepared(params, {INTERIOR: Points(points.at)})[INTERIOR]
    for a, b in zip(jax.tree.leaves(points.fixed), jax.tree.leaves(again.fixed), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)


def test_refinement_goes_where_the_residual_is_large():
    training, params = training_of(Spike(), po.Phase(SSBroyden(), 1))
    near = {}
    for candidates in (1, 16):
        refinement = None if candidates == 1 else po.sampling.RAD(candidates=candidates)
        collocation = po.Collocation(interior=256, refinement=refinement)
        points = refine(training.model, params, collocation, jax.random.key(0))
        assert points[INTERIOR].at.shape == (256, 1)
        near[candidates] = np.mean(np.abs(np.asarray(points[INTERIOR].at) - 0.7) < 0.03)
        # The loss stays the mean square over the domain: the integral of exp(-y^2 / s^2) is s
        # sqrt(pi).
        terms = training.model.terms(params, points, {"residual": jnp.ones(1)})
        size = float(training.model.scales.terms["residual"])
        mean = float(terms["residual"]) * size**2
        assert mean == pytest.approx(0.01 * np.sqrt(np.pi), rel=0.05)
    assert near[1] == pytest.approx(0.06, abs=0.01)
    assert near[16] > 0.3
    assert (
        np.mean(np.asarray(points[INTERIOR].at) < 0.6) > 0.2
    )  # half of the points ignore the residual


class CounterState(NamedTuple):
    starts: jax.Array
    steps: jax.Array


class Counter(Optimizer):
    """Changes nothing but counts how often it is told of a new objective, and how many steps it
    takes.
    """

    name: str = eqx.field(static=True, default="")

    def init(self, params):
        return CounterState(jnp.zeros((), int), jnp.zeros((), int))

    def start(self, objective, params, state):
        return CounterState(state.starts + 1, state.steps)

    def update(self, objective, params, state):
        value, _ = objective(params)
        return Step(params, CounterState(state.starts, state.steps + 1), value, jnp.zeros((), bool))

    def recover(self, params, state):
        return state


def test_the_schedule_of_phases_and_point_sets():
    collocation = po.Collocation(interior=32, every=60, refinement=None)
    training, params = training_of(
        Decay(), po.Phase(Counter("a"), 100), po.Phase(Counter("b"), 110), collocation=collocation
    )
    outcome = training.run(training.init(params))
    assert outcome.status == "finished" and int(outcome.state.step) == 210 == training.total_steps
    assert int(outcome.state.draws) == 4  # at 0, 60, 120, 180
    assert int(outcome.state.optimizer.steps) == 110
    assert (
        int(outcome.state.optimizer.starts) == 3
    )  # at 100 (a new optimizer), 120, 180 (new points)
    steps = [report.step for report in outcome.history]
    assert steps == sorted(set(steps)) and {60, 100, 120, 180, 210} <= set(steps)
    assert all(report.total_steps == 210 for report in outcome.history)


def test_points_stay_when_told_to():
    training, params = training_of(Decay(), po.Phase(Counter(), 120))
    first = training.init(params)
    outcome = training.run(first)
    assert np.array_equal(outcome.state.points[INTERIOR].at, first.points[INTERIOR].at)
    assert int(outcome.state.optimizer.starts) == 1


def test_history_has_every_term_and_callbacks_see_it():
    seen = []
    training, params = training_of(
        Everywhere(), po.Phase(SSBroyden(), 60), measure=lambda params: {"u": 0.5}
    )
    outcome = training.run(training.init(params), callbacks=[seen.append])
    assert seen == outcome.history
    for report in seen:
        assert set(report.terms) == {"heat", "initial u", "dirichlet u on x_min", "observed u"}
        assert report.loss == pytest.approx(sum(report.terms.values()))
        assert report.errors == {"u": 0.5} and report.phase == "SSBroyden"
    assert seen[-1].loss < seen[0].loss
    assert [report.seconds for report in seen] == sorted(report.seconds for report in seen)
    # The last row is about the parameters that are returned.
    state = outcome.state
    there = training.model.terms(state.params, state.points, state.weighting.weights)
    assert {name: float(value) for name, value in there.items()} == pytest.approx(seen[-1].terms)


def test_a_callback_that_returns_true_ends_training():
    training, params = training_of(Decay(), po.Phase(Counter(), 500))
    outcome = training.run(
        training.init(params), callbacks=[lambda report: report.step >= 120, lambda report: None]
    )
    assert outcome.status == "stopped" and 120 <= int(outcome.state.step) < 200


def test_time_is_a_budget():
    training, params = training_of(Decay(), po.Phase(Counter(), 10**8))
    outcome = training.run(training.init(params), minutes=1e-9)
    assert outcome.status == "out of time" and 0 < int(outcome.state.step) <= 100


def test_stop_at():
    def report(**errors):
        return po.Report(1, 2, "", 0.0, {}, errors, {}, 0.0)

    stop = po.StopAt(1e-3)
    assert stop(report(u=1e-3, v=1e-4))
    assert (
        not stop(report(u=1e-4, v=1e-2)) and not stop(report()) and not stop(report(u=float("nan")))
    )
    with pytest.raises(
        ValueError, match="relative_l2 must be a finite number greater than 0, got 0"
    ):
        po.StopAt(0.0)


class Faulty(Optimizer):
    """Adam that makes NaN at its 70th step until it has been recovered ``tries`` times."""

    tries: int = eqx.field(static=True)

    def init(self, params):
        return (jnp.zeros((), int), jnp.zeros((), int))

    def start(self, objective, params, state):
        return state

    def update(self, objective, params, state):
        value, gradient = objective(params)
        steps, recoveries = state
        bad = (steps == 70) & (recoveries < self.tries)
        params = jax.tree.map(lambda p, g: jnp.where(bad, jnp.nan, p - 1e-3 * g), params, gradient)
        return Step(params, (steps + 1, recoveries), value, jnp.zeros((), bool))

    def recover(self, params, state):
        return (state[0], state[1] + 1)


def finite(tree):
    return all(
        np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(tree) if eqx.is_inexact_array(leaf)
    )


def test_a_loss_that_is_not_finite_is_undone_and_tried_again():
    seen = []
    training, params = training_of(Decay(), po.Phase(Faulty(2), 150))
    outcome = training.run(training.init(params), callbacks=[seen.append])
    messages = [report.message for report in seen if report.message]
    assert messages == [f"the loss was not finite: back to step 50, try {k} of 3" for k in (1, 2)]
    assert outcome.status == "finished" and int(outcome.state.step) == 150
    assert int(outcome.state.draws) == 3  # other points at each try
    assert int(outcome.state.optimizer[1]) == 2 and finite(outcome.state)
    assert all(np.isfinite(report.loss) for report in outcome.history)


def test_training_that_keeps_diverging_ends_with_the_last_good_state():
    kept = []
    training, params = training_of(Decay(), po.Phase(Faulty(10), 150))
    first = training.init(params)
    outcome = training.run(first, keep=lambda states, histories: kept.append(states[0]))
    assert (
        outcome.status == "diverged" and int(outcome.state.step) == 50 == outcome.history[-1].step
    )
    assert finite(outcome.state) and eqx.tree_equal(outcome.state, kept[-1])
    assert len(kept) == 1


@pytest.mark.parametrize("rate", [1e6, 1e200])
def test_a_mad_learning_rate_never_leaves_numbers_that_are_not_finite(rate):
    training, params = training_of(Decay(), po.Phase(po.optimizers.Adam(rate), 60))
    outcome = training.run(training.init(params))
    assert outcome.status == ("finished" if rate < 1e100 else "diverged")
    assert finite(outcome.state)


class Stuck(Optimizer):
    """An optimizer for which nothing decreases the loss any more."""

    def init(self, params):
        return jnp.zeros((), int)

    def start(self, objective, params, state):
        return state

    def update(self, objective, params, state):
        return Step(params, state + 1, objective(params)[0], jnp.ones((), bool))

    def recover(self, params, state):
        return state


def test_training_that_stalls_draws_once_more_and_then_has_converged():
    training, params = training_of(Decay(), po.Phase(Stuck(), 1000))
    outcome = training.run(training.init(params))
    assert outcome.status == "converged" and int(outcome.state.step) == 2
    assert int(outcome.state.draws) == 3


@pytest.mark.slow
def test_training_goes_on_from_any_state_as_if_it_had_not_stopped():
    """Also from a step that is not the end of a stretch: where training pauses does not show in its
    numbers.
    """
    collocation = po.Collocation(interior=64, every=60)
    phases = po.Phase(optax.adam(1e-2), 70), po.Phase(SSBroyden(), 80)
    training, params = training_of(Decay(), *phases, collocation=collocation)
    whole = training.run(training.init(params)).state
    for pause in (30, 60, 70, 115, 120):
        done, parts = 0, []
        for phase in phases:
            parts.append(min(phase.steps, max(pause - done, 0)))
            done += phase.steps
        short = dataclasses.replace(
            training,
            phases=tuple(
                po.Phase(phase.optimizer, n) for phase, n in zip(phases, parts, strict=True) if n
            ),
        )
        state = short.run(short.init(params)).state
        if pause == 70:  # the short training does not know of the next optimizer
            state = dataclasses.replace(
                state, optimizer=phases[1].optimizer.init(params), changed=jnp.ones((), bool)
            )
        assert int(state.step) == pause
        assert eqx.tree_equal(training.run(state).state, whole), f"differs after a pause at {pause}"


def test_coefficients_are_trained_in_their_own_unit():
    class Rates(po.Problem):
        domain = po.Box(t=(0, 1))
        rate: float = po.positive(0.02)
        drift: float = -30.0
        source: float = 0.0

        def residual(self, u, u_t):
            return u_t + self.rate * u + self.drift + self.source

    observed = po.Observed({"t": [0.5]}, {"u": [1.0]})
    names = ("rate", "drift", "source")
    training, params = training_of(
        InverseProblem(Rates(), observed, names), po.Phase(SSBroyden(), 1)
    )

    def value(shift):
        return {
            name: float(value)
            for name, value in training.model.coefficients(
                dataclasses.replace(
                    params, coefficients={name: jnp.asarray(shift) for name in names}
                )
            ).items()
        }

    assert value(0.0) == {"rate": 0.02, "drift": -30.0, "source": 0.0}
    # A coefficient that starts at zero has the size of its neighbour, half the constant -30.
    size = float(training.model.scales.coefficients["source"])
    assert 10 < size < 30
    assert value(1.0) == pytest.approx({"rate": 0.02 * np.e, "drift": 0.0, "source": size})
    assert value(-100.0)["rate"] > 0  # whatever the optimizer does


def test_nothing_is_compiled_again_for_other_numbers(caplog):
    collocation = po.Collocation(interior=64, every=20)

    def run(problem, seed):
        training, params = training_of(
            problem, po.Phase(SSBroyden(), 60), collocation=collocation, seed=seed
        )
        training.run(training.init(params))

    run(Decay(), 0)
    with jax.log_compiles(True), caplog.at_level(logging.DEBUG, logger="jax"):
        run(Decay(rate=2.5, shift=0.1), 0)
        run(Decay(), 7)
        compiled = [
            record.getMessage() for record in caplog.records if "Compiling" in record.getMessage()
        ]
    assert not [
        message for message in compiled if "_on_mesh" in message or "interior_score" in message
    ], compiled


@pytest.mark.slow
def test_single_precision_stays_single_precision():
    with jax.enable_x64(False):
        training, params = training_of(
            Decay(), po.Phase(SSBroyden(), 60), collocation=po.Collocation(interior=64, every=40)
        )
        state = training.run(training.init(params)).state
    dtypes = {leaf.dtype for leaf in jax.tree.leaves((state.params, state.optimizer, state.points))}
    assert np.dtype(np.float64) not in dtypes and np.dtype(np.float32) in dtypes


def test_a_phase_says_what_is_wrong_with_it():
    assert isinstance(po.Phase(optax.adam(1e-3), 10).optimizer, Optimizer)
    with pytest.raises(ValueError, match="steps must be a whole number from 1 to"):
        po.Phase(SSBroyden(), 0)
    with pytest.raises(TypeError, match="optax transformation"):
        po.Phase("adam", 10)


@pytest.mark.slow
def test_few_programs_are_compiled_and_their_time_is_counted():
    programs, seconds = [], []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            programs.append(event)
            seconds.append(duration)

    jax.clear_caches()
    jax.monitoring.register_event_duration_secs_listener(listen)
    solution = po.solve(
        Decay(), steps=310, points=po.Collocation(interior=64, every=0), progress=False
    )
    # Two optimizers with a state each, points, scores, weights, keys, the network, sizes, faces,
    # the first residual, and three that place a number.
    assert len(programs) <= 22
    assert sum(seconds) <= solution.compile_seconds <= solution.seconds


def test_time_of_nested_compilations_counts_once(monkeypatch):
    from pinops.training import _compilation

    recorder, now = _compilation._Recorder(), [0.0]
    monkeypatch.setattr(_compilation.time, "monotonic", lambda: now[0])
    for at, duration in ((2.0, 0.5), (3.0, 0.5), (4.0, 3.0), (6.0, 1.0)):
        now[0] = at  # the third began at 1 and holds the first two
        recorder("/jax/core/compile/jaxpr_trace_duration", duration)
        recorder("/jax/another/event", 100.0)
    assert recorder.seconds == 4.0


def test_every_number_of_steps_that_can_be_asked_for_is_shown():
    """Only a training that nothing but time ends has no number of them."""
    most = 10**8
    for total in (50, 10**6, 10**7, most, 20 * most):
        report = Report(50, total, "Adam", 1.0, {"residual": 1.0}, {}, {}, 1.0)
        assert describe(report, None).startswith(f"Adam 50/{total} ")
    for plan in (phases(None, None, UNLIMITED), phases(SSBroyden(), None, UNLIMITED)):
        total = sum(phase.steps for phase in plan)
        report = Report(50, total, "Adam", 1.0, {"residual": 1.0}, {}, {}, 1.0)
        assert describe(report, None, 0.5).startswith("Adam 50 steps (50 % of the time)")


def test_the_first_reports_of_a_phase_do_not_count_as_its_pace(monkeypatch):
    """They compile: a learning rate that took them for steps fell to zero within the next ones."""
    now = [100.0]
    monkeypatch.setattr(_clock.time, "monotonic", lambda: now[0])
    clock = _clock.Clock(200.0)
    now[0] = 110.0  # steps are compiled
    clock.note(0, 10.0, 1)
    now[0] = 150.0  # and reports
    clock.settled(0)
    assert clock.expected(0) is None and clock.fitting(0, 50) == 1
    now[0] = 151.0
    clock.note(0, 0.5, 1)
    clock.settled(0)
    assert clock.expected(0) == 49 and clock.fitting(0, 1000) == 98
