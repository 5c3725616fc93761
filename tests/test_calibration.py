"""Error bars against the truth: scores, histograms, coverage, alarms and conformal bands."""

import numpy as np
import pytest
from scipy import integrate, special, stats

import pinops as po
from pinops.metrics import (
    auroc,
    calibration,
    conformal,
    crps,
    gaussian_crps,
    pit,
    prediction_band,
    rank_correlation,
    rank_histogram,
)
from pinops.plotting import plot_bands, plot_calibration

EXPECTED = 1 / np.sqrt(np.pi)  # E CRPS of N(0, 1) whose truth is N(0, 1): 0.564


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_fair_score_is_its_definition(rng):
    members, truth = rng.normal(size=(7, 3, 2)), rng.normal(size=(3, 2))
    pairs = np.abs(members[:, None] - members[None]).sum((0, 1))
    expected = np.abs(members - truth).mean(0) - pairs / (2 * 7 * 6)
    np.testing.assert_allclose(crps(members, truth), expected, rtol=1e-12)


@pytest.mark.parametrize("count", [2, 5, 32])
def test_the_fair_score_does_not_depend_on_the_number_of_members(rng, count):
    """The released MF-RPN code divides the spread once more by 2 and has 0.843 for 32 members."""
    n = 100_000
    members, truth = rng.normal(size=(count, n)), rng.normal(size=n)
    assert abs(crps(members, truth).mean() - EXPECTED) < 0.01


def test_the_score_of_a_gaussian_is_its_integral(rng):
    mean, spread, truth = 0.3, 0.7, -0.5

    def below(x):
        return special.ndtr((x - mean) / spread)

    left, _ = integrate.quad(lambda x: below(x) ** 2, -10, truth)
    right, _ = integrate.quad(lambda x: (1 - below(x)) ** 2, truth, 10)
    assert gaussian_crps(mean, spread, truth) == pytest.approx(left + right, rel=1e-8)
    y = rng.normal(size=100_000)
    assert abs(gaussian_crps(0 * y, 1 + 0 * y, y).mean() - EXPECTED) < 0.01


def test_a_sure_forecast_has_the_absolute_error():
    assert list(gaussian_crps([1.0, 1.0], [0.0, 0.0], [1.0, 3.0])) == [0, 2]
    assert list(pit([1.0, 1, 1], [0.0, 0, 0], [0.0, 1, 3])) == [0, 0.5, 1]
    assert list(crps(np.ones((3, 2)), [1.0, 3.0])) == [0, 2]


def test_ranks_are_counted_and_ties_shared():
    members = np.array([[0.0, 0, 1], [1, 1, 1], [2, 2, 1]])
    truth = np.array([-1.0, 1.0, 1.0])  # rank 0; ranks 1 or 2; any rank
    expected = np.array([1 + 1 / 4, 1 / 2 + 1 / 4, 1 / 2 + 1 / 4, 1 / 4]) / 3
    np.testing.assert_allclose(rank_histogram(members, truth), expected)


def test_correlation_and_alarms_are_those_of_scipy(rng):
    a = rng.integers(0, 6, 50).astype(float)
    b = a + rng.normal(size=50)
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    u = stats.mannwhitneyu(b[20:] + 1, b[:20]).statistic
    assert auroc(b[:20], b[20:] + 1) == pytest.approx(u / (20 * 30))
    assert auroc([1, 2], [3.0]) == 1 and auroc([1.0], [1.0]) == 0.5
    assert np.isnan(rank_correlation([1.0, 1.0], [1.0, 2.0]))


@pytest.mark.parametrize("count", [2, 4, 16])
def test_few_members_cover_at_the_nominal_level(rng, count):
    """Student's quantile and √(1 + 1/m) make the bands exact for a Gaussian."""
    n = 40_000
    size = np.exp(rng.normal(size=n))
    members, truth = size * rng.normal(size=(count, n)), size * rng.normal(size=n)
    found = calibration(truth, members=members)
    for level, share in found.coverage.items():
        assert abs(share - level) < 4 * np.sqrt(level * (1 - level) / n), level
    assert found.spread_skill == pytest.approx(1, abs=0.05) and found.members == count
    np.testing.assert_allclose(found.histogram, 1 / (count + 1), atol=0.01)
    low, high = prediction_band(0.9, members=members)
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(found.coverage[0.9])
    assert np.mean(high - low) == pytest.approx(found.width[0.9])


def test_a_gaussian_forecast_is_measured(rng):
    n = 40_000
    spread = np.exp(rng.normal(size=(n, 2)))
    truth = 1 + spread * rng.normal(size=(n, 2))
    found = calibration(truth, mean=np.ones((n, 2)), spread=spread, outside=10 * spread[:50])
    assert found.coverage[0.9] == pytest.approx(0.9, abs=0.01) and found.members is None
    assert found.crps == pytest.approx(EXPECTED * spread.mean(), rel=0.02)
    assert found.width[0.95] == pytest.approx(2 * 1.959964 * spread.mean())
    assert found.correlation > 0.5 and found.auroc > 0.9
    np.testing.assert_allclose(found.histogram, 0.1, atol=0.01)
    sure = calibration(truth, mean=np.ones((n, 2)), spread=0.5 * spread)
    assert sure.spread_skill == pytest.approx(found.spread_skill / 2)
    assert sure.coverage[0.9] < 0.7 and sure.histogram[0] > 0.15
    assert "AUROC" in found._repr_html_() and "90% band" in str(found) and repr(found)


