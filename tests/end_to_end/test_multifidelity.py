"""Two fidelities: their data, networks of columns, and networks that correct a cheap prediction."""

import sys
import warnings

import jax
import numpy as np
import pytest

import pinops as po
from pinops.cli import main
from pinops.data import Dataset, fidelity_contents
from pinops.networks import MLP
from pinops.operators import DeepONet, Direct, GridMLP
from pinops.reference import periodic_etdrk4
from pinops.solvers import _request
from pinops.solvers._multifidelity import _corrected, _steady
from pinops.training import mean_and_scale

KEY = jax.random.key(0)
FEW = {"steps": 3, "progress": False}
X, SLOPE = np.linspace(0, 1, 12), np.array([1.8, 2.2])


def made(count, shift=0.0, seed=0, wide=0.5):
    """Straight lines of random slope about 2; the low level is off by x."""
    slope = 2 + wide * np.random.default_rng(seed).uniform(-1, 1, count)
    u = slope[:, None] * X + shift * X
    return Dataset.from_arrays(inputs={"slope": slope}, outputs={"u": u}, coordinates={"x": X})


HIGH, LOW = made(20), made(60, shift=1.0, seed=1, wide=1.5)


def cheap(inputs):
    return (inputs["slope"][:, None] + 1) * X


@pytest.fixture(scope="module")
def residual():
    """On a function, with an ensemble."""
    return po.train(HIGH, po.MultiFidelity(cheap, GridMLP(8, 1)), ensemble=2, **FEW)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """On a data set, in a run directory."""
    out = tmp_path_factory.mktemp("levels") / "run"
    return po.train(HIGH, po.MultiFidelity(LOW, GridMLP(8, 1)), out=out, **FEW), out


def test_error_bars_are_those_of_the_correction():
    network = po.uncertain(GridMLP(8, 1), members=2)
    trained = po.train(HIGH, po.MultiFidelity(cheap, network), **FEW)
    answer, members = trained(SLOPE), trained.each(SLOPE)
    assert isinstance(answer, po.Prediction) and members.shape == (2, 2, 12)
    np.testing.assert_allclose(answer.mean, members.mean(0))
    np.testing.assert_allclose(answer.spread, members.std(0, ddof=1))
    given = {"slope": SLOPE, "u_low": cheap({"slope": SLOPE})}
    np.testing.assert_allclose(
        answer.mean, trained.high.mean(given)["u"] + given["u_low"], rtol=1e-5
    )
    assert trained.error()["u"]["mean"] > 0
    with pytest.raises(ValueError, match=r"high must be uncertain\(...\) of a network on grids"):
        po.MultiFidelity(cheap, po.uncertain(MLP(8, 1)))


# Data


def test_both_levels_of_burgers_have_the_same_inputs():
    """The high one is that of another solver, the low one is off by a tenth or more."""
    high, low = (fidelity_contents("burgers_levels", level, 3) for level in ("outside", "low"))
    assert high.inputs["wave"].shape == (3, 7)
    np.testing.assert_array_equal(high.inputs["wave"][:, 1:], low.inputs["wave"][:, 1:])
    amplitude, *waves = high.inputs["wave"][0]
    assert 0.9 <= amplitude <= 1.5

    def initial(x):
        angle = 2 * np.pi * np.arange(1, 4) * np.asarray(x)[..., None]
        sine, cosine = (function(angle) / np.arange(1, 4) for function in (np.sin, np.cos))
        return amplitude * (sine @ waves[:3] + cosine @ waves[3:])

    reference = periodic_etdrk4(
        np.arange(65) / 64,
        np.array([0.0, 0.4]),
        interval=(0, 1),
        symbol=lambda k: -0.01 * k**2,
        flux=lambda u: u**2 / 2,
        initial=initial,
        modes=512,
        max_step=2e-3,
    )
    np.testing.assert_allclose(high.outputs["u"][0], reference.values["u"][:64, -1], atol=1e-5)


def test_the_low_level_of_burgers_is_consistent():
    """Its mean is conserved, and it smears what the high level resolves."""
    low = fidelity_contents("burgers_levels", "low", 20)
    np.testing.assert_allclose(low.outputs["u"].mean(1), 0, atol=0.02)
    wide = fidelity_contents("burgers_levels", "outside", 20)
    steepest = [np.abs(np.diff(c.outputs["u"], axis=1)).max() for c in (wide, low)]
    assert steepest[0] > 1.5 * steepest[1]


