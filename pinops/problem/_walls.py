"""Dirichlet conditions on walls that are no faces of a box, such as circles.

A solution that meets them is a lift with the values, plus a `Barrier` times a network. One lift has
several values by transfinite interpolation: each is weighted by the barriers of all others (Rvachev
et al. 2001, Comput. Aided Geom. Des. 18, 195; Sukumar & Srivastava 2022, arXiv:2104.08426). Walls
with different values must not meet, where these weights have no limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.geometry import TERMINAL, distance
from pinops.problem._barriers import POINTS, Barrier, barrier, points_on
from pinops.problem._conditions import Dirichlet, named_unknowns
from pinops.problem._cube import cube
from pinops.problem._dependence import missing_axes
from pinops.problem._faces import PointFunction, faces_of, onto_face
from pinops.problem._problem import Problem, by_unknown
from pinops.problem._smoothness import CELLS, Pair, jumps_across, jumps_between, kink, periodic_jump
from pinops.settings import quick

_BESIDE = 0.02  # of the largest value of a function of a barrier: so near walls count as meeting
_GROWN = 10.0  # times the size on the walls: values inside are at most so large


@dataclass(frozen=True, eq=False)
class Held:
    """The values of one unknown on walls.

    Attributes:
        component: The number of the unknown.
        parts: The names of the boundary parts.
        value: As a condition has it.
        data: As a function of the point ``(d,)``, which is evaluated inside, too.
    """

    component: int
    parts: tuple[str, ...]
    value: Any
    data: PointFunction

    def barrier(self, problem: Problem) -> Barrier | str:
        """What vanishes on the walls, or why there is nothing."""
        unknown, domain = problem.unknowns[self.component], problem.domain
        valued = frozenset(
            part
            for condition in problem.conditions()
            if isinstance(condition, Dirichlet)
            and unknown in named_unknowns(condition, problem.unknowns)
            for part in domain.select(condition.on)
        )
        return barrier(domain, tuple(p for p in domain.parts if p in self.parts), valued)


def held(problem: Problem, conditions: Sequence[int]) -> list[Held]:
    """What conditions hold on walls, as one where several have the same values."""
    out: list[Held] = []
    for number in conditions:
        for new in _held_by(problem, number):
            same = [k for k, other in enumerate(out) if _same(other, new)]
            if same:
                out[same[0]] = replace(out[same[0]], parts=out[same[0]].parts + new.parts)
            else:
                out.append(new)
    return out


def is_on_walls(problem: Problem, number: int) -> bool:
    """Whether a condition gives values on boundary parts that are not all faces of a box."""
    condition = problem.conditions()[number]
    return isinstance(condition, Dirichlet) and faces_of(problem, number, condition) is None


def _held_by(problem: Problem, number: int) -> list[Held]:
    condition = problem.conditions()[number]
    if not (isinstance(condition, Dirichlet) and is_on_walls(problem, number)):
        return []
    given, owner = condition.value, f"{type(problem).__name__}: Dirichlet"
    parts = problem.domain.select(condition.on)
    data = by_unknown(problem, given, condition.unknown, owner=owner)
    return [
        Held(
            component=problem.unknowns.index(name),
            parts=parts,
            value=given[name] if isinstance(given, dict) else given,
            data=function,
        )
        for name, function in data.items()
    ]


def _same(one: Held, other: Held) -> bool:
    """Whether both are the same values, whatever coefficients are."""
    a, b = one.value, other.value
    # Methods are made anew whenever they are asked for; arrays may be traced.
    comparable = all(isinstance(value, int | float | MethodType) for value in (a, b))
    return one.component == other.component and bool(a == b if comparable else a is b)


def fault_of_walls(
    problem: Problem,
    number: int,
    taken: Sequence[int],
    others: Sequence[int],
    periodic: tuple[str, ...],
) -> str:
    """Why a condition on walls cannot be imposed exactly; empty where it can.

    Args:
        problem: Whose condition it is.
        number: Of the condition.
        taken: The numbers of those on walls that are imposed.
        others: The numbers of those on faces of a box that are imposed.
        periodic: The periodic coordinates.
    """
    if problem.lift is not None or problem.factor is not None:
        return "part of its boundary is not a face of a box, and the problem has a lift or factor"
    new = _held_by(problem, number)
    if TERMINAL in new[0].parts:
        return "walls and the last instant are imposed by conditions of their own"
    missing = missing_axes(problem)
    for one in new:
        unknown = problem.unknowns[one.component]
        if unknown in missing:
            return f"{unknown} does not depend on all coordinates of a curved boundary"
    together = held(problem, [*taken, number])
    for one in together:
        if not any(
            one.component == own.component and set(own.parts) <= set(one.parts) for own in new
        ):
            continue
        found = one.barrier(problem)
        if isinstance(found, str):
            return found
        for other in together:
            apart = other is one or other.component != one.component
            if not apart and _near(problem, found, other.parts) < _BESIDE:
                on = ", ".join(other.parts)
                return f"its walls meet or nearly touch those of other values, on {on}"
    with jax.enable_x64(True):
        points = _points(problem, number)
        found = jax.tree.map(np.asarray, _evidence(problem, number, periodic, points))
    return _fault_of_data(problem, found, periodic) or disagreement(problem, [number], others)


def _near(problem: Problem, found: Barrier, parts: tuple[str, ...]) -> float:
    """How near to zero the functions of a barrier come on parts."""
    at = points_on(problem.domain, parts)
    axes = [problem.domain.coordinates.index(name) for name in problem.domain.space]
    with jax.enable_x64(True):
        levels = [jax.vmap(level)(jnp.asarray(at[:, axes])) for level in found.levels]
        return float(jnp.min(jnp.stack(levels)))


def tips(problem: Problem, conditions: Sequence[int]) -> list[tuple[float, float]]:
    """Where, on a straight wall, values end that are imposed exactly.

    Args:
        problem: Whose walls they are.
        conditions: The numbers of those that are imposed exactly.
    """
    found = [one.barrier(problem) for one in held(problem, conditions)]
    every = [tip for one in found if isinstance(one, Barrier) for tip in one.tips]
    return list(dict.fromkeys(every))


def tip_features(
    problem: Problem, conditions: Sequence[int], point: Float[Array, " d"]
) -> list[Float[Array, "1"]]:
    """The distances from `tips`: a solution over its barrier is smooth in these and the
    coordinates, not in the coordinates alone.

    Args:
        problem: Whose walls they are.
        conditions: The numbers of those that are imposed exactly.
        point: Where.
    """
    places = tips(problem, conditions)
    if not places:
        return []
    bounds, names = problem.domain.bounds, problem.domain.coordinates
    space = problem.domain.space
    size = max(bounds[name][1] - bounds[name][0] for name in space)
    at = [point[names.index(name)] for name in space]
    return [distance(jnp.stack(at), tip)[None] / size for tip in places]


class _Points(NamedTuple):
    """Where data are looked at: on the walls, inside, and on lines through the inside by axis, each
    with the cells both ends of which lie inside.
    """

    on: Float[np.ndarray, "n d"]
    inside: Float[np.ndarray, "m d"]
    lines: dict[int, tuple[np.ndarray, np.ndarray]]


class _Evidence(NamedTuple):
    """What speaks against data, in numbers: for each unknown of a condition.

    Attributes:
        sizes: The largest value on the walls, and the largest one and derivative inside.
        across: By periodic coordinate: the jump of each derivative, and its size.
        between: By axis: the jump of each derivative along lines, and its size.
    """

    sizes: list[tuple[Any, Any, Any]]
    across: list[dict[str, list[Pair]]]
    between: list[dict[int, list[Pair]]]


def _points(problem: Problem, number: int) -> _Points:
    domain = problem.domain
    on = np.concatenate([points_on(domain, one.parts) for one in _held_by(problem, number)])
    inside = domain.sample_interior(cube, POINTS)
    lines = {}
    for axis, name in enumerate(domain.coordinates):
        low, high = domain.bounds[name]
        line = np.repeat(inside[:2], CELLS, 0)
        line[:, axis] = np.tile(low + (high - low) * (np.arange(CELLS) + 0.5) / CELLS, 2)
        within = domain.contains(line).reshape(2, -1)
        lines[axis] = line, within[:, :-1] & within[:, 1:]
    return _Points(on, inside, lines)


@quick
def _evidence(
    problem: Problem, number: int, periodic: tuple[str, ...], points: _Points
) -> _Evidence:
    on, inside = jnp.asarray(points.on), jnp.asarray(points.inside)
    sizes, across, between = [], [], []
    for one in _held_by(problem, number):
        slopes = jax.vmap(jax.grad(one.data))(inside), jax.vmap(jax.hessian(one.data))(inside)
        largest = [jnp.max(jnp.abs(jax.vmap(one.data)(at))) for at in (on, inside)]
        sizes.append((*largest, sum(jnp.max(jnp.abs(slope)) for slope in slopes)))
        across.append({name: jumps_across(problem, one.data, name, inside) for name in periodic})
        between.append(
            {
                axis: jumps_between(problem, one.data, axis, jnp.asarray(line), within)
                for axis, (line, within) in points.lines.items()
            }
        )
    return _Evidence(sizes, across, between)


def _fault_of_data(problem: Problem, found: _Evidence, periodic: tuple[str, ...]) -> str:
    for (on, inside, slope), across, between in zip(*found, strict=True):
        if not np.isfinite(inside + slope):
            return "its data are not finite, or have no derivatives, everywhere inside"
        if inside > _GROWN * on:
            return f"its data are {on:.2g} at most on the walls and {inside:.2g} inside"
        fault = periodic_jump(problem, periodic, across)
        fault = fault or kink(problem.domain.coordinates, between)
        if fault:
            return fault
    return ""


def disagreement(problem: Problem, walls: Sequence[int], others: Sequence[int]) -> str:
    """Where data on walls and data on faces of a box differ; empty where they do not.

    Args:
        problem: Whose conditions they are.
        walls: The numbers of those on walls.
        others: The numbers of those on faces.
    """
    if not (walls and others):
        return ""
    domain = problem.domain
    points = {number: points_on(domain, _held_by(problem, number)[0].parts) for number in walls}
    with jax.enable_x64(True):
        gaps = jax.tree.map(float, _gaps(problem, tuple(walls), tuple(others), points))
    for (name, at), (gap, size) in gaps.items():
        if not gap <= 1e-9 * size:
            return f"its data for {name} differ by {gap:.1e} from those on {at}"
    return ""


@quick
def _gaps(
    problem: Problem,
    walls: tuple[int, ...],
    others: tuple[int, ...],
    points: dict[int, Float[np.ndarray, "n d"]],
) -> dict[tuple[str, str], tuple[Array, Array]]:
    """How far apart data are, and how large, by unknown and by place."""
    names, domain, conditions = problem.domain.coordinates, problem.domain, problem.conditions()
    out = {}
    for number in walls:
        for one in _held_by(problem, number):
            for other in others:
                for face in faces_of(problem, other, conditions[other]) or []:
                    if face.component != one.component:
                        continue
                    bounds = domain.bounds[names[face.axis]]
                    at = onto_face(jnp.asarray(points[number]), face.axis, bounds[face.upper])
                    made, given = (
                        jax.vmap(function)(at)
                        for function in (face.apply(one.data, bounds), face.data)
                    )
                    held_there = jnp.max(jnp.abs(jax.vmap(one.data)(at)))
                    size = face.largest(bounds) * held_there + jnp.max(jnp.abs(given))
                    where = f"{names[face.axis]} = {bounds[face.upper]:g}, where the two meet"
                    key = problem.unknowns[face.component], where
                    out[key] = jnp.max(jnp.abs(made - given)), size
    return out
