"""What is trained and what is not: a problem, a network, and how conditions are imposed."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pinops.derivatives import Plan
from pinops.losses import Snapshot, Weights, plans, residuals
from pinops.networks import Field, JetNetwork, embedding_of, field_of, trainable
from pinops.optimizers import LeastSquares
from pinops.problem import INTERIOR, Imposition, Points, Problem, Scales, constraints, holder
from pinops.training._chunks import chunk_of, mean_of_chunks
from pinops.training._devices import POINTS, on_each


class Params(eqx.Module):
    """Everything that an optimizer changes: the network's arrays, and the logarithm or shift of trainable coefficients."""

    network: PyTree
    coefficients: dict[str, Array]


class Model(eqx.Module):
    """A problem and all of its network but the parameters. Immutable; array leaves may be traced."""

    problem: Problem
    frozen: PyTree
    scales: Scales
    imposition: Imposition = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    mesh: Mesh | None = eqx.field(
        static=True, default=None
    )  # the devices that share the interior points

    def coefficients(self, params: Params) -> dict[str, Array]:
        """The present values of the trainable coefficients."""
        return {
            name: _value(self.problem, name, shift, self.scales.coefficients)
            for name, shift in params.coefficients.items()
        }

    def at(self, coefficients: Mapping[str, float]) -> "Model":
        """The model of the problem with other coefficients."""
        arrays = {
            name: jnp.asarray(value, jnp.result_type(float)) for name, value in coefficients.items()
        }
        return dataclasses.replace(self, problem=_with(self.problem, arrays))

    def problem_at(self, params: Params) -> Problem:
        """The problem with its trainable coefficients at their present values."""
        return _with(self.problem, self.coefficients(params))

    def field(self, params: Params) -> Field:
        """The present solution."""
        return field_of(
            self.problem_at(params),
            self.imposition,
            eqx.combine(params.network, self.frozen),
            self.scales,
        )

    def prepared(self, params: Params, points: Mapping[str, Points]) -> dict[str, Points]:
        """The points with what the field computes there for every network alike.

        That is nothing while coefficients or the directions of the Laplacian change.
        """
        if params.coefficients or any(here.directions is not None for here in points.values()):
            return dict(points)
        field = self.field(params)
        wanted = plans(constraints(self.problem, self.imposition.soft))
        return {
            region: dataclasses.replace(
                here, fixed=field.fixed(jnp.asarray(here.at), wanted[region])
            )
            for region, here in points.items()
        }

    def residuals(
        self, params: Params, points: Mapping[str, Points]
    ) -> dict[str, Float[Array, " n"]]:
        """The residual vector of every term whose region has points."""
        here = [
            c
            for c in constraints(self.problem_at(params), self.imposition.soft)
            if c.region in points
        ]
        return residuals(
            self.field(params), here, points, owner=self.owner, sizes=self.scales.terms
        )

    def terms(
        self, params: Params, points: Mapping[str, Points], weights: Weights
    ) -> dict[str, Array]:
        """The weighted mean square of every term; their sum is the loss."""
        others = {region: here for region, here in points.items() if region != INTERIOR}
        inside = self._interior_mean(Model._terms, params, points[INTERIOR], weights)
        return inside | self._terms(params, others, weights)

    def _terms(
        self, params: Params, points: Mapping[str, Points], weights: Weights
    ) -> dict[str, Array]:
        """`terms`, of all points at once."""
        return {
            name: jnp.mean(weights[name] * jnp.square(r))
            for name, r in self.residuals(params, points).items()
        }

    def objective(self, points: Mapping[str, Points], weights: Weights) -> LeastSquares:
        """The loss at these points as optimizers see it."""

        # In the order of the names: what has passed a transformation of JAX is sorted.
        def vector(params: Params) -> Float[Array, " n"]:
            return weighted_vector(self.residuals(params, points), weights)

        def jacobian(params: Params) -> tuple[Float[Array, " n"], Float[Array, "n p"]]:
            parts = (self.linearised(params, region, here) for region, here in points.items())
            return weighted({name: rows for part in parts for name, rows in part.items()}, weights)

        return LeastSquares(
            lambda params: self._value_and_gradient(params, points, weights), vector, jacobian
        )

    def snapshot(self, params: Params, points: Mapping[str, Points], key: PRNGKeyArray) -> Snapshot:
        """What a weighting is updated from."""
        vectors = self.residuals(params, points)
        conditions = {
            c.name for c in constraints(self.problem, self.imposition.soft) if c.region != INTERIOR
        }
        named = [name for name in vectors if any(name.startswith(c) for c in conditions)]
        domain = self.problem.domain
        times = {}
        if domain.time is not None:
            start, end = domain.bounds[domain.time]
            inside = (
                jnp.asarray(points[INTERIOR].at)[:, domain.coordinates.index(domain.time)] - start
            ) / (end - start)
            times = {name: inside for name in vectors if name not in named}

        rows = lambda: {
            k: v
            for region, here in points.items()
            for k, v in self.linearised(params, region, here).items()
        }
        norms = lambda: gradient_norms(lambda params: self.residuals(params, points), params)
        return Snapshot(vectors, named, times, norms, lambda: kernel_traces(rows()), key)

    def _value_and_gradient(
        self, params: Params, points: Mapping[str, Points], weights: Weights
    ) -> tuple[Array, Params]:
        """The loss and its gradient."""
        others = {region: here for region, here in points.items() if region != INTERIOR}
        inside = self._interior_mean(Model._loss, params, points[INTERIOR], weights)
        return (
            jax.tree.map(jnp.add, inside, self._loss(params, others, weights)) if others else inside
        )

    def _loss(
        self, params: Params, points: Mapping[str, Points], weights: Weights
    ) -> tuple[Array, Params]:
        """The sum of the terms at these points, and its gradient."""
        loss = lambda params: sum(
            self._terms(params, points, weights).values(), start=jnp.zeros(())
        )
        return jax.value_and_grad(loss)(params)

    def _interior_mean(
        self, part: Callable[..., PyTree], params: Params, points: Points, weights: Weights
    ) -> PyTree:
        """A mean over interior points from ``part(model, params, points, weights)``: in chunks, spread over the mesh."""
        rows = _Rows.of((points, weights), len(points.at))
        if self.mesh is None:
            return self._mean_of_chunks(part, params, rows)

        def on_device(shared, leaves):
            model, params, points, weights = shared
            mine = _Rows(leaves, _Rows.of((points, weights), len(points.at)).together)
            return jax.lax.pmean(model._mean_of_chunks(part, params, mine), POINTS)

        return on_each(
            on_device, self.mesh, (self, params, points, weights), rows.leaves, together=True
        )

    def _mean_of_chunks(self, part: Callable[..., PyTree], params: Params, rows: "_Rows") -> PyTree:
        """`_interior_mean` on one device."""

        def of_chunk(leaves: list[Array]) -> PyTree:
            points, weights = rows.together(leaves)
            return part(self, params, {INTERIOR: points}, weights)

        return mean_of_chunks(
            of_chunk, rows.leaves, self._chunk(params, rows.together(rows.leaves)[0])
        )

    def _chunk(self, params: Params, points: Points) -> int:
        """How many interior points are taken at once."""
        rows = _Rows.of(points, len(points.at))

        def program(count: int) -> Any:
            few = {INTERIOR: rows.together([leaf[:count] for leaf in rows.leaves])}
            return jax.make_jaxpr(lambda params: self.residuals(params, few))(params).jaxpr

        return chunk_of(program, len(points.at))

    def linearised(
        self, params: Params, region: str, points: Points
    ) -> dict[str, tuple[Array, Array]]:
        """`linearised` at the points of a region."""
        at_once = (
            128 if self.mesh is None and jax.default_backend() == "cpu" else None
        )  # what stays in a cache
        return linearised(
            lambda params, points: self.residuals(params, {region: points}), params, points, at_once
        )


