"""Trajectories on clouds and meshes: data in time at points, and surrogates of time steps there."""

import json
import os
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import pinops as po
from pinops.cli import run
from pinops.cli._objects import written
from pinops.data import MESH_FAMILIES, mesh_contents, step_of
from pinops.geometry import Mesh, triangulated
from pinops.operators import FNO, DeepONet, Direct, MeshGraphNet, Transolver
from pinops.reference import heat_on_mesh
from pinops.solvers._door import Options
from pinops.solvers._point_step_plan import point_step_plan

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
TIMES = np.linspace(0, 1, 5)
NETWORK = Transolver(8, 1, 2, 4)
SHORT = po.Curriculum(epochs=4)


def umask() -> int:
    """What new files are not allowed."""
    now = os.umask(0)
    os.umask(now)
    return now


def fading(count: int = 20, seed: int = 0, times: np.ndarray = TIMES, most: int = 24) -> po.Dataset:
    """Clouds with u = e^{-k t} a of a random field a, and v = u + b of a given field b; k varies
    over more than a factor of ten.
    """
    rng = np.random.default_rng(seed)
    points = [rng.uniform(size=(int(n), 2)) for n in rng.integers(20, most + 1, count)]
    k = np.geomspace(0.1, 2, count)
    a = [np.sin(3 * p[:, 0] + rng.uniform()) + p[:, 1] for p in points]
    b = [np.cos(2 * p[:, 1]) for p in points]
    u = [np.exp(-rate * times[:, None]) * field for rate, field in zip(k, a, strict=True)]
    v = [one + field for one, field in zip(u, b, strict=True)]
    return po.Dataset.from_arrays(
        coordinates={"t": times, "points": points},
        time="t",
        inputs={"b": b},
        parameters={"k": k},
        outputs={"w": [np.stack(pair, -1) for pair in zip(u, v, strict=True)]},
    )


@pytest.fixture(scope="module")
def data() -> po.Dataset:
    return fading()


# Data


def test_trajectories_at_points_keep_their_values_in_memory_and_in_a_file(data, tmp_path):
    again = po.Dataset.open(data.save(tmp_path / "a.h5"))
    for found in (data, again):
        assert found.layout.kind == "meshes" and found.layout.time == "t"
        assert found.unknowns == ("w0", "w1") and "meshes at 5 times" in repr(found)
        np.testing.assert_array_equal(found.coordinates["t"], TIMES)
        rows = found.rows([3])
        (u,), (v,), (b,), (k,) = (
            rows[n] for n in ("values/w0", "values/w1", "inputs/b", "inputs/k")
        )
        np.testing.assert_allclose(v, u + b[:, None])
        np.testing.assert_allclose(u, u[:, :1] * np.exp(-k * TIMES))
    assert again.digest != "" and again.origin == data.origin


def test_points_that_all_share_become_those_of_each_sample():
    rng = np.random.default_rng(0)
    points, u, field = rng.uniform(size=(7, 2)), rng.normal(size=(3, 5, 7)), rng.normal(size=(3, 7))
    data = po.Dataset.from_arrays(
        coordinates={"t": TIMES, "points": points}, time="t", outputs={"u": u},
        inputs={"f": field, "vector": rng.normal(size=(3, 2))},
    )  # fmt: skip
    rows = data.rows(range(3))
    np.testing.assert_array_equal(np.swapaxes(rows["values/u"], 1, 2), u)
    np.testing.assert_array_equal(rows["inputs/f"], field)
    assert data.local == ["f"] and rows["inputs/vector"].shape == (3, 2)


@pytest.mark.parametrize("moving", [True, False])
def test_arrays_of_samples_with_as_many_points_are_like_lists(moving):
    """A field ``(n, m)`` was seen as a vector of m numbers, the same at all points."""
    rng = np.random.default_rng(0)
    points, field, vector = (rng.normal(size=size) for size in ((3, 7, 2), (3, 7), (3, 2)))
    u = rng.normal(size=(3, 5, 7) if moving else (3, 7))
    for own in (points, list(points)):
        data = po.Dataset.from_arrays(
            coordinates={"t": TIMES, "points": own} if moving else own,
            time="t" if moving else None,
            inputs={"f": field, "vector": vector},
            outputs={"u": u},
        )
        rows = data.rows(range(3))
        assert data.local == ["f"] and rows["inputs/vector"].shape == (3, 2)
        np.testing.assert_array_equal(rows["points"], points)
        np.testing.assert_array_equal(rows["inputs/f"], field)
        values = rows["values/u"]
        np.testing.assert_array_equal(np.swapaxes(values, 1, 2) if moving else values, u)


