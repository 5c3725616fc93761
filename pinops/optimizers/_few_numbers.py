"""Training a few numbers instead of all parameters, for a network that knows a similar task.

The optimizer sees z, and the parameters are ``theta_0 + delta(z)``. Two instances: the factors of
changes of low rank of every matrix, and a vector z whose entries are each shared by a random set of
parameters.
"""

import abc
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pinops.optimizers._optimizer import LeastSquares, Objective, Optimizer, Step, as_optimizer
from pinops.optimizers._wrappers import Wrapper
from pinops.settings import whole

_SEEDS = 2**31 - 1


class FewState(NamedTuple):
    """The state of the optimizer inside, and the numbers z that it trains."""

    inner: PyTree
    numbers: PyTree


class FewNumbers(Wrapper):
    """Abstract: any optimizer, of numbers z from which changes of the parameters follow."""

    trains_all: ClassVar[bool] = False  # pyright: ignore[reportIncompatibleMethodOverride]

    @abc.abstractmethod
    def first(self, params: PyTree) -> PyTree:
        """The z at which nothing has changed."""

    @abc.abstractmethod
    def change(self, numbers: PyTree, params: PyTree) -> PyTree:
        """delta(z), in the structure of the parameters, of which only the shapes count."""

    def over(self, steps: int) -> "FewNumbers":
        return replace(self, optimizer=self.optimizer.over(steps))

    def _moved(self, params: PyTree, before: PyTree, after: PyTree) -> PyTree:
        """The parameters with another z: they are those of ``before``, and keep theta_0 alone."""
        changes = self.change(before, params), self.change(after, params)
        return jax.tree.map(lambda p, old, new: p + (new - old), params, *changes)

    def _seen(self, objective: Objective, params: PyTree, before: PyTree) -> Objective:
        """The objective as a function of z."""

        def moved(numbers: PyTree) -> PyTree:
            return self._moved(params, before, numbers)

        def value_and_gradient(numbers: PyTree) -> tuple[Array, PyTree]:
            there, back = jax.vjp(moved, numbers)
            value, gradient = objective(there)
            return value, back(gradient)[0]

        if not isinstance(objective, LeastSquares):
            return value_and_gradient

        def jacobian(numbers: PyTree) -> tuple[Float[Array, " n"], Float[Array, "n p"]]:
            there, back = jax.vjp(moved, numbers)
            vector, rows = objective.jacobian(there)
            _, unravel = ravel_pytree(params)
            own = jax.vmap(lambda row: ravel_pytree(back(unravel(row))[0])[0])(rows)
            return vector, own

        return LeastSquares(
            value_and_gradient, lambda numbers: objective.residuals(moved(numbers)), jacobian
        )

    def init(self, params: PyTree) -> FewState:
        numbers = self.first(params)
        return FewState(self.optimizer.init(numbers), numbers)

    def start(self, objective: Objective, params: PyTree, state: FewState) -> FewState:
        own = self._seen(objective, params, state.numbers)
        return state._replace(inner=self.optimizer.start(own, state.numbers, state.inner))

    def update(self, objective: Objective, params: PyTree, state: FewState) -> Step:
        own = self._seen(objective, params, state.numbers)
        step = self.optimizer.update(own, state.numbers, state.inner)
        moved = self._moved(params, state.numbers, step.params)
        return step._replace(params=moved, state=FewState(step.state, step.params))

    def recover(self, params: PyTree, state: FewState) -> FewState:
        return state._replace(inner=self.optimizer.recover(state.numbers, state.inner))

    def expecting(self, state: FewState, steps: int) -> FewState:
        return state._replace(inner=self.optimizer.expecting(state.inner, steps))

    def answered(self, params: PyTree, state: FewState) -> PyTree:
        answer = self.optimizer.answered(state.numbers, state.inner)
        return self._moved(params, state.numbers, answer)

    def divisible(self, state: FewState) -> list[Any]:
        return self.optimizer.divisible(state.inner)


