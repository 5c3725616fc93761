"""How terms and points are balanced."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.losses import (
    NTK,
    Causal,
    Fixed,
    GradientNorm,
    ReLoBRaLo,
    ResidualAttention,
    SelfAdaptive,
    Term,
)
from pinops.networks import embedding_of
from pinops.optimizers import Adam, SSBroyden
from pinops.problem import INTERIOR, impose, scales_of
from pinops.training import Training, split

ALL = [
    GradientNorm(every=10),
    NTK(every=10),
    ReLoBRaLo(),
    SelfAdaptive(learning_rate=0.1),
    ResidualAttention(),
    Causal(every=10),
]


def name_of(weighting):
    return type(weighting).__name__


@pytest.fixture(autouse=True)
def precision(float64):
    """Gradients are compared closely."""


class Heat(po.Problem):
    """u_t = u_xx with conditions as loss terms."""

    domain = po.Box(x=(0, 1), t=(0, 2))

    def residual(self, u_t, u_xx):
        return u_t - u_xx

    def conditions(self):
        return po.Initial(lambda x: jnp.sin(jnp.pi * x), soft=True), po.Dirichlet(
            0.0, on="x", soft=True
        )


TERMS = ("residual", "initial u", "dirichlet u on x")


def training_of(weighting, *phases, every=0, interior=64):
    problem = Heat()
    imposition = impose(problem)
    size = embedding_of(problem, imposition).size
    network = po.networks.MLP(width=6, depth=2).build(size, 1, key=jax.random.key(0))
    model, params = split(problem, network, imposition, scales_of(problem, imposition), "Heat")
    collocation = po.Collocation(interior=interior, boundary=16, initial=16, every=every)
    return Training(
        model, phases or (po.Phase(Adam(1e-2), 100),), collocation, 0, weighting
    ), params


def gradient(training, params, points, weights):
    flat = jax.flatten_util.ravel_pytree(training.model.objective(points, weights)(params)[1])[0]
    return flat / jnp.linalg.norm(flat)


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ALL, ids=name_of)
def test_weights_change_the_gradient_and_go_on_changing(weighting):
    training, params = training_of(weighting)
    start = training.init(params)
    later = training.run(start).state
    plain = {name: jnp.ones(1) for name in start.weighting.weights}
    directions = [
        gradient(training, later.params, later.points, weights)
        for weights in (plain, start.weighting.weights, later.weighting.weights)
    ]
    at_once = name_of(weighting) in (
        "GradientNorm",
        "NTK",
        "ResidualAttention",
        "Causal",
    )  # the others start from ones
    assert (float(directions[0] @ directions[1]) < 0.9999) == at_once
    assert (
        float(directions[0] @ directions[2]) < 0.9999
        and float(directions[1] @ directions[2]) < 0.999999
    )


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ALL, ids=name_of)
def test_where_training_pauses_does_not_show(weighting):
    """Stretches of 50 steps, of other lengths, and an update in the middle of a stretch: the same
    state, bit for bit.
    """
    weighting = dataclasses.replace(weighting, every=7)
    training, params = training_of(
        weighting, po.Phase(Adam(1e-2), 40), po.Phase(SSBroyden(), 45), every=30
    )
    whole = training.run(training.init(params)).state
    state = training.init(params)
    for pause in (13, 33, 61, 85):
        until = dataclasses.replace(
            training, phases=(training.phases[0], po.Phase(SSBroyden(), max(1, pause - 40)))
        )
        until = (
            until
            if pause > 40
            else dataclasses.replace(training, phases=(po.Phase(Adam(1e-2), pause),))
        )
        state = until.run(state).state
        if pause == 33:  # the phase is not over
            continue
    assert eqx.tree_equal(whole, state)


def test_gradient_norms_are_equal_once_weighed():
    training, params = training_of(GradientNorm())
    state = training.init(params)
    lengths = []
    for name in TERMS:
        weights = {other: state.weighting.weights[other] * (other == name) for other in TERMS}
        _, back = training.model.objective(state.points, weights)(params)
        lengths.append(float(jnp.linalg.norm(jax.flatten_util.ravel_pytree(back)[0])))
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-10)


@pytest.mark.slow
def test_kernel_traces_are_those_of_the_jacobian():
    training, params = training_of(NTK())
    state = training.init(params)
    flat, unravel = jax.flatten_util.ravel_pytree(params)
    jacobians = jax.jacfwd(lambda flat: training.model.residuals(unravel(flat), state.points))(flat)
    traces = {name: np.mean(np.sum(np.square(term.vector), 1)) for name, term in jacobians.items()}
    for name in TERMS:
        assert float(state.weighting.weights[name][0]) == pytest.approx(
            sum(traces.values()) / traces[name], rel=1e-9
        )


@pytest.mark.slow
def test_a_moving_average_forgets_slowly():
    training, params = training_of(GradientNorm(decay=0.75))
    state = training.init(params)
    moved = jax.tree.map(lambda x: 1.5 * x, params)
    target = training.weighting.init(
        training.model.snapshot(moved, state.points, jax.random.key(0))
    ).weights
    new = training.weighting.update(
        state.weighting, training.model.snapshot(moved, state.points, jax.random.key(0))
    ).weights
    for name in TERMS:
        expected = 0.75 * float(state.weighting.weights[name][0]) + 0.25 * float(target[name][0])
        assert float(new[name][0]) == pytest.approx(expected)


def with_residuals(snapshot, vectors):
    """A snapshot with other residuals of some terms."""
    new = {name: Term(vector, snapshot.terms[name].region) for name, vector in vectors.items()}
    return snapshot._replace(terms={**snapshot.terms, **new})


def test_relative_balancing_favours_the_term_that_falls_least():
    training, params = training_of(ReLoBRaLo(decay=0.0, temperature=1.0))
    snapshot = training.model.snapshot(params, training.init(params).points, jax.random.key(0))
    state = training.weighting.init(snapshot)
    halved = {
        name: r * (1.0 if name == "residual" else 0.5) for name, r in snapshot.residuals.items()
    }
    weights = training.weighting.update(state, with_residuals(snapshot, halved)).weights
    expected = 3 * np.exp([1.0, 0.25, 0.25]) / np.sum(np.exp([1.0, 0.25, 0.25]))
    np.testing.assert_allclose([float(weights[name][0]) for name in TERMS], expected, rtol=1e-12)


def test_multipliers_ascend_where_the_residual_is_large():
    training, params = training_of(SelfAdaptive(learning_rate=0.1))
    state = training.init(params)
    r = np.array([0.0, 1.0, -2.0])
    snapshot = training.model.snapshot(params, state.points, jax.random.key(0))
    snapshot = snapshot._replace(terms={"residual": Term(jnp.asarray(r), INTERIOR)})
    weighting = training.weighting.init(snapshot)
    for _ in range(3):
        weighting = training.weighting.update(weighting, snapshot)
    assert float(weighting.weights["residual"][0]) == 1.0  # an equation that is met there
    assert np.all(np.asarray(weighting.weights["residual"][1:]) > 1.5)


def test_residual_attention_is_bounded_and_follows_the_residual():
    weighting = ResidualAttention(decay=0.9, rate=0.1)
    training, params = training_of(weighting)
    snapshot = training.model.snapshot(params, training.init(params).points, jax.random.key(0))
    state = weighting.init(snapshot)
    size = np.abs(np.asarray(snapshot.residuals["residual"]))
    np.testing.assert_allclose(state.weights["residual"], (size / size.max()) ** 2, rtol=1e-12)
    flat = with_residuals(snapshot, {"residual": jnp.ones(64)})
    for _ in range(200):
        state = weighting.update(state, flat)
    np.testing.assert_allclose(state.weights["residual"], 1.0, rtol=1e-6)
    assert float(state.weights["initial u"][0]) == 1000.0  # that of the terms


def test_causal_weights_are_causal():
    """The weight at a time falls with the residuals before it, and does not see those after it."""
    weighting = Causal(tolerance=0.5, bins=4)
    training, params = training_of(weighting, interior=256)
    state = training.init(params)
    snapshot = training.model.snapshot(params, state.points, jax.random.key(0))
    times = np.asarray(state.points[INTERIOR].at)[:, 1] / 2
    np.testing.assert_allclose(snapshot.times["residual"], times)

    def squares(r):
        return weighting.init(with_residuals(snapshot, {"residual": jnp.asarray(r)})).weights

    r = np.sqrt(np.array([1.0, 10.0, 100.0, 1000.0]))[(4 * times).astype(int)]
    weights = np.asarray(squares(r)["residual"])
    for k, earlier in enumerate([0.0, 1.0, 11.0, 111.0]):
        np.testing.assert_allclose(
            weights[(4 * times).astype(int) == k], np.exp(-0.5 * earlier), rtol=1e-12
        )
    later = np.where(times > 0.5, 7 * r, r)
    np.testing.assert_allclose(
        np.asarray(squares(later)["residual"])[times < 0.5], weights[times < 0.5]
    )
    # Once everything is small, everything counts.
    np.testing.assert_allclose(squares(1e-8 * r)["residual"], 1.0, rtol=1e-9)


def test_weights_of_points_start_again_with_new_points_and_those_of_terms_stay():
    for weighting, stays in (
        (GradientNorm(), True),
        (SelfAdaptive(), False),
        (Causal(terms=GradientNorm()), True),
    ):
        training, params = training_of(weighting)
        state = training.init(params)
        moved = eqx.tree_at(lambda s: s.params, state, jax.tree.map(lambda x: 2 * x, params))
        new = training._redraw(moved).weighting
        kept = np.array_equal(new.weights["initial u"], state.weighting.weights["initial u"])
        assert kept == (stays or name_of(weighting) == "SelfAdaptive")
        assert new.weights["residual"].shape == state.weighting.weights["residual"].shape


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: GradientNorm(every=0), "GradientNorm: every must be a whole number from 1 to"),
        (
            lambda: NTK(decay=1.0),
            "NTK: decay must be a finite number of at least 0 and less than 1, got 1.0",
        ),
        (
            lambda: ReLoBRaLo(temperature=0.0),
            "ReLoBRaLo: temperature must be a finite number greater than 0",
        ),
        (lambda: ReLoBRaLo(lookback=2.0), "ReLoBRaLo: lookback must be a number from 0 to 1"),
        (
            lambda: SelfAdaptive(learning_rate=-1.0),
            "SelfAdaptive: learning_rate must be a finite number greater than 0",
        ),
        (
            lambda: ResidualAttention(decay=1.5),
            "ResidualAttention: decay must be a finite number of at least 0",
        ),
        (
            lambda: ResidualAttention(rate=0.0),
            "ResidualAttention: rate must be a finite number greater than 0",
        ),
        (lambda: Causal(tolerance=0.0), "Causal: tolerance must be a finite number greater than 0"),
        (lambda: Causal(bins=1), "Causal: bins must be a whole number from 2 to 1000000, got 1"),
    ],
)
def test_settings_out_of_range_are_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_causal_needs_time():
    with pytest.raises(
        ValueError, match="Causal: the problem has no time coordinate; choose another weighting"
    ):
        po.solve("poisson", weighting=Causal(), steps=1, progress=False)


def test_names_of_terms_are_checked_inside():
    with pytest.raises(ValueError, match="there is no term 'bounds'"):
        po.solve(Heat(), weighting=Causal(terms=Fixed({"bounds": 2.0})), steps=1, progress=False)