def linearised(
    residuals: Callable[[Params, Points], dict[str, Float[Array, " n"]]],
    params: Params,
    points: Points,
    at_once: int | None = None,
) -> dict[str, tuple[Float[Array, " n"], Float[Array, "n p"]]]:
    """The residual vectors at points and their derivatives by the flattened parameters.

    A residual depends on its own point only: the rows are gradients of a program for one point, batched: so many ``at_once``,
    or all.
    """
    flat, unravel = ravel_pytree(params)
    rows = _Rows.of(points, len(points.at))

    def at_point(leaves: list[Array]) -> dict[str, tuple[Array, Array]]:
        point = rows.together([leaf[None] for leaf in leaves])
        values, back = jax.vjp(
            lambda flat: jnp.concatenate(list(residuals(unravel(flat), point).values())), flat
        )
        gradients = jax.vmap(lambda row: back(row)[0])(jnp.eye(values.size, dtype=values.dtype))
        names = jax.eval_shape(lambda: residuals(params, point))
        return {name: (values[k], gradients[k]) for k, name in enumerate(names)}

    return (
        jax.lax.map(at_point, rows.leaves, batch_size=at_once)
        if at_once
        else jax.vmap(at_point)(rows.leaves)
    )


def weighted(
    rows: Mapping[str, tuple[Array, Array]], weights: Mapping[str, Array]
) -> tuple[Float[Array, " n"], Float[Array, "n p"]]:
    """Residual vectors and their derivatives as those of one mean square, in the order of the names."""
    scales = {name: _root_weights(weights, name, values.size) for name, (values, _) in rows.items()}
    values = [scales[name] * rows[name][0] for name in sorted(rows)]
    return jnp.concatenate(values), jnp.concatenate(
        [scales[name][:, None] * rows[name][1] for name in sorted(rows)]
    )


