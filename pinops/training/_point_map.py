"""What is trained of a map on points: clouds and meshes that differ from sample to sample."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pinops.networks import computed_in
from pinops.settings import reused
from pinops.training._clouds import LEAST, CloudModel, by_sample, roots_of, unlisted
from pinops.training._contracts import Params
from pinops.training._point_inputs import Clouds


class PointMapModel(CloudModel):
    """All of a map on points but its parameters."""

    def at(self, stage: Mapping[str, float]) -> "PointMapModel":
        """The same in every stage."""
        return self

    def predicted(self, params: Params, clouds: Clouds) -> Float[Array, "n m c"]:
        """The outputs at all points in their units, one sample after the other."""
        network = self.network(params)

        def one(row: Clouds) -> Float[Array, "m c"]:
            points, features, present = map(jnp.asarray, (row.points, row.features, row.present))
            return computed_in(self.compute_dtype, network, points, features, present, row.links)

        out = by_sample(one, dataclasses.replace(clouds, values=None))
        mean, scale = (jnp.broadcast_to(part, out.shape) for part in (self.mean, self.scale))
        return mean + scale * out

    def errors(self, params: Params, clouds: Clouds) -> dict[str, Float[Array, " n"]]:
        """The roots of the relative errors of each unknown, so that their mean square is the mean
        error, over the points whose values are known.
        """
        assert clouds.values is not None, "samples for training have values"
        truth = jnp.asarray(clouds.values)
        known = jnp.isfinite(truth)
        off = jnp.where(known, self.predicted(params, clouds) - truth, 0.0)
        size = jnp.where(known, truth, 0.0)
        least = jnp.square(LEAST * self.scale)[None] * jnp.maximum(known.sum(1), 1)
        roots = roots_of(jnp.sum(off**2, 1), jnp.sum(size**2, 1), least)
        return {f"observed {name}": roots[:, k] for k, name in enumerate(self.unknowns)}


@reused
def evaluate_clouds(model: PointMapModel, params: Params, clouds: Clouds) -> Float[Array, "n m c"]:
    """The outputs at all points of some samples, one sample after the other."""
    leaves = jax.tree.leaves(dataclasses.replace(clouds, values=None))

    def one(row: list[Array]) -> Float[Array, "m c"]:
        some = unlisted(dataclasses.replace(clouds, values=None), [leaf[None] for leaf in row])
        return model.predicted(params, some)[0]

    return jax.lax.map(one, leaves)