@pytest.mark.parametrize(
    "coordinates, time, shape, words",
    [
        ([np.zeros((3, 2))] * 2, "t", (5, 3), "a time axis needs the times too"),
        ({"t": TIMES, "points": [np.zeros((3, 2))] * 2}, None, (5, 3), "and time='t'"),
        ({"points": [np.zeros((3, 2))] * 2}, "t", (5, 3), "coordinates are points"),
        ({"t": TIMES, "points": [np.zeros((3, 2))] * 2}, "t", (3, 5), r"must be \(5, 3\)"),
        ({"t": TIMES[::-1], "points": [np.zeros((3, 2))] * 2}, "t", (5, 3), "axis t must rise"),
        ({"t": TIMES, "points": [np.zeros((3, 2))] * 3}, "t", (5, 3), "2 samples, and there are 3"),
    ],
)
def test_what_is_no_trajectory_at_points_is_refused(coordinates, time, shape, words):
    with pytest.raises(ValueError, match=words):
        po.Dataset.from_arrays(
            coordinates=coordinates, time=time, outputs={"u": [np.zeros(shape)] * 2}
        )


def test_heat_on_a_square_is_the_exact_solution_in_time():
    """u = (1 + e^{-2 π² κ t} / 2) s with s = sin πx sin πy, for f = 2 π² s and g = 3 f / 2."""
    pytest.importorskip("skfem")
    errors = []
    for size, substeps in ((0.1, 2), (0.05, 8)):
        mesh = triangulated([SQUARE], size)

        def wave(x, y):
            return np.sin(np.pi * x) * np.sin(np.pi * y)

        found = heat_on_mesh(
            mesh.points,
            mesh.cells,
            before=lambda x, y: 3 * np.pi**2 * wave(x, y),
            source=lambda x, y: 2 * np.pi**2 * wave(x, y),
            diffusivity=0.2,
            times=TIMES,
            substeps=substeps,
        )
        exact = 1 + 0.5 * np.exp(-2 * np.pi**2 * 0.2 * TIMES)
        errors.append(np.abs(found - exact[:, None] * wave(*mesh.points.T)).max())
    assert errors[1] < 2e-4 and errors[1] < errors[0] / 8


def test_heat_in_time_agrees_with_a_finer_mesh_and_ends_near_the_steady_one():
    pytest.importorskip("skfem")
    assert "heat_in_time" in MESH_FAMILIES
    coarse, fine = (mesh_contents("heat_in_time", 1, seed=3, nodes=(n, n)) for n in (300, 1200))
    (points,), (finer,) = coarse.coordinates["points"], fine.coordinates["points"]
    (u,), (truth,) = coarse.outputs["u"], fine.outputs["u"]
    assert u.shape == (11, len(points)) and 0.02 <= coarse.parameters["diffusivity"][0] <= 0.2
    there = Mesh(finer, fine.cells[0]).interpolated(truth.T, points).T
    assert np.linalg.norm(u - there) < 0.03 * np.linalg.norm(there)
    data = po.Dataset.of(coarse)
    assert data.layout.time == "t" and data.layout.parameters == ("diffusivity",)


# Training


def planned(data: po.Dataset, architecture: Direct, **options):
    shared = {"dataset": data, "physics": None, "optimizer": None, "weighting": None}
    shared |= {"functions": po.Functions(batch=3), "curriculum": SHORT} | options
    asked = Options("float32", None, 0, None, None, (), False, None, False, 30.0)
    return point_step_plan(architecture, asked, **shared).assembled(0)