def test_columns_conserve_energy_and_are_warmer_outside():
    high, warm = (fidelity_contents("column_levels", level, 50) for level in ("high", "outside"))
    for contents in (high, warm):
        assert all(np.isfinite(array).all() for array in contents.outputs.values())
        assert Dataset.of(contents).layout.names == ("height",)
    rise = warm.inputs["temperature"][:, 0] - high.inputs["temperature"][:, 0]
    np.testing.assert_allclose(rise, 6.0)
    # Without radiation and the surface, what heats is what the air loses as vapour: the plume of
    # the low level turns latent into sensible heat.
    from pinops.data._fidelity_families import _SIGMA, _plume, _saturated

    temperature, humidity = warm.inputs["temperature"], warm.inputs["humidity"] / 1e3
    for simple in (True, False):
        heating, moistening = _plume(temperature, humidity, simple=simple)
        heating = heating + 0.06 * (temperature / 260) ** 4
        surface = 30 * np.maximum(_saturated(temperature) - humidity, 0)
        moistening = moistening - surface * np.exp((_SIGMA - 1) / 0.1)
        thickness = -np.gradient(_SIGMA)
        energy = 1004.0 * heating + 2.5e6 * moistening / 1e3
        assert np.abs(energy @ thickness).max() < 1e-9 * np.abs(energy).max()


def test_a_sample_does_not_depend_on_how_many_there_are():
    one, many = (fidelity_contents("column_levels", "high", n, seed=4) for n in (1, 3))
    np.testing.assert_array_equal(one.outputs["heating"], many.outputs["heating"][:1])


def test_the_command_makes_a_level(tmp_path, capsys, monkeypatch):
    out = tmp_path / "low.h5"
    command = ["pinops", "data", "burgers_levels", "--count", "4", "--out", str(out)]
    for level, code in (("low", 0), ("middle", 2)):
        monkeypatch.setattr("sys.argv", [*command, "--set", f"level={level}"])
        with pytest.raises(SystemExit) as ended:
            sys.exit(main())
        assert (ended.value.code or 0) == code
    assert Dataset.open(out).count == 4
    assert "level=high, level=low, level=outside" in capsys.readouterr().err


def test_another_level_is_refused():
    with pytest.raises(ValueError, match="level must be one of high, low, outside, got 'medium'"):
        fidelity_contents("burgers_levels", "medium", 3)
    with pytest.raises(ValueError, match="family must be one of burgers_levels"):
        fidelity_contents("advection", "high", 3)


# Networks of columns


def test_a_perceptron_sees_all_points():
    network = GridMLP(5, 1).build(2, 3, (4, 3), key=KEY)
    states = jax.random.normal(KEY, (2, 4, 3, 2))
    first, second = network.layers
    x = states.reshape(2, -1) @ first.weight + first.bias[None]
    expected = (jax.nn.silu(x) @ second.weight + second.bias[None]).reshape(2, 4, 3, 3)
    np.testing.assert_allclose(network(states), expected, rtol=1e-6)


# Two levels


def test_a_residual_is_added_to_the_cheap_prediction(residual):
    slope = SLOPE
    given = {"slope": slope, "u_low": cheap({"slope": slope})}
    expected = np.stack([member(given)["u"] for member in residual.high]) + given["u_low"]
    np.testing.assert_allclose(residual.each(slope), expected, rtol=1e-6)
    np.testing.assert_allclose(residual(slope), expected.mean(0), rtol=1e-6)
    np.testing.assert_allclose(residual.spread({"slope": slope})["u"], expected.std(0, ddof=1))
    np.testing.assert_array_equal(residual.cheap(slope), given["u_low"])


def test_the_high_level_learns_what_the_low_level_misses(residual):
    """Its data hold y - ŷ_L, in the same parts; errors are those of the sum."""
    data = residual.high[0].dataset
    rows, own = data.rows(np.arange(20)), HIGH.rows(np.arange(20))
    np.testing.assert_allclose(rows["values/u"], np.tile(-X, (20, 1)), atol=1e-12)
    np.testing.assert_array_equal(rows["inputs/slope"], own["inputs/slope"])
    for part, members in HIGH.splits.items():
        np.testing.assert_array_equal(data.splits[part], members)
    test = HIGH.splits["test"]
    truth, out = own["values/u"][test], residual(own["inputs/slope"][test])
    expected = np.linalg.norm(out - truth, axis=1) / np.linalg.norm(truth, axis=1)
    assert residual.error()["u"]["mean"] == pytest.approx(expected.mean(), rel=1e-5)


