"""How an error falls with the number of samples, and how many more are needed."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pinops._html import as_table
from pinops.metrics._forecast import LEVEL
from pinops.settings import Number, Whole, require

_FEWEST = 4  # sizes, one more than there are coefficients
_STEEPEST = 4.0  # power
_ROBUST = 0.1  # of a logarithm: larger residuals count less than their squares
_STARTS = ((0.0, 0.5), (0.5, 1.0), (0.9, 1.0))  # floors as shares, and powers
_LARGEST = 1e15  # samples; beyond, an error is out of reach


class Estimate(NamedTuple):
    """A number with its interval.

    Args:
        value: That of the fit.
        low: The lower end.
        high: The upper end, perhaps infinite.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class ScalingLaw:
    """``error = floor + factor size^-power``; what `scaling_law` returns.

    Args:
        floor: What no number of samples removes, such as the error of the architecture.
        factor: Of the power.
        power: How fast the rest falls.
        resampled: The same three of every bootstrap sample, ``(b, 3)``.
        level: Of the intervals.
        sizes: Those that it was fitted to.
    """

    floor: float
    factor: float
    power: float
    resampled: Float[np.ndarray, "b 3"]
    level: float
    sizes: Float[np.ndarray, " n"]

    def error(self, size: float) -> Estimate:
        """The error to expect of a number of samples.

        Args:
            size: The number, greater than zero.

        Raises:
            ValueError: For another number.
        """
        require("ScalingLaw", "size", size, Number(above=0))
        return self._estimate(lambda law: law[0] + law[1] * size ** -law[2])

    def needed(self, error: float) -> Estimate:
        """How many samples an error needs, in all.

        Args:
            error: The error that is wanted, greater than zero.

        Returns:
            Infinite where the floor is above the error.

        Raises:
            ValueError: For another number.
        """
        require("ScalingLaw", "error", error, Number(above=0))

        def size(law: Any) -> float:
            floor, factor, power = law
            if error <= floor:
                return float("inf")
            found = np.exp((np.log(factor) - np.log(error - floor)) / power)
            return float(found) if found < _LARGEST else float("inf")

        return self._estimate(size)

    def _estimate(self, of: Any) -> Estimate:
        each = np.sort([of(law) for law in self.resampled])
        # Order statistics: infinite ones have no means.
        tail = int((1 - self.level) / 2 * len(each))
        value = float(of((self.floor, self.factor, self.power)))
        return Estimate(value, float(each[tail]), float(each[-1 - tail]))

    def rows(self) -> dict[str, str]:
        """The lines of its table."""
        tail = (1 - self.level) / 2
        low, high = np.quantile(self.resampled, [tail, 1 - tail], axis=0)
        names = ("floor", "factor", "power")
        found = {
            name: f"{getattr(self, name):.3g} ({low[k]:.3g} to {high[k]:.3g})"
            for k, name in enumerate(names)
        }
        sizes = f"{self.sizes.min():g} to {self.sizes.max():g} samples"
        return {"error": "floor + factor size^-power", "fitted to": sizes, **found}

    def _repr_html_(self) -> str:
        """The table that notebooks show."""
        return as_table(self.rows(), f"Scaling law, intervals of {self.level:.0%}")

    def __repr__(self) -> str:
        return (
            f"ScalingLaw(error = {self.floor:.3g} + {self.factor:.3g} size^-{self.power:.3g}, "
            f"from {len(self.sizes)} trainings)"
        )


