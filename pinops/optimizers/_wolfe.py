"""A strong-Wolfe line search that runs inside one compiled program.

Given ``phi(a) = f(x + a p)``, find a step that satisfies both strong Wolfe conditions ``phi(a) <=
phi(0) + c1 a phi'(0)`` and ``|phi'(a)| <= c2 |phi'(0)|`` (Nocedal & Wright 2006, Algorithms 3.5 and
3.6; one loop serves both: as long as no bracket is known the step grows, afterwards it is the
safeguarded cubic minimiser of the bracket).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class WolfeStep(NamedTuple):
    """The accepted point: step length, value and gradient there, how many evaluations it took, and
    whether it decreases.
    """

    length: Array
    value: Array
    gradient: Array
    evaluations: Array
    decreased: Array


class _Search(NamedTuple):
    low: Array  # (step, value, slope) of the best point so far that decreases enough
    high: Array  # the other end of the bracket; step = inf while there is none
    trial: Array
    gradient: Array  # at `low`
    evaluations: Array
    done: Array


def _cubic_minimiser(a: Array, b: Array) -> Array:
    """Minimiser of the cubic through two (step, value, slope) triples (Nocedal & Wright,
    eq. 3.59).
    """
    d1 = a[2] + b[2] - 3 * (a[1] - b[1]) / (a[0] - b[0])
    radicand = d1 * d1 - a[2] * b[2]
    d2 = jnp.sign(b[0] - a[0]) * jnp.sqrt(jnp.maximum(radicand, 0))
    step = b[0] - (b[0] - a[0]) * (b[2] + d2 - d1) / (b[2] - a[2] + 2 * d2)
    return jnp.where((radicand >= 0) & jnp.isfinite(step), step, 0.5 * (a[0] + b[0]))


def strong_wolfe(
    value_and_grad: Callable[[Float[Array, " p"]], tuple[Array, Array]],
    x: Float[Array, " p"],
    direction: Float[Array, " p"],
    value: Array,
    gradient: Float[Array, " p"],
    *,
    first: Array | float = 1.0,
    decrease: float = 1e-4,
    curvature: float = 0.9,
    max_evaluations: int = 25,
) -> WolfeStep:
    """Search along ``direction`` from ``x``; a non-finite trial value counts as no decrease.

    When the conditions are not met after ``max_evaluations`` the best decreasing point is returned,
    and ``decreased`` is false when there is none (the step is then zero).

    Args:
        value_and_grad: The objective with its gradient.
        x: Where the search begins.
        direction: Of descent.
        value: Of the objective at x.
        gradient: Of the objective at x.
        first: The step length that is tried first, greater than 0.
        decrease: The constant of the sufficient decrease (Nocedal & Wright 2006, eq. 3.7a).
        curvature: That of the curvature, greater than ``decrease`` and below 1 (eq. 3.7b).
        max_evaluations: At least 1.

    Returns:
        The point that was found, with its value and gradient.
    """
    slope = direction @ gradient
    zero = jnp.zeros_like(value)
    start = jnp.stack([zero, value, slope])
    # Round-off in f: near the minimum a decrease below it cannot be seen (approximate Wolfe; Hager
    # & Zhang 2005, eq. 4.1).
    slack = 4 * jnp.finfo(value.dtype).eps * jnp.abs(value)

    def advance(s: _Search) -> _Search:
        f, g = value_and_grad(x + s.trial * direction)
        g_slope = direction @ g
        finite = jnp.isfinite(f) & jnp.isfinite(g_slope)
        f, g_slope = jnp.where(finite, f, jnp.inf), jnp.where(finite, g_slope, 0.0)
        point = jnp.stack([s.trial, f, g_slope])
        too_high = (f > value + decrease * s.trial * slope + slack) | (f > s.low[1] + slack)
        done = ~too_high & (jnp.abs(g_slope) <= -curvature * slope)
        bracketed = jnp.isfinite(s.high[0])
        # The minimum lies back towards the old best point when the slope at the new one points away
        # from `high`.
        towards = jnp.where(bracketed, s.high[0] - s.low[0], 1.0)
        reverse = ~too_high & (g_slope * towards >= 0)
        high = jnp.where(too_high, point, jnp.where(reverse, s.low, s.high))
        low = jnp.where(too_high, s.low, point)
        gradient_low = jnp.where(too_high, s.gradient, g)
        now_bracketed = jnp.isfinite(high[0])
        width = high[0] - low[0]
        inside = jnp.where(jnp.isfinite(high[1]), _cubic_minimiser(low, high), low[0] + 0.1 * width)
        near, far = low[0] + 0.1 * width, low[0] + 0.9 * width
        inside = jnp.clip(inside, jnp.minimum(near, far), jnp.maximum(near, far))
        grown = jnp.clip(_cubic_minimiser(s.low, point), 1.5 * s.trial, 4.0 * s.trial)
        trial = jnp.where(now_bracketed, inside, grown)
        return _Search(low, high, trial, gradient_low, s.evaluations + 1, done)

    none = jnp.stack([zero + jnp.inf, zero + jnp.inf, zero])
    init = _Search(
        start,
        none,
        jnp.asarray(first, value.dtype),
        gradient,
        jnp.zeros((), jnp.int32),
        jnp.zeros((), bool),
    )
    s = jax.lax.while_loop(lambda s: ~s.done & (s.evaluations < max_evaluations), advance, init)
    return WolfeStep(
        s.low[0], s.low[1], s.gradient, s.evaluations, (s.low[0] > 0) & (s.low[1] <= value + slack)
    )
