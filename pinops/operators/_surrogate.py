"""Autoregressive surrogates: from the state of a system on a grid, and its parameters, to the state
one step later.

States are batches ``(b, *grid, c)`` of c unknowns at equally spaced grid points; parameters are
``(b, p)``.
"""

import abc
from typing import TYPE_CHECKING, Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.operators._operator import OperatorArchitecture
from pinops.operators._points import PointArchitecture
from pinops.settings import check_settings, flag, instance, one_of

GRID_NETWORK = "a network on grids such as FNO(20, 12)"
States = Float[Array, "b *grid c"]
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
    def advanced(self, states: States, parameters: Parameters) -> tuple[States, States | None]:
        """The states one step later, and what an embedding of the parameters alone makes of them
        (None without one).
        """

    def __call__(self, states: States, parameters: Parameters) -> States:
        """The states one step later."""
        return self.advanced(states, parameters)[0]


def parameter_map_setting() -> Any:
    """The map of the parameters, "auto" by default."""
    return one_of("auto", ("auto", "identity", "log", "sigmoid_log"))


class SurrogateArchitecture(eqx.Module):
    """Abstract: a description that builds surrogates.

    ``embeds``: whether there is an embedding of the parameters, which has an auxiliary loss, of the
    weight ``auxiliary``; ``parameter_map``: what is made of parameters before they are
    standardised.
    """

    embeds: ClassVar[bool] = False
    if TYPE_CHECKING:  # a field would come first where a subclass is made

        @property
        def auxiliary(self) -> float: ...
        @property
        def parameter_map(self) -> str: ...

    else:
        auxiliary: eqx.AbstractVar[float]
        parameter_map: eqx.AbstractVar[str]

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def build(
        self, unknowns: int, parameters: int, grid: tuple[int, ...], *, key: PRNGKeyArray
    ) -> Surrogate:
        """A surrogate with fresh parameters."""


def check_architecture(architecture: object) -> None:
    """Refuse what cannot be trained on a family.

    Args:
        architecture: Anything.

    Raises:
        ValueError: With architectures that can.
    """
    kinds = SurrogateArchitecture | OperatorArchitecture | GridArchitecture | PointArchitecture
    if isinstance(architecture, kinds):
        return
    if isinstance(architecture, type):
        name = architecture.__name__
        raise ValueError(f"{name} is a class; give an architecture made of it, such as {name}()")
    raise ValueError(
        "an architecture such as DeepONet(), FNO(32), CAPE(FNO(20)), Direct(FNO(20)) or "
        "Transolver() is needed, got "
        f"{architecture!r}"
    )


class DirectSurrogate(Surrogate):
    """A network of the state, and of the parameters as constant channels where it is
    conditional.

    Attributes:
        network: On the grid.
        conditional: Whether it sees the parameters.
    """

    network: GridNetwork
    conditional: bool = eqx.field(static=True)

    def advanced(self, states: States, parameters: Parameters) -> tuple[States, None]:
        if self.conditional:
            states = jnp.concatenate(
                [states, constant_channels(parameters, states.shape[1:-1])], -1
            )
        return self.network(states), None


class Direct(SurrogateArchitecture):
    """A network that maps a state to the next one.

    Args:
        network: its architecture.
        conditional: whether it sees the parameters, as constant channels.
        parameter_map: what is made of parameters before they are standardised: "identity", "log",
            "sigmoid_log", x / (1 + x), or "auto": the logarithm where all are positive and the
            largest is more than ten times the smallest.
    """

    network: GridArchitecture = instance(GridArchitecture, what=GRID_NETWORK)
    conditional: bool = flag(True)
    parameter_map: str = parameter_map_setting()
    auxiliary: ClassVar[float] = 0.0

    def build(
        self, unknowns: int, parameters: int, grid: tuple[int, ...], *, key: PRNGKeyArray
    ) -> DirectSurrogate:
        channels = unknowns + parameters * self.conditional
        return DirectSurrogate(
            self.network.build(channels, unknowns, grid, key=key), self.conditional
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
