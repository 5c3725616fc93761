"""Surrogates of time steps that see several snapshots and input fields, on data of one's own and of
families with an equation.
"""

import json
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pinops as po
from pinops import cli
from pinops.data import GridSpec, family_of, generate
from pinops.metrics import snapshot_errors, spectrum
from pinops.operators import CAPE, FNO, Direct
from pinops.reference import Reference
from pinops.training import Trajectories
from pinops.training._surrogate import windows

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
X, T = np.arange(16) / 16, np.arange(7) / 4
SMALL = FNO(8, 4, 2)


def standing_waves(count=60):
    """Whether a standing wave grows or falls is not seen in one snapshot, but follows from two:
    u(t + h) = 2 cos(w h) u(t) - u(t - h).
    """
    phase = RANDOM.uniform(0, 2 * np.pi, (count, 1, 1))
    place = RANDOM.uniform(size=(count, 1, 1))
    return np.cos(2 * T[:, None] + phase) * np.sin(2 * np.pi * (X + place))


@pytest.fixture(scope="module")
def waves():
    u = standing_waves()
    return po.Dataset.from_arrays(outputs={"u": u}, coordinates={"t": T, "x": X}, time="t")


def trained(what, architecture, epochs=30, **options):
    given = {"curriculum": po.Curriculum(epochs, 0, noise=0.0), "progress": False} | options
    return po.train(what, architecture, functions=po.Functions(batch=12), **given)


