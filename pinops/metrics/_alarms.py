"""Whether spreads are large where errors are, and for samples unlike those of the training."""

from typing import Any

import numpy as np
from jaxtyping import Float


def rank_correlation(first: Any, second: Any) -> float:
    """Spearman's correlation: that of the ranks of two lists of numbers, ties with their mean rank.

    Args:
        first: Numbers, such as the spreads of predictions.
        second: As many, such as their absolute errors; pairs with NaN do not count.

    Returns:
        From -1 to 1; NaN where the numbers of one list are all the same.

    Raises:
        ValueError: For arrays of different shapes.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.shape != b.shape:
        raise ValueError(
            f"rank_correlation: both must have the same shape, got {a.shape} and {b.shape}"
        )
    both = ~(np.isnan(a) | np.isnan(b))
    x, y = (_ranks(values[both]) for values in (a, b))
    x, y = x - np.mean(x) if x.size else x, y - np.mean(y) if y.size else y
    size = np.sqrt(np.sum(x**2) * np.sum(y**2))
    return float(np.sum(x * y) / size) if size > 0 else float("nan")


def auroc(inside: Any, outside: Any) -> float:
    """How well a score tells samples outside of a distribution from those inside.

    The area under the receiver operating characteristic: the probability that a sample outside has
    the larger score, ties counting half. 1: an alarm without errors; 0.5: no better than chance.

    Args:
        inside: Scores, such as mean spreads, of samples like those of the training.
        outside: Scores of samples unlike them.

    Raises:
        ValueError: Where one of them is empty, or has a NaN.
    """
    low, high = (np.ravel(np.asarray(scores, np.float64)) for scores in (inside, outside))
    for name, scores in (("inside", low), ("outside", high)):
        if not len(scores) or np.isnan(scores).any():
            raise ValueError(
                f"auroc: {name} must be scores, at least one and none of them NaN, got "
                f"{len(scores)} with {int(np.isnan(scores).sum())} NaN"
            )
    ranks = _ranks(np.concatenate([low, high]))[len(low) :]
    above = ranks.sum() - len(high) * (len(high) + 1) / 2  # Mann and Whitney's U
    return float(above / (len(low) * len(high)))


def _ranks(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """From 1; numbers that are the same share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - 0.5 * (count - 1))[place]
