"""What is trained of a steady map: from input fields and numbers to fields on a grid."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from pinops.operators import GridNetwork
from pinops.optimizers import Objective
from pinops.problem import INTERIOR, Problem, sample_members
from pinops.settings import reused
from pinops.training._bootstrap import Bootstrap, bootstrapped
from pinops.training._chunks import in_chunks, on_rows
from pinops.training._contracts import Params, Source, Trainable
from pinops.training._grid_equation import GridEquation
from pinops.training._inputs import inputs_of
from pinops.training._linearised import snapshot_without_kernel
from pinops.training._map_inputs import MapInputs, interpolation
from pinops.training._model import cast
from pinops.training._operator import DATA

LOSSES = ("H1", "L2")
# Of the deviation of an unknown: a sample that is smaller counts as if it were so large.
_LEAST = 1e-3
# Samples that means and deviations at points are taken from: no more, and no fewer.
_TYPICAL, _ENOUGH = 1024, 64
_DIFFERENT = 0.1  # of the mean variance, for statistics that differ from point to point


class Samples(eqx.Module):
    """Inputs and outputs of some samples.

    Args:
        inputs: By name, a sample in each row.
        values: The outputs, NaN where a value is missing; None: they are not known.
        problems: The members of the family, in the leading axis of every array, where its
            conditions or its equation are used.
        numbers: Of the samples in their data set; None: they are of none.
    """

    inputs: Mapping[str, Float[Array | np.ndarray, "n ..."]]
    values: Float[Array | np.ndarray, "n *grid c"] | None
    problems: Problem | None = None
    numbers: Int[Array | np.ndarray, " n"] | None = None


class MapModel(Trainable[Samples]):
    """All of a steady map but its parameters. Immutable; array leaves may be traced.

    Args:
        problem: The family.
        frozen: The parts of the network that are not trained.
        mean: Of each unknown in the training, at each point.
        scale: The deviation of each, at each point: 0 where all samples have the same value, as on
            a boundary with a Dirichlet condition, and the map has that value too.
        size: The deviation of each unknown over all points, > 0.
        centre: What is taken from an unknown before its size is measured: its mean where that
            hides how it varies, else 0.
        distances: Of neighbouring points along each axis of the grid, which has the length 1.
        inputs: What the network sees.
        loss: "H1" or "L2"; None without data.
        owner: The name that messages give the family.
        compute_dtype: Of the network, as of `computed_in`.
        equation: The conditions and the equation of the family; None: there are data alone.
        bootstrap: Which samples of a data set count; None: all.
        mesh: The devices that share the samples of a step.
    """

    problem: Problem
    frozen: Any
    mean: Float[Array, "*grid c"]
    scale: Float[Array, "*grid c"]
    size: Float[Array, " c"]
    centre: Float[Array, " c"]
    distances: tuple[Float[Array, "..."], ...]
    inputs: MapInputs = eqx.field(static=True)
    loss: str | None = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    compute_dtype: str | None = eqx.field(static=True, default=None)
    equation: GridEquation | None = None
    bootstrap: Bootstrap | None = None
    mesh: Mesh | None = eqx.field(static=True, default=None)

    def at(self, stage: Mapping[str, float]) -> "MapModel":
        """The same in every stage."""
        return self

    def coefficients(self, params: Params) -> dict[str, Array]:
        """None are trained."""
        return {}

    def network(self, params: Params) -> GridNetwork:
        """The present network, from scaled channels to scaled unknowns."""
        return eqx.combine(params.network, self.frozen)

    @property
    def grid(self) -> tuple[int, ...]:
        """How many points each axis has."""
        return self.mean.shape[:-1]

    @property
    def imposes(self) -> bool:
        """Whether the outputs meet conditions of the members."""
        return self.equation is not None and self.equation.imposes

    def at_places(self, places: Sequence[Float[np.ndarray, "..."]]) -> "MapModel":
        """The same map with outputs at other points, by linear interpolation of their means and
        deviations.

        Args:
            places: Of each axis, counted in steps of the present grid.
        """
        equation = self.equation
        if equation is not None:
            pairs = zip(self.grid, places, equation.lines, strict=True)
            equation = equation.on([interpolation(n, at) @ np.asarray(x) for n, at, x in pairs])
        parts = [np.asarray(self.mean), np.asarray(self.scale)]
        for axis, line in enumerate(places):
            weights = interpolation(self.grid[axis], line)
            parts = [np.moveaxis(np.tensordot(weights, x, (1, axis)), 0, axis) for x in parts]
        mean, scale = parts[0], np.maximum(parts[1], 0.0)
        new = [jnp.asarray(x, jnp.result_type(float)) for x in (mean, scale)]
        return replace(self, mean=new[0], scale=new[1], equation=equation)

    def predicted(self, params: Params, samples: Samples) -> Float[Array, "n *grid c"]:
        """The outputs in their units."""
        return self._solutions(samples, self._outputs(params, samples))

    def _outputs(self, params: Params, samples: Samples) -> Float[Array, "n *grid c"]:
        """Those of the network in their units, before conditions are imposed."""
        inputs = {name: jnp.asarray(array) for name, array in samples.inputs.items()}
        seen = self.inputs.channels(inputs, self.grid)
        out = computed_in(self.compute_dtype, self.network(params), seen)
        mean, scale = (jnp.broadcast_to(part[None], out.shape) for part in (self.mean, self.scale))
        return mean + scale * out

    def _solutions(
        self, samples: Samples, outputs: Float[Array, "n *grid c"]
    ) -> Float[Array, "n *grid c"]:
        if self.equation is None:
            return outputs
        return self.equation.solutions(samples.problems, outputs)

    def unsolved(
        self, params: Params, points: Samples
    ) -> tuple[Float[Array, "n *grid c"], dict[str, Array]]:
        """The outputs in units of their sizes, and the equations there, for `FineTuning`."""
        assert self.equation is not None and points.problems is not None
        outputs = self._outputs(params, points)
        solutions = self._solutions(points, outputs)
        sizes = jnp.broadcast_to(self.size, solutions.shape)
        return solutions / sizes, self.equation.residuals(points.problems, outputs)

    def residuals(self, params: Params, samples: Samples) -> dict[str, Term]:
        """The error of each unknown, by sample, and the equations, by sample and point.

        An error is the root of a relative one, so that its mean square is the mean error.
        """
        return on_rows(MapModel._residuals, self, params, samples)

    def _residuals(self, params: Params, samples: Samples) -> dict[str, Term]:
        """`residuals` on one device."""
        outputs, out = self._outputs(params, samples), {}
        if samples.values is not None:
            truth, predicted = jnp.asarray(samples.values), self._solutions(samples, outputs)
            for k, name in enumerate(self.problem.unknowns):
                error = self._error(predicted[..., k], truth[..., k], k)
                weighted = bootstrapped(error, self.bootstrap, samples.numbers)
                out[f"observed {name}"] = Term(weighted, DATA)
        if self.equation is not None and samples.problems is not None:
            equations = self.equation.residuals(samples.problems, outputs)
            out |= {name: Term(vector, INTERIOR) for name, vector in equations.items()}
        return out

    def _error(
        self, predicted: Float[Array, "n ..."], truth: Float[Array, "n ..."], k: int
    ) -> Float[Array, " n"]:
        """The root of the relative error of each sample, over the values that are known.

        In the norm of H1 the squares of two relative errors are added, that of the values and that
        of the gradients: neither depends on units of length.
        """
        known = jnp.isfinite(truth)
        off = jnp.where(known, predicted - truth, 0.0)
        size = jnp.where(known, truth - self.centre[k], 0.0)
        count = _sum(known.astype(off.dtype))
        least = jnp.square(_LEAST * self.size[k]) * jnp.maximum(count, 1.0)
        square = _sum(jnp.square(off)) / jnp.maximum(_sum(jnp.square(size)), least)
        if self.loss == "H1":
            above, below = (self._slope(x, known) for x in (off, size))
            square = square + above / jnp.maximum(below, least)
        # A sample without values counts nothing, and the others more: a mean over what is known.
        some = count > 0
        share = jnp.sqrt(some.size / jnp.maximum(jnp.sum(some), 1))
        tiny = jnp.finfo(square.dtype).eps ** 2  # the root of zero has no derivative
        root = jnp.maximum(square, tiny) ** 0.25
        return jnp.where(some, share.astype(root.dtype) * root, 0.0)

    def _slope(self, x: Float[Array, "n ..."], known: Any) -> Float[Array, " n"]:
        """The sum over the grid of the square of the gradient, by differences of neighbours."""
        total = jnp.zeros(len(x), x.dtype)
        for axis, distances in enumerate(self.distances, start=1):
            shape = [1] * x.ndim
            shape[axis] = -1
            apart = jnp.broadcast_to(distances.reshape(shape), _shorter(x, axis).shape)
            both = jnp.logical_and(_shorter(known, axis), _shorter(known, axis, 1))
            slope = (_shorter(x, axis, 1) - _shorter(x, axis)) / apart
            total = total + _sum(jnp.square(jnp.where(both, slope, 0.0)))
        return total

    def terms(self, params: Params, samples: Samples, weights: Weights) -> dict[str, Array]:
        """The weighted mean square of every term; their sum is the loss."""
        terms = self.residuals(params, samples)
        return {name: term.mean_square(weights[name]) for name, term in terms.items()}

    def objective(self, samples: Samples, weights: Weights) -> Objective:
        """The loss of these samples as optimizers see it."""
        return in_chunks(self, samples, weights)

    def snapshot(self, params: Params, samples: Samples, key: PRNGKeyArray) -> Snapshot:
        """What a weighting is updated from; without the rows that a tangent kernel needs."""
        return snapshot_without_kernel(lambda params: self.residuals(params, samples), params, key)


def _sum(x: Float[Array, "n ..."]) -> Float[Array, " n"]:
    return jnp.sum(x.reshape(len(x), -1), axis=1)


def _shorter(x: Any, axis: int, start: int = 0) -> Any:
    """All points of an axis but the last, or from ``start`` on."""
    return jax.lax.slice_in_dim(x, start, start + x.shape[axis] - 1, axis=axis)


class SampleBatches(Source[Samples]):
    """Samples of a data set, or members of a family.

    Args:
        dataset: Where they come from; None: members are sampled, whose solutions are not known.
        pool: The number kept in memory; if there are more, they are replaced now and then.
        batch: How many a step takes.
        stochastic: True: every step sees others.
    """

    dataset: Dataset | None = eqx.field(static=True)
    pool: int = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    stochastic: bool = eqx.field(static=True, default=True, init=False)

    @property
    def every(self) -> int:
        """As many steps as a pass through the pool has, where there are more samples."""
        whole = self.dataset is not None and self.pool == len(self.dataset.splits["training"])
        return 0 if whole else max(1, self.pool // self.batch)

    def drawn(
        self, model: MapModel, params: Params, key: PRNGKeyArray, present: Samples | None
    ) -> Samples:
        """Random samples for training."""
        if self.dataset is None:
            return samples_of_members(sample_members(model.problem, key, range(self.pool)))
        rows = self.dataset.drawn(key, self.pool)
        return samples_of(model.problem, rows, members=model.equation is not None)

    def sampled(
        self, model: MapModel, samples: Samples, weights: Weights, key: PRNGKeyArray
    ) -> tuple[Samples, Weights]:
        """What one step takes of them."""
        chosen = jax.random.choice(key, self.pool, (self.batch,), replace=False)
        return self._some(samples, chosen), weights

    def representative(self, samples: Samples) -> Samples:
        """As many as a step takes, always the same."""
        return self._some(samples, np.arange(self.batch))

    def divided(self, samples: Samples) -> None:
        """None: the samples of a step may be any of them, so that each device keeps all."""

    def _some(self, samples: Samples, chosen: Any) -> Samples:
        return jax.tree.map(
            lambda leaf: jnp.asarray(leaf)[chosen] if eqx.is_array_like(leaf) else leaf, samples
        )


def mean_and_scale(
    dataset: Dataset, unknowns: Sequence[str]
) -> tuple[Float[np.ndarray, "*grid c"], Float[np.ndarray, "*grid c"]]:
    """The mean and the deviation of each unknown at each point, over samples for training.

    They are those of all points where there are few samples, or where they hardly differ from point
    to point: of a field without a place of its own they are noise.
    """
    training = dataset.splits["training"]
    some = training[np.unique(np.linspace(0, len(training) - 1, _TYPICAL).astype(int))]
    rows = dataset.rows(some) | dict(dataset.typical)
    means, scales = [], []
    for name in unknowns:
        values = np.asarray(rows[f"values/{name}"], float)
        whole = np.isfinite(values).all()
        mean = np.full(values.shape[1:], dataset.mean[name])
        scale = np.full(values.shape[1:], dataset.scale[name])
        if whole and len(values) >= _ENOUGH:
            own, spread = values.mean(0), values.std(0)
            if np.var(own) + np.var(spread) > _DIFFERENT * np.mean(np.square(spread)):
                mean, scale = own, spread
        means.append(mean)
        scales.append(scale)
    return np.stack(means, -1), np.stack(scales, -1)


def samples_of(problem: Problem, rows: Mapping[str, Any], *, members: bool) -> Samples:
    """The inputs and outputs among rows of a data set, in the precision that is in force.

    Args:
        problem: The family.
        rows: Of the data set.
        members: Whether the members of the family are among them.
    """
    dtype = jnp.result_type(float)  # a copy in float64 would be twice as large
    inputs = {name: np.asarray(array, dtype) for name, array in inputs_in(rows).items()}
    values = np.stack([rows[f"values/{name}"] for name in problem.unknowns], -1, dtype=dtype)
    given = problems(problem, dict(rows)) if members else None
    return cast(Samples(inputs, values, given, rows["number"].astype(np.int32)))


@reused
def samples_of_members(members: Problem) -> Samples:
    """What a map sees of members of a family, in the leading axis of every array."""
    return Samples(eqx.filter_vmap(inputs_of)(members), None, members)
