"""Sparse regression that knows the noise of the data: which columns, and how large each is.

The residual of an equation with coefficients c is, to first order, linear in the noise of the data,
so that c says its covariance (generalised least squares, as in Bortz, Messenger & Dukic, Bull.
Math. Biol. 85, 2023). In units of this covariance the squares of residuals are chi^2, and the best
support of every size is the one that leaves the least. Here the covariance is that of the mean size
of each factor of the noise, so that it is a product over axes and the same for all trajectories.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Float, Int

from ._columns import Columns, Share

_RIDGE = 1e-4  # relative, of covariances of rows that overlap
_ROUNDS = 5  # of covariance and support
_ALL = 20_000  # supports of one size that are all tried


@dataclass(frozen=True)
class Fit:
    """One column as a combination of others.

    Args:
        target: The column on the left side.
        support: The columns on the right side.
        coefficients: ``(p,)``.
        error_bars: ``(p,)``, standard deviations.
        misfit: The mean square of the residual, in units of what noise explains.
        relative: The residual relative to the left side, in L2.
        score: chi^2 and a penalty for every column; the smaller the better.
    """

    target: str
    support: tuple[str, ...]
    coefficients: Float[np.ndarray, " p"]
    error_bars: Float[np.ndarray, " p"]
    misfit: float
    relative: float
    score: float

    @property
    def by_name(self) -> dict[str, float]:
        """The coefficients by the names of their columns."""
        return dict(zip(self.support, self.coefficients.tolist(), strict=True))


@dataclass(frozen=True)
class Regression:
    """A column on the left side, and those that may be on the right one.

    Args:
        columns: In rows.
        target: On the left side.
        complexity: Of each column that may be on the right side, by name.
        most: How many of them at most are.
    """

    columns: Columns
    target: str
    complexity: Mapping[str, float]
    most: int

    def path(self) -> list[Fit]:
        """The best fit of every number of columns, from one on."""
        current: Mapping[str, float] = {}
        fits: list[Fit] = []
        for _ in range(_ROUNDS):
            white = self._white(current)
            fits = self._supports(white)
            best = min(fits, key=lambda fit: fit.score)
            if best.by_name.keys() == current.keys():
                break
            current = best.by_name
        return fits

    def fit(self, support: Sequence[str]) -> Fit:
        """The coefficients of a given support."""
        names = list(self.complexity)
        chosen = [names.index(name) for name in support]
        current: Mapping[str, float] = {}
        for _ in range(_ROUNDS - 1):
            current = self._fitted(self._white(current), chosen, 1.0).by_name
        return self._fitted(self._white(current), chosen, 1.0)

    def residual(self, fit: Fit) -> Float[np.ndarray, "n k"]:
        """Left minus right side in every row."""
        right = sum(value * self.columns.values[name] for name, value in fit.by_name.items())
        return self.columns.values[self.target] - right

    def _covariance(self, current: Mapping[str, float]) -> Float[np.ndarray, "k k"]:
        """Of the residual in the rows of a trajectory."""
        shares: list[tuple[float, Share]] = [(-1.0, s) for s in self.columns.shares[self.target]]
        for name, value in current.items():
            shares += [(value, share) for share in self.columns.shares[name]]
        sizes = {}
        for a, first in shares:
            for b, second in shares:
                if first.unknown == second.unknown:
                    size = a * b * self.columns.noise[first.unknown] ** 2
                    orders = (first.orders, second.orders)
                    factor = np.mean(first.factor * second.factor)
                    sizes[orders] = sizes.get(orders, 0.0) + size * factor
        out = np.sum([size * self.columns.overlap(*key) for key, size in sizes.items()], axis=0)
        return out + _RIDGE * np.mean(np.diag(out)) * np.eye(len(out))

    def _white(self, current: Mapping[str, float]) -> Float[np.ndarray, "m c"]:
        """All rows in units of the noise: candidates, then the left side."""
        from scipy.linalg import solve_triangular

        names = (*self.complexity, self.target)
        stacked = np.stack([self.columns.values[name] for name in names], -1)
        lower = np.linalg.cholesky(self._covariance(current))
        by_row = stacked.transpose(1, 0, 2).reshape(len(lower), -1)
        return solve_triangular(lower, by_row, lower=True).reshape(-1, len(names))

    def _supports(self, white: Float[np.ndarray, "m c"]) -> list[Fit]:
        """The best support of every size."""
        gram, count = white.T @ white, len(self.complexity)
        # What not even all columns explain is no reason to take more of them.
        scale = max(1.0, self._fitted(white, range(count), 1.0).misfit)
        chosen: list[int] = []
        fits = []
        for size in range(1, min(self.most, count) + 1):
            if comb(count, size) <= _ALL:
                every = np.asarray(list(combinations(range(count), size)))
                chosen = every[np.argmin(_remaining(gram, every))].tolist()
            else:
                others = [k for k in range(count) if k not in chosen]
                chosen = _exchanged(gram, [*chosen, others[0]])
            fits.append(self._fitted(white, chosen, scale))
        return fits

    def _fitted(self, white: Float[np.ndarray, "m c"], chosen: Sequence[int], scale: float) -> Fit:
        names, at = list(self.complexity), list(chosen)
        size = np.linalg.norm(white[:, at], axis=0)
        scaled = white[:, at] / size
        inverse = np.linalg.pinv(scaled, rcond=1e-10)
        c = inverse @ white[:, -1] / size
        chi = float(np.sum((white[:, -1] - white[:, at] @ c) ** 2))
        misfit = chi / max(1, len(white) - len(at))
        support = tuple(names[k] for k in at)
        each = np.log(len(white)) + 2 * np.log(len(names))
        left = self.columns.values[self.target]
        right = np.stack([self.columns.values[name] for name in support], -1) @ c
        return Fit(
            target=self.target,
            support=support,
            coefficients=c,
            error_bars=np.linalg.norm(inverse, axis=1) / size * np.sqrt(misfit),
            misfit=misfit,
            relative=float(np.linalg.norm(left - right) / np.linalg.norm(left)),
            score=chi / scale + each * len(at) + 2 * sum(self.complexity[n] for n in support),
        )


def _remaining(gram: Float[np.ndarray, "c c"], chosen: Int[np.ndarray, "s p"]) -> np.ndarray:
    """``(s,)``: the squares that remain with each of some supports."""
    inner = gram[chosen[:, :, None], chosen[:, None, :]]
    size = np.sqrt(np.diagonal(inner, axis1=1, axis2=2))
    inner = inner / (size[:, :, None] * size[:, None, :]) + 1e-13 * np.eye(chosen.shape[1])
    right = gram[chosen, -1] / size
    return gram[-1, -1] - np.sum(right * np.linalg.solve(inner, right[..., None])[..., 0], -1)


def _exchanged(gram: Float[np.ndarray, "c c"], chosen: list[int]) -> list[int]:
    """Columns of a support exchanged for others, one by one, as long as that helps."""
    best = np.inf
    while True:
        tried = np.asarray(
            [
                [*chosen[:place], k, *chosen[place + 1 :]]
                for place in range(len(chosen))
                for k in range(len(gram) - 1)
                if k not in chosen[:place] + chosen[place + 1 :]
            ]
        )
        remaining = _remaining(gram, tried)
        if remaining.min() >= best * (1 - 1e-9):
            return chosen
        best, chosen = remaining.min(), tried[np.argmin(remaining)].tolist()
