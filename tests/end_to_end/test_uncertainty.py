"""Answers with error bars: randomised priors, samples by member, mean and spread."""

import dataclasses
import warnings
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decay import Decay

import pinops as po
from pinops.derivatives import Plan
from pinops.networks import MLP, Frozen, Prior, RandomisedPrior, embedding_of, field_of
from pinops.operators import CAPE, FNO, DeepONet, Direct, HyPINO, Transolver, with_prior
from pinops.optimizers import Adam
from pinops.problem import impose
from pinops.solvers import _request
from pinops.training import Bootstrap

QUICK = {"progress": False, "optimizer": Adam(5e-3)}
FEW = {
    "points": po.Collocation(interior=32, every=0, refinement=None),
    "optimizer": Adam(1e-2, 800),
    "progress": False,
}
X = np.linspace(0, 1, 24)


def curves(n: int = 48, seed: int = 0, low: float = -1.0, high: float = 1.0) -> po.Dataset:
    """``sin(3 a) + a x`` of one number a in (low, high)."""
    a = np.random.default_rng(seed).uniform(low, high, n)
    return po.Dataset.from_arrays(
        inputs={"a": a},
        outputs={"u": np.sin(3 * a)[:, None] + a[:, None] * X[None]},
        coordinates={"x": X},
    )


SMALL = DeepONet(branch=MLP(16, 2), trunk=MLP(16, 2), latent=16)


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """A DeepONet of curves with error bars, and its folder."""
    out = tmp_path_factory.mktemp("bars") / "run"
    trained = po.train(
        curves(), po.uncertain(SMALL, members=5), steps=600, seed=3, out=out, **QUICK
    )
    return trained, out


def test_a_call_gives_mean_and_spread_of_the_members(bars):
    trained, _ = bars
    assert isinstance(trained, po.TrainedUncertain) and len(trained) == 5
    a = np.array([-0.5, 0.1, 0.7])
    answer = trained(a, x=X)
    each = np.stack([member(a, x=X) for member in trained])
    assert isinstance(answer, po.Prediction) and answer.mean.shape == (3, 24)
    np.testing.assert_array_equal(trained.each(a, x=X), each)
    np.testing.assert_array_equal(answer.mean, each.mean(0))
    np.testing.assert_array_equal(answer.spread, each.std(0, ddof=1))


def test_the_error_is_that_of_the_mean(bars):
    trained, _ = bars
    test = curves(20, seed=1)
    rows = test.rows(range(20))
    truth = rows["values/u"]
    off = trained(rows["inputs/a"], x=X).mean - truth
    relative = np.linalg.norm(off, axis=1) / np.linalg.norm(truth, axis=1)
    found = trained.error(test)["u"]
    assert found["mean"] == pytest.approx(relative.mean(), rel=1e-4)
    assert found["worst"] == pytest.approx(relative.max(), rel=1e-4)
    assert found["mean"] < np.mean([member.error(test)["u"]["mean"] for member in trained])


def test_the_spread_grows_where_there_are_no_data_and_is_warned_of_once(bars):
    trained, _ = bars
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inside = trained(np.linspace(-0.9, 0.9, 7), x=X).spread
    with pytest.warns(UserWarning, match=r"spread of 2 of 3 samples \(1, 2\) is up to") as caught:
        outside = trained(np.array([0.0, 3.0, -3.5]), x=X).spread
    assert len(caught) == 1
    assert outside[1:].mean(1).min() > 4 * inside.mean()


def test_what_was_saved_gives_the_same(bars):
    trained, out = bars
    again = po.load(out)
    assert isinstance(again, po.TrainedUncertain) and again.limits == trained.limits
    assert again.request["uncertain"] == {"prior": 1.0, "bootstrap": 0.5}
    a = np.array([0.3])
    np.testing.assert_array_equal(again(a, x=X).spread, trained(a, x=X).spread)
    one = po.load(out / "seed_4")  # a member by itself, its prior included
    np.testing.assert_array_equal(one(a, x=X), trained[1](a, x=X))


