"""Steady maps on grids: losses, scaling, masks, training, other grids, files."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops.data import generate, read_run
from pinops.operators import CNO, FNO, Direct, UNet
from pinops.solvers._map_answers import relative_errors
from pinops.training import MapInputs, Samples, places_on
from pinops.training._map import mean_and_scale

RANDOM = np.random.default_rng(0)
N = 12
X = np.arange(N) / N


def waves(count, n=N):
    """Smooth periodic functions of unit deviation at n points."""
    strengths = np.random.default_rng(1).standard_normal((count, 4))
    x = np.arange(n) / n
    lines = [np.cos(2 * np.pi * k * x) for k in (1, 2)] + [
        np.sin(2 * np.pi * k * x) for k in (1, 2)
    ]
    return np.einsum("sk,kx->sx", strengths, lines) / np.sqrt(2)


def data(count=80, n=N, **more):
    """``u = force a' + 1`` on a periodic line."""
    a = waves(count, n)
    force = np.random.default_rng(2).uniform(1, 2, count)
    wave = 2j * np.pi * np.fft.rfftfreq(n, 1 / n)
    slope = np.fft.irfft(wave * np.fft.rfft(a), n) / (2 * np.pi)
    given = {
        "inputs": {"a": a, "force": force},
        "outputs": {"u": force[:, None] * slope + 1},
        "coordinates": {"x": np.arange(n) / n},
    }
    return po.Dataset.from_arrays(**given | more)


SMALL = FNO(8, 4, 2)


def trained(dataset, network=SMALL, steps=60, **more):
    return po.train(dataset, network, steps=steps, progress=False, **more)


@pytest.fixture(scope="module")
def result():
    return trained(data(), optimizer=po.optimizers.Adam(1e-2, 400), steps=400)


# The loss


def model_of(dataset, loss):
    """A map that is trained for one step, and its model."""
    one = trained(dataset, FNO(2, 2, 1), 1, loss=loss)
    return one, one.model


@pytest.mark.slow
def test_a_part_without_a_test_part_is_trained_on_and_saved(tmp_path):
    """A training of what `split` has left ended in an error when it was saved."""
    train, test = data().split(test=5)
    result = po.train(train, FNO(4, 2, 1), steps=2, progress=False, out=tmp_path / "run")
    assert read_run(tmp_path / "run")["result"]["relative_l2"] == {}
    assert result.known_errors() == {} and result.error(test).keys() == {"u"}


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["L2", "H1"])
def test_the_loss_is_the_mean_of_relative_errors(loss):
    x, y = np.arange(6) / 6, np.asarray([0, 0.1, 0.3, 0.6])
    a = RANDOM.standard_normal((12, 6, 4))
    u = np.stack([a, 3 * a + 1], -1)
    dataset = po.Dataset.from_arrays(
        inputs={"a": a}, outputs={"u": u}, coordinates={"x": x, "y": y}
    )
    one, model = model_of(dataset, loss)
    samples = Samples({"a": jnp.asarray(a, float)}, jnp.asarray(u, float))
    weights = {"observed u0": jnp.ones(1), "observed u1": jnp.ones(1)}
    found = jax.jit(lambda params: model.terms(params, samples, weights))(one.params)
    predicted = np.stack(list(one({"a": a}).values()), -1)

    def size(v, k):
        v = v[..., k]
        values = np.sum(v**2, (1, 2))
        if loss == "L2":
            return values, 0 * values
        along_x = np.diff(v, axis=1) / (1 / 6)
        along_y = np.diff(v, axis=2) / (np.diff(y) / (0.6 * 4 / 3))
        return values, np.sum(along_x**2, (1, 2)) + np.sum(along_y**2, (1, 2))

    for k in range(2):
        (above, slope), (below, steep) = size(predicted - u, k), size(u, k)
        expected = np.sqrt(above / below + (slope / steep if loss == "H1" else 0)).mean()
        np.testing.assert_allclose(found[f"observed u{k}"], expected, rtol=1e-4)


