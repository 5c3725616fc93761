"""Residual-adaptive choice of collocation points: which of the present points and of new candidates
are trained on.
"""

import abc

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from pinops.settings import Number, check_settings, number, require, setting, whole

from ._points import PRNGKey, generator

_NOT_NEGATIVE = Number(least=0)


class Refinement(eqx.Module):
    """Abstract: a rule that chooses n points from the present ones and from ``candidates`` times n
    new ones.
    """

    candidates: eqx.AbstractVar[int]

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def select(
        self, key: PRNGKey, present: Float[np.ndarray, " p"], new: Float[np.ndarray, " m"], n: int
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """The indices of n points and their weights (of mean 1), from the size of the residual at
        each.

        Indices count the present points first, then the new ones. There are no present points at
        the first draw.

        Raises:
            ValueError: for fewer than n points, or residuals that are not finite.
        """


class RAD(Refinement):
    """New points everywhere, drawn with a preference for large residuals (`residual_adaptive`, and
    its source).

    Args:
        candidates: new points to choose from, for each point.
        exponent: of the residual, as for `residual_adaptive`.
        uniform: the share that ignores the residual, as for `residual_adaptive`.
    """

    candidates: int = whole(4, most=1000)
    exponent: float = setting(_NOT_NEGATIVE, 1.0)
    uniform: float = setting(_NOT_NEGATIVE, 1.0)

    def select(
        self, key: PRNGKey, present: Float[np.ndarray, " p"], new: Float[np.ndarray, " m"], n: int
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        chosen, weights = residual_adaptive(
            key, new, n, exponent=self.exponent, uniform=self.uniform
        )
        return len(present) + chosen, weights


class RAR(Refinement):
    """A share of the points is where the residual is largest, among the present and the new ones;
    the others are new.

    Residual-based adaptive refinement (Lu, Meng, Mao & Karniadakis 2021, SIAM Review 63, 208,
    Algorithm 2.2) with a fixed number of points: what would be added replaces the smallest
    residuals of those added before.

    Args:
        candidates: new points to choose from, for each point.
        share: of the points, greater than 0 and less than 1.
    """

    candidates: int = whole(4, most=1000)
    share: float = number(0.2, above=0, below=1)

    def select(
        self, key: PRNGKey, present: Float[np.ndarray, " p"], new: Float[np.ndarray, " m"], n: int
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        scores = _checked("RAR", present, new, n)
        largest = np.argsort(-scores, kind="stable")[: round(self.share * n)]
        others = np.setdiff1d(np.arange(len(present), len(scores)), largest)[: n - len(largest)]
        # With few candidates present points may have to fill up.
        rest = np.setdiff1d(np.arange(len(scores)), np.concatenate([largest, others]))[
            : n - len(largest) - len(others)
        ]
        return np.concatenate([largest, others, rest]), np.ones(n)


class R3(Refinement):
    """Points whose residual is above the mean are retained, the others are released and replaced by
    new ones.

    Daw, Bu, Wang, Perdikaris & Karpatne 2023 (arXiv:2207.02338), Algorithm 1.
    """

    candidates: int = eqx.field(static=True, default=1, init=False)

    def select(
        self, key: PRNGKey, present: Float[np.ndarray, " p"], new: Float[np.ndarray, " m"], n: int
    ) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        scores = _checked("R3", present, new, n)
        here = scores[: len(present)]
        retained = np.flatnonzero(here > here.mean()) if here.size else np.arange(0)
        fresh = len(present) + np.arange(n - len(retained))
        return np.concatenate([retained, fresh]), np.ones(n)


def _checked(name: str, present: np.ndarray, new: np.ndarray, n: int) -> np.ndarray:
    scores = np.abs(np.concatenate([present, new]))
    if len(new) < n:
        raise ValueError(
            f"{name}: {n} points need at least as many new ones to choose from, got {len(new)}"
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"{name}: scores must be finite; the residual has NaN or infinite values.")
    return scores


def residual_adaptive(
    key: PRNGKey,
    scores: Float[np.ndarray, " m"],
    n: int,
    *,
    exponent: float = 1.0,
    uniform: float = 1.0,
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The indices of n different candidates, drawn with a preference for large residuals (RAD), and
    their weights.

        p_i ∝ |r_i|^k / mean_j |r_j|^k + c

    The defaults are the paper's.

    Args:
        key: determines the choice.
        scores: the residuals r at the m candidates.
        n: how many are chosen.
        exponent: k, at least 0; 0 ignores the residual, a large one is greedy.
        uniform: c, at least 0, the share that ignores the residual.

    Returns:
        The indices, and weights of mean 1 with which a mean over the chosen estimates the mean over
            all candidates: the points move to where the residual is large, and the loss stays the
            mean square over the domain.

    Raises:
        ValueError: for n > m or residuals that are not finite.

    Source: Wu, Zhu, Tan, Kartha & Lu, CMAME 403 (2023) 115671, eq. (2), which leaves the weights
    out.  Here candidate i is included with probability min(1, γ p_i) by systematic sampling, and
    weighted by its inverse (Horvitz & Thompson, JASA 47 (1952) 663). The candidates are taken in
    the order of their reversed binary numbers: every m-th of a Sobol sequence fills a part of the
    domain only, while in this order equal residuals give a stretch of the sequence.
    """
    r = np.abs(np.asarray(scores, np.float64))
    if r.ndim != 1 or not 0 <= n <= r.size:
        raise ValueError(
            f"residual_adaptive: n={n} points cannot be chosen from scores of shape {r.shape}."
        )
    if not np.isfinite(r).all():
        raise ValueError(
            "residual_adaptive: scores must be finite; the residual has NaN or infinite values."
        )
    require("residual_adaptive", "exponent", exponent, _NOT_NEGATIVE)
    require("residual_adaptive", "uniform", uniform, _NOT_NEGATIVE)
    largest = r.max(initial=0.0)
    if largest > 0:
        p = (r / largest) ** exponent  # the scale cancels below; without it a high power overflows
        p = np.maximum(p / p.mean() + uniform, 1e-12)  # a probability of zero could not fill n
    else:
        p = np.ones_like(r)  # an exact solution prefers no point
    inclusion, order = _inclusion_probabilities(p, n), _by_reversed_bits(r.size)
    edges = np.cumsum(inclusion[order])
    offsets = np.arange(n) + generator(key).uniform()
    places = np.minimum(
        np.searchsorted(edges, offsets * (edges[-1] / n) if n else offsets, side="right"),
        r.size - 1,
    )
    indices = order[places]
    weights = 1 / inclusion[indices]
    return indices, weights / weights.mean() if n else weights


def _by_reversed_bits(count: int) -> Int[np.ndarray, " m"]:
    """The numbers below count, sorted by their binary digits read from the last to the first."""
    width, numbers = max(count - 1, 0).bit_length(), np.arange(count)
    return np.argsort(
        sum((numbers >> bit & 1) << (width - 1 - bit) for bit in range(width))
        + np.zeros(count, int)
    )


def _inclusion_probabilities(p: Float[np.ndarray, " m"], n: int) -> Float[np.ndarray, " m"]:
    """min(1, γ p_i) with γ such that they sum to n."""
    inclusion = np.zeros_like(p)
    certain = np.zeros(p.shape, bool)
    while n:
        free = ~certain
        inclusion = np.where(
            certain, 1.0, (n - certain.sum()) * p / p[free].sum() if free.any() else 1.0
        )
        over = free & (inclusion >= 1)
        if not over.any():
            break
        certain |= over
    return inclusion