def test_it_is_resumed_bit_for_bit(bars, tmp_path):
    trained, _ = bars
    options = {"steps": 600, "seed": 3, "out": tmp_path / "run", **QUICK}
    asked = po.uncertain(SMALL, members=5)
    po.train(curves(), asked, callbacks=[lambda report: report.step >= 100], **options)
    resumed = po.train(curves(), asked, resume=True, **options)
    for one, other in zip(resumed, trained, strict=True):
        leaves = zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True)
        assert all(np.array_equal(a, b) for a, b in leaves)


def test_members_differ_in_network_prior_and_samples(bars):
    trained, _ = bars
    found = [member.model.operator(member.params) for member in trained]
    first = [operator.operator.trunk.weights[0] for operator in found]
    priors = [operator.prior.tree.network.trunk.weights[0] for operator in found]
    for arrays in (first, priors):
        assert len({np.asarray(array).tobytes() for array in arrays}) == 5
    for one, other in zip(first, priors, strict=True):
        assert not np.array_equal(one, other)


def test_with_equal_keys_the_spread_is_that_of_the_samples_alone(monkeypatch):
    """The defect of the released code of arXiv:2309.10231: every process drew with key 0."""
    options = {"steps": 300, **QUICK}
    asked = po.uncertain(SMALL, members=3, bootstrap=0.8)
    outside = np.array([2.5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = po.train(curves(), asked, **options)(outside, x=X).spread.mean()
        drawn = _request._drawn

        def alike_drawn(build, seed, prior):
            return drawn(build, np.uint32(0), prior)

        monkeypatch.setattr(_request, "_drawn", alike_drawn)
        alike = po.train(curves(), asked, **options)
        collapsed = alike(outside, x=X).spread.mean()
    assert collapsed < 0.7 * whole


def test_the_priors_derivatives_are_those_of_the_sum():
    build = _request.Drawing(MLP(9, 2), (2, 3))
    with jax.enable_x64(True):
        network = _request.as_drawn(
            {"seed": 1, "dtype": "float64", "uncertain": {"prior": 2.0}}, build
        )
        assert isinstance(network, RandomisedPrior)
        prior = network.prior.tree
        at = jnp.asarray([[0.3, -0.4]])
        jet = network.jet(
            {(): at, (0,): np.array([[1.0, 0.0]]), (1,): np.array([[0.0, 1.0]])},
            Plan([(0, 0), (0, 1), (1, 1)]),
        )

        def total(x):
            return network.network(x) + prior.factor * (prior.network(x) - prior.centre)

        hessian = jax.hessian(total)(at[0])
        np.testing.assert_allclose(jet[()][0], total(at[0]), rtol=1e-12)
        for i, j in ((0, 0), (0, 1), (1, 1)):
            np.testing.assert_allclose(jet[i, j][0], hessian[:, i, j], rtol=1e-9)
        # Neither the prior nor its size is among what is trained.
        params = eqx.filter(network, po.networks.trainable(network))
        assert not jax.tree.leaves(params.prior)


class Bar(po.Problem):
    """u_xx = 1; at 0 a flux is imposed exactly, at 1 a value: both change the network's field."""

    domain = po.Box(x=(0, 1))

    def residual(self, u_xx):
        return u_xx - 1.0

    def conditions(self):
        return (po.Neumann(0.5, on="x_min"), po.Dirichlet(0.2, on="x_max"))


@pytest.mark.parametrize("problem", [Bar(), po.load_problem("burgers")])
def test_what_a_prior_adds_is_computed_once_for_each_set_of_points(problem):
    """And serves networks that are trained on."""
    imposition = impose(problem)
    embedded = embedding_of(problem, imposition).size
    build = _request.Drawing(MLP(7, 2), (embedded, 1))
    request = {"seed": 1, "dtype": "float64", "uncertain": {"prior": 2.0}}
    with jax.enable_x64(True):
        network = _request.as_drawn(request, build)
        later = eqx.tree_at(
            lambda n: n.network, network, MLP(7, 2).build(embedded, 1, key=jax.random.key(9))
        )
        before, after = (field_of(problem, imposition, n) for n in (network, later))
        size = len(problem.domain.coordinates)
        at, plan = jax.random.uniform(jax.random.key(0), (5, size)), Plan([(0,), (0, 0)])
        fixed = before.fixed(at, plan)
        assert jax.tree.leaves(fixed[-1])
        whole, partly = after.jet(at, plan), after.jet(at, plan, fixed)
        for index in ((), (0,), (0, 0)):
            np.testing.assert_allclose(partly[index], whole[index], rtol=1e-10, atol=1e-12)


def sized(network, prior, size, given):
    return with_prior(network, prior, size, given, jax.random.key(5))


@pytest.mark.parametrize(
    ("architecture", "given", "call"),
    [
        (FNO(8, 3, 2), (2, 1, (16,)), lambda n, z: n(z((64, 16, 2)))),
        (FNO(8, 3, 2), (1, 2, (12, 12)), lambda n, z: n(z((16, 12, 12, 1)))),
        (
            Direct(FNO(8, 3, 2)),
            (1, 1, (16,), 0),
            lambda n, z: n(z((64, 16, 1)), z((64, 1))),
        ),
        (
            CAPE(FNO(8, 3, 2), width=8, modes=2),
            (1, 1, (16,), 0),
            lambda n, z: n(z((64, 16, 1)), z((64, 1))),
        ),
        (
            Transolver(width=8, depth=1, heads=2, slices=4),
            (1, 1, 2),
            lambda n, z: n(z((64, 2)) / 2, z((64, 1)), jnp.ones(64, bool)),
        ),
    ],
)
def test_priors_are_as_large_as_the_targets(architecture, given, call):
    one, two = (architecture.build(*given, key=jax.random.key(k)) for k in (0, 1))

    def smooth(shape):
        """Constants along the grid, and a wave."""
        key = jax.random.key(9)
        level = jax.random.normal(key, (shape[0], *[1] * (len(shape) - 2), shape[-1]))
        wave = jnp.sin(jnp.linspace(0, 6, int(np.prod(shape[1:-1])))).reshape(1, *shape[1:-1], 1)
        return level + (wave if len(shape) > 2 else 0.0)

    def added(size):
        whole = call(sized(one, two, size, given), smooth)
        return np.std(np.asarray(whole - call(one, smooth)))

    assert 0.4 < added(1.0) < 2.5
    assert added(0.3) == pytest.approx(0.3 * added(1.0), rel=1e-3)


def test_bootstrap_weights_are_of_a_sample_and_have_the_mean_1():
    numbers = jnp.arange(4000)
    one, two = (Bootstrap(jax.random.key(k), 0.8) for k in (0, 1))
    weights = np.square(np.asarray(one.roots(numbers)))
    assert set(np.round(np.unique(weights), 6)) == {0.0, 1.25}
    assert weights.mean() == pytest.approx(1, abs=0.03)
    np.testing.assert_array_equal(one.roots(numbers[7:9]), one.roots(numbers)[7:9])
    assert 0.2 < np.mean(np.asarray(two.roots(numbers)) != np.asarray(one.roots(numbers))) < 0.45


def test_regression_of_one_number_is_like_that_of_a_gaussian_process():
    """The spread is small at data and grows with the distance from them."""
    at = np.array([-0.8, -0.75, -0.7, 0.1, 0.15, 0.2])
    data = po.Dataset.from_arrays(
        inputs={"a": np.repeat(at, 6)},
        outputs={"u": np.repeat(np.sin(4 * at), 6)[:, None] * np.ones((36, 2))},
        coordinates={"x": X[:2]},
    )
    trained = po.train(data, po.uncertain(SMALL, 6, bootstrap=1.0), steps=400, **QUICK)
    grid = np.linspace(-1, 1, 41)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spread = trained(grid, x=X[:2]).spread.mean(1)
    # The posterior deviation with a kernel of length 0.4 and the variance of the targets.
    kernel = np.exp(-0.5 * np.square((at[:, None] - at[None]) / 0.4)) + 1e-4 * np.eye(6)
    cross = np.exp(-0.5 * np.square((grid[:, None] - at[None]) / 0.4))
    deviation = np.sqrt(1 - np.einsum("ij,jk,ik->i", cross, np.linalg.inv(kernel), cross))
    near, far = deviation < 0.05, deviation > 0.5
    assert spread[near].max() < 0.3 * spread[far].mean()
    assert np.corrcoef(spread, deviation)[0, 1] > 0.8


def test_an_equation_leaves_no_spread_where_it_says_what_the_solution_is():
    asked = po.uncertain(MLP(8, 2), members=3)
    trained = po.solve(Decay(), network=asked, steps=800, **FEW)
    t = np.linspace(0, 1, 5)
    mean, spread = trained(t=t)
    np.testing.assert_allclose(mean, np.exp(-t), atol=5e-3)
    assert trained.error()["u"]["mean"] < 5e-3 and spread.max() < 1e-2
    before = [member.network.prior.tree.network.weights[0] for member in trained]
    assert not np.array_equal(before[0], before[1])


def test_maps_have_error_bars():
    random = np.random.default_rng(0)
    a = random.normal(size=(30, 8, 8))
    data = po.Dataset.from_arrays(
        inputs={"a": a}, outputs={"u": a**2, "v": a}, coordinates={"x": X[:8], "y": X[:8]}
    )
    trained = po.train(data, po.uncertain(FNO(4, 2, 1), 3), steps=5, **QUICK)
    answer = trained(data.rows(range(4))["inputs/a"])
    assert set(answer.mean) == set(answer.spread) == {"u", "v"}
    assert answer.spread["v"].shape == (4, 8, 8) and (answer.spread["u"] > 0).all()
    titles = [ax.get_title() for part in trained.plot(None).subfigs for ax in part.axes]
    assert any("spread of v" in title for title in titles)
    program = trained.program()
    given = {"a": jnp.asarray(a[:2], jnp.float32)}
    found = program.call(given)
    np.testing.assert_allclose(found["u_spread"], trained(a[:2]).spread["u"], rtol=1e-4)


def test_surrogates_have_error_bars():
    random = np.random.default_rng(0)
    u = np.exp(-np.linspace(0, 1, 5))[:, None] * random.normal(size=(20, 1, 8))
    steps = po.Dataset.from_arrays(
        outputs={"u": u}, coordinates={"t": np.linspace(0, 1, 5), "x": np.arange(8) / 8}, time="t"
    )
    asked = po.uncertain(Direct(FNO(4, 2, 1)), 2, prior=0.3)
    stepper = po.train(steps, asked, curriculum=po.Curriculum(1), progress=False)
    mean, spread = stepper(u[:3, 0, :, None], np.zeros((3, 0)), 4)
    assert mean.shape == spread.shape == (3, 5, 8, 1)
    assert not spread[:, 0].any() and (spread[:, 1:] > 0).all()
    titles = [ax.get_title() for part in stepper.plot(None, steps).subfigs for ax in part.axes]
    assert any("spread of u" in title for title in titles)


def test_networks_on_points_have_error_bars():
    random = np.random.default_rng(0)
    points = [random.uniform(size=(n, 2)) for n in (12, 15, 13, 14, 12, 15, 13, 14, 12, 15)]
    data = po.Dataset.from_arrays(
        outputs={"u": [np.sin(p[:, 0]) for p in points]}, coordinates=points
    )
    asked = po.uncertain(Transolver(width=8, depth=1, heads=2, slices=4), 2)
    trained = po.train(data, asked, steps=3, progress=False)
    mean, spread = trained(points[0])
    assert mean["u"].shape == (12,) and (spread["u"] > 0).all()


def test_the_next_simulations_are_far_from_the_data_and_from_each_other(bars):
    trained, _ = bars
    candidates = np.concatenate([np.linspace(-0.5, 0.5, 10), [2.0, 2.001, -2.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        chosen = po.acquire(trained, candidates, 2, x=X)
        every = po.acquire(trained, candidates, 13, x=X)
    assert set(every) == set(range(13))
    assert 12 in chosen and len({10, 11} & set(chosen)) == 1  # one of two that are nearly the same


def test_a_student_gives_the_mean(bars):
    trained, _ = bars
    inputs = {"a": np.linspace(-0.9, 0.9, 60)}
    student = po.distill(trained, inputs, SMALL, coordinates={"x": X}, steps=600, **QUICK)
    mean = trained(inputs, x=X).mean
    off = np.linalg.norm(student(inputs, x=X) - mean) / np.linalg.norm(mean)
    assert off < 0.1


def test_coefficients_have_error_bars():
    t = np.linspace(0, 1, 20)
    observed = po.Observed({"t": t}, {"u": np.exp(-1.3 * t)})
    asked = po.uncertain(MLP(8, 2), members=3, prior=0.3)
    options = {"network": asked, "steps": 800, **FEW}
    trained = po.invert(Decay(), observed, unknown="rate", **options)
    found = trained.coefficients["rate"]
    assert found.mean == pytest.approx(1.3, abs=0.1) and 0 < found.spread < 0.1


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: po.uncertain(FNO(4), members=1), "members must be a whole number from 2 to 1000"),
        (lambda: po.uncertain(FNO(4), prior=-1), "prior must be a number from 0 to 1000, got -1"),
        (lambda: po.uncertain(FNO(4), bootstrap=0), "bootstrap must be a finite number greater"),
        (lambda: po.uncertain("FNO"), "architecture must be an architecture such as FNO"),
        (lambda: po.uncertain(HyPINO()), "architecture must be an architecture such as FNO"),
        (
            lambda: po.uncertain(po.operators.PODDeepONet()),
            "PODDeepONet takes its basis from data",
        ),
        (
            lambda: po.train(curves(), po.uncertain(SMALL), ensemble=2, **QUICK),
            "ensemble and uncertain exclude each other",
        ),
        (
            lambda: po.solve(
                Decay(), network=po.uncertain(MLP(4, 1)), windows=po.TimeWindows(2), progress=False
            ),
            "windows and uncertain exclude each other",
        ),
        (
            lambda: po.solve(Decay(), network=po.uncertain(DeepONet(), 2), steps=1, progress=False),
            "network",
        ),
        (lambda: po.acquire(SimpleNamespace(), [1], 1), "SimpleNamespace has none"),
        (lambda: po.distill(SimpleNamespace(), {}, SMALL), "result of SimpleNamespace"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_a_prior_that_is_the_same_everywhere_is_refused():
    network = MLP(4, 1).build(1, 1, key=jax.random.key(0))
    flat = RandomisedPrior(network, Frozen(Prior(network, jnp.zeros(1), jnp.zeros(1))))
    with pytest.raises(ValueError, match="gives the same everywhere as it is drawn"):
        _request._check_priors(MLP(4, 1), flat)


def test_the_command_line_takes_it(tmp_path):
    from pinops.cli._objects import written

    found = written("operator", "uncertain(FNO(12), members=4)")
    assert found == po.uncertain(FNO(12), members=4)
    assert written("network", "uncertain(MLP(8), prior=0.5)").prior == 0.5


def test_a_report_says_how_it_is_repeated(bars, tmp_path):
    trained, _ = bars
    text = trained.report(tmp_path / "report.html", curves(5, seed=2)).read_text()
    assert "po.uncertain(" in text and "members=5" in text
    assert dataclasses.is_dataclass(trained)
