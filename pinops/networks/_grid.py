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

    Along periodic axes the first point follows the last. Differences are of second order, except at
    both ends of other axes.

    Args:
        values: At the grid points.
        steps: The distance of neighbours along each axis.
        periodic: The numbers of the periodic axes.
    """

    values: Float[Array, "*grid c"]
    steps: tuple[float, ...]
    periodic: tuple[int, ...]

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
            n, step = out.shape[axis], self.steps[axis]
            if axis in self.periodic:
                wave = 2j * np.pi * np.fft.rfftfreq(n, step)
                factor = wave**order
                if n % 2 == 0 and order % 2:
                    factor[-1] = 0  # the derivative of the fastest wave vanishes at the places
                shape = [1] * out.ndim
                shape[axis] = -1
                spectrum = jnp.fft.rfft(out, axis=axis)
                out = jnp.fft.irfft(
                    spectrum * jnp.asarray(factor.reshape(shape), spectrum.dtype), n, axis=axis
                )
            else:
                for _ in range(order // 2):
                    out = _second_difference(out, step, axis)
                if order % 2:
                    out = jnp.asarray(jnp.gradient(out, step, axis=axis))
        return out


def _second_difference(
    x: Float[Array, "*grid c"], step: float, axis: int
) -> Float[Array, "*grid c"]:
    """By three points; at the ends that of the neighbour."""
    x = jnp.moveaxis(x, axis, 0)
    inside = (x[2:] - 2 * x[1:-1] + x[:-2]) / step**2
    return jnp.moveaxis(jnp.concatenate([inside[:1], inside, inside[-1:]]), 0, axis)
