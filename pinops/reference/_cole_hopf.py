"""The viscous Burgers equation, exact up to one quadrature per point.

Cole-Hopf turns u_t + u u_x = ν u_xx into the heat equation, so that

    u(x, t) = ∫ u₀(y) exp(-G(y)/2ν) dy / ∫ exp(-G(y)/2ν) dy,
    G(y) = (x - y)²/2t + U₀(y),    U₀' = u₀.

On the real line (`cole_hopf`) the rule follows the width of the kernel and needs an analytic
u₀ with its antiderivative; on a periodic interval (`periodic_cole_hopf`) the nodes are those
of a grid, and u₀ may have kinks.

Sources: Hopf, Comm. Pure Appl. Math. 3 (1950); Cole, Quart. Appl. Math. 9 (1951); Basdevant et
al., Comput. Fluids 14 (1986) for the benchmark u₀ = -sin πx.
"""

from collections.abc import Callable

import numpy as np

from ._reference import Reference, relative_difference

# The trapezoidal rule instead of Basdevant's Gauss-Hermite: both converge geometrically for an
# analytic u₀, but Gauss-Hermite nodes are centred on x, and their number grows like 1/ν before
# they reach the minimum of G. Every second trapezoidal node is a coarse rule for free.
# Spacings are tried in turn, in units of the heat kernel's width sqrt(2 ν t).
_SPACINGS = 0.4 * 0.5 ** np.arange(7)
_KERNEL_REACH = 9.0  # exp(-9²/2) = 2.6e-18


def _check(t: np.ndarray, viscosity: float) -> None:
    if not viscosity > 0:
        raise ValueError(
            f"viscosity is {viscosity}, but Cole-Hopf divides by it: give a positive value."
        )
    if t.min() < 0:
        raise ValueError(
            f"the earliest time is {t.min()}, but the heat kernel runs forward: give times t >= 0."
        )


def _minus_sine(y: np.ndarray) -> np.ndarray:
    return -np.sin(np.pi * y)


def _cosine_over_pi(y: np.ndarray) -> np.ndarray:
    return np.cos(np.pi * y) / np.pi


def cole_hopf(
    x: np.ndarray,
    t: np.ndarray,
    viscosity: float,
    *,
    initial: Callable[[np.ndarray], np.ndarray] = _minus_sine,
    antiderivative: Callable[[np.ndarray], np.ndarray] = _cosine_over_pi,
    speed: float = 1.0,
) -> Reference:
    """Burgers' equation u_t + u u_x = ν u_xx on the real line, u(x, 0) = u₀(x).

    The default u₀ = -sin πx is odd and 2-periodic, hence the solution is also the one on [-1, 1]
    with u(±1) = 0.

    Args:
        x: the evaluation grid, 1-D.
        t: its times, 1-D, t >= 0.
        viscosity: ν > 0. Exponents are shifted by their maximum: a small ν costs digits (about
            1e-16/ν), but nothing overflows.
        initial: u₀, vectorised over NumPy arrays. The error bar is near rounding where u₀ is
            analytic; with a jump or a kink the quadrature is of second order.
        antiderivative: U₀ with U₀' = u₀, vectorised.
        speed: an upper bound of |u₀|; the minimum of G lies within `speed * t` of x.

    Returns:
        `u` with `x (nx, 1)`, `t (1, nt)`.

    Raises:
        ValueError: for a viscosity that is not positive, or a negative time.
    """
    x, t = np.asarray(x, np.float64), np.asarray(t, np.float64)
    _check(t, viscosity)

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
        source="Hopf (1950), Cole (1951); trapezoidal rule, refined until the rule on every "
        "second node agrees",
    )


_REACH = 40.0  # exp(-40) = 4e-18
_DEEPEST = 12.0  # a Fourier series of exp(-U₀/2ν) loses the digits of exp(12) = 2e5
# Lobatto's rule has the ends of a cell, so that a kink next to one shows as well.
_ABSCISSAS = np.array([-1, -np.sqrt(3 / 7), 0, np.sqrt(3 / 7), 1])
_WEIGHTS = np.array([9, 49, 64, 49, 9]) / 90


