"""What is trained on the points of samples, clouds and meshes that differ from one to the other:
the loss of samples by size, and where they come from.
"""

import abc
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pinops.data import BLOCK, Dataset
from pinops.losses import Snapshot, Term, Weights
from pinops.operators import PointArchitecture, PointNetwork
from pinops.optimizers import Objective
from pinops.training._bootstrap import Bootstrap, bootstrapped
from pinops.training._chunks import chunk_of, mean_of_chunks
from pinops.training._contracts import Params, Source, Trainable
from pinops.training._linearised import snapshot_without_kernel
from pinops.training._model import cast
from pinops.training._operator import DATA
from pinops.training._point_inputs import Clouds, PointInputs, samples_in

# Of the deviation of an unknown: a sample that is smaller counts as if it were so large.
LEAST = 1e-3


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


class CloudModel(Trainable[Classes]):
    """Abstract: all of a network on points but its parameters. Immutable; array leaves may be
    traced.

    Each size of samples is a branch of one program.

    Args:
        frozen: The parts of the network that are not trained.
        mean: Of each unknown in the training.
        scale: The deviation of each, > 0.
        unknowns: Their names.
        owner: The name that messages give the data.
        compute_dtype: Of the network, as of `computed_in`.
        bootstrap: Which samples count; None: all.
    """

    frozen: Any
    mean: Float[Array, " c"]
    scale: Float[Array, " c"]
    unknowns: tuple[str, ...] = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    compute_dtype: str | None = eqx.field(static=True)
    bootstrap: Bootstrap | None = eqx.field(default=None, kw_only=True)
    mesh: None = eqx.field(static=True, default=None, init=False)

    @abc.abstractmethod
    def errors(self, params: Params, clouds: Clouds) -> dict[str, Float[Array, "b ..."]]:
        """The roots of relative errors by term, a sample in each row, so that their mean square is
        the mean error.
        """

    def _weighted(self, params: Params, clouds: Clouds) -> dict[str, Float[Array, " r"]]:
        """`errors` of the samples that count."""
        return {
            name: bootstrapped(error, self.bootstrap, clouds.numbers).ravel()
            for name, error in self.errors(params, clouds).items()
        }

    def coefficients(self, params: Params) -> dict[str, Array]:
        """None are trained."""
        return {}

    def network(self, params: Params) -> PointNetwork:
        """The present network, from scaled points and features to scaled unknowns."""
        return eqx.combine(params.network, self.frozen)

    def residuals(self, params: Params, points: Classes) -> dict[str, Term]:
        """The roots of relative errors, by term."""

        def of(clouds: Clouds) -> Callable[[Params], dict[str, Array]]:
            def one(row: list[Array]) -> dict[str, Array]:
                return self._weighted(params, unlisted(clouds, [leaf[None] for leaf in row]))

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
                    errors = self._weighted(params, unlisted(clouds, rows))
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


def by_sample(of: Callable[..., Any], clouds: Clouds, *more: Array) -> Any:
    """What a function makes of each sample.

    A product of one sample is faster than a batched one, which contracts two axes.
    """
    if clouds.points.shape[0] != 1:  # unlike >, also said of a length that is a symbol
        return jax.vmap(of)(clouds, *more)
    one = of(*jax.tree.map(lambda leaf: jnp.asarray(leaf)[0], (clouds, *more)))
    return jax.tree.map(lambda leaf: leaf[None], one)


def roots_of(off: Array, size: Array, least: Array) -> Array:
    """The roots of relative errors, of sums of squares: those of the truth count for at least
    ``least``.
    """
    tiny = jnp.finfo(off.dtype).eps ** 2  # the root of zero has no derivative
    return jnp.maximum(off / jnp.maximum(size, least), tiny) ** 0.25


def _at_once(program: Callable[[int], Any], count: int) -> int:
    """How many samples share a product: on a CPU none, since the gradient of a batched product is a
    product of more axes, which takes twice the time.
    """
    return 1 if jax.default_backend() == "cpu" else chunk_of(program, count)


