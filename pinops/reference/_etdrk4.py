"""Exponential time differencing: stiff linear terms exactly, the rest by a Runge-Kutta rule.

Four instances in this room: a Fourier series on a periodic interval (`periodic_etdrk4`, and
`periodic_wave` for equations of second order in time), one on a periodic square
(`periodic_burgers_2d`), and the eigenvectors of a Chebyshev second derivative
(`reaction_diffusion`).

| equation | `symbol(k)` | `reaction(u)` | `flux(u)` | `potential(u)` |
|---|---|---|---|---|
| Allen-Cahn u_t = D u_xx + 5u - 5u³ | -D k² | 5u - 5u³ | | |
| Korteweg-de Vries u_t + u u_x + δ² u_xxx = 0 | i δ² k³ | | u²/2 | |
| Kuramoto-Sivashinsky u_t + a u u_x + b u_xx + c u_xxxx = 0 | b k² - c k⁴ | | a u²/2 | |
| Cahn-Hilliard u_t = (u³ - u - ε² u_xx)_xx | -ε² k⁴ | | | u³ - u |

Sources: Cox & Matthews, J. Comput. Phys. 176 (2002), eqs. 26-29; Kassam & Trefethen, SIAM J.
Sci. Comput. 26 (2005) for the contour integrals that replace the cancelling coefficients.
"""

from collections.abc import Callable

import numpy as np

from ._reference import Reference, relative_difference

# The unit circle by 32 points, as in Kassam & Trefethen.
_CONTOUR = np.exp(2j * np.pi * (np.arange(32) + 0.5) / 32)


def _coefficients(linear: np.ndarray, step: float) -> tuple[np.ndarray, ...]:
    z = step * linear[..., None] + _CONTOUR
    e = np.exp(z)
    half = ((np.exp(z / 2) - 1) / z).mean(axis=-1)
    first = ((-4 - z + e * (4 - 3 * z + z**2)) / z**3).mean(axis=-1)
    middle = ((2 + z + e * (z - 2)) / z**3).mean(axis=-1)
    last = ((-4 - 3 * z - z**2 + e * (4 - z)) / z**3).mean(axis=-1)
    if not np.iscomplexobj(linear):
        half, first, middle, last = half.real, first.real, middle.real, last.real
    return np.exp(step * linear / 2), step * half, step * first, 2 * step * middle, step * last


def integrate_etdrk4(
    state: np.ndarray,
    linear: np.ndarray,
    nonlinear: Callable[[np.ndarray], np.ndarray],
    t: np.ndarray,
    max_step: float,
    refinement: int,
) -> np.ndarray:
    """v_t = `linear` v + `nonlinear(v)` from t = 0, of fourth order in time.

    Every interval between output times is cut into equal steps of at most `max_step`, and each of
    those into `refinement` steps, so that halving the step is exact for any output times.

    Args:
        state: v at t = 0, of any shape.
        linear: the factor of each entry of v, of a shape that broadcasts to that of v.
        nonlinear: the other terms, a function of v.
        t: `(nt,)`, output times, increasing from t >= 0.
        max_step: the longest step before refinement, > 0.
        refinement: a whole number >= 1.

    Returns:
        `(nt, *state.shape)`.

    Raises:
        ValueError: where the solution diverges.
    """
    history = np.empty((t.size, *state.shape), np.result_type(state, linear))
    now, step = 0.0, max_step / refinement
    decay, half, first, middle, last = _coefficients(linear, step)
    for row, time in enumerate(t):
        # An interval one rounding above a multiple of max_step must not cost a step.
        count = refinement * int(np.ceil((time - now) / max_step - 1e-9))
        # Equally spaced output times differ by rounding: one set of coefficients serves them all.
        if count and abs((time - now) / count - step) > 1e-12 * step:
            step = (time - now) / count
            decay, half, first, middle, last = _coefficients(linear, step)
        for _ in range(count):
            slope = nonlinear(state)
            a = decay * state + half * slope
            slope_a = nonlinear(a)
            b = decay * state + half * slope_a
            slope_b = nonlinear(b)
            c = decay * a + half * (2 * slope_b - slope)
            slope_c = nonlinear(c)
            state = decay**2 * state + first * slope + middle * (slope_a + slope_b) + last * slope_c
        history[row] = state
        now = time
    if not np.isfinite(history).all():
        raise ValueError(
            f"ETDRK4 diverged with steps of {max_step / refinement:g} before t = {t[-1]:g}: "
            "give a smaller max_step."
        )
    return history


