"""SOAP: Adam in the slowly moving eigenbasis of Shampoo's preconditioner (Vyas et al. 2024,
arXiv:2409.11321).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from pinops.optimizers._optimizer import OptaxMethod, decay_over, decay_setting, falling
from pinops.settings import number, whole


class _Basis(NamedTuple):
    """Of one axis of an array, unfolded to a matrix G: the moving average of G G' and its
    eigenvectors, nearly.
    """

    average: Float[Array, "m m"]
    vectors: Float[Array, "m m"]


class _Leaf(NamedTuple):
    """Of one parameter; of all that have its shape, with a leading axis, in a `SoapState`."""

    mean: Array  # of the gradient, in the coordinates of the parameters
    square: Array  # of the rotated gradient
    axes: list[_Basis | None]  # None: an axis that is too long for one


class SoapState(NamedTuple):
    count: Array
    groups: list[_Leaf]  # one for each shape


class SOAP(OptaxMethod):
    """SOAP: Adam in the slowly moving eigenbasis of Shampoo's preconditioner.

    Vyas et al. 2024 (arXiv:2409.11321). Vectors and scalars are columns; arrays have a basis for
    each axis. The first step only gathers.

    Args:
        learning_rate: greater than 0.
        decay_steps: steps over which the learning rate falls to zero by a cosine, or sooner where
            there is no time for all of them; None: all steps of its phase; 0: it is constant.
        b1: decay of the mean of the gradient, from 0 to below 1.
        b2: decay of the mean of its squares, and of the preconditioner, from 0 to below 1.
        eps: what is added to the root of the squares, at least 0.
        every: steps between the QR iterations that follow the eigenbasis.
        largest: the length of the longest axis that has a basis (section 4 of the paper); along
            longer ones it is Adam.
    """

    learning_rate: float = number(3e-3, above=0)
    decay_steps: int | None = decay_setting()
    b1: float = number(0.95, least=0, below=1)
    b2: float = number(0.95, least=0, below=1)
    eps: float = number(1e-8, least=0)
    every: int = whole(10)
    largest: int = whole(8192)

    def over(self, steps: int) -> "SOAP":
        return replace(self, decay_steps=decay_over(self.decay_steps, steps))

    def decays_over(self) -> int:
        return self.decay_steps or 0

    def transformation(self, position: Array | None = None) -> optax.GradientTransformation:
        rate = falling(self.learning_rate, self.decays_over(), position)
        return _soap(
            rate if callable(rate) else lambda count: rate,
            b1=self.b1,
            b2=self.b2,
            eps=self.eps,
            every=self.every,
            largest=self.largest,
        )


def _soap(
    rate: Callable[[Array], Any], *, b1: float, b2: float, eps: float, every: int, largest: int
) -> optax.GradientTransformation:

    def init(params: PyTree) -> SoapState:
        def basis(n: int, dtype: Any) -> _Basis | None:
            if n > largest:
                return None
            return _Basis(jnp.zeros((n, n), dtype), jnp.eye(n, dtype=dtype))

        def leaf(parameter: Array) -> _Leaf:
            zero = jnp.zeros_like(_axes(parameter))
            return _Leaf(zero, zero, [basis(n, zero.dtype) for n in zero.shape])

        def stacked(parameters: list[Array]) -> _Leaf:
            return jax.tree.map(lambda *xs: jnp.stack(xs), *map(leaf, parameters))

        groups = [stacked(parameters) for parameters in _by_shape(jax.tree.leaves(params)).values()]
        return SoapState(jnp.zeros((), jnp.int32), groups)

    def update(
        gradients: PyTree, state: SoapState, params: PyTree | None = None
    ) -> tuple[PyTree, SoapState]:
        del params
        flat, structure = jax.tree.flatten(gradients)
        groups = _by_shape(flat)
        updates, leaves = {}, []
        for (shape, group), leaf in zip(groups.items(), state.groups, strict=True):
            # A loop over the parameters of a shape: their steps are compiled once.
            steps, new = jax.lax.map(
                lambda own: _step(_axes(own[0]), own[1], state.count), (jnp.stack(group), leaf)
            )
            updates[shape] = iter(steps)
            leaves.append(new)
        leaves = jax.lax.cond(
            state.count % every == 0, _realigned, lambda leaves, _: leaves, leaves, state.count
        )
        return jax.tree.unflatten(
            structure, [next(updates[_kind(g)]).reshape(g.shape) for g in flat]
        ), SoapState(state.count + 1, leaves)

    def _step(g: Array, leaf: _Leaf, count: Array) -> tuple[Array, _Leaf]:
        mean = b1 * leaf.mean + (1 - b1) * g
        averages = [
            None if side is None else b2 * side.average + (1 - b2) * _outer(g, axis)
            for axis, side in enumerate(leaf.axes)
        ]
        vectors = [None if side is None else side.vectors for side in leaf.axes]
        back = [None if q is None else q.T for q in vectors]
        square = b2 * leaf.square + (1 - b2) * jnp.square(_turned(g, vectors))
        # The first gradient only makes the basis, so that the means start one step later.
        age = jnp.maximum(count, 1)
        corrected = _turned(mean, vectors) / (1 - b1**age)
        step = corrected / (jnp.sqrt(square / (1 - b2**age)) + eps)
        update = jnp.where(count > 0, -rate(count), 0.0) * _turned(step, back)

        sides = [
            None if average is None or q is None else _Basis(average, q)
            for average, q in zip(averages, vectors, strict=True)
        ]
        mean, square = (jnp.where(count > 0, x, 0.0) for x in (mean, square))
        return update, _Leaf(mean, square, sides)

    return optax.GradientTransformation(init, update)  # pyright: ignore[reportArgumentType]


def _by_shape(arrays: Sequence[Array]) -> dict[Hashable, list[Array]]:
    """The arrays of each shape and precision."""
    groups: dict[Hashable, list[Array]] = {}
    for array in arrays:
        groups.setdefault(_kind(array), []).append(array)
    return groups


def _kind(array: Array) -> Hashable:
    return array.shape, array.dtype


def _axes(array: Array) -> Float[Array, "m n ..."]:
    """The array with at least two axes."""
    return array if array.ndim > 1 else array.reshape(-1, 1)


def _outer(g: Array, axis: int) -> Float[Array, "n n"]:
    """G G' of the array unfolded along an axis."""
    matrix = jnp.moveaxis(g, axis, 0).reshape(g.shape[axis], -1)
    return matrix @ matrix.T


