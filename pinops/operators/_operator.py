"""What every operator is."""

import abc

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks import JetNetwork


class Operator(eqx.Module):
    """Abstract: the inputs of a problem ``(m,)`` to a network ``(features,) -> (unknowns,)``."""

    @abc.abstractmethod
    def __call__(self, inputs: Float[Array, " m"]) -> JetNetwork:
        """The network of one problem."""


class OperatorArchitecture(eqx.Module):
    """Abstract: a description that builds operators."""

    @abc.abstractmethod
    def build(
        self,
        centre: Float[np.ndarray, " m"],
        deviation: Float[np.ndarray, " m"],
        features: int,
        unknowns: int,
        *,
        key: PRNGKeyArray,
    ) -> Operator:
        """An operator with fresh parameters, which sees ``(inputs - centre) / deviation``."""
