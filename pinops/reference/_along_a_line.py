"""Solutions by quadrature along a line: antiderivatives, and transport along characteristics.

Data are values on an equally spaced grid and the cubic interpolation between them, as `pinops.functions.interpolate` has it.
"""

from collections.abc import Callable

import numpy as np

from ._reference import Reference, relative_difference


def grid_values(values: np.ndarray, x: np.ndarray, interval: tuple[float, float]) -> np.ndarray:
    """The cubic through the four nearest of at least four values on equally spaced nodes, both ends included, at any `x`."""
    low, high = interval
    position = (np.asarray(x, np.float64) - low) / (high - low) * (len(values) - 1)
    first = np.clip(np.floor(position).astype(int) - 1, 0, len(values) - 4)
    total = np.zeros_like(position)
    for k in range(4):
        others = [j for j in range(4) if j != k]
        weight = np.prod([(position - first - j) / (k - j) for j in others], axis=0)
        total += weight * values[first + k]
    return total


def cumulative(
    function: Callable[[np.ndarray], np.ndarray], edges: np.ndarray, order: int = 8
) -> np.ndarray:
    """The integral of a function from the first edge to every edge, `(n,)`, by Gauss-Legendre rules between them."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    half = np.diff(edges)[:, None] / 2
    values = function(edges[:-1, None] + half * (1 + nodes))
    return np.concatenate([[0.0], np.cumsum(np.sum(half * weights * values, axis=1))])


def antiderivative(values: np.ndarray, interval: tuple[float, float]) -> Reference:
    """u' = f, u = 0 at the lower end, at the nodes on which f is given: exact for its cubic interpolation."""
    nodes = np.linspace(*interval, len(values))
    u = cumulative(lambda x: grid_values(values, x, interval), nodes)
    return Reference(
        {"x": nodes},
        {"u": u},
        {"u": 1e-14},
        "Gauss-Legendre quadrature",
        "exact for piecewise cubics",
    )


def characteristics(
    speed: np.ndarray,
    interval: tuple[float, float],
    t: np.ndarray,
    *,
    initial: Callable[[np.ndarray], np.ndarray],
    inflow: Callable[[np.ndarray], np.ndarray],
    cells: int = 4000,
) -> Reference:
    """u_t + a(x) u_x = 0, a > 0 given on equally spaced nodes, by the method of characteristics, at those nodes.

    The time of travel from the lower end is tau(x), the integral of 1/a: u(x, t) = initial(X) with tau(X) = tau(x) - t, or
    inflow(t - tau(x)) where that is negative.

    **Arguments:** `initial(x)` and `inflow(t)`, vectorised; `t`: times, 1-D; `cells`: of the grid on which tau is inverted, by
    cubic interpolation; the error bar is the distance to a solution with half of them.
    """
    from scipy.interpolate import CubicHermiteSpline

    if not np.all(speed > 0):
        raise ValueError(
            f"the speed must be greater than zero everywhere, got {speed.min():g}: characteristics would turn."
        )
    x = np.linspace(*interval, len(speed))

    def solve(cells: int) -> np.ndarray:
        # The nodes of the data are edges too: 1/a is smooth between them.
        edges = np.unique(np.concatenate([np.linspace(*interval, cells + 1), x]))
        rate = lambda x: 1 / grid_values(speed, x, interval)
        tau = cumulative(rate, edges)
        inverse = CubicHermiteSpline(tau, edges, 1 / rate(edges))
        at = np.interp(x, edges, tau)[:, None] - np.asarray(t)
        return np.where(
            at >= 0, initial(inverse(np.maximum(at, 0.0))), inflow(np.maximum(-at, 0.0))
        )

    u = solve(cells)
    return Reference(
        {"x": x[:, None], "t": np.asarray(t, np.float64)[None, :]},
        {"u": u},
        {"u": relative_difference(solve(cells // 2), u)},
        "characteristics",
        f"{cells} cells",
    )
