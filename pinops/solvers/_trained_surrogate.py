"""A trained surrogate of time steps: whole trajectories from their first snapshots."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from pinops._numbers import real
from pinops.data import Dataset, GridSpec, as_dataset, check_data
from pinops.metrics import ratio, rollout_metrics, snapshot_errors
from pinops.problem import (
    DataFamily,
    Problem,
    coefficients_as_json,
    name_of,
    sample_members,
    unstacked,
)
from pinops.settings import reused
from pinops.solvers._beginnings import (
    check_first,
    check_parameters,
    checked_fields,
    in_figures,
    whole_count,
)
from pinops.solvers._export import Program
from pinops.solvers._finetuned import finetuned, tuned
from pinops.solvers._stepping import stepping
from pinops.solvers._trained import (
    Errors,
    TrainedOnce,
    error_statistics,
    write_state,
)
from pinops.solvers._trained_operator import stacked
from pinops.training import (
    ParameterScaling,
    Params,
    SurrogateModel,
    Trajectories,
    Unsolved,
    as_frames,
    cast,
    grid_residuals,
    inputs_of,
)

_VALUES = 32  # of the parameters that are told apart
_SHOWN = 21  # the random key of the members in figures and tests without data
_COMPARED = 5  # members that figures and errors without data are taken from
Data = Dataset | str | Path

rolled = reused(SurrogateModel.rollout)


@dataclass(frozen=True, repr=False, kw_only=True)
class TrainedSurrogate(TrainedOnce):
    """What `train` returns for a surrogate.

    Immutable; evaluates in the precision that it was trained in. Called with first snapshots and
    parameters it gives whole trajectories.
    """

    family: Problem
    model: SurrogateModel

    @property
    def subject(self) -> Problem:
        return self.family

    @cached_property
    def grid(self) -> GridSpec:
        """The grid that it works on."""
        return GridSpec.from_json(self.request["grid"])

    @cached_property
    def parameters(self) -> ParameterScaling:
        """The parameters that it sees, and their range in the training."""
        return ParameterScaling.from_json(self.request["parameters"])

    @property
    def given(self) -> int:
        """How many true snapshots a rollout begins with, as many as a step sees (``history``)."""
        return self.model.history

    def __call__(
        self,
        first: Float[Any, "n *k_grid c"],
        parameters: Float[Any, "n p"],
        count: int,
        fields: Mapping[str, Any] | None = None,
    ) -> Float[np.ndarray, "n t *grid c"]:
        """Trajectories from their first snapshots.

        Warns where parameters are outside the range of the training.

        Args:
            first: The first snapshots ``(n, *grid, c)``, one channel for each unknown; with
                ``history=k`` the first k of each trajectory, ``(n, k, *grid, c)``.
            parameters: Of each trajectory.
            count: How many further snapshots follow, each from those before.
            fields: The input fields by name ``(n, *grid[, c])``, if the data have any.

        Returns:
            The given snapshots and those that follow.

        Raises:
            ValueError: For a wrong number of snapshots, channels, points or parameters, for missing
                fields, and for values that are not finite.
        """
        count = whole_count("count", count)
        first, parameters, known = self._checked(first, parameters, fields)
        with jax.enable_x64(self.x64):
            begin, seen, known = cast((first, parameters, known))

            def later(model: SurrogateModel, params: Params) -> np.ndarray:
                return np.asarray(rolled(model, params, begin, seen, known, count))

            return np.concatenate([first, self.over_members(later)], 1)

    def _checked(
        self, first: Any, parameters: Any, fields: Mapping[str, Any] | None
    ) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """The first snapshots ``(n, k, *grid, c)``, parameters and fields of a rollout."""
        first = real(np.asarray(first), "first snapshots")
        parameters = real(np.asarray(parameters), "parameters")
        points = self.grid.points
        if self.given == 1 and first.ndim == len(points) + 2:
            first = first[:, None]
        check_first(self.model, points, first)
        check_parameters(self.parameters, parameters, len(first))
        known = checked_fields(self.model, points, fields or {}, len(first))
        return first.astype(float), parameters.astype(float), known

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
        known = self._known(data, part)
        return self._rolled_from(known), np.asarray(known.frames), np.asarray(known.parameters)

    def outputs_of(self, data: Data, part: str) -> Iterator[Float[np.ndarray, "t *grid c"]]:
        """The outputs of every sample of a part of a data set, unknowns in the last axis."""
        yield from self._rolled_from(self._part_of(as_dataset(data), part))[:, self.given :]

    def _known(self, data: Data | None, part: str | None) -> Trajectories:
        """True trajectories to compare with; arguments as for `predicted`."""
        if data is not None:
            return self._part_of(as_dataset(data), part)
        if isinstance(self.family, DataFamily):
            raise ValueError(
                "a surrogate of data alone is compared with data: give error(data), such as the "
                "test part of data.split()"
            )
        return self._solved_members(_COMPARED)

    def _rolled_from(self, known: Trajectories) -> np.ndarray:
        """Rollouts as long as these trajectories, from their beginnings."""
        frames, given = np.asarray(known.frames), self.given
        count = frames.shape[1] - given
        return self(frames[:, :given], np.asarray(known.parameters), count, known.fields)

    def _part_of(self, dataset: Dataset, part: str | None) -> Trajectories:
        held = "data alone" if dataset.settings is None else dataset.settings["problem"]
        if isinstance(self.family, DataFamily):
            check_data(dataset, self.family)
        elif held != (own := self.request["problem"]):
            raise ValueError(f"{dataset.path} holds {held}, and the surrogate is of {own}")
        members = dataset.unseen(self.request["data_members"], part)
        grid = GridSpec.of(self.family, dataset)
        if not grid.same(self.grid):
            raise ValueError(
                f"{dataset.path} has the grid {grid}, and the surrogate is for {self.grid}; "
                "refined(2) is for twice as many points"
            )
        return self.model.trajectories(dataset, dataset.rows(members))

    def _solved_members(self, count: int) -> Trajectories:
        """Unseen members and their solutions, in the order of the parameters."""
        with jax.enable_x64(True):
            members = unstacked(sample_members(self.family, jax.random.key(_SHOWN), range(64)), 64)
            parameters, fields = self._seen_of(members)
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
        some = {name: field[chosen] for name, field in fields.items()}
        return Trajectories(as_frames(self.family, rows), parameters[chosen], fields=some)

    def _seen_of(self, members: Sequence[Problem]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """The parameters of some members in a row, and their input fields by name."""
        each = [inputs_of(member) for member in members]
        by_name = {name: np.stack([given[name] for given in each]) for name in each[0]}
        return self.model.seen(by_name, len(each))

    def error(self, data: Data | None = None) -> Errors:
        """Statistics of the relative L2 errors of whole rollouts, by unknown; the true snapshots
        that a rollout begins with do not count.

        Args:
            data: A data set, of which the test part is taken; None: members of the family, solved
                by their references.

        Raises:
            ValueError: As `predicted` does.
        """
        predicted, truth, _ = self.predicted(data)
        found, first = {}, self.given
        for k, name in enumerate(self.family.unknowns):
            off = (predicted - truth)[:, first:, ..., k].astype(np.float64).reshape(len(truth), -1)
            size = np.linalg.norm(truth[:, first:, ..., k].reshape(len(truth), -1), axis=1)
            relative = ratio(np.linalg.norm(off, axis=1), size)
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
        return self._metrics_of(*self.predicted(data, part))

    def _metrics_of(
        self, predicted: np.ndarray, truth: np.ndarray, parameters: np.ndarray
    ) -> dict[str, dict[str, float]]:
        metrics = rollout_metrics(predicted, truth, self.given)
        groups: dict[str, Any] = {"all": np.ones(len(truth), bool)}
        values = np.unique(parameters, axis=0) if self.parameters.names else []
        for row in values if len(values) <= _VALUES else []:
            pairs = zip(self.parameters.names, row, strict=True)
            label = ", ".join(f"{name}={value:.6g}" for name, value in pairs)
            groups[label] = (parameters == row).all(1)
        return {
            label: {name: float(np.mean(m[chosen])) for name, m in metrics.items()}
            for label, chosen in groups.items()
        }

    def lead_times(self, data: Data | None = None) -> dict[str, list[float]]:
        """The mean relative L2 error of each snapshot that a rollout predicts, by unknown.

        Args:
            data: As for `error`.

        Returns:
            ``{"steps": [1, 2, ...], "u": [...], ...}``, by the number of steps from the last true
            snapshot.
        """
        return self._lead_times_of(*self.predicted(data)[:2])

    def _lead_times_of(self, predicted: np.ndarray, truth: np.ndarray) -> dict[str, list[float]]:
        errors = snapshot_errors(predicted, truth)[:, self.given :].mean(0)
        by_name = zip(self.family.unknowns, errors.T.tolist(), strict=True)
        return {"steps": list(range(1, len(errors) + 1)), **dict(by_name)}

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
        if self.request["surrogate"].get("CAPE", {}).get("norm") == "spatial":
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
        first: Float[Any, "n *k_grid c"],
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
            first: The first snapshots, as for a call.
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
        self._check_members(members)
        count = whole_count("count", count)
        with jax.enable_x64(self.x64):
            parameters, fields = self._seen_of(members)
            begin, seen, known = self._checked(first, parameters, fields)
            points = Unsolved(
                first=cast(begin),
                parameters=cast(seen),
                fields=cast(known),
                problems=stacked(members),
                count=count,
            )
            outcome = finetuned(
                self.model,
                self.params,
                points,
                steps=steps,
                learning_rate=learning_rate,
                anchor=anchor,
            )
        return replace(self, **tuned(outcome))

    def _check_members(self, members: Sequence[Problem]) -> None:
        if not members:
            raise ValueError("members must be a problem for each first snapshot, got none")
        own = type(self.family).__name__
        for member in members:
            if type(member) is not type(self.family):
                raise ValueError(f"this surrogate is of {own}, not of {type(member).__name__}")
            self.grid.check_periodic(member)

    def plot(self, path: str | Path | None = None, data: Data | None = None) -> Any:
        """A figure of rollouts beside the truth, of their errors by lead time and by wave number,
        and of the training.

        Args:
            path: Where the figure is written.
            data: A data set whose test trajectories are shown; None: new members, solved by their
                references.
        """
        from pinops.plotting import plot_rollouts

        of_members = self.deviation
        spread = None if of_members is None else of_members._shown(data)[0]
        return plot_rollouts(self, *self._shown(data), path, spread)

    def animate(self, path: str | Path, data: Data | None = None, *, seconds: float = 5.0) -> Path:
        from pinops.plotting import animate_rollouts

        return animate_rollouts(self, *self._shown(data), path, seconds=seconds)

    def _shown(self, data: Data | None) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Some trajectories, the true ones, and what they are."""
        known = self._known(data, "test")
        parameters, names = np.asarray(known.parameters), self.parameters.names
        chosen = np.arange(len(parameters))
        labels = [f"trajectory {number}" for number in chosen]
        if names:
            _, firsts = np.unique(parameters, axis=0, return_index=True)
            if len(firsts) > 1:  # one of each value
                chosen, labels = firsts, [in_figures(names, row) for row in parameters[firsts]]
        places = np.unique(np.linspace(0, len(chosen) - 1, _COMPARED).round().astype(int))
        some = jax.tree.map(lambda array: np.asarray(array)[chosen[places]], known)
        labels = [labels[place] for place in places]
        return self._rolled_from(some), np.asarray(some.frames), labels

    def details(self, data: Data | None = None) -> dict[str, Any]:
        found: dict[str, Any] = {"rollout": {}, "lead_times": {}}
        if self._comparable(data):
            predicted, truth, parameters = self.predicted(data)
            found["rollout"] = self._metrics_of(predicted, truth, parameters)
            found["lead_times"] = self._lead_times_of(predicted, truth)
        return {**found, "coefficients": coefficients_as_json(self.family)}

    def identified(self) -> dict[str, Any]:
        return self.request

    def program(self, snapshots: int | None = None) -> Program:
        count = 1 if snapshots is None else snapshots
        return stepping(self.model, self.params, self.grid, self.parameters.names, count)

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        write_state(folder, self.state, self.params, self.history, self.request)
        return ()
