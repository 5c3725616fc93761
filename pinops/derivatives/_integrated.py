"""What an equation must know of an integral that it names.

The solution is needed at other points than that of the equation: at the nodes of a quadrature.
"""

import abc
from collections.abc import Callable

from jaxtyping import Array, Float

from pinops.derivatives._taylor import Jet, Plan

Elsewhere = Callable[[Float[Array, "m d"], Plan], Jet]  # a solution at other points


class Integrated(abc.ABC):
    """Abstract: an integral of the unknowns, a number at each point."""

    @property
    @abc.abstractmethod
    def plan(self) -> Plan:
        """The partial derivatives that it needs at the point itself."""

    @property
    @abc.abstractmethod
    def count(self) -> int:
        """At how many other points the solution is evaluated for each point."""

    @abc.abstractmethod
    def values(
        self, jet: Jet, points: Float[Array, "n d"], elsewhere: Elsewhere
    ) -> Float[Array, " n"]:
        """The integral at every point.

        Args:
            jet: The solution at the points.
            points: Where they are.
            elsewhere: The solution where it is integrated.
        """
