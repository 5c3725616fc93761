"""What is trained and what is not: a problem, a network, how conditions are imposed, and how terms are weighted."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pinops.derivatives import Plan
from pinops.losses import Weighting, plans, residuals
from pinops.networks import Field, field_of, trainable
from pinops.problem import INTERIOR, Imposition, Points, Problem, constraints, holder


class Params(eqx.Module):
    """Everything that an optimizer changes: the network's arrays, and the logarithm or shift of trainable coefficients."""

    network: PyTree
    coefficients: dict[str, Array]


class Model(eqx.Module):
    """A problem and all of its network but the parameters. Immutable; array leaves may be traced."""

    problem: Problem
    frozen: PyTree
    weighting: Weighting
    imposition: Imposition = eqx.field(static=True)
    owner: str = eqx.field(static=True)

    def coefficients(self, params: Params) -> dict[str, Array]:
        """The present values of the trainable coefficients."""
        return {name: _value(self.problem, name, shift) for name, shift in params.coefficients.items()}

    def problem_at(self, params: Params) -> Problem:
        """The problem with its trainable coefficients at their present values."""
        values = self.coefficients(params)
        if not values:
            return self.problem
        return eqx.tree_at(lambda p: [getattr(holder(p), name) for name in values], self.problem, list(values.values()))

    def field(self, params: Params) -> Field:
        """The present solution."""
        return field_of(self.problem_at(params), self.imposition, eqx.combine(params.network, self.frozen))

    def prepared(self, params: Params, points: Mapping[str, Points]) -> dict[str, Points]:
        """The points with what the field computes there for every network alike (nothing while coefficients change)."""
        if params.coefficients:
            return dict(points)
        field = self.field(params)
        wanted = plans(constraints(self.problem, self.imposition.soft))
        return {
            region: dataclasses.replace(here, fixed=field.fixed(jnp.asarray(here.at), wanted[region]))
            for region, here in points.items()
        }

    def residuals(self, params: Params, points: Mapping[str, Points]) -> dict[str, Float[Array, " n"]]:
        """The residual vector of every term."""
        problem, field = self.problem_at(params), self.field(params)
        return residuals(field, constraints(problem, self.imposition.soft), points, owner=self.owner)

    def terms(self, params: Params, points: Mapping[str, Points]) -> dict[str, Array]:
        """The weighted mean square of every term; their sum is the loss."""
        vectors = self.residuals(params, points)
        conditions = {c.name for c in constraints(self.problem, self.imposition.soft) if c.region != INTERIOR}
        return self.weighting(vectors, [name for name in vectors if any(name.startswith(c) for c in conditions)])


def split(problem: Problem, network: Any, weighting: Weighting, imposition: Imposition, owner: str) -> tuple[Model, Params]:
    """Part what is trained from what is not, in the precision that is in force."""
    dtype = jnp.result_type(float)
    cast = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, dtype) if eqx.is_inexact_array_like(x) else x, tree)
    arrays, frozen = eqx.partition(network, trainable(network))
    shifts = {name: jnp.zeros(np.shape(getattr(holder(problem), name)), dtype) for name in problem.trainable}
    return Model(cast(problem), frozen, weighting, imposition, owner), Params(cast(arrays), shifts)


def _value(problem: Problem, name: str, shift: Array) -> Array:
    """A positive coefficient is trained through its logarithm, any other in units of its size; 0 is the initial guess."""
    start = jnp.asarray(getattr(holder(problem), name))
    if holder(problem).__dataclass_fields__[name].metadata.get("positive"):
        return start * jnp.exp(shift)
    return start + shift * jnp.where(start == 0, 1.0, jnp.abs(start))


@eqx.filter_jit
def evaluate(model: Model, params: Params, points: Float[Array, "n d"]) -> Float[Array, "n c"]:
    """The unknowns at a batch of points, in slices that keep memory small."""
    field = model.field(params)
    return jax.lax.map(lambda point: field.jet(point[None], Plan())[()][0], points, batch_size=8192)


@eqx.filter_jit
def prepare(model: Model, params: Params, points: Mapping[str, Points]) -> dict[str, Points]:
    """`Model.prepared`, compiled."""
    return model.prepared(params, points)


@eqx.filter_jit
def interior_score(model: Model, params: Params, points: Mapping[str, Points]) -> Float[Array, " n"]:
    """How badly the interior equations are met at each point: root of the sum of their squares."""
    problem = model.problem_at(params)
    vectors = residuals(model.field(params), constraints(problem, ()), points, owner=model.owner)
    return jnp.sqrt(sum(jnp.square(vector) for vector in vectors.values()))
