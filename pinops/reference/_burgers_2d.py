"""The viscous Burgers system on a periodic square, by Fourier series and ETDRK4."""

from collections.abc import Callable

import numpy as np

from ._etdrk4 import check_times, integrate_etdrk4
from ._reference import Reference, relative_difference

_COARSEST = 32  # modes of the first solution


def periodic_burgers_2d(
    x: np.ndarray,
    y: np.ndarray,
    t: np.ndarray,
    viscosity: float,
    *,
    initial: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    tolerance: float = 1e-3,
    max_modes: int = 256,
) -> Reference:
    """The viscous Burgers system, of period 1 in x and y.

    u_t + u u_x + v u_y = ν Δu, v_t + u v_x + v v_y = ν Δv, from (u, v) = `initial(x, y)`.

    With the vorticity ω = v_x - u_y the nonlinear terms are the gradient of (u² + v²)/2, plus
    (-vω, uω): six transforms instead of eight. Leaving out the upper third of the wave numbers
    along each axis prevents aliasing (Orszag, J. Atmos. Sci. 28 (1971)). Modes and time steps are
    refined together, by two, until two solutions agree.

    Args:
        x: the first axis of the evaluation grid, 1-D; the series is summed at any point.
        y: its second axis, 1-D.
        t: its times, 1-D, increasing from t >= 0.
        viscosity: ν > 0. Fronts are about 4ν / (jump of the velocity) wide, and a third of the
            modes must resolve them.
        initial: u and v at t = 0, vectorised, smooth and periodic.
        tolerance: an upper bound of the error bar, the distance to the solution on half the modes
            with twice the step; exceeded only where `max_modes` do not suffice.
        max_modes: the largest number of modes along each axis, 32 times a power of two.

    Returns:
        `u` and `v` with `x (nx, 1, 1)`, `y (1, ny, 1)`, `t (1, 1, nt)`. Both have the error bar of
        the vector, since one of them may vanish.

    Raises:
        ValueError: for an invalid viscosity, number of modes or times.
    """
    x, y, t = np.asarray(x, np.float64), np.asarray(y, np.float64), check_times(t)
    if not viscosity > 0:
        raise ValueError(
            f"viscosity is {viscosity}, but only a positive one gives fronts a width: give one."
        )
    if max_modes not in (allowed := [_COARSEST * 2**k for k in range(1, 8)]):
        raise ValueError(
            f"max_modes must be one of {', '.join(map(str, allowed))}, got {max_modes}."
        )
    modes, values, error = _COARSEST, _solve(x, y, t, viscosity, initial, _COARSEST), np.inf
    while error > tolerance and modes < max_modes:
        modes, coarse = 2 * modes, values
        values = _solve(x, y, t, viscosity, initial, modes)
        error = relative_difference(coarse, values)
    return Reference(
        coordinates={"x": x[:, None, None], "y": y[None, :, None], "t": t[None, None, :]},
        values={"u": values[0], "v": values[1]},
        error_bar={"u": error, "v": error},
        kind="Fourier ETDRK4",
        source=f"Kassam & Trefethen (2005); until two solutions agree to {tolerance:g}, "
        f"on up to {max_modes} x {max_modes} modes",
    )


def _solve(
    x: np.ndarray,
    y: np.ndarray,
    t: np.ndarray,
    viscosity: float,
    initial: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    modes: int,
) -> np.ndarray:
    """u and v, `(2, nx, ny, nt)`, from `modes` grid points along each axis."""
    kept = (modes - 1) // 3  # the products of two of these alias to faster waves only
    rows, columns = np.fft.fftfreq(modes, 1 / modes)[:, None], np.arange(kept + 1)
    along_x, along_y = 2j * np.pi * rows, 2j * np.pi * columns
    resolved = np.abs(rows) <= kept

    def series(fields: list[np.ndarray]) -> np.ndarray:
        return np.fft.fft(np.fft.rfft(np.stack(fields))[..., : kept + 1], axis=-2) * resolved

    def at_grid_points(spectra: list[np.ndarray]) -> np.ndarray:
        return np.fft.irfft(np.fft.ifft(np.stack(spectra), axis=-2), modes)

    def nonlinear(state: np.ndarray) -> np.ndarray:
        u, v, vorticity = at_grid_points([*state, along_x * state[1] - along_y * state[0]])
        energy, across, along = series([(u**2 + v**2) / 2, v * vorticity, u * vorticity])
        return np.stack([across - along_x * energy, -along - along_y * energy])

    grid = np.arange(modes) / modes
    start = [np.broadcast_to(field, (modes, modes)) for field in initial(grid[:, None], grid)]
    # Neither |u| nor |v| ever exceeds its initial maximum, so that steps stable at the start stay
    # stable: ETDRK4 allows (wave number x speed x step) up to 2.8, and here it is at most 2.1.
    speed = float((np.abs(start[0]).max() + np.abs(start[1]).max()).clip(1e-3))
    linear = viscosity * (along_x**2 + along_y**2).real
    refinement = modes // _COARSEST
    history = integrate_etdrk4(
        series(start), linear, nonlinear, t, 1 / (_COARSEST * speed), refinement
    )
    # Waves of minus the wave number along y are the conjugates.
    weights = np.where(columns == 0, 1.0, 2.0) / modes**2
    waves_x = np.exp(x[:, None] * along_x.T)
    waves_y = np.exp(along_y[:, None] * y) * weights[:, None]
    values = np.moveaxis((waves_x @ history @ waves_y).real, 0, -1)
    if t[0] == 0:
        for component, field in zip(values, initial(x[:, None], y), strict=True):
            component[..., 0] = field
    return values
