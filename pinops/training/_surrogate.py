"""What is trained of a surrogate on a grid: trajectories, more and more from its predictions."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pinops.data import Dataset, inputs_in, problems
from pinops.losses import Snapshot, Term, Weights
from pinops.networks import computed_in
from pinops.operators import Surrogate
from pinops.optimizers import Objective
from pinops.problem import INTERIOR, Problem, Region
from pinops.training._bootstrap import Bootstrap, bootstrapped
from pinops.training._chunks import in_chunks, on_rows
from pinops.training._contracts import Params, Source, Trainable
from pinops.training._grid_equation import grid_residuals
from pinops.training._inputs import in_a_row
from pinops.training._linearised import snapshot_without_kernel
from pinops.training._map_inputs import MapInputs
from pinops.training._model import cast
from pinops.training._operator import DATA
from pinops.training._scaling import MAPS

# Of `chunk_bytes`, for the trajectories that are taken at once. All frames at once and one after
# the other are both counted: of 64 places one trajectory is best for the first, and three to five
# are for the second.
_BUDGETS = 8

AUXILIARY = Region("auxiliary")  # what an embedding of the parameters predicts by itself


class Trajectories(eqx.Module):
    """Solutions on a grid, and what is known of each: parameters and input fields, by name; also
    problems where equations are in the loss.
    """

    frames: Float[Array | np.ndarray, "n t *grid c"]
    parameters: Float[Array | np.ndarray, "n p"]
    problems: Problem | None = None
    fields: Mapping[str, Any] = eqx.field(default_factory=dict)
    noise: Float[Array, "n t-1 *grid c"] | None = None  # of the states that steps begin at
    numbers: Int[Array | np.ndarray, " n"] | None = None  # of the samples in their data set


class Unsolved(eqx.Module):
    """Trajectories of which only the beginning and the equations are known.

    Args:
        first: The first snapshots, as many as a step sees.
        parameters: What a surrogate sees of each.
        fields: The input fields by name.
        problems: The members, in the leading axis of every array.
        count: How many snapshots follow.
    """

    first: Float[Array, "n k *grid c"]
    parameters: Float[Array, "n p"]
    fields: dict[str, Array]
    problems: Problem
    count: int = eqx.field(static=True)


class SurrogateModel(Trainable[Trajectories]):
    """A family on a grid, and its surrogate without the parameters.

    Immutable; array leaves may be traced.

    ``mean``, ``scale``: frames minus the one are divided by the other, for each unknown; ``sizes``:
    of the equations; ``centre``, ``spread``: of the parameters, after their ``maps``; ``free``: how
    many frames follow from predictions; ``warm``: 1 while only the embedding is trained;
    ``history``: how many frames a step sees; ``fields``: the input fields that it sees;
    ``compute_dtype``: of the networks, as of `computed_in`; ``bootstrap``: which trajectories count
    (None: all).
    """

    problem: Problem
    frozen: Any
    mean: Float[Array, " c"]
    scale: Float[Array, " c"]
    sizes: dict[str, Array]
    centre: Float[Array, " p"]
    spread: Float[Array, " p"]
    free: Array
    warm: Array
    maps: tuple[str, ...] = eqx.field(static=True)
    grid: tuple[tuple[float, float], ...] = eqx.field(
        static=True
    )  # the first place of each coordinate, and their distance
    noise: float = eqx.field(static=True)  # its standard deviation
    physics: bool = eqx.field(static=True)  # whether the equations are in the loss
    push_forward: bool = eqx.field(static=True)
    history: int = eqx.field(static=True)
    fields: MapInputs | None = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    compute_dtype: str | None = eqx.field(static=True, default=None)
    bootstrap: Bootstrap | None = None
    mesh: Mesh | None = eqx.field(
        static=True, default=None
    )  # the devices that share the trajectories of a step

    def coefficients(self, params: Params) -> dict[str, Array]:
        """None are trained."""
        return {}

    def at(self, stage: Mapping[str, float]) -> "SurrogateModel":
        """The model in a stage of its curriculum."""
        new = (jnp.asarray(stage["free"], jnp.int32), jnp.asarray(stage["warm"], self.warm.dtype))
        return eqx.tree_at(lambda model: (model.free, model.warm), self, new)

    def surrogate(self, params: Params) -> Surrogate:
        """The present surrogate, of scaled states and standardised parameters."""
        return eqx.combine(params.network, self.frozen)

    def advanced(
        self, params: Params, states: Array, seen: Float[Array, "n p"]
    ) -> tuple[Array, Array | None]:
        """Scaled states one step later, and what an embedding makes of them (None without one)."""
        return computed_in(self.compute_dtype, _advanced, self.surrogate(params), states, seen)

    def standardised(self, parameters: Float[Array, "n p"]) -> Float[Array, "n p"]:
        """The parameters as the surrogate sees them."""
        columns = [MAPS[name](parameters[:, k]) for k, name in enumerate(self.maps)]
        return (
            (jnp.stack(columns, 1) - self.centre[None]) / self.spread[None]
            if columns
            else parameters
        )

    def seen(self, inputs: Mapping[str, Any], count: int) -> tuple[np.ndarray, dict[str, Any]]:
        """The parameters in a row and the input fields of ``count`` members.

        Args:
            inputs: By name, a member in each row.
            count: How many members.
        """
        names = () if self.fields is None else self.fields.names
        row = {name: array for name, array in inputs.items() if name not in names}
        return in_a_row(row, count), {name: as_real(inputs[name]) for name in names}

    def trajectories(self, dataset: Dataset, rows: Mapping[str, np.ndarray]) -> Trajectories:
        """Rows of a data set, without their problems.

        Raises:
            ValueError: For a value that is not finite.
        """
        frames = frames_of(self.problem, dataset, rows)
        parameters, fields = self.seen(inputs_in(rows), len(frames))
        numbers = np.asarray(rows["number"], np.int32)
        return Trajectories(frames, parameters, fields=fields, numbers=numbers)

    def rollout(
        self,
        params: Params,
        first: Float[Array, "n k *grid c"],
        parameters: Float[Array, "n p"],
        fields: Mapping[str, Array],
        count: int,
    ) -> Float[Array, "n count *grid c"]:
        """``count`` frames that follow from the first k, as many as a step sees."""
        seen = self.standardised(parameters)
        context = self._channels(fields, first.shape[2:-1])
        (known,) = windows(jnp.moveaxis(self._scaled(first), 1, 0), self.history)

        def advance(known, _):
            state, _ = self.advanced(params, _beside(context, known), seen)
            return shifted(known, state), state

        _, frames = jax.lax.scan(advance, known, length=count)
        return self._unscaled(jnp.moveaxis(frames, 0, 1))

    def _channels(self, fields: Mapping[str, Array], grid: tuple[int, ...]) -> Array | None:
        """The input fields as channels on a grid; None where there are none."""
        return None if self.fields is None else self.fields.channels(fields, grid)

    def _scaled(self, frames: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        """Frames as a surrogate sees them."""
        mean, scale = (jnp.broadcast_to(part, frames.shape) for part in (self.mean, self.scale))
        return (frames - mean) / scale

    def _unscaled(self, frames: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        """Frames in the units of the data."""
        mean, scale = (jnp.broadcast_to(part, frames.shape) for part in (self.mean, self.scale))
        return mean + scale * frames

    def unsolved(
        self, params: Params, points: Unsolved
    ) -> tuple[Float[Array, "n t *grid c"], dict[str, Array]]:
        """Rollouts in units of their sizes, and the equations there, for `FineTuning`."""
        rolled = self.rollout(params, points.first, points.parameters, points.fields, points.count)
        whole = jnp.concatenate([points.first, rolled], 1)

        def of(problem: Problem, frames: Array) -> dict[str, Array]:
            return grid_residuals(problem, frames, self.grid, owner=self.owner, sizes=self.sizes)

        vectors = eqx.filter_vmap(of)(points.problems, whole)
        return rolled / jnp.broadcast_to(self.scale, rolled.shape), vectors

    def predictions(
        self, params: Params, trajectories: Trajectories
    ) -> tuple[Array, Array | None, Array]:
        """All snapshots but the first k, as many as a step sees, ``(t - k, n, ...)``: predicted,
        guessed by an embedding, true.

        The guess is None without an embedding.
        """
        seen = self.standardised(jnp.asarray(trajectories.parameters))
        frames = jnp.moveaxis(jnp.asarray(trajectories.frames), 1, 0)
        truth = self._scaled(frames)
        context = self._channels(trajectories.fields, truth.shape[2:-1])
        before, after = windows(truth[:-1], self.history), truth[self.history :]
        noise = (
            jnp.zeros_like(before)
            if trajectories.noise is None
            else windows(jnp.moveaxis(trajectories.noise, 1, 0), self.history)
        )

        def forced(_):
            """All steps at once."""
            steps = len(before)
            known = (before + noise).reshape(-1, *before.shape[2:])
            again = None if context is None else jnp.concatenate([context] * steps)
            out = self.advanced(params, _beside(again, known), jnp.tile(seen, (steps, 1)))
            return jax.tree.map(lambda x: x.reshape(after.shape), out)

        def in_turn(_):
            @jax.checkpoint
            def advance(last, step):
                number, true, noise = step
                last = jax.lax.stop_gradient(last) if self.push_forward else last
                known = jnp.where((number > 0) & (number < self.free), last, true)
                out = self.advanced(params, _beside(context, known + noise), seen)
                return shifted(known, out[0]), out

            return jax.lax.scan(
                advance, jnp.zeros_like(before[0]), (jnp.arange(len(before)), before, noise)
            )[1]

        predicted, guessed = jax.lax.cond(self.free > 1, in_turn, forced, None)
        return predicted, guessed, after

    def residuals(self, params: Params, trajectories: Trajectories) -> dict[str, Term]:
        """Errors of single snapshots, and the equations at the predicted ones, by trajectory.

        Errors are the roots of relative L2 errors, so that their mean square is the mean error.
        """

        return on_rows(SurrogateModel._residuals, self, params, trajectories)

    def _residuals(self, params: Params, trajectories: Trajectories) -> dict[str, Term]:
        """`residuals` on one device."""
        predicted, guessed, truth = self.predictions(params, trajectories)

        def errors(frames: Array) -> Array:
            roots = jnp.sqrt(relative(frames, truth))
            return bootstrapped(roots, self.bootstrap, trajectories.numbers)

        out = {"frames": Term(errors(predicted), DATA)}
        if guessed is not None:
            out["embedding"] = Term(errors(guessed), AUXILIARY)
        if trajectories.problems is not None:
            first = jnp.asarray(trajectories.frames)[:, : self.history]
            frames = jnp.moveaxis(predicted, 0, 1)
            whole = jnp.concatenate([first, self._unscaled(frames)], 1)

            def of(problem: Problem, frames: Array) -> dict[str, Array]:
                return grid_residuals(
                    problem, frames, self.grid, owner=self.owner, sizes=self.sizes
                )

            vectors = eqx.filter_vmap(of)(trajectories.problems, whole)
            out |= {name: Term(vector, INTERIOR) for name, vector in vectors.items()}
        return out

    def terms(
        self, params: Params, trajectories: Trajectories, weights: Weights
    ) -> dict[str, Array]:
        """The weighted mean square of every term; their sum is the loss.

        While the embedding warms up its own error is all of the loss.
        """
        out = {}
        for name, term in self.residuals(params, trajectories).items():
            weight = weights[name]
            if term.region == AUXILIARY:
                out[name] = term.mean_square(jnp.where(self.warm > 0, 1.0, weight))
            else:
                out[name] = (1 - self.warm) * term.mean_square(weight)
        return out

    def objective(self, trajectories: Trajectories, weights: Weights) -> Objective:
        """The loss of these trajectories as optimizers see it: shared among the devices, a few
        trajectories at once on each.
        """
        return in_chunks(self, trajectories, weights, budgets=_BUDGETS)

    def snapshot(self, params: Params, trajectories: Trajectories, key: PRNGKeyArray) -> Snapshot:
        """What a weighting is updated from; without the rows that a tangent kernel needs."""
        return snapshot_without_kernel(
            lambda params: self.residuals(params, trajectories), params, key
        )


def _advanced(
    surrogate: Surrogate, states: Array, seen: Float[Array, "n p"]
) -> tuple[Array, Array | None]:
    return surrogate.advanced(states, seen)


def as_real(array: Any) -> np.ndarray:
    """An array of floating-point numbers: a medium of zeros and ones has none."""
    array = np.asarray(array)
    return array.astype(np.result_type(array.dtype, np.float32), copy=False)


def windows(frames: Float[Array, "t n *grid c"], history: int) -> Float[Array, "s n *grid kc"]:
    """Every ``history`` = k consecutive snapshots as channels, the oldest first; s = t - k + 1."""
    count = len(frames) - history + 1
    return jnp.concatenate([frames[k : k + count] for k in range(history)], -1)


def shifted(known: Float[Array, "n *grid kc"], state: Float[Array, "n *grid c"]) -> Array:
    """The snapshots that the next step sees: the oldest one gives way to a new one."""
    return jnp.concatenate([known[..., state.shape[-1] :], state], -1)


def _beside(context: Array | None, known: Array) -> Array:
    """What a surrogate is given: its input fields, if there are any, and the snapshots."""
    return known if context is None else jnp.concatenate([context, known], -1)


def relative(
    predicted: Float[Array, "t n *grid c"], truth: Float[Array, "t n *grid c"]
) -> Float[Array, "n t"]:
    """The L2 error of every snapshot, relative to the truth.

    The truth counts for at least a thousandth of the size of the data, 1.
    """

    def each(x):
        return jnp.sqrt(jnp.mean(jnp.square(x.reshape(*x.shape[:2], -1)), axis=2)).T

    return each(predicted - truth) / jnp.maximum(each(truth), 1e-3)


class Batches(Source[Trajectories]):
    """Trajectories of a data set.

    Args:
        dataset: Where they come from.
        pool: The number kept in memory; if the data set has more, they are replaced every epoch.
        batch: How many a step takes.
        every: 0, since the stages of the curriculum say when others are drawn.
        stochastic: True: every step sees others.
    """

    dataset: Dataset = eqx.field(static=True)
    pool: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    every: int = eqx.field(static=True, default=0, init=False)
    stochastic: bool = eqx.field(static=True, default=True, init=False)

    def drawn(
        self, model: SurrogateModel, params: Params, key: PRNGKeyArray, present: Trajectories | None
    ) -> Trajectories:
        """The trajectories of an epoch."""
        rows = self.dataset.drawn(key, self.pool)
        members = problems(model.problem, rows) if model.physics else None
        found = dataclasses.replace(model.trajectories(self.dataset, rows), problems=members)
        return cast(found)

    def sampled(
        self, model: SurrogateModel, trajectories: Trajectories, weights: Weights, key: PRNGKeyArray
    ) -> tuple[Trajectories, Weights]:
        """What one step takes of them."""
        which, other = jax.random.split(key)
        some = self._some(
            trajectories, jax.random.choice(which, self.pool, (self.batch,), replace=False)
        )
        states = some.frames[:, :-1]
        noise = (
            model.noise * jax.random.normal(other, states.shape, states.dtype)
            if model.noise
            else None
        )
        return dataclasses.replace(some, noise=noise), weights

    def representative(self, trajectories: Trajectories) -> Trajectories:
        """As many as a step takes, always the same."""
        return self._some(trajectories, np.arange(self.batch))

    def divided(self, trajectories: Trajectories) -> None:
        """None: the trajectories of a step may be any of them, so that each device keeps all."""

    def _some(self, trajectories: Trajectories, chosen: Any) -> Trajectories:
        return jax.tree.map(
            lambda leaf: jnp.asarray(leaf)[chosen] if eqx.is_array_like(leaf) else leaf,
            trajectories,
        )


def frames_of(
    problem: Problem, dataset: Dataset, rows: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "n t *grid c"]:
    """The solutions of members of a data set as snapshots.

    Raises:
        ValueError: For a value that is not finite.
    """
    frames = as_frames(problem, rows)
    if not np.isfinite(frames).all():
        bad = int(np.flatnonzero(~np.isfinite(frames.reshape(len(frames), -1)).all(1))[0])
        raise ValueError(
            f"{dataset.path}: sample {rows['number'][bad]} has values that are not finite; make it "
            "again, or leave it out"
        )
    return frames


def as_frames(problem: Problem, rows: Mapping[str, np.ndarray]) -> Float[np.ndarray, "n t *grid c"]:
    """Solutions by unknown, with an axis for each coordinate, as frames."""
    time = problem.domain.coordinates.index(problem.domain.time)
    return np.stack(
        [np.moveaxis(rows[f"values/{name}"], 1 + time, 1) for name in problem.unknowns], -1
    )
