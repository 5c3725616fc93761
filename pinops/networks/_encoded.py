"""Architectures around another one: its input through Fourier features, or its matrices in
factors.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pinops.derivatives import Jet, Plan, concatenate, cosine, elementwise, linear, sine
from pinops.networks._network import MLP, NETWORK, Architecture, Frozen, JetNetwork, trainable
from pinops.settings import Number, Several, instance, number, setting, whole


class FourierNetwork(JetNetwork):
    """``network(cos(x B), sin(x B))`` for each matrix B of frequencies, side by side into one
    linear layer.
    """

    frequencies: Frozen  # of the matrices, (in_size, frequencies) each
    network: JetNetwork
    last: Float[Array, "_m _o"] | None  # for several scales

    def jet(self, features: Jet, plan: Plan) -> Jet:
        outs = []
        for matrix in self.frequencies.tree:
            angle = linear(features, matrix)
            waves = concatenate([elementwise(wave, angle, plan) for wave in (cosine, sine)])
            outs.append(self.network.jet(waves, plan))
        return outs[0] if self.last is None else linear(concatenate(outs), self.last)

    def fitted_first(self) -> PyTree:
        return self.network.fitted_first() if self.last is None else None

    def remarks(self, points: int) -> list[str]:
        return self.network.remarks(points)


class FourierFeatures(Architecture):
    """A network of random Fourier features of its input (Tancik et al. 2020).

    Several scales share the network, whose outputs a last linear layer combines (Wang, Wang &
    Perdikaris 2021, arXiv:2012.10047, multi-scale Fourier features).

    Args:
        network: the architecture behind the features.
        scales: standard deviations of the angular frequencies, greater than 0, for inputs in (-1,
            1).
        frequencies: how many of each scale; they give twice as many features.
    """

    network: Architecture = instance(Architecture, MLP(width=30, depth=2), what=NETWORK)
    scales: tuple[float, ...] = setting(Several(Number(above=0, most=1e6), wrapped=True), (3.0,))
    frequencies: int = whole(15, most=100_000)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> FourierNetwork:
        inner, last, *keys = jax.random.split(key, 2 + len(self.scales))
        shape = (in_size, self.frequencies)
        matrices = [
            scale * jax.random.normal(k, shape) for scale, k in zip(self.scales, keys, strict=True)
        ]
        network = self.network.build(2 * self.frequencies, out_size, key=inner)
        count = len(matrices) * out_size
        mixed = (
            None
            if len(matrices) == 1
            else jax.random.normal(last, (count, out_size)) * jnp.sqrt(2 / (count + out_size))
        )
        return FourierNetwork(Frozen(matrices), as_jet_network(network), mixed)


class FactorisedNetwork(JetNetwork):
    """A network whose matrices are ``V diag(exp(s))``."""

    scales: list[Float[Array, " _o"]]
    network: JetNetwork  # with V in place of its matrices

    def jet(self, features: Jet, plan: Plan) -> Jet:
        return _with_matrices(self.network, lambda v, s: v * jnp.exp(s)[None], self.scales).jet(
            features, plan
        )

    def fitted_first(self) -> PyTree:
        return self.network.fitted_first()  # linear in V too


class WeightFactorised(Architecture):
    """Random weight factorisation, ``W = V diag(exp(s))``.

    Wang, Wang, Seidman & Perdikaris 2022 (arXiv:2210.01274).

    The function at the start is that of the network itself; its training is another one.

    Args:
        network: the architecture.
        mean: of the normal distribution of s, from -20 to 20, since its exponential is taken.
        spread: its standard deviation, from 0 to 20.
    """

    network: Architecture = instance(Architecture, MLP(width=30, depth=3), what=NETWORK)
    mean: float = number(1.0, least=-20, most=20)
    spread: float = number(0.1, least=0, most=20)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> FactorisedNetwork:
        inner, own = jax.random.split(key)
        network = as_jet_network(self.network.build(in_size, out_size, key=inner))
        matrices = _matrices(network)
        keys = jax.random.split(own, len(matrices))
        scales = [
            self.mean + self.spread * jax.random.normal(k, matrix.shape[1:])
            for k, matrix in zip(keys, matrices, strict=True)
        ]
        return FactorisedNetwork(
            scales, _with_matrices(network, lambda w, s: w * jnp.exp(-s)[None], scales)
        )


def as_jet_network(network: Any) -> JetNetwork:
    """Raises ValueError for a network that does not carry its derivatives."""
    if not isinstance(network, JetNetwork):
        raise ValueError(
            "the network inside must be one of pinops, which carries its derivatives; got "
            f"{type(network).__name__}"
        )
    return network


def _matrices(network: Any) -> list[Array]:
    """The trainable matrices of a network."""
    return [
        leaf for leaf in jax.tree.leaves(eqx.filter(network, trainable(network))) if leaf.ndim == 2
    ]


def _with_matrices(network: Any, change: Any, others: list[Array]) -> Any:
    """The network with each of its trainable matrices changed by one of the others."""
    train, rest = eqx.partition(network, trainable(network))
    each = iter(others)
    return eqx.combine(
        jax.tree.map(lambda leaf: change(leaf, next(each)) if leaf.ndim == 2 else leaf, train), rest
    )
