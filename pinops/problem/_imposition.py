"""Which conditions are imposed exactly: those on faces, and values on walls, whose data are smooth
and agree where they meet.

All that is compared is computed in one program for each condition, on a few points.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pinops.geometry import TERMINAL
from pinops.problem._condition import Condition
from pinops.problem._conditions import (
    Dirichlet,
    Equation,
    Initial,
    Interface,
    Neumann,
    Periodic,
    Robin,
    named_unknowns,
)
from pinops.problem._dependence import missing_axes
from pinops.problem._faces import Face, PointFunction, end_of, faces_of, remaining
from pinops.problem._flat import not_flat
from pinops.problem._inside import check_observed
from pinops.problem._observed import Observed
from pinops.problem._problem import Problem, by_unknown, features_at, values_at
from pinops.problem._smoothness import Pair, jumps_across, jumps_inside, kink, periodic_jump
from pinops.problem._subdomains import check_periodic, chosen
from pinops.problem._walls import disagreement, fault_of_walls
from pinops.settings import quick

# The exact lift of data on d pairs of faces evaluates them 3^d times, with derivatives: minutes
# of compilation from four on.
MAX_LIFTED_AXES = 3


@dataclass(frozen=True)
class Imposition:
    """How each of ``conditions()`` is met: ``"hard"``, ``"embedded"`` or ``"soft"``, and why."""

    how: tuple[str, ...]
    why: tuple[str, ...]
    periodic: tuple[str, ...]
    even: tuple[str, ...]

    @property
    def hard(self) -> tuple[int, ...]:
        return tuple(k for k, how in enumerate(self.how) if how == "hard")

    @property
    def soft(self) -> tuple[int, ...]:
        return tuple(k for k, how in enumerate(self.how) if how == "soft")


def impose(problem: Problem, exact: bool = True, plain: bool = False) -> Imposition:
    """Decide for each condition whether it is imposed exactly.

    Boundary conditions are taken first, in the order of declaration, then initial and terminal
    ones; each becomes hard unless it is declared soft, would need a lift over more than three
    coordinates, or disagrees with one already taken (at a corner, or because periodicity would put
    a kink into lifted initial data, which the lift would then keep for all times). On other walls
    than faces of a box values become hard and fluxes do not; on faces fluxes become hard where
    every unknown has one (`not_flat`).

    Args:
        problem: Whose conditions they are.
        exact: Whether any but periodic ones are imposed; generated networks approximate solutions
            as they are.
        plain: Whether the network sees each coordinate as it is, and so cannot be made flat.

    Raises:
        ValueError: For a condition on a part or unknown that does not exist, a periodic coordinate
            that is not an interval of the domain or has other conditions at its ends, data (or what
            is known of the solution) that are not even or not periodic where the solution is said
            to be, observations at other coordinates or outside of the domain, and two conditions
            that impose the same thing.
    """
    conditions, domain = problem.conditions(), problem.domain
    how, why = ["soft"] * len(conditions), [""] * len(conditions)
    periodic: list[str] = []
    even: list[str] = []
    for k, condition in enumerate(conditions):
        if isinstance(condition, Periodic):
            for name in (condition.on,) if isinstance(condition.on, str) else condition.on:
                if name not in domain.intervals:
                    raise ValueError(
                        f"{type(problem).__name__}: Periodic(on={name!r}) needs a coordinate that "
                        "is an interval of the domain; there are "
                        f"{', '.join(domain.intervals) or 'none'}"
                    )
                if name in periodic:
                    raise ValueError(
                        f"{type(problem).__name__}: {name} is declared periodic twice; keep one "
                        "condition"
                    )
                periodic.append(name)
                if condition.even:
                    even.append(name)
            how[k], why[k] = (
                "embedded",
                f"coordinate enters through {'cosine' if condition.even else 'sine and cosine'}",
            )
    _check_once(problem, conditions)
    fluxes: dict[int, str] = {}
    while True:
        # Without a flux that cannot be met, others may be the only ones on their face, and what
        # disagreed with it may be met.
        decided, taken = _decided(problem, exact, periodic, fluxes)
        missed = not_flat(problem, taken, plain)
        if not missed:
            break
        fluxes |= missed
    for k, reason in decided.items():
        how[k], why[k] = ("hard", "") if reason is None else ("soft", reason)
    _check_known(problem, periodic, even)
    return Imposition(tuple(how), tuple(why), tuple(periodic), tuple(even))


def _decided(
    problem: Problem, exact: bool, periodic: Sequence[str], fluxes: Mapping[int, str]
) -> tuple[dict[int, str | None], list[Face]]:
    """Why each condition that is not periodic is not imposed, None where it is, and the faces of
    those that are; ``fluxes``: those that a field cannot meet, and why.
    """
    conditions = problem.conditions()
    domain, names = problem.domain, problem.domain.coordinates
    out: dict[int, str | None] = {}
    taken: list[Face] = []
    on_walls: list[int] = []
    order = sorted(range(len(conditions)), key=lambda k: _is_in_time(problem, conditions[k]))
    for k in order:
        condition = conditions[k]
        if isinstance(condition, Periodic):
            continue
        new = faces_of(problem, k, condition)
        _check_dependence(problem, condition, new or [])
        if isinstance(condition, Observed):
            check_observed(problem, condition)
        for axis in dict.fromkeys(face.axis for face in new or []):
            if names[axis] in periodic:
                raise ValueError(
                    f"{type(problem).__name__}: {names[axis]} is periodic and has no boundary for "
                    f"{type(condition).__name__}; {_instead(names[axis], domain.time)}"
                )
        if isinstance(condition, Neumann | Robin) and new is None:
            reason = "part of its boundary is not a face of a box"
        elif isinstance(condition, Observed):
            reason = ""  # nobody expects observations to be met exactly
        elif isinstance(condition, Interface):
            exact_part = "; the solution is continuous exactly" if condition.jump is None else ""
            reason = f"it relates the two sides of an interface{exact_part}"
            for part, name in product(chosen(problem, condition.on), periodic):
                check_periodic(problem, part, name)
        elif isinstance(condition, Equation):
            reason = "it is an equation to be satisfied in the least-squares sense"
        elif condition.soft:
            reason = "declared soft"
        elif not exact:
            reason = "the network was generated without it"
        elif k in fluxes:
            reason = fluxes[k]
        else:
            others = tuple(dict.fromkeys(face.condition for face in taken))
            if new is None:
                reason = fault_of_walls(problem, k, on_walls, others, tuple(periodic))
            else:
                reason = _conflict(problem, k, new, taken, tuple(periodic))
                reason = reason or disagreement(problem, on_walls, [k])
            reason = reason or None
            if reason is None:
                taken += new or []
                on_walls += [] if new else [k]
        out[k] = reason
    return out, taken


def _check_dependence(problem: Problem, condition: Condition, new: Sequence[Face]) -> None:
    """Raises ValueError for an unknown that is prescribed at an end of a coordinate it lacks."""
    missing = missing_axes(problem)
    for face in new:
        unknown, name = problem.unknowns[face.component], problem.domain.coordinates[face.axis]
        if face.axis in missing.get(unknown, ()):
            others = [other for other in problem.unknowns if other != unknown]
            raise ValueError(
                f"{type(problem).__name__}: {unknown} does not depend on {name} and cannot be "
                f"prescribed at an end of it; name the unknowns of {type(condition).__name__}, "
                f"such as {{{others[0] if others else unknown!r}: ...}}"
            )


def _check_once(problem: Problem, conditions: Sequence[Condition]) -> None:
    """Raises ValueError where the values of an unknown are given twice on a part."""
    given = set()
    for condition in conditions:
        if not isinstance(condition, Dirichlet):
            continue
        unknowns = named_unknowns(condition, problem.unknowns)
        for unknown, part in product(unknowns, problem.domain.select(condition.on)):
            if (unknown, part) in given:
                raise ValueError(
                    f"{type(problem).__name__}: {unknown} is declared twice on {part}; keep one "
                    "condition"
                )
            given.add((unknown, part))


def _is_in_time(problem: Problem, condition: Condition) -> bool:
    """Whether a condition holds at the first or at the last instant, and nowhere else."""
    if isinstance(condition, Dirichlet | Neumann | Robin):
        return problem.domain.select(condition.on) == (TERMINAL,)
    return isinstance(condition, Initial)


def _instead(name: str, time: str | None) -> str:
    """What to do where a condition sits at an end of a periodic coordinate."""
    if name == time:
        return "a solution periodic in time has neither start nor end: keep one of the two"
    return "name the boundary parts that are meant with on=..."


def _check_known(problem: Problem, periodic: list[str], even: list[str]) -> None:
    """What a problem knows of its solution, and data, must have its symmetries.

    Raises:
        ValueError: Where they have not.
    """
    domain, owner = problem.domain, type(problem).__name__
    known: dict[str, Callable[[Any], Any]] = {}
    for method in ("lift", "factor"):
        if getattr(problem, method) is not None:
            known[method] = lambda point, method=method: jnp.stack(
                list(values_at(problem, method, point).values())
            )
    if problem.features is not None:
        known["features"] = lambda point: features_at(problem, point)
    data: dict[str, Callable[[Any], Any]] = {}
    if even and problem.exact is not None:
        data["exact"] = lambda point: jnp.stack(list(values_at(problem, "exact", point).values()))
    for condition in problem.conditions() if even else ():
        if not isinstance(condition, Dirichlet | Neumann | Robin | Initial):
            continue
        rates = condition.rates() if isinstance(condition, Initial) else None
        for value in [condition.value, *([] if rates is None else [rates])]:
            name = f"data of {type(condition).__name__}"
            for unknown, function in by_unknown(
                problem, value, condition.unknown, owner=f"{owner}: {name}"
            ).items():
                data[f"{name} for {unknown}"] = function
    with jax.enable_x64(True):
        points = _scattered(problem)
        for name in periodic:
            axis, (low, high) = domain.coordinates.index(name), domain.bounds[name]
            first, last, mirrored = (np.array(points) for _ in range(3))
            first[:, axis], last[:, axis] = low, high
            mirrored[:, axis] = low + high - points[:, axis]
            ends = [first, last]
            pairs = [
                (what, f, ends, f"between the two ends of {name}", f"Periodic(on={name!r})")
                for what, f in known.items()
            ]
            if name in even:
                sides = f"between the two sides of {name}"
                pairs += [
                    (what, f, [points, mirrored], sides, "even=True")
                    for what, f in (known | data).items()
                ]
            for what, function, places, where, remedy in pairs:
                at_all = np.concatenate([*places, points])
                found = np.asarray(jax.jit(jax.vmap(function))(at_all))
                one, other, anywhere = np.split(found, 3)
                # Each by itself: unknowns may differ in size by many orders of magnitude.
                gaps = np.max(np.abs(one - other), 0)
                sizes = np.max(np.abs(anywhere), 0)
                gap = float(np.max(gaps))
                if not np.all(gaps <= 1e-6 * sizes + 1e-15 * np.max(sizes)):
                    raise ValueError(
                        f"{owner}: {what} differ by {gap:.1e} {where}; leave {remedy} out, or mend "
                        "them"
                    )


def _conflict(
    problem: Problem,
    number: int,
    new: list[Face],
    taken: list[Face],
    periodic: tuple[str, ...],
) -> str:
    """Why the functionals of a condition cannot be imposed together with those taken; empty when
    they can.
    """
    names = problem.domain.coordinates
    if len({face.axis for face in new + taken}) > MAX_LIFTED_AXES:
        return f"an exact lift over more than {MAX_LIFTED_AXES} coordinates is too costly"
    bounds = [problem.domain.bounds[name] for name in names]
    before = tuple(dict.fromkeys(face.condition for face in taken))
    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, _evidence(problem, number, before, periodic))
    for position, a in enumerate(new):
        reason = periodic_jump(problem, periodic, found.across[position])
        reason = reason or kink(names, found.inside[position])
        if reason:
            return reason
        for other, b in enumerate(taken + new[:position]):
            if a.component != b.component:
                continue
            unknown = problem.unknowns[a.component]
            if a.axis == b.axis:
                # A value and a slope may share a face; a slope and a Robin flux would prescribe
                # the value again.
                if a.upper == b.upper and a.is_value == b.is_value:
                    face = end_of(problem, a.axis, a.upper)
                    raise ValueError(
                        f"{type(problem).__name__}: {unknown} is declared twice on {face}; keep "
                        "one condition"
                    )
                continue
            gap, *sizes = found.meeting[position, other]
            scale = sum(
                face.largest(bounds[face.axis]) * float(size)
                for face, size in zip((b, a), sizes, strict=True)
            )
            if not gap <= 1e-9 * scale:
                return (
                    f"its data for {unknown} differ by {gap:.1e} from those on "
                    f"{names[b.axis]} = {bounds[b.axis][b.upper]:g}, where the two meet"
                )
    return ""


class _Evidence(NamedTuple):
    """What speaks against imposing a condition, in numbers.

    Attributes:
        across: Of each face, by periodic coordinate: the jump of each derivative, and its size.
        inside: Of each face, by axis: the jump of each derivative along lines, and its size.
        meeting: By the numbers of two faces: how far their data are apart where they meet, and the
            size of the data of the first and of the second on their own faces.
    """

    across: list[dict[str, list[Pair]]]
    inside: list[dict[int, list[Pair]]]
    meeting: dict[tuple[int, int], tuple[Any, Any, Any]]


@quick
def _evidence(
    problem: Problem, number: int, taken: tuple[int, ...], periodic: tuple[str, ...]
) -> _Evidence:
    """One program for a condition: every operation by itself would be compiled, too."""
    conditions = problem.conditions()
    new, others = (
        [face for k in numbers for face in faces_of(problem, k, conditions[k]) or []]
        for numbers in ((number,), taken)
    )
    points = jnp.asarray(_scattered(problem))
    meeting = {
        (i, j): _gap(problem, a, b, points)
        for i, a in enumerate(new)
        for j, b in enumerate(others + new[:i])
        if a.component == b.component and a.axis != b.axis
    }
    return _Evidence(
        [
            {name: jumps_across(problem, face.data, name, points) for name in periodic}
            for face in new
        ],
        [
            {
                axis: jumps_inside(problem, face.data, axis, points)
                for axis in range(len(problem.domain.coordinates))
                if axis != face.axis
            }
            for face in new
        ],
        meeting,
    )


def _gap(problem: Problem, a: Face, b: Face, points: Any) -> tuple[Any, Any, Any]:
    """How far the data of two faces are apart where they meet, and how large each are.

    Where they meet both may vanish: what counts is how large the data are on their own faces. What
    the lift has of them already is taken off, so that a lift may jump as they do.
    """
    bounds = [problem.domain.bounds[name] for name in problem.domain.coordinates]

    def on(face: Face, at: Any) -> Any:
        return at.at[:, face.axis].set(bounds[face.axis][face.upper])

    def largest(function: PointFunction, at: Any) -> Any:
        return jnp.max(jnp.abs(jax.vmap(function)(at)))

    left = b.apply(remaining(problem, a), bounds[b.axis])
    right = a.apply(remaining(problem, b), bounds[a.axis])
    gap = largest(lambda point: left(point) - right(point), on(b, on(a, points)))
    sizes = [largest(face.data, on(face, points)) for face in (a, b)]
    if problem.lift is not None:
        known = [largest(remaining(problem, face), on(face, points)) for face in (a, b)]
        sizes = [size + other for size, other in zip(sizes, known, strict=True)]
    return gap, *sizes


def _scattered(problem: Problem) -> np.ndarray:
    """A few points, ``(32, d)``, in the bounds of the domain, where data are compared."""
    rng, bounds = np.random.default_rng(0), problem.domain.bounds
    return np.array(
        [[rng.uniform(*bounds[name]) for name in problem.domain.coordinates] for _ in range(32)]
    )
