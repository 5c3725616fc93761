"""Point sets: range, reproducibility, discrepancy; residual-adaptive selection against its
distribution.
"""

import jax
import numpy as np
import pytest
from scipy.stats import qmc

from pinops.sampling import (
    R3,
    RAD,
    RAR,
    Arcsine,
    Grid,
    Halton,
    LatinHypercube,
    Sampler,
    Sobol,
    Uniform,
    residual_adaptive,
)

SAMPLERS: list[Sampler] = [Uniform(), Sobol(), Halton(), LatinHypercube(), Grid(), Arcsine()]
EACH = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
KEY = jax.random.key(0)


@EACH
@pytest.mark.parametrize("n, d", [(0, 2), (1, 1), (7, 3), (1000, 2), (256, 20)])
def test_shape_and_range(sampler, n, d):
    points = sampler.points(KEY, n, d)
    assert points.shape == (n, d) and points.dtype == np.float64
    assert (points >= 0).all() and (points < 1).all()


@EACH
def test_points_follow_the_key(sampler):
    first = sampler.points(KEY, 100, 3)
    np.testing.assert_array_equal(first, sampler.points(jax.random.key(0), 100, 3))
    np.testing.assert_array_equal(first, sampler.points(jax.random.PRNGKey(0), 100, 3))
    assert (first != sampler.points(jax.random.key(1), 100, 3)).any()
    with jax.enable_x64(True):
        np.testing.assert_array_equal(first, sampler.points(jax.random.key(0), 100, 3))


@EACH
def test_integrates(sampler):
    """The mean of prod (1 + (x_i - 1/2)) is 1."""
    x = sampler.points(KEY, 4096, 3)
    assert np.prod(0.5 + x, axis=1).mean() == pytest.approx(1.0, abs=0.03)


def test_discrepancy_order():
    def discrepancy(sampler):
        return np.mean(
            [qmc.discrepancy(sampler.points(jax.random.key(s), 512, 3)) for s in range(3)]
        )

    uniform = discrepancy(Uniform())
    assert discrepancy(Sobol()) < discrepancy(LatinHypercube()) < uniform
    assert discrepancy(Sobol()) < 0.01 * uniform
    assert discrepancy(Halton()) < 0.05 * uniform


@pytest.mark.parametrize("sampler", [Sobol(), Halton()], ids=["Sobol", "Halton"])
def test_sequences_continue(sampler):
    np.testing.assert_array_equal(sampler.points(KEY, 50, 2), sampler.points(KEY, 300, 2)[:50])


def test_latin_hypercube_fills_every_slice():
    x = LatinHypercube().points(KEY, 64, 4)
    np.testing.assert_array_equal(
        np.sort((x * 64).astype(int), axis=0), np.tile(np.arange(64)[:, None], 4)
    )


def test_grid_is_complete_and_distinct():
    x = Grid().points(KEY, 5**3, 3)
    axis = (np.arange(5) + 0.5) / 5
    expected = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    np.testing.assert_allclose(x[np.lexsort(x.T[::-1])], expected)
    assert len(np.unique(Grid().points(KEY, 1000, 100), axis=0)) == 1000


@EACH
@pytest.mark.parametrize("n, d", [(-1, 2), (5, 0)])
def test_bad_shapes(sampler, n, d):
    with pytest.raises(
        ValueError, match=f"{type(sampler).__name__}: it needs .* got n={n} and d={d}"
    ):
        sampler.points(KEY, n, d)


def test_errors():
    with pytest.raises(
        ValueError, match="Sobol: at most 21201 dimensions, got 21202; use LatinHypercube"
    ):
        Sobol().points(KEY, 2, 21202)
    with pytest.raises(ValueError, match=r"array of keys of shape \(3,\)"):
        Uniform().points(jax.random.split(KEY, 3), 2, 2)


def test_adaptive_frequencies():
    """One draw of one candidate has the probabilities of the paper: |r|^k / mean |r|^k + c,
    normalised.
    """
    r = np.array([0.0, 1.0, -2.0, 5.0])
    for exponent, uniform in ((1.0, 1.0), (2.0, 0.0), (0.0, 0.5)):
        p = np.abs(r) ** exponent / np.mean(np.abs(r) ** exponent) + uniform
        keys = jax.random.split(KEY, 1500)
        drawn = [
            residual_adaptive(k, r, 1, exponent=exponent, uniform=uniform)[0][0]
            for k in np.asarray(jax.random.key_data(keys))
        ]
        np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 1500, p / p.sum(), atol=0.04)


def test_adaptive_weights_are_unbiased():
    """The weighted mean over the chosen is, on average over keys, the mean over all candidates."""
    rng = np.random.default_rng(1)
    r, f = rng.lognormal(size=400), rng.normal(size=400) + 2
    means = []
    for k in np.asarray(jax.random.key_data(jax.random.split(KEY, 400))):
        indices, weights = residual_adaptive(k, r, 100)
        assert weights.mean() == pytest.approx(1)
        means.append(np.mean(weights * f[indices]))
    assert np.mean(means) == pytest.approx(f.mean(), abs=4 * np.std(means) / 20 + 0.01)


