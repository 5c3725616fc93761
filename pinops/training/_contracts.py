"""The contracts of a training: what is trained, where its points come from, and its stages.

The loop (`train`) knows nothing else. Instances:

* `Trainable`: a network for one problem (`Model`), an operator for a family (`OperatorModel`), a
  steady map (`MapModel`), a surrogate of time steps (`SurrogateModel`), a map or a step in time on
  points (`PointMapModel`, `PointStepModel`), a hypernetwork (`HypernetworkModel`), and
  `FineTuning` of one on a grid for some samples alone.
* `Source`: collocation points of a problem (`Collocation`), members of a family (`Draw`),
  samples (`SampleBatches`), trajectories of a data set (`Batches`), samples on points
  (`CloudBatches`), random linear problems (`RandomDraw`) or given ones (`Given`).
* `Stages`: other coefficients in the first steps (`Continuation`), the epochs of a curriculum
  (`Epochs`).

``P`` is what a step sees: points by region, members, trajectories.
"""

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import equinox as eqx
from jax.sharding import Mesh
from jaxtyping import Array, PRNGKeyArray, PyTree

from pinops.losses import Snapshot, Term, Weights
from pinops.optimizers import Objective

P = TypeVar("P")


class Params(eqx.Module):
    """Everything that an optimizer changes.

    Args:
        network: The arrays of the network, operator or surrogate.
        coefficients: By name the logarithm, or the shift, of every coefficient that is to be found.
    """

    network: PyTree
    coefficients: dict[str, Array]


class Trainable(eqx.Module, Generic[P]):
    """Abstract: everything of a model but its parameters. Immutable; array leaves may be traced."""

    if TYPE_CHECKING:  # a field would come first where a subclass is made

        @property
        def mesh(self) -> Mesh | None:
            """The devices that share the work of a step."""

        @property
        def owner(self) -> str:
            """The name that messages give the problem."""
            ...

    else:
        mesh: eqx.AbstractVar[Mesh | None]
        owner: eqx.AbstractVar[str]

    @abc.abstractmethod
    def at(self, stage: Mapping[str, float]) -> "Trainable[P]":
        """The model in a stage of its training."""

    @abc.abstractmethod
    def coefficients(self, params: Params) -> dict[str, Array]:
        """The present values of the coefficients that are to be found."""

    @abc.abstractmethod
    def residuals(self, params: Params, points: P) -> dict[str, Term]:
        """Every term of the loss by its name."""

    @abc.abstractmethod
    def terms(self, params: Params, points: P, weights: Weights) -> dict[str, Array]:
        """The weighted mean square of every term, by its name; their sum is the loss."""

    @abc.abstractmethod
    def objective(self, points: P, weights: Weights) -> Objective:
        """The loss at these points as optimizers see it: ``params -> (value, gradient)``."""

    @abc.abstractmethod
    def snapshot(self, params: Params, points: P, key: PRNGKeyArray) -> Snapshot:
        """What a weighting is updated from."""

    def fitted(self, params: Params, points: P) -> Params:
        """Parameters of which some are fitted to data before the first step; by default none."""
        return params

    def relocated(self, params: Params, points: P) -> Params:
        """Parameters whose idle parts moved to where the residual is large; by default the same."""
        return params


class Source(eqx.Module, Generic[P]):
    """Abstract: where the points of a training come from."""

    if TYPE_CHECKING:

        @property
        def every(self) -> int:
            """Steps from one set of points to the next; 0: never."""
            ...

        @property
        def stochastic(self) -> bool:
            """Whether every step has a loss of its own."""
            ...

    else:
        every: eqx.AbstractVar[int]
        stochastic: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def drawn(self, model: Any, params: Params, key: PRNGKeyArray, present: P | None) -> P:
        """A new set of points, drawn on the host; ``present``: the points until now."""

    @abc.abstractmethod
    def sampled(
        self, model: Any, points: P, weights: Weights, key: PRNGKeyArray
    ) -> tuple[P, Weights]:
        """What a step takes of the points, and the weights of that.

        Called inside a compiled program.
        """

    @abc.abstractmethod
    def representative(self, points: P) -> P:
        """The points that the loss is reported for, and that weights follow from."""

    @abc.abstractmethod
    def divided(self, points: P) -> PyTree | None:
        """The part of the points of which each device keeps a share; None for none."""


class Stages(eqx.Module):
    """Abstract: a training in stages, each with numbers of its own; nothing is compiled again."""

    @abc.abstractmethod
    def at(self, step: int) -> Mapping[str, float]:
        """The numbers of the stage that a step belongs to, for `Trainable.at`."""

    @abc.abstractmethod
    def begins(self, step: int) -> bool:
        """Whether a stage begins at this step."""

    @abc.abstractmethod
    def until(self, step: int) -> float:
        """The step at which the stage of this one ends; infinity for the last."""
