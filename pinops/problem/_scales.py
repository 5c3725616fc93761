"""Sizes: how large each unknown is, and how much a typical solution changes each equation, before
anything is trained.

A network gives numbers of about 1, and a loss adds squares: both need numbers without units. All
sizes follow from the problem itself and are *equivariant*: where an unknown, a coordinate, a
coefficient or an equation is multiplied by a constant, they are multiplied with it, so that what is
trained is the same up to round-off. Two instances: the displacement of a bar under its own weight,
``E u_xx + f = 0``, is f L² / E, its equation f; a temperature of 300 ± 1e-3 is centred at 300 and
has the size 1e-3.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pinops.derivatives import Laplacian, Partial, parse_name
from pinops.problem._condition import Condition
from pinops.problem._conditions import Dirichlet, Initial, Neumann, Robin
from pinops.problem._constraints import INTERIOR, Constraint, constraints
from pinops.problem._faces import faces
from pinops.problem._imposition import Imposition
from pinops.problem._inverse import holder
from pinops.problem._observed import Observed
from pinops.problem._probes import (
    NOISE,
    POINTS,
    SLOW,
    Probed,
    Regions,
    Sizes,
    Vectors,
    balanced,
    boundary_points,
    called,
    completed,
    cube,
    from_boundary,
    lengths_of,
    normal_rate,
    rms,
    usable,
)
from pinops.problem._problem import Problem, by_unknown, names_of, values_at
from pinops.problem._walls import held
from pinops.settings import quick

_RESOLVED = 10_000  # floating-point numbers in the interval of a coordinate, at least
# A lift says what the solution is like, and which one where an equation has several: a training
# begins near it (of |grad u| = 1 it found -u as well, from a start of the size of u).
_BESIDE_LIFT = 0.25
_MET = 1e-3  # of its size: an equation so far from zero counts as a misfit as large as the noise
_CENTRED = 10.0  # in sizes; a larger mean is taken out of what is imposed exactly


class Scales(eqx.Module):
    """The sizes of a problem. In a model the numbers are arrays, so that other sizes are the same
    program.

    Attributes:
        centre: of each unknown, taken out before the network.
        spread: of each unknown, what the network's values are multiplied by: its size, or a quarter
            of it beside a lift of the problem, over that of the problem's factor.
        sizes: of each unknown, in its own units.
        terms: of each term of the loss, by which its residual vector is divided.
        coefficients: of those that are trained and start at zero.
    """

    centre: dict[str, Any]
    spread: dict[str, Any]
    sizes: dict[str, Any]
    terms: dict[str, Any]
    coefficients: dict[str, Any]

    def to_json(self) -> dict[str, dict[str, float]]:
        """The numbers, for ``run.json``."""
        parts = ("centre", "spread", "sizes", "terms", "coefficients")
        return {
            part: {name: float(value) for name, value in getattr(self, part).items()}
            for part in parts
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Mapping[str, float]]) -> "Scales":
        """Those of a stored run."""
        return cls(**{part: dict(numbers) for part, numbers in content.items()})


def scales_of(
    problem: Problem,
    imposition: Imposition,
    given: Mapping[str, float] | None = None,
    means: Mapping[str, float] | None = None,
) -> Scales:
    """The sizes of a problem, from a few hundred points, to six digits, which are the same on every
    machine.

    An unknown is as large as its data vary (Dirichlet, initial, observed and known values; Neumann
    data times the length, initial velocities times the duration) or as its equation's sources make
    it, whichever is larger. What has neither follows from the equations that couple it to the
    others. A term of the loss is as large as a solution of these sizes, which changes over the
    lengths of the domain, makes it.

    Args:
        problem: with its data; coefficients that are to be found count with the values that they
            start from.
        imposition: how its conditions are met.
        given: the sizes of some unknowns, greater than zero, where they are known.
        means: the mean values of some unknowns, where they are known.

    Raises:
        ValueError: for a size of what is no unknown, or one that is not positive and finite.
    """
    given = _checked(problem, given)
    with jax.enable_x64(True), np.errstate(all="ignore"):
        problem = jax.tree.map(_double, problem)
        data = _data_of(problem, means or {})
        sizes = data.sizes | given
        soft = [c for c in constraints(problem, imposition.soft) if c.region != INTERIOR]
        (inside,) = [c for c in constraints(problem, ()) if c.region == INTERIOR]
        places = Regions.of(problem, data.mean)
        equation = places.equation(inside, None)
        others = {
            c.name: places.equation(c, k)
            for c, k in zip(soft, _numbers(problem, imposition), strict=True)
            if c.linear is None and not c.observed
        }
        for other in others.values():
            for name, size in from_boundary(other).items():
                if name not in given:
                    sizes[name] = max(sizes.get(name, 0.0), size)
        sizes = completed(equation, sizes, frozenset(given), data.mean)
        terms = equation.changes(sizes)
        for c in soft:
            if c.observed:
                terms[c.name] = _observed_size(problem, c, places, sizes)
            elif c.linear is None:
                terms |= others[c.name].changes(sizes)
            else:
                terms[c.name] = places.linear(c, sizes)
        coefficients = _coefficients(problem, equation, sizes, terms, data)
    known = {"lift", "factor"} & {m for m in ("lift", "factor") if getattr(problem, m) is not None}
    places = [*faces(problem, imposition.hard), *held(problem, imposition.hard)]
    imposed = {problem.unknowns[place.component] for place in places}
    centre = {}
    for name in problem.unknowns:
        mean = data.mean[name]
        worth = name not in imposed or abs(mean) > _CENTRED * sizes[name]
        centre[name] = _rounded_to(mean, sizes[name]) if worth and not known else 0.0
    size = {name: _rounded(sizes[name]) for name in problem.unknowns}
    share = _BESIDE_LIFT if "lift" in known else 1.0
    return Scales(
        centre=centre,
        spread={
            name: _rounded(share * size[name] / data.factor[name]) for name in problem.unknowns
        },
        sizes=size,
        terms={name: _rounded(value) for name, value in terms.items()},
        coefficients={name: _rounded(value) for name, value in coefficients.items()},
    )


def scales_of_family(
    members: Sequence[Problem],
    imposition: Imposition,
    given: Mapping[str, float] | None = None,
    means: Mapping[str, float] | None = None,
) -> Scales:
    """The sizes that serve all members of a family: root mean squares of those of some of them, and
    the mean of the centres.
    """
    found = [scales_of(member, imposition, given, means).to_json() for member in members]

    def over(part: str) -> Sizes:
        def of(name):
            return np.asarray([one[part][name] for one in found])

        return {name: _rounded(rms(of(name))) for name in found[0][part]}

    together = {part: over(part) for part in ("spread", "sizes", "terms", "coefficients")}
    centre = {
        name: _rounded_to(float(np.mean([one["centre"][name] for one in found])), size)
        for name, size in together["sizes"].items()
    }
    return Scales(centre=centre, **together)


def check_resolved(problem: Problem, dtype: str) -> None:
    """Raises ValueError for a coordinate with too few floating-point numbers between its bounds."""
    kind = np.dtype(dtype)
    for name, (low, high) in problem.domain.bounds.items():
        gap = float(np.spacing(kind.type(max(abs(low), abs(high)))))
        if high - low < _RESOLVED * gap:
            remedy = "" if kind == np.float64 else ', or choose dtype="float64"'
            raise ValueError(
                f"{name} from {low:.17g} to {high:.17g} has fewer than {_RESOLVED} numbers of "
                f"{dtype}, which are {gap:.2g} "
                f"apart there; measure {name} from another origin{remedy}"
            )


def _checked(problem: Problem, given: Mapping[str, float] | None) -> Sizes:
    for name, size in (given or {}).items():
        if name not in problem.unknowns:
            raise ValueError(
                f"scales: there is no unknown {name!r}; the unknowns are "
                f"{', '.join(problem.unknowns)}"
            )
        number = isinstance(size, int | float | np.number) and not isinstance(size, bool)
        if not number or not 0 < size < math.inf:
            raise ValueError(
                f"scales: the size of {name} must be a number greater than zero and finite, got "
                f"{size!r}"
            )
    return {name: float(size) for name, size in (given or {}).items()}


def _double(leaf: Any) -> Any:
    return jnp.asarray(np.asarray(leaf, np.float64)) if eqx.is_inexact_array_like(leaf) else leaf


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")


def _rounded_to(number: float, size: float) -> float:
    """To about a thousandth of a size: a level of 300 keeps as many digits as its variation of 1e-6
    needs.
    """
    return round(number, 3 - math.floor(math.log10(size)))


# Data: what conditions and observations say of the size of each unknown.


@dataclass(frozen=True)
class _Data:
    """The mean of what is prescribed for each unknown (0 without anything), sizes where data tell
    them, and the size of the problem's factor.
    """

    mean: Sizes
    sizes: Sizes
    factor: Sizes
    values: Vectors


def _data_of(problem: Problem, means: Mapping[str, float]) -> _Data:
    points, rates = _points_of_data(problem)
    raw = {name: np.asarray(value) for name, value in _data_at(problem, points).items()}
    values: dict[str, list[np.ndarray]] = {name: [] for name in problem.unknowns}
    conditions = problem.conditions()
    for key, value in raw.items():
        number, what, name = key.split(" ", 2)
        if what == "value":
            values[name].append(value)
        elif what == "flux" and isinstance(robin := conditions[int(number)], Robin):
            alpha, beta = np.asarray(robin.alpha), np.asarray(robin.beta)
            # Where the slope is most of it, the data say nothing of the value.
            told = np.abs(alpha) >= np.abs(beta) * rates[int(number)]
            alpha, value, told = np.broadcast_arrays(alpha, value, told)
            values[name].append(value[told] / alpha[told])
    for condition in conditions:
        if isinstance(condition, Observed):
            for name in values.keys() & condition.values.keys():
                values[name].append(condition.values[name])
    together = {name: np.concatenate(found or [np.zeros(0)]) for name, found in values.items()}
    together = {name: found[np.isfinite(found)] for name, found in together.items()}
    mean = {name: float(np.mean(found)) if found.size else 0.0 for name, found in together.items()}
    mean |= means
    sizes: Sizes = {}
    for name, found in together.items():
        size = rms(found - mean[name])
        sizes[name] = size if size > NOISE * np.abs(found).max(initial=0.0) else 0.0
    for key, value in raw.items():
        number, what, name = key.split(" ", 2)
        if what == "flux":
            condition, rate, size = conditions[int(number)], rates[int(number)], 0.0
            if isinstance(condition, Robin):
                alpha, beta = np.asarray(condition.alpha), np.asarray(condition.beta)
                gap = value - alpha * mean[name]
                if rms(gap) > NOISE * rms(value):
                    size = rms(gap / (np.abs(alpha) + np.abs(beta) * rate))
            else:
                size = rms(value / rate)
            sizes[name] = max(sizes[name], size)
    sizes = _from_slopes(problem, conditions) | {n: s for n, s in sizes.items() if usable(s)}
    factor = {name: rms(raw.get(f"-1 factor {name}", np.ones(1))) or 1.0 for name in mean}
    return _Data(mean, sizes, factor, raw)


def _from_slopes(problem: Problem, conditions: Sequence[Condition]) -> Sizes:
    """What observed derivatives say of the size of their unknowns."""
    names, rates = names_of(problem), SLOW / lengths_of(problem)
    found: Sizes = {}
    for condition in conditions:
        for name, values in condition.values.items() if isinstance(condition, Observed) else ():
            match parse_name(name, names):
                case Partial(component, index) if index:
                    rate = math.prod(rates[axis] for axis in index)
                case Laplacian(component):
                    rate = float(np.sum(rates[list(names.space_axes)] ** 2))
                case _:
                    continue
            unknown = names.unknowns[component]
            found[unknown] = max(found.get(unknown, 0.0), rms(np.asarray(values)) / rate)
    return {name: size for name, size in found.items() if usable(size)}


def _points_of_data(problem: Problem) -> tuple[dict[str, np.ndarray], dict[int, Any]]:
    """Where the data of each condition are looked at, and the wave number of what has a normal
    derivative there.
    """
    domain, points, rates = problem.domain, {}, {}
    lengths = lengths_of(problem)
    for k, condition in enumerate(problem.conditions()):
        if isinstance(condition, Initial) and domain.time is not None:
            points[str(k)] = domain.sample_initial(cube, POINTS)
            rates[k] = SLOW / lengths[domain.coordinates.index(domain.time)]
        elif isinstance(condition, Dirichlet | Neumann | Robin):
            at, normals = boundary_points(problem, domain.select(condition.on))
            points[str(k)], rates[k] = at, SLOW * normal_rate(problem, normals)
    if problem.lift is not None or problem.factor is not None:
        points["known"] = domain.sample_interior(cube, POINTS)
    return points, rates


@quick
def _data_at(problem: Problem, points: dict[str, np.ndarray]) -> dict[str, Any]:
    """All data in one program: ``{"condition kind unknown": (n,)}``."""
    out: dict[str, Any] = {}
    for k, condition in enumerate(problem.conditions()):
        if str(k) not in points:
            continue
        owner = f"{type(problem).__name__}: {type(condition).__name__}"
        assert isinstance(condition, Dirichlet | Neumann | Robin | Initial)
        kind = "value" if isinstance(condition, Dirichlet | Initial) else "flux"
        pairs = [(kind, condition.value)]
        if isinstance(condition, Initial) and condition.derivative is not None:
            pairs.append(("flux", condition.rates()))
        at = jnp.asarray(points[str(k)])
        for what, value in pairs:
            for name, data in by_unknown(problem, value, condition.unknown, owner=owner).items():
                out[f"{k} {what} {name}"] = jax.vmap(data)(at)
    for method, what in (("lift", "value"), ("factor", "factor")):
        if getattr(problem, method) is not None:

            def of(point, method=method):
                return values_at(problem, method, point)

            at = jnp.asarray(points["known"])
            out |= {f"-1 {what} {name}": value for name, value in jax.vmap(of)(at).items()}
    return out


def _observed_size(problem: Problem, c: Constraint, places: Regions, sizes: Sizes) -> float:
    """The size of the misfits of observations; where their noise is known, in units of it."""
    condition = problem.conditions()[c.region.condition]
    assert isinstance(condition, Observed)
    if c.linear is None:  # a function: its values tell the size of what it gives
        size = rms(np.asarray(condition.values[c.observed])) or 1.0
    else:
        size = places.linear(c, sizes)
    if c.observed not in condition.noise:
        return size
    # The level that gives the squares of the misfits weights of mean 1.
    level = 1 / rms(1 / np.asarray(condition.noise[c.observed]))
    return max(size / level, 1 / _MET)


def _numbers(problem: Problem, imposition: Imposition) -> list[int]:
    """The number of the condition that each soft constraint belongs to."""
    out = []
    for k in imposition.soft:
        out += [k] * (len(constraints(problem, (k,))) - 1)
    return out


def _at(
    with_value: Callable[[float], Problem], values: dict[str, np.ndarray], value: float
) -> Vectors:
    """The interior equation for one value of a coefficient."""
    out = called(with_value(value), None, "residual", values)
    return {name: np.asarray(vector) for name, vector in out.items()}


def _coefficients(
    problem: Problem, equation: Probed, sizes: Sizes, terms: Sizes, data: _Data
) -> Sizes:
    """The sizes of trained coefficients that start at zero: what changes an equation, or the data,
    as much as the solution does.
    """
    inner, out = holder(problem), {}
    for name in problem.trainable:
        start = np.asarray(getattr(inner, name))
        if np.all(start != 0):
            continue

        def with_value(value: float, name: str = name, start: np.ndarray = start) -> Problem:
            there = jnp.asarray(np.where(start == 0, value, start))
            return eqx.tree_at(lambda p: getattr(holder(p), name), problem, there)

        values = dict(equation.base)
        for unknown, size in sizes.items():
            for argument, probe in equation.probes[unknown](equation.rates).items():
                values[argument] = values[argument] + size * probe
        found = []
        call = partial(_at, with_value, values)
        zero = call(0.0)
        for key, vector in zero.items():
            size = balanced(
                lambda a, key=key, vector=vector, call=call: rms(call(a)[key] - vector),
                terms[key or "residual"],
            )
            found.append(size)
        points, rates = _points_of_data(problem)
        for key, moved in _data_at(with_value(1.0), points).items():
            number, what, unknown = key.split(" ", 2)
            rate = rms(np.asarray(rates[int(number)])) if what == "flux" else 1.0
            change = rms(np.asarray(moved) - data.values[key])
            found.append(sizes[unknown] * rate / change if change > 0 else math.inf)
        out[name] = min([size for size in found if usable(size)], default=1.0)
    return out