def test_missing_values_do_not_count(rng):
    members, truth = rng.normal(size=(5, 30, 4)), rng.normal(size=(30, 4))
    gone = rng.random((30, 4)) < 0.4
    holes = np.where(gone, np.nan, truth)
    members[:, gone] = np.nan  # nothing is asked of predictions there
    found = calibration(holes, members=members)
    there = calibration(truth[~gone], members=members[:, ~gone])
    assert found.values == (~gone).sum()
    assert (found.crps, found.coverage) == (there.crps, there.coverage)
    np.testing.assert_array_equal(np.isnan(crps(members, holes)), gone)
    bands = conformal(holes[:, :1], np.zeros((30, 1)), level=0.8)
    assert bands.samples == (~gone[:, 0]).sum()


@pytest.mark.parametrize("simultaneous", [False, True])
def test_conformal_bands_hold_what_they_promise(rng, simultaneous):
    """For errors with long tails whose size the spread misses by a factor, correlated over x."""
    n, points, level = 19, 8, 0.9
    held = []
    for _ in range(300):
        spread = np.exp(0.5 * rng.normal(size=(2 * n, 1))) * np.linspace(1, 2, points)
        noise = rng.standard_t(3, size=(2 * n, 1)) + 0.5 * rng.standard_t(3, size=(2 * n, points))
        mean, truth = np.ones((2 * n, points)), 1 + 3 * spread * noise
        bands = conformal(truth[:n], mean[:n], spread[:n], level=level, simultaneous=simultaneous)
        low, high = bands.bands(mean[n:], spread[n:])
        inside = (low <= truth[n:]) & (truth[n:] <= high)
        held.append(inside.all(1).mean() if simultaneous else inside.mean())
    # The 18th of 19 scores: exactly 18 / 20.
    assert abs(np.mean(held) - level) < 0.015
    assert bands.factor.shape == (() if simultaneous else (points,))


def test_the_quantile_of_conformal_bands_is_that_of_n_plus_one():
    truth = np.arange(1.0, 10.0)[:, None]  # nine samples, scores 1 to 9
    bands = conformal(truth, np.zeros((9, 1)), level=0.8)
    assert bands.factor == 8 and bands.floor is None
    assert conformal(truth, np.zeros((9, 1)), level=0.9).factor == 9
    low, high = bands.bands(np.zeros(1))
    assert (low, high) == (-8, 8)
    with_spread = conformal(truth, np.zeros((9, 1)), 2 * np.ones((9, 1)), level=0.8, floor=0)
    assert with_spread.factor == 4


def test_a_point_known_too_rarely_has_an_infinite_band(rng):
    truth = rng.normal(size=(20, 3))
    truth[2:, 1], truth[:, 2] = np.nan, np.nan
    factor = conformal(truth, np.zeros((20, 3)), level=0.9).factor
    assert np.isfinite(factor[0]) and np.isinf(factor[1]) and np.isnan(factor[2])


ONES = np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: crps(ONES[:1], ONES[0]), "at least 2 members along their first axis, got 1"),
        (lambda: crps(ONES, np.ones((3, 1))), r"shape of what is predicted, \(3,\), got \(3, 1\)"),
        (lambda: gaussian_crps(ONES, ONES[0], ONES), "mean and spread must have the same shape"),
        (lambda: pit(ONES, -ONES, ONES), "spread must not be negative, got -1"),
        (lambda: calibration(ONES), "give members=..., or mean=... and spread=..."),
        (lambda: calibration(ONES[0], members=ONES, mean=ONES), "and not both"),
        (lambda: calibration(np.nan * ONES[0], members=ONES), "no value of the truth is known"),
        (lambda: calibration(ONES[0], members=np.inf * ONES), "3 of 3 predictions are not finite"),
        (lambda: prediction_band(1.0, members=ONES), "level must be a finite number greater than"),
        (lambda: conformal(ONES, ONES, level=0.9), "needs at least 9 samples, got 4"),
        (lambda: conformal(ONES, ONES, 0 * ONES, level=0.5), "all spreads are zero"),
        (lambda: conformal(ONES, ONES, floor=-1), "floor must be"),
        (lambda: conformal(ONES, 2 * ONES, level=0.5).bands(ONES, ONES), "made without a spread"),
        (
            lambda: conformal(ONES, 2 * ONES, level=0.5).bands(np.ones(2)),
            "must end with the points",
        ),
        (lambda: auroc([], [1.0]), "inside must be scores, at least one"),
        (lambda: rank_correlation([1.0], [1.0, 2]), "both must have the same shape"),
        (lambda: plot_calibration({}), "at least one calibration"),
        (lambda: plot_bands({"x": np.ones(2)}, ONES, {}), "a row of the 2 points of x"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, sentence):
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_figures_have_their_panels(rng, tmp_path):
    members, truth = rng.normal(size=(6, 40, 9)), rng.normal(size=(40, 9))
    found = calibration(truth, members=members)
    smooth = calibration(truth, mean=0 * truth, spread=1 + 0 * truth)
    titles = [ax.get_title() for ax in plot_calibration(found).axes]
    assert titles == ["reliability", "width of the bands", "rank histogram"]
    figure = plot_calibration({"a": found, "b": smooth}, tmp_path / "calibration.png")
    assert {ax.get_title() for ax in figure.axes} >= {"rank histogram\na", "PIT histogram\nb"}
    assert (tmp_path / "calibration.png").stat().st_size > 0
    line = {"x": np.linspace(0, 1, 9)}
    bands = {"90 %": po.metrics.prediction_band(0.9, members=members[:, :4])}
    bands["50 %"] = po.metrics.prediction_band(0.5, members=members[:, :4])
    figure = plot_bands(line, members[:, :4].mean(0), bands, truth[:4])
    assert [ax.get_title() for ax in figure.axes if ax.axison] == [f"sample {k}" for k in range(4)]
    legend = [text.get_text() for text in figure.axes[2].get_legend().get_texts()]
    assert legend == ["90 %", "50 %", "mean", "truth"]
