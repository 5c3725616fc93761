"""A forecast with an error bar: the members of an ensemble, or a mean and a spread."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pinops.settings import Number, require

LEVEL = Number(above=0, below=1)


class Forecast(NamedTuple):
    """What is predicted, and how sure that is.

    Args:
        mean: Of the prediction.
        spread: Its standard deviation, of the same shape; of members with the divisor m - 1.
        members: Those of an ensemble, ``(m, *shape)``; None: a Gaussian.
    """

    mean: Float[np.ndarray, "*shape"]
    spread: Float[np.ndarray, "*shape"]
    members: Float[np.ndarray, "m ..."] | None = None

    def factor(self, level: float) -> float:
        """Half of the width of a band in spreads, such as 1.64 for 90 % of a Gaussian.

        For m members, another draw from their distribution lies within t sqrt(1 + 1/m) spreads of
        their mean, t from Student's distribution with m - 1 degrees of freedom: exactly at this
        level for a Gaussian, also where m is 2.
        """
        from scipy.special import ndtri, stdtrit

        upper = 0.5 + 0.5 * level
        if self.members is None:
            return float(ndtri(upper))
        count = len(self.members)
        return float(stdtrit(count - 1, upper) * np.sqrt(1 + 1 / count))


def forecast(owner: str, members: Any, mean: Any, spread: Any) -> Forecast:
    """What a caller has given.

    Raises:
        ValueError: For both or neither, for arrays that do not fit each other, for a single member
            and for a negative spread.
    """
    if members is not None:
        if mean is not None or spread is not None:
            raise ValueError(f"{owner}: give either members, or mean and spread, and not both")
        array = ensemble(owner, members)
        return Forecast(array.mean(0), array.std(0, ddof=1), array)
    if mean is None or spread is None:
        raise ValueError(f"{owner}: give members=..., or mean=... and spread=...")
    return gaussian(owner, mean, spread)


def ensemble(owner: str, members: Any) -> Float[np.ndarray, "m ..."]:
    """Members as an array. Raises ValueError for fewer than two of them."""
    array = np.asarray(members, np.float64)
    if array.ndim == 0 or len(array) < 2:
        count = len(array) if array.ndim else "a number"
        raise ValueError(
            f"{owner}: members must have at least 2 members along their first axis, got {count}"
        )
    return array


def gaussian(owner: str, mean: Any, spread: Any) -> Forecast:
    """Mean and spread. Raises ValueError for other shapes, and for a negative spread."""
    centre, width = np.asarray(mean, np.float64), np.asarray(spread, np.float64)
    if centre.shape != width.shape:
        raise ValueError(
            f"{owner}: mean and spread must have the same shape, got {centre.shape} and "
            f"{width.shape}"
        )
    if np.any(width < 0):
        raise ValueError(f"{owner}: spread must not be negative, got {np.nanmin(width):g}")
    return Forecast(centre, width)


def truth_of(owner: str, truth: Any, shape: tuple[int, ...]) -> Float[np.ndarray, "*shape"]:
    """The truth as an array. Raises ValueError for another shape than that of the forecast."""
    array = np.asarray(truth, np.float64)
    if array.shape != shape:
        raise ValueError(
            f"{owner}: the truth must have the shape of what is predicted, {shape}, got "
            f"{array.shape}"
        )
    return array


def known(owner: str, truth: np.ndarray, predicted: Forecast) -> np.ndarray:
    """Where the truth is known.

    Raises:
        ValueError: Where it is known nowhere, and where nothing finite is predicted there.
    """
    there = ~np.isnan(truth)
    if not there.any():
        raise ValueError(
            f"{owner}: no value of the truth is known; give at least one that is not NaN"
        )
    lost = there & ~(np.isfinite(predicted.mean) & np.isfinite(predicted.spread))
    if lost.any():
        raise ValueError(
            f"{owner}: {int(lost.sum())} of {int(there.sum())} predictions are not finite where "
            "the truth is known; leave out members that diverged, or set the truth to NaN there"
        )
    return there


def prediction_band(
    level: float, *, members: Any = None, mean: Any = None, spread: Any = None
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """The lower and upper end of the central band that should hold the truth at this level.

    For an ensemble from Student's distribution, for mean and spread from a Gaussian. It holds what
    it promises where the forecast is calibrated, which `calibration` measures; `conformal` corrects
    it by samples whose truth is known.

    Example:
        >>> low, high = po.metrics.prediction_band(0.9, mean=[0.0], spread=[1.0])
        >>> round(float(high[0]), 3)
        1.645

    Args:
        level: The share of the truth within the band, between 0 and 1.
        members: Predictions of an ensemble, ``(m, ...)``, at least two.
        mean: Instead of members, the mean of a Gaussian.
        spread: And its standard deviation, of the same shape.

    Raises:
        ValueError: For another level, for both forms or none, and for shapes that do not fit.
    """
    require("prediction_band", "level", level, LEVEL)
    found = forecast("prediction_band", members, mean, spread)
    half = found.factor(level) * found.spread
    return found.mean - half, found.mean + half
