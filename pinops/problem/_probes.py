"""What a change of each unknown does to an equation, and which size of it balances the equation's
sources.

A residual is pointwise algebra between named derivatives. So a solution need not be known, nor
anything be differentiated, to say how large its terms are: noise of an unknown's size stands for
it, times a wave number for every order of a derivative.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from pinops.derivatives import (
    Coordinate,
    Gradient,
    Indicator,
    Laplacian,
    Normal,
    NormalVector,
    Partial,
    Point,
    Signature,
    apply_pointwise,
)
from pinops.problem._conditions import Equation, Interface
from pinops.problem._constraints import INTERIOR, Constraint, Region
from pinops.problem._cube import cube
from pinops.problem._integrals import expanded, with_integrals
from pinops.problem._interface import pairs
from pinops.problem._inverse import holder
from pinops.problem._problem import Problem, names_of
from pinops.problem._registry import name_of
from pinops.settings import quick

POINTS = 512  # of each region, at which data and equations are looked at
# Over the length: the wave number of what varies from one end of the domain to the other.
SLOW = 2.0
NOISE = 1e-12  # of the data: what varies less is round-off
_MAX_FACES = 32  # of a box that are looked at one by one
_MAX_AXES = 8  # in more dimensions the wave numbers of sources are not measured
_STEP = 1e-3  # of the length of a coordinate, for the slope of sources
_DECADES = 80  # in which the amplitude that balances an equation is looked for
_FAR = 1e4  # the cost of matching an unknown with an equation that says nothing of it

Sizes = dict[str, float]
Vectors = dict[str, Float[np.ndarray, " n"]]


def rms(values: np.ndarray) -> float:
    """The root mean square of what is finite, scaled first so that no square overflows."""
    values = np.abs(values[np.isfinite(values)])
    largest = values.max(initial=0.0)
    return float(largest * np.sqrt(np.mean((values / largest) ** 2))) if largest > 0 else 0.0


def usable(size: float) -> bool:
    return 0 < size < math.inf


def lengths_of(problem: Problem) -> Float[np.ndarray, " d"]:
    bounds = problem.domain.bounds
    return np.asarray([bounds[name][1] - bounds[name][0] for name in problem.domain.coordinates])


def normal_rate(problem: Problem, normals: np.ndarray) -> Float[np.ndarray, " n"]:
    """One over the length of the domain along each normal."""
    domain = problem.domain
    axes = [domain.coordinates.index(name) for name in domain.space]
    return np.sqrt(np.sum((normals / lengths_of(problem)[axes]) ** 2, -1))


def boundary_points(problem: Problem, parts: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Points on parts of the boundary and the normals there: as many on each face of a box,
    whatever the units of its sides.
    """

    def sample(on, n):
        return problem.domain.sample_boundary(on, cube, n)

    ends = {f"{name}_{end}" for name in problem.domain.intervals for end in ("min", "max")}
    if not set(parts) <= ends or len(parts) > _MAX_FACES:
        return sample(parts, POINTS)
    found = [sample((part,), POINTS // len(parts)) for part in parts]
    points, normals = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return points, normals


@dataclass(frozen=True)
class Probed:
    """One constraint at its points, around the mean values of the unknowns.

    A *probe* of an unknown is white noise of its size in each of its derivatives, times a wave
    number for each order: pointwise algebra is all that a residual is, so nothing is differentiated
    here.
    """

    call: Callable[[dict[str, np.ndarray]], Vectors]
    base: dict[str, np.ndarray]
    probes: dict[str, Callable[[np.ndarray], dict[str, np.ndarray]]]
    rates: Float[np.ndarray, " d"]  # one over the lengths of the domain
    sources: Vectors
    waves: dict[str, Float[np.ndarray, " d"]]  # of each equation's sources

    def change(self, sizes: Mapping[str, float], rates: np.ndarray) -> dict[str, float]:
        """By how much probes of these sizes and wave numbers change each equation; infinite where
        it is undefined at most points.
        """
        values = dict(self.base)
        for name, size in sizes.items():
            for argument, probe in self.probes[name](rates).items():
                values[argument] = values[argument] + size * probe
        out = {}
        for name, vector in self.call(values).items():
            defined = np.isfinite(self.sources[name])
            difference = (vector - self.sources[name])[defined]
            lost = difference.size and np.mean(~np.isfinite(difference)) > 0.5
            out[name] = math.inf if lost else rms(difference)
        return out

    def changes(self, sizes: Mapping[str, float]) -> Sizes:
        """The sizes of the terms, for a solution of these sizes."""
        out = {}
        for name, size in self.change({n: sizes[n] for n in self.probes}, self.rates).items():
            alternatives = (size, rms(self.sources[name]), 1.0)
            out[name] = next(one for one in alternatives if usable(one))
        return out

    def amplitude(self, unknown: str, equation: str, target: float, rates: np.ndarray) -> float:
        """The size of an unknown that changes an equation by so much; infinite where none does."""
        if not usable(target):
            return math.inf
        return balanced(lambda a: self.change({unknown: a}, rates)[equation], target)

    def from_sources(self, unknown: str, equation: str) -> float:
        """The size of an unknown that balances an equation's sources; 0 where there are none.

        Their mean acts over the whole domain, what varies over its own lengths: the answer to an
        oscillating source is small.
        """
        source = self.sources[equation]
        source = source[np.isfinite(source)]
        if not source.size:
            return 0.0
        mean, varying = abs(float(np.mean(source))), rms(source - np.mean(source))
        pairs = [(mean - 2 * varying / math.sqrt(source.size), SLOW * self.rates)]
        if varying > NOISE * mean:
            pairs.append((varying, self.waves[equation]))
        found = [self.amplitude(unknown, equation, target, rates) for target, rates in pairs]
        return max((size for size in found if usable(size)), default=0.0)


def balanced(change: Callable[[float], float], target: float) -> float:
    """The amplitude with ``change(amplitude) = target``: at once where it is linear, by bisection
    elsewhere.
    """
    unit = change(1.0)
    guess = target / unit if usable(unit) and usable(target / unit) else 1.0
    at = change(guess)
    if abs(at / target - 1) < 1e-9:
        return guess
    factor = 10.0 if at < target else 0.1
    low = high = guess
    for _ in range(_DECADES):
        low, high = high, high * factor
        if (change(high) < target) == (factor < 1):
            break
    else:
        return math.inf
    low, high = math.log(min(low, high)), math.log(max(low, high))
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (middle, high) if change(math.exp(middle)) < target else (low, middle)
    return math.exp((low + high) / 2)


@dataclass(frozen=True)
class Regions:
    """The points of every region, and the mean of every unknown."""

    problem: Problem
    mean: Sizes
    regions: dict[Region, tuple[np.ndarray, np.ndarray | None]]

    @classmethod
    def of(cls, problem: Problem, mean: Sizes) -> "Regions":
        at = problem.domain.sample_interior(cube, POINTS)
        return cls(problem, mean, {INTERIOR: (at, None)})

    def _region(self, region: Region) -> tuple[np.ndarray, np.ndarray | None]:
        if region not in self.regions:
            parts = region.parts or None
            assert parts is not None
            if region.kind == "interface":
                inner, outer, normals = pairs(self.problem, parts, cube, POINTS // 2, np.float64)
                both = np.concatenate([inner, outer]), np.concatenate([normals, normals])
                self.regions[region] = both
            else:
                self.regions[region] = boundary_points(self.problem, parts)
        return self.regions[region]

    def linear(self, constraint: Constraint, sizes: Mapping[str, float]) -> float:
        """The size of a condition that is a sum of unknowns and slopes."""
        assert constraint.linear is not None
        rates, total = 1 / lengths_of(self.problem), 0.0
        for name, argument in constraint.signature.arguments:
            if name not in constraint.linear:
                continue
            size = abs(float(np.max(np.abs(constraint.linear[name]))))
            if isinstance(argument, Normal):
                _, normals = self._region(constraint.region)
                assert normals is not None
                size *= rms(normal_rate(self.problem, normals))
            elif isinstance(argument, Partial):
                size *= math.prod(rates[axis] for axis in argument.index)
            elif isinstance(argument, Laplacian):
                size *= float(np.sum(rates[list(constraint.signature.names.space_axes)] ** 2))
            total = math.hypot(total, size * sizes[self._unknown(argument)])
        return total or 1.0

    def _unknown(self, argument: Any) -> str:
        return self.problem.unknowns[argument.component]

    def equation(self, constraint: Constraint, number: int | None) -> Probed:
        """A constraint by its names: the interior one, or that of a condition."""
        at, normals = self._region(constraint.region)
        problem, label = self.problem, constraint.name or "residual"

        def call(values: dict[str, np.ndarray]) -> Vectors:
            out = called(problem, number, label, values)

            # The names that terms have in the loss.
            def key(name):
                return name or label if number is None else f"{label} {name}".strip()

            return {key(name): np.asarray(value, np.float64) for name, value in out.items()}

        base = self._constant(constraint.signature, at, normals)
        sources = call(base)
        rates = 1 / lengths_of(problem)
        equation = Probed(
            call=call,
            base=base,
            probes=self._probes(constraint.signature, len(at), normals),
            rates=rates,
            sources=sources,
            waves=self._waves(constraint.signature, at, normals, call, sources),
        )
        return equation

    def _constant(
        self, signature: Signature, at: np.ndarray, normals: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """The arguments of an equation where every unknown is its mean everywhere."""
        n, out = len(at), {}
        for name, argument in expanded(signature):
            match argument:
                case Partial(_, ()):
                    out[name] = np.full(n, self.mean[self._unknown(argument)])
                case Gradient():
                    out[name] = np.zeros((n, len(signature.names.space)))
                case Coordinate(axis):
                    out[name] = at[:, axis]
                case Point():
                    out[name] = at
                case NormalVector():
                    assert normals is not None
                    out[name] = normals
                case Indicator(number):
                    part = signature.names.subdomains[number]
                    out[name] = np.asarray(part.indicator(jnp.asarray(at)))
                case _:
                    out[name] = np.zeros(n)
        return out

    def _probes(
        self, signature: Signature, n: int, normals: np.ndarray | None
    ) -> dict[str, Callable[[np.ndarray], dict[str, np.ndarray]]]:
        """The noise in the arguments of every unknown, for the wave numbers of the coordinates."""
        rng = np.random.default_rng(0)
        space = list(signature.names.space_axes)
        # Of mean square 1 and bounded, so that what must stay positive does where it varies little.
        noise = {
            name: rng.uniform(-math.sqrt(3), math.sqrt(3), (n, max(1, len(space))))
            for name, _ in expanded(signature)
        }

        def probe(name: str, argument: Any, rates: np.ndarray) -> np.ndarray:
            xi = noise[name]
            match argument:
                case Partial(_, index):
                    return math.prod(rates[axis] for axis in index) * xi[:, 0]
                case Laplacian():
                    return xi @ rates[space] ** 2
                case Gradient():
                    return xi * rates[space]
                case _:
                    assert normals is not None
                    return xi[:, 0] * np.sqrt(np.sum((normals * rates[space]) ** 2, -1))

        def of(unknown: str) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
            own = {
                name: argument
                for name, argument in expanded(signature)
                if hasattr(argument, "component") and self._unknown(argument) == unknown
            }
            return lambda rates: {name: probe(name, a, rates) for name, a in own.items()}

        return {unknown: of(unknown) for unknown in self.problem.unknowns}

    def _waves(
        self,
        signature: Signature,
        at: np.ndarray,
        normals: np.ndarray | None,
        call: Callable[[dict[str, np.ndarray]], Vectors],
        sources: Vectors,
    ) -> dict[str, np.ndarray]:
        """The wave number of an equation's sources along each coordinate, at least `SLOW` over its
        length.
        """
        lengths = lengths_of(self.problem)
        waves = {name: SLOW / lengths for name in sources}
        names = {name for name, _ in signature.arguments}
        used = [
            axis for axis, name in enumerate(signature.names.coordinates) if {name, "point"} & names
        ]
        if len(lengths) > _MAX_AXES:
            return waves
        middle = np.asarray([sum(b) / 2 for b in self.problem.domain.bounds.values()])
        for axis in used:
            moved = np.array(at)
            step = _STEP * lengths[axis] * np.where(at[:, axis] < middle[axis], 1.0, -1.0)
            moved[:, axis] += step
            step = moved[:, axis] - at[:, axis]  # as it is after rounding
            for name, there in call(self._constant(signature, moved, normals)).items():
                here = sources[name]
                known = here[np.isfinite(here)]
                size = rms(here - np.mean(known)) if len(known) else 0.0
                rate = rms((there - here) / step) / size if size > 0 else 0.0
                if rate > waves[name][axis]:
                    waves[name] = np.where(np.arange(len(lengths)) == axis, rate, waves[name])
        return waves


@quick
def called(
    problem: Problem, number: int | None, label: str, values: dict[str, np.ndarray]
) -> dict[str, Any]:
    """The interior equation, or that of a condition, at all points: one program for all sizes that
    are tried.
    """
    function = problem.residual
    if number is not None:
        condition = problem.conditions()[number]
        assert isinstance(condition, Equation | Interface)
        if isinstance(condition, Equation):
            function = condition.residual
        else:  # the balance of a flux is as large as the flux on either side
            function = condition.flux
    owner = f"{name_of(holder(problem))}, {label}"  # as in the training
    arrays = {name: jnp.asarray(value) for name, value in values.items()}
    known = with_integrals(arrays, names_of(problem))
    if number is not None:  # the point is not what a flux depends on
        known = {name: known[name] for name in inspect.signature(function).parameters}
    return apply_pointwise(function, known, owner=owner)


def from_boundary(equation: Probed) -> Sizes:
    """What the sources of a condition's equation say of the size of the only unknown in it."""
    unknowns = [name for name, probe in equation.probes.items() if probe(equation.rates)]
    if len(unknowns) != 1:
        return {}
    found = [equation.from_sources(unknowns[0], name) for name in equation.sources]
    return {unknowns[0]: max(found)} if any(usable(size) for size in found) else {}


def completed(
    equation: Probed, sizes: Sizes, fixed: frozenset[str], mean: Mapping[str, float]
) -> Sizes:
    """The sizes of all unknowns: raised to what sources make of them, or found from the unknowns
    that an equation couples.

    Each unknown belongs to one equation: the assignment in which their terms are largest together,
    which does not depend on the units of any of them (the same that scales sparse matrices: Duff &
    Koster 2001, SIAM J. Matrix Anal. Appl. 22, 973).
    """
    from scipy.optimize import linear_sum_assignment  # slow to import

    unknowns, slow = list(equation.probes), SLOW * equation.rates
    known = frozenset(name for name, size in sizes.items() if usable(size))
    sizes = _guessed(equation, {name: sizes[name] for name in known}, mean)
    for _ in range(2):  # guesses of some sizes are in the equations of others
        costs = _costs(equation, sizes)
        for i, j in zip(*linear_sum_assignment(costs), strict=True):
            unknown, name = unknowns[i], list(equation.sources)[j]
            if costs[i, j] == _FAR or unknown in fixed:
                continue
            found = [equation.from_sources(unknown, name)]
            if unknown in known:
                found.append(sizes[unknown])
            else:
                others = {other: size for other, size in sizes.items() if other != unknown}
                coupled = equation.change(others, slow)[name]
                found.append(equation.amplitude(unknown, name, coupled, slow))
            sizes[unknown] = max([size for size in found if usable(size)], default=sizes[unknown])
    return sizes


def _guessed(equation: Probed, sizes: Sizes, mean: Mapping[str, float]) -> Sizes:
    """The sizes that are known, and for each other unknown the smallest that makes it count in some
    equation."""
    unknowns = list(equation.probes)
    while len(sizes) < len(unknowns):
        costs = _costs(equation, sizes)
        new = {
            name: math.exp(row.min())
            for name, row in zip(unknowns, costs, strict=True)
            if name not in sizes and row.min() < _FAR
        }
        if not new:  # nothing tells the size of what is left
            new = {name: abs(mean[name]) or 1.0 for name in unknowns if name not in sizes}
        sizes = sizes | new
    return sizes


def _costs(equation: Probed, sizes: Sizes) -> Float[np.ndarray, "c e"]:
    """The logarithm of the size with which each unknown changes each equation as much as its
    sources and all unknowns do."""
    slow = SLOW * equation.rates
    coupled = equation.change(sizes, slow)
    costs = np.full((len(equation.probes), len(equation.sources)), _FAR)
    for i, unknown in enumerate(equation.probes):
        for j, name in enumerate(equation.sources):
            total = math.hypot(rms(equation.sources[name]), coupled[name])
            size = equation.amplitude(unknown, name, total, slow)
            if usable(size):
                costs[i, j] = math.log(size)
    return costs
