"""What is trained of a map on points: clouds and meshes that differ from sample to sample."""

import dataclasses
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pinops.losses import Term
from pinops.networks import computed_in
from pinops.operators import MorphedGridNetwork, Morphing, gridded
from pinops.settings import reused
from pinops.training._clouds import LEAST, CloudModel, by_sample, roots_of, unlisted
from pinops.training._contracts import Params
from pinops.training._morphed_equation import MorphedEquation
from pinops.training._operator import DATA
from pinops.training._point_inputs import Clouds


class PointMapModel(CloudModel):
    """All of a map on points but its parameters.

    Args:
        equation: That of the samples, on the grids of a `MorphedGridNetwork`; None: there are data
            alone.
    """

    equation: MorphedEquation | None = None

    def at(self, stage: Mapping[str, float]) -> "PointMapModel":
        """The same in every stage."""
        return self

    def predicted(self, params: Params, clouds: Clouds) -> Float[Array, "n m c"]:
        """The outputs at all points in their units, one sample after the other."""
        network = self.network(params)

        def one(row: Clouds) -> Float[Array, "m c"]:
            points, features, present = map(jnp.asarray, (row.points, row.features, row.present))
            return computed_in(self.compute_dtype, network, points, features, present, row.links)

        return self._in_units(by_sample(one, dataclasses.replace(clouds, values=None)))

    def _in_units(self, out: Float[Array, "... c"]) -> Float[Array, "... c"]:
        mean, scale = (jnp.broadcast_to(part, out.shape) for part in (self.mean, self.scale))
        return mean + scale * out

    def errors(self, params: Params, clouds: Clouds) -> dict[str, Term]:
        """The roots of the relative errors of each unknown, so that their mean square is the mean
        error, over the points whose values are known; and what the equation leaves.
        """
        if self.equation is None:
            return self._misses(self.predicted(params, clouds), clouds)
        predicted, equations = self._solved(params, clouds)
        return self._misses(predicted, clouds) | equations

    def _misses(self, predicted: Float[Array, "n m c"], clouds: Clouds) -> dict[str, Term]:
        assert clouds.values is not None, "samples for training have values"
        truth = jnp.asarray(clouds.values)
        known = jnp.isfinite(truth)
        off = jnp.where(known, predicted - truth, 0.0)
        size = jnp.where(known, truth, 0.0)
        least = jnp.square(LEAST * self.scale)[None] * jnp.maximum(known.sum(1), 1)
        roots = roots_of(jnp.sum(off**2, 1), jnp.sum(size**2, 1), least)
        return {f"observed {name}": Term(roots[:, k], DATA) for k, name in enumerate(self.unknowns)}

    def _solved(
        self, params: Params, clouds: Clouds
    ) -> tuple[Float[Array, "n m c"], dict[str, Term]]:
        """The outputs at all points, and what the equation leaves on the grids."""
        network, equation = self.network(params), self.equation
        assert isinstance(network, MorphedGridNetwork) and equation is not None

        def one(row: Clouds) -> tuple[Array, dict[str, Term]]:
            links, points = row.links, jnp.asarray(row.points)
            assert isinstance(links, Morphing), "MorphedGrid.links makes one"
            out = network.on_grid(points, jnp.asarray(row.features), links)
            places = gridded(points, links).reshape(*network.grid, -1)
            coefficients = row.coefficients or {}
            terms = equation.terms(coefficients, places, self._in_units(out), network.periodic)
            return self._in_units(network.at_points(out, links)), terms

        return by_sample(one, dataclasses.replace(clouds, values=None))


@reused
def evaluate_clouds(model: PointMapModel, params: Params, clouds: Clouds) -> Float[Array, "n m c"]:
    """The outputs at all points of some samples, one sample after the other."""
    leaves = jax.tree.leaves(dataclasses.replace(clouds, values=None))

    def one(row: list[Array]) -> Float[Array, "m c"]:
        some = unlisted(dataclasses.replace(clouds, values=None), [leaf[None] for leaf in row])
        return model.predicted(params, some)[0]

    return jax.lax.map(one, leaves)
