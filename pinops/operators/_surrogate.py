"""Autoregressive surrogates: from the state of a system on a grid, and its parameters, to the state
one step later.

States are batches ``(b, *grid, c)`` of c unknowns at equally spaced grid points; parameters are
``(b, p)``. A surrogate may also see m channels of *context*, input fields and earlier snapshots:
then it is given ``(b, *grid, m + c)``, the present state last.

`Direct` of a network on points is no `Surrogate`: `pinops.training` steps with the network itself.
"""

import abc
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.operators._hypernetwork import HyPINO
from pinops.operators._mmgp import MMGP
from pinops.operators._operator import OperatorArchitecture
from pinops.operators._points import POINT_NETWORK, PointArchitecture
from pinops.settings import check_settings, flag, instance, one_of, whole

GRID_NETWORK = "a network on grids such as FNO(20, 12)"
States = Float[Array, "b *grid c"]
Known = Float[Array, "b *grid m"]
Parameters = Float[Array, "b p"]


class GridNetwork(eqx.Module):
    """Abstract: a function of states, ``(b, *grid, i) -> (b, *grid, o)``."""

    @abc.abstractmethod
    def __call__(self, states: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        """The values of all members of a batch."""


class GridArchitecture(eqx.Module):
    """Abstract: a description that builds networks on grids."""

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def build(
        self, in_size: int, out_size: int, grid: tuple[int, ...], *, key: PRNGKeyArray
    ) -> GridNetwork:
        """A network with fresh parameters, from ``in_size`` to ``out_size`` channels.

        Raises:
            ValueError: for a grid that it cannot work on.
        """


class Surrogate(eqx.Module):
    """Abstract: one step of a system."""

    @abc.abstractmethod
    def advanced(self, known: Known, parameters: Parameters) -> tuple[States, States | None]:
        """The states one step later, and what an embedding of the parameters alone makes of them
        (None without one).

        Args:
            known: The context, then the present states.
            parameters: Of each member of the batch.
        """

    def __call__(self, known: Known, parameters: Parameters) -> States:
        """The states one step later."""
        return self.advanced(known, parameters)[0]


def parameter_map_setting() -> Any:
    """The map of the parameters, "auto" by default."""
    return one_of("auto", ("auto", "identity", "log", "sigmoid_log"))


def history_setting() -> Any:
    """How many snapshots a step sees, 1 by default."""
    return whole(1, most=1000)


class SurrogateArchitecture(eqx.Module):
    """Abstract: a description that builds surrogates.

    ``embeds``: whether there is an embedding of the parameters, which has an auxiliary loss, of the
    weight ``auxiliary``; ``parameter_map``: what is made of parameters before they are
    standardised; ``history``: how many snapshots a step sees.
    """

    embeds: ClassVar[bool] = False
    if TYPE_CHECKING:  # a field would come first where a subclass is made

        @property
        def auxiliary(self) -> float: ...
        @property
        def parameter_map(self) -> str: ...
        @property
        def history(self) -> int: ...

    else:
        auxiliary: eqx.AbstractVar[float]
        parameter_map: eqx.AbstractVar[str]
        history: eqx.AbstractVar[int]

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def build(
        self,
        unknowns: int,
        parameters: int,
        grid: tuple[int, ...],
        context: int = 0,
        *,
        key: PRNGKeyArray,
    ) -> Surrogate:
        """A surrogate with fresh parameters.

        Args:
            unknowns: Channels of a state.
            parameters: How many numbers it sees of each member.
            grid: The points of each axis.
            context: Channels that it is given before the present state.
            key: Of the random numbers.
        """


def check_architecture(architecture: object) -> None:
    """Refuse what cannot be trained on a family.

    Args:
        architecture: Anything.

    Raises:
        ValueError: With architectures that can.
    """
    kinds = (
        SurrogateArchitecture
        | OperatorArchitecture
        | GridArchitecture
        | PointArchitecture
        | HyPINO
        | MMGP
    )
    if isinstance(architecture, kinds):
        return
    if isinstance(architecture, type):
        name = architecture.__name__
        raise ValueError(f"{name} is a class; give an architecture made of it, such as {name}()")
    raise ValueError(
        "an architecture such as DeepONet(), FNO(32), CAPE(FNO(20)), Direct(FNO(20)), "
        "Transolver(), MMGP() or HyPINO() is needed, got "
        f"{architecture!r}"
    )


class DirectSurrogate(Surrogate):
    """A network of the state, and of the parameters as constant channels where it is
    conditional.

    Attributes:
        network: On the grid.
        conditional: Whether it sees the parameters.
        change: Whether the network gives the change of the state instead of the next state.
    """

    network: GridNetwork
    conditional: bool = eqx.field(static=True)
    change: bool = eqx.field(static=True)

    def advanced(self, known: Known, parameters: Parameters) -> tuple[States, None]:
        seen = known
        if self.conditional:
            constant = constant_channels(parameters, known.shape[1:-1])
            seen = jnp.concatenate([known, constant], -1)
        out = self.network(seen)
        return known[..., -out.shape[-1] :] + out if self.change else out, None


class Direct(SurrogateArchitecture):
    """A network that maps a state to the next one, on a grid or on the points of each sample.

    It also sees the input fields of the data, such as a coefficient a(x), as further channels.

    Args:
        network: its architecture, on grids or on points.
        conditional: whether it sees the parameters, as constant channels.
        parameter_map: what is made of parameters before they are standardised: "identity", "log",
            "sigmoid_log", x / (1 + x), or "auto": the logarithm where all are positive and the
            largest is more than ten times the smallest.
        history: How many snapshots a step sees, the present one and those before it, as channels;
            a rollout then begins with as many true ones.
        change: Whether the network gives the change from the present state to the next one, which
            is easier to learn where steps are short.
    """

    network: GridArchitecture | PointArchitecture = instance(
        (GridArchitecture, PointArchitecture), what=f"{GRID_NETWORK}, or {POINT_NETWORK}"
    )
    conditional: bool = flag(True)
    parameter_map: str = parameter_map_setting()
    history: int = history_setting()
    change: bool = flag(False)
    auxiliary: ClassVar[float] = 0.0

    @property
    def on_points(self) -> PointArchitecture | None:
        """The network, if it is one on points."""
        return self.network if isinstance(self.network, PointArchitecture) else None

    def build(
        self,
        unknowns: int,
        parameters: int,
        grid: tuple[int, ...],
        context: int = 0,
        *,
        key: PRNGKeyArray,
    ) -> DirectSurrogate:
        assert isinstance(self.network, GridArchitecture), "points have no grid"
        channels = context + unknowns + parameters * self.conditional
        return DirectSurrogate(
            self.network.build(channels, unknowns, grid, key=key), self.conditional, self.change
        )


def constant_channels(parameters: Parameters, grid: tuple[int, ...]) -> Float[Array, "b *grid p"]:
    """The parameters at every place of a grid.

    Args:
        parameters: ``(b, p)``.
        grid: The size of each axis.

    Returns:
        A channel for each parameter.
    """
    b, p = parameters.shape
    return jnp.broadcast_to(parameters.reshape(b, *[1] * len(grid), p), (b, *grid, p))
