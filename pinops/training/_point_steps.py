"""What is trained of time steps on points: trajectories on clouds and meshes, more and more of each
from its predictions, as on a grid (`SurrogateModel`).
"""

import dataclasses
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pinops.networks import computed_in
from pinops.operators import PointNetwork
from pinops.settings import reused
from pinops.training._clouds import LEAST, CloudModel, by_sample, roots_of, unlisted
from pinops.training._contracts import Params
from pinops.training._point_inputs import Clouds
from pinops.training._surrogate import shifted, windows


class PointStepModel(CloudModel):
    """All of a step in time on points but its parameters.

    Args:
        free: How many snapshots follow from predictions.
        noise: Its standard deviation, in units of the data, in states that steps begin at.
        push_forward: Whether no gradient goes through the predictions that steps begin at.
        history: How many snapshots a step sees.
        change: Whether the network gives the change of the state instead of the next state.
    """

    free: Array
    noise: float = eqx.field(static=True)
    push_forward: bool = eqx.field(static=True)
    history: int = eqx.field(static=True)
    change: bool = eqx.field(static=True)

    def at(self, stage: Mapping[str, float]) -> "PointStepModel":
        """The model in a stage of its curriculum."""
        new = jnp.asarray(stage["free"], jnp.int32)
        return eqx.tree_at(lambda model: model.free, self, new)

    def errors(self, params: Params, clouds: Clouds) -> dict[str, Float[Array, "b s"]]:
        """The roots of the relative errors of all snapshots, over all unknowns in units of their
        deviations.
        """
        network = self.network(params)

        def one(row: Clouds) -> Float[Array, " s"]:
            assert row.values is not None, "samples for training have values"
            present = jnp.asarray(row.present)[:, None, None]
            known = jnp.moveaxis(jnp.where(present, row.values, 0), 1, 0)
            truth = self._scaled(known) * jnp.moveaxis(present, 1, 0)
            off = self._predictions(network, row, truth) - truth[self.history :]
            off = off * jnp.moveaxis(present, 1, 0)
            size = jnp.sum(truth[self.history :] ** 2, (1, 2))
            least = LEAST**2 * jnp.sum(present) * len(self.unknowns)
            return roots_of(jnp.sum(off**2, (1, 2)), size, least)

        return {"frames": by_sample(one, clouds)}

    def rollout(
        self, params: Params, clouds: Clouds, first: Float[Array, "n k m c"], count: int
    ) -> Float[Array, "n count m c"]:
        """``count`` snapshots that follow from the first k, as many as a step sees."""
        network = self.network(params)

        def one(row: Clouds, first: Float[Array, "k m c"]) -> Float[Array, "count m c"]:
            (begin,) = windows(self._scaled(first), self.history)

            def advance(known: Array, _: None) -> tuple[Array, Array]:
                state = self._next(network, row, known)
                return shifted(known, state), state

            return jax.lax.scan(advance, begin, length=count)[1]

        frames = by_sample(one, dataclasses.replace(clouds, values=None), first)
        mean, scale = (jnp.broadcast_to(part, frames.shape) for part in (self.mean, self.scale))
        return mean + scale * frames

    def _scaled(self, frames: Float[Array, "t m c"]) -> Float[Array, "t m c"]:
        """Frames as a network sees them."""
        return (frames - self.mean[None, None]) / self.scale[None, None]

    def _next(
        self, network: PointNetwork, row: Clouds, known: Float[Array, "m kc"]
    ) -> Float[Array, "m c"]:
        """The scaled state after k scaled snapshots."""
        points, features, present = map(jnp.asarray, (row.points, row.features, row.present))
        seen = jnp.concatenate([features, known], 1)
        out = computed_in(self.compute_dtype, network, points, seen, present, row.links)
        return known[:, -out.shape[1] :] + out if self.change else out

    def _predictions(
        self, network: PointNetwork, row: Clouds, truth: Float[Array, "t m c"]
    ) -> Float[Array, "s m c"]:
        """All snapshots but the first k, as many as a step sees. The first ones follow from
        predictions, the others from the truth.
        """
        before = windows(truth[:-1], self.history)
        noise = jnp.zeros_like(before)
        if self.noise and row.seeds is not None:
            drawn = jax.random.normal(jax.random.key(row.seeds), truth[:-1].shape, truth.dtype)
            noise = windows(self.noise * drawn, self.history)

        @jax.checkpoint
        def advance(last: Array, step: tuple[Array, Array, Array]) -> tuple[Array, Array]:
            number, true, noise = step
            last = jax.lax.stop_gradient(last) if self.push_forward else last
            known = jnp.where((number > 0) & (number < self.free), last, true)
            state = self._next(network, row, known + noise)
            return shifted(known, state), state

        steps = (jnp.arange(len(before)), before, noise)
        return jax.lax.scan(advance, jnp.zeros_like(before[0]), steps)[1]


@reused
def rolled_clouds(
    model: PointStepModel,
    params: Params,
    clouds: Clouds,
    first: Float[Array, "n k m c"],
    count: int,
) -> Float[Array, "n count m c"]:
    """The snapshots that follow from the first ones of some samples, one sample after the other."""
    clouds = dataclasses.replace(clouds, values=None)

    def one(rows: tuple[list[Array], Array]) -> Float[Array, "count m c"]:
        leaves, first = rows
        some = unlisted(clouds, [leaf[None] for leaf in leaves])
        return model.rollout(params, some, first[None], count)[0]

    return jax.lax.map(one, (jax.tree.leaves(clouds), first))