@pytest.mark.slow
@pytest.mark.parametrize("change", [False, True])
@pytest.mark.parametrize("history", [1, 2])
def test_the_loss_is_that_of_steps_from_the_truth_and_from_predictions(data, history, change):
    """By hand, without what fills a sample up: ``free`` snapshots follow from predictions."""
    made = planned(data, Direct(NETWORK, history=history, change=change))
    model, params, source = made.training.model, made.params, made.training.source
    drawn = source.drawn(model, params, jax.random.key(0), None)
    clouds = jax.tree.map(lambda leaf: jnp.asarray(leaf)[:1], drawn.clouds[0])
    there = np.flatnonzero(clouds.present[0])
    network = eqx.filter_jit(model.network(params))
    truth = (np.asarray(clouds.values[0])[there] - np.asarray(model.mean)) / np.asarray(model.scale)
    truth = np.moveaxis(truth, 1, 0)
    for free in (1, 3):
        known, expected = truth[:history], []
        for number in range(len(truth) - history):
            if not 0 < number < free:
                known = truth[number : number + history]
            seen = [clouds.features[0, there], *known]
            given = clouds.points[0, there], jnp.concatenate(seen, 1), jnp.ones(len(there), bool)
            state = np.asarray(network(*given)) + change * known[-1]
            off = np.linalg.norm(state - truth[number + history])
            expected.append(off / np.linalg.norm(truth[number + history]))
            known = np.concatenate([known[1:], state[None]])
        found = model.at({"free": free}).errors(params, clouds)["frames"][0] ** 2
        np.testing.assert_allclose(found, expected, rtol=2e-4)


def test_noise_is_drawn_for_each_step_and_sample(data):
    made = planned(data, Direct(NETWORK), curriculum=po.Curriculum(epochs=2, noise=0.1))
    model, params, source = made.training.model, made.params, made.training.source
    drawn = jax.tree.map(jnp.asarray, source.drawn(model, params, jax.random.key(0), None))
    weights = {"frames": jnp.ones(1)}

    @eqx.filter_jit
    def loss(key):
        step, _ = source.sampled(model, drawn, weights, key)
        step = replace(step, rows=drawn.rows)  # the same samples
        return model.objective(step, weights)(params)[0], step.clouds[0].seeds

    (one, seeds), (same, _), (other, _) = (loss(jax.random.key(key)) for key in (1, 1, 2))
    assert float(one) == float(same) != float(other)
    assert len(np.unique(seeds)) == len(seeds)


@pytest.fixture(scope="module")
def stepper(data, tmp_path_factory):
    """A training, and its folder."""
    folder = tmp_path_factory.mktemp("steps") / "run"
    curriculum = po.Curriculum(epochs=60)
    return po.train(data, NETWORK, curriculum=curriculum, progress=False, out=folder), folder


@pytest.mark.slow
def test_a_stepper_is_trained_saved_and_rolled_out(data, stepper, tmp_path):
    trained, folder = stepper
    assert trained.architecture == Direct(NETWORK, change=True)
    errors, later = trained.error(data), trained.lead_times(data)
    assert set(errors) == {"w0", "w1"} and all(e["mean"] < 0.2 for e in errors.values())
    assert later["steps"] == [1, 2, 3, 4] and later["w0"][0] < later["w0"][-1]
    again = po.load(folder)
    assert again.error(data) == errors and again.step == 0.25
    sample, rollout = again.predicted(data)[0]
    np.testing.assert_array_equal(rollout[:, 0], sample.values[:, 0])
    first = {name: sample.values[:, 0, c] for c, name in enumerate(("w0", "w1"))}
    answer = again(sample.mesh.points, first, 4, sample.inputs)
    assert answer["w1"].shape == (5, len(sample.mesh.points))
    np.testing.assert_allclose(answer["w1"].T, rollout[:, :, 1], rtol=1e-5, atol=1e-5)
    two = again(sample.mesh.points, first, 2, sample.inputs)
    begin = {name: values[-1] for name, values in two.items()}
    rest = again(sample.mesh.points, begin, 2, sample.inputs)
    np.testing.assert_allclose(rest["w0"], answer["w0"][2:], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        errors["w0"]["max_abs"],
        max(np.abs((r - s.values)[..., 0]).max() for s, r in again.predicted(data)),
    )
    page = trained.report(tmp_path / "report.html", data).read_text()
    assert "Direct(network=Transolver(" in page or "Direct(Transolver(" in page
    longer = fading(4, seed=5, times=np.linspace(0, 2, 9))
    assert len(again.lead_times(longer)["steps"]) == 8


