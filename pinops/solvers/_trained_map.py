"""A trained steady map: fields on a grid from input fields, numbers and vectors."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.data import Dataset, as_dataset, check_data, inputs_in, problems, write_arrays
from pinops.problem import Problem
from pinops.settings import quick
from pinops.solvers._export import Program, Shape
from pinops.solvers._finetuned import finetuned, tuned
from pinops.solvers._map_answers import evaluated, places_of, referenced, relative_errors
from pinops.solvers._member_arrays import as_arrays
from pinops.solvers._trained import (
    SCALING,
    Errors,
    TrainedOnce,
    error_statistics,
    refuse_snapshots,
    write_state,
)
from pinops.solvers._trained_operator import stacked, test_members, with_references
from pinops.training import (
    MapInputs,
    MapModel,
    Params,
    Samples,
    cast,
    interpolation,
    places_on,
    samples_of_members,
)

_ROWS = 256  # samples that are read and compared together
_SHOWN = 3  # samples in a figure
Data = Dataset | str | Path


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedMap(TrainedOnce):
    """What `train` returns for a network on a grid and a family, or data, without a time axis.

    Immutable; evaluates in the precision that it was trained in. Called with inputs, or members of
    its family, it gives outputs, for any number of samples at once.

    Attributes:
        dataset: What it was trained on; None for one that was loaded.
    """

    family: Problem
    model: MapModel
    dataset: Dataset | None = None

    @property
    def subject(self) -> Problem:
        return self.family

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
        finer by as much. Both grids have the same ends where the intervals of one divide those of
        the other, such as 33 and 17 points; else they are points ``k h`` of one length, such as 32
        and 16 of a period. Warns where numbers are outside of their range in the training.

        Args:
            inputs: By name, a sample in each row: fields ``(n, *grid[, c])``, vectors ``(n, m)``,
                numbers ``(n,)``; or the array alone where there is one input. Or members of the
                family, one or a sequence of them: outputs that meet their conditions need these.

        Returns:
            ``{unknown: (n, *grid)}``; the array alone where the inputs have no names, and there is
            one unknown. Of a single member ``(*grid)``.

        Raises:
            ValueError: For inputs that are missing or of another shape, values that are not
                finite, members of another family, and inputs where members are needed.
        """
        samples = self._samples(inputs)
        self._warn(samples.inputs)
        members = samples.problems is not None  # whose inputs know nothing of the grid
        grid = self.grid if members else self.inputs.grid_for(samples.inputs, self.grid)
        places = [places_on(n, m) for n, m in zip(self.grid, grid, strict=True)]
        out = self._outputs(samples, places)
        out = out[0] if isinstance(inputs, Problem) else out
        unknowns = self.family.unknowns
        if not isinstance(inputs, Mapping) and len(unknowns) == 1:
            return out[..., 0]
        return {name: out[..., k] for k, name in enumerate(unknowns)}

    def _samples(self, inputs: Any) -> Samples:
        """What is given, as samples."""
        several = isinstance(inputs, list | tuple) and bool(inputs)
        if isinstance(inputs, Problem) or several and isinstance(inputs[0], Problem):
            return self._of_members([inputs] if isinstance(inputs, Problem) else inputs)
        names, owner = self.inputs.names, self.request["problem"]
        if self.model.imposes:
            raise ValueError(
                f"the outputs of this map meet the conditions of members of {owner}, which inputs "
                "do not tell: call it with members, trained([member, ...])"
            )
        if not isinstance(inputs, Mapping) and len(names) > 1:
            raise ValueError(
                f"the map needs the inputs {', '.join(names)}; give them by name, in a dict"
            )
        named = inputs if isinstance(inputs, Mapping) else dict.fromkeys(names, inputs)
        return Samples(self.inputs.checked(named, self.grid), None)

    def _of_members(self, members: Sequence[Problem]) -> Samples:
        """Members of the family as samples, in the precision of the training."""
        for member in members:
            if type(member) is not type(self.family):
                raise ValueError(
                    f"this map is of {type(self.family).__name__}, not of {type(member).__name__}"
                )
        with jax.enable_x64(self.x64):
            samples = samples_of_members(stacked(members))
        return replace(samples, inputs=self.inputs.checked(samples.inputs, self.grid))

    def _warn(self, inputs: Mapping[str, Any]) -> None:
        """Warn where numbers are outside of their range in the training."""
        rows = [inputs[name].reshape(len(inputs[name]), -1) for name, _ in self.inputs.constants]
        if rows:
            outside = self.inputs.of_constants.outside(np.concatenate(rows, 1))
            for sentence in outside.values():
                warnings.warn(sentence, stacklevel=3)

    def _outputs(
        self, samples: Samples, places: Sequence[np.ndarray]
    ) -> Float[np.ndarray, "n *grid c"]:
        """Outputs at places along each axis, counted in steps of the grid of the training."""
        with jax.enable_x64(self.x64):
            kind = jnp.result_type(float)
            seen = {name: jnp.asarray(array, kind) for name, array in samples.inputs.items()}
            given = Samples(seen, None, jax.tree.map(jnp.asarray, cast(samples.problems)))
            own = all(
                len(line) == n and np.allclose(line, np.arange(n), rtol=0, atol=1e-6)
                for n, line in zip(self.grid, places, strict=True)
            )

            def outputs(model: MapModel, params: Params) -> np.ndarray:
                there = model if own else model.at_places(places)
                return np.asarray(evaluated(there, params, given))

            return self.over_members(outputs)

    def refined(self, times: int) -> "TrainedMap":
        """The same map with outputs at ``times`` as many points along every axis.

        Of points ``x0 + k h`` it makes ``x0 + k h / times``, with an equation up to the last point
        where a coordinate is not periodic. An FNO and a CNO are operators between
        functions and hardly notice; the convolutions of a U-Net reach less far there than in the
        training: `error` of data on such a grid tells what that costs.

        Raises:
            ValueError: For a number below 1.
        """
        if not isinstance(times, int) or isinstance(times, bool) or times < 1:
            raise ValueError(f"times must be a whole number of at least 1, got {times!r}")
        equation, places = self.model.equation, []
        for name, n in zip(self.axes, self.grid, strict=True):
            ends = equation is not None and name not in equation.imposition.periodic
            places.append(np.arange(times * (n - 1) + 1 if ends else times * n) / times)
        sizes = {n: len(there) for n, there in zip(self.grid, places, strict=True)}
        axes = {}
        for (name, line), there in zip(self.axes.items(), places, strict=True):
            axes[name] = (interpolation(len(line), there) @ line).tolist()
        fields = tuple(
            (name, tuple(sizes.get(k, times * k) for k in own)) for name, own in self.inputs.fields
        )
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
                training, of a map that was not loaded; without one unseen members of the family.
            part: Of the data set; None: all of it.

        Raises:
            ValueError: Where the training has seen them, for other inputs, outputs or another
                domain, and without data, or references on the grid of the map.
        """
        each, predicted, truth = zip(*self._blocks(data, part), strict=True)
        inputs = {name: np.concatenate([one[name] for one in each]) for name in self.inputs.names}
        return inputs, np.concatenate(predicted), np.concatenate(truth)

    def outputs_of(self, data: Data, part: str) -> Iterator[Float[np.ndarray, "*grid c"]]:
        """The outputs of every sample of a part of a data set, unknowns in the last axis."""
        for _, outputs, _ in self._blocks(data, part):
            yield from outputs

    def _dataset(self, data: Data | None) -> Dataset | None:
        """What is given, or the data of the training; None of one without data."""
        if data is not None:
            return as_dataset(data)
        if self.dataset is None and self.request["data"] is not None:
            raise ValueError(
                "a map that was loaded knows no data; give some, error(Dataset.open(FILE))"
            )
        return self.dataset

    def _blocks(
        self, data: Data | None, part: str | None
    ) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]]:
        """`predicted`, some samples at once."""
        dataset = self._dataset(data)
        if dataset is None:
            yield self._solved()
            return
        self._check(dataset)
        places = [
            places_of(np.ravel(dataset.coordinates[name]), line) for name, line in self.axes.items()
        ]
        members = dataset.unseen(self.request["data_members"], part)
        for start in range(0, len(members), _ROWS):
            rows = dataset.rows(members[start : start + _ROWS])
            inputs = self.inputs.checked(inputs_in(rows), self.grid)
            truth = np.stack([rows[f"values/{name}"] for name in self.family.unknowns], -1)
            given = problems(self.family, rows) if self.model.imposes else None
            yield inputs, self._outputs(Samples(inputs, None, given), places), truth

    def _solved(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """`predicted` of unseen members of the family."""
        with jax.enable_x64(self.x64):
            samples = referenced(
                self.family, *with_references(test_members(self.family)), self.axes
            )
        if samples is None:
            raise ValueError(
                f"{self.request['problem']} has no reference on the grid of the map; give data"
            )
        out = self._outputs(samples, [np.arange(n) for n in self.grid])
        inputs = {name: np.asarray(array) for name, array in samples.inputs.items()}
        return inputs, out, np.asarray(samples.values)

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
        if self.model.imposes:
            check_data(dataset, self.family)

    def error(self, data: Data | None = None) -> Errors:
        """Statistics of the relative L2 errors over samples, by unknown.

        Args:
            data: A data set, of which the test part is taken; None: that of the training, of a map
                that was not loaded; without one a hundred unseen members.

        Raises:
            ValueError: As `predicted` does.
        """
        blocks = self._blocks(data, "test")
        each = [relative_errors(out, truth) for _, out, truth in blocks]
        errors = np.concatenate([relative for relative, _ in each])
        largest = np.max([largest for _, largest in each], axis=0)
        known = [column[~np.isnan(column)] for column in errors.T]
        return {
            name: error_statistics(known[k] if len(known[k]) else [np.nan], float(largest[k]))
            for k, name in enumerate(self.family.unknowns)
        }

    def known_errors(self, data: Data | None = None) -> Errors:
        if data is None and self.dataset is None:
            own = self.request["data"] is None and self.family.reference() is not None
            return self.error() if own else {}
        if data is None and self.dataset is not None and not len(self.dataset.splits["test"]):
            return {}  # what `split` has left for training
        return self.error(data)

    def residual(self, members: Problem | Sequence[Problem]) -> Float[np.ndarray, " n"]:
        """The root mean square of the equation of each member at the outputs, in its size.

        It says how wrong the outputs are where no truth is known.

        Args:
            members: Of the family, one or a sequence of them.

        Raises:
            ValueError: For a map that was trained with ``physics=0``, and members of another
                family.
        """
        samples = self._tunable(members)
        with jax.enable_x64(self.x64):
            _, vectors = quick(MapModel.unsolved)(self.model, self.params, samples)
            return np.asarray(
                jnp.sqrt(sum(jnp.mean(jnp.square(v), axis=1) for v in vectors.values()))
            )

    def finetuned(
        self,
        members: Problem | Sequence[Problem],
        *,
        steps: int = 100,
        learning_rate: float = 1e-3,
        anchor: float = 1.0,
    ) -> "TrainedMap":
        """A map for these members alone, from their equations: no truth is needed.

        As physics-informed neural operators at test time (Li et al. 2024, arXiv:2111.03794, section
        3.2): Adam, its learning rate falling to zero by a cosine, lowers the mean square of the
        equation of differences on the grid, in units of what it is before. The error of these
        differences remains: see whether the `residual` falls, and on a finer grid.

        Args:
            members: Of the family, one or a sequence of them.
            steps: Of Adam, at least 1.
            learning_rate: At the start, greater than zero.
            anchor: The weight >= 0 of the mean square distance to the outputs before, relative to
                these.

        Raises:
            ValueError: For a map that was trained with ``physics=0``, members of another family,
                and a number out of its range.
        """
        samples = self._tunable(members)
        with jax.enable_x64(self.x64):
            outcome = finetuned(
                self.model,
                self.params,
                samples,
                steps=steps,
                learning_rate=learning_rate,
                anchor=anchor,
            )
        return replace(self, **tuned(outcome))

    def _tunable(self, members: Problem | Sequence[Problem]) -> Samples:
        """Members whose equations are taken at the outputs."""
        if not self.request["physics"]:
            raise ValueError(
                "this map was trained with physics=0 and knows no equation; train it with "
                "physics=0.1, or another weight"
            )
        given = [members] if isinstance(members, Problem) else list(members)
        if not given:
            raise ValueError("members must be problems of the family, got none")
        with jax.enable_x64(self.x64):
            return jax.tree.map(jnp.asarray, cast(self._of_members(given)))

    def plot(self, path: str | Path | None = None, data: Data | None = None) -> Any:
        """A figure of some samples beside the truth, and of the training.

        Args:
            path: Where the figure is written.
            data: A data set whose test samples are shown; None: that of the training, without one
                unseen members.
        """
        from pinops.plotting import plot_maps

        dataset = self._dataset(data)
        _, predicted, truth = next(self._blocks(dataset, "test"))
        shown = slice(_SHOWN)
        lines = self.axes if dataset is None else dataset.coordinates
        axes = {name: np.ravel(line) for name, line in lines.items()}
        spread = None
        if self.deviation is not None:
            _, spread, _ = next(self.deviation._blocks(dataset, "test"))
            spread = spread[shown]
        return plot_maps(self, axes, predicted[shown], truth[shown], path, spread)

    def details(self, data: Data | None = None) -> dict[str, Any]:
        parts = {"loss_norm": self.request["loss"], "physics": self.request["physics"]}
        return {"grid": list(self.grid), **parts}

    def identified(self) -> dict[str, Any]:
        return self.request

    def scaling(self) -> dict[str, np.ndarray]:
        return {"mean": np.asarray(self.model.mean), "scale": np.asarray(self.model.scale)}

    def program(self, snapshots: int | None = None) -> Program:
        refuse_snapshots(self, snapshots)
        unknowns, shapes = self.family.unknowns, self.inputs.shapes
        member: Any = None
        if self.model.imposes:  # on members, which inputs do not tell
            shapes, member = as_arrays(self.family)

        def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
            if member is None:
                samples = Samples(inputs, None)
            else:
                samples = samples_of_members(jax.vmap(member)(inputs))
            out = self.model.predicted(self.params, samples)
            return {name: out[..., k] for k, name in enumerate(unknowns)}

        axes = {name: line.tolist() for name, line in self.axes.items()}
        inputs: dict[str, Shape] = {name: ("n", *shape) for name, shape in shapes.items()}
        return Program(call, inputs, dict.fromkeys(unknowns, ("n", *self.grid)), {"axes": axes})

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        write_arrays(folder / SCALING, "scaling", self.scaling())
        return (SCALING,)
