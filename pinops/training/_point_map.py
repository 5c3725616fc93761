"""What is trained of a map on points: clouds and meshes that differ from sample to sample."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pinops.data import BLOCK, Dataset
from pinops.losses import Snapshot, Term, Weights
from pinops.networks import computed_in
from pinops.operators import PointArchitecture, PointNetwork
from pinops.optimizers import Objective
from pinops.training._chunks import chunk_of, mean_of_chunks
from pinops.training._contracts import Params, Source, Trainable
from pinops.training._linearised import snapshot_without_kernel
from pinops.training._model import cast
from pinops.training._operator import DATA
from pinops.training._point_inputs import Clouds, PointInputs, samples_in

# Of the deviation of an unknown: a sample that is smaller counts as if it were so large.
_LEAST = 1e-3


class Classes(eqx.Module):
    """Samples by the size that they are filled up to, and those of one size that a step takes.

    Args:
        clouds: The samples of each size.
        size: The number of the size.
        rows: The samples of it.
    """

    clouds: tuple[Clouds, ...]
    size: Int[Array | np.ndarray, ""]
    rows: Int[Array | np.ndarray, " b"]


class PointMapModel(Trainable[Classes]):
    """All of a map on points but its parameters. Immutable; array leaves may be traced.

    Each size of samples is a branch of one program.

    Args:
        frozen: The parts of the network that are not trained.
        mean: Of each unknown in the training.
        scale: The deviation of each, > 0.
        unknowns: Their names.
        owner: The name that messages give the data.
        compute_dtype: Of the network, as of `computed_in`.
    """

    frozen: Any
    mean: Float[Array, " c"]
    scale: Float[Array, " c"]
    unknowns: tuple[str, ...] = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    compute_dtype: str | None = eqx.field(static=True, default=None)
    mesh: None = eqx.field(static=True, default=None)

    def at(self, stage: Mapping[str, float]) -> "PointMapModel":
        """The same in every stage."""
        return self

    def coefficients(self, params: Params) -> dict[str, Array]:
        """None are trained."""
        return {}

    def network(self, params: Params) -> PointNetwork:
        """The present network, from scaled points and features to scaled unknowns."""
        return eqx.combine(params.network, self.frozen)

    def predicted(self, params: Params, clouds: Clouds) -> Float[Array, "n m c"]:
        """The outputs at all points in their units, one sample after the other."""
        network = self.network(params)

        def one(row: Clouds) -> Float[Array, "m c"]:
            points, features, present = map(jnp.asarray, (row.points, row.features, row.present))
            return computed_in(self.compute_dtype, network, points, features, present, row.graph)

        arrays = dataclasses.replace(clouds, values=None)
        # A product of one sample is faster than a batched one, which contracts two axes.
        if arrays.points.shape[0] == 1:
            out = one(jax.tree.map(lambda leaf: leaf[0], arrays))[None]
        else:
            out = jax.vmap(one)(arrays)
        mean, scale = (jnp.broadcast_to(part, out.shape) for part in (self.mean, self.scale))
        return mean + scale * out

    def _errors(self, params: Params, clouds: Clouds) -> dict[str, Float[Array, " n"]]:
        """The roots of the relative errors of each unknown, so that their mean square is the mean
        error, over the points whose values are known.
        """
        assert clouds.values is not None, "samples for training have values"
        truth = jnp.asarray(clouds.values)
        known = jnp.isfinite(truth)
        off = jnp.where(known, self.predicted(params, clouds) - truth, 0.0)
        size = jnp.where(known, truth, 0.0)
        least = jnp.square(_LEAST * self.scale)[None] * jnp.maximum(known.sum(1), 1)
        relative = jnp.sum(off**2, 1) / jnp.maximum(jnp.sum(size**2, 1), least)
        tiny = jnp.finfo(off.dtype).eps ** 2  # the root of zero has no derivative
        roots = jnp.maximum(relative, tiny) ** 0.25
        return {f"observed {name}": roots[:, k] for k, name in enumerate(self.unknowns)}

    def residuals(self, params: Params, points: Classes) -> dict[str, Term]:
        """The error of each unknown, by sample."""

        def of(clouds: Clouds) -> Callable[[Params], dict[str, Array]]:
            def one(row: list[Array]) -> dict[str, Array]:
                return self._errors(params, _unlisted(clouds, [leaf[None] for leaf in row]))

            def errors(params: Params) -> dict[str, Array]:
                rows = [leaf[points.rows] for leaf in jax.tree.leaves(clouds)]
                found = jax.lax.map(one, rows)
                return {name: vector.ravel() for name, vector in found.items()}

            return errors

        vectors = self._of_size(points, of, params)
        return {name: Term(vector, DATA) for name, vector in vectors.items()}

    def _of_size(
        self, points: Classes, of: Callable[[Clouds], Callable[[Params], Any]], params: Params
    ) -> Any:
        """What a function makes of the samples of the chosen size."""
        if not isinstance(points.size, jax.Array):  # known before the program runs
            return of(points.clouds[int(points.size)])(params)
        branches = [of(clouds) for clouds in points.clouds]
        return jax.lax.switch(points.size, branches, params)

    def terms(self, params: Params, points: Classes, weights: Weights) -> dict[str, Array]:
        """The weighted mean square of every term; their sum is the loss."""
        terms = self.residuals(params, points)
        return {name: term.mean_square(weights[name]) for name, term in terms.items()}

    def objective(self, points: Classes, weights: Weights) -> Objective:
        """The loss of the chosen samples as optimizers see it, a few of them at once."""

        def of(clouds: Clouds) -> Callable[[Params], tuple[Array, Params]]:
            def value_and_gradient(params: Params) -> tuple[Array, Params]:
                rows = [jnp.asarray(leaf)[points.rows] for leaf in jax.tree.leaves(clouds)]

                def loss(params: Params, rows: list[Array]) -> Array:
                    errors = self._errors(params, _unlisted(clouds, rows))
                    means = [jnp.mean(weights[name] * e**2) for name, e in errors.items()]
                    return sum(means, start=jnp.zeros((), means[0].dtype))

                def program(count: int) -> Any:
                    some = [leaf[:count] for leaf in rows]
                    return jax.make_jaxpr(lambda params: loss(params, some))(params).jaxpr

                def part(rows: list[Array]) -> tuple[Array, Params]:
                    return jax.value_and_grad(loss)(params, rows)

                return mean_of_chunks(part, rows, _at_once(program, len(rows[0])))

            return value_and_gradient

        def objective(params: Params) -> tuple[Array, Params]:
            return self._of_size(points, of, params)

        return objective

    def snapshot(self, params: Params, points: Classes, key: PRNGKeyArray) -> Snapshot:
        """What a weighting is updated from; without the rows that a tangent kernel needs."""
        return snapshot_without_kernel(lambda params: self.residuals(params, points), params, key)


def _at_once(program: Callable[[int], Any], count: int) -> int:
    """How many samples share a product: on a CPU none, since the gradient of a batched product is a
    product of more axes, which takes twice the time.
    """
    return 1 if jax.default_backend() == "cpu" else chunk_of(program, count)


def _unlisted(clouds: Clouds, leaves: Sequence[Any]) -> Clouds:
    """Clouds of these arrays."""
    return jax.tree.unflatten(jax.tree.structure(clouds), leaves)


class CloudBatches(Source[Classes]):
    """Samples of a data set on meshes, by size.

    Args:
        dataset: Where they come from.
        architecture: Which features and messages a network has.
        inputs: What a network sees.
        members: The samples for training of each size, by their place in the data set.
        quotas: The number of samples of each size in memory.
        batch: How many a step takes, all of one size.
        points: How many random points of each sample a step takes; None: all. A network whose
            points do not send messages takes means over them, which these are estimates of.
        stochastic: True: every step sees others.
    """

    dataset: Dataset = eqx.field(static=True)
    architecture: PointArchitecture
    inputs: PointInputs = eqx.field(static=True)
    members: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    quotas: tuple[int, ...] = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    points: int | None = eqx.field(static=True)
    stochastic: bool = eqx.field(static=True, default=True, init=False)

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        architecture: PointArchitecture,
        inputs: PointInputs,
        counts: Sequence[int],
        *,
        pool: int,
        batch: int,
        points: int | None,
    ) -> "CloudBatches":
        """The source of a data set whose samples for training have ``counts`` points.

        Args:
            dataset: Where samples come from.
            architecture: As above.
            inputs: As above.
            counts: How many points each sample for training has.
            pool: The number of samples kept in memory.
            batch: How many a step takes; fewer where the rarest size has fewer.
            points: How many random points of each sample a step takes, of a network without
                messages; None: all.
        """
        size = np.searchsorted(inputs.sizes, counts)
        training = np.asarray(dataset.splits["training"])
        groups = [training[size == k] for k in range(len(inputs.sizes))]
        groups = [group for group in groups if len(group)]
        share = min(1.0, pool / len(training))
        quotas = [max(1, round(share * len(group))) for group in groups]
        members = tuple(tuple(int(k) for k in group) for group in groups)
        few = points is not None and points < inputs.sizes[0] and inputs.tables == (0, 0)
        return cls(
            dataset=dataset,
            architecture=architecture,
            inputs=inputs,
            members=members,
            quotas=tuple(quotas),
            batch=min(batch, *quotas, batch),
            points=points if few else None,
        )

    @property
    def every(self) -> int:
        """The steps of one pass through the samples in memory, where the data set has more."""
        whole = all(q == len(m) for q, m in zip(self.quotas, self.members, strict=True))
        return 0 if whole else max(1, sum(self.quotas) // self.batch)

    def drawn(
        self, model: PointMapModel, params: Params, key: PRNGKeyArray, present: Classes | None
    ) -> Classes:
        """Random samples of each size."""
        clouds = []
        for k, (members, quota) in enumerate(zip(self.members, self.quotas, strict=True)):
            order = np.asarray(jax.random.permutation(jax.random.fold_in(key, k), len(members)))
            chosen = np.asarray(members)[order[:quota]]
            clouds.append(clouds_of(self.dataset, self.architecture, self.inputs, np.sort(chosen)))
        return Classes(tuple(clouds), np.asarray(0, np.int32), np.arange(self.batch))

    def sampled(
        self, model: PointMapModel, points: Classes, weights: Weights, key: PRNGKeyArray
    ) -> tuple[Classes, Weights]:
        """What one step takes: samples of one size, which is chosen as often as it has samples."""
        first, second, third = jax.random.split(key, 3)
        quotas = np.asarray(self.quotas)
        size = jax.random.categorical(first, jnp.log(jnp.asarray(quotas, jnp.float32)))
        # The smallest of random numbers are a choice without replacement, of any count.
        most = int(quotas.max())
        order = jax.random.uniform(second, (most,)) + (
            jnp.arange(most) >= jnp.asarray(quotas)[size]
        )
        rows = jnp.argsort(order)[: self.batch]
        if self.points is None:
            return Classes(points.clouds, size.astype(jnp.int32), rows.astype(jnp.int32)), weights

        def some(clouds: Clouds) -> Callable[[], Clouds]:
            return lambda: self._few_points(
                jax.tree.map(lambda x: jnp.asarray(x)[rows], clouds), third
            )

        few = jax.lax.switch(size, [some(clouds) for clouds in points.clouds])
        return Classes((few,), np.asarray(0, np.int32), np.arange(self.batch)), weights

    def _few_points(self, clouds: Clouds, key: PRNGKeyArray) -> Clouds:
        """Random points of every sample, those that are present first."""
        order = jax.random.uniform(key, clouds.present.shape) + (1 - clouds.present)
        places = jnp.argsort(order, axis=1)[:, : self.points]

        def chosen(leaf: Array) -> Array:
            at = places.reshape(places.shape + (1,) * (leaf.ndim - 2))
            return jnp.take_along_axis(leaf, at, axis=1)

        return jax.tree.map(chosen, clouds)

    def representative(self, points: Classes) -> Classes:
        """As many as a step takes, always the same: of the size that has the most samples."""
        size = np.asarray(int(np.argmax(self.quotas)), np.int32)
        return Classes(points.clouds, size, np.arange(self.batch, dtype=np.int32))

    def divided(self, points: Classes) -> None:
        """None: each device keeps all samples."""


def clouds_of(
    dataset: Dataset,
    architecture: PointArchitecture,
    inputs: PointInputs,
    members: Sequence[int] | Int[np.ndarray, " b"],
) -> Clouds:
    """Samples of a data set in arrays of one size, in the precision that is in force."""
    local, parts = dict(zip(inputs.names, inputs.local, strict=True)), []
    for start in range(0, len(members), BLOCK):
        rows = dataset.rows(members[start : start + BLOCK])
        parts += samples_in(rows, dataset.unknowns, local)
    size = inputs.size_of(max(len(sample.mesh.points) for sample in parts))
    return cast(inputs.clouds(architecture, parts, size))


@eqx.filter_jit
def evaluate_clouds(model: PointMapModel, params: Params, clouds: Clouds) -> Float[Array, "n m c"]:
    """The outputs at all points of some samples, one sample after the other."""
    leaves = jax.tree.leaves(dataclasses.replace(clouds, values=None))

    def one(row: list[Array]) -> Float[Array, "m c"]:
        some = _unlisted(dataclasses.replace(clouds, values=None), [leaf[None] for leaf in row])
        return model.predicted(params, some)[0]

    return jax.lax.map(one, leaves)
