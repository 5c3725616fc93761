"""Randomised priors: a trained network plus a random one of the same architecture that is never
trained (Osband, Aslanides & Cassirer 2018, arXiv:1806.03335).

Where data or an equation say what the sum is, training makes up for the second; elsewhere members
with other priors differ. Instances: `RandomisedPrior` of a network of the coordinates, and those of
operators, maps and surrogates in `pinops.operators`.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pinops.derivatives import Jet, Plan, add
from pinops.networks._network import Frozen, JetNetwork, is_plain


class Prior(eqx.Module):
    """What is added to a trained network, and never trained.

    Args:
        network: Random, with its initial parameters.
        centre: The mean of each output over typical inputs.
        factor: By which each output, less its centre, is multiplied.
    """

    network: Any
    centre: Float[Array, " c"]
    factor: Float[Array, " c"]

    def scaled(self, outputs: Float[Array, "*n c"]) -> Float[Array, "*n c"]:
        """Outputs of the network as they are added."""
        shape = outputs.shape
        return jnp.broadcast_to(self.factor, shape) * (
            outputs - jnp.broadcast_to(self.centre, shape)
        )


class RandomisedPrior(JetNetwork):
    """``network(x) + factor (prior(x) - centre)``, with all of its derivatives.

    Attributes:
        network: What is trained.
        prior: A `Prior`, which is not.
    """

    network: JetNetwork
    prior: Frozen

    def jet(self, features: Jet, plan: Plan) -> Jet:
        return add(self.network.jet(features, plan), self.added(features, plan))

    def added(self, features: Jet, plan: Plan) -> Jet:
        """The part of the prior, which training does not change."""
        prior: Prior = self.prior.tree
        given = prior.network.jet(features, plan)
        added = {index: prior.factor[None] * stream for index, stream in given.items()}
        added[()] = prior.scaled(given[()])
        return added

    @property
    def local(self) -> bool:
        """Whether it lies somewhere in the domain, as a sum of Gaussians does."""
        return getattr(self.network, "local", False)

    @property
    def plain(self) -> bool:
        """Whether it sees each coordinate as it is."""
        return is_plain(self.network)

    def fitted_first(self) -> PyTree:
        return self.network.fitted_first()

    def relocated(
        self, features: Float[Array, "n i"], scores: Float[Array, " n"]
    ) -> "RandomisedPrior":
        moved = self.network.relocated(features, scores)
        return self if moved is self.network else dataclasses.replace(self, network=moved)

    def remarks(self, points: int) -> list[str]:
        return self.network.remarks(points)