def weighted_vector(
    vectors: Mapping[str, Array], weights: Mapping[str, Array]
) -> Float[Array, " n"]:
    """Residual vectors as one, in the order of the names; the sum of its squares is that of the weighted mean squares."""
    return jnp.concatenate(
        [
            _root_weights(weights, name, vectors[name].size) * vectors[name]
            for name in sorted(vectors)
        ]
    )


def _root_weights(weights: Mapping[str, Array], name: str, size: int) -> Array:
    return jnp.sqrt(weights[name] / size)


def gradient_norms(
    residuals: Callable[[Params], dict[str, Array]], params: Params
) -> dict[str, Array]:
    """The length of the gradient of the mean square of every term."""
    means, back = jax.vjp(
        lambda params: {name: jnp.mean(jnp.square(r)) for name, r in residuals(params).items()},
        params,
    )
    one = lambda name: {
        other: jnp.where(other == name, 1.0, jnp.zeros_like(mean)) for other, mean in means.items()
    }
    return {name: jnp.linalg.norm(ravel_pytree(back(one(name))[0])[0]) for name in means}


def kernel_traces(rows: Mapping[str, tuple[Array, Array]]) -> dict[str, Array]:
    """The mean squared length of the rows of every term."""
    return {
        name: jnp.mean(jnp.sum(jnp.square(jacobian), 1)) for name, (_, jacobian) in rows.items()
    }


class _Rows(NamedTuple):
    """What belongs to points, taken apart: the arrays with a row for each of them, and how to put some rows together again."""

    leaves: list[Array]
    together: Callable[[list[Array]], Any]

    @classmethod
    def of(cls, tree: Any, count: int) -> "_Rows":
        leaves, structure = jax.tree.flatten(tree)
        own = [
            jnp.ndim(leaf) > 0 and leaf.shape[0] == count for leaf in leaves
        ]  # the others are the same at every point

        def together(rows: list[Array]) -> Any:
            mine = iter(rows)
            return jax.tree.unflatten(
                structure,
                [next(mine) if one else leaf for one, leaf in zip(own, leaves, strict=True)],
            )

        return cls([leaf for leaf, one in zip(leaves, own, strict=True) if one], together)