def scaling_law(
    sizes: Any, errors: Any, *, level: float = 0.9, resamples: int = 200, seed: int = 0
) -> ScalingLaw:
    """Fit how an error falls with the number of samples: "how many more for 1 %?".

    error = floor + factor size^-power (as Hestness et al. 2017, arXiv:1712.00409), fitted to the
    logarithms of the errors by a loss that single bad trainings do not decide. Intervals are those
    of a bootstrap of the residuals, made larger by √(n / (n - 3)) for the coefficients that were
    fitted. Three or more decades are rarely there: an extrapolation by more than a factor of ten
    is a guess, which the interval says only if the law is the right one.

    Example:
        >>> law = po.metrics.scaling_law([50, 100, 200, 400], [0.2, 0.141, 0.1, 0.0707])
        >>> round(law.needed(0.05).value, -2)
        800.0

    Args:
        sizes: The numbers of samples of some trainings, at least four different ones; the same
            size may stand there for several seeds.
        errors: Of these trainings, greater than zero.
        level: Of the intervals, between 0 and 1.
        resamples: Of the bootstrap, from 20 to 10,000.
        seed: Of the bootstrap.

    Raises:
        ValueError: For fewer than four sizes, for numbers that are not greater than zero, and for
            settings out of range.
    """
    owner = "scaling_law"
    require(owner, "level", level, LEVEL)
    require(owner, "resamples", resamples, Whole(20, 10_000))
    require(owner, "seed", seed, Whole(0, 2**32 - 1))
    n, e = (np.asarray(values, np.float64) for values in (sizes, errors))
    if n.ndim != 1 or n.shape != e.shape:
        raise ValueError(
            f"{owner}: sizes and errors must be two lists of the same length, got the shapes "
            f"{n.shape} and {e.shape}"
        )
    for name, values in (("sizes", n), ("errors", e)):
        if not (np.isfinite(values) & (values > 0)).all():
            bad = values[~(np.isfinite(values) & (values > 0))][0]
            raise ValueError(f"{owner}: {name} must be finite and greater than zero, got {bad:g}")
    if (count := len(np.unique(n))) < _FEWEST:
        raise ValueError(
            f"{owner}: at least {_FEWEST} different sizes tell a floor from a power, got {count}; "
            "train on more sizes"
        )
    best = _fitted(n, np.log(e), None)
    residual = np.log(e) - _logarithm(best, n)
    residual = residual * np.sqrt(len(n) / (len(n) - 3))
    rng, found = np.random.default_rng(seed), []
    for _ in range(resamples):
        drawn = rng.choice(residual, len(residual))
        found.append(_natural(_fitted(n, _logarithm(best, n) + drawn, best)))
    return ScalingLaw(*_natural(best), np.array(found), level, n)


def _natural(coefficients: np.ndarray) -> tuple[float, float, float]:
    """Floor, factor and power from what is fitted: logarithms of the first two."""
    return float(np.exp(coefficients[0])), float(np.exp(coefficients[1])), float(coefficients[2])


def _logarithm(coefficients: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Of the error."""
    return np.logaddexp(coefficients[0], coefficients[1] - coefficients[2] * np.log(sizes))


def _fitted(sizes: np.ndarray, logarithms: np.ndarray, start: np.ndarray | None) -> np.ndarray:
    """The coefficients that fit best, from one start or several."""
    from scipy.optimize import least_squares

    least, first = float(logarithms.min()), float(np.log(sizes.min()))
    nothing = least - 20.0  # the logarithm of a floor that is none

    def slopes(c: np.ndarray) -> np.ndarray:
        share = np.exp(c[0] - _logarithm(c, sizes))  # of the floor in the error
        return np.stack([share, 1 - share, (share - 1) * np.log(sizes)], 1)

    starts = [start] if start is not None else []
    if start is None:
        for share, power in _STARTS:
            floor = least + np.log(share) if share else nothing + 1
            starts.append(np.array([floor, float(logarithms.max()) + power * first, power]))
    low, high = [nothing, -np.inf, 1e-3], [least, np.inf, _STEEPEST]
    tries = [
        least_squares(
            lambda c: _logarithm(c, sizes) - logarithms,
            np.clip(begin, np.add(low, 1e-9), np.add(high, -1e-9)),
            slopes,  # pyright: ignore[reportArgumentType]
            bounds=(low, high),
            loss="soft_l1",
            f_scale=_ROBUST,
        )
        for begin in starts
    ]
    return min(tries, key=lambda one: one.cost).x
