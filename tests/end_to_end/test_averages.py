"""Means of parameters, gradients of several batches, schedules that follow the length."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import pinops as po
from pinops import cli
from pinops.data import read_arrays
from pinops.operators import CAPE, FNO
from pinops.optimizers import SOAP, Accumulated, Adam, Averaged, Only, SSBroyden, innermost
from pinops.solvers._recipe import Length, phases
from pinops.training import Samples

TARGET = jnp.arange(1.0, 4.0)
SMALL = FNO(4, 2, 1)


def square(params):
    return jax.value_and_grad(lambda p: jnp.sum(jnp.square(p - TARGET)))(params)


def steps(optimizer, objectives, params):
    """The parameters after each step, and the last state."""
    state, seen = optimizer.init(params), []
    for objective in objectives:
        params, state, *_ = optimizer.update(objective, params, state)
        seen.append(np.asarray(params))
    return np.stack(seen), state


def dataset(count=20):
    x = np.arange(8) / 8
    a = np.random.default_rng(0).standard_normal((count, 1)) * np.sin(2 * np.pi * x)
    return po.Dataset.from_arrays(inputs={"a": a}, outputs={"u": 2 * a + 1}, coordinates={"x": x})


def trained(optimizer, count=70, **more):
    return po.train(
        dataset(), SMALL, optimizer=optimizer, steps=count, progress=False, loss="L2", **more
    )


# A mean of the parameters


@pytest.mark.parametrize("decay", [0.0, 0.7, 0.999])
def test_the_mean_has_weights_that_decay_and_sum_to_one(decay):
    inner = optax.sgd(0.1)
    seen, state = steps(Averaged(inner, decay), [square] * 12, jnp.zeros(3))
    plain, _ = steps(po.optimizers.as_optimizer(inner), [square] * 12, jnp.zeros(3))
    np.testing.assert_array_equal(seen, plain)
    weights = decay ** np.arange(11, -1, -1.0)
    expected = weights @ plain / weights.sum()
    answered = Averaged(inner, decay).answered(jnp.asarray(plain[-1]), state)
    np.testing.assert_allclose(answered, expected, rtol=2e-6)


def test_of_some_parameters_the_others_are_as_they_are():
    params = {"a": jnp.zeros(3), "b": jnp.ones(2)}

    def objective(params):
        return jax.value_and_grad(lambda p: jnp.sum((p["a"] - TARGET) ** 2) + p["b"][0])(params)

    optimizer = Only(Averaged(optax.sgd(0.1), 0.5), lambda params: params["a"])
    state = optimizer.init(params)
    for _ in range(3):
        params, state, *_ = optimizer.update(objective, params, state)
    found = optimizer.answered(params, state)
    np.testing.assert_array_equal(found["b"], jnp.ones(2))
    assert (found["a"] < params["a"]).all() and (found["a"] > 0).all()
    assert not optimizer.trains_all and not Averaged(optimizer).trains_all


def test_the_mean_is_scored_saved_and_answered_with(tmp_path):
    result = trained(Averaged(Adam(1e-2), 0.95), out=tmp_path / "run")
    raw = dataclasses.replace(result, params=result.state.params)
    rows = dataset().rows(range(3))
    given = {"a": rows["inputs/a"]}
    mean, last = (one(given)["u"] for one in (result, raw))
    assert np.abs(mean - last).max() > 1e-5
    np.testing.assert_array_equal(po.load(tmp_path / "run")(given)["u"], mean)
    np.testing.assert_array_equal(po.load(result.save(tmp_path / "copy"))(given)["u"], mean)
    again = po.load(tmp_path / "run").save(tmp_path / "again")
    np.testing.assert_array_equal(po.load(again)(given)["u"], mean)
    part = dataset().splits["validation"]
    rows = dataset().rows(part)
    off = result({"a": rows["inputs/a"]})["u"] - rows["values/u"]
    relative = np.linalg.norm(off, axis=1) / np.linalg.norm(rows["values/u"], axis=1)
    assert result.history[-1].errors["u"] == pytest.approx(relative.mean(), rel=1e-5)


@pytest.mark.parametrize(
    "optimizer",
    [
        Averaged(Accumulated(Adam(1e-2, None), 3), 0.9),
        Accumulated(Averaged(SOAP(1e-2), 0.9), 3),
    ],
    ids=["averaged", "accumulated"],
)
def test_a_stopped_run_goes_on_bit_for_bit(optimizer, tmp_path):
    def stop(report):
        return report.step >= 50  # in the middle of three batches

    trained(optimizer, out=tmp_path / "whole")
    first = trained(optimizer, out=tmp_path / "run", callbacks=[stop])
    assert first.status == "stopped" and first.steps == 50
    assert trained(optimizer, out=tmp_path / "run", resume=True).steps == 70
    whole, resumed = (
        read_arrays(tmp_path / name / "checkpoint" / "state.h5", "checkpoint")[0]
        for name in ("whole", "run")
    )
    assert whole.keys() == resumed.keys() and any(name.startswith("answer/") for name in whole)
    for name in whole.keys() - {"history/seconds"}:
        assert whole[name].tobytes() == resumed[name].tobytes(), name


def test_an_ensemble_has_a_mean_for_each():
    both = trained(Averaged(Adam(1e-2), 0.9), 20, ensemble=2)
    alone = trained(Averaged(Adam(1e-2), 0.9), 20, seed=1)
    given = {"a": dataset().rows(range(3))["inputs/a"]}
    np.testing.assert_allclose(both[1](given)["u"], alone(given)["u"], rtol=2e-4, atol=1e-5)


# Several batches


def test_several_batches_are_one_large_batch():
    one = trained(Adam(1e-2), 1)
    rows = dataset().rows(range(12))
    weights = {"observed u": jnp.ones(1)}

    def objective(part):
        a, u = (jnp.asarray(rows[name][part]) for name in ("inputs/a", "values/u"))
        return one.model.objective(Samples({"a": a}, u[..., None]), weights)

    def moved(optimizer, objectives):
        params, state = one.params, optimizer.init(one.params)
        for objective in objectives:
            params, state, *_ = optimizer.update(objective, params, state)
        return jax.tree.leaves(params)

    parts = [slice(k, k + 3) for k in range(0, 12, 3)]
    inner = Adam(1e-2)
    several = moved(Accumulated(inner, 4), [objective(part) for part in parts * 2])
    large = moved(inner, [objective(slice(0, 12))] * 2)
    for a, b in zip(several, large, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
    waiting = moved(Accumulated(inner, 4), [objective(part) for part in parts[:3]])
    for a, b in zip(waiting, jax.tree.leaves(one.params), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "wrong", [SSBroyden(), po.optimizers.LBFGS(), optax.lbfgs(), Averaged(po.optimizers.LBFGS())]
)
def test_what_compares_values_of_one_loss_cannot_accumulate(wrong):
    with pytest.raises(ValueError, match="Accumulated: .* give Adam, SOAP or another"):
        Accumulated(wrong)


def test_wrappers_count_as_what_they_wrap():
    both = Averaged(Accumulated(Adam(1e-3), 2))
    assert both.name == "Adam" and innermost(both) == Adam(1e-3) and not both.remembers
    assert Averaged(SSBroyden()).remembers and both.trains_all
    with pytest.raises(ValueError, match="SSBroyden does not suit maps"):
        trained(Averaged(SSBroyden()))


# Schedules


def test_a_learning_rate_falls_over_all_steps_of_its_phase():
    (phase,) = phases(Averaged(Accumulated(Adam(1e-3, None), 4)), 90, 1)
    assert innermost(phase.optimizer) == Adam(1e-3, 22)
    (phase,) = phases((po.Phase(SOAP(1e-3, None), 30),), None, 1)
    assert phase.optimizer == SOAP(1e-3, 30)
    seen, _ = steps(Adam(0.1, None).over(5), [square] * 7, jnp.zeros(3))
    assert (seen[4] != seen[3]).all() and (seen[6] == seen[5]).all()
    assert Adam(0.1, 7).over(5) == Adam(0.1, 7) and Adam(0.1).over(5) == Adam(0.1)


def test_time_counts_updates_and_not_batches():
    optimizer = Accumulated(Adam(0.1, 100), 4)
    state = optimizer.expecting(optimizer.init(jnp.zeros(3)), 40)
    assert float(state.inner.pace.speed) == pytest.approx(10.0)


def test_epochs_are_passes_through_the_data():
    data = dataset()
    result = po.train(data, SMALL, epochs=3, progress=False, optimizer=Adam(1e-2, None))
    assert result.steps == 3 * -(-len(data.splits["training"]) // 8)
    (content,) = result.request["phases"]
    assert content["Adam"]["decay_steps"] == result.steps
    assert Length(None, 2).in_steps(65, 32) == 6 and Length(7, None).in_steps(65, 32) == 7


@pytest.mark.parametrize(
    ("what", "more", "said"),
    [
        (SMALL, {"steps": 2}, "steps and epochs exclude each other"),
        (CAPE(SMALL), {}, "epochs is not for a surrogate"),
        (SMALL, {"epochs": 0}, "epochs must be a whole number from 1 to 1000000, got 0"),
    ],
)
def test_epochs_that_make_no_sense_are_refused(what, more, said):
    with pytest.raises(ValueError, match=said):
        po.train(dataset(), what, **{"epochs": 2} | more)
    with pytest.raises(ValueError, match="epochs are passes through data, and there are none"):
        po.train("antiderivative", epochs=2)


def test_on_the_command_line(tmp_path, capsys):
    data = dataset().save(tmp_path / "mine.h5")
    train = ["train", "--data", str(data), "--operator", "FNO(4, 2, depth=1)"]
    train += ["--out", str(tmp_path / "run"), "--epochs", "2", "--json"]
    optimizer = "Averaged(Accumulated(Adam(0.01, None), 2), 0.9)"
    assert cli.run([*train, "--optimizer", optimizer, "--compute-dtype", "bfloat16"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 4
    request = po.load(tmp_path / "run").request
    assert request["compute_dtype"] == "bfloat16"
    (phase,) = request["phases"]
    inner = {
        "Adam": {
            "learning_rate": 0.01,
            "decay_steps": 2,
            "largest": 0.0,
            "warm_up": 0.0,
            "weight_decay": 0.0,
        }
    }
    assert phase == {
        "Averaged": {"optimizer": {"Accumulated": {"optimizer": inner, "batches": 2}}, "decay": 0.9}
    }
    assert cli.run([*train, "--optimizer", "Averaged(Adam, 1)"]) == 2
    assert "Averaged: decay must be" in capsys.readouterr().err
