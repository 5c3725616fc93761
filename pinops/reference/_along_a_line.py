"""Solutions by quadrature along a line: antiderivatives, and transport along characteristics.

Data are values on an equally spaced grid and the cubic interpolation between them, the one of
`pinops.functions.interpolate`.
"""

from collections.abc import Callable

import numpy as np

from ._reference import Reference, relative_difference


def grid_values(values: np.ndarray, x: np.ndarray, interval: tuple[float, float]) -> np.ndarray:
    """The cubic polynomial through the four nearest of m values on equally spaced nodes.

    Args:
        values: `(m,)`, m >= 4, at nodes that include both ends of the interval.
        x: any points of the interval, of any shape.
        interval: its ends (low, high).
    """
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
    """The integral of a function from the first edge to every edge, by Gauss-Legendre rules.

    Args:
        function: vectorised.
        edges: `(n,)`, ascending; the function is smooth between them.
        order: the number of nodes between two edges.

    Returns:
        `(n,)`, 0 at the first edge.
    """
    nodes, weights = np.polynomial.legendre.leggauss(order)
    half = np.diff(edges)[:, None] / 2
    values = function(edges[:-1, None] + half * (1 + nodes))
    return np.concatenate([[0.0], np.cumsum(np.sum(half * weights * values, axis=1))])


def antiderivative(values: np.ndarray, interval: tuple[float, float]) -> Reference:
    """u' = f, u = 0 at the lower end: exact for the cubic interpolation of f.

    Args:
        values: `(m,)`, f at equally spaced nodes.
        interval: its ends (low, high).

    Returns:
        `u` with `x (m,)`, at the nodes.
    """
    nodes = np.linspace(*interval, len(values))
    u = cumulative(lambda x: grid_values(values, x, interval), nodes)
    return Reference(
        coordinates={"x": nodes},
        values={"u": u},
        error_bar={"u": 1e-14},
        kind="Gauss-Legendre quadrature",
        source="exact for piecewise cubics",
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
    """u_t + a(x) u_x = 0 with a > 0, by the method of characteristics.

    The time of travel from the lower end is tau(x), the integral of 1/a. Hence
    u(x, t) = initial(X) with tau(X) = tau(x) - t, or inflow(t - tau(x)) where that is negative.

    Args:
        speed: `(m,)`, a at equally spaced nodes, greater than zero.
        interval: the ends (low, high) of x.
        t: times >= 0, 1-D.
        initial: u at t = 0, a vectorised function of x.
        inflow: u at the lower end, a vectorised function of t.
        cells: of the grid on which tau is inverted by cubic interpolation. The error bar is the
            distance to a solution with half of them.

    Returns:
        `u` with `x (m, 1)`, the nodes of the speed, and `t (1, nt)`.

    Raises:
        ValueError: for a speed that is not positive everywhere.
    """
    from scipy.interpolate import CubicHermiteSpline

    if not np.all(speed > 0):
        raise ValueError(
            f"the speed must be greater than zero everywhere, got {speed.min():g}: "
            "characteristics would turn."
        )
    x = np.linspace(*interval, len(speed))

    def slowness(x: np.ndarray) -> np.ndarray:
        return 1 / grid_values(speed, x, interval)

    def solve(cells: int) -> np.ndarray:
        # The nodes of the data are edges too: 1/a is smooth between them.
        edges = np.unique(np.concatenate([np.linspace(*interval, cells + 1), x]))
        tau = cumulative(slowness, edges)
        inverse = CubicHermiteSpline(tau, edges, 1 / slowness(edges))
        at = np.interp(x, edges, tau)[:, None] - np.asarray(t)
        started = initial(inverse(np.maximum(at, 0.0)))
        return np.where(at >= 0, started, inflow(np.maximum(-at, 0.0)))

    u = solve(cells)
    return Reference(
        coordinates={"x": x[:, None], "t": np.asarray(t, np.float64)[None, :]},
        values={"u": u},
        error_bar={"u": relative_difference(solve(cells // 2), u)},
        kind="characteristics",
        source=f"{cells} cells",
    )
