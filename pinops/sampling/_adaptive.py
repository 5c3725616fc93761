"""Residual-adaptive choice of collocation points."""

import numpy as np
from jaxtyping import Float, Int

from ._points import PRNGKey, generator


def residual_adaptive(
    key: PRNGKey,
    scores: Float[np.ndarray, " m"],
    n: int,
    *,
    exponent: float = 1.0,
    uniform: float = 1.0,
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The indices of n different candidates, drawn with a preference for large residuals (RAD), and their weights.

        p_i ∝ |r_i|^k / mean_j |r_j|^k + c

    **Arguments:** `scores` the residuals r at the m candidates, `exponent` k >= 0 (0 ignores the residual, large is
    greedy), `uniform` c >= 0 (the share that ignores the residual).  The defaults are the paper's.

    **Returns** the indices, and weights of mean 1 with which a mean over the chosen estimates the mean over all
    candidates: the points move to where the residual is large, and the loss stays the mean square over the domain.

    **Errors:** `ValueError` for n > m or residuals that are not finite.

    Source: Wu, Zhu, Tan, Kartha & Lu, CMAME 403 (2023) 115671, eq. (2), which leaves the weights out.  Here candidate i
    is included with probability min(1, γ p_i) by systematic sampling in the order of the candidates (which keeps the
    spread of a low-discrepancy sequence), and weighted by its inverse (Horvitz & Thompson, JASA 47 (1952) 663).
    """
    r = np.abs(np.asarray(scores, np.float64))
    if r.ndim != 1 or not 0 <= n <= r.size:
        raise ValueError(f"residual_adaptive: n={n} points cannot be chosen from scores of shape {r.shape}.")
    if not np.isfinite(r).all():
        raise ValueError("residual_adaptive: scores must be finite; the residual has NaN or infinite values.")
    if exponent < 0 or uniform < 0:
        raise ValueError(
            f"residual_adaptive: exponent and uniform must not be negative, got exponent={exponent}, uniform={uniform}."
        )
    largest = r.max(initial=0.0)
    if largest > 0:
        p = (r / largest) ** exponent  # the scale cancels below; without it a high power overflows
        p = np.maximum(p / p.mean() + uniform, 1e-12)  # a probability of zero could not fill n
    else:
        p = np.ones_like(r)  # an exact solution prefers no point
    inclusion = _inclusion_probabilities(p, n)
    edges = np.cumsum(inclusion)
    offsets = np.arange(n) + generator(key).uniform()
    indices = np.minimum(np.searchsorted(edges, offsets * (edges[-1] / n) if n else offsets, side="right"), r.size - 1)
    weights = 1 / inclusion[indices]
    return indices, weights / weights.mean() if n else weights


def _inclusion_probabilities(p: Float[np.ndarray, " m"], n: int) -> Float[np.ndarray, " m"]:
    """min(1, γ p_i) with γ such that they sum to n."""
    inclusion = np.zeros_like(p)
    certain = np.zeros(p.shape, bool)
    while n:
        free = ~certain
        inclusion = np.where(certain, 1.0, (n - certain.sum()) * p / p[free].sum() if free.any() else 1.0)
        over = free & (inclusion >= 1)
        if not over.any():
            break
        certain |= over
    return inclusion
