"""Functions that are steep within a known width: boundary layers, fronts, heat from a wall.

Two instances: exp(-d / width) within a distance d of a wall, and erfc(d / sqrt(4 k t)), the
solution of the heat equation where the start and a wall disagree.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.scipy.special import erfc

from pinops._numbers import real

ARRIVED = 30.0  # of z, beyond which erfc(z) is 0 in double precision
FAR, TERMS = 8.0, 16  # from there on, exp(y^2) erfc(y) is its asymptotic series to round-off


def layer(distance: Any, *, width: float) -> Any:
    """A boundary layer, exp(-distance / width).

    Where a small coefficient e stands before the highest derivative, the layer of
    ``-e u_xx + b u_x = f`` lies where the flow leaves, and its width is e / b; that of
    ``-e u_xx + c u = f`` lies on all walls, and its width is sqrt(e / c). Source: Roos, Stynes &
    Tobiska (2008), Robust Numerical Methods for Singularly Perturbed Differential Equations,
    chapter I.1.

    Args:
        distance: From the wall, at least 0: ``1 - x``, or ``1 - jnp.hypot(x, y)``.
        width: > 0, in which the solution changes by a factor of e; it may be traced.

    Returns:
        The function, a number between 0 and 1.

    Raises:
        ValueError: For a width that is not positive.
    """
    return jnp.exp(-distance / _positive(width, "layer: width"))


def front(distance: Any, *, width: float) -> Any:
    """A front, tanh(distance / width): steep where its argument vanishes, -1 and 1 beside it.

    Times -a and with width = 2 nu / a it is the shock of Burgers' equation u_t + u u_x = nu u_xx
    from u = a to u = -a. Source: Whitham (1974), Linear and Nonlinear Waves, section 4.2.

    Args:
        distance: From the front, with a sign: ``x - c * t``.
        width: > 0; it may be traced.

    Returns:
        The function, a number between -1 and 1.

    Raises:
        ValueError: For a width that is not positive.
    """
    return jnp.tanh(distance / _positive(width, "front: width"))


def similarity(
    distance: Any, t: Any, *, diffusivity: Any, alpha: Any = 1.0, beta: Any = 0.0
) -> Any:
    """Heat that enters from a wall after the start: what is singular where the two disagree.

    The solution of u_t = k u_dd for d > 0 that vanishes at t = 0 and meets
    alpha u + beta u_n = 1 on the wall, with z = d / sqrt(4 k t) and h = alpha / beta:

    ===================== ================================================================
    beta = 0, Dirichlet's erfc(z)
    alpha = 0, Neumann's  sqrt(4 k t) (exp(-z^2) / sqrt(pi) - z erfc(z)) / beta
    both, Robin's         (erfc(z) - exp(h d + h^2 k t) erfc(z + h sqrt(k t))) / alpha
    ===================== ================================================================

    With a start u = a and the condition alpha u + beta u_n = g, ``a + (g - alpha * a) *
    po.features.similarity(...)`` is a lift with which both hold. Source: Carslaw & Jaeger (1959),
    Conduction of Heat in Solids, sections 2.4, 2.7 and 2.9.

    Args:
        distance: d from the wall, at least 0: ``x``, or ``1 - x``.
        t: The time since the start, at least 0.
        diffusivity: k > 0; it may be traced.
        alpha: The factor of u on the wall, as in `Robin`.
        beta: That of u_n, of the sign of alpha.

    Returns:
        The function, a number; where d = 0 and t = 0, that of the wall.

    Raises:
        ValueError: For a diffusivity that is not positive, and for alpha = beta = 0.
    """
    _positive(diffusivity, "similarity: diffusivity")
    # Where it has not arrived yet, derivatives are taken later: powers of z would be infinite.
    begun = (t > 0) & (distance**2 <= ARRIVED**2 * 4 * diffusivity * t)
    root = jnp.sqrt(4 * diffusivity * jnp.where(begun, t, 1.0))
    z = distance / root
    if _is_zero(beta):
        if _is_zero(alpha):
            raise ValueError("similarity: alpha and beta are both 0; one must be positive")
        return jnp.where(begun, erfc(z), jnp.where(distance > 0, 0.0, 1.0)) / alpha
    if _is_zero(alpha):
        value = root * (jnp.exp(-(z**2)) / math.sqrt(math.pi) - z * erfc(z)) / beta
    else:
        h = alpha / beta
        value = _radiation(h * distance, h * root / 2) / alpha
    return jnp.where(begun, value, 0.0)


@jax.custom_jvp
def _radiation(p: Any, q: Any) -> Any:
    """erfc(z) - exp(p + q^2) erfc(z + q), z = p / 2 q."""
    return erfc(p / (2 * q)) - _second(p, q)


@_radiation.defjvp
def _(primals: Any, tangents: Any) -> Any:
    """Without the terms that cancel, which are infinite at the start."""
    (p, q), (dp, dq) = primals, tangents
    second = _second(p, q)
    slope = 2 * (jnp.exp(-((p / (2 * q)) ** 2)) / math.sqrt(math.pi) - q * second)
    return _radiation(p, q), slope * dq - second * dp


def _second(p: Any, q: Any) -> Any:
    """exp(p + q^2) erfc(p / 2 q + q), of whose factors one may be too large."""
    z = p / (2 * q)
    y = z + q
    far = y > FAR
    near_y, far_y = jnp.where(far, 0.0, y), jnp.where(far, y, FAR)
    series = 1.0
    for k in range(TERMS, 0, -1):
        series = 1 - (2 * k - 1) / (2 * far_y**2) * series
    scaled = jnp.exp(near_y**2) * erfc(near_y), series / (far_y * math.sqrt(math.pi))
    return jnp.exp(-(z**2)) * jnp.where(far, scaled[1], scaled[0])


def _is_zero(value: Any) -> bool:
    return not isinstance(value, Tracer) and value == 0


def _positive(value: Any, owner: str) -> Any:
    """The value itself, if it is positive or traced, which has no value yet."""
    real(value, owner)
    if not isinstance(value, Tracer) and not value > 0:
        raise ValueError(f"{owner} must be positive, got {value!r}")
    return value
