"""How the numbers that an operator sees are scaled: kept with a run, and shown in ``run.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float


def _identity(x: Any) -> Any:
    return x


def _log(x: Any) -> Any:
    return np.log(x) if isinstance(x, np.ndarray) else jnp.log(x)


def _sigmoid_log(x: Any) -> Any:
    """The logistic function of the logarithm of x."""
    return x / (1 + x)


MAPS = {"identity": _identity, "log": _log, "sigmoid_log": _sigmoid_log}


def rounded(numbers: Any) -> list[Any]:
    """Numbers to six digits, which are the same on every machine."""
    return np.vectorize(lambda number: float(f"{number:.6g}"), otypes=[float])(numbers).tolist()


@dataclass(frozen=True)
class ParameterScaling:
    """The parameters that a surrogate sees: mapped, less their mean, divided by their deviation.

    Attributes:
        names: Of the parameters.
        low: The smallest value of each in the training data.
        high: The largest.
        maps: "identity", "log" or "sigmoid_log" (x / (1 + x)) for each.
        mean: After the map.
        deviation: The standard deviation after the map; 1 where all values are the same.
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    maps: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def of(
        cls, names: Sequence[str], values: Float[np.ndarray, "n p"], wanted: str
    ) -> "ParameterScaling":
        """From the values in the training data.

        Args:
            names: Of the columns.
            values: Of all trajectories.
            wanted: A map for all, or "auto": the logarithm where all values are positive and the
                largest is more than ten times the smallest.

        Raises:
            ValueError: For a map that is not known, or that needs positive parameters.
        """
        if wanted not in ("auto", *MAPS):
            known = ", ".join(("auto", *MAPS))
            raise ValueError(f"parameter_map must be one of {known}, got {wanted!r}")
        low, high = values.min(0), values.max(0)
        if wanted not in ("auto", "identity") and not (low > 0).all():
            raise ValueError(
                f"parameter_map={wanted!r} needs positive parameters, and the smallest are "
                f"{low.tolist()}; choose identity"
            )
        wide = (low > 0) & (high > 10 * low)
        maps = ["log" if w else "identity" for w in wide]
        maps = maps if wanted == "auto" else [wanted] * len(maps)
        with jax.enable_x64(True):
            columns = [np.asarray(MAPS[name](values[:, k])) for k, name in enumerate(maps)]
        mapped = np.stack(columns, 1) if columns else values
        deviation = np.std(mapped, axis=0)
        size = np.abs(mapped).max(0)
        return cls(
            names=tuple(names),
            low=tuple(rounded(low)),
            high=tuple(rounded(high)),
            maps=tuple(maps),
            mean=tuple(rounded(np.mean(mapped, axis=0))),
            deviation=tuple(rounded(np.where(deviation > 1e-6 * size, deviation, 1.0))),
        )

    def outside(self, parameters: Float[np.ndarray, "n p"]) -> dict[str, str]:
        """By name the values that are outside of the range of the training data, in words."""
        found = {}
        for k, name in enumerate(self.names):
            low, high, column = self.low[k], self.high[k], parameters[:, k]
            slack = 1e-5 * max(abs(low), abs(high))
            values = np.unique(column[(column < low - slack) | (column > high + slack)])
            if values.size:
                shown = ", ".join(f"{value:.4g}" for value in values[:5])
                found[name] = f"{name} = {shown} is outside the trained range, {low:g} to {high:g}"
        return found

    def to_json(self) -> dict[str, Any]:
        """As in ``run.json``."""
        return {name: list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ParameterScaling":
        """The inverse of `to_json`."""
        return cls(**{name: tuple(value) for name, value in content.items()})
