"""Scores and histograms of forecasts with an error bar."""

from typing import Any

import numpy as np
from jaxtyping import Float

from pinops.metrics._forecast import ensemble, forecast, gaussian, known, truth_of


def crps(members: Any, truth: Any) -> Float[np.ndarray, "*shape"]:
    """The fair continuous ranked probability score of an ensemble at every value.

    mean |x_i - y| - Σ_{i<j} |x_i - x_j| / (m (m - 1)), whose expectation is that of infinitely many
    members (Ferro 2014, doi:10.1002/qj.2270), unlike that with the divisor m²; of sorted members
    Σ_{i<j} |x_i - x_j| = Σ_i (2 i - m - 1) x_i. Smaller is better; a negative value can happen by
    chance.

    Args:
        members: The predictions ``(m, *shape)``, at least two.
        truth: The true values ``(*shape)``; NaN where they are missing.

    Returns:
        The score of each value, in its units; NaN where the truth is.

    Raises:
        ValueError: For one member, and for a truth of another shape.
    """
    array = ensemble("crps", members)
    y, count = truth_of("crps", truth, array.shape[1:]), len(array)
    weights = (2 * np.arange(1, count + 1) - count - 1) / (count * (count - 1))
    between = np.tensordot(weights, np.sort(array, 0), 1)
    return np.abs(array - y).mean(0) - between


def gaussian_crps(mean: Any, spread: Any, truth: Any) -> Float[np.ndarray, "*shape"]:
    """The continuous ranked probability score of a Gaussian at every value.

    σ (z (2 Φ(z) - 1) + 2 φ(z) - 1/√π) with z = (y - μ) / σ (Gneiting et al. 2005,
    doi:10.1175/MWR2904.1, equation 5); |y - μ| where σ is 0.

    Args:
        mean: The means μ.
        spread: The standard deviations σ, of the same shape.
        truth: The true values y, of the same shape; NaN where they are missing.

    Returns:
        The score of each value, in its units; NaN where the truth is.

    Raises:
        ValueError: For arrays of different shapes, and a negative spread.
    """
    from scipy.special import ndtr

    found = gaussian("gaussian_crps", mean, spread)
    error = truth_of("gaussian_crps", truth, found.mean.shape) - found.mean
    sigma = np.where(found.spread > 0, found.spread, 1.0)
    z = error / sigma
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    score = sigma * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / np.sqrt(np.pi))
    return np.where(found.spread > 0, score, np.abs(error))


def pit(mean: Any, spread: Any, truth: Any) -> Float[np.ndarray, "*shape"]:
    """The probability integral transform Φ((y - μ) / σ): uniform on [0, 1] where calibrated.

    Args:
        mean: The means μ.
        spread: The standard deviations σ, of the same shape.
        truth: The true values y, of the same shape; NaN where they are missing.

    Returns:
        The transform of each value; where σ is 0: 0, 1/2 or 1 for a truth below, at or above μ.

    Raises:
        ValueError: For arrays of different shapes, and a negative spread.
    """
    from scipy.special import ndtr

    found = gaussian("pit", mean, spread)
    error = truth_of("pit", truth, found.mean.shape) - found.mean
    sure = found.spread == 0
    return np.where(sure, 0.5 + 0.5 * np.sign(error), ndtr(error / np.where(sure, 1, found.spread)))


def rank_histogram(members: Any, truth: Any) -> Float[np.ndarray, " m+1"]:
    """How often the truth has each rank among the members: flat where calibrated.

    A ∪ is that of an ensemble that is too sure, a ∩ of one that is not sure enough (Hamill 2001,
    doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2). A truth that equals k members counts for
    k + 1 ranks alike.

    Args:
        members: The predictions ``(m, *shape)``, at least two.
        truth: The true values ``(*shape)``; NaN where they are missing.

    Returns:
        The share of each rank, from below all members to above them.

    Raises:
        ValueError: For one member, a truth of another shape, or without any known value, and
            members that are not finite where it is known.
    """
    found = forecast("rank_histogram", members, None, None)
    array = ensemble("rank_histogram", members)
    y = truth_of("rank_histogram", truth, found.mean.shape)
    there = known("rank_histogram", y, found)
    below = np.sum(array < y, 0)[there]
    ties = np.sum(array == y, 0)[there]
    share = 1.0 / (ties + 1)
    # The ranks from `below` to `below + ties` get a share each: sums of steps up and down.
    size = len(array) + 2
    steps = np.bincount(below, share, size) - np.bincount(below + ties + 1, share, size)
    return np.cumsum(steps)[:-1] / there.sum()