def test_relative_errors_of_what_is_not_finite_not_known_or_zero():
    truth = np.ones((5, 4, 1))
    predicted = np.full((5, 4, 1), 1.5)
    predicted[1, 0] = np.nan  # a prediction that is no number
    predicted[2, 0] = np.inf
    truth[3] = np.nan  # nothing is known
    truth[4] = 0.0
    relative, _ = relative_errors(predicted, truth)
    np.testing.assert_array_equal(relative[:, 0], [0.5, np.inf, np.inf, np.nan, np.inf])
    predicted[4] = 0.0
    assert relative_errors(predicted, truth)[0][4] == 0


def test_half_precision_is_widened_when_it_is_read():
    a = waves(8)
    large = po.Dataset.from_arrays(
        inputs={"a": a}, outputs={"u": (1000 * a).astype(np.float16)}, coordinates={"x": X}
    )
    values = large.rows(range(8))["values/u"]
    assert values.dtype == np.float32
    assert large.scale["u"] == pytest.approx(np.std(values), rel=0.2)


def test_missing_values_do_not_count():
    """The loss is that of the known values, and its gradient is finite."""
    dataset = data(20)
    one, model = model_of(dataset, "L2")
    rows = dataset.rows(range(4))
    inputs = {"a": jnp.asarray(rows["inputs/a"]), "force": jnp.asarray(rows["inputs/force"])}
    u = np.asarray(rows["values/u"])[..., None]
    holes = u.copy()
    holes[0, 3:6], holes[1] = np.nan, np.nan
    weights = {"observed u": jnp.ones(1)}

    def loss(params, values):
        return model.terms(params, Samples(inputs, jnp.asarray(values)), weights)["observed u"]

    predicted = one({"a": rows["inputs/a"], "force": rows["inputs/force"]})["u"]
    known = np.isfinite(holes[..., 0])
    off = np.where(known, predicted - u[..., 0], 0)
    size = np.where(known, u[..., 0], 0)
    relative = np.linalg.norm(off, axis=1)[[0, 2, 3]] / np.linalg.norm(size, axis=1)[[0, 2, 3]]
    np.testing.assert_allclose(jax.jit(loss)(one.params, holes), relative.mean(), rtol=1e-4)
    gradient = jax.jit(jax.grad(loss))(one.params, holes)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


# What a map sees


def test_inputs_become_channels_of_mean_zero_and_deviation_one():
    count = 40
    inputs = {
        "a": 5 + 2 * RANDOM.standard_normal((count, 8, 6)),
        "b": RANDOM.standard_normal((count, 8, 6, 2)),
        "coarse": RANDOM.standard_normal((count, 4, 3)),
        "load": 10 ** RANDOM.uniform(-3, 3, count),
        "at": RANDOM.uniform(size=(count, 3)),
    }
    seen = MapInputs.of(inputs, (8, 6))
    assert seen.count == 1 + 2 + 1 + 1 + 3 and seen.of_constants.maps[0] == "log"
    assert MapInputs.from_json(seen.to_json()) == seen
    channels = np.asarray(seen.channels({n: jnp.asarray(v) for n, v in inputs.items()}, (8, 6)))
    flat = channels[..., [0, 1, 2, 4, 5, 6, 7]].reshape(-1, 7)
    np.testing.assert_allclose(flat.mean(0), 0, atol=2e-4)
    np.testing.assert_allclose(flat.std(0), 1, atol=2e-3)
    assert np.ptp(channels[..., 4:], axis=(1, 2)).max() == 0  # constant over the grid
    np.testing.assert_allclose(channels[:, ::2, ::2, 3], _scaled(inputs["coarse"]), atol=1e-4)


def _scaled(a):
    return (a - a.mean()) / a.std()


def test_a_vector_on_a_line_is_a_field_where_it_is_long():
    seen = MapInputs.of({"a": np.ones((5, 30)), "b": np.ones((5, 3))}, (60,))
    assert dict(seen.fields) == {"a": (30,)} and dict(seen.constants) == {"b": 3}
    with pytest.raises(ValueError, match=r"the input a has the shape \(n, 4, 4\)"):
        MapInputs.of({"a": np.ones((5, 4, 4))}, (4, 4, 4))
    with pytest.raises(ValueError, match="a map needs inputs, and the data have none"):
        MapInputs.of({}, (4,))
    with pytest.raises(ValueError, match="a are 300 numbers, more than 256 constant channels"):
        MapInputs.of({"a": np.ones((5, 300))}, (4, 4))


