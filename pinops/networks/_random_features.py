"""Random features: a random hidden layer that is not trained, and a last layer that a linear
problem determines.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import Jet, Plan, derivatives_of, elementwise, linear
from pinops.networks._network import Architecture, Frozen, JetNetwork
from pinops.settings import Number, Several, function, setting, whole


class RandomFeatureNetwork(JetNetwork):
    """``s(x W + b) A + a`` with trainable A and a."""

    plain: ClassVar[bool] = True
    hidden: Frozen  # W and b
    weight: Float[Array, "m o"]
    bias: Float[Array, " o"]
    activation: Callable[[Array], Array] = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        hidden = elementwise(
            derivatives_of(self.activation), linear(features, *self.hidden.tree), plan
        )
        return linear(hidden, self.weight, self.bias)


class RandomFeatures(Architecture):
    """A random feature method (Chen, Chi, E & Yang 2022, arXiv:2207.13380).

    Also called an extreme learning machine (Dong & Li 2021).

    With `pinops.optimizers.TruncatedGaussNewton` a linear problem is solved in one step, a
    nonlinear one in several.

    Args:
        features: how many.
        scale: greater than 0: W and b are uniform in (-scale, scale), for inputs in (-1, 1); about
            the largest angular frequency of the solution; or a tuple, one for each input (plain
            coordinates come first, then the cosines and the sines of periodic ones).
        activation: an elementwise function, as for `MLP`.
    """

    plain: ClassVar[bool] = True
    features: int = whole(1000)
    scale: float | tuple[float, ...] = setting(Several(Number(above=0, most=1e6), single=True), 6.0)
    activation: Callable[[Array], Array] = function(jnp.tanh)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> RandomFeatureNetwork:
        if isinstance(self.scale, tuple) and len(self.scale) != in_size:
            raise ValueError(
                f"RandomFeatures: scale must be a number, or one for each of the {in_size} inputs, "
                f"got {self.scale}"
            )
        directions, offsets, last = jax.random.split(key, 3)
        scales = np.broadcast_to(self.scale, in_size)

        def draw(key: PRNGKeyArray, *shape: int) -> Array:
            return jax.random.uniform(key, shape, minval=-1, maxval=1)

        hidden = Frozen(
            (
                draw(directions, in_size, self.features) * scales[:, None],
                draw(offsets, self.features) * np.max(scales),
            )
        )
        weight = jax.random.normal(last, (self.features, out_size)) / self.features
        return RandomFeatureNetwork(hidden, weight, jnp.zeros(out_size), self.activation)
