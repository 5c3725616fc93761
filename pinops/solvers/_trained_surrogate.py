"""A trained surrogate of time steps: whole trajectories from their first snapshots."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from pinops.data import Dataset, GridSpec, as_dataset, check_data, inputs_in
from pinops.losses import Fixed
from pinops.metrics import rollout_metrics
from pinops.operators import CAPESurrogate
from pinops.optimizers import Optax
from pinops.problem import (
    DataFamily,
    Problem,
    coefficients_as_json,
    name_of,
    sample_members,
    unstacked,
)
from pinops.solvers._export import Program, Shape
from pinops.solvers._trained import (
    Errors,
    TrainedOnce,
    error_statistics,
    write_state,
)
from pinops.solvers._trained_operator import stacked
from pinops.training import (
    FineTuning,
    Given,
    ParameterScaling,
    Phase,
    SurrogateModel,
    Training,
    Unsolved,
    as_frames,
    frames_of,
    grid_residuals,
    in_a_row,
    inputs_of,
)

_VALUES = 32  # of the parameters that are told apart
_SHOWN = 21  # the random key of the members in figures and tests without data
_COMPARED = 5  # members that figures and errors without data are taken from
Data = Dataset | str | Path

rolled = eqx.filter_jit(SurrogateModel.rollout)


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedSurrogate(TrainedOnce):
    """What `train` returns for a surrogate.

    Immutable; evaluates in the precision that it was trained in.

    Called with first snapshots and parameters it gives whole trajectories.
    """

    family: Problem
    model: SurrogateModel

    @cached_property
    def grid(self) -> GridSpec:
        """The grid that it works on."""
        return GridSpec.from_json(self.request["grid"])

    @cached_property
    def parameters(self) -> ParameterScaling:
        """The parameters that it sees, and their range in the training."""
        return ParameterScaling.from_json(self.request["parameters"])

    def __call__(
        self, first: Float[Any, "n *grid c"], parameters: Float[Any, "n p"], count: int
    ) -> Float[np.ndarray, "n t *grid c"]:
        """Trajectories from their first snapshots.

        Warns where parameters are outside the range of the training.

        Args:
            first: The first snapshots, one channel for each unknown.
            parameters: Of each trajectory.
            count: How many further snapshots follow, each from the one before.

        Raises:
            ValueError: For a wrong number of channels, points or parameters, and for values that
                are not finite.
        """
        first, parameters = np.asarray(first), np.asarray(parameters)
        if not isinstance(count, int) or count < 1:
            raise ValueError(
                f"count must be a whole number of snapshots of at least 1, got {count!r}"
            )
        self._check(first, parameters)
        with jax.enable_x64(self.x64):
            at = [jnp.asarray(x, jnp.result_type(float)) for x in (first, parameters)]
            out = np.asarray(rolled(self.model, self.params, at[0], at[1], count))
        return np.concatenate([first[:, None], out], 1)

    def _check(self, first: np.ndarray, parameters: np.ndarray) -> None:
        points, names = self.grid.points, self.parameters.names
        unknowns = self.family.unknowns
        channels = len(unknowns)
        if first.ndim != len(points) + 2:
            raise ValueError(
                f"first snapshots have shape (n, *grid, {channels}), got {first.shape}"
            )
        if first.shape[-1] != channels:
            raise ValueError(
                f"first snapshots need {channels} channels ({', '.join(unknowns)}), got "
                f"{first.shape[-1]} in shape "
                f"{first.shape}"
            )
        if first.shape[1:-1] != points:
            raise ValueError(
                f"the surrogate was trained on a grid of {points}, got snapshots of "
                f"{first.shape[1:-1]}"
            )
        if not np.isfinite(first).all():
            raise ValueError("first snapshots must be finite; one has a NaN or infinite value")
        if parameters.shape != (len(first), len(names)):
            raise ValueError(
                f"parameters need shape ({len(first)}, {len(names)}), {', '.join(names)} of each "
                "trajectory, got "
                f"{parameters.shape}"
            )
        if not np.isfinite(parameters).all():
            raise ValueError("parameters must be finite; one is a NaN or infinite")
        for k, (name, used) in enumerate(zip(names, self.parameters.maps, strict=True)):
            if used != "identity" and not (parameters[:, k] > 0).all():
                raise ValueError(f"{name} must be positive, as the surrogate sees its {used}")
        for sentence in self.parameters.outside(parameters).values():
            warnings.warn(sentence, stacklevel=3)

    def predicted(
        self, data: Data | None = None, part: str | None = "test"
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rollouts, the truth and the parameters of trajectories that the training has not seen.

        Args:
            data: A data set; None: members of the family, solved by their references.
            part: Of the data set; None: all of it.

        Raises:
            ValueError: Where the training has seen them, for another grid, and without data for a
                family without references.
        """
        if data is None:
            truth, parameters = self._solved_members(_COMPARED)
        else:
            dataset = as_dataset(data)
            truth, parameters = self._part_of(dataset, part)
        return self(truth[:, 0], parameters, truth.shape[1] - 1), truth, parameters

    def _part_of(self, dataset: Dataset, part: str | None) -> tuple[np.ndarray, np.ndarray]:
        held = "data alone" if dataset.settings is None else dataset.settings["problem"]
        own = self.request["problem"]
        if isinstance(self.family, DataFamily):
            check_data(dataset, self.family)
        elif held != own:
            raise ValueError(f"{dataset.path} holds {held}, and the surrogate is of {own}")
        members = dataset.unseen(self.request["data_members"], part)
        grid = GridSpec.of(self.family, dataset)
        if not grid.same(self.grid):
            raise ValueError(
                f"{dataset.path} has the grid {grid}, and the surrogate is for {self.grid}; "
                "refined(2) is for twice as many points"
            )
        rows = dataset.rows(members)
        return frames_of(self.family, dataset, rows), in_a_row(inputs_in(rows), len(members))

    def _solved_members(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Solutions and parameters of unseen members, in the order of the parameters."""
        with jax.enable_x64(True):
            members = unstacked(sample_members(self.family, jax.random.key(_SHOWN), range(64)), 64)
            parameters = _parameters_of(members)
        _, firsts = np.unique(parameters, axis=0, return_index=True)
        chosen = firsts[np.unique(np.linspace(0, len(firsts) - 1, count).round().astype(int))]
        references = [members[k].reference() for k in chosen]
        known = [reference for reference in references if reference is not None]
        if len(known) < len(references):
            raise ValueError(
                f"{self.request['problem']} has no reference to compare with; give data, or the "
                "family a reference"
            )
        unknowns = self.family.unknowns
        rows = {f"values/{name}": np.stack([r.values[name] for r in known]) for name in unknowns}
        return as_frames(self.family, rows), parameters[chosen]

    def error(self, data: Data | None = None) -> Errors:
        """Statistics of the relative L2 errors of whole rollouts, by unknown.

        Args:
            data: A data set, of which the test part is taken; None: members of the family, solved
                by their references.

        Raises:
            ValueError: As `predicted` does.
        """
        predicted, truth, _ = self.predicted(data)
        found = {}
        for k, name in enumerate(self.family.unknowns):
            off = (predicted - truth)[:, 1:, ..., k].reshape(len(truth), -1)
            size = np.linalg.norm(truth[:, 1:, ..., k].reshape(len(truth), -1), axis=1)
            relative = np.linalg.norm(off, axis=1) / np.maximum(size, np.finfo(float).tiny)
            found[name] = error_statistics(relative, float(np.abs(off).max()))
        return found

    def known_errors(self, data: Data | None = None) -> Errors:
        return self.error(data) if self._comparable(data) else {}

    def _comparable(self, data: Data | None) -> bool:
        """Whether there are data, or references on the grid of the surrogate, to compare with."""
        if data is not None:
            return True
        reference = self.family.reference()
        if reference is None:
            return False
        sizes = dict(
            zip(self.grid.coordinates, next(iter(reference.values.values())).shape, strict=True)
        )
        return tuple(n for name, n in sizes.items() if name != self.grid.time) == self.grid.points

    def metrics(
        self, data: Data | None = None, part: str | None = "test"
    ) -> dict[str, dict[str, float]]:
        """`pinops.metrics.rollout_metrics` of whole rollouts, by value of the parameters.

        They are means over the trajectories.

        ``{"viscosity=0.02": {"nrmse": ..., ...}, ...}``, where there are no more than 32 values,
        and "all" of them.
        """
        predicted, truth, parameters = self.predicted(data, part)
        metrics = rollout_metrics(predicted, truth)
        groups: dict[str, Any] = {"all": np.ones(len(truth), bool)}
        values = np.unique(parameters, axis=0)
        for row in values if len(values) <= _VALUES else []:
            pairs = zip(self.parameters.names, row, strict=True)
            label = ", ".join(f"{name}={value:.6g}" for name, value in pairs)
            groups[label] = (parameters == row).all(1)
        return {
            label: {name: float(np.mean(m[chosen])) for name, m in metrics.items()}
            for label, chosen in groups.items()
        }

    def residual(self, frames: Float[Any, "t *grid c"], member: Problem) -> float:
        """The root mean square of a member's equation at a trajectory.

        It says how wrong the trajectory is where no truth is known.

        Raises:
            ValueError: Where space is not periodic.
        """
        self.grid.check_periodic(member)
        with jax.enable_x64(True):
            snapshots, owner = jnp.asarray(frames), name_of(member)
            vectors = grid_residuals(member, snapshots, self.model.grid, owner=owner)
            return float(jnp.sqrt(sum(jnp.mean(jnp.square(v)) for v in vectors.values())))

    def refined(self, times: int) -> "TrainedSurrogate":
        """The same surrogate on ``times`` as many points along every axis.

        An FNO is an operator between functions, and hardly notices. Convolutions over neighbours (a
        U-Net's, message passing and those of CAPE) reach less far there than in the training:
        `metrics` of data on such a grid tells what that costs.

        Raises:
            ValueError: For a surrogate with numbers of its own for every point,
                ``CAPE(norm="spatial")``.
        """
        if not isinstance(times, int) or times < 1:
            raise ValueError(f"times must be a whole number of at least 1, got {times!r}")
        surrogate = self.model.surrogate(self.params)
        if isinstance(surrogate, CAPESurrogate) and surrogate.embedding.norm == "spatial":
            raise ValueError(
                "norm='spatial' has a scale for every point of one grid; train with norm='channel' "
                "or 'none'"
            )
        finer = self.grid.refined(times, self.family.domain.bounds)
        model = replace(self.model, grid=finer.lines)
        request = self.request | {"grid": finer.to_json()}
        return replace(self, request=request, model=model, state=None)

    def finetuned(
        self,
        first: Float[Any, "n *grid c"],
        members: Sequence[Problem],
        count: int,
        *,
        steps: int = 100,
        learning_rate: float = 1e-3,
        anchor: float = 1.0,
    ) -> "TrainedSurrogate":
        """A surrogate for these trajectories alone, from their equations: no truth is needed.

        As physics-informed neural operators at test time (Li et al. 2024, arXiv:2111.03794, section
        3.2): Adam, its learning rate falling to zero by a cosine, lowers the mean square residual
        at the rollouts, in units of what it is before. The equation cannot tell what snapshots are
        too far apart to show: see whether the `residual` of a true trajectory is far below that of
        a prediction, and the error may grow where it is not.

        Args:
            first: The first snapshots.
            members: The problem of each trajectory.
            count: How many snapshots follow.
            steps: Of Adam, at least 1.
            learning_rate: At the start, greater than zero.
            anchor: The weight >= 0 of the mean square distance to the rollouts before, relative to
                these.

        Raises:
            ValueError: For wrong shapes, members of another family, and where space is not
                periodic.
        """
        self._check_finetuning(members, steps, learning_rate, anchor)
        with jax.enable_x64(self.x64):
            parameters = _parameters_of(members)
            before = self(first, parameters, count)[:, 1:]
            problems = stacked(members)
            known = [jnp.asarray(x, jnp.result_type(float)) for x in (first, parameters, before)]
            points = Unsolved(
                first=known[0], parameters=known[1], problems=problems, before=known[2]
            )
            descent = Optax(optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
            training = Training(
                model=FineTuning.of(self.model, self.params, points),
                phases=(Phase(descent, steps),),
                source=Given(points),
                seed=0,
                weighting=Fixed(auxiliary=anchor),
            )
            outcome = training.run(training.init(self.params, fit=False))
        status = "finetuned" if outcome.status == "finished" else outcome.status
        return replace(self, params=outcome.state.params, state=None, status=status)

    def _check_finetuning(
        self, members: Sequence[Problem], steps: int, learning_rate: float, anchor: float
    ) -> None:
        if not 0 < learning_rate < float("inf"):
            raise ValueError(
                f"learning_rate must be finite and greater than zero, got {learning_rate}"
            )
        if not 0 <= anchor < float("inf"):
            raise ValueError(f"anchor must be finite and zero or more, got {anchor}")
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
        if not members:
            raise ValueError(
                "members must be the problems of the trajectories, one for each of the first "
                "snapshots, got none"
            )
        for member in members:
            if type(member) is not type(self.family):
                raise ValueError(
                    f"this surrogate is of {type(self.family).__name__}, not of "
                    f"{type(member).__name__}"
                )
            self.grid.check_periodic(member)

    def plot(self, path: str | Path | None = None, data: Data | None = None) -> Any:
        """A figure of rollouts beside the truth, and of the training.

        Args:
            path: Where the figure is written.
            data: A data set whose test trajectories are shown; None: new members, solved by their
                references.
        """
        from pinops.plotting import plot_rollouts

        if data is None:
            truth, parameters = self._solved_members(_COMPARED)
        else:
            dataset = as_dataset(data)
            truth, parameters = self._part_of(dataset, "test")
            _, firsts = np.unique(parameters, axis=0, return_index=True)
            shown = firsts[np.unique(np.linspace(0, len(firsts) - 1, 5).round().astype(int))]
            truth, parameters = truth[shown], parameters[shown]
        predicted = self(truth[:, 0], parameters, truth.shape[1] - 1)
        names = self.parameters.names
        labels = [
            ", ".join(f"{name} {value:g}" for name, value in zip(names, row, strict=True))
            for row in parameters
        ]
        return plot_rollouts(self, predicted, truth, labels, path)

    def details(self, data: Data | None = None) -> dict[str, Any]:
        return {
            "rollout": self.metrics(data) if self._comparable(data) else {},
            "coefficients": coefficients_as_json(self.family),
        }

    def identified(self) -> dict[str, Any]:
        return self.request

    def program(self, snapshots: int | None = None) -> Program:
        count = 1 if snapshots is None else snapshots
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"snapshots must be a whole number of at least 1, got {count!r}")
        names, channels = self.parameters.names, len(self.family.unknowns)

        def call(inputs: Mapping[str, Array]) -> dict[str, Array]:
            first = inputs["first"]
            nothing = jnp.zeros((first.shape[0], 0), first.dtype)
            parameters = inputs.get("parameters", nothing)
            return {"snapshots": self.model.rollout(self.params, first, parameters, count)}

        frame = (*self.grid.points, channels)
        inputs: dict[str, Shape] = {"first": ("n", *frame)}
        if names:
            inputs["parameters"] = ("n", len(names))
        about = {
            "channels": list(self.family.unknowns),
            "parameters": list(names),
            "grid": self.grid.to_json(),
        }
        return Program(call, inputs, {"snapshots": ("n", count, *frame)}, about)

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        return ()


def _parameters_of(members: Sequence[Problem]) -> Float[np.ndarray, "n p"]:
    """What a surrogate sees of some members, in the order of the names of the inputs."""
    each = [inputs_of(member) for member in members]
    by_name = {name: np.stack([given[name] for given in each]) for name in each[0]}
    return in_a_row(by_name, len(each))
