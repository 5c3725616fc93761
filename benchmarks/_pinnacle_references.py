"""Reference solutions of PINNacle's problems that have no closed form, with measured error bars.

Each is computed twice, at different resolutions, and its error bar is the difference.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pinops.reference import Reference, integrate_etdrk4

Array = np.ndarray


def difference(rough: Array, fine: Array) -> float:
    """Relative, in the mean square."""
    return float(np.sqrt(np.nansum((rough - fine) ** 2) / np.nansum(fine**2)))


def on_grid(exact: Callable[..., Any], **axes: Array) -> Reference:
    """A closed form on a grid of its own, which is finer than its waves."""
    at = dict(zip(axes, np.meshgrid(*axes.values(), indexing="ij", sparse=True), strict=True))
    values = {"u": np.asarray(exact(**at))}
    return Reference(at, values, {"u": 1e-14}, "closed form", "on a grid finer than the waves")


# Heat and waves with a coefficient that varies


def varying_heat(coefficient: Callable[[Array, Array], Array], t: Array) -> Reference:
    """u_t = a Δu + 200 sin πx sin 5πy sin πt on (0, 1)², u = 0 on its walls and at the start.

    Chebyshev collocation; in time the periodic solution and the exponential of the matrix, which
    takes its start away, are exact.

    Args:
        coefficient: a, of x and y.
        t: equally spaced times from 0.
    """
    from scipy.linalg import expm

    grid = np.linspace(0, 1, 41)

    def solved(n: int) -> Array:
        nodes, slope, onto = _chebyshev(n, 0, 1)
        second, inner, eye = (slope @ slope)[1:-1, 1:-1], nodes[1:-1], np.eye(n - 1)
        x, y = inner[:, None], inner[None, :]
        laplacian = np.kron(second, eye) + np.kron(eye, second)
        matrix = coefficient(x, y).reshape(-1, 1) * laplacian
        source = (200 * np.sin(np.pi * x) * np.sin(5 * np.pi * y)).ravel()
        periodic = np.linalg.solve(1j * np.pi * np.eye(source.size) - matrix, source)
        once, rest, history = expm(matrix * (t[1] - t[0])), -periodic.imag, []
        to_grid = onto(grid)[:, 1:-1]
        for time in t:
            u = (periodic * np.exp(1j * np.pi * time)).imag + rest
            history.append(to_grid @ u.reshape(n - 1, n - 1) @ to_grid.T)
            rest = once @ rest
        return np.stack(history, -1)

    rough, fine = solved(32), solved(40)
    return Reference(
        {"x": grid[:, None, None], "y": grid[None, :, None], "t": t[None, None, :]},
        {"u": fine},
        {"u": difference(rough, fine)},
        "Chebyshev collocation, exact in time",
        "degree 40",
    )


def reacting_heat(t: Array) -> Reference:
    """u_t = Δu / 1000 + 5 sin(u²) (1 + 2 sin πt/4) sin 4πx sin 2πy, u = 0 on the walls of (0, 1)².

    From sin 4πx sin 3πy, by a series of sines: Strang splitting, of which diffusion is exact and
    the reaction takes Runge-Kutta steps.

    Args:
        t: equally spaced times from 0.
    """
    from scipy import fft

    dst: Any = fft.dstn
    idst: Any = fft.idstn

    def solved(n: int, substeps: int) -> Array:
        nodes = np.arange(1, n) / n
        wave = np.pi * np.arange(1, n)
        square = wave[:, None] ** 2 + wave[None, :] ** 2
        first, second = (np.sin(k * np.pi * nodes)[:, None] for k in (4, 2))
        place, step = 5 * first * second.T, (t[1] - t[0]) / substeps
        half = np.exp(-0.001 * square * step / 2)

        def rate(u: Array, time: float) -> Array:
            return (1 + 2 * np.sin(np.pi * time / 4)) * place * np.sin(u**2)

        u, history = first * np.sin(3 * np.pi * nodes), []
        for k, until in enumerate(t):
            for j in range(substeps if k else 0):
                now = until + (j - substeps) * step
                u = idst(half * dst(u, type=1), type=1)
                a = rate(u, now)
                b = rate(u + step / 2 * a, now + step / 2)
                c = rate(u + step / 2 * b, now + step / 2)
                u = u + step / 6 * (a + 2 * b + 2 * c + rate(u + step * c, now + step))
                u = idst(half * dst(u, type=1), type=1)
            history.append(np.pad(u, 1)[:: n // 32, :: n // 32])
        return np.stack(history, -1)

    rough, fine = solved(64, 16), solved(128, 32)
    grid = np.arange(33) / 32
    return Reference(
        {"x": grid[:, None, None], "y": grid[None, :, None], "t": t[None, None, :]},
        {"u": fine},
        {"u": difference(rough, fine)},
        "sine series, Strang splitting",
        "128 x 128 points, steps of 1/64",
    )


def _chebyshev(n: int, low: float, high: float) -> tuple[Array, Array, Callable[[Array], Array]]:
    """n + 1 Chebyshev points, the matrix of the derivative, and interpolation onto other points."""
    series = np.polynomial.chebyshev
    s = -np.cos(np.pi * np.arange(n + 1) / n)
    inverse = np.linalg.inv(series.chebvander(s, n))
    rates = series.chebval(s, series.chebder(np.eye(n + 1))).T
    half = (high - low) / 2

    def onto(x: Array) -> Array:
        return series.chebvander((x - low) / half - 1, n) @ inverse

    return low + half * (s + 1), rates @ inverse / half, onto


def varying_wave(
    coefficient: Callable[[Array, Array], Array], start: Callable[[Array, Array], Array], t: Array
) -> Reference:
    """u_tt = c Δu on (-1, 1)² from rest, without flux through the walls, by a series of cosines.

    Args:
        coefficient: c, even about the walls, so that the series converges exponentially.
        start: u at first, even about the walls.
        t: equally spaced times from 0.
    """
    from scipy import fft

    dct: Any = fft.dctn
    idct: Any = fft.idctn
    grid = np.linspace(-1, 1, 41)

    def solved(n: int, substeps: int) -> Array:
        nodes = -1 + 2 * (np.arange(n) + 0.5) / n
        x, y = nodes[:, None], nodes[None, :]
        wave = np.pi / 2 * np.arange(n)
        symbol, c = -(wave[:, None] ** 2 + wave[None, :] ** 2), coefficient(x, y)
        step = (t[1] - t[0]) / substeps
        to_grid = np.cos(wave * (grid[:, None] + 1)) / n
        to_grid[:, 0] /= 2

        def pull(u: Array) -> Array:
            return c * idct(symbol * dct(u))

        u, v, history = start(x, y), np.zeros((n, n)), []
        for k in range(len(t)):
            for _ in range(substeps if k else 0):
                # Runge, Kutta and Nystrom's method of the fourth order.
                first = pull(u)
                second = pull(u + step / 2 * v + step**2 / 8 * first)
                third = pull(u + step * v + step**2 / 2 * second)
                u = u + step * v + step**2 / 6 * (first + 2 * second)
                v = v + step / 6 * (first + 4 * second + third)
            history.append(to_grid @ dct(u) @ to_grid.T)
        return np.stack(history, -1)

    rough, fine = solved(48, 12), solved(64, 24)
    return Reference(
        {"x": grid[:, None, None], "y": grid[None, :, None], "t": t[None, None, :]},
        {"u": fine},
        {"u": difference(rough, fine)},
        "cosine series, Runge-Kutta-Nystrom",
        "64 x 64 modes",
    )


# Gray-Scott


def gray_scott(
    start: Callable[[Array, Array], tuple[Array, Array]],
    *,
    diffusivities: tuple[float, float],
    feed: float,
    decay: float,
    t: Array,
) -> Reference:
    """u_t = D1 Δu + b (1 - u) - u v², v_t = D2 Δv - d v + u v² on (-1, 1)², periodic.

    By a Fourier series and exponential time differencing.

    Args:
        start: u and v at first.
        diffusivities: D1 and D2.
        feed: b.
        decay: d.
        t: equally spaced times from 0.
    """

    def solved(n: int, step: float) -> Array:
        nodes = -1 + 2 * np.arange(n) / n
        k1, k2 = np.pi * np.fft.fftfreq(n, 1 / n)[:, None], np.pi * np.arange(n // 2 + 1)[None, :]
        square = k1**2 + k2**2
        linear = np.stack([-diffusivities[0] * square - feed, -diffusivities[1] * square - decay])

        def nonlinear(state: Array) -> Array:
            u, v = np.fft.irfft2(state, (n, n))
            made = u * v**2
            return np.stack([np.fft.rfft2(feed - made), np.fft.rfft2(made)])

        begin = np.stack(start(nodes[:, None], nodes[None, :]))
        history = integrate_etdrk4(np.fft.rfft2(begin), linear, nonlinear, t, step, 1)
        return np.fft.irfft2(history, (n, n))[:, :, :: n // 64, :: n // 64]

    rough, fine = solved(192, 0.5), solved(256, 0.25)
    grid = -1 + 2 * np.arange(64) / 64
    values = {name: np.moveaxis(fine[:, k], 0, -1) for k, name in enumerate(("u", "v"))}
    return Reference(
        {"x": grid[:, None, None], "y": grid[None, :, None], "t": t[None, None, :]},
        values,
        {name: difference(rough[:, k], fine[:, k]) for k, name in enumerate(("u", "v"))},
        "Fourier ETDRK4",
        "256 x 256 modes",
    )