@pytest.mark.parametrize("mode", ["residual", "compose", "concat"])
def test_inputs_are_scaled_by_the_low_level(mode):
    """And so are outputs, but for a residual, which has the size of the differences."""
    asked = po.MultiFidelity(LOW, GridMLP(8, 1), mode)
    data, training = _corrected(HIGH, asked, cheap), LOW.splits["training"]
    names = {"residual": {"slope", "u_low"}, "compose": {"u_low"}, "concat": {"slope", "u_low"}}
    assert set(data.layout.inputs) == names[mode]
    seen = LOW.rows(training)["inputs/slope"]
    np.testing.assert_allclose(data.inputs()["u_low"], cheap({"slope": seen}))
    own = data.rows(data.splits["training"])["values/u"]
    if mode == "residual":
        assert data.scale["u"] == pytest.approx(own.std(), rel=1e-5)
        return
    np.testing.assert_array_equal(data.rows([3])["values/u"], HIGH.rows([3])["values/u"])
    assert data.scale["u"] == pytest.approx(LOW.scale["u"], rel=1e-5)
    mean, scale = mean_and_scale(data, ("u",))
    there = LOW.rows(training)["values/u"]
    np.testing.assert_allclose(mean[..., 0].mean(), there.mean())
    assert scale.mean() > 1.5 * own.std(0).mean()


def test_training_the_high_level_leaves_the_low_level_alone(two):
    alone = po.train(LOW, GridMLP(8, 1), **FEW)
    np.testing.assert_array_equal(two[0].cheap(SLOPE), alone({"slope": SLOPE})["u"])
    assert two[0].num_parameters == alone.num_parameters + two[0].high.num_parameters


def test_three_levels_are_two_of_two(residual):
    trained = po.train(HIGH, po.MultiFidelity(residual, GridMLP(8, 1), "compose"), **FEW)
    np.testing.assert_array_equal(trained.cheap(SLOPE), residual(SLOPE))
    given = {"u_low": residual(SLOPE)}
    np.testing.assert_array_equal(trained(SLOPE), trained.high(given)["u"])


def test_an_operator_corrects_a_level_on_another_grid():
    coarse = np.linspace(0, 1, 5)
    u = np.linspace(1, 3, 30)[:, None] * coarse
    low = Dataset.from_arrays(
        inputs={"slope": np.linspace(1, 3, 30)}, outputs={"u": u}, coordinates={"x": coarse}
    )
    network = DeepONet(MLP(4, 1), MLP(4, 1), latent=4)
    adam = po.optimizers.Adam(1e-3, 3)
    trained = po.train(HIGH, po.MultiFidelity(low, network), optimizer=adam, **FEW)
    base = trained.low({"slope": SLOPE}, x=X)
    high = trained.high({"slope": SLOPE, "u_low": base}, x=X)
    np.testing.assert_allclose(trained(SLOPE), base + high, rtol=1e-6)


def test_trajectories_are_fields_over_time():
    t, slope = np.linspace(0, 1, 8), np.linspace(1, 2, 15)
    u = slope[:, None, None] * t[:, None] * X
    trajectories = Dataset.from_arrays(
        inputs={"slope": slope}, outputs={"u": u}, coordinates={"t": t, "x": X}, time="t"
    )

    def solver(inputs):
        return inputs["slope"][:, None, None] * t[:, None] * X + 1

    trained = po.train(trajectories, po.MultiFidelity(solver, GridMLP(8, 1)), **FEW)
    assert trained(slope[:2]).shape == (2, 8, 12)
    assert trained.error()["u"]["worst"] < 5
    steady = _steady(trajectories)
    assert steady.layout.time is None and list(steady.coordinates) == ["time", "x"]
    np.testing.assert_array_equal(steady.rows([4])["values/u"], u[4:5])


def test_both_levels_are_saved_and_loaded(two):
    trained, folder = two
    loaded = po.load(folder)
    np.testing.assert_array_equal(loaded(SLOPE), trained(SLOPE))
    np.testing.assert_array_equal(loaded.cheap(SLOPE), trained.cheap(SLOPE))
    other = made(5, seed=9, wide=0.2)
    assert loaded.error(other) == trained.error(other)
    with pytest.raises(ValueError, match="the training has seen samples"):
        loaded.predicted(HIGH, "training")
    with pytest.raises(ValueError, match="what was loaded knows no data"):
        loaded.error()


