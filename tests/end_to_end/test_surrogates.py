"""Autoregressive surrogates on grids: networks, CAPE, curriculum, training, rollouts (spec: CAPE,
section 9).
"""

import functools
import json
import re
import sys
import warnings
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pinops as po
from pinops.cli import run
from pinops.data import Dataset, generate, inputs_in, solved
from pinops.metrics import rollout_metrics
from pinops.operators import (
    CAPE,
    CNO,
    FNO,
    Direct,
    FactorisedSpectralConvolution,
    MessagePassing,
    SpectralConvolution,
    UNet,
)
from pinops.problem import load_problem
from pinops.reference import _burgers_2d as solver
from pinops.training import Curriculum, Trajectories, as_frames, grid_residuals, in_a_row

KEY = jax.random.key(0)
SMALL = CAPE(FNO(6, 4, 2), 8, 3, 4, 2)


def published(network, modes, **settings):
    return CAPE(network, 64, 5, modes, norm="spatial", padding="zeros", **settings)


@pytest.mark.parametrize(
    "build, once, twice",
    [
        (lambda: FNO(36, 12, 4, 1 / 64).build(1, 1, (128,), key=KEY), 72_509, 134_717),
        (
            lambda: FNO(36, 12, 4, 1 / 64).build(2, 2, (128,), key=KEY),
            72_674,
            134_882,
        ),  # the parameter is an output there, too
        (lambda: FNO(28, 12, 4, 1 / 64).build(4, 4, (64, 64), key=KEY), 910_840, 1_814_008),
        (
            lambda: published(FNO(20, 12, 4, 1 / 64), 16).build(1, 1, (128,), key=KEY).embedding,
            44_321,
            77_089,
        ),
        (
            lambda: published(FNO(20, 12, 4, 1 / 64), 16).build(1, 1, (128,), key=KEY),
            68_230,
            120_198,
        ),
        (
            lambda: published(FNO(20, 12, 4, 1 / 64), 9).build(4, 3, (64, 64), key=KEY),
            822_428,
            1_615_004,
        ),
        (lambda: UNet(32).build(1, 1, (128,), key=KEY), 2_707_809, None),
        (lambda: published(UNet(32), 16).build(1, 1, (128,), key=KEY), 2_752_262, None),
        (lambda: UNet(32).build(4, 4, (64, 64), key=KEY), 7_763_428, None),
        (lambda: published(UNet(30), 9).build(4, 3, (64, 64), key=KEY), 7_180_986, None),
    ],
)
def test_parameter_counts_are_those_of_the_published_configurations(build, once, twice):
    # Shapes alone: nothing is computed.
    network = eqx.filter_eval_shape(build)
    network = jax.tree.map(
        lambda leaf: np.broadcast_to(0.0, leaf.shape) if hasattr(leaf, "shape") else leaf, network
    )
    sizes = [
        part.weight.size
        for part in jax.tree.leaves(network, is_leaf=lambda x: isinstance(x, SpectralConvolution))
        if isinstance(part, SpectralConvolution)
    ]
    total = sum(leaf.size for leaf in jax.tree.leaves(network) if isinstance(leaf, np.ndarray))
    assert total - sum(sizes) // 2 == once
    assert twice is None or total == twice


def size(network):
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(network, eqx.is_array)))


@pytest.mark.parametrize("axes, neighbours", [(1, 4), (2, 12), (3, 32)])
def test_parameters_of_message_passing(axes, neighbours):
    i, o, w, depth = 3, 2, 8, 4
    network = MessagePassing(w, depth, 2).build(i, o, (6,) * axes, key=KEY)
    layer = 2 * w * w + i * w + neighbours * w + (2 * w + 1) * w + (w + 1) * w
    assert size(network) == (i + 1) * w + (w + 1) * w + depth * layer + (w + 1) * w + (w + 1) * o


@pytest.mark.parametrize("grid", [(32,), (16, 16), (8, 8, 8)])
def test_factorised_weights_are_fewer(grid):
    d, w, m = len(grid), 5, 3
    whole, factorised = (
        FNO(w, m, 2, factorised=f).build(1, 1, grid, key=KEY) for f in (False, True)
    )
    assert size(whole) - size(factorised) == 2 * 2 * w * w * (m * (2 * m) ** (d - 1) - d * m)


