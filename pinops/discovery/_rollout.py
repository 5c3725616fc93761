"""A found equation, integrated on the periodic grid of its data."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from pinops.problem import TermLibrary
from pinops.reference import integrate_etdrk4

from ._columns import Columns, orders_of, unknown_of
from ._trajectories import Trajectories

MOST_STEPS = 5_000
_COURANT = 2.0  # time step times the fastest rate of what is integrated explicitly


@dataclass(frozen=True)
class Side:
    """The right side of the equation of one unknown, made by `of`.

    Args:
        order: Of the derivative in time on the left.
        coefficients: By column.
        exact: Those of them that are integrated exactly, by column: the number before the
            derivative in the column, and the derivative.
        rate: A bound for the rate at which the other terms change the shortest wave.
    """

    order: int
    coefficients: Mapping[str, float]
    exact: Mapping[str, tuple[float, tuple[int, ...]]]
    rate: float

    @classmethod
    def of(
        cls,
        unknown: str,
        order: int,
        coefficients: Mapping[str, float],
        columns: Columns,
        library: TermLibrary,
        data: Trajectories,
    ) -> "Side":
        """What a rollout needs of an equation.

        Args:
            unknown: On the left.
            order: Of its derivative in time there.
            coefficients: By column.
            columns: How unknowns enter each column.
            library: What the columns are.
            data: The grid.
        """
        shortest = [2 / 3 * np.pi / axis.step for axis in data.space]
        exact, rate = {}, 0.0
        for column, value in coefficients.items():
            function, derivative = library.factored(column)
            linear = not function.signature.arguments
            if derivative and linear and order == 1 and unknown_of(derivative, library) == unknown:
                orders = orders_of(derivative, library, data)
                exact[column] = float(function.residual()), orders[1:]
                continue
            for share in columns.shares[column]:
                waves = np.prod(np.power(shortest, share.orders[1:]))
                rate += abs(value) * float(np.abs(share.factor).max() * waves)
        return cls(order, coefficients, exact, rate ** (1 / order))


def is_possible(data: Trajectories, library: TermLibrary, sides: Mapping[str, Side]) -> bool:
    """Whether space is periodic, no column depends on time, and the steps are not too many."""
    periodic = all(axis.periodic for axis in data.space)
    steady = data.time.name not in dict(library.expression.signature.arguments)
    length = data.time.step * data.time.count
    few = max(side.rate for side in sides.values()) * length < MOST_STEPS * _COURANT
    return periodic and steady and few


def rollout(
    data: Trajectories, first: int, library: TermLibrary, sides: Mapping[str, Side]
) -> dict[str, Float[np.ndarray, "n t ..."]]:
    """Solutions from a snapshot of the smoothed data to the last one.

    Args:
        data: Periodic in space.
        first: The number of the snapshot.
        library: What the columns are.
        sides: By unknown.

    Returns:
        By unknown, at the times from the first one on.

    Raises:
        ValueError: Where the solution diverges.
    """
    grid = _Grid(data)
    start, names = [], []
    for unknown, side in sides.items():
        for order in range(side.order):
            names.append(unknown + f"_{data.time.name}" * bool(order))
            orders = (order, *[0] * len(data.space))
            start.append(data.derivative(unknown, orders)[:, first])
    state = grid.forward(np.stack(start))
    linear = np.zeros((len(names), 1, *grid.shape), complex)
    explicit = {}
    for unknown, side in sides.items():
        rest = dict(side.coefficients)
        for column, (number, orders) in side.exact.items():
            linear[names.index(unknown)] += rest.pop(column) * number * grid.symbol(orders)
        explicit[unknown] = rest
    terms = _Explicit(data, library, sides, explicit, tuple(names), grid)
    rate = max(side.rate for side in sides.values())
    steps = np.ceil(data.time.step * rate / _COURANT)
    times = data.time.step * np.arange(data.time.count - first)
    with np.errstate(all="ignore"):
        found = integrate_etdrk4(
            state, linear, terms, times, data.time.step / max(1.0, steps), refinement=1
        )
    values = grid.backward(found)  # (t, state, n, *space)
    return {name: np.moveaxis(values[:, names.index(name)], 0, 1) for name in sides}


@dataclass(frozen=True)
class _Grid:
    """Fourier coefficients on the grid of space, the last axes; without space the values."""

    data: Trajectories

    @property
    def shape(self) -> tuple[int, ...]:
        sizes = [axis.count for axis in self.data.space]
        return (*sizes[:-1], sizes[-1] // 2 + 1) if sizes else ()

    @functools.cached_property
    def waves(self) -> list[np.ndarray]:
        """The wave numbers along each axis, which broadcast."""
        out = []
        for number, axis in enumerate(self.data.space):
            last = number == len(self.data.space) - 1
            whole = (np.fft.rfftfreq if last else np.fft.fftfreq)(axis.count, axis.step)
            shape = [1] * len(self.data.space)
            shape[number] = whole.size
            out.append(2 * np.pi * whole.reshape(shape))
        return out

    @functools.cached_property
    def resolved(self) -> np.ndarray:
        """Waves that products of two do not alias: two thirds of those along each axis."""
        kept = np.ones(self.shape)
        for wave in self.waves:
            kept = kept * (np.abs(wave) < 2 / 3 * np.abs(wave).max())
        return kept

    def symbol(self, orders: tuple[int, ...]) -> np.ndarray:
        out = np.ones(self.shape, complex)
        for wave, order in zip(self.waves, orders, strict=True):
            out = out * (1j * wave) ** order
        return out

    def forward(self, values: np.ndarray) -> np.ndarray:
        axes = tuple(range(-len(self.data.space), 0))
        return np.fft.rfftn(values, axes=axes) * self.resolved if axes else values

    def backward(self, state: np.ndarray) -> np.ndarray:
        axes = tuple(range(-len(self.data.space), 0))
        sizes = [axis.count for axis in self.data.space]
        return np.fft.irfftn(state, sizes, axes=axes) if axes else np.real(state)


@dataclass(frozen=True)
class _Explicit:
    """The terms that are integrated explicitly, a function of the state."""

    data: Trajectories
    library: TermLibrary
    sides: Mapping[str, Side]
    explicit: Mapping[str, Mapping[str, float]]
    names: tuple[str, ...]
    grid: _Grid

    @functools.cached_property
    def _plan(self) -> dict[str, tuple[int, np.ndarray]]:
        """By the name of an unknown or derivative that occurs: its place in the state, and how it
        follows from that.
        """
        used = {column for rest in self.explicit.values() for column in rest}
        expression = self.library.expression
        equations = {name: expression.equations[name] for name in used}
        alone = replace(expression, equations=equations)
        out = {}
        for name, _ in alone.signature.arguments:
            unknown = unknown_of(name, self.library)
            if unknown is not None:
                in_time, *orders = orders_of(name, self.library, self.data)
                component = unknown + f"_{self.data.time.name}" * bool(in_time)
                out[name] = self.names.index(component), self.grid.symbol(tuple(orders))
        return out

    @functools.cached_property
    def _others(self) -> dict[str, np.ndarray]:
        """Coordinates, and zeros for what occurs in columns whose coefficient is 0 alone."""
        shape = (self.data.count, *(axis.count for axis in self.data.space))
        out = {}
        for name, _ in self.library.expression.signature.arguments:
            if name not in self._plan:
                out[name] = self._coordinate(name, shape)
        return out

    @functools.cached_property
    def _rows(self) -> np.ndarray:
        """The coefficients of the columns in the rate of each unknown."""
        columns = self.library.columns
        return np.asarray(
            [[self.explicit[u].get(name, 0.0) for name in columns] for u in self.sides]
        )

    @functools.cached_property
    def _compiled(self) -> Callable[..., Any]:
        return _rates(self.library)

    def __call__(self, state: np.ndarray) -> np.ndarray:
        out = np.zeros_like(state)
        values: dict[str, Any] = dict(self._others)
        for name, (place, symbol) in self._plan.items():
            values[name] = self.grid.backward(state[place] * symbol)
        if self._rows.any():
            with jax.enable_x64(True):
                rates = self.grid.forward(np.asarray(self._compiled(self._rows, values)))
        else:
            rates = np.zeros((len(self.sides), *state.shape[1:]))
        for number, (unknown, side) in enumerate(self.sides.items()):
            place = self.names.index(unknown)
            if side.order == 2:
                out[place] = state[place + 1]
            out[place + side.order - 1] += rates[number]
        return out

    def _coordinate(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        for number, axis in enumerate(self.data.space):
            if axis.name == name:
                around = [1] * (len(shape) - 1)
                around[number] = axis.count
                return np.broadcast_to(axis.points.reshape(around), shape)
        return np.zeros(shape)


@functools.lru_cache(maxsize=8)
def _rates(library: TermLibrary) -> Callable[..., Any]:
    """The sums of the columns, compiled once for a library."""

    @jax.jit
    def rates(rows: Any, values: Any) -> Any:
        return jax.numpy.einsum("uk,...k->u...", rows, library.matrix(values))

    return rates
