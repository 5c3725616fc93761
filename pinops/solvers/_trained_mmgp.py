"""Fitted Gaussian processes on morphed meshes: the fields of any shape, with their error bars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int

from pinops.metrics import Calibration, calibration, ratio
from pinops.operators import MMGP, Answer, MeshSamples, MorphedProcesses, Sizes
from pinops.plotting import plot_points
from pinops.problem import DataFamily
from pinops.solvers._cloud_samples import Data, checked_sample, errors_at_points, unseen_samples
from pinops.solvers._export import Program
from pinops.solvers._prediction import Prediction
from pinops.solvers._trained import Errors, TrainedOnce, error_statistics, write_state
from pinops.training import PointSample

_SHOWN, _ROWS = 3, 6  # samples and rows of a figure


@dataclass(frozen=True)
class MeshInputs:
    """What the processes see of a sample, and what they are asked for.

    Attributes:
        names: Of the inputs, in their order.
        shapes: Of each input at one point, or of the whole sample.
        local: Whether each has values at the points.
        dimension: Of the coordinates.
        scalars: Names of the outputs that are numbers.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    local: tuple[bool, ...]
    dimension: int
    scalars: tuple[str, ...]

    @property
    def maps(self) -> tuple[str, ...]:
        """Inputs are seen as they are."""
        return ()

    def samples(self, samples: Sequence[PointSample]) -> MeshSamples:
        """Samples of a data set as the processes take them."""
        numbers = [
            [np.ravel(s.inputs[name]) for name, at in self._pairs if not at] for s in samples
        ]
        known = all(s.values is not None for s in samples)
        scalars = [[s.scalars.get(name, np.nan) for name in self.scalars] for s in samples]
        count = len(samples)
        return MeshSamples(
            meshes=[s.mesh for s in samples],
            fields={
                name: [np.reshape(s.inputs[name], (len(s.mesh.points), -1)) for s in samples]
                for name, at in self._pairs
                if at
            },
            numbers=np.asarray([np.concatenate([[], *row]) for row in numbers]).reshape(count, -1),
            values=[np.asarray(s.values, np.float64) for s in samples] if known else None,
            scalars=np.asarray(scalars, np.float64).reshape(count, -1),
        )

    @property
    def _pairs(self) -> list[tuple[str, bool]]:
        return list(zip(self.names, self.local, strict=True))


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedMMGP(TrainedOnce):
    """What `train` returns for `MMGP`: a normal distribution at every point.

    Immutable; evaluates in double precision.
    """

    family: DataFamily
    architecture: MMGP
    model: MeshInputs

    @property
    def subject(self) -> DataFamily:
        return self.family

    @property
    def num_parameters(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The hyperparameters of all processes; modes and samples are kept beside them."""
        return sum(leaf.size for leaf in self.fitted.processes.chosen)

    @property
    def fitted(self) -> MorphedProcesses:
        """The common mesh, the modes and the processes."""
        return self.params.network

    @cached_property
    def _posterior(self) -> Any:
        return self.fitted.processes.posterior()

    def __call__(
        self,
        points: Float[np.ndarray, "m d"],
        inputs: Mapping[str, Any] | None = None,
        *,
        cells: Int[np.ndarray, "k 3"],
        at: Float[np.ndarray, "q d"] | None = None,
    ) -> Prediction:
        """Mean and standard deviation of what is predicted of one sample.

        Args:
            points: Of its mesh.
            inputs: By name, as in the data: at the points ``(m[, k])``, numbers, vectors.
            cells: The triangles of its mesh.
            at: Other places of the plane, where fields are wanted; None: at the points.

        Returns:
            Of both, by unknown ``(m,)``, or ``(q,)`` with ``at``; a number for each scalar.

        Raises:
            ValueError: For inputs of other names or shapes than in the training, and for meshes
                that cannot be brought to the same shape.
        """
        sample = checked_sample(self.model, points, cells, inputs or {})
        places = None if at is None else np.asarray(at, np.float64)
        if places is not None and not (self.model.dimension == 2 == places.ndim == places.shape[1]):
            raise ValueError(
                f"at must have the shape (q, 2), in the plane, got {places.shape} and points of "
                f"{self.model.dimension} coordinates; leave it out for the values at the points"
            )
        (found,) = self._answered([sample], places)
        means = dict(zip(self.family.unknowns, found.mean.T, strict=True))
        spreads = dict(zip(self.family.unknowns, found.spread.T, strict=True))
        for k, name in enumerate(self.model.scalars):
            means[name], spreads[name] = found.scalars[k], found.scalar_spreads[k]
        return Prediction(means, spreads)

    def _answered(
        self, samples: Sequence[PointSample], at: np.ndarray | None = None
    ) -> list[Answer]:
        with jax.enable_x64(True):
            return self.fitted.answers(
                self.architecture, self._posterior, self.model.samples(samples), at
            )

    def answers(self, data: Data, part: str | None = "test") -> list[tuple[PointSample, Answer]]:
        """Samples that the fit has not seen, with means and standard deviations of the prediction.

        Args:
            data: A data set, of which the test part is taken, or all of one that is not that of the
                fit.
            part: Of the data set; None: all of it.

        Raises:
            ValueError: For data of other names, and where the fit has seen them.
        """
        unseen = unseen_samples(data, part, self.model, self.family, self.request)
        return [pair for some in unseen for pair in zip(some, self._answered(some), strict=True)]

    def predicted(
        self, data: Data, part: str | None = "test"
    ) -> list[tuple[PointSample, Float[np.ndarray, "m c"]]]:
        """Samples that the fit has not seen, and the means; arguments as for `answers`."""
        return [(sample, found.mean) for sample, found in self.answers(data, part)]

    def calibration(self, data: Data, part: str | None = "test") -> dict[str, Calibration]:
        """How errors compare with the deviations, over all points of all samples, by unknown and
        scalar; arguments and errors as for `answers`.
        """
        answers = self.answers(data, part)
        truth = np.concatenate([np.asarray(sample.values) for sample, _ in answers])
        means = np.concatenate([answer.mean for _, answer in answers])
        spreads = np.concatenate([answer.spread for _, answer in answers])
        found = {
            name: calibration(truth[:, k], mean=means[:, k], spread=spreads[:, k])
            for k, name in enumerate(self.family.unknowns)
        }
        for k, name in enumerate(self.model.scalars):
            known = [(s.scalars[name], a) for s, a in answers if name in s.scalars]
            if known:
                y = [value for value, _ in known]
                mean = [answer.scalars[k] for _, answer in known]
                spread = [answer.scalar_spreads[k] for _, answer in known]
                found[name] = calibration(y, mean=mean, spread=spread)
        return found

    def error(self, data: Data | None = None) -> Errors:
        """Statistics of the relative errors of the means: L2 over the points of each sample by
        unknown, and of each scalar.

        Args:
            data: A data set, as for `answers`; it is needed.

        Raises:
            ValueError: As `answers` does.
        """
        if data is None:
            raise ValueError("a map on points is compared with data: give error(dataset)")
        return errors_of(self.answers(data), self.family.unknowns, self.model.scalars)

    def known_errors(self, data: Data | None = None) -> Errors:
        return {} if data is None else self.error(data)

    def plot(self, path: str | Path | None = None, data: Data | None = None) -> Any:
        """Truth, mean, error and standard deviation of the first test samples, and a section
        through each with its 95 % band.

        Args:
            path: Where it is written; None: nowhere.
            data: Whose test part is shown; it is needed.

        Raises:
            ValueError: As `answers` does.
        """
        if data is None:
            raise ValueError("a figure needs samples; give data, plot(data=dataset)")
        count = min(_SHOWN, max(1, _ROWS // len(self.family.unknowns)))
        shown = self.answers(data)[:count]
        pairs = [(sample, found.mean) for sample, found in shown]
        spreads = [found.spread for _, found in shown]
        return plot_points(self, pairs, path, spreads)

    def details(self, data: Data | None = None) -> dict[str, Any]:
        sizes = Sizes.of(self.fitted, len(self.model.scalars))
        return {
            "samples": sizes.samples,
            "modes": {
                "shape": sizes.shape,
                **{name: modes for name, (_, modes) in sizes.fields.items()},
                **dict(zip(self.family.unknowns, sizes.outputs, strict=True)),
            },
        }

    def identified(self) -> dict[str, Any]:
        return self.request

    def program(self, snapshots: int | None = None) -> Program:
        raise ValueError(
            "a program cannot bring meshes to one shape, as MMGP does; export it as .safetensors, "
            "or keep it with save(FOLDER)"
        )

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        return ()


def errors_of(
    answers: Sequence[tuple[PointSample, Answer]], unknowns: Sequence[str], scalars: Sequence[str]
) -> Errors:
    """Statistics of the relative errors of fields and scalars over samples with their truth."""
    errors = errors_at_points([(sample, found.mean) for sample, found in answers], unknowns)
    for k, name in enumerate(scalars):
        pairs = [(s.scalars[name], found.scalars[k]) for s, found in answers if name in s.scalars]
        if pairs:
            truth, guess = np.array(pairs).T
            off = np.abs(guess - truth)
            errors[name] = error_statistics(ratio(off, np.abs(truth)), float(off.max()))
    return errors