def unlisted(clouds: Clouds, leaves: Sequence[Any]) -> Clouds:
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
        noisy: Whether a step draws a seed for each sample.
        stochastic: True: every step sees others.
    """

    dataset: Dataset = eqx.field(static=True)
    architecture: PointArchitecture
    inputs: PointInputs = eqx.field(static=True)
    members: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    quotas: tuple[int, ...] = eqx.field(static=True)
    batch: int = eqx.field(static=True)
    points: int | None = eqx.field(static=True)
    noisy: bool = eqx.field(static=True)
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
        noisy: bool = False,
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
            noisy: As above.
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
            noisy=noisy,
        )

    @property
    def every(self) -> int:
        """The steps of one pass through the samples in memory, where the data set has more."""
        whole = all(q == len(m) for q, m in zip(self.quotas, self.members, strict=True))
        return 0 if whole else max(1, sum(self.quotas) // self.batch)

    def drawn(
        self, model: CloudModel, params: Params, key: PRNGKeyArray, present: Classes | None
    ) -> Classes:
        """Random samples of each size."""
        clouds = []
        for k, (members, quota) in enumerate(zip(self.members, self.quotas, strict=True)):
            order = np.asarray(jax.random.permutation(jax.random.fold_in(key, k), len(members)))
            chosen = np.asarray(members)[order[:quota]]
            clouds.append(clouds_of(self.dataset, self.architecture, self.inputs, np.sort(chosen)))
        return Classes(tuple(clouds), np.asarray(0, np.int32), np.arange(self.batch))

    def sampled(
        self, model: CloudModel, points: Classes, weights: Weights, key: PRNGKeyArray
    ) -> tuple[Classes, Weights]:
        """What one step takes: samples of one size, which is chosen as often as it has samples."""
        first, second, third, fourth = jax.random.split(key, 4)
        quotas = np.asarray(self.quotas)
        size = jax.random.categorical(first, jnp.log(jnp.asarray(quotas, jnp.float32)))
        # The smallest of random numbers are a choice without replacement, of any count.
        most = int(quotas.max())
        order = jax.random.uniform(second, (most,)) + (
            jnp.arange(most) >= jnp.asarray(quotas)[size]
        )
        rows = jnp.argsort(order)[: self.batch]
        if self.points is None:
            clouds = tuple(self._seeded(clouds, fourth) for clouds in points.clouds)
            return Classes(clouds, size.astype(jnp.int32), rows.astype(jnp.int32)), weights

        def some(clouds: Clouds) -> Callable[[], Clouds]:
            return lambda: self._few_points(
                jax.tree.map(lambda x: jnp.asarray(x)[rows], clouds), third
            )

        few = jax.lax.switch(size, [some(clouds) for clouds in points.clouds])
        few = self._seeded(few, fourth)
        return Classes((few,), np.asarray(0, np.int32), np.arange(self.batch)), weights

    def _seeded(self, clouds: Clouds, key: PRNGKeyArray) -> Clouds:
        """With a new seed for each sample, where there is noise."""
        seeds = jax.random.bits(key, clouds.present.shape[:1]) if self.noisy else None
        return dataclasses.replace(clouds, seeds=seeds)

    def _few_points(self, clouds: Clouds, key: PRNGKeyArray) -> Clouds:
        """Random points of every sample, those that are present first."""
        order = jax.random.uniform(key, clouds.present.shape) + (1 - clouds.present)
        places = jnp.argsort(order, axis=1)[:, : self.points]

        def chosen(leaf: Array) -> Array:
            at = places.reshape(places.shape + (1,) * (leaf.ndim - 2))
            return jnp.take_along_axis(leaf, at, axis=1)

        few = jax.tree.map(chosen, dataclasses.replace(clouds, numbers=None))
        return dataclasses.replace(few, numbers=clouds.numbers)

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
    numbers: list[np.ndarray] = []
    for start in range(0, len(members), BLOCK):
        rows = dataset.rows(members[start : start + BLOCK])
        parts += samples_in(rows, dataset.unknowns, local)
        numbers.append(rows["number"])
    size = inputs.size_of(max(len(sample.mesh.points) for sample in parts))
    clouds = cast(inputs.clouds(architecture, parts, size))
    return dataclasses.replace(clouds, numbers=np.concatenate(numbers).astype(np.int32))