def split(
    problem: Problem,
    network: Any,
    imposition: Imposition,
    scales: Scales,
    owner: str,
    mesh: Mesh | None = None,
) -> tuple[Model, Params]:
    """Part what is trained from what is not, in the precision that is in force."""
    arrays, frozen = eqx.partition(network, trainable(network))
    shifts = {
        name: jnp.zeros(np.shape(getattr(holder(problem), name)), jnp.result_type(float))
        for name in problem.trainable
    }
    return Model(cast(problem), frozen, cast(scales), imposition, owner, mesh), Params(
        cast(arrays), shifts
    )


def cast(tree: PyTree) -> PyTree:
    """The tree with its floating-point arrays and numbers in the precision that is in force."""
    return jax.tree.map(
        lambda x: jnp.asarray(x, jnp.result_type(float)) if eqx.is_inexact_array_like(x) else x,
        tree,
    )


@eqx.filter_jit
def fitted(model: Any, params: Params, points: Any) -> Params:
    """The parameters with a last layer that asks for it fitted to the conditions in the loss, by least squares."""
    where = lambda params: params.network.fitted_first()
    if not isinstance(params.network, JetNetwork) or where(params) is None:
        return params
    data = {region: here for region, here in points.items() if region != INTERIOR}
    if not data:
        return params
    flat, unravel = ravel_pytree(where(params))
    moved = lambda flat: eqx.tree_at(where, params, unravel(flat))
    vector = lambda flat: jnp.concatenate(list(model.residuals(moved(flat), data).values()))
    return moved(flat - jnp.linalg.lstsq(jax.jacfwd(vector)(flat), vector(flat))[0])


def relocates(network: Any) -> bool:
    """Whether it is a network that moves its idle parts."""
    return isinstance(network, JetNetwork) and type(network).relocated is not JetNetwork.relocated


def relocated(model: Model, params: Params, points: Mapping[str, Points]) -> Params:
    """The parameters with idle parts of the network moved to where the residual is large at these points; or themselves."""
    network = params.network
    at = jnp.asarray(points[INTERIOR].at)
    features = jnp.asarray(
        embedding_of(model.problem, model.imposition, network).jet(at, Plan())[()]
    )
    moved = network.relocated(features, interior_score(model, params, {INTERIOR: Points(at)}))
    return params if moved is network else dataclasses.replace(params, network=moved)


def _with(problem: Problem, coefficients: Mapping[str, Array]) -> Problem:
    """The problem with some of its coefficients replaced."""
    if not coefficients:
        return problem
    return eqx.tree_at(
        lambda p: [getattr(holder(p), name) for name in coefficients],
        problem,
        list(coefficients.values()),
    )


def _value(problem: Problem, name: str, shift: Array, sizes: Mapping[str, Array]) -> Array:
    """A positive coefficient is trained through its logarithm, any other in units of its size; 0 is the initial guess.

    ``sizes``: of coefficients that start at zero.
    """
    start = jnp.asarray(getattr(holder(problem), name))
    if holder(problem).__dataclass_fields__[name].metadata.get("positive"):
        return start * jnp.exp(shift)
    return start + shift * jnp.where(start == 0, sizes.get(name, 1.0), jnp.abs(start))


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
def interior_score(
    model: Model, params: Params, points: Mapping[str, Points]
) -> Float[Array, " n"]:
    """How badly the interior equations are met at each point: root of the sum of their squares."""
    problem = model.problem_at(params)
    vectors = residuals(
        model.field(params),
        constraints(problem, ()),
        points,
        owner=model.owner,
        sizes=model.scales.terms,
    )
    return jnp.sqrt(sum(jnp.square(vector) for vector in vectors.values()))