def test_a_program_makes_the_same_steps(data, stepper):
    trained, _ = stepper
    sample, rollout = trained.predicted(data)[0]
    program = trained.program(4)
    given = {"points": sample.mesh.points[None], "first": sample.values[None, :, 0]}
    given |= {name: np.asarray(array)[None] for name, array in sample.inputs.items()}
    assert program.inputs.keys() == given.keys()
    found = program.call(jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), given))["snapshots"]
    np.testing.assert_allclose(found[0], np.moveaxis(rollout, 1, 0)[1:], rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="snapshots must be"):
        trained.program(0)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"first": {"w0": np.zeros(20)}}, "first needs the unknowns w0, w1, got w0"),
        ({"first": {"w0": np.zeros(20), "w1": np.zeros(3)}}, r"w1'\] needs the shape \(20,\)"),
        ({"first": {"w0": np.full(20, np.nan), "w1": np.zeros(20)}}, "must be finite"),
        ({"first": {"w0": np.ones(20) * 1j, "w1": np.ones(20)}}, "complex numbers are not"),
        ({"first": {"w0": ["a"] * 20, "w1": np.zeros(20)}}, r"w0'\] must hold numbers, got <U1"),
        ({"cells": np.zeros((1, 3))}, "cells must be whole numbers, got float64"),
        ({"count": 0}, "count must be"),
        ({"count": True}, "count must be"),
        ({"inputs": {"b": np.zeros(20)}}, "inputs are b, k, got b"),
        ({"inputs": {"b": np.zeros(20), "k": -1.0}}, "k must be positive"),
    ],
)
def test_what_no_rollout_begins_with_is_refused(stepper, change, words):
    trained, _ = stepper
    given = {"first": {name: np.zeros(20) for name in ("w0", "w1")}, "count": 2}
    given |= {"inputs": {"b": np.zeros(20), "k": 1.0}} | change
    with pytest.raises(ValueError, match=words):
        trained(np.zeros((20, 2)), **given)


def test_other_steps_and_other_data_are_refused(data, stepper):
    trained, _ = stepper
    with pytest.raises(ValueError, match="the training had a step of 0.25"):
        trained.error(fading(4, seed=1, times=np.linspace(0, 2, 5)))
    with pytest.raises(ValueError, match="compared with data"):
        trained.error()
    uneven = fading(12, times=np.array([0, 0.1, 0.5]))
    with pytest.raises(ValueError, match="equally spaced"):
        po.train(uneven, NETWORK, progress=False)
    with pytest.raises(ValueError, match="has one snapshot, and a step leads"):
        po.train(fading(12, times=TIMES[:1]), NETWORK, progress=False)
    with pytest.raises(ValueError, match="history=5 leaves none of the 5 snapshots"):
        po.train(data, Direct(NETWORK, history=5), progress=False)
    with pytest.raises(ValueError, match="needs a grid"):
        po.train(data, NETWORK, physics=0.1, progress=False)
    for other in (DeepONet(), FNO(4, 2), Direct(FNO(4, 2))):
        with pytest.raises(ValueError, match="train Direct"):
            po.train(data, other, progress=False)
    with pytest.raises(ValueError, match="steps is not for a surrogate"):
        po.train(data, NETWORK, steps=3, progress=False)
    x, still = np.linspace(0, 1, 8), [np.zeros((5, 2))] * 4
    grid = po.Dataset.from_arrays(
        outputs={"u": np.ones((4, 5, 8))}, coordinates={"t": TIMES, "x": x}, time="t"
    )
    with pytest.raises(ValueError, match="points of their own"):
        po.train(grid, Direct(NETWORK), progress=False)
    steady = po.Dataset.from_arrays(outputs={"u": [np.ones(5)] * 4}, coordinates=still)
    with pytest.raises(ValueError, match="no trajectories at points"):
        po.train(steady, Direct(NETWORK), progress=False)


def test_missing_values_are_refused():
    points = [np.random.default_rng(0).uniform(size=(6 + k, 2)) for k in range(4)]
    u = [np.ones((5, len(p))) for p in points]
    u[2][1, 3] = np.nan
    data = po.Dataset.from_arrays(
        coordinates={"t": TIMES, "points": points}, time="t", outputs={"u": u}
    )
    with pytest.raises(ValueError, match="sample 2, of the .* part, has values of u that are not"):
        po.train(data, NETWORK, progress=False)


def test_seconds_since_1970_are_times_like_any_others():
    """Their steps are below the rounding of single precision, which uneven files are forgiven."""
    since = 1.7e9
    assert step_of(since + 60 * np.arange(5)) == 60
    assert step_of(since + np.array([0, 60, 600, 660, 700])) is None
    rounded = np.linspace(0, 1, 101, dtype=np.float32) + np.float32(20)
    assert step_of(rounded.astype(np.float64)) == pytest.approx(0.01, rel=1e-4)
    assert step_of(since + np.array([0.0, 128, 384])) is None  # numbers of single precision, too
    with pytest.raises(ValueError, match="equally spaced"):
        po.train(fading(12, times=since + np.array([0, 60, 600, 660])), NETWORK, progress=False)


