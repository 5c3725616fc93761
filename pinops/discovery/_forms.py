"""Two forms of an equation: integrated against test functions, or at points.

Both are rows of weights along each axis, whose products with the values on the grid are integrals
against derivatives of test functions (`Weak`), or derivatives at points (`Strong`).
"""

import abc
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy.polynomial import Polynomial

from ._trajectories import Axis, local_polynomials


class Form(abc.ABC):
    """Abstract: how values on a grid become rows of a regression."""

    @abc.abstractmethod
    def rows(
        self, axis: Axis, spectrum: Float[np.ndarray, " f"], orders: range, most: int
    ) -> dict[int, Float[np.ndarray, "k n"]]:
        """Weights along an axis.

        Args:
            axis: The points.
            spectrum: The mean size of each Fourier coefficient along the axis, from the zeroth.
            orders: Of derivatives, from 0.
            most: How many rows there are at most.

        Returns:
            By order ``(k, n)``.
        """


@dataclass(frozen=True)
class Weak(Form):
    """Integrals against test functions (1 - s²)^p, so that data are not differentiated.

    Source: Messenger & Bortz, J. Comput. Phys. 443 (2021), 110525, with their choice of width and
    power by the frequency at which the spectrum of the data has its corner.

    Args:
        width: How many standard deviations of the spectrum of the test function that corner is.
    """

    width: float = 2.0

    def rows(
        self, axis: Axis, spectrum: Float[np.ndarray, " f"], orders: range, most: int
    ) -> dict[int, Float[np.ndarray, "k n"]]:
        """As `Form.rows`."""
        half, power = self._shape(axis, spectrum, orders[-1])
        at = centres(axis, half, most)
        out = {order: np.zeros((at.size, axis.count)) for order in orders}
        offsets = np.arange(-half, half + 1)
        bump = Polynomial([1, 0, -1]) ** power
        for order in orders:
            # Each integration by parts changes the sign.
            scale = axis.step * (-1.0 / (half * axis.step)) ** order
            weights = scale * (bump.deriv(order) if order else bump)(offsets / half)
            for row, point in enumerate(at):
                out[order][row, (point + offsets) % axis.count] = weights
        return out

    def _shape(self, axis: Axis, spectrum: np.ndarray, highest: int) -> tuple[int, int]:
        """Half of the width in points, and the power."""
        corner = max(1, _corner(spectrum))
        widest = (axis.count - 1) // (2 if axis.periodic else 3)
        narrowest = min(widest, highest + 3)
        power = highest + 2
        for half in range(narrowest, widest + 1):
            # So steep at its ends that the trapezoidal rule is exact to 1e-10.
            steep = int(np.ceil(np.log(1e-10) / np.log((2 * half - 1) / half**2)))
            power = max(highest + 2, steep)
            if half * corner * 2 * np.pi >= self.width * axis.count * np.sqrt(2 * power + 3):
                return half, power
        return widest, power


@dataclass(frozen=True)
class Strong(Form):
    """Derivatives at points, of polynomials fitted about each (Savitzky & Golay 1964).

    For data with little noise.

    Args:
        half: The window has 2 half + 1 points along each axis.
        degree: Of the polynomials.
    """

    half: int = 4
    degree: int = 6

    def rows(
        self, axis: Axis, spectrum: Float[np.ndarray, " f"], orders: range, most: int
    ) -> dict[int, Float[np.ndarray, "k n"]]:
        """As `Form.rows`."""
        half = min(self.half, (axis.count - 1) // 2)
        at = centres(axis, half, most)
        degree = min(max(self.degree, orders[-1] + 2), 2 * half)
        return {order: local_polynomials(axis, half, degree, order, at) for order in orders}


def centres(axis: Axis, half: int, most: int) -> np.ndarray:
    """The points about which a window of 2 half + 1 points lies inside, at most so many."""
    inside = np.arange(axis.count) if axis.periodic else np.arange(half, axis.count - half)
    stride = max(1, half // 4, -(-inside.size // most))
    return inside[::stride]


def _corner(spectrum: np.ndarray) -> int:
    """Where two straight lines fit the sum of the spectrum best."""
    total = np.cumsum(spectrum)
    k = np.arange(total.size)
    best, found = np.inf, 1
    for corner in range(1, total.size - 2):
        first = total[0] + (total[corner] - total[0]) * k[: corner + 1] / corner
        slope = (total[-1] - total[corner]) / (k[-1] - corner)
        second = total[corner] + slope * (k[corner:] - corner)
        off = np.sum((total[: corner + 1] - first) ** 2) + np.sum((total[corner:] - second) ** 2)
        if off < best:
            best, found = off, corner
    return found
