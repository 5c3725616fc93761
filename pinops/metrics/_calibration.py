"""Whether error bars are as large as errors: all measures of one set of predictions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from pinops._html import as_table
from pinops.metrics._alarms import auroc, rank_correlation
from pinops.metrics._forecast import Forecast, forecast, known, truth_of
from pinops.metrics._scores import crps, gaussian_crps, pit, rank_histogram

LEVELS = tuple(round(0.05 * k, 2) for k in range(1, 20))  # of a reliability curve
SHOWN = (0.5, 0.8, 0.9, 0.95)  # of a table
_BINS = 10  # of a histogram of the probability integral transform


@dataclass(frozen=True, repr=False)
class Calibration:
    """How errors compare with the error bars; what `calibration` returns.

    Args:
        values: How many true values are known.
        members: How many members the ensemble has; None: a Gaussian.
        rmse: The root mean square error of the mean.
        crps: The mean of the fair score of the members, or of that of the Gaussian.
        gaussian_crps: The mean score of the Gaussian with their mean and spread.
        spread_skill: The root mean square spread over ``rmse``; of m members the spread counts
            √(1 + 1/m) times (Fortin et al. 2014, doi:10.1175/JHM-D-14-0008.1). 1 is right, below 1
            is too sure.
        correlation: Spearman's, between spread and absolute error over all values.
        coverage: ``{level: share of the truth within the central band}`` at 5, 10, ..., 95 %.
        width: ``{level: mean width of that band}``, in the units of the values.
        histogram: The shares of the ranks among the members, from the lowest; of a Gaussian those
            of tenths of the probability integral transform. Flat is right.
        auroc: How well the spread tells the samples outside from the others; None without any.
    """

    values: int
    members: int | None
    rmse: float
    crps: float
    gaussian_crps: float
    spread_skill: float
    correlation: float
    coverage: Mapping[float, float]
    width: Mapping[float, float]
    histogram: Float[np.ndarray, " bins"]
    auroc: float | None = None

    def rows(self) -> dict[str, str]:
        """The lines of its table: what stands beside each name."""
        rows = {
            "predictions": "Gaussian" if self.members is None else f"{self.members} members",
            "known values": str(self.values),
            "RMSE of the mean": f"{self.rmse:.4g}",
            "CRPS": f"{self.crps:.4g} (Gaussian: {self.gaussian_crps:.4g})",
            "spread / skill": f"{self.spread_skill:.3f}",
            "error and spread, Spearman": f"{self.correlation:.3f}",
        }
        for level in SHOWN:
            share, width = self.coverage[level], self.width[level]
            rows[f"{level:.0%} band"] = f"holds {share:.1%}, width {width:.4g}"
        if self.auroc is not None:
            rows["AUROC of alarms"] = f"{self.auroc:.3f}"
        return rows

    def _repr_html_(self) -> str:
        """The table that notebooks show."""
        return as_table(self.rows(), "Calibration")

    def __str__(self) -> str:
        rows = self.rows()
        wide = max(map(len, rows))
        return "\n".join(f"{name:<{wide}}  {value}" for name, value in rows.items())

    def __repr__(self) -> str:
        return (
            f"Calibration({self.values} values: CRPS {self.crps:.3g}, spread / skill "
            f"{self.spread_skill:.2f}, 90% band holds {self.coverage[0.9]:.1%})"
        )


def calibration(
    truth: Any, *, members: Any = None, mean: Any = None, spread: Any = None, outside: Any = None
) -> Calibration:
    """Compare predictions and their error bars with the truth.

    Coverage without width says little: very wide bands hold everything. Values of one sample are
    not independent, so that the numbers are as certain as the number of samples allows.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> found = po.metrics.calibration(rng.normal(size=999), members=rng.normal(size=(8, 999)))
        >>> round(found.coverage[0.9], 2)
        0.89

    Args:
        truth: The true values ``(n, ...)``, a sample in each row; NaN where they are missing.
        members: What the m members of an ensemble predict, ``(m, n, ...)``.
        mean: Instead of members, the mean of a Gaussian ``(n, ...)``.
        spread: And its standard deviation ``(n, ...)``.
        outside: Predictions for samples unlike those of the training: members ``(m, k, ...)``, or
            spreads ``(k, ...)``. Their root mean square spread should be an alarm.

    Raises:
        ValueError: For both forms of predictions or none, arrays that do not fit, one member, no
            known value, and predictions that are not finite where the truth is known.
    """
    owner = "calibration"
    found = forecast(owner, members, mean, spread)
    y = truth_of(owner, truth, found.mean.shape)
    there = known(owner, y, found)
    found = Forecast(
        found.mean[there],
        found.spread[there],
        None if found.members is None else found.members[:, there],
    )
    error = y[there] - found.mean
    halves = {level: found.factor(level) for level in LEVELS}
    gaussian = gaussian_crps(found.mean, found.spread, y[there])
    if found.members is None:
        count, score, inflated = None, gaussian, 1.0
        transform = pit(found.mean, found.spread, y[there])
        histogram = np.histogram(transform, _BINS, (0, 1))[0] / transform.size
    else:
        count, score = len(found.members), crps(found.members, y[there])
        inflated = float(np.sqrt(1 + 1 / count))
        histogram = rank_histogram(found.members, y[there])
    rmse, size = _rms(error), inflated * _rms(found.spread)
    held = {level: np.mean(np.abs(error) <= half * found.spread) for level, half in halves.items()}
    width = float(np.mean(found.spread))
    return Calibration(
        values=int(there.sum()),
        members=count,
        rmse=rmse,
        crps=float(score.mean()),
        gaussian_crps=float(gaussian.mean()),
        spread_skill=size / rmse if rmse > 0 else float("inf" if size > 0 else "nan"),
        correlation=rank_correlation(found.spread, np.abs(error)),
        coverage={level: float(share) for level, share in held.items()},
        width={level: 2 * half * width for level, half in halves.items()},
        histogram=histogram,
        auroc=None if outside is None else _alarm(members, spread, outside),
    )


def _alarm(members: Any, spread: Any, outside: Any) -> float:
    """The area for the root mean square spread of each sample, which is an axis of all."""
    there = np.asarray(outside, np.float64)
    if members is not None:
        inside = forecast("calibration", members, None, None).spread
        there = forecast("calibration", there, None, None).spread
    else:
        inside = np.asarray(spread, np.float64)
    if there.ndim == 0 or inside.ndim == 0:
        raise ValueError("calibration: outside needs samples along an axis, and there is none")
    scores = [
        np.sqrt(np.nanmean(np.square(array).reshape(len(array), -1), 1))
        for array in (inside, there)
    ]
    return auroc(*scores)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