def test_where_the_points_of_two_grids_lie():
    np.testing.assert_allclose(places_on(17, 33), np.arange(33) / 2)  # both have the ends
    np.testing.assert_allclose(places_on(16, 32), np.arange(32) / 2)  # both begin at 0, of a period
    np.testing.assert_allclose(places_on(10, 15), np.arange(15) * 10 / 15)


def test_means_and_deviations_at_points_where_they_differ():
    a = waves(100)
    walls = np.sin(np.pi * np.arange(N) / (N - 1))
    made = data(100, outputs={"u": 3 + (2 + a) * walls, "v": a + RANDOM.standard_normal(a.shape)})
    mean, scale = mean_and_scale(made, ("u", "v"))
    rows = made.rows(made.splits["training"])
    np.testing.assert_allclose(mean[:, 0], rows["values/u"].mean(0), atol=1e-6)
    np.testing.assert_allclose(scale[:, 0], rows["values/u"].std(0), atol=1e-6)
    assert np.ptp(mean[:, 1]) == np.ptp(scale[:, 1]) == 0  # the same everywhere but for noise
    # What all samples have in common is met exactly, as on walls.
    one = trained(made, FNO(4, 2, 1), 2)
    out = one({name: rows[f"inputs/{name}"] for name in ("a", "force")})["u"]
    np.testing.assert_allclose(out[:, [0, -1]], 3, atol=1e-5)


# Training and answers


@pytest.mark.filterwarnings("ignore:force = ")
def test_a_map_learns_the_derivative(result):
    assert isinstance(result, po.TrainedMap) and result.status == "finished"
    error = result.error()["u"]
    assert error["mean"] < 0.05 and error["worst"] < 0.2
    inputs, predicted, truth = result.predicted()
    relative = np.linalg.norm((predicted - truth)[..., 0], axis=1) / np.linalg.norm(
        truth[..., 0], axis=1
    )
    assert error["mean"] == pytest.approx(relative.mean())
    np.testing.assert_allclose(result(inputs)["u"], predicted[..., 0], atol=1e-5)
    with pytest.raises(ValueError, match="the training has seen samples of this part"):
        result.predicted(part="training")


def test_a_finer_grid_is_the_same_map(result):
    fine = data(20, 2 * N)
    error = result.error(fine)["u"]["mean"]
    assert error < 0.1
    rows = fine.rows(range(3))
    inputs = {"a": rows["inputs/a"], "force": rows["inputs/force"]}
    out = result(inputs)["u"]
    assert out.shape == (3, 2 * N)
    finer = result.refined(2)
    np.testing.assert_allclose(finer.axes["x"], fine.coordinates["x"], atol=1e-12)
    np.testing.assert_allclose(finer(inputs)["u"], out, atol=1e-6)
    assert finer.error(fine)["u"]["mean"] == pytest.approx(error, rel=1e-4)


def test_a_map_is_kept_and_read_again(result, tmp_path):
    result.save(tmp_path / "run")
    again = po.load(tmp_path / "run")
    assert again.error(data()) == result.error() and again.steps == 400
    with pytest.raises(ValueError, match="a map that was loaded knows no data"):
        again.error()
    assert "0.5" not in repr(again) and repr(again).startswith("TrainedMap(data")
    (tmp_path / "run" / "scaling.h5").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"scaling.h5 is damaged: its checksum"):
        po.load(tmp_path / "run")


