"""A trained surrogate of time steps on points: trajectories on any cloud or mesh."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from pinops.data import BLOCK, Dataset, as_dataset, step_of
from pinops.metrics import ratio, snapshot_errors
from pinops.operators import Direct, PointArchitecture
from pinops.plotting import animate_point_rollouts, plot_point_rollouts
from pinops.problem import DataFamily
from pinops.solvers._beginnings import whole_count
from pinops.solvers._cloud_samples import (
    check_exportable,
    check_names,
    checked_sample,
    numbers,
    shapes_of_cloud,
    traced_clouds,
)
from pinops.solvers._export import Program, Shape
from pinops.solvers._trained import Errors, TrainedOnce, error_statistics, write_state
from pinops.training import (
    Clouds,
    Params,
    PointInputs,
    PointSample,
    PointStepModel,
    cast,
    rolled_clouds,
    samples_in,
)

_SHOWN = 3  # trajectories in a figure
Data = Dataset | str | Path


class Group(NamedTuple):
    """Samples of one size.

    Attributes:
        places: In the list of all samples.
        clouds: What a network sees of them besides snapshots.
        first: The snapshots that rollouts begin with.
    """

    places: list[int]
    clouds: Clouds
    first: Float[Array, "n k m c"]


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedPointSurrogate(TrainedOnce):
    """What `train` returns for `Direct` of a network on points.

    Immutable; evaluates in the precision that it was trained in.
    """

    family: DataFamily
    architecture: Direct
    model: PointStepModel

    @property
    def subject(self) -> DataFamily:
        return self.family

    @cached_property
    def inputs(self) -> PointInputs:
        """What it sees of a sample besides snapshots."""
        return PointInputs.from_json(self.request["points"])

    @property
    def step(self) -> float:
        """The time from one snapshot to the next."""
        return self.request["step"]

    @property
    def given(self) -> int:
        """How many true snapshots a rollout begins with, as many as a step sees (``history``)."""
        return self.model.history

    @property
    def network(self) -> PointArchitecture:
        """The network of a step."""
        found = self.architecture.on_points
        assert found is not None, "surrogates on grids are another class"
        return found

    def __call__(
        self,
        points: Float[np.ndarray, "m d"],
        first: Mapping[str, Float[Any, "*k m"]],
        count: int,
        inputs: Mapping[str, Any] | None = None,
        *,
        cells: Int[np.ndarray, "k corners"] | None = None,
    ) -> dict[str, Float[np.ndarray, "t m"]]:
        """A trajectory from its first snapshots.

        Args:
            points: Of its mesh or cloud.
            first: By unknown the first snapshot ``(m,)``; with ``history=k`` the first k,
                ``(k, m)``.
            count: How many further snapshots follow, each from those before.
            inputs: By name, as in the data: at the points ``(m[, k])``, numbers, vectors.
            cells: Of its mesh; needed where the network sees edges of cells or the boundary.

        Returns:
            By unknown the given snapshots and those that follow.

        Raises:
            ValueError: For inputs, unknowns or snapshots of other names or shapes than in the
                training, and for values that are not finite.
        """
        count = whole_count("count", count)
        sample = checked_sample(self.inputs, points, cells, inputs or {})
        begin = self._first(first, len(sample.mesh.points))
        sample = dataclasses.replace(sample, values=np.moveaxis(begin, 0, 1))
        (later,) = self._rolled([sample], count)
        whole = np.concatenate([begin, np.moveaxis(later, 1, 0)])
        return {name: whole[..., k] for k, name in enumerate(self.model.unknowns)}

    def _first(self, first: Mapping[str, Any], size: int) -> Float[np.ndarray, "k m c"]:
        """The snapshots that a rollout begins with. Raises ValueError for others."""
        unknowns = self.model.unknowns
        if not isinstance(first, Mapping):
            raise ValueError(
                f"first must be a dict by unknown, {{{unknowns[0]!r}: ...}}, got "
                f"{type(first).__name__}"
            )
        if set(first) != set(unknowns):
            raise ValueError(
                f"first needs the unknowns {', '.join(unknowns)}, got "
                f"{', '.join(map(str, first)) or 'none'}"
            )
        found = []
        for name in unknowns:
            array = numbers(first[name], f"first[{name!r}]")
            array = array[None] if self.given == 1 and array.ndim == 1 else array
            if array.shape != (self.given, size):
                wanted = f"({size},)" if self.given == 1 else f"({self.given}, {size})"
                raise ValueError(f"first[{name!r}] needs the shape {wanted}, got {array.shape}")
            if not np.isfinite(array).all():
                raise ValueError(f"first[{name!r}] must be finite; one is a NaN or infinite")
            found.append(array)
        return np.stack(found, -1)

    def _rolled(
        self, samples: Sequence[PointSample], count: int
    ) -> list[Float[np.ndarray, "m count c"]]:
        """The snapshots that follow from the beginnings of some samples."""
        with jax.enable_x64(self.x64):
            groups = grouped(self.inputs, self.network, samples, self.given)
            return self.over_members(
                lambda model, params: rolled_from(model, params, groups, samples, count)
            )

    def predicted(
        self, data: Data, part: str | None = "test"
    ) -> list[tuple[PointSample, Float[np.ndarray, "m t c"]]]:
        """Samples that the training has not seen, and rollouts as long as their trajectories, which
        begin with true snapshots.

        Args:
            data: A data set, of which the test part is taken, or all of one that is not that of the
                training.
            part: Of the data set; None: all of it.

        Raises:
            ValueError: For data of other names or another time step, and where the training has
                seen them.
        """
        dataset = as_dataset(data)
        return self._predicted(dataset, self._unseen(dataset, part))

    def _unseen(self, dataset: Dataset, part: str | None) -> Int[np.ndarray, " n"]:
        """The samples of a data set that rollouts are compared with; errors as for `predicted`."""
        check_names(dataset, self.inputs, self.family)
        times = times_of(dataset)
        step = step_of(times)
        if step is None or abs(step - self.step) > 1e-5 * self.step:
            raise ValueError(
                f"{dataset.path} has the times {_in_words(times)}, and the training "
                f"had a step of {self.step:g}; give data with the same"
            )
        if len(times) <= self.given:
            raise ValueError(
                f"{dataset.path} has {len(times)} snapshots, and a rollout begins with "
                f"{self.given}; give longer trajectories"
            )
        return dataset.unseen(self.request["data_members"], part)

    def _predicted(
        self, dataset: Dataset, members: Int[np.ndarray, " n"]
    ) -> list[tuple[PointSample, Float[np.ndarray, "m t c"]]]:
        """These samples, and rollouts as long as their trajectories."""
        count = len(times_of(dataset)) - self.given
        local, found = dict(zip(self.inputs.names, self.inputs.local, strict=True)), []
        for start in range(0, len(members), BLOCK):
            rows = dataset.rows(members[start : start + BLOCK])
            samples = samples_in(rows, dataset.unknowns, local)
            later = self._rolled(samples, count)
            for sample, values in zip(samples, later, strict=True):
                assert sample.values is not None
                found.append((sample, np.concatenate([sample.values[:, : self.given], values], 1)))
        return found

    def outputs_of(self, data: Data, part: str) -> Iterator[Float[np.ndarray, "m t c"]]:
        """The outputs of every sample of a part of a data set, unknowns in the last axis."""
        for _, values in self.predicted(data, part):
            yield values[:, self.given :]

    def error(self, data: Data | None = None) -> Errors:
        """Statistics of the relative L2 errors of whole rollouts, by unknown; the true snapshots
        that a rollout begins with do not count.

        Args:
            data: A data set, as for `predicted`; it is needed.

        Raises:
            ValueError: As `predicted` does.
        """
        return self._errors_of(self._compared(data))

    def _compared(self, data: Data | None) -> list[tuple[PointSample, np.ndarray]]:
        if data is None:
            raise ValueError("a surrogate on points is compared with data: give error(dataset)")
        return self.predicted(data)

    def _errors_of(self, pairs: Sequence[tuple[PointSample, np.ndarray]]) -> Errors:
        found, first = {}, self.given
        for k, name in enumerate(self.model.unknowns):
            relative, largest = [], 0.0
            for sample, values in pairs:
                assert sample.values is not None
                truth = sample.values[:, first:, k].astype(np.float64)
                off = values[:, first:, k] - truth
                sizes = (float(np.linalg.norm(part)) for part in (off, truth))
                relative.append(float(ratio(*sizes)))
                largest = max(largest, float(np.abs(off).max()))
            found[name] = error_statistics(relative, largest)
        return found

    def known_errors(self, data: Data | None = None) -> Errors:
        return {} if data is None else self.error(data)

    def lead_times(self, data: Data) -> dict[str, list[float]]:
        """The mean relative L2 error of each snapshot that a rollout predicts, by unknown.

        Args:
            data: As for `error`.

        Returns:
            ``{"steps": [1, 2, ...], "u": [...], ...}``, by the number of steps from the last true
            snapshot.
        """
        return self._lead_times_of(self._compared(data))

    def _lead_times_of(
        self, pairs: Sequence[tuple[PointSample, np.ndarray]]
    ) -> dict[str, list[float]]:
        errors = np.mean([errors_of(sample, values, self.given) for sample, values in pairs], 0)
        by_name = zip(self.model.unknowns, errors.T.tolist(), strict=True)
        return {"steps": list(range(1, len(errors) + 1)), **dict(by_name)}

    def plot(self, path: str | Path | None = None, data: Data | None = None) -> Any:
        """The last snapshot of some rollouts beside the truth, errors by lead time, and the history
        of the training.

        Args:
            path: Where it is written; None: nowhere.
            data: Whose test part is shown; it is needed.

        Raises:
            ValueError: As `error` does.
        """
        dataset = self._drawn_from(data)
        pairs = self.predicted(dataset)
        errors = self._lead_times_of(pairs)
        return plot_point_rollouts(self, pairs[:_SHOWN], times_of(dataset), errors, path)

    def animate(self, path: str | Path, data: Data | None = None, *, seconds: float = 5.0) -> Path:
        """Write some rollouts over time, beside the truth and their error.

        Args:
            path: The file, ``.gif`` or, where ffmpeg is installed, ``.mp4``.
            data: Whose test part is shown; it is needed.
            seconds: How long it lasts, at most 60.

        Returns:
            The path.

        Raises:
            ValueError: As `error` does, and for a file or a duration that no animation has.
        """
        dataset = self._drawn_from(data)
        pairs = self._predicted(dataset, self._unseen(dataset, "test")[:_SHOWN])
        return animate_point_rollouts(self, pairs, times_of(dataset), path, seconds=seconds)

    def _drawn_from(self, data: Data | None) -> Dataset:
        """Raises ValueError where there is nothing to draw."""
        if data is None:
            raise ValueError("a figure needs trajectories; give data, such as the test part")
        return as_dataset(data)

    def details(self, data: Data | None = None) -> dict[str, Any]:
        found = {} if data is None else self.lead_times(data)
        return {"sizes": list(self.inputs.sizes), "lead_times": found}

    def identified(self) -> dict[str, Any]:
        return self.request

    def program(self, snapshots: int | None = None) -> Program:
        count = 1 if snapshots is None else whole_count("snapshots", snapshots)
        seen, unknowns, given = self.inputs, self.model.unknowns, self.given
        check_exportable(seen, self.network)

        def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
            first = inputs["first"] if given > 1 else inputs["first"][:, None]
            clouds = traced_clouds(seen, inputs)
            return {"snapshots": self.model.rollout(self.params, clouds, first, count)}

        frame: Shape = ("m", len(unknowns))
        first: Shape = ("n", given, *frame) if given > 1 else ("n", *frame)
        about = {
            "coordinates": list(self.family.domain.coordinates),
            "channels": list(unknowns),
            "step": self.step,
        }
        shapes = shapes_of_cloud(seen) | {"first": first}
        return Program(call, shapes, {"snapshots": ("n", count, *frame)}, about)

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        return ()


def grouped(
    inputs: PointInputs, network: PointArchitecture, samples: Sequence[PointSample], given: int
) -> list[Group]:
    """Samples by size, in the precision that is in force; their values begin with ``given``
    snapshots.
    """
    found = []
    for size, here in inputs.by_size(len(sample.mesh.points) for sample in samples):
        clouds = inputs.clouds(network, [samples[k] for k in here], size)
        assert clouds.values is not None, "rollouts begin with snapshots"
        first = np.nan_to_num(np.moveaxis(np.asarray(clouds.values)[:, :, :given], 2, 1))
        clouds = dataclasses.replace(clouds, values=None)
        found.append(Group(here, *cast((clouds, first))))
    return found


def rolled_from(
    model: PointStepModel,
    params: Params,
    groups: Sequence[Group],
    samples: Sequence[PointSample],
    count: int,
) -> list[Float[np.ndarray, "m count c"]]:
    """The snapshots that follow, in the order of the samples."""
    found: list[Any] = [None] * len(samples)
    for here, clouds, first in groups:
        frames = np.asarray(rolled_clouds(model, params, clouds, first, count))
        for k, own in zip(here, frames, strict=True):
            found[k] = np.moveaxis(own[:, : len(samples[k].mesh.points)], 0, 1)
    return found


def errors_of(
    sample: PointSample, values: Float[np.ndarray, "m t c"], given: int
) -> Float[np.ndarray, "s c"]:
    """The relative error of each snapshot that a rollout predicts, and of each unknown."""
    assert sample.values is not None
    pair = (np.moveaxis(array, 1, 0)[None] for array in (values, sample.values))
    return snapshot_errors(*pair)[0, given:]


def times_of(dataset: Dataset) -> Float[np.ndarray, " t"]:
    """The times of trajectories. Raises ValueError for data without."""
    if dataset.layout.kind != "meshes" or dataset.layout.time is None:
        raise ValueError(
            f"{dataset.path} has no trajectories at points, which a surrogate on points needs; "
            "give coordinates={'t': t, 'points': points} and time='t'"
        )
    return np.ravel(dataset.coordinates["t"])


def _in_words(times: Float[np.ndarray, " t"]) -> str:
    return f"{times[0]:g}, {times[1]:g}, ..." if len(times) > 1 else f"{times[0]:g}"
