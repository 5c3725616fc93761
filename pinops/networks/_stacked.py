"""Stacked networks: one of its own for each output."""

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from pinops.derivatives import Jet, Plan
from pinops.networks._network import NETWORK, Architecture, JetNetwork, is_plain
from pinops.settings import instance


class StackedNetwork(JetNetwork):
    """Networks of one output each, in the leading axis of every array."""

    networks: JetNetwork

    @property
    def plain(self) -> bool:
        """Whether each sees each coordinate as it is."""
        return is_plain(self.networks)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        streams = eqx.filter_vmap(lambda network: network.jet(features, plan))(self.networks)
        return {index: stream[..., 0].T for index, stream in streams.items()}


class Stacked(Architecture):
    """One network for each output, which share nothing.

    As the branch of a `DeepONet` it is the stacked one (Lu et al. 2021).

    Args:
        network: the architecture of each, of pinops.
    """

    network: Architecture = instance(Architecture, what=NETWORK)

    @property
    def plain(self) -> bool:
        """Whether each sees each coordinate as it is."""
        return is_plain(self.network)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> StackedNetwork:
        def one(key: PRNGKeyArray) -> JetNetwork:
            built = self.network.build(in_size, 1, key=key)
            if not isinstance(built, JetNetwork):
                raise ValueError(
                    "Stacked: a network must carry its own derivatives, as those of pinops do; "
                    f"{self.network} does not"
                )
            return built

        return StackedNetwork(eqx.filter_vmap(one)(jax.random.split(key, out_size)))
