"""One part of the time interval: the same problem, begun from what the part before hands over."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import taking
from pinops.geometry import TERMINAL, Box
from pinops.problem._condition import Condition
from pinops.problem._conditions import (
    Dirichlet,
    Equation,
    Initial,
    Interface,
    Neumann,
    Periodic,
    Robin,
)
from pinops.problem._dependence import missing_axes
from pinops.problem._derived import DerivedProblem
from pinops.problem._integrals import AT, Integral
from pinops.problem._observed import Observed
from pinops.problem._problem import Problem
from pinops.reference import Reference
from pinops.settings import check_settings, number, whole


class TimeWindows(eqx.Module):
    """Parts of the time interval, solved one after the other: equal ones, or, without ``count``, as
    long as each can be solved.

    Network and optimizer go on from part to part; only a quasi-Newton method begins anew, because
    the curvatures of one part mislead it in the next. A part that has not converged is halved.

    Where lengths are chosen, the first part is all of the time. A part ends as soon as it meets the
    tolerance, and without it where it is far from that after a third of its steps; after four that
    were quick the next is twice as long. For ordinary differential equations network and optimizer
    are then a Chebyshev series and Gauss-Newton by default.

    Args:
        count: The number of parts, at least 2; None: their lengths are chosen.
        nodes: The number of points, at least 3, of each spatial coordinate on which a part passes
            its end to the next, as a Fourier series (periodic) or a Chebyshev series.
        tolerance: The largest loss at new points of a part whose length is chosen, as a root mean
            square: 1e-5 is a residual of a hundred-thousandth of its size. None: 1e-5, and 1e-10
            for that series.

    Raises:
        ValueError: For a setting out of range, and for a tolerance of parts that are counted.
    """

    count: int | None = whole(None, least=2, most=10_000, optional=True)
    nodes: int = whole(129, least=3, most=10_000)
    tolerance: float | None = number(None, above=0, most=1, optional=True)

    def __check_init__(self):
        check_settings(self)
        if self.count is not None and self.tolerance is not None:
            raise ValueError(
                "TimeWindows: count and tolerance exclude each other: with a tolerance, lengths "
                "are chosen"
            )


class Window(DerivedProblem):
    """A problem from ``start`` on for ``length``, in the time that has passed since then.

    All windows of one length are one program: start and initial data are arrays. ``handed``: the
    coefficients of the series of every unknown at the start (and of its time derivative,
    ``"u_t"``), None in the first window.
    """

    problem: Problem
    length: float = eqx.field(static=True)
    start: Array | np.ndarray
    handed: dict[str, Float[Array | np.ndarray, "..."]] | None

    def __check_init__(self):
        domain = self.problem.domain
        if not isinstance(domain, Box) or domain.time is None:
            raise ValueError(
                "time windows need a box with a time coordinate; "
                f"{type(self.problem).__name__} has another domain"
            )
        time = domain.coordinates.index(domain.time)
        for unknown, axes in missing_axes(self.problem).items():
            if time in axes:
                raise ValueError(
                    f"time windows cannot find {unknown}, which does not depend on {domain.time}; "
                    "solve the problem in one piece"
                )
        for condition in self.problem.conditions():
            what = _spans_time(domain, condition)
            if what:
                raise ValueError(f"time windows cannot use {what}; solve the problem in one piece")
        for name, integral in self.problem.integrals().items():
            if domain.time in integral.axes:
                raise ValueError(
                    f"time windows cannot use an integral over {domain.time}, {name}, which needs "
                    "what was before a window; solve the problem in one piece"
                )

    @property
    def domain(self) -> Box:  # pyright: ignore[reportIncompatibleVariableOverride]
        whole = self.problem.domain
        assert isinstance(whole, Box) and whole.time is not None
        return Box(name=whole.name, **{**whole.bounds, whole.time: (0.0, self.length)})

    @property
    def stretched(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.stretched

    @property
    def trainable(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.problem.trainable

    @property
    def residual(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._later(self.problem.residual)

    @property
    def exact(self) -> Callable[..., Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return None if self.problem.exact is None else self._later(self.problem.exact)

    @property
    def lift(self) -> Callable[..., Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return None if self.problem.lift is None else self._later(self.problem.lift)

    @property
    def factor(self) -> Callable[..., Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return None if self.problem.factor is None else self._later(self.problem.factor)

    @property
    def features(self) -> Callable[..., Any] | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        return None if self.problem.features is None else self._later(self.problem.features)

    def integrals(self) -> dict[str, Integral]:
        # Their functions, which are leaves, see the time of the whole problem.
        declared = self.problem.integrals()
        return {name: jax.tree.map(self._later, one) for name, one in declared.items()}

    def reference(self) -> Reference | None:
        whole = self.problem.reference()
        return None if whole is None else self.part(whole)

    def part(self, reference: Reference) -> Reference | None:
        """What a reference of the whole says about this window; None where it has no time in it."""
        time = self.problem.domain.time
        assert time is not None
        t = reference.coordinates[time]
        start, slack = float(self.start), 1e-9 * self.length
        inside = (t >= start - slack) & (t <= start + self.length + slack)
        axis = int(np.argmax(t.shape)) if t.ndim else 0
        chosen = np.flatnonzero(inside)
        if not chosen.size:
            return None

        def take(array: np.ndarray) -> np.ndarray:
            along_time = array.ndim > axis and array.shape[axis] == t.size
            return np.take(array, chosen, axis) if along_time else array

        coordinates = {name: take(array) for name, array in reference.coordinates.items()}
        coordinates[time] = np.clip(coordinates[time] - start, 0.0, self.length)
        values = {name: take(array) for name, array in reference.values.items()}
        return dataclasses.replace(reference, coordinates=coordinates, values=values)

    def conditions(self) -> tuple[Condition, ...]:
        return tuple(self._moved(condition) for condition in self.problem.conditions())

    def _moved(self, condition: Condition) -> Condition:
        match condition:
            case Initial() if self.handed is not None:
                value, unknown = condition.value, condition.unknown
                names = (
                    tuple(value)
                    if isinstance(value, dict)
                    else (unknown,)
                    if unknown
                    else self.unknowns
                )
                rates = None
                if condition.derivative is not None:
                    moving = condition.rates()
                    moving = tuple(moving) if isinstance(moving, dict) else names
                    rates = {
                        name: self._series(f"{name}_{self.problem.domain.time}") for name in moving
                    }
                return Initial({name: self._series(name) for name in names}, rates)
            case Dirichlet() | Neumann() | Robin():
                value = condition.value
                data = (
                    {k: self._later(v) for k, v in value.items()}
                    if isinstance(value, dict)
                    else self._later(value)
                )
                return dataclasses.replace(condition, value=data)
            case Equation():
                return Equation(self._later(condition.residual), on=condition.on)
        return condition

    def _later(self, function: Any) -> Any:
        """A function of named coordinates in the time of the window."""
        if not callable(function):
            return function
        time = self.problem.domain.time
        axis = self.problem.domain.coordinates.index(time)

        def later(**values):
            for prefix in ("", AT):
                if f"{prefix}{time}" in values:
                    values[f"{prefix}{time}"] = values[f"{prefix}{time}"] + self.start
                if f"{prefix}point" in values:
                    point = values[f"{prefix}point"]
                    values[f"{prefix}point"] = point.at[axis].add(self.start)
            return function(**values)

        return taking(later, inspect.signature(function).parameters)

    def _series(self, name: str) -> Callable[..., Any]:
        """An unknown, or its time derivative, at the start."""
        domain = self.problem.domain

        def at_start(point):
            assert self.handed is not None
            total = jnp.asarray(self.handed[name])
            for coordinate, periodic in space_of(self.problem).items():
                place = point[domain.coordinates.index(coordinate)]
                basis = _basis(place, domain.bounds[coordinate], periodic, total.shape[0])
                total = jnp.tensordot(basis, total, 1)
            return total

        return at_start


def _spans_time(domain: Box, condition: Condition) -> str:
    """What of a condition cannot be met from window to window; empty where all can."""
    if isinstance(condition, Observed):
        return "observations"
    if isinstance(condition, Interface):  # the series that is handed over would have a kink
        return "an interface between subdomains"
    if isinstance(condition, Periodic):
        on = (condition.on,) if isinstance(condition.on, str) else condition.on
        return "a solution periodic in time" if domain.time in on else ""
    if isinstance(condition, Dirichlet | Neumann | Robin | Equation):
        terminal = TERMINAL in domain.select(condition.on)
        return f"a terminal condition (on={TERMINAL!r})" if terminal else ""
    return ""


def space_of(problem: Problem) -> dict[str, bool]:
    """The spatial coordinates, and whether the problem is periodic along each."""
    on = [condition.on for condition in problem.conditions() if isinstance(condition, Periodic)]
    periodic = {name for entry in on for name in ((entry,) if isinstance(entry, str) else entry)}
    return {name: name in periodic for name in problem.domain.space}


def nodes_of(problem: Problem, count: int) -> dict[str, np.ndarray]:
    """Where what is handed over is evaluated.

    Equal spacing along periodic coordinates, Chebyshev points along the others.
    """
    out = {}
    for name, periodic in space_of(problem).items():
        low, high = problem.domain.bounds[name]
        n = (
            count + 1 - count % 2 if periodic else count
        )  # a series of sines and cosines has an odd number of terms
        share = np.arange(n) / n if periodic else (1 - np.cos(np.pi * (np.arange(n) + 0.5) / n)) / 2
        out[name] = low + (high - low) * share
    return out


def series_of(
    problem: Problem, values: Mapping[str, np.ndarray], count: int
) -> dict[str, np.ndarray]:
    """The coefficients of the series through values on the grid of `nodes_of`.

    Returns:
        One array ``(n, ..., n)`` by name.
    """
    out = {}
    for name, value in values.items():
        coefficients = np.asarray(value, np.float64)
        for axis, ((coordinate, nodes), periodic) in enumerate(
            zip(nodes_of(problem, count).items(), space_of(problem).values(), strict=True)
        ):
            matrix = _basis_at(nodes, problem.domain.bounds[coordinate], periodic)
            coefficients = np.moveaxis(
                np.tensordot(np.linalg.inv(matrix), coefficients, (1, axis)), 0, axis
            )
        out[name] = coefficients
    return out


def _basis_at(
    nodes: Float[np.ndarray, " n"], bounds: tuple[float, float], periodic: bool
) -> Float[np.ndarray, "n n"]:
    """`_basis` at as many nodes, in NumPy: outside of a program JAX would compile its loop each
    time.
    """
    low, high = bounds
    if periodic:
        share = (nodes[:, None] - low) / (high - low)
        angle = 2 * np.pi * share * np.arange(1, len(nodes) // 2 + 1)
        return np.concatenate([np.ones_like(share), np.cos(angle), np.sin(angle)], 1)
    return np.polynomial.chebyshev.chebvander(
        (2 * nodes - low - high) / (high - low), len(nodes) - 1
    )


def _basis(
    x: Array, bounds: tuple[float, float], periodic: bool, count: int
) -> Float[Array, " count"]:
    """1, cos, sin of multiples of the angle, or Chebyshev polynomials, at one place."""
    low, high = bounds
    if periodic:
        angle = 2 * jnp.pi * (x - low) / (high - low) * jnp.arange(1, count // 2 + 1)
        return jnp.concatenate([jnp.ones(1, angle.dtype), jnp.cos(angle), jnp.sin(angle)])
    s = (2 * x - low - high) / (high - low)
    # A loop: unrolled, its derivatives take long to compile.
    _, terms = jax.lax.scan(
        lambda t, _: ((t[1], 2 * s * t[1] - t[0]), t[0]), (jnp.ones_like(s), s), length=count
    )
    return terms
