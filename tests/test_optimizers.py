"""Optimizers, by what the mathematics promises of each step and of where they end."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from paths import path

from pinops import optimizers
from pinops.optimizers import (
    SOAP,
    SSBFGS,
    Adam,
    GaussNewton,
    LeastSquares,
    Only,
    Optax,
    SSBroyden,
    as_optimizer,
    strong_wolfe,
)
from pinops.optimizers._quasi_newton import InverseHessian

DECREASE, CURVATURE = 1e-4, 0.9

# One-dimensional functions of the step a >= 0 that decrease at 0.
LINES = {
    "at once": lambda a: (a - 1) ** 2,
    "a thousand times farther": lambda a: 1e-6 * (a - 1000) ** 2,
    "a million times farther": lambda a: -jnp.log1p(a) + 1e-6 * a,
    "ten thousand times nearer": lambda a: 1e4 * (a - 1e-4) ** 2,
    "flat quartic": lambda a: (a - 3) ** 4,
    "wavy": lambda a: (a - 4) ** 2 / 10 + jnp.sin(5 * a) / 2 - 3 * a,
    "NaN beyond one tenth": lambda a: -jnp.log(0.1 - a) - 20 * a,
    "infinite beyond one hundredth": lambda a: jnp.where(a < 0.01, (a - 0.005) ** 2, jnp.inf),
    "overflows": lambda a: jnp.exp(2000 * a) - 5000 * a,
    "kink": lambda a: jnp.abs(a - 0.3) + 0.6 * (a - 0.3) ** 2 - 0.5 * a,
    "narrow valley": lambda a: -jnp.exp(-1e6 * (a - 2e-3) ** 2) - 1e-2 * a + a**2,
}


@pytest.fixture(autouse=True)
def precision(float64):
    """Double precision for the whole room, except for tests that ask for float32."""


def search(function, **options):
    objective = jax.value_and_grad(lambda x: function(x[0]))
    x, direction = jnp.zeros(1), jnp.ones(1)
    value, gradient = objective(x)
    found = jax.jit(lambda x: strong_wolfe(objective, x, direction, value, gradient, **options))(x)

    def at(length):
        return tuple(float(np.squeeze(part)) for part in objective(length[None]))

    return float(value), float(gradient[0]), jax.device_get(found), at


@pytest.mark.parametrize("first", [1.0, 1e-3])
@pytest.mark.parametrize("name", LINES)
def test_the_returned_step_satisfies_both_wolfe_conditions(name, first):
    value, slope, found, at = search(LINES[name], first=first, max_evaluations=60)
    assert found.decreased and found.length > 0
    there, gradient = at(found.length)
    rounding = 1e-14 * (1 + abs(value))
    assert found.value == pytest.approx(there, rel=1e-12) and found.gradient[0] == pytest.approx(
        gradient, rel=1e-9
    )
    assert there <= value + DECREASE * found.length * slope + rounding
    if (
        name != "kink"
    ):  # there the slope jumps from below -0.9 to above 0.9 times the first one; decrease must do
        assert abs(gradient) <= CURVATURE * abs(slope) + 1e-12


def test_growing_and_shrinking_takes_few_evaluations():
    """Interpolation, not bisection: a factor of 1000 in ten evaluations."""
    assert search(LINES["a thousand times farther"])[2].evaluations <= 10
    assert search(LINES["ten thousand times nearer"])[2].evaluations <= 10
    assert search(LINES["at once"])[2].evaluations == 1


def test_a_search_that_finds_no_decrease_stays_where_it_is():
    value, slope, found, _ = search(lambda a: jnp.where(a > 0, 1 + a, -1e-3 * a))
    assert not found.decreased and found.length == 0
    assert found.value == value and found.gradient[0] == slope
    assert found.evaluations == 25


def test_a_search_cut_short_returns_its_best_decrease():
    value, _, found, at = search(LINES["a thousand times farther"], max_evaluations=3)
    assert found.decreased and found.evaluations == 3
    assert at(found.length)[0] == found.value < value


def minimise(function, x, steps, optimizer=None):
    return path(jax.value_and_grad(function), x, steps, optimizer or SSBroyden())


def rosenbrock(x):
    """A sum of squares with a curved valley; minimum 0 at (1, ..., 1) (Rosenbrock 1960)."""
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def dense(inverse_hessians):
    """The matrices of a path of states."""
    return np.asarray(jax.vmap(lambda h: h.dense())(jax.tree.map(jnp.asarray, inverse_hessians)))


# The usual start (-1.2, 1, ...) may lead to the other minimum of more than three variables.
FAR = np.zeros(10)


@pytest.fixture(scope="module", params=[SSBroyden(), SSBFGS()], ids=["ssbroyden", "ssbfgs"])
def valley(request):
    with jax.enable_x64(True):
        return minimise(rosenbrock, jnp.asarray(FAR), 200, request.param)


def test_convergence_is_superlinear(valley):
    """Ten steps gain one digit, then three, then all: linear convergence would gain the same each
    time.
    """
    error = np.linalg.norm(np.asarray(valley.params) - 1, axis=1)
    first = np.flatnonzero(error < 1e-2)[0]
    assert error[min(first + 40, 199)] < 1e-10
    assert error[-1] < 1e-12


def test_every_step_decreases(valley):
    values = np.asarray(valley.value)
    assert np.all(np.diff(values) <= 4e-16 * values[:-1])


def test_the_inverse_hessian_stays_symmetric_and_positive_definite(valley):
    h = dense(valley.state.inverse_hessian)[
        np.linalg.norm(valley.params - 1, axis=1) > 1e-8
    ]  # then round-off takes over
    assert len(h) > 50
    asymmetry = np.linalg.norm(h - h.transpose(0, 2, 1), axis=(1, 2)) / np.linalg.norm(
        h, axis=(1, 2)
    )
    assert np.max(asymmetry) < 1e-9
    assert np.all(np.linalg.eigvalsh(h) > 0)


@pytest.mark.parametrize("size", [3, 300])
def test_corrections_that_wait_are_those_of_the_dense_formula(size):
    """Forty corrections of rank two, written into the matrix every sixteen, and then a restart."""
    rng = np.random.default_rng(0)
    h, expected = InverseHessian.identity(jnp.zeros(size)), np.eye(size)
    corrected = jax.jit(InverseHessian.corrected)
    for k in range(40):
        pair, middle, tau = (
            rng.standard_normal((2, size)),
            np.diag(rng.uniform(0.1, 1, 2)),
            rng.uniform(0.5, 1),
        )
        h = corrected(
            h, jnp.asarray(tau), jnp.asarray(pair), jnp.asarray(middle), jnp.zeros((), bool)
        )
        expected = expected / tau + pair.T @ middle @ pair
        assert int(h.pending) == (k + 1) % 16
        vector = rng.standard_normal(size)
        np.testing.assert_allclose(
            h @ jnp.asarray(vector),
            expected @ vector,
            rtol=1e-10,
            atol=1e-10 * np.linalg.norm(expected),
        )
    np.testing.assert_allclose(
        h.dense(), expected, rtol=1e-10, atol=1e-10 * np.linalg.norm(expected)
    )
    h = corrected(h, jnp.ones(()), jnp.asarray(pair), jnp.asarray(middle), jnp.ones((), bool))
    assert int(h.pending) == 0 and np.array_equal(h.dense(), np.eye(size))


@pytest.mark.parametrize("optimizer", [SSBroyden(), SSBFGS()], ids=["ssbroyden", "ssbfgs"])
def test_the_inverse_hessian_is_found_on_a_quadratic(optimizer):
    """Near the minimum of a quadratic the steps become Newton's: H g is close to the distance to
    it.
    """
    scale = np.logspace(0, 2, 6)
    path = minimise(
        lambda x: 1.0 + 0.5 * jnp.sum(scale * (x - 1) ** 2), jnp.zeros(6), 60, optimizer
    )
    error = np.linalg.norm(np.asarray(path.params) - 1, axis=1)
    assert error[-1] < 1e-7
    k = np.flatnonzero(error > 1e-4)[-1]  # the last state that is still away from the minimum
    newton = dense(path.state.inverse_hessian)[k] @ path.state.gradient[k]
    assert np.linalg.norm(path.params[k] - 1 - newton) < 0.5 * error[k]


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_the_minimum_is_found_whatever_the_unit_of_the_objective(scale):
    path = minimise(lambda x: scale * rosenbrock(x), jnp.asarray(FAR), 200)
    assert path.params[-1] == pytest.approx(np.ones(10), abs=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1.0])
def test_at_the_minimum_it_stalls(offset):
    scale = np.logspace(0, 2, 6)
    path = minimise(lambda x: offset + 0.5 * jnp.sum(scale * (x - 1) ** 2), jnp.zeros(6), 60)
    stalled = np.flatnonzero(path.stalled)
    assert stalled.size and np.linalg.norm(path.params[stalled[0]] - 1) < 1e-7
    assert not np.any(
        np.asarray(path.stalled)[np.linalg.norm(np.asarray(path.params) - 1, axis=1) > 1e-6]
    )
    assert np.all(np.isfinite(path.params))


def test_no_update_where_the_curvature_is_not_positive():
    """One evaluation of a function that curves downward: the step decreases, but y's < 0."""
    optimizer = SSBroyden(max_evaluations=1)
    objective = jax.value_and_grad(lambda x: jnp.sum(jnp.cos(x)))
    x = jnp.asarray([0.1, 0.2])
    step = optimizer.update(objective, x, optimizer.start(objective, x, optimizer.init(x)))
    assert objective(step.params)[0] < step.value
    assert (step.params - x) @ (step.state.gradient - objective(x)[1]) < 0
    assert np.array_equal(step.state.inverse_hessian.dense(), np.eye(2))
    assert not step.stalled


