"""Residual vectors linearised by the parameters, for Gauss-Newton methods and weightings."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.losses import Snapshot, Term
from pinops.problem import Points
from pinops.training._contracts import Params

Linearised = dict[str, tuple[Float[Array, " n"], Float[Array, "n p"]]]  # by term: r, dr/dparams


class Rows(NamedTuple):
    """The arrays of a tree with one row per point, and how some of these rows make a tree again."""

    leaves: list[Array]
    together: Callable[[list[Array]], Any]

    @classmethod
    def of(cls, tree: Any, count: int) -> "Rows":
        """The rows of a tree for ``count`` points; other arrays are the same at every point."""
        leaves, structure = jax.tree.flatten(tree)
        own = [jnp.ndim(leaf) > 0 and leaf.shape[0] == count for leaf in leaves]

        def together(rows: list[Array]) -> Any:
            mine = iter(rows)
            every = [next(mine) if one else leaf for one, leaf in zip(own, leaves, strict=True)]
            return jax.tree.unflatten(structure, every)

        return cls([leaf for leaf, one in zip(leaves, own, strict=True) if one], together)


def linearised(
    residuals: Callable[[Params, Points], dict[str, Term]],
    params: Params,
    points: Points,
    at_once: int | None = None,
) -> Linearised:
    """The residual vectors at points and their derivatives by the flattened parameters.

    A residual depends on its own point only, so the rows are gradients of a program for one point.

    Args:
        residuals: The terms at some points.
        params: Where they are linearised.
        points: The ``n`` points.
        at_once: How many points are taken together; None: all.
    """
    flat, unravel = ravel_pytree(params)
    rows = Rows.of(points, len(points.at))

    def at_point(leaves: list[Array]) -> dict[str, tuple[Array, Array]]:
        point = rows.together([leaf[None] for leaf in leaves])

        def vector(flat: Array) -> Array:
            return jnp.concatenate([t.vector for t in residuals(unravel(flat), point).values()])

        values, back = jax.vjp(vector, flat)
        gradients = jax.vmap(lambda row: back(row)[0])(jnp.eye(values.size, dtype=values.dtype))
        names = jax.eval_shape(lambda: residuals(params, point))
        return {name: (values[k], gradients[k]) for k, name in enumerate(names)}

    if at_once is None:
        return jax.vmap(at_point)(rows.leaves)
    return jax.lax.map(at_point, rows.leaves, batch_size=at_once)


def weighted(
    rows: Linearised, weights: Mapping[str, Array]
) -> tuple[Float[Array, " m"], Float[Array, "m p"]]:
    """Residual vectors and derivatives as those of one mean square, in the order of the names."""
    scales = {name: _root_weights(weights, name, r.size) for name, (r, _) in rows.items()}
    names = sorted(rows)  # what has passed a transformation of JAX is sorted
    vector = jnp.concatenate([scales[name] * rows[name][0] for name in names])
    return vector, jnp.concatenate([scales[name][:, None] * rows[name][1] for name in names])


def weighted_vector(terms: Mapping[str, Term], weights: Mapping[str, Array]) -> Float[Array, " n"]:
    """All residuals as one vector in the order of the names, whose squared length is the loss."""
    parts = []
    for name in sorted(terms):
        vector = terms[name].vector
        parts.append(_root_weights(weights, name, vector.size) * vector)
    return jnp.concatenate(parts)


def _root_weights(weights: Mapping[str, Array], name: str, size: int) -> Array:
    return jnp.sqrt(weights[name] / size)


def gradient_norms(
    residuals: Callable[[Params], Mapping[str, Term]], params: Params
) -> dict[str, Array]:
    """The length of the gradient of the mean square of every term."""

    def means(params: Params) -> dict[str, Array]:
        return {name: term.mean_square() for name, term in residuals(params).items()}

    found, back = jax.vjp(means, params)
    zero = {name: jnp.zeros_like(mean) for name, mean in found.items()}

    def norm(name: str) -> Array:
        (gradient,) = back({**zero, name: jnp.ones_like(zero[name])})
        return jnp.linalg.norm(ravel_pytree(gradient)[0])

    return {name: norm(name) for name in found}


def kernel_traces(rows: Linearised) -> dict[str, Array]:
    """The mean squared length of the rows of every term."""
    squares = {name: jnp.sum(jnp.square(jacobian), 1) for name, (_, jacobian) in rows.items()}
    return {name: jnp.mean(square) for name, square in squares.items()}


def snapshot_without_kernel(
    residuals: Callable[[Params], dict[str, Term]], params: Params, key: PRNGKeyArray
) -> Snapshot:
    """What a weighting of terms is updated from, without the rows that a tangent kernel needs."""

    def norms() -> dict[str, Array]:
        return gradient_norms(residuals, params)

    def traces() -> dict[str, Array]:
        raise ValueError("NTK needs the derivative of every residual; choose GradientNorm")

    return Snapshot(residuals(params), {}, norms, traces, key)
