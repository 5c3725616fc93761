"""Networks whose hidden layers are gated by two encodings of the input (Wang, Teng & Perdikaris 2021, arXiv:2001.04536)."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import Jet, Plan, add, derivatives_of, elementwise, linear, product
from pinops.networks._network import Architecture, JetNetwork, glorot, whole_numbers


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


def _scaled(jet: Jet, factor: Array | float) -> Jet:
    return {index: factor * stream for index, stream in jet.items()}


class ModifiedMLPNetwork(JetNetwork):
    """``h <- z u + (1 - z) v`` with ``z = s(h W + b)`` in every hidden layer, and two encodings u, v of the input."""

    encoders: tuple[Dense, Dense]
    layers: list[Dense]
    last: Dense
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        bend = lambda jet: elementwise(derivatives_of(self.activation), jet, plan)
        u, v = (bend(encoder(features)) for encoder in self.encoders)
        difference = add(u, _scaled(v, -1.0))
        h = features
        for layer in self.layers:
            h = add(v, product(bend(layer(h)), difference, plan))
        return self.last(h)


class ModifiedMLP(Architecture):
    """The modified multilayer perceptron of Wang, Teng & Perdikaris (2021), section 2.6: hidden layers gated by the input.

    **Arguments:** ``width``, ``depth``, ``activation``: as for `MLP`.
    """

    width: int = eqx.field(static=True, default=30)
    depth: int = eqx.field(static=True, default=3)
    activation: Callable[[Array], Array] = eqx.field(static=True, default=jnp.tanh)

    def __check_init__(self):
        whole_numbers(self, "width", "depth")

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
    """Blocks of three layers, two of them gated, each mixed with its input by a weight alpha that starts at zero."""

    first: Dense
    encoders: tuple[Dense, Dense]
    blocks: list[tuple[Dense, Dense, Dense]]
    alphas: Float[Array, " _b"]
    last: Dense
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        bend = lambda jet: elementwise(derivatives_of(self.activation), jet, plan)
        x = bend(self.first(features))
        u, v = (bend(encoder(x)) for encoder in self.encoders)
        difference = add(u, _scaled(v, -1.0))
        gated = lambda layer, h: add(v, product(bend(layer(h)), difference, plan))
        for (one, two, three), alpha in zip(self.blocks, self.alphas, strict=True):
            h = bend(three(gated(two, gated(one, x))))
            x = add(_scaled(h, alpha), _scaled(x, 1 - alpha))
        return self.last(x)

    def fitted_first(self) -> Dense:
        return self.last


class PirateNet(Architecture):
    """Physics-informed residual adaptive network (Wang, Li, Chen & Perdikaris 2024, arXiv:2402.00326, section 4).

    It starts as a linear combination of its first layer, which `pinops.solve` fits to the data of initial and boundary
    conditions in the loss by least squares (section 4.2), and becomes deep as training opens its blocks.

    **Arguments:** ``width``, ``activation``: as for `MLP`; ``blocks`` >= 1 of three layers each.
    """

    width: int = eqx.field(static=True, default=30)
    blocks: int = eqx.field(static=True, default=1)
    activation: Callable[[Array], Array] = eqx.field(static=True, default=jnp.tanh)

    def __check_init__(self):
        whole_numbers(self, "width", "blocks")

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> PirateNetwork:
        first, u, v, last, *rest = jax.random.split(key, 4 + 3 * self.blocks)
        square = lambda key: Dense.build(self.width, self.width, key=key)
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
