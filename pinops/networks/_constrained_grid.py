"""The field of a problem on a grid: values there that meet the conditions imposed exactly."""

from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pinops.derivatives import Jet, Plan, add
from pinops.networks._constrained import ConstrainedField
from pinops.networks._field import Field
from pinops.networks._grid import GridField

_HALVINGS = 14  # of a step, to find the boundary between two points, before a secant
_NEAREST = 1e-3  # of a step; a point nearer to the boundary lies on it
Shares = tuple[tuple[Float[Array, "*grid c"], Float[Array, "*grid c"]], ...]


@dataclass(frozen=True)
class ConstrainedGrid(Field):
    """``lift + factor * values`` on a grid, and its differences.

    The lift is differentiated exactly, the product as a whole by differences: it vanishes on the
    boundary, and the differences use that. By the product rule they would use the values on the
    boundary and beyond instead, which nothing determines.

    Attributes:
        constrained: What is imposed, on a `GridField`.
        shares: Of a factor that vanishes within the box, by `boundary_shares`; None: it does not.
    """

    constrained: ConstrainedField
    shares: Shares | None = None

    def jet(
        self,
        points: Float[Array, "n d"],
        plan: Plan,
        fixed: Any = None,
        directions: Float[Array, "m d"] | None = None,
    ) -> Jet:
        """At all points of the grid, in the order of its axes: ``points`` must be these."""
        grid = self.constrained.field
        assert isinstance(grid, GridField)
        lift, *_ = self.constrained.fixed(points, plan)
        _, factor, _ = self.constrained.fixed(points, Plan())
        product = factor[()].reshape(grid.values.shape) * grid.values
        return add(lift, replace(grid, values=product, shares=self.shares).jet(points, plan))


def boundary_shares(
    constrained: ConstrainedField,
    points: Float[Array, "n d"],
    grid: tuple[int, ...],
    steps: tuple[float, ...],
) -> Shares:
    """Where the factor of a problem vanishes between neighbouring points, as `GridField` has it.

    Args:
        constrained: What is imposed.
        points: Of the grid, in the order of its axes.
        grid: How many there are along each axis.
        steps: Their distances along each axis.
    """
    dimension = len(grid)

    def factor(at: Float[Array, "m d"]) -> Float[Array, "m c"]:
        return jnp.asarray(constrained.fixed(at, Plan())[1][()])

    here = factor(points)
    count = here.shape[1]

    def towards(axis: int, sign: int) -> Float[Array, "*grid c"]:
        move = sign * steps[axis] * jnp.asarray(np.eye(dimension)[axis], points.dtype)

        def along(share: Float[Array, "n c"]) -> Float[Array, "n c"]:
            """The factor of each unknown at a point of its own on the way."""
            at = points[:, None] + share[..., None] * move[None, None]
            found = factor(at.reshape(-1, dimension)).reshape(-1, count, count)
            return jnp.diagonal(found, axis1=1, axis2=2)

        def halved(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
            low, high = ends
            middle = (low + high) / 2
            same = here * along(middle) > 0
            return jnp.where(same, middle, low), jnp.where(same, high, middle)

        start = (jnp.zeros_like(here), jnp.ones_like(here))
        low, high = jax.lax.fori_loop(0, _HALVINGS, halved, start)
        below, above = along(low), along(high)
        crossed = here * along(start[1]) < 0
        slope = jnp.where(crossed, below - above, 1.0)
        share = jnp.where(crossed, low + (high - low) * below / slope, 1.0)
        share = jnp.clip(share, _NEAREST, 1.0)
        return jnp.where(here == 0, _NEAREST, share).reshape(*grid, count)

    return tuple((towards(axis, -1), towards(axis, 1)) for axis in range(dimension))


def regular(shares: Shares) -> Bool[Array, "*grid"]:
    """The points that are not on the boundary, as nearly as numbers tell.

    Args:
        shares: Of the steps to the neighbours, by `boundary_shares`.
    """
    nearest = [jnp.minimum(lower, upper).min(-1) for lower, upper in shares]
    return jnp.stack(nearest).min(0) > _NEAREST