@pytest.mark.parametrize("n", [256, 300])
def test_equal_residuals_leave_a_low_discrepancy_sequence_spread(n):
    """Every fourth point of a Sobol sequence lies in a quarter of every axis; those chosen must
    not.
    """
    for seed in range(4):
        key = jax.random.key(seed)
        points = Sobol().points(key, 4 * n, 2)
        for scores in (np.ones(4 * n), 1 + 0.01 * points[:, 0]):
            chosen, _ = residual_adaptive(key, scores, n)
            counts = np.histogram2d(*points[chosen].T, bins=4, range=[[0, 1], [0, 1]])[0]
            assert counts.min() > n / 16 * 0.6 and counts.max() < n / 16 * 1.4
            assert qmc.discrepancy(points[chosen]) < 1e-3


def test_adaptive_selection():
    r = np.random.default_rng(0).normal(size=1000)
    chosen, weights = residual_adaptive(KEY, r, 300)
    assert len(np.unique(chosen)) == 300 and chosen.min() >= 0 and chosen.max() < 1000
    np.testing.assert_array_equal(chosen, residual_adaptive(jax.random.PRNGKey(0), r, 300)[0])
    np.testing.assert_array_equal(
        chosen, residual_adaptive(KEY, 1024.0 * r, 300)[0]
    )  # only ratios count
    np.testing.assert_array_equal(np.sort(residual_adaptive(KEY, r, 1000)[0]), np.arange(1000))
    assert np.corrcoef(np.abs(r)[chosen], weights)[0, 1] < -0.5
    assert len(residual_adaptive(KEY, r, 0)[0]) == 0
    greedy, _ = residual_adaptive(KEY, r, 20, exponent=400.0, uniform=0.0)
    assert np.argmax(np.abs(r)) in greedy
    # an exact solution prefers no point
    even, weights = residual_adaptive(KEY, np.zeros(50), 20, uniform=0.0)
    assert len(np.unique(even)) == 20 and np.all(weights == 1)


def test_adaptive_errors():
    with pytest.raises(
        ValueError, match=r"n=4 points cannot be chosen from scores of shape \(3,\)"
    ):
        residual_adaptive(KEY, np.ones(3), 4)
    with pytest.raises(ValueError, match=r"scores of shape \(3, 1\)"):
        residual_adaptive(KEY, np.ones((3, 1)), 2)
    with pytest.raises(ValueError, match="must be finite"):
        residual_adaptive(KEY, np.array([1.0, np.nan]), 1)
    with pytest.raises(ValueError, match="exponent must be a finite number of at least 0"):
        residual_adaptive(KEY, np.ones(3), 1, exponent=-1.0)


PEAK = np.exp(-(((np.arange(400) + 0.5) / 400 - 0.5) ** 2) / 1e-3)
RULES = [RAD(), RAR(), R3()]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_every_rule_chooses_n_different_points_of_present_and_new_ones(rule):
    key = jax.random.key(0)
    for present in (PEAK[:0], PEAK[::4]):
        chosen, weights = rule.select(
            key, present, np.tile(PEAK, rule.candidates)[: 100 * rule.candidates], 100
        )
        again, _ = rule.select(
            key, present, np.tile(PEAK, rule.candidates)[: 100 * rule.candidates], 100
        )
        assert len(np.unique(chosen)) == 100 and np.array_equal(chosen, again)
        assert chosen.min() >= 0 and chosen.max() < len(present) + 100 * rule.candidates
        assert weights.mean() == pytest.approx(1.0)
    with pytest.raises(ValueError, match="finite"):
        rule.select(key, PEAK[:0], np.full(100 * rule.candidates, np.nan), 100)


def test_r3_retains_exactly_what_is_above_the_mean():
    present = PEAK[::4]
    chosen, weights = R3().select(jax.random.key(0), present, np.zeros(100), 100)
    assert set(chosen[chosen < 100]) == set(np.flatnonzero(present > present.mean()))
    assert np.array_equal(chosen[chosen >= 100], 100 + np.arange((chosen >= 100).sum())) and np.all(
        weights == 1
    )


def test_rar_takes_the_largest_and_fills_up_with_new_ones():
    present, new = PEAK[::4], np.linspace(0, 0.5, 400)
    chosen, _ = RAR(share=0.1).select(jax.random.key(0), present, new, 100)
    scores = np.concatenate([present, new])
    assert set(np.argsort(-scores)[:10]) <= set(chosen) and np.sum(chosen < 100) <= 10


def test_rules_check_their_settings():
    with pytest.raises(
        ValueError, match="RAD: candidates must be a whole number from 1 to 1000, got 0"
    ):
        RAD(candidates=0)
    with pytest.raises(
        ValueError,
        match="RAR: share must be a finite number greater than 0 and less than 1, got 1.0",
    ):
        RAR(share=1.0)
    with pytest.raises(
        ValueError, match="R3: 9 points need at least as many new ones to choose from, got 5"
    ):
        R3().select(jax.random.key(0), PEAK[:0], PEAK[:5], 9)
