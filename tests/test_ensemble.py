"""Whole trainings side by side, and trainings that go on from a solution."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from decay import Decay

import pinops as po
from pinops.optimizers import Adam, SSBroyden
from pinops.training import Training

OPTIONS = {
    "network": po.networks.MLP(width=6, depth=2),
    "points": po.Collocation(interior=64, every=40),
    "optimizer": (po.Phase(Adam(1e-2), 60), po.Phase(SSBroyden(), 70)),
    "progress": False,
}


@pytest.fixture(scope="module")
def ensemble():
    return po.solve(Decay(), ensemble=3, seed=4, **OPTIONS)


def test_each_seed_is_trained_as_it_would_be_alone(ensemble):
    assert len(ensemble) == 3 and [solution.request["seed"] for solution in ensemble] == [4, 5, 6]
    t = np.linspace(0, 1, 11)
    for solution in ensemble:
        alone = po.solve(Decay(), seed=solution.request["seed"], **OPTIONS)
        assert solution.status == "finished" and solution.steps == alone.steps == 130
        assert [row.loss for row in solution.history] == [row.loss for row in alone.history]
        np.testing.assert_array_equal(solution(t=t), alone(t=t))


@pytest.mark.slow
def test_an_accelerator_trains_all_in_one_program(ensemble, monkeypatch):
    """To round-off, which a quasi-Newton method then amplifies: batched products add in another
    order.
    """
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    batched = po.solve(Decay(), ensemble=3, seed=4, **OPTIONS)
    t = np.linspace(0, 1, 11)
    for one, other in zip(batched, ensemble, strict=True):
        adam, loss = ([row.loss for row in run.history if row.step <= 60] for run in (one, other))
        np.testing.assert_allclose(adam, loss, rtol=1e-8)
        np.testing.assert_allclose(one(t=t), other(t=t), atol=1e-4)


def test_mean_and_spread(ensemble):
    values = np.stack([solution(t=[0.2, 0.9]) for solution in ensemble])
    np.testing.assert_array_equal(ensemble.mean(t=[0.2, 0.9]), values.mean(0))
    np.testing.assert_array_equal(ensemble.spread(t=[0.2, 0.9]), values.std(0, ddof=1))
    errors = [solution.error()["u"]["mean"] for solution in ensemble]
    largest = max(solution.error()["u"]["max_abs"] for solution in ensemble)
    assert ensemble.error()["u"] == pytest.approx(
        {
            "mean": np.mean(errors),
            "std": np.std(errors),
            "median": np.median(errors),
            "worst": max(errors),
            "max_abs": largest,
        }
    )


@pytest.mark.slow
def test_an_ensemble_is_resumed_bit_for_bit(tmp_path):
    def stop(report):
        return report.step >= 80

    po.solve(Decay(), ensemble=2, out=tmp_path, callbacks=[stop], **OPTIONS)
    resumed = po.solve(Decay(), ensemble=2, out=tmp_path, resume=True, **OPTIONS)
    whole = po.solve(Decay(), ensemble=2, **OPTIONS)
    for a, b in zip(resumed, whole, strict=True):
        assert all(
            np.array_equal(x, y)
            for x, y in zip(jax.tree.leaves(a.params), jax.tree.leaves(b.params), strict=True)
        )
        assert po.load(tmp_path / f"seed_{a.request['seed']}", problem=Decay()).error() == b.error()


def test_one_that_diverges_does_not_stop_the_others(monkeypatch):
    settle, tries = Training.settle, []

    def poisoned(self, state, number, done, seconds):
        if self.seed == 1 and int(state.step) >= 60:
            tries.append(int(state.step))
            done = done._replace(terms=jax.tree.map(lambda x: x * jnp.nan, done.terms))
        return settle(self, state, number, done, seconds)

    monkeypatch.setattr(Training, "settle", poisoned)
    ensemble = po.solve(Decay(), ensemble=3, **OPTIONS)
    assert [solution.status for solution in ensemble] == ["finished", "diverged", "finished"]
    assert [solution.steps for solution in ensemble] == [130, 60, 130] and tries == [60] * 4


@pytest.mark.parametrize("seeds", [0, -1, 2.5, "many"])
def test_a_number_of_seeds_is_a_whole_number(seeds):
    with pytest.raises(ValueError, match="ensemble must be a whole number from 1 to 1000"):
        po.solve(Decay(), ensemble=seeds, **OPTIONS)


def test_a_warm_start_goes_on_with_network_and_optimizer(ensemble):
    first = ensemble[0]
    options = {
        name: value for name, value in OPTIONS.items() if name not in ("network", "optimizer")
    }
    warm = po.solve(Decay(rate=1.01), start=first, steps=4, **options)
    assert warm.request["phases"] == [{"SSBroyden": {"max_evaluations": 25}}] and warm.steps == 4
    forgetful = replace(first, state=None)  # as a loaded solution: the network only
    without = po.solve(Decay(rate=1.01), start=forgetful, steps=4, **options)
    cold = po.solve(Decay(rate=1.01), **{**OPTIONS, "optimizer": SSBroyden()}, steps=4)
    assert without.history[-1].loss < 1e-2 * cold.history[-1].loss
    assert warm.history[-1].loss != without.history[-1].loss  # the optimizer's state counts
    # Without a step the network is the one that it started from.
    again = po.solve(Decay(), start=first, steps=1, optimizer=Adam(1e-12), **options)
    np.testing.assert_allclose(again(t=0.5), first(t=0.5), rtol=1e-9)


def test_start_and_network_exclude_each_other(ensemble):
    with pytest.raises(ValueError, match="start and network exclude each other"):
        po.solve(Decay(), start=ensemble[0], **OPTIONS)


def test_a_start_for_another_kind_of_problem_is_one_sentence(ensemble):
    with pytest.raises(ValueError, match="the network cannot be called with 2 features"):
        po.solve("heat", start=ensemble[0], progress=False, steps=1)


STAGES = po.Continuation(30, rate=(0.1, 0.5))


def test_a_continuation_goes_through_its_stages(monkeypatch):
    seen, inputs = [], Training.inputs

    def record(self, state, number, count):
        out = inputs(self, state, number, count)
        seen.append((int(state.step), float(out[0].problem.rate)))
        return out

    monkeypatch.setattr(Training, "inputs", record)
    solution = po.solve(Decay(), continuation=STAGES, **OPTIONS)
    assert seen == [(0, 0.1), (30, 0.5), (40, 0.5), (60, 1.0), (80, 1.0), (120, 1.0)]
    assert solution.error()["u"]["mean"] < 1e-3 and solution.coefficients == {"rate": 1.0}


def test_a_continuation_is_resumed_bit_for_bit(tmp_path):
    whole = po.solve(Decay(), continuation=STAGES, **OPTIONS)
    po.solve(
        Decay(),
        continuation=STAGES,
        out=tmp_path,
        callbacks=[lambda report: report.step >= 30],
        **OPTIONS,
    )
    resumed = po.solve(Decay(), continuation=STAGES, out=tmp_path, resume=True, **OPTIONS)
    assert all(
        np.array_equal(x, y)
        for x, y in zip(jax.tree.leaves(whole.params), jax.tree.leaves(resumed.params), strict=True)
    )


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: po.Continuation(0, rate=(1.0,)),
            "steps must be a whole number from 1 to",
        ),
        (
            lambda: po.Continuation(5),
            "every coefficient needs one value for each stage, got no coefficient",
        ),
        (
            lambda: po.Continuation(5, rate=(1.0,), other=(1.0, 2.0)),
            "every coefficient needs one value for each stage",
        ),
        (
            lambda: po.Continuation(5, rate=(np.nan,)),
            r"coefficients\['rate'\] must be a tuple with a finite number",
        ),
        (
            lambda: po.solve(Decay(), continuation=po.Continuation(5, speed=(1.0,))),
            "no coefficient 'speed' to continue in; it has rate",
        ),
        (
            lambda: po.solve(Decay(), continuation=po.Continuation(5, rate=(-1.0,))),
            "rate must be greater than zero",
        ),
    ],
)
def test_stages_that_cannot_be_meant(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
