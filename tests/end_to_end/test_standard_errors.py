"""Standard errors of coefficients, against those that least squares gives by hand."""

import numpy as np
import pytest
from decay import Decay

import pinops as po
from pinops.optimizers import SSBroyden

T, RATE, NOISE = np.linspace(0.05, 1, 20), 1.3, 0.03
OPTIONS = {
    "network": po.networks.MLP(6, 2),
    "points": po.Collocation(interior=32, refinement=None, every=0),
    "optimizer": SSBroyden(),
    "steps": 150,
    "progress": False,
}


@pytest.fixture(scope="module")
def found():
    noise = NOISE * np.random.default_rng(0).standard_normal(len(T))
    observed = po.Observed({"t": T}, {"u": np.exp(-RATE * T) + noise})
    return po.invert(Decay(), observed, unknown="rate", **OPTIONS)


def test_the_error_is_that_of_nonlinear_least_squares(found):
    """u = exp(-r t): noise of size s moves r by s / |t exp(-r t)|, and s^2 is the mean square of
    the misfit, with one degree of freedom lost.
    """
    rate = found.coefficients["rate"]
    misfit = found(t=T) - found.problem.observations.values["u"]
    noise = np.sqrt(np.sum(np.square(misfit)) / (len(T) - 1))
    by_hand = noise / np.linalg.norm(T * np.exp(-rate * T))
    assert found.standard_errors()["rate"] == pytest.approx(by_hand, rel=0.1)
    assert abs(rate - RATE) < 3 * by_hand


def test_more_noise_is_a_larger_error(found):
    observed = po.Observed({"t": T}, {"u": np.exp(-RATE * T)})
    exact = po.invert(Decay(), observed, unknown="rate", **OPTIONS)
    assert exact.standard_errors()["rate"] < 0.1 * found.standard_errors()["rate"]


def test_what_cannot_be_told_is_one_sentence():
    with pytest.raises(ValueError, match="no coefficient was to be found; solve it with po.invert"):
        po.solve(Decay(), **OPTIONS | {"steps": 1}).standard_errors()
    few = po.Observed({"t": T[:1]}, {"u": [0.9]})
    with pytest.raises(ValueError, match="the observations, 1, are as few as the parameters"):
        po.invert(Decay(), few, unknown="rate", **OPTIONS | {"steps": 5}).standard_errors()
    wide = OPTIONS | {"network": po.networks.MLP(64, 2), "optimizer": po.optimizers.Adam()}
    with pytest.raises(ValueError, match="4000 parameters at most, and it has"):
        po.invert(Decay(), few, unknown="rate", **wide | {"steps": 1}).standard_errors()


def test_known_noise_gives_the_estimate_and_the_error_of_weighted_least_squares():
    """Noise of up to half of u: the equation holds, and each value counts by its own noise."""
    from scipy.optimize import minimize_scalar

    levels = np.where(np.arange(len(T)) < 10, 0.5, 0.05)
    measured = np.exp(-RATE * T) + levels * np.random.default_rng(3).standard_normal(len(T))
    best = minimize_scalar(
        lambda rate: np.sum(np.square((measured - np.exp(-rate * T)) / levels)), bounds=(0.1, 5)
    ).x
    observed = po.Observed({"t": T}, {"u": measured}, noise=levels)
    found = po.invert(Decay(), observed, unknown="rate", **OPTIONS)
    by_hand = 1 / np.linalg.norm(T * np.exp(-best * T) / levels)
    assert abs(found.coefficients["rate"] - best) < 0.02 * by_hand
    assert found.standard_errors()["rate"] == pytest.approx(by_hand, rel=0.01)
    # One observation is enough where its noise is known.
    one = po.Observed({"t": T[:1]}, {"u": [0.9]}, noise=0.01)
    alone = po.invert(Decay(), one, unknown="rate", **OPTIONS | {"steps": 50})
    assert alone.standard_errors()["rate"] > 0
