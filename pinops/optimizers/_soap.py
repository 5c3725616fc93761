"""SOAP: Adam in the slowly moving eigenbasis of Shampoo's preconditioner (Vyas et al. 2024,
arXiv:2409.11321).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from pinops.optimizers._optimizer import OptaxMethod
from pinops.settings import number, whole


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


class SOAP(OptaxMethod):
    """SOAP: Adam in the slowly moving eigenbasis of Shampoo's preconditioner.

    Vyas et al. 2024 (arXiv:2409.11321). Vectors and scalars are columns; arrays of more axes are
    matrices of their last one. The first step only gathers.

    Args:
        learning_rate: greater than 0.
        decay_steps: steps over which the learning rate falls to zero by a cosine; 0: it is
            constant.
        b1: decay of the mean of the gradient, from 0 to below 1.
        b2: decay of the mean of its squares, and of the preconditioner, from 0 to below 1.
        eps: what is added to the root of the squares, at least 0.
        every: steps between the QR iterations that follow the eigenbasis.
    """

    learning_rate: float = number(3e-3, above=0)
    decay_steps: int = whole(0, least=0, most=10**9)
    b1: float = number(0.95, least=0, below=1)
    b2: float = number(0.95, least=0, below=1)
    eps: float = number(1e-8, least=0)
    every: int = whole(10)

    def transformation(self) -> optax.GradientTransformation:
        return _soap(
            self.learning_rate,
            self.decay_steps,
            b1=self.b1,
            b2=self.b2,
            eps=self.eps,
            every=self.every,
        )


def _soap(
    learning_rate: float, decay_steps: int, *, b1: float, b2: float, eps: float, every: int
) -> optax.GradientTransformation:
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

        def turned(_):
            sides = [
                _followed(average, q, count)
                for average, q in zip(averages, (left, right), strict=True)
            ]
            (new_left, rows), (new_right, columns) = sides
            return new_left, new_right, square[rows][:, columns]

        new_left, new_right, square = jax.lax.cond(
            count % every == 0, turned, lambda _: (left, right, square), None
        )
        leaf = _Leaf(
            jnp.where(count > 0, mean, 0.0),
            jnp.where(count > 0, square, 0.0),
            _Basis(averages[0], new_left),
            _Basis(averages[1], new_right),
        )
        return update, leaf

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def _matrix(array: Array) -> Float[Array, "m n"]:
    return array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(-1, 1)


def _followed(average: Array, vectors: Array, count: Array) -> tuple[Array, Array]:
    """The eigenvectors one QR iteration on, by falling eigenvalue, and the order that the old ones
    were put in.
    """

    def first(_):
        return jnp.linalg.eigh(average)[1][:, ::-1], jnp.arange(len(average))

    def next_(_):
        order = jnp.argsort(-jnp.sum(vectors * (average @ vectors), 0))
        return jnp.linalg.qr(average @ vectors[:, order])[0], order

    return jax.lax.cond(count == 0, first, next_, None)
