"""Encoders of a function whose sensors differ from sample to sample: its sensors are a set.

What an encoder makes of a set depends neither on the order of the sensors nor on what fills up
behind them. One network sees each sensor by itself, where it is and what it measures; a mean over
the sensors follows, plain (`DeepSet`) or weighted by what the network has seen (`Attention`); a
second network makes the coefficients of it.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import Plan
from pinops.networks._encoder import Encoder, EncoderArchitecture, Shapes
from pinops.networks._gated import ModifiedMLP
from pinops.networks._network import MLP, NETWORK, Architecture, JetNetwork
from pinops.problem import Inputs, Sensors, at_sensors, in_words
from pinops.settings import instance, whole


class MeanEncoder(Encoder):
    """The mean over the sensors of what a network makes of each, through a second network.

    Attributes:
        name: Of the input.
        each: Of the position and the values of one sensor.
        after: Of the mean.
    """

    name: str = eqx.field(static=True)
    each: Callable[[Array], Array]
    after: Callable[[Array], Array]

    def __call__(self, inputs: Inputs) -> Float[Array, " o"]:
        sensors = sensors_of(inputs, self.name)
        present = jnp.asarray(sensors.present)
        mean = present @ _seen(self.each, sensors) / jnp.maximum(jnp.sum(present), 1)
        return self.after(mean)


class DeepSet(EncoderArchitecture):
    """A mean over sensors between two networks.

    Source: Zaheer et al. 2017 (arXiv:1703.06114), theorem 2, with a mean instead of the sum, so
    that the size of the answer does not grow with the number of sensors.

    Args:
        each: The network that sees one sensor.
        after: The network of the mean.
        latent: How many numbers are averaged.
    """

    each: Architecture = instance(Architecture, ModifiedMLP(100, 3), what=NETWORK)
    after: Architecture = instance(Architecture, MLP(100, 2), what=NETWORK)
    latent: int = whole(100, most=100_000)

    def build(self, shapes: Shapes, out_size: int, *, key: PRNGKeyArray) -> MeanEncoder:
        name, sizes = one_function(self, shapes)
        first, second = jax.random.split(key)
        each = self.each.build(sum(sizes), self.latent, key=first)
        return MeanEncoder(name, each, self.after.build(self.latent, out_size, key=second))


class AttentionEncoder(Encoder):
    """Several weighted means over the sensors, whose weights are a softmax of what a network makes
    of each, through a second network.

    Attributes:
        name: Of the input.
        heads: The number of means.
        each: Of the position and the values of one sensor.
        after: Of the means.
    """

    name: str = eqx.field(static=True)
    heads: int = eqx.field(static=True)
    each: Callable[[Array], Array]
    after: Callable[[Array], Array]

    def __call__(self, inputs: Inputs) -> Float[Array, " o"]:
        sensors = sensors_of(inputs, self.name)
        seen = _seen(self.each, sensors)
        scores, values = seen[:, : self.heads], seen[:, self.heads :]
        scores = jnp.where(jnp.asarray(sensors.present)[:, None] > 0, scores, -jnp.inf)
        weights = jax.nn.softmax(scores, axis=0)
        values = values.reshape(len(values), self.heads, -1)
        return self.after(jnp.einsum("kh,khl->hl", weights, values).ravel())


class Attention(EncoderArchitecture):
    """Weighted means over sensors between two networks.

    Source: Prasthofer, De Ryck & Mishra 2022 (arXiv:2205.11404), here with weights and values
    from one network. Weights make up for sensors that are denser in one place than in another.

    Args:
        each: The network that sees one sensor.
        after: The network of the means.
        heads: How many means there are, each with weights of its own.
        latent: How many numbers each of them averages.
    """

    each: Architecture = instance(Architecture, ModifiedMLP(100, 3), what=NETWORK)
    after: Architecture = instance(Architecture, MLP(100, 2), what=NETWORK)
    heads: int = whole(16, most=10_000)
    latent: int = whole(8, most=10_000)

    def build(self, shapes: Shapes, out_size: int, *, key: PRNGKeyArray) -> AttentionEncoder:
        name, sizes = one_function(self, shapes)
        first, second = jax.random.split(key)
        each = self.each.build(sum(sizes), self.heads * (1 + self.latent), key=first)
        size = self.heads * self.latent
        return AttentionEncoder(
            name, self.heads, each, self.after.build(size, out_size, key=second)
        )


def one_function(architecture: EncoderArchitecture, shapes: Shapes) -> tuple[str, tuple[int, int]]:
    """The name of the only input, its dimensions and its channels.

    Raises:
        ValueError: For other inputs.
    """
    owner = type(architecture).__name__
    if len(shapes) == 1:
        ((name, shape),) = shapes.items()
        if at_sensors(shape):
            return name, (shape[1], shape[2])
    raise ValueError(
        f"{owner}: takes one input at sensors of its own, got {in_words(shapes)}; give "
        f"sensors={{...}} with the data, and Product((Selected((NAME,), {owner}()), ...)) for "
        "several inputs"
    )


def sensors_of(inputs: Inputs, name: str) -> Sensors:
    """The input with this name."""
    found = inputs[name]
    assert isinstance(found, Sensors), "an encoder is built for the inputs that it sees"
    return found


def _seen(network: Callable[[Array], Array], sensors: Sensors) -> Float[Array, "k l"]:
    """What a network makes of each sensor."""
    rows = jnp.concatenate([jnp.asarray(sensors.at), jnp.asarray(sensors.values)], 1)
    if isinstance(network, JetNetwork):
        return jnp.asarray(network.jet({(): rows}, Plan())[()])
    return jax.vmap(network)(rows)
