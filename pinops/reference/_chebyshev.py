"""Chebyshev collocation on an interval: nodes, differentiation, interpolation.

Sources: Trefethen, Spectral Methods in MATLAB (2000), ch. 6; Berrut & Trefethen, SIAM Review 46
(2004), eq. 5.4.
"""

import numpy as np


def chebyshev_nodes(n: int, interval: tuple[float, float]) -> np.ndarray:
    """The `n + 1` Chebyshev points of the second kind on `interval`, ascending, `(n + 1,)`."""
    lower, upper = interval
    # The sine form keeps the nodes exactly symmetric about the midpoint.
    return (lower + upper) / 2 + (upper - lower) / 2 * np.sin(
        np.pi * np.arange(-n, n + 1, 2) / (2 * n)
    )


def differentiation_matrix(nodes: np.ndarray) -> np.ndarray:
    """The matrix that takes values at Chebyshev nodes to the derivative of their interpolant.

    Args:
        nodes: `(n + 1,)`, from `chebyshev_nodes`.

    Returns:
        `(n + 1, n + 1)`.
    """
    signs = (-1.0) ** np.arange(nodes.size)
    signs[[0, -1]] *= 2
    gaps = nodes[:, None] - nodes[None, :] + np.eye(nodes.size)
    matrix = np.outer(signs, 1 / signs) / gaps
    # "Negative sum trick": derivatives of constants vanish to rounding.
    return matrix - np.diag(matrix.sum(axis=1))


def interpolation_matrix(nodes: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Barycentric interpolation, `(m, n)`.

    Args:
        nodes: `(n,)`.
        points: `(m,)`.
        weights: `(n,)`, the barycentric weights of the nodes.
    """
    gaps = points[:, None] - nodes[None, :]
    hit = gaps == 0
    matrix = weights / np.where(hit, 1.0, gaps)
    on_node = hit.any(axis=1)
    matrix[on_node] = hit[on_node]
    return matrix / matrix.sum(axis=1, keepdims=True)
