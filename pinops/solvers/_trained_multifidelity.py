"""What training on two fidelities leaves: a cheap prediction, and a network that corrects it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pinops.data import Dataset, as_dataset, inputs_in
from pinops.problem import DataFamily, Problem, in_words, shapes_of
from pinops.solvers._ensemble import Several
from pinops.solvers._export import Program
from pinops.solvers._map_answers import relative_errors
from pinops.solvers._prediction import Prediction
from pinops.solvers._trained import (
    Errors,
    Trained,
    error_statistics,
    mean_of,
    refuse_weights,
    spread_of,
)
from pinops.solvers._trained_operator import TrainedOperator
from pinops.solvers._trained_uncertain import TrainedUncertain
from pinops.training import Report

MODES = ("residual", "compose", "concat")
LOW, HIGH = "low", "high"  # the folders of the levels in a run directory
_ROWS = 256  # samples that are compared together
_SHOWN = 3  # samples in a figure
Data = Dataset | str | Path
Fields = dict[str, Float[np.ndarray, "n ..."]]


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedMultiFidelity(Trained):
    """What `train` returns for a `MultiFidelity`.

    Called with inputs it gives outputs on the grid of the high level. Immutable.

    Attributes:
        low: The low level: what was trained, or a function; None: a function that no file keeps,
            which `with_low` gives back.
        high: What was trained to correct it, for the inputs and the prediction of the low level.
        family: Of the samples.
        request: What was asked for.
        dataset: What the high level was trained on; None for one that was loaded.
    """

    low: Any
    high: Trained
    family: DataFamily
    request: dict[str, Any]
    dataset: Dataset | None = None

    @property
    def mode(self) -> str:
        """What is made of the prediction of the low level."""
        return self.request["multi_fidelity"]["mode"]

    @cached_property
    def axes(self) -> dict[str, Float[np.ndarray, " n"]]:
        """The points of each coordinate where the outputs lie."""
        return {name: np.asarray(line) for name, line in self.request["axes"].items()}

    @property
    def subject(self) -> Problem:
        return self.family

    @property
    def history(self) -> list[Report]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the high level."""
        return self.high.history

    @property
    def _levels(self) -> list[Trained]:
        """Those that were trained."""
        return [self.low, self.high] if isinstance(self.low, Trained) else [self.high]

    @property
    def status(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Of both levels, the first that is not "finished"."""
        states = [level.status for level in self._levels]
        return next((status for status in states if status != "finished"), "finished")

    @property
    def compile_seconds(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sum(level.compile_seconds for level in self._levels)

    @property
    def num_parameters(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of both levels."""
        return sum(level.num_parameters for level in self._levels)

    def with_low(self, low: Any) -> "TrainedMultiFidelity":
        """The same with another low level, such as the function of one that was loaded."""
        return replace(self, low=low)

    def __call__(self, inputs: Any) -> Any:
        """The outputs of some samples; of an ensemble their mean, and with error bars mean and
        spread.

        Args:
            inputs: By name, a sample in each row; or the array alone where there is one input.

        Returns:
            ``{unknown: (n, *grid)}``; the array alone where the inputs have no names, and there is
            one unknown. With error bars a `Prediction` of two of these.

        Raises:
            ValueError: For other inputs, and without a low level.
        """
        found = self._each(inputs)
        mean = self._over(mean_of, inputs, found)
        if not isinstance(self.high, TrainedUncertain):
            return mean
        return Prediction(mean, self._over(spread_of, inputs, found))

    def mean(self, inputs: Any) -> Any:
        """The mean over the members of the high level, in the form of a call; arguments as for a
        call.
        """
        return self._over(mean_of, inputs, self._each(inputs))

    def each(self, inputs: Any) -> Any:
        """What every member of the high level predicts, ``(m, n, *grid)`` by unknown; one row where
        it is no ensemble. Arguments as for a call.
        """
        return self._in_form(inputs, self._each(inputs))

    def spread(self, inputs: Any) -> Any:
        """The standard deviation over the members of the high level, in the form of a call.

        Args:
            inputs: As for a call.

        Raises:
            ValueError: Where the high level is no ensemble.
        """
        if not isinstance(self.high, Several):
            raise ValueError(
                "the high level has one member, which has no spread; train it with ensemble=8"
            )
        return self._over(spread_of, inputs, self._each(inputs))

    def cheap(self, inputs: Any) -> Any:
        """What the low level predicts, in the form of a call; arguments as for a call."""
        return self._in_form(inputs, self._cheap(self._by_input(inputs)))

    def _over(self, statistic: Any, inputs: Any, found: Fields) -> Any:
        """A statistic over the members."""
        return self._in_form(inputs, {name: statistic(array) for name, array in found.items()})

    def _in_form(self, inputs: Any, found: dict[str, np.ndarray]) -> Any:
        single = not isinstance(inputs, Mapping) and len(found) == 1
        return next(iter(found.values())) if single else found

    def _by_input(self, inputs: Any) -> dict[str, np.ndarray]:
        """Inputs by name. Raises ValueError for others than those of the training."""
        shapes = shapes_of(self.family.given)
        if not isinstance(inputs, Mapping):
            if len(shapes) > 1:
                raise ValueError(f"give the inputs {', '.join(shapes)} by name")
            inputs = dict.fromkeys(shapes, inputs)
        found = {name: np.asarray(array) for name, array in inputs.items()}
        own = {name: array.shape[1:] for name, array in found.items()}
        if own != dict(shapes):
            raise ValueError(
                f"a prediction needs the inputs {in_words(shapes)} of each sample, got "
                f"{in_words(own)}"
            )
        return found

    def _cheap(self, inputs: Mapping[str, np.ndarray]) -> Fields:
        if self.low is None:
            raise ValueError(
                "the low level was a function, which is not kept with a run; give it, "
                "trained.with_low(function)"
            )
        return low_answers(self.low, inputs, self.axes, self.family.unknowns)

    def _each(self, inputs: Any) -> Fields:
        """The predictions of every member."""
        named = self._by_input(inputs)
        base = self._cheap(named)
        several = isinstance(self.high, Several)
        given = given_to(self.mode, named, base)
        out = answered(self.high, given, self.axes, self.family.unknowns, each=several)
        out = out if several else {name: array[None] for name, array in out.items()}
        if self.mode == "residual":
            out = {name: array + base[name] for name, array in out.items()}
        return out

    def _data(self, data: Data | None) -> Dataset:
        """What is given, or the data of the training.

        Raises:
            ValueError: For data of other inputs, outputs or another grid, and without any.
        """
        found = self.dataset if data is None else as_dataset(data)
        if found is None:
            raise ValueError("what was loaded knows no data; give some, error(Dataset.open(FILE))")
        lines = [np.ravel(line) for line in found.coordinates.values()]
        own = list(self.axes.values())
        same = len(lines) == len(own) and all(
            len(one) == len(other) and np.allclose(one, other)
            for one, other in zip(lines, own, strict=True)
        )
        if found.unknowns != self.family.unknowns or not same:
            raise ValueError(
                f"{found.path} has the outputs {', '.join(found.unknowns)} on a grid of "
                f"{' x '.join(str(len(line)) for line in lines)}, and the training had "
                f"{', '.join(self.family.unknowns)} on {' x '.join(str(len(a)) for a in own)}; "
                "give data on the same grid"
            )
        return found

    def predicted(
        self, data: Data | None = None, part: str | None = "test"
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Inputs, outputs ``(n, *grid, c)`` and the truth of samples that the high level has not
        seen.

        Args:
            data: A data set on the grid of the training; None: that of the training.
            part: Of the data set; None: all of it.

        Raises:
            ValueError: Where the training has seen them, for other data, and without any.
        """
        found, names = self._data(data), self.family.unknowns
        members = found.unseen(self.request["data_members"], part)
        seen, out, truth = [], [], []
        for start in range(0, len(members), _ROWS):
            rows = found.rows(members[start : start + _ROWS])
            inputs = inputs_in(rows)
            answer = self.mean(inputs)
            seen.append(inputs)
            out.append(np.stack([answer[name] for name in names], -1))
            truth.append(np.stack([rows[f"values/{name}"] for name in names], -1))
        inputs = {name: np.concatenate([one[name] for one in seen]) for name in seen[0]}
        return inputs, np.concatenate(out), np.concatenate(truth)

    def error(self, data: Data | None = None) -> Errors:
        """Relative L2 errors of the outputs; of an ensemble those of the mean.

        Args:
            data: A data set, of which the test part is taken; None: that of the training.

        Raises:
            ValueError: As `predicted` does.
        """
        _, out, truth = self.predicted(data)
        relative, largest = relative_errors(out, truth)
        return {
            name: error_statistics(relative[~np.isnan(relative[:, k]), k], float(largest[k]))
            for k, name in enumerate(self.family.unknowns)
        }

    def known_errors(self, data: Data | None = None) -> Errors:
        found = self.dataset if data is None else as_dataset(data)
        missing = found is None or (data is None and not len(found.splits["test"]))
        return {} if missing or self.low is None else self.error(data)

    def plot(self, path: str | Path | None = None, data: Data | None = None) -> Any:
        """A figure of some samples beside the truth, and of the training of the high level.

        Args:
            path: Where the figure is written; None: nowhere.
            data: As for `error`.
        """
        from pinops.plotting import plot_maps

        _, out, truth = self.predicted(data)
        return plot_maps(self, self.axes, out[:_SHOWN], truth[:_SHOWN], path)

    def details(self, data: Data | None = None) -> dict[str, Any]:
        return {"mode": self.mode, "grid": [len(line) for line in self.axes.values()]}

    def identified(self) -> dict[str, Any]:
        return self.request

    def program(self, snapshots: int | None = None) -> Program:
        raise ValueError(
            "two levels are exported one by one: trained.low.export(FILE) and "
            "trained.high.export(FILE)"
        )

    def weights(self) -> dict[str, np.ndarray]:
        raise refuse_weights(self)

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        if isinstance(self.low, Trained):
            self.low.save(folder / LOW)
        self.high.save(folder / HIGH)
        return ()


def low_answers(
    low: Any,
    inputs: Mapping[str, np.ndarray],
    axes: Mapping[str, Float[np.ndarray, " n"]],
    unknowns: tuple[str, ...],
) -> Fields:
    """What the low level predicts, by unknown.

    Args:
        low: What was trained, or a function of the inputs.
        inputs: By name, a sample in each row.
        axes: The points of each coordinate.
        unknowns: The names of the outputs.

    Raises:
        ValueError: For predictions of other unknowns, on another grid, or that are not finite.
    """
    if isinstance(low, Trained):
        found = answered(low, inputs, axes, unknowns)
    else:
        found = _by_name(low(dict(inputs)), unknowns)
    wanted = (len(next(iter(inputs.values()))), *(len(line) for line in axes.values()))
    for name in unknowns:
        if name not in found:
            raise ValueError(
                f"the low level predicts {', '.join(found)}, and not {name}; give one that does"
            )
        if found[name].shape != wanted:
            raise ValueError(
                f"the low level predicts {name} in the shape {found[name].shape}, and the high "
                f"level has {wanted}; give both the same grid"
            )
        if not np.isfinite(found[name]).all():
            raise ValueError(
                f"the low level predicts values of {name} that are not finite; mend it"
            )
    return {name: found[name] for name in unknowns}


def answered(
    trained: Trained,
    inputs: Mapping[str, np.ndarray],
    axes: Mapping[str, Float[np.ndarray, " n"]],
    unknowns: tuple[str, ...],
    *,
    each: bool = False,
) -> Fields:
    """What a training predicts on a grid, by unknown; of several the mean, or ``each`` of them."""
    several = isinstance(trained, Several)
    kind = trained[0] if several else trained
    if several or isinstance(trained, TrainedMultiFidelity):
        ask: Any = trained.each if each else trained.mean
    else:
        ask = trained
    if isinstance(kind, TrainedOperator):
        # By their order: a time may have another name in the data of the two levels.
        names = kind.subject.domain.coordinates
        grid = np.meshgrid(*axes.values(), indexing="ij", sparse=True)
        return _by_name(ask(dict(inputs), **dict(zip(names, grid, strict=True))), unknowns)
    return _by_name(ask(dict(inputs)), unknowns)


def _by_name(found: Any, unknowns: tuple[str, ...]) -> Fields:
    """Outputs by unknown, of an array alone where there is one."""
    named = found if isinstance(found, Mapping) else dict.fromkeys(unknowns[:1], found)
    return {name: np.asarray(array) for name, array in named.items()}


def given_to(mode: str, inputs: Mapping[str, Any], base: Fields) -> dict[str, np.ndarray]:
    """What the network of the high level sees: inputs, and the low level's prediction.

    Raises:
        ValueError: Where an input has the name of one of these predictions.
    """
    cheap = {f"{name}_low": array for name, array in base.items()}
    if mode == "compose":
        return cheap
    for name in cheap:
        if name in inputs:
            raise ValueError(
                f"MultiFidelity: the input {name} has the name of the low level's prediction; "
                "choose another"
            )
    return {**inputs, **cheap}
