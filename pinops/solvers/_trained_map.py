"""A trained steady map: fields on a grid from input fields, numbers and vectors."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.data import Dataset, as_dataset, inputs_in, write_arrays
from pinops.problem import Problem
from pinops.solvers._export import Program, Shape
from pinops.solvers._trained import (
    SCALING,
    Errors,
    TrainedOnce,
    error_statistics,
    refuse_snapshots,
    write_state,
)
from pinops.training import (
    MapInputs,
    MapModel,
    Params,
    chunk_of,
    interpolation,
    places_on,
)

_AT_ONCE = 32  # times the memory of a chunk in a training, for the samples of a prediction
_ROWS = 256  # samples that are read and compared together
_SHOWN = 3  # samples in a figure
Data = Dataset | str | Path


@eqx.filter_jit
def evaluated(
    model: MapModel, params: Params, inputs: Mapping[str, Array]
) -> Float[Array, "n *grid c"]:
    """The outputs of many samples, some at once so that memory stays small."""
    count = len(next(iter(inputs.values())))

    def some(rows: Mapping[str, Array]) -> Array:
        return model.predicted(params, rows)

    def program(rows: int) -> Any:
        part = {name: array[:rows] for name, array in inputs.items()}
        return jax.make_jaxpr(some)(part).jaxpr

    size = count if count < 2 else chunk_of(program, count, budgets=_AT_ONCE)
    if size >= count:
        return some(inputs)
    whole = count // size * size
    parts = {n: a[:whole].reshape(-1, size, *a.shape[1:]) for n, a in inputs.items()}
    out = jax.lax.map(some, parts)
    out = out.reshape(whole, *out.shape[2:])
    rest = {name: array[whole:] for name, array in inputs.items()}
    return out if whole == count else jnp.concatenate([out, some(rest)])


def relative_errors(
    predicted: Float[np.ndarray, "n *grid c"], truth: Float[np.ndarray, "n *grid c"]
) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, " c"]]:
    """The relative L2 error of each sample and unknown over the values that are known (NaN where
    there are none), and the largest error of each unknown.
    """
    known = np.isfinite(truth)
    flat = (len(truth), -1, truth.shape[-1])
    off = np.where(known, predicted - truth, 0.0).reshape(flat)
    size = np.linalg.norm(np.where(known, truth, 0.0).reshape(flat), axis=1)
    relative = np.linalg.norm(off, axis=1) / np.maximum(size, np.finfo(float).tiny)
    some = known.reshape(flat).any(1)
    return np.where(some, relative, np.nan), np.abs(off).max((0, 1))


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedMap(TrainedOnce):
    """What `train` returns for a network on a grid and data without a time axis.

    Immutable; evaluates in the precision that it was trained in. Called with inputs it gives
    outputs, for any number of samples at once.

    Attributes:
        dataset: What it was trained on; None for one that was loaded.
    """

    family: Problem
    model: MapModel
    dataset: Dataset | None = None

    @property
    def inputs(self) -> MapInputs:
        """What it sees, and the ranges of that in the training."""
        return self.model.inputs

    @cached_property
    def axes(self) -> dict[str, Float[np.ndarray, " n"]]:
        """The points of each coordinate where the outputs lie."""
        return {name: np.asarray(line) for name, line in self.request["axes"].items()}

    @property
    def grid(self) -> tuple[int, ...]:
        """How many points each axis has."""
        return tuple(len(line) for line in self.axes.values())

    def __call__(self, inputs: Any) -> Any:
        """The outputs of some samples, in one compiled call.

        Fields on a finer (or coarser) grid than that of the training give outputs on a grid that is
        finer by as much. Warns where numbers are outside of their range in the training.

        Args:
            inputs: By name, a sample in each row: fields ``(n, *grid[, c])``, vectors ``(n, m)``,
                numbers ``(n,)``; or the array alone where there is one input.

        Returns:
            ``{unknown: (n, *grid)}``; the array alone where inputs were one, and there is one
            unknown.

        Raises:
            ValueError: For inputs that are missing or of another shape, and values that are not
                finite.
        """
        names, unknowns = self.inputs.names, self.family.unknowns
        alone = not isinstance(inputs, Mapping)
        if alone and len(names) > 1:
            raise ValueError(
                f"the map needs the inputs {', '.join(names)}; give them by name, in a dict"
            )
        named = dict.fromkeys(names, inputs) if alone else inputs
        given = self.inputs.checked(named, self.grid)
        self._warn(given)
        grid = self.inputs.grid_for(given, self.grid)
        places = [places_on(n, m) for n, m in zip(self.grid, grid, strict=True)]
        out = self._outputs(given, places)
        if alone and len(unknowns) == 1:
            return out[..., 0]
        return {name: out[..., k] for k, name in enumerate(unknowns)}

    def _warn(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Warn where numbers are outside of their range in the training."""
        rows = [inputs[name].reshape(len(inputs[name]), -1) for name, _ in self.inputs.constants]
        if rows:
            outside = self.inputs.of_constants.outside(np.concatenate(rows, 1))
            for sentence in outside.values():
                warnings.warn(sentence, stacklevel=3)

    def _outputs(
        self, inputs: Mapping[str, np.ndarray], places: Sequence[np.ndarray]
    ) -> Float[np.ndarray, "n *grid c"]:
        """Outputs at places along each axis, counted in steps of the grid of the training."""
        with jax.enable_x64(self.x64):
            model = self._model_at(tuple(tuple(line.tolist()) for line in places))
            arrays = {n: jnp.asarray(a, jnp.result_type(float)) for n, a in inputs.items()}
            return np.asarray(evaluated(model, self.params, arrays))

    def _model_at(self, places: tuple[tuple[float, ...], ...]) -> MapModel:
        """The model with outputs at these places; the present one where they are its own."""
        lines = [np.asarray(line) for line in places]
        own = all(
            len(line) == n and np.allclose(line, np.arange(n), rtol=0, atol=1e-6)
            for n, line in zip(self.grid, lines, strict=True)
        )
        return self.model if own else self.model.at_places(lines)

    def refined(self, times: int) -> "TrainedMap":
        """The same map with outputs at ``times`` as many points along every axis.

        Of points ``x0 + k h`` it makes ``x0 + k h / times``. An FNO and a CNO are operators between
        functions and hardly notice; the convolutions of a U-Net reach less far there than in the
        training: `error` of data on such a grid tells what that costs.

        Raises:
            ValueError: For a number below 1.
        """
        if not isinstance(times, int) or isinstance(times, bool) or times < 1:
            raise ValueError(f"times must be a whole number of at least 1, got {times!r}")
        places = [np.arange(times * n) / times for n in self.grid]
        axes = {}
        for (name, line), there in zip(self.axes.items(), places, strict=True):
            axes[name] = (interpolation(len(line), there) @ line).tolist()
        fields = tuple((n, tuple(times * k for k in own)) for n, own in self.inputs.fields)
        finer = replace(self.inputs, fields=fields)
        request = self.request | {"axes": axes, "inputs": finer.to_json()}
        with jax.enable_x64(self.x64):
            model = replace(self.model.at_places(places), inputs=finer)
        return replace(self, request=request, model=model, state=None)

    def predicted(
        self, data: Data | None = None, part: str | None = "test"
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Inputs, outputs and the truth of samples that the training has not seen.

        Args:
            data: A data set, on the grid of the training or another one; None: that of the
                training, of a map that was not loaded.
            part: Of the data set; None: all of it.

        Raises:
            ValueError: Where the training has seen them, for other inputs, outputs or another
                domain, and without data.
        """
        each, predicted, truth = zip(*self._blocks(self._dataset(data), part), strict=True)
        inputs = {name: np.concatenate([one[name] for one in each]) for name in self.inputs.names}
        return inputs, np.concatenate(predicted), np.concatenate(truth)

    def _dataset(self, data: Data | None) -> Dataset:
        """What is given, or the data of the training."""
        if data is not None:
            return as_dataset(data)
        if self.dataset is None:
            raise ValueError(
                "a map that was loaded knows no data; give some, error(Dataset.open(FILE))"
            )
        return self.dataset

    def _blocks(
        self, dataset: Dataset, part: str | None
    ) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]]:
        """`predicted`, some samples at once."""
        self._check(dataset)
        places = [
            _places_of(np.ravel(dataset.coordinates[name]), line)
            for name, line in self.axes.items()
        ]
        members = dataset.unseen(self.request["data_members"], part)
        for start in range(0, len(members), _ROWS):
            rows = dataset.rows(members[start : start + _ROWS])
            inputs = self.inputs.checked(inputs_in(rows), self.grid)
            truth = np.stack([rows[f"values/{name}"] for name in self.family.unknowns], -1)
            yield inputs, self._outputs(inputs, places), truth

    def _check(self, dataset: Dataset) -> None:
        """Raises ValueError for data of another kind, other unknowns or another domain."""
        layout = dataset.layout
        if layout.kind != "grid" or layout.time is not None:
            where = "have a time axis" if layout.time else f"lie on {layout.kind}"
            raise ValueError(f"{dataset.path}: its outputs {where}; the map needs them on a grid")
        pairs = (
            ("outputs", dataset.unknowns, self.family.unknowns),
            ("coordinates", tuple(dataset.coordinates), tuple(self.axes)),
        )
        for what, there, here in pairs:
            if set(there) != set(here) or what == "coordinates" and there != here:
                raise ValueError(
                    f"{dataset.path} has the {what} {', '.join(there)}, and the map has "
                    f"{', '.join(here)}; give data with the same"
                )
        for name, own in self.axes.items():
            line = np.ravel(dataset.coordinates[name])
            step = max(np.ptp(axis) / max(1, len(axis) - 1) for axis in (line, own))
            if abs(line[0] - own[0]) > step or abs(line[-1] - own[-1]) > step:
                raise ValueError(
                    f"{dataset.path} has points of {name} from {line[0]:g} to {line[-1]:g}, and "
                    f"the map was trained from {own[0]:g} to {own[-1]:g}; give data of this domain"
                )

    def error(self, data: Data | None = None) -> Errors:
        """Statistics of the relative L2 errors over samples, by unknown.

        Args:
            data: A data set, of which the test part is taken; None: that of the training, of a map
                that was not loaded.

        Raises:
            ValueError: As `predicted` does.
        """
        blocks = self._blocks(self._dataset(data), "test")
        each = [relative_errors(out, truth) for _, out, truth in blocks]
        errors = np.concatenate([relative for relative, _ in each])
        largest = np.max([largest for _, largest in each], axis=0)
        return {
            name: error_statistics(
                errors[np.isfinite(errors[:, k]), k] if np.isfinite(errors[:, k]).any() else [0.0],
                float(largest[k]),
            )
            for k, name in enumerate(self.family.unknowns)
        }

    def known_errors(self, data: Data | None = None) -> Errors:
        return {} if data is None and self.dataset is None else self.error(data)

    def plot(self, path: str | Path | None = None, data: Data | None = None) -> Any:
        """A figure of some samples beside the truth, and of the training.

        Args:
            path: Where the figure is written.
            data: A data set whose test samples are shown; None: that of the training.
        """
        from pinops.plotting import plot_maps

        dataset = self._dataset(data)
        _, predicted, truth = next(self._blocks(dataset, "test"))
        shown = slice(_SHOWN)
        axes = {name: np.ravel(line) for name, line in dataset.coordinates.items()}
        return plot_maps(self, axes, predicted[shown], truth[shown], path)

    def details(self, data: Data | None = None) -> dict[str, Any]:
        return {"grid": list(self.grid), "loss_norm": self.request["loss"]}

    def identified(self) -> dict[str, Any]:
        return self.request

    def scaling(self) -> dict[str, np.ndarray]:
        return {"mean": np.asarray(self.model.mean), "scale": np.asarray(self.model.scale)}

    def program(self, snapshots: int | None = None) -> Program:
        refuse_snapshots(self, snapshots)
        unknowns = self.family.unknowns

        def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
            out = self.model.predicted(self.params, inputs)
            return {name: out[..., k] for k, name in enumerate(unknowns)}

        axes = {name: line.tolist() for name, line in self.axes.items()}
        inputs: dict[str, Shape] = {n: ("n", *shape) for n, shape in self.inputs.shapes.items()}
        return Program(call, inputs, dict.fromkeys(unknowns, ("n", *self.grid)), {"axes": axes})

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        write_arrays(folder / SCALING, "scaling", self.scaling())
        return (SCALING,)


def _places_of(
    line: Float[np.ndarray, " m"], own: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """Where points lie along an axis, counted in its steps; beyond its ends in those there."""
    if len(own) < 2:
        return np.zeros(len(line))
    left = np.clip(np.searchsorted(own, line, side="right") - 1, 0, len(own) - 2)
    return left + (line - own[left]) / (own[left + 1] - own[left])
