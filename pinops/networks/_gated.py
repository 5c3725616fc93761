"""Networks whose hidden layers are gated by two encodings of the input (Wang, Teng & Perdikaris
2021, arXiv:2001.04536).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import Jet, Plan, add, derivatives_of, elementwise, linear, product
from pinops.networks._network import MAX_DEPTH, MAX_WIDTH, Architecture, JetNetwork, glorot
from pinops.settings import function, whole


class Dense(eqx.Module):
    """``x W + b``."""

    weight: Float[Array, "_i _o"]
    bias: Float[Array, " _o"]

    @classmethod
    def build(cls, in_size: int, out_size: int, *, key: PRNGKeyArray) -> "Dense":
        """Glorot-normal weights, zero biases."""
        return cls(glorot(key, in_size, out_size), jnp.zeros(out_size))

    def __call__(self, features: Jet) -> Jet:
        return linear(features, self.weight, self.bias)


def _bent(function: Callable[[Array], Array], jet: Jet, plan: Plan) -> Jet:
    return elementwise(derivatives_of(function), jet, plan)


def _scaled(jet: Jet, factor: Array | float) -> Jet:
    return {index: factor * stream for index, stream in jet.items()}


class ModifiedMLPNetwork(JetNetwork):
    """``h <- z u + (1 - z) v`` with ``z = s(h W + b)`` in every hidden layer, and two encodings u,
    v of the input.
    """

    encoders: tuple[Dense, Dense]
    layers: list[Dense]
    last: Dense
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        u, v = (_bent(self.activation, encoder(features), plan) for encoder in self.encoders)
        difference = add(u, _scaled(v, -1.0))
        h = features
        for layer in self.layers:
            h = add(v, product(_bent(self.activation, layer(h), plan), difference, plan))
        return self.last(h)


class ModifiedMLP(Architecture):
    """The modified multilayer perceptron, whose hidden layers are gated by the input.

    Wang, Teng & Perdikaris 2021 (arXiv:2001.04536), section 2.6.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: an elementwise function, as for `MLP`.
    """

    width: int = whole(30, most=MAX_WIDTH)
    depth: int = whole(3, most=MAX_DEPTH)
    activation: Callable[[Array], Array] = function(jnp.tanh)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> ModifiedMLPNetwork:
        keys = jax.random.split(key, self.depth + 3)
        sizes = [in_size, *[self.width] * self.depth]
        layers = [
            Dense.build(i, self.width, key=k) for i, k in zip(sizes[:-1], keys[3:], strict=True)
        ]
        u, v, last = (
            Dense.build(i, o, key=k)
            for i, o, k in zip(
                (in_size, in_size, self.width),
                (self.width, self.width, out_size),
                keys[:3],
                strict=True,
            )
        )
        return ModifiedMLPNetwork((u, v), layers, last, self.activation)


class PirateNetwork(JetNetwork):
    """Blocks of three layers, two of them gated, each mixed with its input by a weight alpha that
    starts at zero.
    """

    first: Dense
    encoders: tuple[Dense, Dense]
    blocks: list[tuple[Dense, Dense, Dense]]
    alphas: Float[Array, " _b"]
    last: Dense
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        def bend(jet: Jet) -> Jet:
            return _bent(self.activation, jet, plan)

        x = bend(self.first(features))
        u, v = (bend(encoder(x)) for encoder in self.encoders)
        difference = add(u, _scaled(v, -1.0))

        def gated(layer: Dense, h: Jet) -> Jet:
            return add(v, product(bend(layer(h)), difference, plan))

        for (one, two, three), alpha in zip(self.blocks, self.alphas, strict=True):
            h = bend(three(gated(two, gated(one, x))))
            x = add(_scaled(h, alpha), _scaled(x, 1 - alpha))
        return self.last(x)

    def fitted_first(self) -> Dense:
        return self.last


class PirateNet(Architecture):
    """Physics-informed residual adaptive network.

    Wang, Li, Chen & Perdikaris 2024 (arXiv:2402.00326), section 4.

    It starts as a linear combination of its first layer, which `pinops.solve` fits to the data of
    initial and boundary conditions in the loss by least squares (section 4.2), and becomes deep as
    training opens its blocks.

    Args:
        width: units of each hidden layer.
        blocks: number of blocks, of three layers each.
        activation: an elementwise function, as for `MLP`.
    """

    width: int = whole(30, most=MAX_WIDTH)
    blocks: int = whole(1, most=MAX_DEPTH)
    activation: Callable[[Array], Array] = function(jnp.tanh)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> PirateNetwork:
        first, u, v, last, *rest = jax.random.split(key, 4 + 3 * self.blocks)

        def square(key: PRNGKeyArray) -> Dense:
            return Dense.build(self.width, self.width, key=key)

        blocks = [
            (square(a), square(b), square(c))
            for a, b, c in zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        ]
        return PirateNetwork(
            Dense.build(in_size, self.width, key=first),
            (square(u), square(v)),
            blocks,
            jnp.zeros(self.blocks),
            Dense.build(self.width, out_size, key=last),
            self.activation,
        )