def test_a_failed_search_starts_again_from_the_identity_and_then_stalls():
    optimizer, objective = SSBroyden(), jax.value_and_grad(rosenbrock)
    x = jnp.asarray(FAR)
    state = optimizer.start(objective, x, optimizer.init(x))
    for _ in range(3):
        step = optimizer.update(objective, x, state)
        x, state = step.params, step.state
    assert not np.allclose(state.inverse_hessian.dense(), np.eye(10))

    def wrong(x):
        return (
            objective(x)[0] + 1e6,
            objective(x)[1],
        )  # nothing is as low as the value that it remembers

    first = optimizer.update(wrong, x, state)
    assert np.array_equal(first.params, x) and np.array_equal(
        first.state.inverse_hessian.dense(), np.eye(10)
    )
    assert not first.stalled and np.array_equal(first.state.direction, -state.gradient)
    second = optimizer.update(wrong, first.params, first.state)
    assert second.stalled and np.array_equal(second.params, x)


def test_a_new_objective_keeps_the_inverse_hessian_and_refreshes_the_rest(valley):
    optimizer, x = SSBroyden(), valley.params[60]
    state = jax.tree.map(lambda a: jnp.asarray(a[60]), valley.state)
    objective = jax.value_and_grad(lambda x: rosenbrock(x) + 0.1 * jnp.sum(x))
    new = optimizer.start(objective, x, state)
    value, gradient = objective(x)
    assert np.array_equal(new.inverse_hessian.dense(), state.inverse_hessian.dense())
    assert new.value == value and np.array_equal(new.gradient, gradient)
    assert np.asarray(new.direction) == pytest.approx(
        np.asarray(-(state.inverse_hessian @ gradient)), rel=1e-12
    )
    assert new.direction @ gradient < 0


