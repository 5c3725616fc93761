"""What every operator is."""

import abc

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks import JetNetwork
from pinops.settings import check_settings


class Operator(eqx.Module):
    """Abstract: from the inputs of a problem to a network ``(features,) -> (unknowns,)``.

    Inputs are a vector or an image.
    """

    @abc.abstractmethod
    def __call__(self, inputs: Float[Array, "..."]) -> JetNetwork:
        """The network of one problem."""


class OperatorArchitecture(eqx.Module):
    """Abstract: a description that builds operators."""

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def build(
        self,
        centre: Float[np.ndarray, "..."],
        deviation: Float[np.ndarray, "..."],
        features: int,
        unknowns: int,
        *,
        key: PRNGKeyArray,
    ) -> Operator:
        """An operator with fresh parameters, which sees ``(inputs - centre) / deviation``."""
