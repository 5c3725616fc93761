"""Gated networks of Fourier features, and sums of them: what hypernetworks generate."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import (
    Jet,
    Plan,
    add,
    concatenate,
    cosine,
    derivatives_of,
    elementwise,
    linear,
    product,
    sine,
)
from pinops.networks._network import MAX_DEPTH, MAX_WIDTH, Architecture, JetNetwork, glorot
from pinops.settings import whole

LOWEST = 0.1  # of the frequencies, in turns: a period of 10
_GATES = 3  # layers that see the coordinates: two gates and the first one


@cache
def frequencies(bands: int) -> Float[np.ndarray, " bands"]:
    """In radians: each twice as high as the one before, the lowest with a period of 10."""
    return 2 * math.pi * LOWEST * 2.0 ** np.arange(bands)


class GatedFourierNetwork(JetNetwork):
    """Fourier features, two gates and multiplicative skips.

    With features p of its inputs in [-1, 1], ``U = tanh(p W_U + b_U)``, ``V = tanh(p W_V + b_V)``
    and ``H_0 = tanh(p W_0 + b_0)``, it is ``H_i = tanh((U H + V (1 - H)) W_i + b_i)``, where H is
    that of the layer before, and ``u = H W + b``. Other than in `ModifiedMLP` the last layer is not
    behind the gates.

    Attributes:
        weights: W_U, W_V, W_0, ..., W.
        biases: b_U, b_V, b_0, ..., b.
        bands: Frequencies of the features.
    """

    weights: list[Float[Array, "*b _i _o"]]
    biases: list[Float[Array, "*b _o"]]
    bands: int = eqx.field(static=True)

    def reordered(self, axes: Sequence[int]) -> "GatedFourierNetwork":
        """The same function of inputs in another order, of which ``axes`` says where they were."""
        d, bands = len(axes), self.bands
        of_waves = [axis * bands + band for axis in axes for band in range(bands)]
        rows = [*of_waves, *(d * bands + row for row in of_waves)]
        rows = np.asarray([*rows, *(2 * d * bands + axis for axis in axes)])
        first = [jnp.take(weight, rows, axis=-2) for weight in self.weights[:_GATES]]
        return replace(self, weights=[*first, *self.weights[_GATES:]])

    def jet(self, features: Jet, plan: Plan) -> Jet:
        seen = waves(features, self.bands, plan)
        bend = derivatives_of(jnp.tanh)
        width = self.biases[0].shape[0]
        # One product for the three layers that see the coordinates.
        first = linear(
            seen, jnp.concatenate(self.weights[:_GATES], 1), jnp.concatenate(self.biases[:_GATES])
        )
        bent = elementwise(bend, first, plan)
        u, v, h = (
            {index: stream[:, k * width : (k + 1) * width] for index, stream in bent.items()}
            for k in range(_GATES)
        )
        difference = add(u, {index: -stream for index, stream in v.items()})
        for weight, bias in zip(self.weights[_GATES:-1], self.biases[_GATES:-1], strict=True):
            gated = add(v, product(difference, h, plan))
            h = elementwise(bend, linear(gated, weight, bias), plan)
        return linear(h, self.weights[-1], self.biases[-1])


def waves(features: Jet, bands: int, plan: Plan) -> Jet:
    """Sines and cosines of the coordinates at all frequencies, and the coordinates themselves."""

    def angles(stream: Array | np.ndarray) -> Array | np.ndarray:
        # Not a matrix product: accelerators round the factors of those.
        scale = frequencies(bands).astype(stream.dtype)
        return (stream[:, :, None] * scale[None, None]).reshape(len(stream), -1)

    at = {index: angles(stream) for index, stream in features.items()}
    return concatenate([elementwise(sine, at, plan), elementwise(cosine, at, plan), features])


class Superposition(JetNetwork):
    """The sum of several networks of one shape.

    Attributes:
        networks: In the leading axis of every array.
    """

    networks: GatedFourierNetwork

    def jet(self, features: Jet, plan: Plan) -> Jet:
        jets = jax.vmap(lambda network: network.jet(features, plan))(self.networks)
        return {index: jnp.sum(stream, 0) for index, stream in jets.items()}


class GatedFourier(Architecture):
    """A sum of gated networks of Fourier features, which a hypernetwork generates.

    Bischof et al. 2025, arXiv:2509.05117, section 3.2; refinement adds members.

    Args:
        width: Units of each hidden layer.
        depth: Hidden layers behind the first one.
        bands: Frequencies of the features; the highest angular one is ``0.2 pi 2^(bands - 1)`` for
            inputs in [-1, 1].
        members: How many networks are added.
    """

    width: int = whole(32, most=MAX_WIDTH)
    depth: int = whole(3, most=MAX_DEPTH)
    bands: int = whole(5, most=10)
    members: int = whole(1, most=10_000)

    def matrices(self, in_size: int, out_size: int) -> list[tuple[int, int]]:
        """The shapes of those of both gates, of all hidden layers, and of the last layer."""
        first = [(in_size * (2 * self.bands + 1), self.width)] * _GATES
        hidden = [(self.width, self.width)] * self.depth
        return [*first, *hidden, (self.width, out_size)]

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> Superposition:
        def drawn(key: PRNGKeyArray) -> GatedFourierNetwork:
            shapes = self.matrices(in_size, out_size)
            keys = jax.random.split(key, len(shapes))
            weights = [glorot(k, i, o) for k, (i, o) in zip(keys, shapes, strict=True)]
            weights[-1] = weights[-1] / self.members**0.5
            return GatedFourierNetwork(weights, [jnp.zeros(o) for _, o in shapes], self.bands)

        return Superposition(jax.vmap(drawn)(jax.random.split(key, self.members)))