def test_the_curriculum_is_the_published_one(shared):
    golden = json.loads(
        (shared / "refdata" / "cape" / "golden_schedule_and_param_counts.json").read_text()
    )
    schedule = Curriculum(100, 3)
    for frames in (41, 21):
        published = golden["curriculum_t_ar_per_epoch"][f"T{frames}_epochs100_warmup3"]
        assert [schedule.free(epoch, frames) for epoch in range(100)] == published


def test_other_curricula():
    assert [Curriculum(4, 1, "linear").free(epoch, 10) for epoch in range(4)] == [1, 1, 3, 6]
    assert [Curriculum(4, 1, "forced").free(epoch, 10) for epoch in range(4)] == [1, 1, 1, 1]
    assert [Curriculum(4, 1, "free").free(epoch, 10) for epoch in range(4)] == [1, 10, 10, 10]


@pytest.mark.parametrize("grid", [(17,), (12, 10), (16, 16), (6, 8, 7)])
def test_a_spectral_convolution_is_that_of_the_fourier_transform(grid, float64):
    m, axes = 3, tuple(range(len(grid)))
    layer = SpectralConvolution.drawn(3, 4, (m,) * len(grid), key=KEY)
    x = jax.random.normal(KEY, (*grid, 2, 3))
    spectrum = np.fft.rfftn(x, axes=axes)
    weight = np.asarray(layer.weight[0] + 1j * layer.weight[1]).reshape(
        *[2 * m] * (len(grid) - 1), m, 3, 4
    )
    chosen = np.ix_(*[[*range(m), *range(n - m, n)] for n in grid[:-1]], range(m))
    out = np.zeros((*spectrum.shape[:-1], 4), complex)
    out[chosen] = np.einsum("...bi,...io->...bo", spectrum[chosen], weight)
    np.testing.assert_allclose(layer(x), np.fft.irfftn(out, s=grid, axes=axes), atol=1e-13)


@pytest.mark.parametrize("grid", [(17,), (12, 10), (6, 8, 7)])
def test_a_factorised_convolution_is_the_sum_of_those_along_each_axis(grid, float64):
    m = 3
    layer = FactorisedSpectralConvolution.drawn(3, 4, (m,) * len(grid), key=KEY)
    x, total = jax.random.normal(KEY, (*grid, 2, 3)), 0
    for axis, part in enumerate(layer.along):
        lines = np.moveaxis(np.fft.rfft(x, axis=axis), axis, 0)
        out = np.zeros((*lines.shape[:-1], 4), complex)
        out[:m] = np.einsum("k...i,kio->k...o", lines[:m], part.weight[0] + 1j * part.weight[1])
        total = total + np.fft.irfft(np.moveaxis(out, 0, axis), n=grid[axis], axis=axis)
    np.testing.assert_allclose(layer(x), total, atol=1e-13)


@pytest.mark.parametrize(
    "grid, padding",
    [
        ((9,), "circular"),
        ((9,), "zeros"),
        ((9,), "reflect"),
        ((6, 5), "zeros"),
        ((5, 4, 3), "circular"),
    ],
    ids=str,
)
def test_messages_are_those_of_the_pairs_of_nodes(grid, padding, float64):
    """The formula of the paper, written for one receiver and one sender at a time."""
    axes, radius = len(grid), 2
    network = MessagePassing(4, 1, radius, padding).build(2, 3, grid, key=KEY)
    states, (layer,) = jax.random.normal(KEY, (1, *grid, 2)), network.layers
    f = network.encoder(states)
    mode = {"circular": "wrap", "zeros": "constant", "reflect": "reflect"}[padding]
    features, values = (
        np.pad(x[0], [(radius, radius)] * axes + [(0, 0)], mode=mode) for x in (f, states)
    )
    matrix = np.concatenate([layer.receiver.weight, layer.sender.weight, layer.difference.weight])
    near = [
        o
        for o in np.ndindex(*[2 * radius + 1] * axes)
        if 0 < np.linalg.norm(np.array(o) - radius) <= radius
    ]
    nodes = []
    for place in np.ndindex(*grid):
        here, messages = tuple(k + radius for k in place), []
        for offset, position in zip(near, np.asarray(layer.positions), strict=True):
            there = tuple(np.add(place, offset))
            x = (
                np.concatenate([features[here], features[there], values[here] - values[there]])
                @ matrix
                + position
            )
            messages.append(x / (1 + np.exp(-x)))
        nodes.append(np.mean(messages, 0))
    mean = jnp.asarray(np.reshape(nodes, (1, *grid, 4)))
    expected = network.decoder(f + layer.update(jnp.concatenate([f, mean], -1)))
    np.testing.assert_allclose(network(states), expected, atol=1e-12)


