"""What every operator is."""

import abc
from collections.abc import Mapping

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks import JetNetwork

Inputs = Mapping[str, Float[Array, "..."]]


class Operator(eqx.Module):
    """Abstract: the named inputs of a problem to a network ``(features,) -> (unknowns,)``."""

    @abc.abstractmethod
    def __call__(self, inputs: Inputs) -> JetNetwork:
        """The network of one problem.

        Args:
            inputs: What `Problem.inputs` gives, by name.
        """


class OperatorArchitecture(eqx.Module):
    """Abstract: a description that builds operators."""

    @abc.abstractmethod
    def build(
        self,
        centre: Mapping[str, Float[np.ndarray, "..."]],
        deviation: Mapping[str, Float[np.ndarray, "..."]],
        features: int,
        unknowns: int,
        *,
        key: PRNGKeyArray,
    ) -> Operator:
        """An operator with fresh parameters, which sees ``(inputs - centre) / deviation``.

        Args:
            centre: Of every input by name, of its shape.
            deviation: The same, > 0.
            features: How many numbers the network of a problem sees of the coordinates.
            unknowns: How many unknowns the problem has.
            key: Of the random parameters.
        """