def test_parameters_may_be_any_tree():
    def function(p):
        return jnp.sum((p["a"] - 1) ** 2) + 3 * jnp.sum((p["b"] + 2) ** 2)

    path = minimise(function, {"a": jnp.zeros((2, 2)), "b": jnp.zeros(3)}, 20)
    assert path.params["a"][-1] == pytest.approx(np.ones((2, 2)), abs=1e-8)
    assert path.params["b"][-1] == pytest.approx(-2 * np.ones(3), abs=1e-8)


def test_single_precision_stays_single_precision():
    with jax.enable_x64(False):
        x = jnp.asarray(FAR, jnp.float32)
        for optimizer in (SSBroyden(), Adam(1e-2, 50)):
            path = minimise(rosenbrock, x - 1, 50, optimizer)
            assert {leaf.dtype for leaf in jax.tree.leaves(path.params)} == {np.dtype(np.float32)}
            assert path.value[-1] < 0.6 * path.value[0]
        assert minimise(rosenbrock, x, 200).params[-1] == pytest.approx(np.ones(10), abs=2e-2)


PLAIN = {
    "adam": optax.adam(1e-2),
    "momentum": optax.sgd(1e-4, momentum=0.9),
    "schedule": optax.adamw(optax.exponential_decay(1e-2, 10, 0.5)),
    "lbfgs": optax.lbfgs(),
}


@pytest.mark.parametrize("name", PLAIN)
def test_the_adapter_is_plain_optax_step_for_step(name):
    transformation = optax.with_extra_args_support(PLAIN[name])
    objective = jax.value_and_grad(rosenbrock)

    @jax.jit
    def plain(x, state):
        value, gradient = objective(x)
        updates, state = transformation.update(
            gradient, state, x, value=value, grad=gradient, value_fn=rosenbrock
        )
        return optax.apply_updates(x, updates), state

    path = minimise(rosenbrock, jnp.asarray(FAR), 12, as_optimizer(PLAIN[name]))
    x, state = jnp.asarray(FAR), transformation.init(jnp.asarray(FAR))
    for k in range(12):
        x, state = plain(x, state)
        assert path.params[k] == pytest.approx(np.asarray(x), rel=1e-12)
    assert not np.any(path.stalled)


