"""What is trained of a hypernetwork: random linear problems, of each its own network."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import Plan, coordinates
from pinops.losses import Snapshot, Term, Weights
from pinops.networks import GatedFourierNetwork, JetNetwork
from pinops.operators import Hypernetwork
from pinops.optimizers import Objective
from pinops.problem import INTERIOR, LinearSamples, RandomLinearProblems, Region
from pinops.settings import reused
from pinops.training._contracts import Params, Source, Trainable
from pinops.training._linearised import snapshot_without_kernel
from pinops.training._operator import DATA

STREAMS = ((), (0,), (1,), (0, 0), (1, 1))  # u, u_x, u_y, u_xx, u_yy
_SLOPES = STREAMS[:3]
WALL = Region("boundary")
TERMS = ("residual", "value", "slope", "curvature", "dirichlet", "neumann")
SUPERVISED = "supervised"
# A source of this size, and a flux of that, belong to a solution of size one.
_SOURCE, _FLUX = 32.0, 4.0


def streams(
    network: JetNetwork, points: Float[Array, "n 2"], indices: Any = STREAMS
) -> Float[Array, "n k"]:
    """A generated network and its partial derivatives, by default u, u_x, u_y, u_xx, u_yy."""
    plan = Plan(indices)
    jet = network.jet(coordinates(points, plan), plan)
    return jnp.concatenate([jnp.asarray(jet[index]) for index in indices], 1)


def sizes_of(samples: LinearSamples) -> Float[Array, " b"]:
    """About how large the solution of each problem is, from what its image shows; 1 where that is
    nothing.

    Linear problems have solutions in proportion to their data: what a hypernetwork sees, and what
    it is compared with, may be divided by this size, and its answer multiplied.
    """
    values, fluxes, source = (jnp.abs(samples.images[..., k]) for k in (2, 3, 4))
    inside = samples.inside
    area = jnp.maximum(jnp.sum(inside, (1, 2)), 1.0)
    mean = jnp.sqrt(jnp.sum(inside * source**2, (1, 2)) / area)
    largest = jnp.max(jnp.abs(samples.coefficients), 1)
    parts = [
        jnp.max(values, (1, 2)),
        jnp.max(fluxes, (1, 2)) / _FLUX,
        mean / (_SOURCE * jnp.maximum(largest, 1e-3)),
    ]
    size = jnp.max(jnp.stack(parts), 0)
    return jnp.where(size > 0, size, 1.0)


def divided(samples: LinearSamples, sizes: Float[Array, " b"]) -> LinearSamples:
    """The problems whose solutions are smaller by these factors."""

    def scaled(x: Array) -> Array:
        return x / sizes.reshape(-1, *[1] * (x.ndim - 1))

    images = jnp.concatenate([samples.images[..., :2], scaled(samples.images[..., 2:])], -1)

    names = ("source", "streams", "values", "fluxes")
    parts = {name: scaled(jnp.asarray(getattr(samples, name))) for name in names}
    return replace(samples, images=images, **parts)


def bent(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """A vector whose square is twice the loss of Huber: x up to 1, then the root of 2 |x| - 1."""
    far = jnp.sqrt(jnp.maximum(2 * jnp.abs(x) - 1, 1.0))
    return jnp.where(jnp.abs(x) <= 1, x, jnp.sign(x) * far)


class HypernetworkModel(Trainable[LinearSamples]):
    """All of a hypernetwork but its parameters. Immutable; array leaves may be traced.

    Attributes:
        frozen: The parts that are not trained.
        balance: The weight of each of `TERMS`, and the share of supervised problems; a stage of
            the training may have other ones.
        scaled: Whether problems are divided by the size of their data.
        owner: The name that messages give the problems.
        compute_dtype: Of the encoder, as of `computed_in`.
        mesh: None: it is trained on one device.
    """

    frozen: Any
    balance: dict[str, Any]
    scaled: bool = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    compute_dtype: str | None = eqx.field(static=True, default=None)
    mesh: Mesh | None = eqx.field(static=True, default=None)

    def at(self, stage: Mapping[str, float]) -> "HypernetworkModel":
        """The model with other weights."""
        changed = {
            name: jnp.asarray(np.asarray(stage[name], own.dtype)) if name in stage else own
            for name, own in self.balance.items()
        }
        return eqx.tree_at(lambda model: model.balance, self, changed)

    def coefficients(self, params: Params) -> dict[str, Array]:
        """None are trained."""
        return {}

    def hypernetwork(self, params: Params) -> Hypernetwork:
        """The present hypernetwork."""
        return eqx.combine(params.network, self.frozen)

    def networks(self, params: Params, samples: LinearSamples) -> GatedFourierNetwork:
        """The networks of some problems, whose data are divided as in the training."""
        return self.hypernetwork(params).networks(
            samples.coefficients, samples.images, self.compute_dtype
        )

    def given(self, samples: LinearSamples) -> LinearSamples:
        """The problems as the networks solve them."""
        return divided(samples, sizes_of(samples)) if self.scaled else samples

    def residuals(self, params: Params, samples: LinearSamples) -> dict[str, Term]:
        """Every term, over problems and points, bent so that its mean square is Huber's loss."""
        samples = self.given(samples)
        networks = self.networks(params, samples)
        found = jax.vmap(streams)(networks, samples.points)
        off = jnp.where(samples.known[:, None, None], found - samples.streams, 0.0)
        equation = jnp.einsum("bnk,bk->bn", found, samples.coefficients) - samples.source
        wall = jax.vmap(lambda network, at: streams(network, at, _SLOPES))(
            networks, samples.boundary
        )
        flux = jnp.sum(wall[..., 1:] * samples.normals, -1)
        vectors = {
            "residual": (equation, INTERIOR),
            "value": (off[..., 0], DATA),
            "slope": (off[..., 1:3], DATA),
            "curvature": (off[..., 3:], DATA),
            "dirichlet": (jnp.where(samples.dirichlet, wall[..., 0] - samples.values, 0.0), WALL),
            "neumann": (jnp.where(samples.neumann, flux - samples.fluxes, 0.0), WALL),
        }
        return {
            name: Term(jnp.sqrt(self.balance[name]) * bent(vector).ravel(), region)
            for name, (vector, region) in vectors.items()
        }

    def terms(self, params: Params, samples: LinearSamples, weights: Weights) -> dict[str, Array]:
        """The weighted mean square of every term; their sum is the loss."""
        terms = self.residuals(params, samples)
        return {name: term.mean_square(weights[name]) for name, term in terms.items()}

    def objective(self, samples: LinearSamples, weights: Weights) -> Objective:
        """The loss of these problems as optimizers see it."""

        def loss(params: Params) -> Array:
            return sum(self.terms(params, samples, weights).values(), start=jnp.zeros(()))

        return jax.value_and_grad(loss)

    def snapshot(self, params: Params, samples: LinearSamples, key: PRNGKeyArray) -> Snapshot:
        """What a weighting is updated from; without the rows that a tangent kernel needs."""
        return snapshot_without_kernel(lambda params: self.residuals(params, samples), params, key)


