"""How an error falls with the number of samples."""

import numpy as np
import pytest

from pinops.metrics import scaling_law

SIZES = np.array([25, 50, 100, 200, 400, 800])


@pytest.mark.parametrize(("floor", "power"), [(0.0, 0.5), (0.02, 1.0), (0.005, 1.5)])
def test_a_law_without_noise_is_found(floor, power):
    law = scaling_law(SIZES, floor + 3 * SIZES**-power, resamples=20)
    assert law.power == pytest.approx(power, rel=1e-2)
    assert law.floor == pytest.approx(floor, abs=3e-4)
    target = floor + 3 * 2000.0**-power
    assert law.needed(target).value == pytest.approx(2000, rel=0.1)
    assert law.error(2000).value == pytest.approx(target, rel=0.05)


def test_an_error_below_the_floor_is_out_of_reach():
    law = scaling_law(SIZES, 0.1 + 3 / SIZES, resamples=20)
    assert law.needed(0.05) == (np.inf, np.inf, np.inf)
    assert "floor" in law._repr_html_() and "6 trainings" in repr(law)


def test_intervals_hold_the_truth():
    """Of 20 experiments with three seeds a size, most intervals of 90 % do."""
    rng, held = np.random.default_rng(0), []
    sizes = np.repeat(SIZES, 3)
    for _ in range(20):
        errors = (0.01 + 3 * sizes**-0.8) * np.exp(0.1 * rng.normal(size=len(sizes)))
        law = scaling_law(sizes, errors, resamples=30)
        found = law.error(1600)
        held.append(found.low <= 0.01 + 3 * 1600**-0.8 <= found.high)
        assert found.low <= found.high
    assert np.mean(held) >= 0.75


def test_one_bad_training_does_not_decide():
    errors = 3 * SIZES**-0.5
    errors[2] *= 5
    assert scaling_law(SIZES, errors, resamples=20).power == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(
    ("sizes", "errors", "sentence"),
    [
        ([1, 2, 3], [3, 2, 1], "at least 4 different sizes tell a floor from a power, got 3"),
        ([1, 2, 3, 3], [3, 2, 1, 1], "got 3"),
        ([1, 2, 3, 4], [3, 2, 1], "two lists of the same length"),
        ([1, 2, 3, 4], [3, 2, 0, 1], "errors must be finite and greater than zero, got 0"),
        ([1, 2, -3, 4], [3, 2, 1, 1], "sizes must be finite and greater than zero, got -3"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(sizes, errors, sentence):
    with pytest.raises(ValueError, match=sentence):
        scaling_law(sizes, errors)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="level must be"):
        scaling_law([1, 2, 3, 4], [4, 3, 2, 1], level=1.0)
    law = scaling_law([1, 2, 3, 4], [4, 3, 2, 1], resamples=20)
    with pytest.raises(ValueError, match="error must be"):
        law.needed(-0.1)
