"""What every operator is."""

import abc
from collections.abc import Callable, Mapping

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks import JetNetwork
from pinops.problem import Inputs, Problem, Sensors
from pinops.settings import check_settings

Numbers = Float[np.ndarray, "..."] | Sensors


class Operator(eqx.Module):
    """Abstract: the named inputs of a problem to a network ``(features,) -> (unknowns,)``."""

    @abc.abstractmethod
    def __call__(self, inputs: Inputs) -> JetNetwork:
        """The network of one problem.

        Args:
            inputs: What `Problem.inputs` gives, by name.
        """


class Solutions(abc.ABC):
    """Abstract: solutions of members of a family, to which an operator may be fitted.

    Values are in units of the data: divided by the standard deviation of each unknown.

    Attributes:
        owner: The family's name.
        source: Where the solutions are, for messages.
        count: The number of members.
        points: Those that all members share.
    """

    owner: str  # the family's name
    source: str  # where the solutions are, for messages
    count: int  # of members

    @property
    @abc.abstractmethod
    def points(self) -> Float[np.ndarray, "l d"]:
        """The shared points. Raises ValueError where members have points of their own."""

    @abc.abstractmethod
    def members(self, numbers: range) -> Problem:
        """Some members, in the leading axis of every array."""

    @abc.abstractmethod
    def inputs(self, numbers: range) -> Mapping[str, Numbers]:
        """What an operator sees of them, by name."""

    @abc.abstractmethod
    def values(self, numbers: range) -> Float[np.ndarray, "n l c"]:
        """Their solutions at the points; NaN where a value is missing."""

    @abc.abstractmethod
    def field(self, network: JetNetwork, problem: Problem) -> Callable[[Array], Array]:
        """The solution ``(d,) -> (c,)`` that a network makes of one member, conditions included."""


class OperatorArchitecture(eqx.Module):
    """Abstract: a description that builds operators."""

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def build(
        self,
        centre: Mapping[str, Numbers],
        deviation: Mapping[str, Numbers],
        features: int,
        unknowns: int,
        *,
        key: PRNGKeyArray,
    ) -> Operator:
        """An operator with fresh parameters, which sees ``(inputs - centre) / deviation``.

        Args:
            centre: Of every input by name, of its shape; one sensor of a function at sensors that
                differ from sample to sample.
            deviation: The same, > 0.
            features: How many numbers the network of a problem sees of the coordinates.
            unknowns: How many unknowns the problem has.
            key: Of the random parameters.
        """

    def fitted(self, operator: Operator, solutions: Solutions | None) -> Operator:
        """The operator with what it takes from solutions in closed form; by default nothing.

        Raises:
            ValueError: Where it needs solutions, and there are none.
        """
        return operator
