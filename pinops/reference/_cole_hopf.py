"""The viscous Burgers equation, solved exactly up to one quadrature per point.

Cole-Hopf turns u_t + u u_x = ν u_xx into the heat equation, so that

    u(x, t) = ∫ u₀(y) exp(-G(y)/2ν) dy / ∫ exp(-G(y)/2ν) dy,    G(y) = (x - y)²/2t + U₀(y),    U₀' = u₀.

Sources: Hopf, Comm. Pure Appl. Math. 3 (1950); Cole, Quart. Appl. Math. 9 (1951); Basdevant et al., Comput. Fluids 14
(1986) for the benchmark u₀ = -sin πx.
"""

from collections.abc import Callable

import numpy as np

from ._reference import Reference, relative_difference

# The trapezoidal rule instead of Basdevant's Gauss-Hermite: both converge geometrically for an analytic u₀, but
# Gauss-Hermite nodes are centred on x and their number grows like 1/ν before they reach the minimum of G, and every
# second trapezoidal node is a coarse rule for free.
_SPACINGS = 0.4 * 0.5 ** np.arange(7)  # tried in turn, in units of the heat kernel's width sqrt(2 ν t)
_KERNEL_REACH = 9.0  # exp(-9²/2) = 2.6e-18


def cole_hopf(
    x: np.ndarray,
    t: np.ndarray,
    viscosity: float,
    *,
    initial: Callable[[np.ndarray], np.ndarray] = lambda y: -np.sin(np.pi * y),
    antiderivative: Callable[[np.ndarray], np.ndarray] = lambda y: np.cos(np.pi * y) / np.pi,
    speed: float = 1.0,
) -> Reference:
    """Burgers' equation u_t + u u_x = ν u_xx on the real line, u(x, 0) = u₀(x).

    With the default u₀ = -sin πx the solution is odd and 2-periodic, hence also the one on [-1, 1] with u(±1) = 0.

    **Arguments:**

    - `x`, `t`: the grid, 1-D; times are not negative.
    - `viscosity`: ν > 0. Exponents are shifted by their maximum: a small ν costs digits (about 1e-16/ν), no overflow.
    - `initial`, `antiderivative`: u₀ and U₀ with U₀' = u₀, vectorised over NumPy arrays. The error bar is near rounding
        where u₀ is analytic; a jump or a kink makes the quadrature second order.
    - `speed`: an upper bound of |u₀|; the minimum of G lies within `speed * t` of x.

    **Returns:** a [`Reference`][] of `u` with `x (nx, 1)`, `t (1, nt)`.
    """
    x, t = np.asarray(x, np.float64), np.asarray(t, np.float64)
    if not viscosity > 0:
        raise ValueError(f"viscosity is {viscosity}, but Cole-Hopf divides by it: give a positive value.")
    if t.min() < 0:
        raise ValueError(f"the earliest time is {t.min()}, but the heat kernel runs forward: give times t >= 0.")

    def average(time: float, spacing: float) -> tuple[np.ndarray, np.ndarray, float]:
        width = np.sqrt(2 * viscosity * time)
        half = int(np.ceil((speed * time / width + _KERNEL_REACH) / spacing))
        nodes = spacing * np.arange(-half, half + 1)
        y = x[:, None] - width * nodes
        phase = -(nodes**2) / 2 - antiderivative(y) / (2 * viscosity)
        peak = phase.max(axis=1, keepdims=True)
        weight = np.exp(phase - peak)
        product = weight * initial(y)
        every_second = slice(half % 2, None, 2)
        fine = product.sum(axis=1) / weight.sum(axis=1)
        coarse = product[:, every_second].sum(axis=1) / weight[:, every_second].sum(axis=1)
        # One unit of rounding in the largest exponent is a relative error of this size in a weight.
        rounding = float(np.finfo(np.float64).eps) * max(1.0, float(np.abs(peak).max()))
        return fine, coarse, rounding

    u, coarse = np.empty((2, x.size, t.size))
    floor = rounding = float(np.finfo(np.float64).eps)
    for column, time in enumerate(t):
        if time == 0:
            u[:, column] = coarse[:, column] = initial(x)
            continue
        for spacing in _SPACINGS:
            u[:, column], coarse[:, column], rounding = average(time, spacing)
            if np.abs(u[:, column] - coarse[:, column]).max() <= 10 * rounding * speed:
                break
        floor = max(floor, rounding)
    return Reference(
        coordinates={"x": x[:, None], "t": t[None, :]},
        values={"u": u},
        error_bar={"u": max(floor, relative_difference(coarse, u))},
        kind="Cole-Hopf quadrature",
        source="Hopf (1950), Cole (1951); trapezoidal rule, refined until the rule on every second node agrees",
    )
