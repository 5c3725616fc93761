"""What is trained and what is not: a problem, a network, and how conditions are imposed."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pinops.derivatives import Plan, parse_names
from pinops.losses import Snapshot, Term, Weights, plans, residuals
from pinops.networks import Field, JetNetwork, embedding_of, field_of, trainable
from pinops.optimizers import LeastSquares
from pinops.problem import (
    INTERIOR,
    Imposition,
    Points,
    Problem,
    Region,
    Scales,
    constraints,
    holder,
    names_of,
)
from pinops.settings import quick, reused
from pinops.training._bootstrap import Bootstrap
from pinops.training._chunks import chunk_of, mean_of_chunks
from pinops.training._contracts import Params, Trainable
from pinops.training._devices import POINTS, on_each
from pinops.training._linearised import (
    Rows,
    gradient_norms,
    kernel_traces,
    linearised,
    weighted,
    weighted_vector,
)

_SLICE = 8192  # points at which a solution is evaluated at once, where memory could be short


class Model(Trainable[Mapping[Region, Points]]):
    """A problem and its network without the parameters. Immutable; array leaves may be traced."""

    problem: Problem
    frozen: PyTree
    scales: Scales
    imposition: Imposition = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    mesh: Mesh | None = eqx.field(
        static=True, default=None
    )  # the devices that share the interior points
    bootstrap: Bootstrap | None = None  # which observations count; None: all

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

    def prepared(self, params: Params, points: Mapping[Region, Points]) -> dict[Region, Points]:
        """The points with what the field computes there for every network alike.

        That is nothing while coefficients or the directions of the Laplacian change.
        """
        if params.coefficients or any(here.directions is not None for here in points.values()):
            return dict(points)
        field = self.field(params)
        wanted = plans(constraints(self.problem, self.imposition.soft))
        out = {}
        for region, here in points.items():
            fixed = [field.fixed(side, wanted[region]) for side in here.sides]
            single = here.across is None
            out[region] = dataclasses.replace(here, fixed=fixed[0] if single else fixed)
        return out

    def residuals(self, params: Params, points: Mapping[Region, Points]) -> dict[str, Term]:
        """Every term whose region has points."""
        here = [
            c
            for c in constraints(self.problem_at(params), self.imposition.soft)
            if c.region in points
        ]
        return residuals(
            self.field(params), here, points, owner=self.owner, sizes=self.scales.terms
        )

    def terms(
        self, params: Params, points: Mapping[Region, Points], weights: Weights
    ) -> dict[str, Array]:
        """The weighted mean square of every term; their sum is the loss."""
        others = {region: here for region, here in points.items() if region != INTERIOR}
        inside = self._interior_mean(Model._terms, params, points[INTERIOR], weights)
        return inside | self._terms(params, others, weights)

    def _terms(
        self, params: Params, points: Mapping[Region, Points], weights: Weights
    ) -> dict[str, Array]:
        """`terms`, of all points at once."""
        terms = self.residuals(params, points)
        return {name: term.mean_square(weights[name]) for name, term in terms.items()}

    def objective(self, points: Mapping[Region, Points], weights: Weights) -> LeastSquares:
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

    def snapshot(
        self, params: Params, points: Mapping[Region, Points], key: PRNGKeyArray
    ) -> Snapshot:
        """What a weighting is updated from."""
        terms, domain, times = self.residuals(params, points), self.problem.domain, {}
        if domain.time is not None:
            start, end = domain.bounds[domain.time]
            at = jnp.asarray(points[INTERIOR].at)[:, domain.coordinates.index(domain.time)]
            since = (at - start) / (end - start)
            times = {name: since for name, term in terms.items() if term.region == INTERIOR}

        def norms() -> dict[str, Array]:
            return gradient_norms(lambda params: self.residuals(params, points), params)

        def traces() -> dict[str, Array]:
            parts = [self.linearised(params, region, here) for region, here in points.items()]
            return kernel_traces({name: rows for part in parts for name, rows in part.items()})

        return Snapshot(terms, times, norms, traces, key)

    def fitted(self, params: Params, points: Mapping[Region, Points]) -> Params:
        """If the last layer asks for it, it is fitted to the conditions in the loss first."""
        network = params.network
        data = {region: here for region, here in points.items() if region != INTERIOR}
        if not isinstance(network, JetNetwork) or network.fitted_first() is None or not data:
            return params
        return _fitted(self, params, data)

    def relocated(self, params: Params, points: Mapping[Region, Points]) -> Params:
        """Idle parts of the network move to where the residual is large at these points."""
        network = params.network
        if not (
            isinstance(network, JetNetwork) and type(network).relocated is not JetNetwork.relocated
        ):
            return params
        at = jnp.asarray(points[INTERIOR].at)
        embedding = embedding_of(self.problem, self.imposition, network)
        features = jnp.asarray(embedding.jet(at, Plan())[()])
        moved = network.relocated(features, interior_score(self, params, {INTERIOR: Points(at)}))
        return params if moved is network else dataclasses.replace(params, network=moved)

    def _value_and_gradient(
        self, params: Params, points: Mapping[Region, Points], weights: Weights
    ) -> tuple[Array, Params]:
        """The loss and its gradient."""
        others = {region: here for region, here in points.items() if region != INTERIOR}
        inside = self._interior_mean(Model._loss, params, points[INTERIOR], weights)
        return (
            jax.tree.map(jnp.add, inside, self._loss(params, others, weights)) if others else inside
        )

    def _loss(
        self, params: Params, points: Mapping[Region, Points], weights: Weights
    ) -> tuple[Array, Params]:
        """The sum of the terms at these points, and its gradient."""

        def loss(params):
            return sum(self._terms(params, points, weights).values(), start=jnp.zeros(()))

        return jax.value_and_grad(loss)(params)

    def _interior_mean(
        self, part: Callable[..., PyTree], params: Params, points: Points, weights: Weights
    ) -> PyTree:
        """A mean over interior points from ``part(model, params, points, weights)``: in chunks,
        spread over the mesh.
        """
        rows = Rows.of((points, weights), len(points.at))
        if self.mesh is None:
            return self._mean_of_chunks(part, params, rows)

        def on_device(shared, leaves):
            model, params, points, weights = shared
            mine = Rows(leaves, Rows.of((points, weights), len(points.at)).together)
            return jax.lax.pmean(model._mean_of_chunks(part, params, mine), POINTS)

        return on_each(
            on_device, self.mesh, (self, params, points, weights), rows.leaves, together=True
        )

    def _mean_of_chunks(self, part: Callable[..., PyTree], params: Params, rows: "Rows") -> PyTree:
        """`_interior_mean` on one device."""

        def of_chunk(leaves: list[Array]) -> PyTree:
            points, weights = rows.together(leaves)
            return part(self, params, {INTERIOR: points}, weights)

        return mean_of_chunks(
            of_chunk, rows.leaves, self._chunk(params, rows.together(rows.leaves)[0])
        )

    def _chunk(self, params: Params, points: Points) -> int:
        """How many interior points are taken at once."""
        rows = Rows.of(points, len(points.at))

        def program(count: int) -> Any:
            few = {INTERIOR: rows.together([leaf[:count] for leaf in rows.leaves])}
            return jax.make_jaxpr(lambda params: self.residuals(params, few))(params).jaxpr

        return chunk_of(program, len(points.at))

    def linearised(
        self, params: Params, region: Region, points: Points
    ) -> dict[str, tuple[Array, Array]]:
        """`linearised` at the points of a region."""
        in_cache = self.mesh is None and jax.default_backend() == "cpu"

        def at(params: Params, points: Points) -> dict[str, Term]:
            return self.residuals(params, {region: points})

        return linearised(at, params, points, 128 if in_cache else None)


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


@quick
def _fitted(model: Model, params: Params, data: Mapping[Region, Points]) -> Params:
    """The parameters with the layer ``fitted_first`` of their network fitted to these points."""

    def layer(params: Params) -> PyTree:
        return params.network.fitted_first()

    flat, unravel = ravel_pytree(layer(params))

    def moved(flat: Array) -> Params:
        return eqx.tree_at(layer, params, unravel(flat))

    def vector(flat: Array) -> Array:
        return jnp.concatenate([t.vector for t in model.residuals(moved(flat), data).values()])

    return moved(flat - jnp.linalg.lstsq(jax.jacfwd(vector)(flat), vector(flat))[0])


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
    """A coefficient from its shift, which is 0 for the initial guess.

    A positive one is trained through its logarithm, any other in units of its size: its initial
    value or, where that is zero, its entry of ``sizes``.
    """
    start = jnp.asarray(getattr(holder(problem), name))
    if holder(problem).__dataclass_fields__[name].metadata.get("positive"):
        return start * jnp.exp(shift)
    return start + shift * jnp.where(start == 0, sizes.get(name, 1.0), jnp.abs(start))


@reused
def evaluate(model: Model, params: Params, points: Float[Array, "n d"]) -> Float[Array, "n c"]:
    """The unknowns at a batch of points, in slices that keep memory small."""
    field = model.field(params)
    return jax.lax.map(
        lambda point: field.jet(point[None], Plan())[()][0], points, batch_size=_SLICE
    )


@quick
def prepare(model: Model, params: Params, points: Mapping[Region, Points]) -> dict[Region, Points]:
    """`Model.prepared`, compiled."""
    return model.prepared(params, points)


@reused
def interior_residuals(
    model: Model, params: Params, points: Float[Array, "n d"]
) -> dict[str, Float[Array, " n"]]:
    """Every interior equation at a batch of points, in its own units."""
    equations = constraints(model.problem_at(params), ())

    def at(point: Array) -> dict[str, Array]:
        here = {INTERIOR: Points(point[None])}
        terms = residuals(model.field(params), equations, here, owner=model.owner)
        return {name: term.vector[0] for name, term in terms.items()}

    return jax.lax.map(at, points, batch_size=max(1, _SLICE // equations[0].signature.count))


@reused
def quantity(
    model: Model, params: Params, points: Float[Array, "n d"], name: str
) -> Float[Array, "n ..."]:
    """What a name in a residual stands for, at a batch of points."""
    field = model.field(params)
    signature = parse_names((name,), names_of(model.problem), owner=model.owner)
    jet = field.jet(points, signature.plan)
    return signature.gather(jet, points, elsewhere=field.jet)[name]


@quick
def interior_score(
    model: Model, params: Params, points: Mapping[Region, Points]
) -> Float[Array, " n"]:
    """How badly the interior equations are met at each point: root of the sum of their squares."""
    equations = constraints(model.problem_at(params), ())
    field, sizes = model.field(params), model.scales.terms
    at = jnp.asarray(points[INTERIOR].at)

    def score(at: Array) -> Array:
        here = {INTERIOR: Points(at)}
        terms = residuals(field, equations, here, owner=model.owner, sizes=sizes)
        return jnp.sqrt(sum(jnp.square(term.vector) for term in terms.values()))

    count = equations[0].signature.count
    if count == 1:
        return score(at)
    return jax.lax.map(lambda at: score(at[None])[0], at, batch_size=max(1, _SLICE // count))
