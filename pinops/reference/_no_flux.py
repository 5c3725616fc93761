"""Reaction and diffusion on an interval without flux through its ends.

By a cosine series and Strang splitting.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ._etdrk4 import check_times
from ._reference import Reference, relative_difference


def no_flux_reaction(
    x: np.ndarray,
    t: np.ndarray,
    *,
    diffusivity: float,
    reaction: Callable[[np.ndarray], np.ndarray],
    initial: Callable[[np.ndarray], np.ndarray],
    interval: tuple[float, float] = (0.0, 1.0),
    modes: int = 128,
    max_step: float = 1e-2,
) -> Reference:
    """u_t = D u_xx + reaction(u) on `interval`, u_x = 0 at both ends.

    Exact diffusion between Runge-Kutta steps of the reaction (Strang splitting, 1968, of second
    order).

    Args:
        x: the evaluation grid, 1-D.
        t: its times, 1-D, increasing from t >= 0.
        diffusivity: D >= 0.
        reaction: a vectorised function of u.
        initial: u at t = 0, a vectorised function of x.
        interval: the ends (low, high) of x.
        modes: of the cosine series.
        max_step: the longest time step of the splitting. The error bar is the distance to a second
            solution with half the modes and twice the step.

    Returns:
        `u` with `x (nx, 1)`, `t (1, nt)`.
    """
    from scipy import fft

    dct: Any = fft.dct  # typed as a dispatcher
    idct: Any = fft.idct
    x, t = np.asarray(x, np.float64), check_times(t)
    lower, upper = interval

    def solve(modes: int, step: float) -> np.ndarray:
        nodes = lower + (upper - lower) * (np.arange(modes) + 0.5) / modes
        wavenumber = np.pi * np.arange(modes) / (upper - lower)
        decay = -diffusivity * wavenumber**2
        waves = np.cos(wavenumber * (x[:, None] - lower)) / modes
        waves[:, 0] /= 2
        u, now, history = initial(nodes), 0.0, np.empty((x.size, t.size))
        for column, time in enumerate(t):
            count = int(np.ceil((time - now) / step - 1e-9))
            h = (time - now) / max(count, 1)
            half = np.exp(decay * h / 2)
            for _ in range(count):
                u = idct(half * dct(u))
                a = reaction(u)
                b = reaction(u + h / 2 * a)
                c = reaction(u + h / 2 * b)
                u = u + h / 6 * (a + 2 * b + 2 * c + reaction(u + h * c))
                u = idct(half * dct(u))
            history[:, column] = waves @ dct(u)
            now = time
        if t[0] == 0:
            history[:, 0] = initial(x)
        return history

    u = solve(modes, max_step)
    return Reference(
        coordinates={"x": x[:, None], "t": t[None, :]},
        values={"u": u},
        error_bar={"u": relative_difference(solve(modes // 2, 2 * max_step), u)},
        kind="cosine series, Strang splitting",
        source=f"{modes} modes, steps of at most {max_step:g}",
    )
