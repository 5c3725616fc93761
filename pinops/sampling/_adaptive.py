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
) -> Int[np.ndarray, " n"]:
    """The indices of n different candidates, drawn with a preference for large residuals (RAD).

        p_i ∝ |r_i|^k / mean_j |r_j|^k + c

    **Arguments:** `scores` the residuals r at the m candidates, `exponent` k >= 0 (0 ignores the residual, large is
    greedy), `uniform` c >= 0 (the share that ignores the residual).  The defaults are the paper's.

    **Errors:** `ValueError` for n > m or residuals that are not finite.

    Source: Wu, Zhu, Tan, Kartha & Lu, CMAME 403 (2023) 115671, eq. (2).  Drawn without replacement by the Gumbel
    top-k trick (Kool, van Hoof & Welling, ICML 2019), which never visits a candidate twice.
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
        weight = (r / largest) ** exponent  # the scale cancels below; without it a high power overflows
        weight = weight / weight.mean() + uniform
    else:
        weight = np.ones_like(r)  # an exact solution prefers no point
    with np.errstate(divide="ignore"):  # weight 0: last in the order
        order = np.log(weight) + generator(key).gumbel(size=r.size)
    return np.argsort(-order)[:n]
