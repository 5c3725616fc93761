"""Problems in other units: any problem with its unknowns, lengths, times and equations multiplied
by constants, and problems of which the size is a coefficient. The tests and
``benchmarks/scales.py`` use them."""

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.derivatives import (
    Coordinate,
    Gradient,
    Laplacian,
    Normal,
    Partial,
    Point,
    call_by_name,
    parse_names,
    parse_signature,
)
from pinops.geometry import Wall
from pinops.problem import Problem, features_at, names_of, residual_signature, values_at
from pinops.problem._condition import Condition
from pinops.problem._derived import DerivedProblem
from pinops.problem._problem import by_unknown


class Stretched:
    """A domain whose space and time are multiplied by constants, any domain of the house."""

    def __init__(self, domain: Any, factors: dict[str, float]):
        self._domain, self._factors = domain, factors

        def pairs(bounds):
            return {
                name: (low * factors[name], high * factors[name])
                for name, (low, high) in bounds.items()
            }

        self.bounds, self.intervals = pairs(domain.bounds), pairs(domain.intervals)
        self._columns = np.asarray([factors[name] for name in domain.coordinates])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._domain, name)

    def walls(self) -> tuple[Wall, ...]:
        length = self._factors[self._domain.space[0]]  # of all spatial coordinates

        def of(wall: Wall) -> Wall:
            ends = wall.ends and tuple(tuple(length * x for x in end) for end in wall.ends)
            return Wall(wall.name, lambda point: length * wall.level(point / length), ends)

        return tuple(of(wall) for wall in self._domain.walls())

    def sample_interior(self, cube: Any, n: int) -> np.ndarray:
        return self._columns * self._domain.sample_interior(cube, n)

    def sample_initial(self, cube: Any, n: int) -> np.ndarray:
        return self._columns * self._domain.sample_initial(cube, n)

    def sample_boundary(self, on: Any, cube: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
        points, normals = self._domain.sample_boundary(on, cube, n)
        return self._columns * points, normals  # the same normals: all lengths have one factor


class Rescaled(DerivedProblem):
    """A problem in other units. Made by `rescale`."""

    problem: Problem
    of_unknowns: tuple[float, ...] = eqx.field(static=True)
    of_coordinates: tuple[float, ...] = eqx.field(static=True)
    of_equation: float = eqx.field(static=True)

    @property
    def domain(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        names = self.problem.domain.coordinates
        return Stretched(self.problem.domain, dict(zip(names, self.of_coordinates, strict=True)))

    @property
    def residual(self) -> Callable[..., Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        signature = residual_signature(self.problem)
        return self._converted(self.problem.residual, signature, self.of_equation)

    def _unit(self, argument: Any) -> Any:
        """What a quantity of this problem is in those of the inner one."""
        match argument:
            case Partial(component, index):
                of = np.prod([self.of_coordinates[axis] for axis in index])
                return self.of_unknowns[component] / of
            case Laplacian(component):
                return self.of_unknowns[component] / self._length**2
            case Gradient(component) | Normal(component):
                return self.of_unknowns[component] / self._length
            case Coordinate(axis):
                return self.of_coordinates[axis]
            case Point():
                return jnp.asarray(self.of_coordinates)
        return 1.0

    def _converted(self, function: Any, signature: Any, factor: float) -> Callable[..., Any]:
        """An equation of the inner problem by the quantities of this one, times a factor."""
        units = {name: self._unit(argument) for name, argument in signature.arguments}

        def converted(**values: Any) -> Any:
            out = function(**{name: value / units[name] for name, value in values.items()})
            return jax.tree.map(lambda value: factor * value, out)

        parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in units]
        converted.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
        return converted

    def integrals(self) -> dict[str, Any]:
        """Those of the inner problem, with the same values."""
        return {k: self._integral(one) for k, one in names_of(self.problem).integrals.items()}

    def _integral(self, one: Any) -> Any:
        names, here = self.problem.domain.coordinates, jnp.asarray(self.of_coordinates)
        units = dict(zip(names, self.of_coordinates, strict=True))
        outer = [(f"at_{name}", argument) for name, argument in one.outer.arguments]
        signature = SimpleNamespace(arguments=[*one.inner.arguments, *outer])
        factor = 1 / np.prod([units[axis] for axis in one.bounds])
        (axis,) = one.bounds

        def moved(place: Any) -> Any:
            def at(point: Any) -> Any:
                inner = dict(zip(names, point / here, strict=True))
                return units[axis] * call_by_name(place, inner, owner="units")

            return at if callable(place) else units[axis] * place

        declared = one.integral
        limits = [jax.tree.map(moved, part) for part in (declared.lower, declared.upper)]
        return po.Integral(
            self._converted(declared.integrand, signature, factor),
            axis,
            lower=limits[0],
            upper=limits[1],
            breaks=jax.tree.map(moved, declared.breaks),
            nodes=declared.nodes,
        )

    @property
    def _length(self) -> float:
        domain = self.problem.domain
        space = [self.of_coordinates[domain.coordinates.index(name)] for name in domain.space]
        return space[0] if space else 1.0

    @property
    def _time(self) -> float:
        domain = self.problem.domain
        return self.of_coordinates[domain.coordinates.index(domain.time)]

    def _inner(self, method: str) -> Callable[..., Any] | None:
        if getattr(self.problem, method) is None:
            return None
        sizes = dict(zip(self.unknowns, self.of_unknowns, strict=True))
        here = jnp.asarray(self.of_coordinates)
        if method == "features":
            return lambda point: tuple(features_at(self.problem, point / here))

        def at(point):
            return values_at(self.problem, method, point / here)

        def size(name):
            return 1.0 if method == "factor" else sizes[name]

        return lambda point: {name: size(name) * value for name, value in at(point).items()}

    @property
    def lift(self) -> Any:
        return self._inner("lift")

    @property
    def factor(self) -> Any:
        return self._inner("factor")

    @property
    def features(self) -> Any:
        return self._inner("features")

    def _data(self, condition: Any, value: Any, factor: float) -> dict[str, Any]:
        sizes = dict(zip(self.unknowns, self.of_unknowns, strict=True))
        functions = by_unknown(self.problem, value, condition.unknown, owner="rescaled")
        here = jnp.asarray(self.of_coordinates)

        def of(name: str, function: Any) -> Callable[..., Any]:
            return lambda point: sizes[name] * factor * function(point / here)

        return {name: of(name, function) for name, function in functions.items()}

    def conditions(self) -> tuple[Condition, ...]:
        return tuple(self._condition(condition) for condition in self.problem.conditions())

    def _condition(self, condition: Any) -> Condition:
        plain = {"on": getattr(condition, "on", None), "soft": condition.soft}
        match condition:
            case po.Dirichlet():
                return po.Dirichlet(self._data(condition, condition.value, 1.0), **plain)
            case po.Neumann():
                data = self._data(condition, condition.value, 1 / self._length)
                return po.Neumann(data, **plain)
            case po.Robin():
                return po.Robin(
                    self._data(condition, condition.value, 1.0),
                    alpha=condition.alpha,
                    beta=condition.beta * self._length,
                    **plain,
                )
            case po.Initial():
                rates = condition.rates()
                moving = None if rates is None else self._data(condition, rates, 1 / self._time)
                data = self._data(condition, condition.value, 1.0)
                return po.Initial(data, moving, soft=condition.soft)
            case po.Observed():
                names = names_of(self.problem)
                at = dict(zip(names.coordinates, self.of_coordinates, strict=True))

                def in_units(values: dict[str, Any]) -> dict[str, Any]:
                    signature = parse_names(tuple(values), names, owner="rescaled")
                    return {
                        name: self._unit(argument) * values[name]
                        for name, argument in signature.arguments
                    }

                return po.Observed(
                    {name: at[name] * array for name, array in condition.coordinates.items()},
                    in_units(condition.values),
                    noise=in_units(condition.noise),
                )
            case po.Equation():
                names = names_of(self.problem)
                signature = parse_signature(
                    condition.residual, names, owner="rescaled", boundary=True
                )
                return po.Equation(
                    self._converted(condition.residual, signature, self.of_equation),
                    on=condition.on,
                )
        return condition


def rescale(
    problem: Problem,
    *,
    unknown: float | dict[str, float] = 1.0,
    length: float = 1.0,
    time: float = 1.0,
    equation: float = 1.0,
) -> Rescaled:
    """The problem whose unknowns, lengths, times and equations are multiplied by constants."""
    unknowns = dict.fromkeys(problem.unknowns, unknown) if isinstance(unknown, float) else unknown
    domain = problem.domain
    return Rescaled(
        problem,
        of_unknowns=tuple(unknowns[name] for name in problem.unknowns),
        of_coordinates=tuple(
            time if name == domain.time else length for name in domain.coordinates
        ),
        of_equation=equation,
    )


class Cooling(po.Problem):
    """u_t = 0.1 u_xx from a sine of any amplitude, on top of any temperature."""

    domain = po.Box(x=(0, 1), t=(0, 1))
    amplitude: float = 1.0
    level: float = 0.0
    softly: bool = eqx.field(static=True, default=False)

    def residual(self, u_t, u_xx):
        return u_t - 0.1 * u_xx

    def conditions(self):
        def start(x):
            return self.level + self.amplitude * jnp.sin(jnp.pi * x)

        return po.Initial(start, soft=self.softly), po.Dirichlet(self.level, soft=self.softly)

    def exact(self, x, t):
        shape = jnp.exp(-0.1 * jnp.pi**2 * t) * jnp.sin(jnp.pi * x)
        return self.level + self.amplitude * shape


class Bar(po.Problem):
    """E u_xx + f = 0, held at one end: the displacement under its own weight."""

    domain = po.Box(x=(0, 1))
    modulus: float = po.positive(1.0)
    weight: float = 1.0

    def residual(self, u_xx):
        return self.modulus * u_xx + self.weight

    def conditions(self):
        return po.Dirichlet(0.0, on="x_min"), po.Neumann(0.0, on="x_max")

    def exact(self, x):
        return self.weight / self.modulus * (x - x**2 / 2)


class Pressure(po.Problem):
    """p_xx = 0 with observations of a straight line."""

    domain = po.Box(x=(0, 1))
    unknowns = ("p",)
    size: float = eqx.field(static=True, default=1.0)

    def residual(self, p_xx):
        return p_xx

    def conditions(self):
        x = np.linspace(0, 1, 51)
        return (po.Observed({"x": x}, {"p": self.size * (1 + x)}),)

    def exact(self, x):
        return self.size * (1 + x)


class Probed(po.Problem):
    """p_xx = 0 with observed pressures and slopes, of which some are noisier."""

    domain = po.Box(x=(0, 1))
    unknowns = ("p",)

    def residual(self, p_xx):
        return p_xx

    def conditions(self):
        x = np.linspace(0, 1, 11)
        values = {"p": 1 + x, "p_x": 1 + 0 * x, "lap_p": 0 * x}
        return (po.Observed({"x": x}, values, noise={"p": 0.1, "p_x": 0.01 + 0.02 * x}),)


class Decay(po.Problem):
    """u_t = -u / 2 from 2, by a clock that began long ago."""

    domain = po.Box(t=(1.7e9, 1.7e9 + 10))

    def residual(self, u, u_t):
        return u_t + u / 2

    def conditions(self):
        return (po.Initial(2.0),)

    def exact(self, t):
        return 2 * jnp.exp(-(t - 1.7e9) / 2)


class Epidemic(po.Problem):
    """SIR in numbers of people."""

    domain = po.Box(t=(0, 40))
    unknowns = ("S", "I")
    beta: float = po.positive(0.3)
    gamma: float = po.positive(0.2)
    people: float = 1.0

    def residual(self, S, I, S_t, I_t):  # noqa: E741
        infected = self.beta * S * I / self.people
        return {"S": S_t + infected, "I": I_t - infected + self.gamma * I}

    def conditions(self):
        return (po.Initial({"S": 0.99 * self.people, "I": 0.01 * self.people}),)


class Coupled(po.Problem):
    """E u_xx = p_x with the pressure given at the ends: p = P x, u = P (x² - x) / 2E; only p has
    data of a size."""

    domain = po.Box(x=(0, 1))
    unknowns = ("u", "p")
    pressure: float = 1.0
    modulus: float = 1.0

    def residual(self, u_xx, p_x, p_xx):
        return {"balance": self.modulus * u_xx - p_x, "flow": p_xx}

    def conditions(self):
        low, high = {"u": 0.0, "p": 0.0}, {"u": 0.0, "p": self.pressure}
        return po.Dirichlet(low, on="x_min"), po.Dirichlet(high, on="x_max")

    def exact(self, x):
        return {"u": self.pressure / self.modulus * (x**2 - x) / 2, "p": self.pressure * x}
