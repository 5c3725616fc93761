"""A trained map on points: the solution of any shape, at its own points or at any others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from pinops.operators import PointArchitecture
from pinops.plotting import plot_points
from pinops.problem import DataFamily
from pinops.solvers._cloud_samples import (
    Data,
    check_exportable,
    checked_sample,
    errors_at_points,
    numbers,
    shapes_of_cloud,
    traced_clouds,
    unseen_samples,
)
from pinops.solvers._export import Program
from pinops.solvers._trained import (
    Errors,
    TrainedOnce,
    refuse_snapshots,
    write_state,
)
from pinops.training import (
    PointInputs,
    PointMapModel,
    PointSample,
    cast,
    evaluate_clouds,
)

_SHOWN = 3  # samples in a figure


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedPointMap(TrainedOnce):
    """What `train` returns for a network on points, such as `Transolver`.

    Immutable; evaluates in the precision that it was trained in.
    """

    family: DataFamily
    architecture: PointArchitecture
    model: PointMapModel

    @property
    def subject(self) -> DataFamily:
        return self.family

    @cached_property
    def inputs(self) -> PointInputs:
        """What it sees of a sample."""
        return PointInputs.from_json(self.request["points"])

    def __call__(
        self,
        points: Float[np.ndarray, "m d"],
        inputs: Mapping[str, Any] | None = None,
        *,
        cells: Int[np.ndarray, "k corners"] | None = None,
        at: Float[np.ndarray, "q d"] | None = None,
    ) -> dict[str, Float[np.ndarray, " n"]]:
        """The solution of one sample.

        Args:
            points: Of its mesh or cloud.
            inputs: By name, as in the data: at the points ``(m[, k])``, numbers, vectors.
            cells: Of its mesh; needed where the network sees edges of cells or the boundary.
            at: Other places, where the solution is wanted; None: at the points.

        Returns:
            By unknown ``(m,)``, or ``(q,)`` with ``at``.

        Raises:
            ValueError: For inputs of other names or shapes than in the training.
        """
        sample = checked_sample(self.inputs, points, cells, inputs or {})
        points = sample.mesh.points
        places = None if at is None else numbers(at, "at")
        if places is not None and (places.ndim != 2 or places.shape[1] != points.shape[1]):
            raise ValueError(f"at must have the shape (q, {points.shape[1]}), got {places.shape}")
        values = self._predicted([sample], places)[0]
        values = values if places is None else values[len(points) :]
        return {name: values[:, k] for k, name in enumerate(self.model.unknowns)}

    def _predicted(
        self, samples: Sequence[PointSample], at: np.ndarray | None = None
    ) -> list[Float[np.ndarray, "n c"]]:
        """The outputs of some samples, those of one size in one program."""
        more = 0 if at is None else len(at)
        counts = [len(sample.mesh.points) + more for sample in samples]
        found: list[Any] = [None] * len(samples)
        with jax.enable_x64(self.x64):
            for size, here in self.inputs.by_size(counts):
                some = [PointSample(samples[k].mesh, samples[k].inputs) for k in here]
                clouds = cast(self.inputs.clouds(self.architecture, some, size, at))
                out = self.over_members(
                    lambda model, params, clouds=clouds: np.asarray(
                        evaluate_clouds(model, params, clouds)
                    )
                )
                for k, values in zip(here, out, strict=True):
                    found[k] = values[: counts[k]]
        return found

    def predicted(
        self, data: Data, part: str | None = "test"
    ) -> list[tuple[PointSample, Float[np.ndarray, "m c"]]]:
        """Samples that the training has not seen, and what is predicted of them.

        Args:
            data: A data set, of which the test part is taken, or all of one that is not that of the
                training.
            part: Of the data set; None: all of it.

        Raises:
            ValueError: For data of other names, and where the training has seen them.
        """
        unseen = unseen_samples(data, part, self.inputs, self.family, self.request)
        return [pair for some in unseen for pair in zip(some, self._predicted(some), strict=True)]

    def outputs_of(self, data: Data, part: str) -> Iterator[Float[np.ndarray, "m c"]]:
        """The outputs of every sample of a part of a data set, unknowns in the last axis."""
        for _, values in self.predicted(data, part):
            yield values

    def error(self, data: Data | None = None) -> Errors:
        """Statistics of the relative L2 errors over the points of each sample, by unknown.

        Args:
            data: A data set, as for `predicted`; it is needed.

        Raises:
            ValueError: As `predicted` does.
        """
        if data is None:
            raise ValueError("a map on points is compared with data: give error(dataset)")
        return errors_at_points(self.predicted(data), self.model.unknowns)

    def known_errors(self, data: Data | None = None) -> Errors:
        return {} if data is None else self.error(data)

    def plot(self, path: str | Path | None = None, data: Data | None = None) -> Any:
        """Truth, prediction and error of the first test samples, and the history of the training.

        Args:
            path: Where it is written; None: nowhere.
            data: Whose test part is shown; it is needed.

        Raises:
            ValueError: As `error` does.
        """
        if data is None:
            raise ValueError("a figure needs samples; give data, plot(data=dataset)")
        shown = self.predicted(data)[:_SHOWN]
        return plot_points(self, shown, path)

    def details(self, data: Data | None = None) -> dict[str, Any]:
        return {"sizes": list(self.inputs.sizes)}

    def identified(self) -> dict[str, Any]:
        return self.request

    def program(self, snapshots: int | None = None) -> Program:
        refuse_snapshots(self, snapshots)
        seen, unknowns = self.inputs, self.model.unknowns
        check_exportable(seen, self.architecture)

        def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
            out = self.model.predicted(self.params, traced_clouds(seen, inputs))
            return {name: out[..., k] for k, name in enumerate(unknowns)}

        about = {"coordinates": list(self.family.domain.coordinates)}
        return Program(call, shapes_of_cloud(seen), dict.fromkeys(unknowns, ("n", "m")), about)

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        return ()
