"""A found equation with the initial and boundary values of its data, as a problem to be solved.

Values on the grid become functions of a point: a Fourier series along periodic axes, of the waves
that stand out of the noise, and a cubic spline along others.
"""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.geometry import Box
from pinops.problem import Condition, Dirichlet, Expression, Initial, Periodic, Problem

from ._trajectories import Axis, Trajectories, along, local_derivative

_ABOVE = 3.0  # times the noise, of a wave that is kept
_SMALLEST = 1e-7  # relative, of one without noise


class DiscoveredProblem(Problem):
    """A found equation; the data of one trajectory are its initial and boundary values.

    Args:
        first: Of each unknown, the coefficients of the first snapshot in space.
        rates: Of each unknown of second order in time, those of its derivative there.
        whole: Of each unknown, those of all snapshots; none where space is periodic.
        expression: The equations.
        axes: The grid, time first.
    """

    first: Mapping[str, Float[Array | np.ndarray, "..."]]
    rates: Mapping[str, Float[Array | np.ndarray, "..."]]
    whole: Mapping[str, Float[Array | np.ndarray, "t ..."]]
    expression: Expression = eqx.field(static=True)
    axes: tuple[Axis, ...] = eqx.field(static=True)

    @classmethod
    def of(
        cls, expression: Expression, data: Trajectories, orders: Mapping[str, int]
    ) -> "DiscoveredProblem":
        """The problem of the first trajectory.

        Args:
            expression: The equations.
            data: Trajectories.
            orders: Of the derivative in time of each unknown.
        """
        slope = local_derivative(data.time, 1, np.zeros(1, int))
        first, rates, whole = {}, {}, {}
        for name, array in data.smooth.values.items():
            first[name] = _coefficients(array[0, 0], data.space, data.noise[name])
            if orders[name] == 2:
                rate = along(slope, array[0], 0)[0]
                size = data.noise[name] * float(np.linalg.norm(slope))
                rates[name] = _coefficients(rate, data.space, size)
            if not all(axis.periodic for axis in data.space):
                whole[name] = _coefficients(array[0], data.axes, data.noise[name])
        return cls(first, rates, whole, expression, data.axes)

    @property
    def domain(self) -> Box:  # pyright: ignore[reportIncompatibleVariableOverride]
        bounds = {axis.name: axis.bounds for axis in self.axes}
        return Box(**{name: bounds[name] for name in self.expression.names.coordinates})

    @property
    def unknowns(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.expression.names.unknowns

    @property
    def residual(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The equations."""
        return self.expression.residual

    def conditions(self) -> tuple[Condition, ...]:
        """The first snapshot, periodic axes, and the values on other boundaries."""
        around = tuple(axis.name for axis in self.axes[1:] if axis.periodic)
        others = tuple(axis.name for axis in self.axes[1:] if not axis.periodic)
        first = {name: self._at(array, self.axes[1:]) for name, array in self.first.items()}
        rates = {name: self._at(array, self.axes[1:]) for name, array in self.rates.items()}
        found: list[Condition] = [Initial(first, rates or None)]
        if around:
            found.append(Periodic(around))
        if others:
            whole = {name: self._at(array, self.axes) for name, array in self.whole.items()}
            found.append(Dirichlet(whole, on=others))
        return tuple(found)

    def _at(self, coefficients: Any, axes: tuple[Axis, ...]) -> Callable[..., Any]:
        """A function of the point, from its coefficients."""
        columns = [self.domain.coordinates.index(axis.name) for axis in axes]

        def value(point: Any) -> Any:
            out = jnp.asarray(coefficients, point.dtype)
            for axis, column in zip(axes, columns, strict=True):
                offset = (point[column] - axis.first) / axis.step
                out = jnp.tensordot(_basis(axis, out.shape[0], offset), out, 1)
            return out

        return value


def _basis(axis: Axis, count: int, offset: Any) -> Any:
    """Functions of a coordinate in steps from the first point: waves, or B-splines."""
    if axis.periodic:
        angle = 2 * jnp.pi / axis.count * offset * jnp.arange(1, (count + 1) // 2)
        return jnp.concatenate([jnp.ones(1, angle.dtype), jnp.cos(angle), jnp.sin(angle)])
    away = jnp.abs(offset + 1 - jnp.arange(count))
    near = 2 / 3 - away**2 + away**3 / 2
    return jnp.where(away < 1, near, jnp.where(away < 2, (2 - away) ** 3 / 6, 0.0))


def _coefficients(array: np.ndarray, axes: tuple[Axis, ...], noise: float) -> np.ndarray:
    """Those of `_basis` along each axis for values on the grid."""
    for number, axis in enumerate(axes):
        n = axis.count
        if not axis.periodic:
            rows = np.zeros((n + 2, n + 2))
            rows[0, :5] = rows[-1, -5:] = 1, -4, 6, -4, 1  # the third derivative has no jump there
            for k in range(n):
                rows[k + 1, k : k + 3] = 1 / 6, 2 / 3, 1 / 6
            array = along(np.linalg.inv(rows)[:, 1:-1], array, number)
            continue
        waves = np.arange(1, (n + 1) // 2)
        angle = 2 * np.pi / n * np.outer(waves, np.arange(n))
        series = np.concatenate([np.ones((1, n)) / 2, np.cos(angle), np.sin(angle)]) * 2 / n
        array = along(series, array, number)
        moved = np.moveaxis(array, number, 0).reshape(len(series), -1)
        largest = np.abs(moved).max(axis=1)
        sizes = np.maximum(largest[1 : len(waves) + 1], largest[len(waves) + 1 :])
        least = max(_ABOVE * noise * np.sqrt(2 / n), _SMALLEST * float(largest.max()))
        kept = int(np.max(np.flatnonzero(sizes > least), initial=-1)) + 1
        chosen = [0, *range(1, kept + 1), *range(len(waves) + 1, len(waves) + 1 + kept)]
        array = np.take(array, chosen, number)
    return array