def test_a_function_is_given_again(residual, tmp_path):
    loaded = po.load(residual.save(tmp_path / "run"))
    assert not (tmp_path / "run" / "low").exists()
    with pytest.raises(ValueError, match=r"trained\.with_low\(function\)"):
        loaded(SLOPE)
    np.testing.assert_array_equal(loaded.with_low(cheap)(SLOPE), residual(SLOPE))


def test_a_run_is_shown_and_drawn(residual, tmp_path):
    assert "TrainedMultiFidelity(data" in repr(residual)
    assert residual.summary()["mode"] == "residual"
    assert "finished" in residual._repr_html_()
    residual.report(tmp_path / "report.html")
    for export, sentence in ((".stablehlo", "exported one by one"), (".safetensors", "several")):
        with pytest.raises(ValueError, match=sentence):
            residual.export(tmp_path / f"run{export}")


def off(inputs):
    return np.zeros((len(inputs["slope"]), 5))


def lost(inputs):
    return np.full((len(inputs["slope"]), 12), np.nan)


NAMED = Dataset.from_arrays(
    inputs={"slope": np.ones(9), "u_low": np.ones(9)},
    outputs={"u": np.ones((9, 12))},
    coordinates={"x": X},
)
CLOUD = Dataset.from_arrays(
    inputs={"slope": np.ones(3)},
    outputs={"u": [np.ones(4)] * 3},
    coordinates=[np.random.default_rng(0).uniform(size=(4, 2))] * 3,
)
COARSE = Dataset.from_arrays(
    inputs={"slope": np.ones(3)}, outputs={"u": np.ones((3, 5))}, coordinates={"x": X[:5]}
)


@pytest.mark.parametrize(
    ("data", "asked", "sentence"),
    [
        (HIGH, lambda: (3, GridMLP()), "low must be a Dataset, a trained result or a function"),
        (HIGH, lambda: (GridMLP, GridMLP()), "got <class"),
        (HIGH, lambda: (LOW, Direct(GridMLP())), "high must be an architecture such as FNO"),
        (HIGH, lambda: (LOW, GridMLP(), "add"), "mode must be one of residual, compose, concat"),
        (HIGH, lambda: (off, GridMLP()), r"in the shape \(20, 5\), and the high level has"),
        (HIGH, lambda: (lost, GridMLP()), "values of u that are not finite"),
        (HIGH, lambda: (NAMED, GridMLP()), "the low level has the inputs"),
        (NAMED, lambda: (cheap, GridMLP()), "the input u_low has the name"),
        (
            HIGH,
            lambda: (COARSE, GridMLP()),
            "a grid of 5, and the high level on another one, of 12",
        ),
        (CLOUD, lambda: (cheap, GridMLP()), "needs both levels on a grid"),
        ("burgers_family", lambda: (cheap, GridMLP()), "needs samples of the high level"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(data, asked, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        po.train(data, po.MultiFidelity(*asked()), **FEW)
    assert "\n" not in str(caught.value)


def test_bad_questions_are_refused(residual, two):
    with pytest.raises(ValueError, match="a prediction needs the inputs"):
        residual({"height": np.ones(2)})
    with pytest.raises(ValueError, match="give data on the same grid"):
        residual.error(COARSE)
    with pytest.raises(ValueError, match="has no spread; train it with ensemble=8"):
        two[0].spread(SLOPE)


def test_with_equal_keys_a_correction_has_no_spread(monkeypatch):
    """The released code of arXiv:2309.10231 draws every member with key 0; ours have other keys,
    and with equal ones the spread outside of the data would be lost.
    """
    network = po.uncertain(GridMLP(16, 2), members=3, bootstrap=1.0)

    def spread():
        trained = po.train(HIGH, po.MultiFidelity(cheap, network), steps=200, progress=False)
        assert len({member.request["seed"] for member in trained.high}) == 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return trained(np.array([4.0, 5.0])).spread.mean()

    own, drawn = spread(), _request._drawn

    def alike(build, seed, prior):
        return drawn(build, np.uint32(0), prior)

    monkeypatch.setattr(_request, "_drawn", alike)
    assert spread() < 0.3 * own