def _turned(x: Array, vectors: list[Array | None]) -> Array:
    """The coordinates of an array in the basis of each axis; ``vectors`` are columns."""
    for axis, q in enumerate(vectors):
        if q is not None:
            x = jnp.moveaxis(jnp.tensordot(x, q, axes=((axis,), (0,))), -1, axis)
    return x


def _realigned(leaves: list[_Leaf], count: Array) -> list[_Leaf]:
    """The leaves with their bases one QR iteration on.

    Those of one size follow in one loop, so that its decompositions are compiled once.
    """
    axes = [list(leaf.axes) for leaf in leaves]
    squares = [leaf.square for leaf in leaves]
    sizes: dict[Hashable, list[tuple[int, int, _Basis]]] = {}
    for k, sides in enumerate(axes):
        for axis, side in enumerate(sides):
            if side is not None:
                sizes.setdefault(_kind(side.average[0]), []).append((k, axis, side))
    for alike in sizes.values():
        averages, vectors = (
            jnp.concatenate(each) for each in zip(*(s for *_, s in alike), strict=True)
        )
        vectors, orders = jax.lax.map(lambda own: _followed(*own, count), (averages, vectors))
        start = 0
        for k, axis, side in alike:
            own = slice(start, start := start + len(side.average))
            axes[k][axis] = side._replace(vectors=vectors[own])
            squares[k] = _taken(squares[k], orders[own], axis)
    return [
        leaf._replace(square=square, axes=sides)
        for leaf, square, sides in zip(leaves, squares, axes, strict=True)
    ]


def _taken(x: Array, orders: Array, axis: int) -> Array:
    """Each array of a stack with its axis in an order of its own."""
    return jax.vmap(lambda one, order: jnp.take(one, order, axis=axis))(x, orders)


# Of an ensemble one after the other: on a CPU the decompositions of a batch wait for threads of the
# pool that they run in, and two of them at once wait for ever.
@jax.custom_batching.sequential_vmap
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