@pytest.mark.parametrize("grid", [(16,), (6, 5), (5, 4, 3)])
def test_message_passing_commutes_with_translations(grid, float64):
    network = eqx.filter_jit(MessagePassing(4, 2).build(2, 2, grid, key=KEY))
    states, axes = jax.random.normal(KEY, (2, *grid, 2)), tuple(range(1, 1 + len(grid)))

    def moved(x):
        return jnp.roll(x, (3, 1, 2)[: len(grid)], axes)

    np.testing.assert_allclose(network(moved(states)), moved(network(states)), atol=1e-13)


@pytest.mark.parametrize(
    "network, grid",
    [
        (FNO(5, 3, 2), (32,)),
        (FNO(5, 3, 1), (8, 8)),
        (FNO(5, 3, 1, factorised=True), (8, 8)),
        (UNet(2), (32,)),
        (UNet(2, "zeros"), (16,)),
        (UNet(2, "reflect"), (32,)),
        (CNO(2, 1, 1), (12, 10)),
        (UNet(2), (16, 16)),
        (MessagePassing(4, 1, padding="zeros"), (8,)),
        (MessagePassing(4, 1, 1, "reflect"), (8, 8)),
    ],
    ids=str,
)
def test_surrogates_of_any_network_keep_shape_and_precision(network, grid):
    for architecture in (Direct(network, False), Direct(network), CAPE(network, 8, 3, 3, 2)):
        surrogate = eqx.filter_jit(architecture.build(2, 3, grid, key=KEY))
        states, parameters = jax.random.normal(KEY, (4, *grid, 2)), jax.random.normal(KEY, (4, 3))
        out = surrogate(states, parameters)
        assert out.shape == states.shape and out.dtype == states.dtype
        # Members of a batch do not see each other.
        others = states.at[2:].add(1.0)
        np.testing.assert_allclose(surrogate(others, parameters)[:2], out[:2], atol=2e-6)
        changed = surrogate(states, parameters + 1)
        assert (architecture == Direct(network, False)) == bool(jnp.all(out == changed))


def test_identities_of_cape(float64):
    surrogate = CAPE(FNO(6, 4, 1), 8, 5, 4, 4).build(1, 1, (32,), key=KEY)
    states, parameters = jax.random.normal(KEY, (3, 32, 1)), jnp.ones((3, 1))
    embed = surrogate.embedding
    call = eqx.filter_jit(lambda embed, states: embed(states, parameters))
    # Moved by a multiple of the pooling: so is the result.
    np.testing.assert_allclose(
        call(embed, jnp.roll(states, 8, 1)), jnp.roll(call(embed, states), 8, 1), atol=1e-12
    )
    # Without a projection nothing is added.
    still = eqx.tree_at(
        lambda e: (e.project.weight, e.project.bias), embed, replace_fn=jnp.zeros_like
    )
    np.testing.assert_array_equal(call(still, states), states)
    # With gains of zero the branches do not count.
    silent = eqx.tree_at(
        lambda e: [a for g in e.gains.values() for a in (g.out.weight, g.out.bias)],
        embed,
        replace_fn=jnp.zeros_like,
    )
    other = eqx.tree_at(
        lambda e: e.branches["pointwise"].weight, silent, replace_fn=lambda w: w + 1
    )
    np.testing.assert_array_equal(call(other, states), call(silent, states))
    assert set(
        CAPE(FNO(6, 4, 2), 8, 5, 4, branches=("depthwise",))
        .build(1, 1, (32,), key=KEY)
        .embedding.branches
    ) == {"depthwise"}