def test_wrong_inputs_are_refused_in_a_sentence(result):
    a, force = waves(3), np.ones(3) * 1.5
    for inputs, said in (
        (a, "needs the inputs a, force; give them by name"),
        ({"a": a}, "needs the inputs a, force, got a"),
        ({"a": a, "force": np.ones((3, 2))}, r"the input force needs the shape \(n,\), got"),
        ({"a": a[..., None, None], "force": force}, r"the input a needs the shape \(n, \*grid\)"),
        ({"a": a * np.nan, "force": force}, "the input a has a value that is not finite"),
        ({"a": a[:2], "force": force}, "as many samples of each, got 2 of a, 3 of force"),
        ({"a": a[:0], "force": force[:0]}, "the inputs hold no sample"),
    ):
        with pytest.raises(ValueError, match=said):
            result(inputs)
    with pytest.warns(UserWarning, match="force = 7 is outside the trained range"):
        result({"a": a, "force": np.full(3, 7.0)})


def test_what_cannot_be_a_map_is_refused(result):
    steps = po.Dataset.from_arrays(
        outputs={"u": np.zeros((4, 3, N))}, coordinates={"t": np.arange(3.0), "x": X}, time="t"
    )
    cases: tuple[tuple[po.Dataset, dict[str, Any], str], ...] = (
        (steps, {}, r"FNO maps fields to fields, .* Direct\(FNO\(...\)\) or CAPE"),
        (data(), {"loss": "H2"}, "train: loss must be one of H1, L2, got 'H2'"),
        (data(), {"optimizer": po.optimizers.GaussNewton()}, "GaussNewton does not suit maps"),
        (data(), {"weighting": po.losses.NTK()}, "NTK does not suit maps"),
        (data(), {"functions": po.Functions(batch=100)}, "at most the 64 samples for training"),
        (data(), {"curriculum": po.Curriculum(2)}, "curriculum is for surrogates"),
    )
    for dataset, options, said in cases:
        with pytest.raises(ValueError, match=said):
            po.train(dataset, FNO(4, 2, 1), progress=False, **options)
    with pytest.raises(ValueError, match="loss is for maps on grids"):
        po.train(steps, Direct(FNO(4, 2)), loss="L2", progress=False)
    with pytest.raises(ValueError, match="from 0 to 0.916667.*give data of this domain"):
        result.error(data(coordinates={"x": 3 + X}))


@pytest.mark.slow
@pytest.mark.parametrize("network", [UNet(1, "zeros"), CNO(2, 1, 0)], ids=str)
def test_other_networks_on_a_grid_of_any_size(network, tmp_path):
    a = waves(12, 10)
    made = po.Dataset.from_arrays(inputs={"a": a}, outputs={"u": a**2}, coordinates={"x": X[:10]})
    one = trained(made, network, 2, out=tmp_path / "run")
    out = one(a)
    assert out.shape == (12, 10)
    np.testing.assert_array_equal(po.load(tmp_path / "run")(a), out)
    one.plot(tmp_path / "map.png")


def test_an_ensemble_of_maps(tmp_path):
    both = trained(data(), FNO(4, 2, 1), 3, ensemble=2, out=tmp_path / "runs")
    assert len(both.members) == 2 and len(po.load(tmp_path / "runs").members) == 2


@pytest.mark.slow
def test_a_map_goes_on_bit_for_bit(tmp_path):
    class Stop(Exception):
        pass

    def interrupted(report):
        if report.step >= 50:
            raise Stop

    options = {"steps": 100, "out": tmp_path / "run", "checkpoint_seconds": 0}
    with pytest.raises(Stop):
        trained(data(), FNO(4, 2, 1), callbacks=[interrupted], **options)
    again = trained(data(), FNO(4, 2, 1), resume=True, **options)
    whole = trained(data(), FNO(4, 2, 1), 100)
    pairs = zip(jax.tree.leaves(again.params), jax.tree.leaves(whole.params), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.slow
def test_a_family_with_data(tmp_path):
    path = tmp_path / "darcy.h5"
    family = po.load_problem("darcy_family", task="disc")
    made = generate(family, path, count=12)
    one = po.train(family, FNO(4, 4, 1, 0.25), data=path, steps=2, progress=False)
    out = one({"medium": made.rows(range(2))["inputs/medium"]})["u"]
    one.plot(tmp_path / "map.png")
    assert out.shape == (2, 33, 33) and one.error()["u"]["mean"] < 2
    assert replace(one, dataset=None).known_errors() == {}