def test_lbfgs_minimises():
    path = minimise(rosenbrock, jnp.asarray(FAR), 120, as_optimizer(optax.lbfgs()))
    assert path.params[-1] == pytest.approx(np.ones(10), abs=1e-6)


def test_adam_is_optax_with_a_cosine_to_zero():
    mine = minimise(rosenbrock, jnp.asarray(FAR), 20, Adam(1e-2, 20))
    theirs = minimise(
        rosenbrock, jnp.asarray(FAR), 20, Optax(optax.adam(optax.cosine_decay_schedule(1e-2, 20)))
    )
    assert np.array_equal(mine.params, theirs.params)
    assert np.max(np.abs(np.diff(mine.params[-2:], axis=0))) < 1e-4  # the last step is small


def test_recovery_clears_the_moments_and_halves_the_step():
    optimizer, objective = Adam(1e-2), jax.value_and_grad(rosenbrock)
    x = jnp.asarray(FAR)
    used = optimizer.update(objective, x, optimizer.init(x)).state
    fresh = optimizer.update(objective, x, optimizer.init(x)).params - x
    for power in (1, 2, 3):
        used = optimizer.recover(x, used)
        step = np.asarray(optimizer.update(objective, x, used).params - x)
        assert step == pytest.approx(np.asarray(fresh) / 2**power, rel=1e-9)


def test_recovery_of_a_quasi_newton_method_forgets_its_curvature(valley):
    state = jax.tree.map(lambda a: a[100], valley.state)
    assert np.array_equal(
        SSBroyden().recover(valley.params[100], state).inverse_hessian.dense(), np.eye(10)
    )


def test_a_matrix_that_would_not_fit_is_refused():
    with pytest.raises(
        ValueError,
        match=r"a matrix of 100000 x 100000 numbers, 75 GiB; above 30000 parameters take",
    ):
        SSBroyden().init(jnp.zeros(100_000))
    with pytest.raises(
        ValueError, match="max_evaluations must be a whole number from 1 to 1000, got 0"
    ):
        SSBroyden(max_evaluations=0)


@pytest.mark.parametrize("wrong", ["adam", 1e-3, optax.adam, None])
def test_what_is_no_optimizer_is_refused(wrong):
    with pytest.raises(TypeError, match=r"pinops\.optimizers or an optax transformation"):
        as_optimizer(wrong)


@pytest.mark.parametrize("rate", [0.0, -1e-3, float("nan")])
def test_a_learning_rate_is_positive(rate):
    with pytest.raises(ValueError, match="learning_rate must be a finite number greater than 0"):
        Adam(rate)


def quadratic_in_a_matrix(rotation):
    """Badly scaled along directions that are not the axes."""
    scale = jnp.asarray(np.logspace(0, 3, 6))
    return lambda w: jnp.sum(scale[:, None] * jnp.square(rotation.T @ (w - 1.0)))


def test_soap_finds_the_directions_that_adam_cannot_see():
    """In the eigenbasis the problem is diagonal: a rotation costs SOAP nothing and Adam much."""
    rotation = jnp.asarray(np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0])

    def end(optimizer, rotation):
        return float(
            minimise(
                quadratic_in_a_matrix(rotation), jnp.zeros((6, 4)), 400, as_optimizer(optimizer)
            ).value[-1]
        )

    turned, straight = end(SOAP(0.05), rotation), end(SOAP(0.05), jnp.eye(6))
    assert turned == pytest.approx(straight, rel=0.5)
    assert turned < 0.1 * end(optax.adam(0.05), rotation)


def test_soap_takes_parameters_of_any_shape_and_its_first_step_only_gathers():
    params = {"scalar": jnp.zeros(()), "vector": jnp.zeros(3), "cube": jnp.zeros((2, 3, 4))}
    transformation = SOAP(0.1, every=2).transformation()
    state = transformation.init(params)
    ones = jax.tree.map(jnp.ones_like, params)
    updates, state = transformation.update(ones, state)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(updates))
    for _ in range(5):
        updates, state = transformation.update(ones, state)
    assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, params)
    assert all(np.all(leaf < 0) for leaf in jax.tree.leaves(updates))
    assert all(
        np.all(leaf == 0)
        for leaf in jax.tree.leaves(
            SOAP(0.1, decay_steps=3).transformation().update(ones, state)[0]
        )
    )  # five are done
    for wrong in ({"learning_rate": 0.0}, {"every": 0}, {"decay_steps": -1}):
        with pytest.raises(ValueError, match="SOAP: "):
            SOAP(**wrong)


