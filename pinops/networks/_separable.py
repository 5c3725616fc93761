"""Separable networks: sums of products of functions of one feature each (Cho et al. 2023,
arXiv:2306.15969).
"""

from collections.abc import Callable
from functools import partial, reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pinops.derivatives import Jet, Plan, feature, product
from pinops.networks._network import MAX_DEPTH, MAX_WIDTH, MLP, Architecture, JetNetwork, MLPNetwork
from pinops.settings import function, whole


class SeparableNetwork(JetNetwork):
    """``u_c(x) = sum_r f_1rc(x_1) ... f_drc(x_d)``; a factor carries the derivatives by its own
    coordinate alone.
    """

    factors: list[MLPNetwork]
    rank: int = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        if features[()].shape[1] != len(self.factors):
            raise ValueError(
                f"this separable network has {len(self.factors)} coordinates, not "
                f"{features[()].shape[1]}"
            )
        jets = [factor.jet(feature(features, k), plan) for k, factor in enumerate(self.factors)]
        products = reduce(partial(product, plan=plan), jets)
        return {
            index: stream.reshape(len(stream), self.rank, -1).sum(1)
            for index, stream in products.items()
        }


class Separable(Architecture):
    """A separable physics-informed network (Cho et al. 2023): a small `MLP` for every coordinate.

    Args:
        rank: how many products are summed.
        width: units of each hidden layer of each `MLP`.
        depth: number of their hidden layers.
        activation: their elementwise function.
    """

    rank: int = whole(20, most=MAX_WIDTH)
    width: int = whole(20, most=MAX_WIDTH)
    depth: int = whole(2, most=MAX_DEPTH)
    activation: Callable[[Array], Array] = function(jnp.tanh)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> SeparableNetwork:
        one = MLP(self.width, self.depth, self.activation)
        factors = [
            one.build(1, self.rank * out_size, key=k) for k in jax.random.split(key, in_size)
        ]
        # Outputs of size one: a product of smaller ones vanishes.
        growth = jnp.sqrt((self.rank + 1) / 2)
        grown = [
            eqx.tree_at(lambda f: f.weights[-1], factor, factor.weights[-1] * growth)
            for factor in factors
        ]
        return SeparableNetwork(grown, self.rank)
