"""Harmonic functions about a corner: what a solution does where two walls meet.

Two instances: r^(2/3) sin(2 theta / 3) at the reentrant corner of an L-shape, and theta itself,
where the values on the walls differ by a jump.
"""

import math
from typing import Any

import jax.numpy as jnp

from pinops._numbers import real


def corner(
    x: Any,
    y: Any,
    *,
    at: tuple[float, float],
    opening: float,
    start: float = 0.0,
    neumann: tuple[bool, bool] = (False, False),
    k: int = 1,
    radius: float = 1.0,
) -> Any:
    """A singular function of the Laplacian at a corner, (r / R)^s sin(s theta) or with a cosine.

    With the opening w of the corner, theta = 0 on its first and theta = w on its second wall, and
    k = 1, 2, ...:

    ================================ ============================================
    u given on both walls            s = k pi / w, sine
    u_n given on both walls          s = k pi / w, cosine
    u on the first, u_n on the other s = (k - 1/2) pi / w, sine
    u_n on the first, u on the other s = (k - 1/2) pi / w, cosine
    ================================ ============================================

    Each is harmonic and meets the conditions of both walls with zero data. A solution of
    ``lap u = f`` with smooth f and data is a sum of these plus a smooth function, up to terms with
    a logarithm where s is a whole number; where s < 1 its gradient is unbounded. The same holds
    for whatever has the Laplacian as its highest derivatives in space, at each instant and along
    an edge. Source: Kondrat'ev (1967), Trans. Moscow Math. Soc. 16, 227; Grisvard (1985), Elliptic
    Problems in Nonsmooth Domains, chapters 4 and 5.

    Args:
        x: The first coordinate of the point.
        y: The second one.
        at: The corner.
        opening: The angle w inside of the domain, 0 < w <= 2 pi; 3 pi / 2 in an L-shape.
        start: The direction of the first wall, an angle from the x axis; the domain lies
            counter-clockwise of it.
        neumann: Whether u_n (of Neumann or Robin data) is given on the first and second wall, and
            not u.
        k: The number of the function, from 1, the most singular one.
        radius: The length R > 0, about the size of the domain, so that values are about 1.

    Returns:
        The function, a number; 0 in the corner.

    Raises:
        ValueError: For a corner that is not two numbers, an opening that is none, a number k that
            is not whole and at least 1, and a radius that is not positive.

    Example:
        >>> round(float(po.features.corner(0.0, 1.0, at=(0, 0), opening=1.5 * jnp.pi)), 6)
        0.866025
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"corner: k must be a whole number of at least 1, got {k!r}")
    if not radius > 0:
        raise ValueError(f"corner: radius must be positive, got {radius!r}")
    square, theta, there = _polar(x, y, at, opening, start, "corner")
    first, second = (bool(one) for one in neumann)
    wave = jnp.cos if first else jnp.sin
    power = (k - 0.5 * (first != second)) * math.pi / opening
    value = (square / radius**2) ** (power / 2) * wave(power * theta)
    return jnp.where(there, value, 0.0)


def angle(x: Any, y: Any, *, at: tuple[float, float], opening: float, start: float = 0.0) -> Any:
    """The harmonic function of data that jump in a corner: theta / w.

    It is 0 on the first wall and 1 on the second. With values a and b given on these, the lift
    ``a + (b - a) * po.features.angle(...)`` has the jump, and what is left for the network is
    continuous. Source: Grisvard (1985), chapter 4.

    Args:
        x: The first coordinate of the point.
        y: The second one.
        at: The corner.
        opening: The angle w inside of the domain, 0 < w <= 2 pi; pi / 2 in a rectangle.
        start: The direction of the first wall, an angle from the x axis; the domain lies
            counter-clockwise of it.

    Returns:
        The function, a number between 0 and 1; in the corner itself 1 / 2.

    Raises:
        ValueError: For a corner that is not two numbers, and an opening that is none.
    """
    _, theta, _ = _polar(x, y, at, opening, start, "angle")
    return theta / opening


def _polar(
    x: Any, y: Any, at: tuple[float, float], opening: float, start: float, owner: str
) -> tuple[Any, Any, Any]:
    """r squared, theta, and whether the point is not the corner itself, where r is 1 instead."""
    for value, name in ((at, "at"), (opening, "opening"), (start, "start")):
        real(value, f"{owner}: {name}")
    if not isinstance(at, tuple | list) or len(at) != 2:
        raise ValueError(f"{owner}: at must be the two coordinates of the corner, got {at!r}")
    if not 0 < opening <= 2 * math.pi * (1 + 1e-6):
        raise ValueError(
            f"{owner}: opening must be an angle between 0 and 2 pi, in radians, got {opening!r}"
        )
    a, b = x - at[0], y - at[1]
    there = a**2 + b**2 > 0
    # Where the point is the corner, derivatives are taken elsewhere: those of r^s are infinite.
    middle = start + opening / 2
    cos, sin = math.cos(middle), math.sin(middle)
    a, b = jnp.where(there, a, cos), jnp.where(there, b, sin)
    # From the middle of the corner, so that the cut lies outside of the domain.
    theta = jnp.arctan2(b * cos - a * sin, a * cos + b * sin) + opening / 2
    return a**2 + b**2, theta, there