def check_times(t: np.ndarray) -> np.ndarray:
    """`t` as float64, checked to be 1-D, increasing and not negative.

    Raises:
        ValueError: for other times.
    """
    t = np.asarray(t, np.float64)
    vector = t.ndim == 1 and t.size > 0
    if not (vector and t[0] >= 0 and np.isfinite(t[-1]) and (np.diff(t) > 0).all()):
        raise ValueError(f"t must be a 1-D array of increasing times t >= 0, got {t}.")
    return t


class _Series:
    """The Fourier series of a real function on a periodic interval.

    Args:
        interval: one period (low, high).
        modes: the number of grid points, even.
    """

    def __init__(self, interval: tuple[float, float], modes: int):
        self.lower, upper = interval
        self.length, self.modes = upper - self.lower, modes
        numbers = np.arange(modes // 2 + 1)
        self.wavenumber = 2 * np.pi / self.length * numbers
        # The Nyquist mode of a real field has no first derivative: it stays zero.
        self.resolved = numbers < modes // 2

    def of(self, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Coefficients of a function, not of its values on the grid: a finer grid keeps the
        aliasing of a kink below truncation.
        """
        finer = 16 * self.modes
        values = function(self.lower + self.length * np.arange(finer) / finer)
        return np.fft.rfft(values)[: self.modes // 2 + 1] / 16 * self.resolved

    def at(self, x: np.ndarray, history: np.ndarray) -> np.ndarray:
        """The sums at any points, `(nx, nt)`."""
        weights = np.where(self.wavenumber == 0, 1.0, 2.0) / self.modes
        waves = np.exp(1j * self.wavenumber * (x[:, None] - self.lower))
        return (waves * weights @ history.T).real


def periodic_etdrk4(
    x: np.ndarray,
    t: np.ndarray,
    *,
    interval: tuple[float, float],
    symbol: Callable[[np.ndarray], np.ndarray],
    initial: Callable[[np.ndarray], np.ndarray],
    reaction: Callable[[np.ndarray], np.ndarray] | None = None,
    flux: Callable[[np.ndarray], np.ndarray] | None = None,
    potential: Callable[[np.ndarray], np.ndarray] | None = None,
    modes: int = 512,
    max_step: float = 1e-3,
) -> Reference:
    """u_t + flux(u)_x = L u + potential(u)_xx + reaction(u), periodic on `interval`, by a Fourier
    series and ETDRK4.

    Symbols and terms of four equations are in the docstring of this file.

    Args:
        x: the evaluation grid, 1-D; the series is summed at any point.
        t: its times, 1-D, increasing from t >= 0.
        interval: one period (low, high).
        symbol: L applied to exp(ikx), a function of the wave numbers k >= 0, in radians per unit
            of x.
        initial: u at t = 0, periodic; a kink in its periodic extension needs enough modes to
            follow it until it is smooth.
        reaction: pointwise terms; none by default.
        flux: a function of the values of u on equally spaced points, the first at `low`; none by
            default.
        potential: a function of u; none by default. It is explicit: put its stiff part into L.
        modes: the number of Fourier modes (grid points), a multiple of 4.
        max_step: the longest time step. The error bar is the distance to a second solution with
            half the modes and twice the step.

    Returns:
        `u` with `x (nx, 1)`, `t (1, nt)`.

    Raises:
        ValueError: for an invalid number of modes, invalid times, or a diverging solution.
    """
    x, t = np.asarray(x, np.float64), check_times(t)

    def solve(modes: int, refinement: int) -> np.ndarray:
        series = _Series(interval, modes)
        derivative = 1j * series.wavenumber

        def nonlinear(state: np.ndarray) -> np.ndarray:
            u = np.fft.irfft(state, modes)
            slope = np.zeros_like(state)
            if reaction is not None:
                slope += np.fft.rfft(reaction(u))
            if flux is not None:
                slope -= derivative * np.fft.rfft(flux(u))
            if potential is not None:
                slope += derivative**2 * np.fft.rfft(potential(u))
            return slope * series.resolved

        linear = symbol(series.wavenumber)
        history = integrate_etdrk4(series.of(initial), linear, nonlinear, t, max_step, refinement)
        return series.at(x, history)

    return _compared(solve, x, t, initial, modes, max_step)


def periodic_wave(
    x: np.ndarray,
    t: np.ndarray,
    *,
    interval: tuple[float, float],
    speed: float,
    initial: Callable[[np.ndarray], np.ndarray],
    reaction: Callable[[np.ndarray], np.ndarray],
    modes: int = 256,
    max_step: float = 1e-2,
) -> Reference:
    """u_tt = c² u_xx + reaction(u) from rest, periodic on `interval`, as `periodic_etdrk4`.

    With ω² = c² k² + 1 the two combinations u_t ± iωu of each mode oscillate, and are driven by
    u + reaction(u).

    Args:
        x: the evaluation grid, 1-D.
        t: its times, 1-D, increasing from t >= 0.
        interval: one period (low, high).
        speed: c.
        initial: u at t = 0, periodic.
        reaction: a function of u.
        modes: as for `periodic_etdrk4`.
        max_step: as for `periodic_etdrk4`.

    Returns:
        `u` with `x (nx, 1)`, `t (1, nt)`.

    Raises:
        ValueError: as for `periodic_etdrk4`.
    """
    x, t = np.asarray(x, np.float64), check_times(t)

    def solve(modes: int, refinement: int) -> np.ndarray:
        series = _Series(interval, modes)
        frequency = np.sqrt((speed * series.wavenumber) ** 2 + 1)

        def of(state: np.ndarray) -> np.ndarray:
            return (state[..., 0, :] - state[..., 1, :]) / (2j * frequency)

        def driven(state: np.ndarray) -> np.ndarray:
            u = np.fft.irfft(of(state), modes)
            return np.fft.rfft(u + reaction(u))[None] * series.resolved

        signs = np.array([[1j], [-1j]])
        state = signs * frequency * series.of(initial)
        history = integrate_etdrk4(state, signs * frequency, driven, t, max_step, refinement)
        return series.at(x, of(history))

    return _compared(solve, x, t, initial, modes, max_step)


def _compared(
    solve: Callable[[int, int], np.ndarray],
    x: np.ndarray,
    t: np.ndarray,
    initial: Callable[[np.ndarray], np.ndarray],
    modes: int,
    max_step: float,
) -> Reference:
    """The solution with steps of `max_step / 2`, and its distance to one with half the modes and
    steps of `max_step`.

    Raises:
        ValueError: for an invalid number of modes.
    """
    if modes % 4:
        raise ValueError(
            f"modes is {modes}, but the refinement check halves an even grid: give a multiple of 4."
        )

    def solved(modes: int, refinement: int) -> np.ndarray:
        u = solve(modes, refinement)
        if t[0] == 0:
            u[:, 0] = initial(x)
        return u

    u = solved(modes, 2)
    return Reference(
        coordinates={"x": x[:, None], "t": t[None, :]},
        values={"u": u},
        error_bar={"u": relative_difference(solved(modes // 2, 1), u)},
        kind="Fourier ETDRK4",
        source=f"Kassam & Trefethen (2005); {modes} modes, steps of at most {max_step / 2:g}",
    )
