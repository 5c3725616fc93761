"""Training some of the parameters while the others stay as they are: transfer to a new task."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from pinops.optimizers._optimizer import LeastSquares, Objective, Optimizer, Step, as_optimizer
from pinops.optimizers._wrappers import Wrapper
from pinops.settings import Function, setting


class Only(Wrapper):
    """Any optimizer, of some of the parameters.

    Example:
        >>> from pinops.optimizers import Adam, Only
        >>> optimizer = Only(Adam(1e-3), lambda params: params.network.branch.network.head)

    The optimizer sees a smaller problem; the gradient or Jacobian is that of all.

    Args:
        optimizer: one of `pinops.optimizers`, or an optax transformation.
        where: from the parameters of a training to the part of them, or a tuple of parts, that is
            trained; ``params.network`` is the network of `solve` or the operator of `train`.

    Raises:
        ValueError: when the part has no parameters.
    """

    trains_all: ClassVar[bool] = False  # pyright: ignore[reportIncompatibleMethodOverride]
    optimizer: Optimizer
    where: Callable[[Any], Any] = setting(Function())

    def __init__(self, optimizer: Any, where: Callable[[Any], Any]):
        self.optimizer = as_optimizer(optimizer)
        self.where = where

    def over(self, steps: int) -> "Only":
        return Only(self.optimizer.over(steps), self.where)

    def _chosen(self, params: PyTree) -> PyTree:
        """True for every array that is trained."""
        nothing = jax.tree.map(lambda _: False, params)
        chosen = eqx.tree_at(
            self.where, nothing, replace_fn=lambda part: jax.tree.map(lambda _: True, part)
        )
        if not any(jax.tree.leaves(chosen)):
            raise ValueError(
                "Only: the part that is to be trained has no parameters; choose another with where"
            )
        return chosen

    def _seen(self, objective: Objective, params: PyTree) -> tuple[PyTree, PyTree, Objective]:
        """The part that is trained, the rest, and the objective of the part."""
        chosen = self._chosen(params)
        part, rest = eqx.partition(params, chosen)

        def value_and_gradient(part):
            value, gradient = objective(eqx.combine(part, rest))
            return value, eqx.filter(gradient, chosen)

        if not isinstance(objective, LeastSquares):
            return part, rest, value_and_gradient
        sizes = [
            np.full(leaf.size, keep)
            for leaf, keep in zip(jax.tree.leaves(params), jax.tree.leaves(chosen), strict=True)
        ]
        columns = np.flatnonzero(np.concatenate(sizes))

        def jacobian(part):
            vector, rows = objective.jacobian(eqx.combine(part, rest))
            return vector, rows[:, columns]

        return (
            part,
            rest,
            LeastSquares(
                value_and_gradient,
                lambda part: objective.residuals(eqx.combine(part, rest)),
                jacobian,
            ),
        )

    def init(self, params: PyTree) -> PyTree:
        return self.optimizer.init(eqx.filter(params, self._chosen(params)))

    def start(self, objective: Objective, params: PyTree, state: PyTree) -> PyTree:
        part, _, own = self._seen(objective, params)
        return self.optimizer.start(own, part, state)

    def update(self, objective: Objective, params: PyTree, state: PyTree) -> Step:
        part, rest, own = self._seen(objective, params)
        step = self.optimizer.update(own, part, state)
        return step._replace(params=eqx.combine(step.params, rest))

    def recover(self, params: PyTree, state: PyTree) -> PyTree:
        return self.optimizer.recover(eqx.filter(params, self._chosen(params)), state)

    def expecting(self, state: PyTree, steps: int) -> PyTree:
        return self.optimizer.expecting(state, steps)

    def answered(self, params: PyTree, state: PyTree) -> PyTree:
        part, rest = eqx.partition(params, self._chosen(params))
        return eqx.combine(self.optimizer.answered(part, state), rest)

    def divisible(self, state: PyTree) -> list[Any]:
        return self.optimizer.divisible(state)
