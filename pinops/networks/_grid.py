"""Fields that are known on a grid: derivatives by Fourier series where they are periodic, by finite
differences elsewhere.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import LAPLACIAN, Jet, Plan
from pinops.networks._field import Field


@dataclass(frozen=True)
class GridField(Field):
    """Values at equally spaced points of a box, ``(*grid, c)``, an axis for each coordinate.

    Differences are of second order, first derivatives at the ends of an axis too. A second
    derivative is there that of the neighbour, of first order.

    Args:
        values: At all points.
        steps: The distances of the points along each axis.
        periodic: The axes along which the first point follows the last.
        shares: Along each axis, how far the boundary of a shape is from each point on the way to
            its lower and to its upper neighbour, as shares of the step, ``(*grid, c)`` from 0 to 1;
            1 where it is not on the way. The values vanish on that boundary, and differences end
            there (Shortley & Weller 1938). None: the whole box counts.
    """

    values: Float[Array, "*grid c"]
    steps: tuple[float, ...]
    periodic: tuple[int, ...]
    shares: tuple[tuple[Array, Array], ...] | None = None

    def jet(
        self,
        points: Float[Array, "n d"],
        plan: Plan,
        fixed: Any = None,
        directions: Float[Array, "m d"] | None = None,
    ) -> Jet:
        """At all points of the grid, in the order of its axes: ``points`` must be these."""
        out = {index: self._derivative(Counter(index)) for index in plan.indices}
        if plan.laplacian:
            seconds = [self._derivative(Counter({axis: 2})) for axis in plan.laplacian]
            out[LAPLACIAN] = sum(seconds[1:], seconds[0])
        return {index: stream.reshape(len(points), -1) for index, stream in out.items()}

    def _derivative(self, orders: Counter[int]) -> Float[Array, "*grid c"]:
        out = self.values
        for axis, order in orders.items():
            step = self.steps[axis]
            if self.shares is not None:
                out = _to_the_boundary(out, step, axis, order, self.shares[axis])
            elif axis in self.periodic:
                out = _by_series(out, step, axis, order)
            else:
                for _ in range(order // 2):
                    out = _second_difference(out, step, axis)
                if order % 2:
                    out = _first_difference(out, step, axis)
        return out


def _by_series(
    x: Float[Array, "*grid c"], step: float, axis: int, order: int
) -> Float[Array, "*grid c"]:
    """The derivative of the Fourier series along an axis."""
    n = x.shape[axis]
    factor = (2j * np.pi * np.fft.rfftfreq(n, step)) ** order
    if n % 2 == 0 and order % 2:
        factor[-1] = 0  # the derivative of the fastest wave vanishes at the points
    shape = [1] * x.ndim
    shape[axis] = -1
    spectrum = jnp.fft.rfft(x, axis=axis)
    return jnp.fft.irfft(
        spectrum * jnp.asarray(factor.reshape(shape), spectrum.dtype), n, axis=axis
    )


def _first_difference(
    x: Float[Array, "*grid c"], step: float, axis: int
) -> Float[Array, "*grid c"]:
    """By the two neighbours; at the ends by three points on one side."""
    x = jnp.moveaxis(x, axis, 0)
    inside = (x[2:] - x[:-2]) / (2 * step)
    first = (4 * x[1:2] - 3 * x[:1] - x[2:3]) / (2 * step)
    last = (3 * x[-1:] - 4 * x[-2:-1] + x[-3:-2]) / (2 * step)
    return jnp.moveaxis(jnp.concatenate([first, inside, last]), 0, axis)


def _second_difference(
    x: Float[Array, "*grid c"], step: float, axis: int
) -> Float[Array, "*grid c"]:
    """By three points; at the ends that of the neighbour."""
    x = jnp.moveaxis(x, axis, 0)
    inside = (x[2:] - 2 * x[1:-1] + x[:-2]) / step**2
    return jnp.moveaxis(jnp.concatenate([inside[:1], inside, inside[-1:]]), 0, axis)


def _to_the_boundary(
    x: Float[Array, "*grid c"],
    step: float,
    axis: int,
    order: int,
    shares: tuple[Array, Array],
) -> Float[Array, "*grid c"]:
    """The first or second derivative by the neighbours, or the boundary where that is nearer.

    At the ends of the axis the neighbour is that at the other end.
    """
    below, above = (
        jnp.where(share < 1, 0.0, jnp.roll(x, shift, axis))
        for share, shift in zip(shares, (1, -1), strict=True)
    )
    left, right = (share * step for share in shares)
    before, after = (x - below) / left, (above - x) / right
    if order == 1:
        return (left * after + right * before) / (left + right)
    return 2 * (after - before) / (left + right)
