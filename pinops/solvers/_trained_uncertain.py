"""What training with randomised priors leaves: a mean, and how far it may be wrong."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from pinops.data import Dataset, read_arrays, write_arrays
from pinops.solvers._ensemble import Several
from pinops.solvers._prediction import Prediction
from pinops.solvers._trained import Errors, Trained, TrainedOnce, mean_of, spread_of
from pinops.solvers._trained_map import TrainedMap
from pinops.solvers._trained_point_map import TrainedPointMap
from pinops.solvers._trained_point_surrogate import TrainedPointSurrogate
from pinops.solvers._trained_surrogate import TrainedSurrogate

LIMITS = "spread.h5"
# A sample lies outside of what was trained on where its spread is more than this times that of
# nearly all samples for validation.
_FAR, _NEARLY_ALL = 4.0, 0.95
_NAMED = 5  # samples that a warning names


@dataclass(frozen=True, repr=False)
class TrainedUncertain(Several):
    """What `train` and `solve` return for ``po.uncertain(architecture)``.

    Called with what one of its members is called with, it gives a `Prediction`: ``mean`` and
    ``spread``, in the form of a member's answer; of operators and one member of the family, another
    `TrainedUncertain`, which is then called with coordinates. ``each`` gives the answers of all
    members in a leading axis. ``trained[k]``, and ``trained.members``, are those of `train` and
    `solve` without `pinops.uncertain`.

    The spread says how much the members disagree. Whether the truth lies within it as often as it
    should is a matter of calibration. A call warns of samples with a spread far above that of the
    samples for validation, because they lie outside of what the members have learnt.

    Attributes:
        members: The results of the single trainings, in the order of their seeds.
        limits: By unknown the root mean square spread of a sample above which it counts as outside;
            None where there were no samples for validation.
    """

    members: tuple[TrainedOnce, ...]
    limits: Mapping[str, float] | None = None

    @classmethod
    def of(cls, members: Sequence[Any], data: Dataset | None) -> "TrainedUncertain":
        """The result of trainings on data, whose samples for validation say which spread is usual.

        Args:
            members: Of the trainings.
            data: Of them; None: there are none.
        """
        found = cls(tuple(members))
        if data is None or not len(data.splits["validation"]):
            return found
        spreads = found._as_one(spread_of).outputs_of(data, "validation")
        sizes = np.stack([[_size(one) for one in np.moveaxis(spread, -1, 0)] for spread in spreads])
        usual = np.quantile(sizes, _NEARLY_ALL, axis=0)
        limits = zip(found.subject.unknowns, (_FAR * usual).tolist(), strict=True)
        return replace(found, limits=dict(limits))

    @classmethod
    def read(cls, members: Sequence[Any], folder: Path) -> "TrainedUncertain":
        """What `save` has written into a folder, of members that were read from there."""
        limits = None
        if (folder / LIMITS).exists():
            arrays, _ = read_arrays(folder / LIMITS, "spread")
            limits = {name: float(array) for name, array in arrays.items()}
        return cls(tuple(members), limits)

    def __call__(self, *inputs: Any, **coordinates: Any) -> Any:
        """Mean and spread, a `Prediction`; arguments as for a member.

        Of operators and one member of the family: a `TrainedUncertain` of its solutions.
        """
        found = self.each(*inputs, **coordinates)
        if isinstance(found, Trained):
            return found
        answer = Prediction(jax.tree.map(mean_of, found), jax.tree.map(spread_of, found))
        self._warn(answer.spread)
        return answer

    def sizes(self, spread: Any) -> dict[str, Float[np.ndarray, " n"]]:
        """The root mean square of a spread, by unknown, for each sample.

        Args:
            spread: Of a `Prediction` of this result.
        """
        kind: Any = self.members[0]
        unknowns = self.subject.unknowns
        if isinstance(kind, TrainedSurrogate):
            later = spread[:, kind.given :]
            by_name = {name: later[..., k] for k, name in enumerate(unknowns)}
        else:
            by_name = spread if isinstance(spread, dict) else {unknowns[0]: spread}
        if isinstance(kind, TrainedPointSurrogate):  # one sample
            by_name = {name: one[None, kind.given :] for name, one in by_name.items()}
        elif isinstance(kind, TrainedPointMap) or (
            isinstance(kind, TrainedMap) and np.ndim(by_name[unknowns[0]]) == len(kind.grid)
        ):
            by_name = {name: one[None] for name, one in by_name.items()}
        return {name: np.stack([_size(one) for one in each]) for name, each in by_name.items()}

    def _warn(self, spread: Any) -> None:
        """Warn of samples that lie outside of what was trained on, once."""
        if self.limits is None:
            return
        sizes = self.sizes(spread)
        ratios = np.max([sizes[name] / limit for name, limit in self.limits.items()], axis=0)
        outside = np.flatnonzero(ratios > 1)
        if not len(outside):
            return
        named = ", ".join(map(str, outside[:_NAMED]))
        more = f" and {len(outside) - _NAMED} more" if len(outside) > _NAMED else ""
        warnings.warn(
            f"the spread of {len(outside)} of {len(ratios)} samples ({named}{more}) is up to "
            f"{_FAR * ratios.max():.3g} times what is usual in the training: they lie outside of "
            "what was trained on, and neither mean nor spread can be relied on there",
            stacklevel=3,
        )

    @property
    def average(self) -> Any:
        """The mean as a result of its own, of the members' kind: for errors and figures."""
        return self._as_one(mean_of)

    def _as_one(self, statistic: Any) -> Any:
        first, *others = self.members
        pairs = tuple((member.model, member.params) for member in others)
        return replace(first, others=pairs, statistic=statistic)

    @property
    def coefficients(self) -> Mapping[str, Prediction]:
        """Mean and spread of every coefficient that was to be found, by name."""
        found = [member.coefficients for member in self.members]  # pyright: ignore
        names = self.request["trainable"]
        stacks = {name: np.stack([np.asarray(each[name]) for each in found]) for name in names}
        return {name: Prediction(mean_of(s), spread_of(s)) for name, s in stacks.items()}

    def write_own(self, folder: Path) -> tuple[str, ...]:
        if self.limits is None:
            return ()
        write_arrays(folder / LIMITS, "spread", dict(self.limits))
        return (LIMITS,)

    def error(self, data: Any = None) -> Errors:
        """Errors of the mean; arguments as for a member."""
        return self.average.error(data)

    def known_errors(self, data: Any = None) -> Errors:
        return self.average.known_errors(data)

    def plot(self, path: str | Path | None = None, data: Any = None) -> Any:
        """The figure of the mean beside the truth, with the spread; arguments as for a member."""
        return self.average.plot(path, data)

    def animate(self, path: str | Path, data: Any = None, *, seconds: float = 5.0) -> Path:
        """The animation of the mean; arguments as for `Trained.animate`."""
        return self.average.animate(path, data, seconds=seconds)

    def details(self, data: Any = None) -> dict[str, Any]:
        return {**self.average.details(data), "averaged": len(self)}


def _size(values: Any) -> np.ndarray:
    """The root mean square of what is known."""
    return np.sqrt(np.nanmean(np.square(np.asarray(values, np.float64))))
