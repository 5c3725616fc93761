"""Several solutions of one problem that differ in their seed: mean and spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pinops.solvers._solution import Solution


@dataclass(frozen=True)
class Ensemble(Sequence[Solution]):
    """What ``solve(..., seeds=8)`` returns: the solutions in the order of their seeds."""

    solutions: tuple[Solution, ...]

    def __getitem__(self, k: Any) -> Any:
        return self.solutions[k]

    def __len__(self) -> int:
        return len(self.solutions)

    def mean(self, **coordinates: Any) -> np.ndarray | dict[str, np.ndarray]:
        """The mean of the solutions at named coordinates, in the form that a `Solution` has there."""
        return self._over(np.mean, coordinates)

    def spread(self, **coordinates: Any) -> np.ndarray | dict[str, np.ndarray]:
        """The standard deviation of the solutions at named coordinates (from their mean, divisor n)."""
        return self._over(np.std, coordinates)

    def _over(
        self, statistic: Any, coordinates: dict[str, Any]
    ) -> np.ndarray | dict[str, np.ndarray]:
        values = [solution.values(coordinates) for solution in self.solutions]
        out = {name: statistic([value[name] for value in values], axis=0) for name in values[0]}
        return out if len(out) > 1 else next(iter(out.values()))

    def error(self) -> dict[str, dict[str, dict[str, float]]]:
        """``{unknown: {"relative_l2": {"mean", "std", "median", "min", "max"}, "max_abs": ...}}`` over the seeds.

        **Raises** ValueError when the problem has no reference.
        """
        found = [solution.error() for solution in self.solutions]
        statistics = {
            "mean": np.mean,
            "std": np.std,
            "median": np.median,
            "min": np.min,
            "max": np.max,
        }
        return {
            unknown: {
                kind: {
                    name: float(of([error[unknown][kind] for error in found]))
                    for name, of in statistics.items()
                }
                for kind in ("relative_l2", "max_abs")
            }
            for unknown in found[0]
        }