@pytest.mark.parametrize(
    "inner",
    [Adam(1e-2), SSBroyden(), GaussNewton(), optax.adam(1e-2)],
    ids=lambda o: type(o).__name__,
)
def test_only_some_parameters_are_trained_as_if_the_others_were_constants(inner, float64):
    matrix = jax.random.normal(jax.random.key(0), (20, 6))
    both = LeastSquares.of(lambda p: matrix @ jnp.concatenate([p["a"], p["b"]]) - 1.0)
    start = {"a": jnp.ones(2), "b": jnp.arange(4.0)}
    alone = LeastSquares.of(lambda b: matrix @ jnp.concatenate([start["a"], b]) - 1.0)

    def trained(optimizer, objective, params):
        state = optimizer.start(objective, params, optimizer.init(params))
        for _ in range(5):
            params, state, *_ = optimizer.update(objective, params, state)
        return params

    found = trained(Only(inner, lambda params: params["b"]), both, start)
    np.testing.assert_array_equal(found["a"], start["a"])
    np.testing.assert_allclose(
        found["b"], trained(as_optimizer(inner), alone, start["b"]), rtol=1e-9
    )
    with pytest.raises(ValueError, match="Only: the part that is to be trained has no parameters"):
        Only(inner, lambda params: params["c"]).init(start | {"c": None})


def test_optimizers_are_called_by_their_names():
    """A transformation of optax by the function that made it, as far as that can be told."""
    clipped = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    for transformation, name in (
        (optax.lion(1e-3), "lion"),
        (clipped, "adam"),
        (optax.sgd(1e-3), "sgd"),
        (optax.sgd(1e-3, momentum=0.9), "sgd"),
        (optax.lbfgs(), "lbfgs"),
        (optax.rmsprop(1e-3), "rmsprop"),
    ):
        assert optimizers.as_optimizer(transformation).name == name
    only = optimizers.Only(optimizers.SOAP(), lambda params: params)
    assert only.name == optimizers.SOAP().name == "SOAP"


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer", [Adam(0.1, 100), SOAP(0.1, 100)], ids=lambda o: type(o).__name__
)
def test_learning_rates_end_where_the_time_ends(optimizer):
    objective = jax.value_and_grad(lambda p: jnp.sum(jnp.abs(p)))
    params = jnp.full((3,), 100.0)

    def steps(state, params, count):
        moves = []
        for _ in range(count):
            step = optimizer.update(objective, params, state)
            moves.append(float(jnp.max(jnp.abs(step.params - params))))
            state, params = step.state, step.params
        return state, params, moves

    first = optimizer.init(params)
    state, there, _ = steps(first, params, 40)
    # Time for all of its steps, or more: not a bit changes.
    for enough in (60, 61, 10**9):
        same = optimizer.expecting(state, enough)
        assert float(same.pace.speed) == 1.0
    # Time for ten: they end where the schedule ends.
    state, there, _ = steps(optimizer.expecting(state, 10), there, 10)
    assert float(state.pace.position) == pytest.approx(100.0)
    assert steps(state, there, 1)[2][0] == pytest.approx(0.0, abs=1e-12)
    # And with time again after all, more slowly.
    later, there, _ = steps(optimizer.expecting(first, 10), params, 5)
    assert float(later.pace.position) == pytest.approx(50.0)
    assert float(optimizer.expecting(later, 10**6).pace.speed) == pytest.approx(50 / 95)
    assert type(optimizer)(0.1).init(params).pace is None


def test_adam_shortens_long_gradients():
    def objective(p):
        return jnp.sum(p), 1e9 * jnp.ones_like(p)

    params = jnp.ones(4)
    plain, short = Adam(0.1), Adam(0.1, largest=1.0)
    for optimizer, size in ((plain, 1e9), (short, 0.5)):
        step = optimizer.update(objective, params, optimizer.init(params))
        mu = [x for x in jax.tree.leaves(step.state.inner) if jnp.shape(x) == (4,)][0]
        np.testing.assert_allclose(mu, 0.1 * size, rtol=1e-6)
