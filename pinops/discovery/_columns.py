"""The columns of a term library as rows of a regression, and how the noise of data enters them.

In weak form u u_x is (u²/2)_x, whose derivative falls on the test function: a product of a function
g(u) and one derivative of u is written with the integral G of g,

    g u_x = G_x,    g u_xx = G_xx - g' u_x²,

and other products are taken from the smoothed data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from pinops.derivatives import Partial, parse_name
from pinops.problem import Expression, TermLibrary

from ._forms import Form, Strong
from ._trajectories import Trajectories, along

Orders = tuple[int, ...]  # of derivatives, along each axis

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_NODES, _WEIGHTS = (_NODES + 1) / 2, _WEIGHTS / 2  # on [0, 1]
_LEAST = 1e-3  # of an unknown, relative: the noise that is reckoned with in any case
_STEP = 1e-4  # relative to the deviation of an argument, of differences


@dataclass(frozen=True)
class Share:
    """How the noise of an unknown enters a column: times a factor, through a derivative.

    Args:
        unknown: Whose noise.
        orders: Of the derivative.
        factor: At the points where it is taken, or one number.
    """

    unknown: str
    orders: Orders
    factor: Any


@dataclass(frozen=True)
class Columns:
    """The columns of a library in rows, made by `of`.

    Args:
        values: By name ``(n, k)``, k rows for each trajectory.
        shares: By name how noise enters.
        lines: The weights along each axis, by order.
        noise: The standard deviation of the noise of each unknown, at least 1e-3 of its own: as
            large may be the errors of integrals.
    """

    values: Mapping[str, Float[np.ndarray, "n k"]]
    shares: Mapping[str, tuple[Share, ...]]
    lines: tuple[Mapping[int, np.ndarray], ...]
    noise: Mapping[str, float]

    @classmethod
    def of(cls, data: Trajectories, library: TermLibrary, form: Form, most: int) -> "Columns":
        """The rows of the columns of a library.

        Args:
            data: Trajectories.
            library: Its columns.
            form: Weak or strong.
            most: How many rows there are at most for each trajectory.
        """
        orders = [orders_of(name, library, data) for name in _own_names(library)]
        each = max(4, int(most ** (1 / len(data.axes))))
        lines = []
        for number, axis in enumerate(data.axes):
            spectrum = np.mean([_spectrum(a, number + 1) for a in data.values.values()], axis=0)
            highest = max(one[number] for one in orders)
            lines.append(form.rows(axis, spectrum, range(highest + 1), each))
        build = _Strong if isinstance(form, Strong) else _Weak
        builder = build(data, library, tuple(lines))
        made = {name: builder.column(name) for name in library.columns}
        return cls(
            values={name: values for name, (values, _) in made.items()},
            shares={name: shares for name, (_, shares) in made.items()},
            lines=tuple(lines),
            noise={
                name: max(size, _LEAST * float(np.std(data.values[name])))
                for name, size in data.noise.items()
            },
        )

    def overlap(self, first: Orders, second: Orders) -> Float[np.ndarray, "k k"]:
        """The covariance of two derivatives of white noise of unit size."""
        parts = [line[a] @ line[b].T for line, a, b in zip(self.lines, first, second, strict=True)]
        return reduce(np.kron, parts)


def orders_of(name: str, library: TermLibrary, data: Trajectories) -> Orders:
    """How often a derivative differentiates along each axis of the data."""
    names = library.expression.names
    kind = parse_name(name, names)
    assert isinstance(kind, Partial)
    letters = [names.coordinates[axis] for axis in kind.index]
    return tuple(letters.count(axis.name) for axis in data.axes)


def unknown_of(name: str, library: TermLibrary) -> str | None:
    """The unknown of a derivative or value; None for a coordinate."""
    kind = parse_name(name, library.expression.names)
    return library.expression.names.unknowns[kind.component] if isinstance(kind, Partial) else None


def _own_names(library: TermLibrary) -> list[str]:
    """The arguments of a library that are unknowns or derivatives."""
    names = [name for name, _ in library.expression.signature.arguments]
    return [name for name in names if unknown_of(name, library) is not None]


def evaluated(expression: Expression, values: Mapping[str, Any]) -> np.ndarray:
    """An expression of one equation in float64, of the shape of the values."""
    shape = np.broadcast_shapes(*(np.shape(value) for value in values.values()))
    with jax.enable_x64(True):
        wanted = [name for name, _ in expression.signature.arguments]
        given = {name: np.asarray(values[name], np.float64) for name in wanted}
        return np.broadcast_to(np.asarray(expression.residual(**given)), shape)


def slope(
    expression: Expression, values: Mapping[str, np.ndarray], name: str, step: float
) -> np.ndarray:
    """The derivative of an expression by one of its arguments."""
    up, down = ({**values, name: values[name] + sign * step} for sign in (1, -1))
    return (evaluated(expression, up) - evaluated(expression, down)) / (2 * step)


def _spectrum(array: np.ndarray, axis: int) -> np.ndarray:
    moved = np.moveaxis(array, axis, -1)
    return np.abs(np.fft.rfft(moved)).reshape(-1, moved.shape[-1] // 2 + 1).mean(0)


def _coordinates(data: Trajectories) -> dict[str, np.ndarray]:
    """The coordinates on the grid, with an axis for the trajectories in front."""
    out = {}
    for number, axis in enumerate(data.axes):
        shape = [1] * (len(data.axes) + 1)
        shape[number + 1] = axis.count
        out[axis.name] = axis.points.reshape(shape)
    return out


def _applied(lines: Any, orders: Orders, array: np.ndarray) -> Float[np.ndarray, "n k"]:
    """The rows of a derivative of an array on the grid."""
    for number, order in enumerate(orders):
        array = along(lines[number][order], array, number + 1)
    return array.reshape(len(array), -1)


@dataclass(frozen=True)
class _Strong:
    """Columns from derivatives at points."""

    data: Trajectories
    library: TermLibrary
    lines: Any

    def column(self, name: str) -> tuple[np.ndarray, tuple[Share, ...]]:
        """Its values, and how noise enters."""
        expression = self.library.expression
        whole = Expression(expression.names, {"": expression.equations[name]}, {}, {})
        values, shares = {}, []
        shape = next(iter(self.data.values.values())).shape
        nothing = (0,) * len(self.data.axes)
        for axis, line in _coordinates(self.data).items():
            values[axis] = _applied(self.lines, nothing, np.broadcast_to(line, shape))
        wanted = [n for n, _ in whole.signature.arguments if n not in values]
        orders = {n: orders_of(n, self.library, self.data) for n in wanted}
        for n in wanted:
            array = self.data.values[str(unknown_of(n, self.library))]
            values[n] = _applied(self.lines, orders[n], array)
        for n in wanted:
            factor = slope(whole, values, n, _STEP * (float(np.std(values[n])) or 1.0))
            shares.append(Share(str(unknown_of(n, self.library)), orders[n], factor))
        return evaluated(whole, values), tuple(shares)


@dataclass(frozen=True)
class _Weak:
    """Columns from integrals against test functions."""

    data: Trajectories
    library: TermLibrary
    lines: Any

    def column(self, name: str) -> tuple[np.ndarray, tuple[Share, ...]]:
        """Its values, and how noise enters."""
        function, derivative = self.library.factored(name)
        raw = {**self.data.values, **_coordinates(self.data)}
        wanted = [n for n, _ in function.signature.arguments]
        nothing = (0,) * len(self.data.axes)
        if derivative is None and set(wanted) <= set(raw):
            shares = self._by_values(function, wanted, nothing, 1.0)
            return self._integrated(nothing, self._unbiased(function)), shares
        if derivative is None:  # products of derivatives
            smooth = {**raw, **{n: self._smooth(n) for n in wanted if n not in raw}}
            smooth |= self.data.smooth.values
            return self._integrated(nothing, evaluated(function, smooth)), ()
        orders = orders_of(derivative, self.library, self.data)
        unknown = str(unknown_of(derivative, self.library))
        if not wanted:
            number = float(evaluated(function, {unknown: np.zeros(())}))
            values = self._integrated(orders, number * self.data.values[unknown])
            return values, (Share(unknown, orders, number),)
        if wanted == [unknown] and sum(orders) <= 2 and max(orders) == sum(orders):
            return self._by_parts(function, unknown, orders)
        factor = evaluated(function, raw)
        smooth = self._smooth(derivative)
        shares = self._by_values(function, wanted, nothing, smooth)
        values = self._integrated(nothing, self._unbiased(function) * smooth)
        return values, (*shares, Share(unknown, orders, factor))

    def _by_parts(
        self, function: Expression, unknown: str, orders: Orders
    ) -> tuple[np.ndarray, tuple[Share, ...]]:
        """A function g(u) times the first or second derivative of u along an axis."""
        u, noise = self.data.values[unknown], self.data.noise[unknown]

        def whole(u: np.ndarray) -> np.ndarray:
            at = np.multiply.outer(_NODES, u)
            return u * np.tensordot(_WEIGHTS, evaluated(function, {unknown: at}), 1)

        integral = whole(u)
        integral = integral - (whole(u + noise) + whole(u - noise) - 2 * integral) / 2
        values = self._integrated(orders, integral)
        factor = evaluated(function, {unknown: u})
        if sum(orders) == 2:
            once = tuple(order // 2 for order in orders)
            first = self.data.derivative(unknown, once)
            curved = slope(function, self.data.smooth.values, unknown, _STEP * float(np.std(u)))
            nothing = (0,) * len(orders)
            values = values - self._integrated(nothing, curved * first**2)
        return values, (Share(unknown, orders, factor),)

    def _integrated(self, orders: Orders, array: Any) -> np.ndarray:
        shape = next(iter(self.data.values.values())).shape
        return _applied(self.lines, orders, np.broadcast_to(array, shape))

    def _unbiased(self, function: Expression) -> np.ndarray:
        """A function of noisy values whose mean is that of the values without noise.

        The mean of g(u + e) is g + g'' s²/2 for noise e of deviation s: exactly so up to cubes.
        """
        raw = {**self.data.values, **_coordinates(self.data)}
        out = centre = evaluated(function, raw)
        for name, size in self.data.noise.items():
            up, down = (evaluated(function, {**raw, name: raw[name] + k * size}) for k in (1, -1))
            out = out - (up + down - 2 * centre) / 2
        return out

    def _by_values(
        self, function: Expression, wanted: list[str], orders: Orders, other: Any
    ) -> tuple[Share, ...]:
        """How noise enters through the values of unknowns."""
        raw = {**self.data.values, **_coordinates(self.data)}
        return tuple(
            Share(
                name, orders, other * slope(function, raw, name, _STEP * float(np.std(raw[name])))
            )
            for name in self.data.values
            if name in wanted
        )

    def _smooth(self, name: str) -> np.ndarray:
        """A derivative of smoothed data on the grid."""
        orders = orders_of(name, self.library, self.data)
        return self.data.derivative(str(unknown_of(name, self.library)), orders)
