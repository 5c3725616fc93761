"""Symmetric networks: functions that stay the same when their features change places."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pinops.derivatives import Jet, Plan, derivatives_of, elementwise
from pinops.networks._network import (
    MAX_DEPTH,
    MAX_WIDTH,
    MLP,
    Architecture,
    JetNetwork,
    MLPNetwork,
    glorot,
)
from pinops.settings import function, whole

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)


class SymmetricNetwork(JetNetwork):
    """``outer(sum_i (s(inner(x_i)) - mean of s(inner) on (-1, 1)) / sqrt(d))`` of d features.

    Attributes:
        inner: Of one feature.
        outer: Of the sums.
    """

    plain: ClassVar[bool] = True
    inner: MLPNetwork
    outer: MLPNetwork

    def jet(self, features: Jet, plan: Plan) -> Jet:
        activation = derivatives_of(self.inner.activation)

        def each(jet: Jet, plan: Plan) -> Jet:
            return elementwise(activation, self.inner.jet(jet, plan), plan)

        n, d = features[()].shape
        streams = each(
            {
                index: jnp.broadcast_to(stream, (n, d)).reshape(-1, 1)
                for index, stream in features.items()
            },
            plan,
        )
        # The sum of thousands of equal terms would drown what differs from point to point.
        nodes = each({(): jnp.asarray(NODES[:, None], streams[()].dtype)}, Plan())[()]
        streams[()] = streams[()] - (jnp.asarray(WEIGHTS / 2, nodes.dtype) @ nodes)[None]
        return self.outer.jet(
            {index: stream.reshape(n, d, -1).sum(1) / d**0.5 for index, stream in streams.items()},
            plan,
        )


class Symmetric(Architecture):
    """For problems that stay the same when coordinates change places: a function of sums over them.

    DeepSets (Zaheer et al. 2017, arXiv:1703.06114). The number of its parameters does not depend on
    the dimension.

    Args:
        width: units of each layer that every feature passes through by itself.
        depth: number of these layers; the sums of the last one's units are the inputs of an `MLP`.
        activation: an elementwise function.
        outer: units of the hidden layer of that `MLP`.
    """

    plain: ClassVar[bool] = True
    width: int = whole(8, most=MAX_WIDTH)
    depth: int = whole(1, most=MAX_DEPTH)
    activation: Callable[[Array], Array] = function(jnp.tanh)
    outer: int = whole(16, most=MAX_WIDTH)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> SymmetricNetwork:
        last, *keys = jax.random.split(key, 1 + 2 * self.depth)
        sizes = [1, *[self.width] * self.depth]
        weights = [glorot(k, i, o) for k, i, o in zip(keys[::2], sizes, sizes[1:], strict=False)]
        # Without offsets all functions of one feature would be odd.
        biases = [jax.random.uniform(k, (self.width,), minval=-1, maxval=1) for k in keys[1::2]]
        outer = MLP(self.outer, 1, self.activation).build(self.width, out_size, key=last)
        return SymmetricNetwork(MLPNetwork(weights, biases, self.activation), outer)
