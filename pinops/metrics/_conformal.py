"""Bands that hold the truth at a given level by samples whose truth is known."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from pinops.metrics._forecast import LEVEL, Forecast, gaussian, known, truth_of
from pinops.settings import Flag, Number, require


@dataclass(frozen=True)
class ConformalBands:
    """Bands ``mean ± factor (spread + floor)``; what `conformal` returns.

    Args:
        level: The share of samples whose truth lies in the band.
        factor: By which the spread is multiplied: a number for all points, or ``(*points)``.
        floor: What is added to every spread, in the units of the values; None: bands without a
            spread, whose half width is the factor.
        simultaneous: Whether the band holds all points of a sample at once.
        samples: How many samples it was taken from.
    """

    level: float
    factor: Float[np.ndarray, "*points"]
    floor: float | None
    simultaneous: bool
    samples: int

    def bands(
        self, mean: Any, spread: Any = None
    ) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
        """The lower and upper ends of the bands of some predictions.

        Args:
            mean: Of each prediction, ``(*points)`` or ``(n, *points)``.
            spread: Of the same shape; None where `conformal` was called without any.

        Raises:
            ValueError: For arrays that do not fit, and where a spread is missing or too much.
        """
        if (spread is None) != (self.floor is None):
            told = "without a spread" if self.floor is None else "with one"
            raise ValueError(f"bands: the calibration was made {told}; give the same here")
        found = _predicted("bands", mean, spread)
        points = self.factor.shape
        if points and found.mean.shape[-len(points) :] != points:
            raise ValueError(
                f"bands: mean must end with the points {points} of the calibration, got "
                f"{found.mean.shape}"
            )
        half = self.factor * (found.spread + (self.floor or 0.0))
        return found.mean - half, found.mean + half


def conformal(
    truth: Any,
    mean: Any,
    spread: Any = None,
    *,
    level: float = 0.9,
    simultaneous: bool = False,
    floor: float = 1e-3,
) -> ConformalBands:
    """Split conformal bands: the quantile of |y - μ| / (σ + ε) over samples for calibration.

    The truth of a further sample then lies in its band with a probability from ``level`` to
    ``level + 1/(n + 1)``, whatever network and spread made the prediction (Lei et al. 2018,
    doi:10.1080/01621459.2017.1307116; for operators Ma et al. 2024, arXiv:2402.01960).

    That holds only if the n samples and the further one are **exchangeable**: from the same
    distribution, seen neither by the training nor by a choice of settings. It fails outside of
    the distribution, and for samples that were chosen by their spread, as active learning does. It
    is a mean over sets of n samples; for one set the coverage varies by about
    √(level (1 - level) / n), and it does not hold for a part of the samples, such as large ones.

    Args:
        truth: The true values ``(n, *points)`` of samples that the training has not seen; NaN
            where they are missing.
        mean: What was predicted, of the same shape.
        spread: Its standard deviation, of the same shape; None: bands of the same width for all
            samples.
        level: The share of samples, between 0 and 1; n must be at least level / (1 - level).
        simultaneous: False: a band for each point, in which the truth of that point lies for a
            share ``level`` of the samples. True: the largest score of a sample counts, and the
            whole field lies in the band for that share.
        floor: ε as a share of the root mean square spread, so that tiny spreads do not decide.

    Raises:
        ValueError: For arrays that do not fit, settings out of range, too few samples for the
            level, spreads that are all zero, and predictions that are not finite.
    """
    owner = "conformal"
    require(owner, "level", level, LEVEL)
    require(owner, "floor", floor, Number(least=0))
    require(owner, "simultaneous", simultaneous, Flag())
    found = _predicted(owner, mean, spread)
    y = truth_of(owner, truth, found.mean.shape)
    if y.ndim == 0:
        raise ValueError(f"{owner}: the truth needs samples along its first axis, got one number")
    there = known(owner, y, found)
    samples = int(there.reshape(len(y), -1).any(1).sum())
    if _rank(samples, level) > samples:
        least = int(np.ceil(level / (1 - level) - 1e-9))
        raise ValueError(
            f"{owner}: a band for {level:g} needs at least {least} samples, got {samples}; give "
            "more, or a lower level"
        )
    typical = float(np.sqrt(np.mean(np.square(found.spread[there]))))
    if typical == 0:
        raise ValueError(f"{owner}: all spreads are zero; leave spread out")
    added = None if spread is None else floor * typical
    width = found.spread + (added or 0.0)
    if np.any(width[there] == 0):
        raise ValueError(f"{owner}: some spreads are zero, which needs a floor greater than zero")
    scores = np.where(there, np.abs(y - found.mean) / np.where(there, width, 1.0), np.nan)
    if simultaneous:
        flat = np.where(there, scores, -np.inf).reshape(len(y), -1).max(1)
        scores = flat[np.isfinite(flat)]
    return ConformalBands(level, _quantile(scores, level), added, simultaneous, samples)


def _predicted(owner: str, mean: Any, spread: Any) -> Forecast:
    """A forecast; without a spread one of 1, so that the factor has the units of the values."""
    return gaussian(owner, mean, np.ones(np.shape(mean)) if spread is None else spread)


def _rank(count: Any, level: float) -> Any:
    """Which of the sorted scores is the quantile, from 1; beyond the last for too few samples."""
    return np.ceil((count + 1) * level - 1e-9).astype(int)


def _quantile(scores: Float[np.ndarray, "n ..."], level: float) -> Float[np.ndarray, "*points"]:
    """Of each point, over its known scores.

    It is infinite where too few of them are known for the level, and NaN where none is.
    """
    count = np.sum(~np.isnan(scores), 0)
    last = np.where(count > 0, np.inf, np.nan)[None]
    ranked = np.concatenate([np.sort(scores, 0), last])  # NaN is sorted to the end
    rank = _rank(count, level)
    place = np.where(rank > count, len(scores), rank - 1)
    return np.asarray(np.take_along_axis(ranked, place[None], 0)[0])
