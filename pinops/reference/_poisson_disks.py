"""Laplace's equation on a square with circular holes, by a series of harmonic functions.

Every term satisfies the equation, so only the boundary data are approximated, and by the maximum
principle the largest boundary residual is a rigorous bound of the error everywhere.

Source: Trefethen, "Series solution of Laplace problems", ANZIAM J. 60 (2018); method of images
for the square.
"""

from collections.abc import Sequence

import numpy as np

from ._reference import Reference


def poisson_disks(
    x: np.ndarray,
    y: np.ndarray,
    *,
    half_width: float,
    centers: Sequence[tuple[float, float]],
    radius: float,
    outer: float,
    inner: float,
    order: int = 20,
) -> Reference:
    """Δu = 0 on the square [-w, w]² minus disks, u = `outer` on the square, `inner` on the circles.

    Args:
        x: the first axis of the evaluation grid, 1-D.
        y: its second axis, 1-D.
        half_width: w > 0.
        centers: of the disks, which neither overlap nor touch the square.
        radius: > 0, the same for all disks.
        outer: u on the square.
        inner: u on the circles.
        order: the number of multipoles of each disk; the polynomial has degree 2 `order`.

    Returns:
        `u` with `x (nx, 1)`, `y (1, ny)`, NaN outside the domain. Its error bar follows from the
        largest boundary residual on a finer boundary grid.

    Raises:
        ValueError: for disks that overlap or leave the square.

    PINNacle's Poisson2d-C is `half_width=0.5, centers=(±0.3, ±0.3), radius=0.1, outer=1,
    inner=0`.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    disks = np.array([complex(*center) for center in centers])
    between = np.abs(disks[:, None] - disks[None, :])
    np.fill_diagonal(between, np.inf)
    to_wall = half_width - np.maximum(np.abs(np.real(disks)), np.abs(np.imag(disks)))
    if between.min() <= 2 * radius or to_wall.min() <= radius:
        raise ValueError(
            f"disks of radius {radius} at {list(centers)} overlap or leave the square of half "
            f"width {half_width}: move or shrink them."
        )

    def basis(z: np.ndarray) -> np.ndarray:
        return _basis(z, disks, radius, half_width, order)

    def boundary(count: int) -> tuple[np.ndarray, np.ndarray]:
        side = half_width * np.linspace(-1, 1, 2 * count + 1)
        top = side + 1j * half_width
        square = np.concatenate([rotation * top for rotation in (1, 1j, -1, -1j)])
        circle = radius * np.exp(2j * np.pi * np.arange(count) / count)
        z = np.concatenate([square, (disks[:, None] + circle).ravel()])
        data = np.where(np.arange(z.size) < square.size, outer, inner)
        return z, data

    z, data = boundary(6 * order)
    coefficients = np.linalg.lstsq(basis(z), data, rcond=1e-15)[0]
    z, data = boundary(25 * order)
    bound = np.abs(basis(z) @ coefficients - data).max()

    grid = (x[:, None] + 1j * y[None, :]).ravel()
    # The closed domain: a grid point on a circle may lie a rounding inside it.
    inside = (np.abs(grid[:, None] - disks) >= radius * (1 - 1e-12)).all(axis=1)
    inside &= np.maximum(np.abs(np.real(grid)), np.abs(np.imag(grid))) <= half_width * (1 + 1e-12)
    u = np.full(grid.size, np.nan)
    u[inside] = basis(grid[inside]) @ coefficients
    return Reference(
        coordinates={"x": x[:, None], "y": y[None, :]},
        values={"u": u.reshape(x.size, y.size)},
        error_bar={"u": float(bound / np.sqrt(np.mean(u[inside] ** 2)))},
        kind="harmonic series",
        source=f"Trefethen (2018); {order} multipoles per disk with images, polynomial of degree "
        f"{2 * order}; error bound by the maximum principle",
    )


def _basis(
    z: np.ndarray, disks: np.ndarray, radius: float, half_width: float, order: int
) -> np.ndarray:
    """All terms of the series at the complex points z, one column each."""
    # Data constant on the square continue u - outer oddly across it, so every multipole comes
    # with its nearest images, written as the function at the reflected point. The contribution of
    # farther images is smooth and left to the polynomial.
    multipoles = np.zeros((z.size, disks.size, 1 + 2 * order))

    def images(part: np.ndarray) -> list[tuple[np.ndarray, int]]:
        return [(part, 1), (2 * half_width - part, -1), (-2 * half_width - part, -1)]

    for real, real_sign in images(np.real(z)):
        for imag, imag_sign in images(np.imag(z)):
            offset = real[:, None] + 1j * imag[:, None] - disks
            powers = (radius / offset)[:, :, None] ** np.arange(1, order + 1)
            columns = [np.log(np.abs(offset))[:, :, None], powers.real, powers.imag]
            multipoles += real_sign * imag_sign * np.concatenate(columns, axis=2)
    polynomial = (z[:, None] / (half_width * np.sqrt(2))) ** np.arange(2 * order + 1)
    return np.concatenate(
        [multipoles.reshape(z.size, -1), polynomial.real, polynomial.imag[:, 1:]], axis=1
    )
