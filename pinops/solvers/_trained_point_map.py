"""A trained map on points: the solution of any shape, at its own points or at any others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pinops.data import BLOCK, Dataset, as_dataset
from pinops.geometry import Mesh
from pinops.metrics import ratio
from pinops.operators import PointArchitecture
from pinops.plotting import plot_points
from pinops.problem import DataFamily
from pinops.solvers._export import Program, Shape
from pinops.solvers._trained import (
    Errors,
    TrainedOnce,
    error_statistics,
    refuse_snapshots,
    write_state,
)
from pinops.training import (
    Clouds,
    PointInputs,
    PointMapModel,
    PointSample,
    cast,
    evaluate_clouds,
    samples_in,
)

_SHOWN = 3  # samples in a figure
Data = Dataset | str | Path


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
        points = np.asarray(points, np.float64)
        sample = PointSample(Mesh(points, None if cells is None else np.asarray(cells)), {})
        sample = self._checked(sample, inputs or {})
        places = None if at is None else np.asarray(at, np.float64)
        if places is not None and (places.ndim != 2 or places.shape[1] != points.shape[1]):
            raise ValueError(f"at must have the shape (q, {points.shape[1]}), got {places.shape}")
        values = self._predicted([sample], places)[0]
        values = values if places is None else values[len(points) :]
        return {name: values[:, k] for k, name in enumerate(self.model.unknowns)}

    def _checked(self, sample: PointSample, given: Mapping[str, Any]) -> PointSample:
        """The sample with its inputs. Raises ValueError for others than in the training."""
        seen, count = self.inputs, len(sample.mesh.points)
        dimension = sample.mesh.points.shape[1]
        if dimension != len(seen.middle):
            raise ValueError(
                f"the training had points of {len(seen.middle)} coordinates, got {dimension}"
            )
        if set(given) != set(seen.names):
            wanted = ", ".join(seen.names) or "none"
            raise ValueError(f"the inputs are {wanted}, got {', '.join(map(str, given)) or 'none'}")
        found = {}
        for name, shape, local in zip(seen.names, seen.shapes, seen.local, strict=True):
            found[name] = np.asarray(given[name], np.float64)
            wanted = (count, *shape) if local else shape
            if found[name].shape != wanted:
                raise ValueError(f"{name} needs the shape {wanted}, got {found[name].shape}")
            if not np.isfinite(found[name]).all():
                raise ValueError(f"{name} must be finite; one is a NaN or infinite")
        return PointSample(sample.mesh, found)

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
                out = np.asarray(evaluate_clouds(self.model, self.params, clouds))
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
        dataset = as_dataset(data)
        self._check_data(dataset)
        members = dataset.unseen(self.request["data_members"], part)
        local = dict(zip(self.inputs.names, self.inputs.local, strict=True))
        found = []
        for start in range(0, len(members), BLOCK):
            rows = dataset.rows(members[start : start + BLOCK])
            samples = samples_in(rows, dataset.unknowns, local)
            found += list(zip(samples, self._predicted(samples), strict=True))
        return found

    def _check_data(self, dataset: Dataset) -> None:
        """Raises ValueError for data with other names than those of the training."""
        layout = dataset.layout
        pairs = {
            "unknowns": (layout.unknowns, self.model.unknowns),
            "inputs": (tuple(sorted(layout.inputs)), self.inputs.names),
            "coordinates": (layout.names, self.family.domain.coordinates),
        }
        for what, (there, here) in pairs.items():
            if tuple(there) != tuple(here):
                raise ValueError(
                    f"{dataset.path} has the {what} {', '.join(there) or 'none'}, and the training "
                    f"had {', '.join(here) or 'none'}"
                )

    def error(self, data: Data | None = None) -> Errors:
        """Statistics of the relative L2 errors over the points of each sample, by unknown.

        Args:
            data: A data set, as for `predicted`; it is needed.

        Raises:
            ValueError: As `predicted` does.
        """
        if data is None:
            raise ValueError("a map on points is compared with data: give error(dataset)")
        relative: list[list[float]] = [[] for _ in self.model.unknowns]
        largest = np.zeros(len(relative))
        for sample, values in self.predicted(data):
            assert sample.values is not None
            known = np.isfinite(sample.values)
            truth = np.where(known, sample.values, 0.0).astype(np.float64)
            off = np.where(known, values - truth, 0.0)
            size = np.linalg.norm(truth, axis=0)
            for k, row in enumerate(relative):
                if known[:, k].any():
                    row.append(float(ratio(np.linalg.norm(off[:, k : k + 1], axis=0), size[k])[0]))
            largest = np.maximum(largest, np.abs(off).max(0))
        return {
            name: error_statistics(relative[k], largest[k])
            for k, name in enumerate(self.model.unknowns)
        }

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
        return plot_points(self, shown, self.model.unknowns, path)

    def details(self, data: Data | None = None) -> dict[str, Any]:
        return {"sizes": list(self.inputs.sizes)}

    def identified(self) -> dict[str, Any]:
        return self.request

    def program(self, snapshots: int | None = None) -> Program:
        refuse_snapshots(self, snapshots)
        seen, unknowns = self.inputs, self.model.unknowns
        if seen.tables != (0, 0) or self.architecture.boundary:
            raise ValueError(
                f"a program cannot find the edges or the distance from the boundary, which "
                f"{type(self.architecture).__name__} sees of a mesh; export it as .safetensors"
            )

        def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
            points = inputs["points"]
            n, m = points.shape[:2]
            known = [jnp.zeros((n, m, 0), points.dtype)]
            for name, local in zip(seen.names, seen.local, strict=True):
                rows = inputs[name].reshape(n, m if local else 1, -1)
                known.append(jnp.broadcast_to(rows, (n, m, rows.shape[2])))
            places, features = seen.scaled(points, jnp.concatenate(known, 2))
            clouds = Clouds(places, features, jnp.ones((n, m), bool), None, None)
            out = self.model.predicted(self.params, clouds)
            return {name: out[..., k] for k, name in enumerate(unknowns)}

        inputs: dict[str, Shape] = {"points": ("n", "m", len(seen.middle))}
        for name, shape, local in zip(seen.names, seen.shapes, seen.local, strict=True):
            inputs[name] = ("n", *(("m",) if local else ()), *shape)
        about = {"coordinates": list(self.family.domain.coordinates)}
        return Program(call, inputs, dict.fromkeys(unknowns, ("n", "m")), about)

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        return ()