@pytest.fixture(scope="module")
def two(waves, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "two"
    return trained(waves, Direct(SMALL, history=2), out=out), out


def test_windows_are_consecutive_snapshots_the_oldest_first():
    frames = np.arange(5.0).reshape(5, 1, 1, 1) + np.array([0.0, 0.5])
    found = windows(jnp.asarray(frames), 3)
    np.testing.assert_array_equal(
        found[:, 0, 0], [[k, k + 0.5, k + 1, k + 1.5, k + 2, k + 2.5] for k in range(3)]
    )


def test_two_snapshots_tell_what_one_does_not(waves, two):
    """The best that one snapshot tells is the mean over both waves that it belongs to."""
    _, truth, _ = two[0].predicted(waves)
    best = np.cos(2 * T[1:, None]) * truth[:, :1, :, 0]
    off, size = (np.linalg.norm(x, axis=(1, 2)) for x in (best - truth[:, 1:, :, 0], truth[..., 0]))
    assert two[0].error(waves)["u"]["mean"] < 0.15 < 0.5 * np.mean(off / size)


def test_rollouts_begin_with_the_true_snapshots_which_do_not_count(waves, two):
    result, _ = two
    predicted, truth, _ = result.predicted(waves)
    np.testing.assert_array_equal(predicted[:, :2], truth[:, :2])
    off = (predicted - truth)[:, 2:].reshape(len(truth), -1)
    relative = np.linalg.norm(off, axis=1) / np.linalg.norm(
        truth[:, 2:].reshape(len(truth), -1), axis=1
    )
    assert result.error(waves)["u"]["mean"] == pytest.approx(relative.mean())
    found = result.lead_times(waves)
    assert found["steps"] == [1, 2, 3, 4, 5]
    third = np.linalg.norm((predicted - truth)[:, 4, :, 0], axis=1) / np.linalg.norm(
        truth[:, 4, :, 0], axis=1
    )
    assert found["u"][2] == pytest.approx(third.mean())
    assert result.metrics(waves)["all"]["nrmse"] == pytest.approx(np.mean(found["u"]))
    assert result.summary(waves)["lead_times"] == found


def test_one_step_at_a_time_is_all_at_once_and_a_rollout(two, float64):
    result, _ = two
    model, params = result.model, result.params
    frames = jnp.asarray(standing_waves(3)[..., None])
    given = Trajectories(frames, jnp.zeros((3, 0)))
    forced = model.at({"free": 1, "warm": 0}).predictions(params, given)[0]
    some = model.at({"free": 3, "warm": 0}).predictions(params, given)[0]
    np.testing.assert_allclose(some[0], forced[0], atol=1e-12)
    np.testing.assert_allclose(some[3:], forced[3:], atol=1e-12)
    assert float(jnp.max(jnp.abs(some[1] - forced[1]))) > 1e-6
    free = model.at({"free": 6, "warm": 0}).predictions(params, given)[0]
    rolled = model.rollout(params, frames[:, :2], jnp.zeros((3, 0)), {}, 5)
    np.testing.assert_allclose(jnp.moveaxis(model._unscaled(free), 0, 1), rolled, atol=1e-12)


def test_a_run_with_a_history_comes_back_from_its_folder(waves, two):
    result, out = two
    again = po.load(out)
    assert again.given == 2
    np.testing.assert_array_equal(again.predicted(waves)[0], result.predicted(waves)[0])
    request = json.loads((out / "run.json").read_text())["request"]
    assert request["surrogate"]["Direct"]["history"] == 2 and request["fields"] is None


def test_errors_of_snapshots_and_spectra_of_hand_made_rollouts():
    x = np.arange(16) / 16
    truth = np.stack([2 + 0 * x] * 3)[None, :, :, None]
    off = np.stack([0 * x, 0.1 * np.cos(2 * np.pi * 3 * x), 0.4 + 0 * x])[None, :, :, None]
    np.testing.assert_allclose(
        snapshot_errors(truth + off, truth)[0, :, 0], [0, 0.05 / np.sqrt(2), 0.2]
    )
    found = spectrum(off)[:, 0]
    assert found.shape == (9,)
    expected = np.zeros(9)
    expected[[0, 3]] = 0.4 / np.sqrt(3), 0.1 / np.sqrt(2) / np.sqrt(3)
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_times_in_single_precision_are_equally_spaced():
    """As in PDEBench, whose steps of 0.01 are rounded by 1e-7."""
    times = (0.01 * np.arange(201)).astype(np.float32)
    u = np.zeros((4, 201, 16))

    def spec(times):
        data = po.Dataset.from_arrays(outputs={"u": u}, coordinates={"t": times, "x": X}, time="t")
        return GridSpec.of(family_of(data), data)

    assert spec(times).steps == pytest.approx((0.01, 1 / 16), rel=1e-6)
    with pytest.raises(ValueError, match="t is not equally spaced along axis 0"):
        spec(times + 1e-4 * (np.arange(201) == 7))


# -- Input fields, with an equation and without ---------------------------------------------------


class Fading(po.Problem):
    """u_t = -k(x) u, periodic in x, where k = 1 + a cos 2πx of random a, and a random wave."""

    domain = po.Box(x=(0, 1), t=(0, 1.5))
    amplitude: float = po.positive(0.5)
    place: float = po.positive(0.5)

    def residual(self, u, u_t, x):
        return u_t + self.rate(x) * u

    def rate(self, x):
        return 1 + self.amplitude * jnp.cos(2 * jnp.pi * x)

    def conditions(self):
        return (po.Periodic("x"), po.Initial(self.first))

    def first(self, x):
        return 1.5 + jnp.sin(2 * jnp.pi * (x + self.place))

    def sample(self, key):
        one, other = jax.random.split(key)
        amplitude = jax.random.uniform(one, minval=0.1, maxval=0.9)
        place = jax.random.choice(other, jnp.asarray([0.2, 0.4, 0.6]))
        return replace(self, amplitude=amplitude, place=place)

    def inputs(self):
        return {"k": self.rate(jnp.asarray(X)), "place": self.place}

    def reference(self):
        x, t = X[:, None], T[None]
        k = 1 + float(self.amplitude) * np.cos(2 * np.pi * x)
        u = (1.5 + np.sin(2 * np.pi * (x + float(self.place)))) * np.exp(-k * t)
        bar = {"u": 1e-15}
        return Reference({"x": x, "t": t}, {"u": u}, bar, "exact", "by hand")


CHANNELS = Direct(FNO(6, 4, 1), history=2)


@pytest.fixture(scope="module")
def fading(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fading")
    data = generate(Fading(), folder / "data.h5", count=80)
    options = {"data": data, "physics": 1e-3, "curriculum": po.Curriculum(4, 0)}
    return data, trained(Fading(), CHANNELS, out=folder / "run", **options), folder, options


def test_a_coefficient_field_is_a_channel_beside_the_parameters(fading):
    data, result, folder, _ = fading
    assert result.parameters.names == ("place",)
    assert result.model.fields.fields == (("k", (16,)),)
    # Two snapshots, k and the place; and where each point is.
    assert result.model.surrogate(result.params).network.lift.weight.shape == (5, 6)
    assert set(result.history[-1].terms) == {"frames", "residual"}
    again = po.load(folder / "run", problem=Fading())
    np.testing.assert_array_equal(again.predicted(data)[0], result.predicted(data)[0])
    assert again.error(data) == result.error(data)
    assert result.error()["u"]["mean"] < 1  # new members, whose fields are theirs
    figure = result.plot(folder / "figure.png", data)
    titles = [ax.get_title() for ax in figure.axes]
    assert "spectrum" in titles and "error of a rollout" in titles


def test_a_change_is_added_to_the_present_state(float64):
    one, other = (
        Direct(SMALL, change=change).build(1, 2, (16,), 3, key=KEY) for change in (True, False)
    )
    known, at = jax.random.normal(KEY, (3, 16, 4)), jnp.ones((3, 2))
    np.testing.assert_array_equal(one(known, at), known[..., 3:] + other(known, at))


def test_an_embedding_sees_the_context_and_adds_to_the_present_state(float64):
    surrogate = CAPE(FNO(6, 4, 1), 8, 3, 4, 2).build(1, 1, (16,), 2, key=KEY)
    known, at = jax.random.normal(KEY, (3, 16, 3)), jnp.ones((3, 1))
    embed = surrogate.embedding
    assert embed.lift.affine.weight.shape == (3 * 3, 4)
    still = eqx.tree_at(
        lambda e: (e.project.weight, e.project.bias), embed, replace_fn=jnp.zeros_like
    )
    np.testing.assert_array_equal(still(known, at), known[..., 2:])
    moved = known.at[..., 0].add(1.0)
    assert surrogate(known, at).shape == (3, 16, 1)
    assert bool(jnp.any(embed(moved, at) != embed(known, at)))


def test_a_resumed_training_is_the_same_bit_for_bit(fading, tmp_path):
    _, result, _, options = fading
    stop = {"callbacks": [lambda report: report.step >= 8]}
    stopped = trained(Fading(), CHANNELS, out=tmp_path / "run", **options, **stop)
    assert stopped.status == "stopped"
    resumed = trained(Fading(), CHANNELS, out=tmp_path / "run", resume=True, **options)
    for one, other in zip(
        jax.tree.leaves(resumed.params), jax.tree.leaves(result.params), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_fine_tuning_takes_the_fields_of_its_members(fading):
    _, result, _, _ = fading
    members = [replace(Fading(), amplitude=a) for a in (0.2, 0.7)]
    truth = np.stack([member.reference().values["u"].T[..., None] for member in members])
    tuned = result.finetuned(truth[:, :2], members, 5, steps=30, anchor=0.0)
    fields, at = {"k": np.stack([m.inputs()["k"] for m in members])}, np.full((2, 1), 0.5)

    def residual(run):
        rolled = run(truth[:, :2], at, 5, fields=fields)
        return sum(run.residual(rolled[k], member) for k, member in enumerate(members))

    assert residual(tuned) < residual(result)


def test_a_field_of_data_alone_decides_where_a_wave_fades():
    k = 1 + RANDOM.uniform(size=(60, 1, 1)) * np.cos(
        2 * np.pi * (X + RANDOM.uniform(size=(60, 1, 1)))
    )
    first = 1.5 + np.sin(2 * np.pi * (X + RANDOM.uniform(size=(60, 1, 1))))
    known = {"outputs": {"u": first * np.exp(-k * T[:, None])}, "coordinates": {"t": T, "x": X}}
    coarse = {"k": k[:, 0, ::2], "solid": k[:, 0] > 1.2}  # on half of the points, and of 0 and 1
    data = po.Dataset.from_arrays(inputs=coarse, time="t", **known)
    result = trained(data, Direct(SMALL), epochs=15)
    assert result.parameters.names == () and result.metrics(data).keys() == {"all"}
    rows = data.rows(data.splits["test"])
    fields = {name: rows[f"inputs/{name}"] for name in coarse}
    first, none = rows["values/u"][:, 0, :, None], np.zeros((6, 0))
    right = result(first, none, 6, fields=fields)
    np.testing.assert_allclose(right, result.predicted(data)[0], atol=1e-6)
    others = {name: np.roll(field, 1, 0) for name, field in fields.items()}
    truth = rows["values/u"][..., None]
    off = [np.linalg.norm(x - truth) for x in (right, result(first, none, 6, fields=others))]
    assert off[0] < 0.5 * off[1]


# -- What cannot be meant ------------------------------------------------------------------------


def test_what_cannot_be_meant_is_a_sentence(waves, two, fading):
    result, _ = two
    first, none = np.zeros((3, 2, 16, 1)), np.zeros((3, 0))
    for wrong, said in (
        (first[:, 0], r"have shape \(n, 2, \*grid, 1\), got \(3, 16, 1\)"),
        (first[:, :1], "a rollout begins with 2 snapshots, as many as a step sees, got 1"),
        (first[:, :, :8], r"trained on a grid of \(16,\), got snapshots of \(8,\)"),
    ):
        with pytest.raises(ValueError, match=said):
            result(wrong, none, 3)
    with pytest.raises(ValueError, match="first snapshots: complex numbers are not supported"):
        result(first + 0j, none, 3)
    with pytest.raises(ValueError, match="first snapshots are of no trajectory"):
        result(first[:0], none[:0], 3)
    with pytest.raises(ValueError, match="a surrogate of data alone is compared with data"):
        result.error()
    with pytest.raises(ValueError, match="sees no input fields, got k; leave fields out"):
        result(first, none, 3, fields={"k": np.zeros((3, 16))})
    other, at = fading[1], np.full((3, 1), 0.5)
    for fields, said in (
        (None, "a prediction needs the inputs k, got none"),
        ({"k": np.zeros((2, 16))}, "one sample for each of the 3 trajectories, got 2"),
        ({"k": np.zeros((3, 16, 2))}, r"the input k needs the shape \(n, \*grid\)"),
        ({"k": np.full((3, 16), np.nan)}, "the input k has a value that is not finite"),
    ):
        with pytest.raises(ValueError, match=said):
            other(first, at, 3, fields=fields)
    with pytest.raises(ValueError, match="history=7 leaves none of the 7 snapshots to predict"):
        trained(waves, Direct(SMALL, history=7))
    with pytest.raises(ValueError, match="history must be a whole number from 1 to 1000, got 0"):
        Direct(SMALL, history=0)
    u = standing_waves(20)
    moving = po.Dataset.from_arrays(
        inputs={"force": u}, outputs={"u": u}, coordinates={"t": T, "x": X}, time="t"
    )
    with pytest.raises(ValueError, match="the input force changes in time, and a surrogate sees"):
        trained(moving, Direct(SMALL))


def test_on_the_command_line(tmp_path, capsys):
    given, run = tmp_path / "mine.npz", tmp_path / "run"
    u = standing_waves(30)
    np.savez(given, u=u, a=u[:, 0] ** 2, t=T, x=X)
    train = ["train", "--data", str(given), "--out", str(run), "--json"]
    train += ["--curriculum", "Curriculum(1, 0)", "--functions", "Functions(batch=8)"]
    assert cli.run([*train, "--operator", "Direct(FNO(4, 2, depth=1), history=3)"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["lead_times"]["steps"] == [1, 2, 3, 4]
    assert cli.run(["evaluate", str(run), "--data", str(given)]) == 0
    assert "relative L2 error after steps  1" in capsys.readouterr().out
    assert cli.run([*train, "--operator", "Direct(FNO(4, 2))", "--set", "a=1"]) == 2
    assert "--set is for a family; give its NAME too" in capsys.readouterr().err
    assert cli.run([*train, "--operator", "Direct(FNO(4, 2), history=0)"]) == 2
    assert "history must be a whole number from 1 to 1000, got 0" in capsys.readouterr().err