def test_the_scale_of_a_constant_is_its_size():
    """The deviation of 0.1 is not zero in sums: all values were divided by 1e-17."""
    points = [np.random.default_rng(k).uniform(size=(7 + k, 2)) for k in range(10)]

    def of(value: float) -> po.Dataset:
        u = [np.full((5, len(p)), value) for p in points]
        return po.Dataset.from_arrays(
            coordinates={"t": TIMES, "points": points}, time="t", outputs={"u": u}
        )

    assert [of(value).scale["u"] for value in (0.1, 1e-9, -3e8, 0.0)] == [0.1, 1e-9, 3e8, 1.0]


def test_values_that_a_precision_does_not_tell_apart_are_refused():
    """101325 Pa and a wave of 1 mPa: single precision has steps of 8 mPa there."""
    rng = np.random.default_rng(0)
    points = [rng.uniform(size=(7 + k, 2)) for k in range(10)]
    p = [101325 + 1e-3 * rng.normal(size=(5, len(own))) for own in points]
    wave = po.Dataset.from_arrays(
        coordinates={"t": TIMES, "points": points}, time="t", outputs={"p": p}
    )
    words = "p varies by 0.001 about 1.01e.05, which float32 rounds to steps of 0.008; take the"
    with pytest.raises(ValueError, match=words):
        po.train(wave, NETWORK, progress=False)
    planned(wave, Direct(NETWORK))


def test_settings_of_direct_say_what_a_step_sees(data):
    """``conditional`` and ``parameter_map`` of numbers, and messages along edges."""
    blind = planned(data, Direct(NETWORK, conditional=False)).training.source.inputs
    assert blind.names == ("b",) and blind.features == 1
    seen = planned(data, Direct(NETWORK)).training.source.inputs
    assert seen.names == ("b", "k") and seen.maps == ("identity", "log")
    plain = planned(data, Direct(NETWORK, parameter_map="identity")).training.source.inputs
    assert plain.maps == ("identity", "identity")
    k = np.concatenate([data.rows([m])["inputs/k"] for m in data.splits["training"]])
    sizes = np.array([data.rows([m])["points"].shape[1] for m in data.splits["training"]])
    assert seen.centre[1] == pytest.approx(np.average(np.log(k), weights=sizes))


@pytest.mark.slow
def test_a_resumed_training_is_the_same_bit_for_bit(data, tmp_path):
    def run(**options):
        return po.train(
            data, Direct(MeshGraphNet(8, 1, neighbours=3)), curriculum=SHORT, progress=False,
            functions=po.Functions(batch=4), **options,
        )  # fmt: skip

    whole = run()
    stopped = run(out=tmp_path / "run", callbacks=[lambda report: report.step >= 8])
    assert stopped.status == "stopped" and stopped.steps < whole.steps
    resumed = run(out=tmp_path / "run", resume=True)
    same = jax.tree.map(np.array_equal, whole.params, resumed.params)
    assert all(jax.tree.leaves(same))


@pytest.mark.slow
def test_the_command_line_reads_and_evaluates_a_stepper(data, stepper, tmp_path, capsys):
    asked = "Direct(Transolver(8, 1, 2, 4), change=True)"
    assert written("operator", asked) == Direct(NETWORK, change=True)
    trained, folder = stepper
    file = str(data.save(tmp_path / "a.h5"))
    assert run(["evaluate", str(folder), "--data", file, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["relative_l2"]["w0"] == pytest.approx(trained.error(data)["w0"]["mean"], rel=1e-4)
    assert found["lead_times"]["steps"] == [1, 2, 3, 4]
    out = tmp_path / "new" / "rollouts.gif"
    assert run(["plot", str(folder), "--data", file, "--out", str(out)]) == 0
    with Image.open(out) as image:
        assert image.n_frames == 5 and out.stat().st_mode & 0o777 == 0o666 & ~umask()
    assert run(["plot", str(folder), "--out", str(out)]) == 2
    assert "a figure needs trajectories; give data" in capsys.readouterr().err
