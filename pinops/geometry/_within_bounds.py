"""What shapes share whose points are found by looking within their bounds."""

import abc
import math

import numpy as np

from ._domain import Domain


class WithinBounds(Domain, abc.ABC):
    """Abstract: a domain of space alone, no factor of a box, that knows its bounds and distance."""

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        return {}

    @property
    def _width(self) -> int:
        return len(self.coordinates)

    @property
    def _proposal_measure(self) -> float:
        return math.prod(high - low for low, high in self.bounds.values())

    def _propose(self, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.array(list(self.bounds.values())).T
        points = low + (high - low) * cube
        return points, self._distance(points) <= 0

    def _without_time(self) -> Domain:
        return self
