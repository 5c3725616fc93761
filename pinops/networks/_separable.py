"""Separable networks: sums of products of functions of one feature each (Cho et al. 2023, arXiv:2306.15969)."""

from collections.abc import Callable
from functools import partial, reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pinops.derivatives import Jet, Plan, feature, product
from pinops.networks._network import MLP, Architecture, JetNetwork, MLPNetwork, whole_numbers


class SeparableNetwork(JetNetwork):
    """``u_c(x) = sum_r f_1rc(x_1) ... f_drc(x_d)``; a factor carries the derivatives by its own coordinate alone."""

    factors: list[MLPNetwork]
    rank: int = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        if features[()].shape[1] != len(self.factors):
            raise ValueError(
                f"this separable network has {len(self.factors)} coordinates, not {features[()].shape[1]}"
            )
        jets = [factor.jet(feature(features, k), plan) for k, factor in enumerate(self.factors)]
        products = reduce(partial(product, plan=plan), jets)
        return {
            index: stream.reshape(len(stream), self.rank, -1).sum(1)
            for index, stream in products.items()
        }


class Separable(Architecture):
    """A separable physics-informed network (Cho et al. 2023): a small multilayer perceptron for every coordinate.

    **Arguments:** ``rank`` >= 1: how many products are summed; ``width``, ``depth``, ``activation``: of each `MLP`.
    """

    rank: int = eqx.field(static=True, default=20)
    width: int = eqx.field(static=True, default=20)
    depth: int = eqx.field(static=True, default=2)
    activation: Callable[[Array], Array] = eqx.field(static=True, default=jnp.tanh)

    def __check_init__(self):
        whole_numbers(self, "rank", "width", "depth")

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> SeparableNetwork:
        one = MLP(self.width, self.depth, self.activation)
        factors = [
            one.build(1, self.rank * out_size, key=k) for k in jax.random.split(key, in_size)
        ]
        # Outputs of size one: a product of smaller ones vanishes.
        grown = lambda factor: eqx.tree_at(
            lambda f: f.weights[-1], factor, factor.weights[-1] * jnp.sqrt((self.rank + 1) / 2)
        )
        return SeparableNetwork([grown(factor) for factor in factors], self.rank)
