"""The value that every solver of this room returns."""

import math
from dataclasses import dataclass, replace

import numpy as np

from pinops._numbers import real


@dataclass(frozen=True)
class Reference:
    """A trusted solution on a grid, with the error bar that refinement gave it.

    Args:
        coordinates: name -> float64 array. They broadcast with each other: `x (256, 1)` and
            `t (1, 101)` for a grid, all `(n,)` for scattered points.
        values: unknown -> float64 array of the broadcast shape, NaN outside the domain.
        error_bar: unknown -> the estimated relative L2 error of `values` over these points, > 0.
        kind: the method, for example `"Fourier ETDRK4"`.
        source: paper or derivation, and the resolution.

    Raises:
        ValueError: for values of another shape, or an unknown without a positive error bar.
    """

    coordinates: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    error_bar: dict[str, float]
    kind: str
    source: str

    def __post_init__(self):
        shape = np.broadcast_shapes(*(array.shape for array in self.coordinates.values()))
        if self.values.keys() != self.error_bar.keys():
            raise ValueError(
                "every unknown needs values and an error bar: got values for "
                f"{sorted(self.values)} and error bars for {sorted(self.error_bar)}."
            )
        for name, array in (self.coordinates | self.values).items():
            real(array, f"Reference: {name}")
        for unknown, array in self.values.items():
            if array.shape != shape:
                raise ValueError(
                    f"values of {unknown!r} have shape {array.shape}, but the coordinates "
                    f"broadcast to {shape}: evaluate {unknown!r} at every point of the "
                    f"coordinates {sorted(self.coordinates)}."
                )
            if not self.error_bar[unknown] > 0:
                raise ValueError(
                    f"the error bar of {unknown!r} is {self.error_bar[unknown]}: no floating-point "
                    "solution is exact, give at least the rounding error, about 1e-15."
                )

    def coarse(self, num_points: int) -> "Reference":
        """The same reference on a sub-grid, with the same error bars.

        Args:
            num_points: about the largest number of points of the sub-grid.
        """
        shape = next(iter(self.values.values())).shape
        stride = max(1, math.ceil((math.prod(shape) / num_points) ** (1 / len(shape))))

        def thin(array: np.ndarray) -> np.ndarray:
            array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
            return array[tuple(slice(None, None, stride if n > 1 else None) for n in array.shape)]

        coordinates = {name: thin(array) for name, array in self.coordinates.items()}
        values = {name: thin(array) for name, array in self.values.items()}
        return replace(self, coordinates=coordinates, values=values)


def relative_difference(values: np.ndarray, finer: np.ndarray) -> float:
    """`||values - finer|| / ||finer||` in the discrete L2 norm, at least one unit of rounding.

    Points with NaN are left out.
    """
    difference = np.sqrt(np.nansum((values - finer) ** 2))
    scale = np.sqrt(np.nansum(finer**2))
    return max(float(difference / scale), float(np.finfo(np.float64).eps))
