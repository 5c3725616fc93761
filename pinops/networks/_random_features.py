"""Random features: a hidden layer that stays as it was drawn, and a last layer that a linear problem determines."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import Jet, Plan, derivatives_of, elementwise, linear
from pinops.networks._network import Architecture, Frozen, JetNetwork, whole_numbers


class RandomFeatureNetwork(JetNetwork):
    """``s(x W + b) A + a`` with trainable A and a."""

    hidden: Frozen  # W and b
    weight: Float[Array, "m o"]
    bias: Float[Array, " o"]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        hidden = elementwise(derivatives_of(self.activation), linear(features, *self.hidden.tree), plan)
        return linear(hidden, self.weight, self.bias)


class RandomFeatures(Architecture):
    """A random feature method (Chen, Chi, E & Yang 2022, arXiv:2207.13380; extreme learning machine: Dong & Li 2021).

    With `pinops.optimizers.TruncatedGaussNewton` a linear problem is solved in one step, a nonlinear one in several.

    **Arguments:** ``features`` >= 1; ``scale`` > 0: W and b are uniform in (-scale, scale), for inputs in (-1, 1); about the
    largest angular frequency of the solution; ``activation``: elementwise, as for `MLP`.
    """

    features: int = eqx.field(static=True, default=1000)
    scale: float = eqx.field(static=True, default=6.0)
    activation: Callable[[Array], Array] = eqx.field(static=True, default=jnp.tanh)

    def __check_init__(self):
        whole_numbers(self, "features")
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"RandomFeatures: scale must be greater than zero and finite, got {self.scale}")

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> RandomFeatureNetwork:
        directions, offsets, last = jax.random.split(key, 3)
        draw = lambda key, *shape: jax.random.uniform(key, shape, minval=-self.scale, maxval=self.scale)
        hidden = Frozen((draw(directions, in_size, self.features), draw(offsets, self.features)))
        weight = jax.random.normal(last, (self.features, out_size)) / self.features
        return RandomFeatureNetwork(hidden, weight, jnp.zeros(out_size), self.activation)