def test_metrics_of_hand_made_rollouts():
    x = np.arange(16) / 16

    def wave(k):
        return np.cos(2 * np.pi * k * x)

    truth = np.stack([2 + wave(1)] * 4)[None, :, :, None]
    predicted = truth + 0.1 * wave(5)[None, None, :, None] + 0.3
    found = {name: float(value[0]) for name, value in rollout_metrics(predicted, truth).items()}
    assert found["conserved"] == pytest.approx(0.3)
    assert found["rmse"] == pytest.approx(np.sqrt(0.09 + 0.005))
    assert found["nrmse"] == pytest.approx(np.sqrt(0.09 + 0.005) / np.sqrt(4.5))
    assert found["fluctuation"] == pytest.approx(0.1)
    assert found["low"] == pytest.approx(0.3) and found["middle"] == pytest.approx(0.1 / np.sqrt(2))
    assert found["high"] < 1e-12 and found["correlated"] == 1
    lost = np.concatenate(
        [truth[:, :2], 4 - truth[:, 2:]], 1
    )  # the wave upside down from the third frame on
    assert rollout_metrics(lost, truth)["correlated"][0] == pytest.approx(1 / 3)


def test_residuals_of_exact_trajectories_vanish(float64):
    """Fourier series in space, differences of second order in time."""
    rough = []
    for frames in (41, 81):
        family = load_problem("cape_burgers", viscosity=1.0, frames=frames)
        u = family.reference().values["u"].T[..., None]
        (vector,) = grid_residuals(
            family, jnp.asarray(u), ((1 / 128, 1 / 64), (0, 2 / (frames - 1))), owner="test"
        ).values()
        assert vector.shape == (frames - 2, 64)
        rough.append(float(jnp.sqrt(jnp.mean(jnp.square(vector[frames // 4 :])))))
    assert rough[1] < rough[0] / 3 and rough[1] < 1e-4


def test_residuals_of_a_solution_in_two_dimensions_vanish(float64):
    """Both equations, with the unknowns and their derivatives by their names."""
    rough = []
    for frames in (21, 41):
        family = load_problem("cape_burgers_2d", frames=frames, cells=32)
        u = np.moveaxis(np.stack([family.reference().values[name] for name in "uv"], -1), 2, 0)
        grid = ((1 / 64, 1 / 32), (1 / 64, 1 / 32), (0, 1 / (frames - 1)))
        vectors = grid_residuals(family, jnp.asarray(u), grid, owner="test")
        assert {name: vector.shape for name, vector in vectors.items()} == {
            "momentum_x": (frames - 2, 32, 32),
            "momentum_y": (frames - 2, 32, 32),
        }
        rough.append(
            [
                float(jnp.sqrt(jnp.mean(jnp.square(vector[frames // 4 :]))))
                for vector in vectors.values()
            ]
        )
    assert all(fine < coarse / 3 and fine < 2e-2 for coarse, fine in zip(*rough, strict=True))


@pytest.mark.parametrize(
    "name, cells", [("cape_compressible_1d", 64), ("cape_compressible_2d", 16)]
)
def test_residuals_of_a_compressible_flow_vanish(name, cells, float64):
    """And they see a wrong viscosity, and friction that heats nothing."""
    calm = load_problem(name)
    family = replace(
        calm,
        initial=3 * calm.initial * np.array([1, 0, 1 / 3, 1 / 3])[:, None],
        cells=cells,
        frames=41,
    )
    reference, half = family.reference(), [(0.5 / cells, 1 / cells)] * (len(family.unknowns) - 2)
    frames = as_frames(
        family, {f"values/{name}": reference.values[name][None] for name in family.unknowns}
    )[0]

    def sizes(family):
        vectors = grid_residuals(family, jnp.asarray(frames), (*half, (0, 1 / 40)), owner="test")
        return {
            name: float(jnp.sqrt(jnp.mean(jnp.square(vector[8:20]))))
            for name, vector in vectors.items()
        }

    right, wrong = sizes(family), sizes(replace(family, viscosity=0.15))
    assert all(size < 2e-2 for size in right.values())
    assert all(wrong[name] > 3 * size for name, size in right.items() if name != "continuity")


class Wave(po.Problem):
    """u_tt = u_xx + x-dependent source on a periodic interval that does not start at zero."""

    domain = po.Box(x=(1, 3), t=(1, 2))

    def residual(self, u_tt, u_xx, x, t):
        return u_tt - u_xx - (2 + jnp.pi**2 * (t - 1) ** 2) * jnp.sin(jnp.pi * x)

    def conditions(self):
        return (po.Periodic("x"),)


def test_grids_may_start_anywhere_and_second_differences_are_of_second_order(float64):
    x, t = 1 + 2 * np.arange(16) / 16, 1 + np.arange(21) / 20
    u = ((t - 1) ** 2)[:, None, None] * np.sin(np.pi * x)[
        None, :, None
    ]  # differences are exact for it
    (vector,) = grid_residuals(
        Wave(), jnp.asarray(u), ((1, 1 / 8), (1, 1 / 20)), owner="test"
    ).values()
    np.testing.assert_allclose(vector, 0, atol=1e-9)


def test_a_rollout_that_is_not_finite_is_not_correlated():
    truth = np.random.default_rng(0).normal(size=(2, 5, 16, 1))
    predicted = truth.copy()
    predicted[0, 2:] = np.nan
    assert list(rollout_metrics(predicted, truth)["correlated"]) == [0.25, 1.0]


# -- Training ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    family = load_problem("cape_advection", cells=16, frames=6)
    return generate(family, tmp_path_factory.mktemp("data") / "advection.h5", count=96)


FAMILY = {"cells": 16, "frames": 6}
ONES = {name: jnp.ones(1) for name in ("frames", "embedding", "residual")}
TINY = CAPE(FNO(6, 4, 2), 8, 3, 4, 2)


def trained(data, **options):
    few = po.Functions(batch=16)
    options = {"curriculum": Curriculum(4, 1), "functions": few, "progress": False} | options
    return po.train(load_problem("cape_advection", **FAMILY), TINY, data=data, **options)


@pytest.fixture(scope="module")
def short(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "short"
    return trained(data, out=out), out


def test_training_lowers_the_loss_and_comes_back_from_its_folder(data, short):
    result, out = short
    frames = [report.terms["frames"] for report in result.history if report.terms["frames"] > 0]
    assert frames[-1] < frames[0] and set(result.history[-1].terms) == {"frames", "embedding"}
    again = po.load(out, problem=load_problem("cape_advection", **FAMILY))
    for one, other in zip(again.predicted(data), result.predicted(data), strict=True):
        np.testing.assert_array_equal(one, other)
    summary = json.loads((out / "run.json").read_text())["result"]
    assert summary["rollout"]["all"]["nrmse"] == pytest.approx(result.metrics(data)["all"]["nrmse"])
    assert any(label.startswith("speed=") for label in summary["rollout"])


def test_only_the_embedding_is_trained_while_it_warms_up(data):
    result = trained(data, callbacks=[lambda report: True])  # stops after the first epoch
    network = result.model.surrogate(result.params)
    fresh = TINY.build(1, 1, (16,), key=jax.random.fold_in(jax.random.key(0), 0))
    np.testing.assert_array_equal(network.network.lift.weight, fresh.network.lift.weight)
    assert bool(jnp.any(network.embedding.project.weight != fresh.embedding.project.weight))


def test_schedules_of_optax_are_kept_with_the_run(data, tmp_path):
    halved = optax.exponential_decay(
        3e-3, 10, 0.5, staircase=True
    )  # closes over a name that has no value
    optimizer = optax.chain(
        optax.add_decayed_weights(1e-4), optax.scale_by_adam(), optax.scale_by_learning_rate(halved)
    )
    trained(
        data,
        optimizer=optimizer,
        curriculum=Curriculum(2, 0),
        out=tmp_path / "run",
        callbacks=[lambda report: True],
    )
    assert "0.003" in json.dumps(
        json.loads((tmp_path / "run" / "run.json").read_text())["request"]["optimizer"]
    )


def test_a_resumed_training_is_the_same_bit_for_bit(data, short, tmp_path):
    stopped = trained(data, out=tmp_path / "run", callbacks=[lambda report: report.step >= 8])
    assert stopped.status == "stopped"
    resumed = trained(data, out=tmp_path / "run", resume=True)
    for one, other in zip(
        jax.tree.leaves(resumed.params), jax.tree.leaves(short[0].params), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_all_at_once_and_in_turn_are_the_same_while_every_step_begins_at_the_truth(data, short):
    model, params = short[0].model, short[0].params
    rows = data.rows(range(8))
    frames = np.moveaxis(rows["values/u"], 2, 1)[..., None].astype(np.float32)
    trajectories = Trajectories(
        jnp.asarray(frames), jnp.asarray(in_a_row(inputs_in(rows), len(frames)), jnp.float32)
    )
    at_once = model.at({"free": 1, "warm": 0}).predictions(params, trajectories)
    # Of two frames the second follows from a prediction; with more it is in turn, and the truth
    # stands at the first two.
    in_turn = model.at({"free": 2, "warm": 0}).predictions(params, trajectories)
    np.testing.assert_allclose(in_turn[0][0], at_once[0][0], atol=1e-6)
    np.testing.assert_allclose(in_turn[0][2:], at_once[0][2:], atol=1e-6)
    assert float(jnp.max(jnp.abs(in_turn[0][1] - at_once[0][1]))) > 1e-4
    free = model.at({"free": 6, "warm": 0})
    rolled = model.rollout(
        params, jnp.asarray(frames[:, :1]), jnp.asarray(trajectories.parameters), {}, 5
    )
    scaled = free.predictions(params, trajectories)[0] * model.scale[0]
    np.testing.assert_allclose(jnp.moveaxis(scaled, 0, 1), rolled, atol=1e-5)

    def gradient(m):
        return jax.tree.leaves(m.objective(trajectories, ONES)(params)[1])

    pushed = gradient(replace(free, push_forward=True))
    assert any(
        bool(jnp.any(jnp.abs(a - b) > 1e-6)) for a, b in zip(pushed, gradient(free), strict=True)
    )


def test_an_fno_is_the_same_operator_on_finer_grids(data, short, tmp_path):
    coarse = po.train(
        load_problem("cape_advection", **FAMILY),
        Direct(FNO(8, 5)),
        data=data,
        curriculum=Curriculum(8, 0),
        functions=po.Functions(batch=8),
        progress=False,
    )
    finer = load_problem("cape_advection", cells=48, frames=6)
    same = generate(finer, tmp_path / "finer.h5", count=96)
    with pytest.raises(ValueError, match=r"refined\(2\) is for twice as many points"):
        coarse.metrics(same)
    fine = coarse.refined(3)
    wanted, found = (
        run.metrics(file)["all"]["nrmse"] for run, file in ((coarse, data), (fine, same))
    )
    assert found == pytest.approx(wanted, rel=0.02)
    fine.save(tmp_path / "run")
    again = po.load(tmp_path / "run", problem=finer, changed=True)
    np.testing.assert_array_equal(again.predicted(same)[0], fine.predicted(same)[0])
    # Every third place is that of the coarse grid.
    parameters, first = (
        in_a_row(inputs_in(same.rows(range(8))), 8),
        np.moveaxis(same.rows(range(8))["values/u"], 2, 1)[:, 0, :, None],
    )
    one, other = coarse(first[:, 1::3], parameters, 5), fine(first, parameters, 5)
    np.testing.assert_allclose(one, other[:, :, 1::3], atol=5e-3)
    assert len(short[0].refined(2)(first[:, :32], parameters, 1)) == 8
    with pytest.raises(ValueError, match="times must be a whole number of at least 1, got 0"):
        coarse.refined(0)


def test_equations_need_three_frames(tmp_path):
    family = load_problem("cape_advection", cells=16, frames=2)
    data = generate(family, tmp_path / "data.h5", count=65)
    with pytest.raises(
        ValueError, match="equations on a grid need at least 3 snapshots, and the data have 2"
    ):
        po.train(
            family,
            TINY,
            data=data,
            functions=po.Functions(batch=8),
            physics=1e-3,
            progress=False,
        )


def test_equations_may_be_in_the_loss(data):
    result = trained(data, curriculum=Curriculum(2, 0), physics=1e-3)
    assert result.history[-1].terms["residual"] > 0
    member = load_problem("cape_advection", **FAMILY)
    truth = member.reference().values["u"].T[..., None]
    assert result.residual(
        truth + 0.1 * np.random.default_rng(0).normal(size=truth.shape), member
    ) > result.residual(truth, member)


def test_fine_tuning_lowers_the_residual_of_its_trajectories(data, short):
    """Without a truth, while an anchor keeps the network where it was."""
    result, _ = short
    members = [
        load_problem("cape_advection", speed=0.2, **FAMILY),
        load_problem("cape_advection", speed=0.4, **FAMILY),
    ]
    truth = np.stack([member.reference().values["u"].T[..., None] for member in members])
    before = result(truth[:, 0], [[0.2], [0.4]], 5)
    tuned = result.finetuned(truth[:, 0], members, 5, steps=200, learning_rate=5e-3, anchor=0.0)
    after = tuned(truth[:, 0], [[0.2], [0.4]], 5)
    assert tuned.status == "finetuned"

    def residual(frames):
        return sum(result.residual(frames[k], member) ** 2 for k, member in enumerate(members))

    assert residual(after) < 0.5 * residual(before)
    kept = result.finetuned(truth[:, 0], members, 5, steps=60, anchor=1e6)(
        truth[:, 0], [[0.2], [0.4]], 5
    )
    assert np.linalg.norm(kept - before) < 0.3 * np.linalg.norm(after - before)
    for options, sentence in (
        ({"members": []}, "members must be a problem for each first"),
        ({"members": members[:1]}, r"parameters need shape \(2, 1\)"),
        (
            {"members": [load_problem("cape_burgers")] * 2},
            "this surrogate is of CapeAdvection, not of CapeBurgers",
        ),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"anchor": -1}, "anchor must be finite and zero or more, got -1"),
        ({"learning_rate": 0}, "learning_rate must be finite and greater than zero, got 0"),
    ):
        with pytest.raises(ValueError, match=sentence):
            result.finetuned(truth[:, 0], **{"members": members, "count": 5, "steps": 1} | options)


def test_what_cannot_be_meant_is_a_sentence(data, short, tmp_path):
    result, _ = short
    frame, speed = np.zeros((2, 16, 1)), np.ones((2, 1))
    for wrong, message in (
        ((np.zeros((2, 32, 1)), speed), r"trained on a grid of \(16,\), got snapshots of \(32,\)"),
        ((np.zeros((2, 16, 3)), speed), "need 1 channels \\(u\\), got 3"),
        ((np.full((2, 16, 1), np.nan), speed), "must be finite"),
        ((frame, np.ones((2, 2))), r"parameters need shape \(2, 1\), speed of each"),
        ((frame[0], speed), r"first snapshots have shape \(n, \*grid, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            result(*wrong, 3)
    with pytest.warns(UserWarning, match=r"speed = 9 is outside the trained range, 0.2 to 4"):
        result(frame, 9 * speed, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result(frame, speed, 2)
    with pytest.raises(ValueError, match="has seen samples of this part"):
        result.predicted(data, "training")
    with pytest.raises(ValueError, match="batch must be at most the 32 trajectories"):
        trained(data, functions=po.Functions(batch=4096))
    with pytest.raises(ValueError, match="noise must be a finite number of at least 0, got -1"):
        Curriculum(noise=-1)
    with pytest.raises(ValueError, match=r"FNO maps fields to fields, .* has a time axis"):
        po.train(load_problem("cape_advection", **FAMILY), FNO(4, 4), data=data, progress=False)
    with pytest.raises(ValueError, match="GaussNewton does not suit surrogates"):
        trained(data, optimizer=po.optimizers.GaussNewton())
    with pytest.raises(ValueError, match="parameters must be finite"):
        result(frame, np.nan * speed, 3)
    with pytest.raises(ValueError, match="count must be a whole number of snapshots"):
        result(frame, speed, 0)
    with pytest.raises(ValueError, match="12 modes|at most 9 modes, got 12"):
        po.train(
            load_problem("cape_advection", **FAMILY),
            Direct(FNO(4, 12)),
            data=data,
            progress=False,
        )
    with pytest.raises(
        ValueError, match="padding must be one of circular, zeros, reflect, got 'mirror'"
    ):
        UNet(4, "mirror")
    with pytest.raises(ValueError, match=r"more points than radius=3, got a grid of \(8, 3\)"):
        MessagePassing(4, radius=3).build(1, 1, (8, 3), key=KEY)
    with pytest.raises(ValueError, match="factorised must be True or False, got 1"):
        FNO(4, factorised=1)
    with pytest.raises(ValueError, match="branches must be a tuple with one of spectral"):
        CAPE(branches=("wavelet",))
    with pytest.raises(ValueError, match="schedule must be one of"):
        Curriculum(schedule="steep")
    with pytest.raises(ValueError, match="warm_up must be less than the 3 epochs"):
        Curriculum(3, 3)
    with pytest.raises(ValueError, match="holds data of cape_advection, not of cape_burgers"):
        po.train("cape_burgers", TINY, data=data, progress=False)
    other = generate(
        load_problem("cape_advection", cells=32, frames=6), tmp_path / "other.h5", count=96
    )
    with pytest.raises(ValueError, match="and the surrogate is for"):
        result.predicted(other)
    assert isinstance(data, Dataset)


def test_two_unknowns_in_two_dimensions(tmp_path, monkeypatch):
    """From data over training with equations to rollouts, errors by viscosity, residuals and the
    figure.
    """
    family = load_problem("cape_burgers_2d", cells=16, frames=5)
    monkeypatch.setattr(solver, "_COARSEST", 8)  # rough data, in milliseconds
    rough = functools.partial(solver.periodic_burgers_2d, tolerance=1.0)
    monkeypatch.setattr(sys.modules[type(family).__module__], "periodic_burgers_2d", rough)
    data = generate(family, tmp_path / "data.h5", count=65)
    members, solutions = solved(data, family, range(65))
    for k in (0, 40, 64):  # bit for bit, from what the file knows of them
        np.testing.assert_array_equal(solutions[k].values["v"], members[k].reference().values["v"])
    result = po.train(
        family,
        TINY,
        data=data,
        curriculum=Curriculum(3, 1),
        functions=po.Functions(batch=16),
        physics=1e-3,
        out=tmp_path / "run",
        progress=False,
    )
    assert set(result.history[-1].terms) == {"frames", "embedding", "momentum_x", "momentum_y"}
    predicted, truth, parameters = po.load(tmp_path / "run", problem=family).predicted(data)
    assert predicted.shape == truth.shape == (1, 5, 16, 16, 2) and parameters.shape == (1, 1)
    np.testing.assert_array_equal(
        truth[0, ..., 1], np.moveaxis(data.rows(range(64, 65))["values/v"][0], 2, 0)
    )
    assert [name for name in result.metrics(data) if name != "all"] == [
        f"viscosity={parameters[0, 0]:.6g}"
    ]
    noise = 0.1 * np.random.default_rng(0).normal(size=truth[0].shape)
    assert result.residual(truth[0] + noise, members[64]) > result.residual(truth[0], members[64])
    figure = result.plot(tmp_path / "figure.png")
    titles = [ax.get_title() for ax in figure.axes]
    assert [
        sum(title.startswith(f"{name} at t = 0.5\nviscosity") for title in titles) for name in "uv"
    ] == [3, 3]


def test_on_the_command_line(data, tmp_path, capsys):
    train = ["train", "cape_advection", "--set", "cells=16", "frames=6"]

    def refused(sentence: str, *more: str) -> None:
        assert run([*train, *more]) == 2
        assert sentence in capsys.readouterr().err

    cape = "CAPE(FNO(6, 4), width=8, pooling=2"
    refused("make them with pinops data cape_advection", "--operator", f"{cape})")
    options = ["--data", str(data.path), "--curriculum", "Curriculum(2, 0)"]
    options += ["--functions", "Functions(batch=32)"]
    sentence = "8 points carry at most 5 modes, got 6"
    refused(sentence, "--operator", f"{cape}, modes=6)", *options)
    sentence = "branches must be a tuple with one of spectral, pointwise, depthwise in each place"
    refused(sentence, "--operator", f"{cape}, branches=(spectral, 'wavy'))", *options)
    sentence = "must be one of auto, identity, log, sigmoid_log, got 'root'"
    refused(sentence, "--operator", "Direct(FNO(6, 4), parameter_map='root')", *options)
    sentence = "Functions has no setting 'pooll'"
    refused(sentence, "--operator", f"{cape})", *options, "--functions", "Functions(pooll=8)")
    far = "MessagePassing(radius=16)"
    for operator in (f"Direct({far}, False)", f"Direct({far})", f"CAPE({far}, modes=2)"):
        sentence = "needs more points than radius=16, got a grid of (16,)"
        refused(sentence, "--operator", operator, *options)
    small = ["--operator", "Direct(FNO(6, 4, factorised=True))", *options]
    refused("steps is not for a surrogate", *small, "--steps", "3")
    out = tmp_path / "a"
    assert run([*train, *small, "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    figure = out / "figures" / "solution.png"
    assert result["rollout"]["all"]["nrmse"] > 0 and figure.exists()
    assert run(["evaluate", str(out), "--data", str(data.path)]) == 0
    assert "nRMSE" in capsys.readouterr().out
    assert run(["evaluate", str(out)]) == 0  # new members, solved by their references
    assert re.search(r"^u +\d\.\d\de", capsys.readouterr().out, re.MULTILINE)
    figure.unlink()
    assert run(["plot", str(out), "--data", str(data.path)]) == 0
    assert figure.exists()