class Factors(NamedTuple):
    """Of a change of low rank of a matrix; leading axes are those of several matrices."""

    first: Float[Array, "*n i r"]
    last: Float[Array, "*n r o"]


class LowRank(FewNumbers):
    """Any optimizer, of changes of low rank: adapters for a network that knows a similar task.

    Of every weight W, ``(i, o)``, the factors of ``W + A B`` are trained, A ``(i, r)`` and B
    ``(r, o)``. A is random at first and B zero. Biases, and matrices that have no more numbers than
    their factors, are trained as they are.

    Example:
        >>> optimizer = po.optimizers.LowRank(po.optimizers.Adam(3e-3, None), 4)

    Source: Hu et al. 2022, arXiv:2106.09685 (LoRA), who leave biases as they are.

    Args:
        optimizer: One of `pinops.optimizers`, or an optax transformation.
        rank: r.
        seed: Of the random factors.
    """

    optimizer: Optimizer = eqx.field(converter=as_optimizer)
    rank: int = whole(4, most=10_000)
    seed: int = whole(0, least=0, most=_SEEDS)

    def first(self, params: PyTree) -> PyTree:
        leaves, structure = jax.tree.flatten(params)
        keys = jax.random.split(jax.random.key(self.seed), max(1, len(leaves)))

        def of(leaf: Array, key: Array) -> Array | Factors:
            *several, i, o = (1, 1, *leaf.shape) if leaf.ndim < 2 else leaf.shape
            if self.rank * (i + o) >= i * o:
                return jnp.zeros_like(leaf)
            random = jax.random.normal(key, (*several, i, self.rank), leaf.dtype)
            return Factors(random / i**0.5, jnp.zeros((*several, self.rank, o), leaf.dtype))

        return structure.unflatten(map(of, leaves, keys))

    def change(self, numbers: PyTree, params: PyTree) -> PyTree:
        def of(_: Array, own: Array | Factors) -> Array:
            return own.first @ own.last if isinstance(own, Factors) else own

        return jax.tree.map(of, params, numbers)


class Subspace(FewNumbers):
    """Any optimizer, in a random subspace of the parameters, for a network that knows a similar
    task.

    Every parameter is ``theta_0 + s z[j]`` with a random sign s and a random entry of z, so that
    the directions are orthogonal and a learning rate means what it means for all parameters.

    Example:
        >>> optimizer = po.optimizers.Subspace(po.optimizers.Adam(3e-3, None), 300)

    Source: Li et al. 2018, arXiv:1804.08838; the projection is that of Li et al. 2025,
    arXiv:2506.00799, with signs.

    Args:
        optimizer: One of `pinops.optimizers`, or an optax transformation.
        dimension: The number of entries of z.
        seed: Of the random choice.

    Raises:
        ValueError: For a dimension that is greater than the number of parameters.
    """

    optimizer: Optimizer = eqx.field(converter=as_optimizer)
    dimension: int = whole(300, most=10_000_000)
    seed: int = whole(0, least=0, most=_SEEDS)

    def first(self, params: PyTree) -> PyTree:
        leaves = jax.tree.leaves(params)
        count = sum(leaf.size for leaf in leaves)
        if self.dimension > count:
            raise ValueError(
                f"Subspace: dimension={self.dimension} is more than the {count} parameters; choose "
                "a smaller one, or train all without Subspace"
            )
        return jnp.zeros(self.dimension, jnp.result_type(*leaves))

    def change(self, numbers: PyTree, params: PyTree) -> PyTree:
        # Constants of the compiled program: drawing them in every step takes longer than the rest.
        random = np.random.default_rng(self.seed)

        def of(leaf: Array) -> Array:
            sign = random.choice(np.asarray([-1, 1], leaf.dtype), leaf.shape)
            return sign * numbers[random.integers(self.dimension, size=leaf.shape)]

        return jax.tree.map(of, params)