def periodic_cole_hopf(
    x: np.ndarray,
    t: np.ndarray,
    viscosity: float,
    *,
    initial: Callable[[np.ndarray], np.ndarray],
    interval: tuple[float, float] = (0.0, 1.0),
    nodes: int = 2048,
) -> Reference:
    """Burgers' equation u_t + u u_x = ν u_xx, periodic on `interval`, u(x, 0) = u₀(x).

    In the frame of reference that moves with the mean c, ξ = x - ct, the antiderivative U₀ of
    u₀ - c is periodic, and

        u = c + ∫ (ξ - y)/t exp(-G(y)/2ν) dy / ∫ exp(-G(y)/2ν) dy,
        G(y) = (ξ - y)²/2t + U₀(y),

    is summed over the nodes of a grid and over those images whose weights exceed 4e-18 of the
    largest. Where U₀/2ν varies by no more than 12, exp(-U₀/2ν) is a Fourier series that diffuses
    instead, and u = c - 2ν (log of it)_x.

    Args:
        x: the evaluation grid, 1-D.
        t: its times, 1-D, t >= 0.
        viscosity: ν > 0. The grid must resolve sqrt(2νt / (1 + t max u₀')); if it does not, the
            error bar is large.
        initial: u₀, vectorised over NumPy arrays of any shape. Kinks cost digits (an error of
            third order), jumps more.
        interval: one period (low, high).
        nodes: the number of nodes of a period, even. The error bar is the distance to a second
            solution with half of them.

    Returns:
        `u` with `x (nx, 1)`, `t (1, nt)`.

    Raises:
        ValueError: for an odd number of nodes, an invalid viscosity, or a negative time.
    """
    x, t = np.asarray(x, np.float64), np.asarray(t, np.float64)
    _check(t, viscosity)
    if nodes % 2:
        raise ValueError(
            f"nodes is {nodes}, but the refinement check halves the grid: give an even number."
        )
    (lower, upper), later = interval, t > 0
    period = upper - lower
    u, coarse = np.empty((2, x.size, t.size))
    u[:] = coarse[:] = np.asarray(initial(x))[:, None]

    def shifted(y: np.ndarray) -> np.ndarray:
        return initial(lower + y)

    u[:, later], floor = _periodic(x - lower, t[later], viscosity, shifted, period, nodes)
    coarse[:, later], _ = _periodic(x - lower, t[later], viscosity, shifted, period, nodes // 2)
    return Reference(
        coordinates={"x": x[:, None], "t": t[None, :]},
        values={"u": u},
        error_bar={"u": max(floor, relative_difference(coarse, u))},
        kind="periodic Cole-Hopf quadrature",
        source=f"Hopf (1950), Cole (1951); {nodes} nodes for each period",
    )


def _periodic(
    x: np.ndarray,
    t: np.ndarray,
    viscosity: float,
    initial: Callable[[np.ndarray], np.ndarray],
    period: float,
    nodes: int,
) -> tuple[np.ndarray, float]:
    """The solution for t > 0, `(nx, nt)`, and the relative size of its rounding errors."""
    spacing = period / nodes
    starts = spacing * np.arange(nodes)

    def in_cells(starts: np.ndarray, parts: int) -> np.ndarray:
        width = spacing / parts
        y = starts[:, None, None] + width * (np.arange(parts)[:, None] + (1 + _ABSCISSAS) / 2)
        return (initial(y) @ _WEIGHTS).sum(axis=1) * width / 2

    integrals = in_cells(starts, 1)
    kinked = np.abs(in_cells(starts, 2) - integrals) > 1e-13 * np.abs(integrals).max()
    integrals[kinked] = in_cells(starts[kinked], 256)
    mean = integrals.sum() / period
    antiderivative = np.cumsum(integrals - mean * spacing)  # at the right ends of the cells
    exponent = -np.roll(antiderivative - antiderivative.min(), 1) / (2 * viscosity)
    depth = -float(exponent.min())
    # A few units of rounding in each exponent, and as many in the sums.
    rounding = 32 * float(np.finfo(np.float64).eps)
    moved = x[:, None] - mean * t
    if depth <= _DEEPEST and t.size:
        u = mean + _diffusing(moved, t, viscosity, exponent, period)
        return u, rounding * float(np.exp(depth))
    u = np.empty_like(moved)
    for column, time in enumerate(t):
        u[:, column] = mean + _summed(moved[:, column], time, viscosity, exponent, period)
    return u, rounding * depth


def _diffusing(
    x: np.ndarray, t: np.ndarray, viscosity: float, exponent: np.ndarray, period: float
) -> np.ndarray:
    """-2ν (log φ)_x at `x (nx, nt)`, where φ diffuses from exp(`exponent`)."""
    # The Nyquist mode of a resolved function is rounding, and is left out.
    wave = 2 * np.pi / period * np.arange(exponent.size // 2)
    series = np.fft.rfft(np.exp(exponent))[:-1, None] * np.exp(-viscosity * wave[:, None] ** 2 * t)
    series[1:] *= 2
    # x[i, n] = x[i, 0] + shift[n]: all times are one product.
    series = series * np.exp(1j * wave[:, None] * (x[0] - x[0, 0]))
    waves = np.exp(1j * wave * x[:, :1])
    return -2 * viscosity * (waves @ (1j * wave[:, None] * series)).real / (waves @ series).real


def _summed(
    x: np.ndarray, time: float, viscosity: float, exponent: np.ndarray, period: float
) -> np.ndarray:
    """The mean of (x - y)/t at `x (nx,)` over the nodes y.

    Weights are exp(`exponent` - (x - y)²/4νt).
    """
    spacing, spread = period / exponent.size, 4 * viscosity * time
    # The largest weight is at least that of y = x, and at least that of the largest exponent (0),
    # which is at most half a period away.
    reach = np.sqrt(spread * (_REACH + min(period**2 / 4 / spread, -float(exponent.min()))))
    offsets = np.arange(-int(reach / spacing) - 1, int(reach / spacing) + 2)
    left = np.floor(x / spacing).astype(int)
    distance = (x - spacing * left)[:, None] - spacing * offsets
    images = np.take(exponent, np.arange(exponent.size + offsets.size) + offsets[0], mode="wrap")
    windows = np.lib.stride_tricks.sliding_window_view(images, offsets.size)
    phase = windows[left % exponent.size] - distance**2 / spread
    weight = np.exp(phase - phase.max(axis=1, keepdims=True))
    return (weight * distance).sum(axis=1) / (time * weight.sum(axis=1))
