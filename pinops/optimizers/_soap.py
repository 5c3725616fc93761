"""SOAP: Adam in the slowly moving eigenbasis of Shampoo's preconditioner (Vyas et al. 2024, arXiv:2409.11321)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree


class _Basis(NamedTuple):
    """Of one side of a matrix: the moving average of G G' (or G'G) and its eigenvectors, nearly."""

    average: Float[Array, "m m"]
    vectors: Float[Array, "m m"]


class _Leaf(NamedTuple):
    mean: Array  # of the gradient, in the coordinates of the parameters
    square: Array  # of the rotated gradient
    left: _Basis
    right: _Basis


class SoapState(NamedTuple):
    count: Array
    leaves: list[_Leaf]


def soap(
    learning_rate: float = 3e-3,
    decay_steps: int = 0,
    *,
    b1: float = 0.95,
    b2: float = 0.95,
    eps: float = 1e-8,
    every: int = 10,
) -> optax.GradientTransformation:
    """SOAP as an optax transformation. Vectors and scalars are columns; arrays of more axes are matrices of their last one.

    **Arguments:** ``decay_steps``: the learning rate falls to zero over so many, by a cosine (0: constant); ``b1``, ``b2``: decay
    of the means of gradient and squares (b2 also of the preconditioner); ``every``: steps between the QR iterations that follow
    the eigenbasis. The first step only gathers.

    **Raises** ValueError for a learning rate that is not positive, or ``every`` below 1.
    """
    if not learning_rate > 0:
        raise ValueError(f"soap: learning_rate must be greater than zero, got {learning_rate}")
    if decay_steps < 0:
        raise ValueError(f"soap: decay_steps must be zero or more, got {decay_steps}")
    if every < 1:
        raise ValueError(f"soap: every must be at least 1, got {every}")

    rate: Any = (
        optax.cosine_decay_schedule(learning_rate, decay_steps)
        if decay_steps
        else lambda count: learning_rate
    )

    def init(params: PyTree) -> SoapState:
        def leaf(parameter: Array) -> _Leaf:
            matrix = jnp.zeros_like(_matrix(parameter))
            sides = (
                _Basis(jnp.zeros((n, n), matrix.dtype), jnp.eye(n, dtype=matrix.dtype))
                for n in matrix.shape
            )
            return _Leaf(matrix, matrix, *sides)

        return SoapState(
            jnp.zeros((), jnp.int32), [leaf(parameter) for parameter in jax.tree.leaves(params)]
        )

    def update(
        gradients: PyTree, state: SoapState, params: PyTree | None = None
    ) -> tuple[PyTree, SoapState]:
        del params
        flat, structure = jax.tree.flatten(gradients)
        done = [
            _step(_matrix(g), leaf, state.count) for g, leaf in zip(flat, state.leaves, strict=True)
        ]
        updates = [u.reshape(g.shape) for g, (u, _) in zip(flat, done, strict=True)]
        return jax.tree.unflatten(structure, updates), SoapState(
            state.count + 1, [leaf for _, leaf in done]
        )

    def _step(
        g: Float[Array, "m n"], leaf: _Leaf, count: Array
    ) -> tuple[Float[Array, "m n"], _Leaf]:
        mean = b1 * leaf.mean + (1 - b1) * g
        averages = [
            b2 * side.average + (1 - b2) * ggt
            for side, ggt in ((leaf.left, g @ g.T), (leaf.right, g.T @ g))
        ]
        left, right = leaf.left.vectors, leaf.right.vectors
        square = b2 * leaf.square + (1 - b2) * jnp.square(left.T @ g @ right)
        # The first gradient only makes the basis, so that the means start one step later.
        age = jnp.maximum(count, 1)
        corrected = (left.T @ mean @ right) / (1 - b1**age)
        step = corrected / (jnp.sqrt(square / (1 - b2**age)) + eps)
        update = jnp.where(count > 0, -rate(count), 0.0) * (left @ step @ right.T)
        gathered = lambda new: jnp.where(count > 0, new, 0.0)

        def turned(_):
            sides = [
                _followed(average, q, count)
                for average, q in zip(averages, (left, right), strict=True)
            ]
            (new_left, rows), (new_right, columns) = sides
            return new_left, new_right, square[rows][:, columns]

        kept = lambda _: (left, right, square)
        new_left, new_right, square = jax.lax.cond(count % every == 0, turned, kept, None)
        leaf = _Leaf(
            gathered(mean),
            gathered(square),
            _Basis(averages[0], new_left),
            _Basis(averages[1], new_right),
        )
        return update, leaf

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def _matrix(array: Array) -> Float[Array, "m n"]:
    return array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(-1, 1)


def _followed(average: Array, vectors: Array, count: Array) -> tuple[Array, Array]:
    """The eigenvectors one QR iteration on, by falling eigenvalue, and the order that the old ones were put in."""

    def first(_):
        return jnp.linalg.eigh(average)[1][:, ::-1], jnp.arange(len(average))

    def next_(_):
        order = jnp.argsort(-jnp.sum(vectors * (average @ vectors), 0))
        return jnp.linalg.qr(average @ vectors[:, order])[0], order

    return jax.lax.cond(count == 0, first, next_, None)