class RandomDraw(Source[LinearSamples]):
    """Problems that are drawn anew for every step, inside the compiled program.

    Attributes:
        problems: What they are drawn from.
        batch: How many a step takes.
        shown: How many the loss is reported for, always the same.
    """

    problems: RandomLinearProblems
    batch: int = eqx.field(static=True)
    shown: int = eqx.field(static=True)
    every: int = eqx.field(static=True, default=0, init=False)
    stochastic: bool = eqx.field(static=True, default=True, init=False)

    def drawn(
        self,
        model: HypernetworkModel,
        params: Params,
        key: PRNGKeyArray,
        present: LinearSamples | None,
    ) -> LinearSamples:
        """Those that the loss is reported for."""
        return drawn_problems(self.problems, key, self.shown, model.balance[SUPERVISED])

    def sampled(
        self, model: HypernetworkModel, points: LinearSamples, weights: Weights, key: PRNGKeyArray
    ) -> tuple[LinearSamples, Weights]:
        """New ones."""
        share = model.balance[SUPERVISED]
        return _drawn(self.problems, key, self.batch, share), weights

    def representative(self, points: LinearSamples) -> LinearSamples:
        """All of those that are kept."""
        return points

    def divided(self, points: LinearSamples) -> None:
        """None: there is one device."""


def _drawn(problems: RandomLinearProblems, key: Any, count: int, supervised: Any) -> LinearSamples:
    keys = jax.random.split(key, count)
    return jax.vmap(lambda key: problems.sample(key, supervised))(keys)


drawn_problems = reused(_drawn)
