"""Which conditions can be imposed exactly, and the linear functionals that say what they impose.

On a coordinate that is a factor of the domain (every coordinate of a box; time), a condition is a
*face functional* ``alpha u + slope du/d(axis) = data`` on the lower or upper face.  Two
instances: Dirichlet is ``alpha = 1, slope = 0``; an initial velocity is ``alpha = 0, slope = 1``
on the lower face of ``t``. Functionals of different axes are imposed together by a Boolean sum of
one-dimensional interpolations, exactly if and only if their data agree where the faces meet
(Leake & Mortari 2020, Theory of Functional Connections).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pinops.geometry import TERMINAL
from pinops.problem._conditions import (
    Condition,
    Dirichlet,
    Initial,
    Neumann,
    Observed,
    Periodic,
    Robin,
)
from pinops.problem._inside import check_observed
from pinops.problem._problem import Problem, by_unknown, features_at, residual_signature, values_at

PointFunction = Callable[[Any], Any]

# The exact lift of data on d pairs of faces evaluates them 3^d times, with derivatives: minutes
# of compilation from four on.
MAX_LIFTED_AXES = 3
_KINK_CELLS = (
    2000  # data that vary over less than about a thousandth of the domain count as not smooth
)


def onto_face(points: Any, axis: int, at: Any) -> Any:
    """The points ``(..., d)`` with one coordinate set to ``at``."""
    # A selection, because scattering is costly to differentiate.
    here = np.arange(points.shape[-1]) == axis
    return jnp.where(here.reshape((1,) * (points.ndim - 1) + here.shape), at, points)


@dataclass(frozen=True, eq=False)  # compared and hashed as an object: alpha and slope may be traced
class Face:
    """``alpha u + slope du/d(axis) = data`` for one unknown, on one face of one axis."""

    condition: int
    component: int
    axis: int
    upper: bool
    alpha: Any
    slope: Any
    is_value: bool
    is_slope: bool
    data: PointFunction

    def largest(self, bounds: tuple[float, float]) -> float:
        """What the functional makes of a function of size 1 that varies over the length of the axis, at most."""
        sizes = [float(np.max(np.abs(np.asarray(part)))) for part in (self.alpha, self.slope)]
        return sizes[0] + sizes[1] / (bounds[1] - bounds[0])

    def apply(self, function: PointFunction, bounds: tuple[float, float]) -> PointFunction:
        """The functional of a function, as a function of the point, projected onto the face."""
        axis, at = self.axis, bounds[self.upper]

        def applied(point):
            on_face = onto_face(point, axis, at)
            if self.is_value:
                return function(on_face)
            tangent = jnp.zeros_like(point).at[axis].set(1)
            value, slope = jax.jvp(function, (on_face,), (tangent,))
            return self.alpha * value + self.slope * slope

        return applied


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


def faces(problem: Problem, conditions: tuple[int, ...] | None = None) -> list[Face]:
    """All face functionals of the given conditions (default: all that live on faces only)."""
    out = []
    for k, condition in enumerate(problem.conditions()):
        if conditions is None or k in conditions:
            out += _faces_of(problem, k, condition) or []
    return out


def _faces_of(problem: Problem, number: int, condition: Condition) -> list[Face] | None:
    """The face functionals of one condition, or None when it does not live on faces."""
    if not isinstance(condition, Dirichlet | Neumann | Robin | Initial):
        return None
    domain = problem.domain
    names = domain.coordinates
    owner = f"{type(problem).__name__}: {type(condition).__name__}"

    def functions(value):
        return by_unknown(problem, value, condition.unknown, owner=owner)

    def expand(data, axis, upper, alpha, slope, is_value, is_slope):
        return [
            Face(
                number,
                problem.unknowns.index(name),
                axis,
                upper,
                alpha,
                slope,
                is_value,
                is_slope,
                function,
            )
            for name, function in data.items()
        ]

    if isinstance(condition, Initial):
        if domain.time is None:
            raise ValueError(
                f"{owner}: the domain has no coordinate t; its coordinates are {', '.join(names)}"
            )
        axis = names.index(domain.time)
        out = expand(functions(condition.value), axis, False, 1.0, 0.0, True, False)
        if condition.derivative is not None:
            out += expand(functions(condition.rates()), axis, False, 0.0, 1.0, False, True)
        return out
    parts = domain.select(condition.on)
    if not parts:
        raise ValueError(
            f"{owner}: there is no boundary that it could hold on, {names[0]} is all there is; "
            "at the initial time use Initial, otherwise name boundary parts with on=..."
            if len(names) == 1
            else f"{owner}: on={condition.on!r} selects no part of the boundary; there are "
            f"{', '.join(domain.parts)}"
        )
    intervals = domain.intervals
    on_faces = {
        f"{name}_{end}": (axis, end == "max")
        for axis, name in enumerate(names)
        if name in intervals
        for end in ("min", "max")
    }
    if any(part not in on_faces for part in parts):
        return None
    out, data = [], functions(condition.value)
    for part in parts:
        axis, upper = on_faces[part]
        outward = 1.0 if upper else -1.0
        if isinstance(condition, Dirichlet):
            out += expand(data, axis, upper, 1.0, 0.0, True, False)
        elif isinstance(condition, Neumann):
            out += expand(data, axis, upper, 0.0, outward, False, True)
        else:
            out += expand(
                data, axis, upper, condition.alpha, outward * condition.beta, False, False
            )
    return out


def impose(problem: Problem) -> Imposition:
    """Decide for each condition whether it is imposed exactly.

    Boundary conditions are taken first, in the order of declaration, then initial and terminal
    ones; each becomes hard unless it is declared soft, lives on curved boundary, would need a
    lift over more than three coordinates, or disagrees with one already taken (at a corner, or
    because periodicity would put a kink into lifted initial data, which the lift would then keep
    for all times).

    Raises:
        ValueError: For a condition on a part or unknown that does not exist, a periodic coordinate
            that is not an interval of the domain or has other conditions at its ends, data (or what
            is known of the solution) that are not even or not periodic where the solution is said
            to be, observations at other coordinates or outside of the domain, and two conditions
            that impose the same thing.
    """
    conditions = problem.conditions()
    domain, names = problem.domain, problem.domain.coordinates
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
    taken: list[Face] = []
    order = sorted(range(len(conditions)), key=lambda k: _is_in_time(problem, conditions[k]))
    for k in order:
        condition = conditions[k]
        if how[k] == "embedded":
            continue
        new = _faces_of(problem, k, condition)
        if isinstance(condition, Observed):
            check_observed(problem, condition)
        for axis in dict.fromkeys(face.axis for face in new or []):
            if names[axis] in periodic:
                raise ValueError(
                    f"{type(problem).__name__}: {names[axis]} is periodic and has no boundary for "
                    f"{type(condition).__name__}; {_instead(names[axis], domain.time)}"
                )
        if isinstance(condition, Dirichlet | Neumann | Robin) and new is None:
            why[k] = "part of its boundary is not a face of a box"
        elif isinstance(condition, Observed):
            pass  # nobody expects observations to be met exactly
        elif new is None:
            why[k] = "it is an equation to be satisfied in the least-squares sense"
        elif condition.soft:
            why[k] = "declared soft"
        else:
            reason = _conflict(problem, new, taken, tuple(periodic))
            if reason:
                why[k] = reason
            else:
                how[k] = "hard"
                taken += new
    _check_known(problem, periodic, even)
    return Imposition(tuple(how), tuple(why), tuple(periodic), tuple(even))


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
        points = jnp.asarray(_scattered(problem))
        for name in periodic:
            axis, (low, high) = domain.coordinates.index(name), domain.bounds[name]
            ends = [points.at[:, axis].set(end) for end in (low, high)]
            mirrored = points.at[:, axis].set(low + high - points[:, axis])
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
                one, other, anywhere = (jax.vmap(function)(at) for at in (*places, points))
                # Each by itself: unknowns may differ in size by many orders of magnitude.
                gaps = jnp.max(jnp.abs(one - other), 0)
                sizes = jnp.max(jnp.abs(anywhere), 0)
                gap = float(jnp.max(gaps))
                if not np.all(gaps <= 1e-6 * sizes + 1e-15 * jnp.max(sizes)):
                    raise ValueError(
                        f"{owner}: {what} differ by {gap:.1e} {where}; leave {remedy} out, or mend "
                        "them"
                    )


def _conflict(
    problem: Problem, new: list[Face], taken: list[Face], periodic: tuple[str, ...]
) -> str:
    """Why new functionals cannot be imposed together with those taken; empty when they can."""
    domain = problem.domain
    names = domain.coordinates
    if len({face.axis for face in new + taken}) > MAX_LIFTED_AXES:
        return f"an exact lift over more than {MAX_LIFTED_AXES} coordinates is too costly"
    bounds = [domain.bounds[name] for name in names]
    with jax.enable_x64(True):
        points = jnp.asarray(_scattered(problem))
        for position, a in enumerate(new):
            for name in periodic:
                jump = _periodic_jump(problem, a, name, points)
                if jump:
                    return jump
            kink = _kink(problem, a, points)
            if kink:
                return kink
            for b in taken + new[:position]:
                if a.component != b.component:
                    continue
                unknown = problem.unknowns[a.component]
                if a.axis == b.axis:
                    # A value and a slope may share a face; a slope and a Robin flux would
                    # prescribe the value again.
                    if a.upper == b.upper and a.is_value == b.is_value:
                        face = f"{names[a.axis]}_{'max' if a.upper else 'min'}"
                        raise ValueError(
                            f"{type(problem).__name__}: {unknown} is declared twice on {face}; "
                            "keep one condition"
                        )
                    continue
                left = b.apply(a.data, bounds[b.axis])
                right = a.apply(b.data, bounds[a.axis])
                at = (
                    points.at[:, a.axis]
                    .set(bounds[a.axis][a.upper])
                    .at[:, b.axis]
                    .set(bounds[b.axis][b.upper])
                )
                # Where they meet both may vanish: what counts is how large the data are on their own faces.
                on_faces = [
                    points.at[:, face.axis].set(bounds[face.axis][face.upper]) for face in (a, b)
                ]
                # Compiled as one: every operation by itself would be compiled too.
                left, right, *sizes = jax.jit(
                    lambda places, functions=(left, right, a.data, b.data): [
                        jax.vmap(function)(at)
                        for function, at in zip(functions, places, strict=True)
                    ]
                )([at, at, *on_faces])
                gap = float(jnp.max(jnp.abs(left - right)))
                scale = sum(
                    other.largest(bounds[other.axis]) * float(jnp.max(jnp.abs(size)))
                    for other, size in zip((b, a), sizes, strict=True)
                )
                if not gap <= 1e-9 * scale:
                    return (
                        f"its data for {unknown} differ by {gap:.1e} from those on "
                        f"{names[b.axis]} = {bounds[b.axis][b.upper]:g}, where the two meet"
                    )
    return ""


def _scattered(problem: Problem) -> np.ndarray:
    """A few points, ``(32, d)``, in the bounds of the domain, where data are compared."""
    rng, bounds = np.random.default_rng(0), problem.domain.bounds
    return np.array(
        [[rng.uniform(*bounds[name]) for name in problem.domain.coordinates] for _ in range(32)]
    )


def _order(problem: Problem, axis: int) -> int:
    """The highest derivative along an axis that the equation takes."""
    plan = residual_signature(problem).plan
    return max([index.count(axis) for index in plan.indices] + [2 if axis in plan.laplacian else 0])


def _periodic_jump(problem: Problem, face: Face, name: str, points: Any) -> str:
    """Lifted data must be as smooth across the periodic boundary as the equation is of order."""
    axis = problem.domain.coordinates.index(name)
    low, high = problem.domain.bounds[name]
    function, size = face.data, 0.0
    for k in range(_order(problem, axis) + 1):
        values = [jax.vmap(function)(points.at[:, axis].set(end)) for end in (low, high)]
        gap = float(jnp.max(jnp.abs(values[0] - values[1])))
        # A derivative may vanish at the ends, and be round-off there: what counts is its size anywhere.
        anywhere = jax.vmap(function)(points)
        scale = float(max(jnp.max(jnp.abs(part)) for part in (anywhere, *values)))
        if k == 0:
            size = scale
        if not gap <= 1e-8 * max(scale, size / (high - low) ** k):
            where = f"across the periodic boundary of {name}"
            what = f"its {_derivative_name(k)} jumps by {gap:.2g} {where}"
            return f"{what}, and a lift would keep that for all times"
        function = _along(function, axis)
    return ""


def _kink(problem: Problem, face: Face, points: Any) -> str:
    """Lifted data must be as smooth inside, too.

    Derivatives at points do not see a jump, their integral along a line does.
    """
    names = problem.domain.coordinates
    for axis, name in enumerate(names):
        if axis == face.axis:
            continue
        low, high = problem.domain.bounds[name]

        def jumps(points, axis=axis, low=low, high=high):
            """The jump of each derivative that the equation takes, and its scale."""
            cells = low + (high - low) * (jnp.arange(_KINK_CELLS) + 0.5) / _KINK_CELLS

            def on_lines(at):
                return jnp.repeat(points[:2], len(at), 0).at[:, axis].set(jnp.tile(at, 2))

            lower, function = face.data, _along(face.data, axis)
            out = []
            for _ in range(_order(problem, axis)):
                slope = jax.vmap(function)(on_lines(cells)).reshape(2, -1) * (
                    (high - low) / _KINK_CELLS
                )
                ends = jax.vmap(lower)(on_lines(jnp.asarray([low, high]))).reshape(2, 2)
                gap = jnp.abs(ends[:, 1] - ends[:, 0] - jnp.sum(slope, 1))
                # A constant has no part in it, but for its rounding.
                varying = jnp.sum(jnp.abs(slope), 1) + jnp.abs(ends[:, 1] - ends[:, 0])
                out.append((gap, varying + 1e-10 * jnp.sum(jnp.abs(ends), 1)))
                lower, function = function, _along(function, axis)
            return out

        for k, (gap, scale) in enumerate(jax.jit(jumps)(points)):
            if not bool(np.all(gap <= 1e-2 * scale)):
                size = float(np.max(gap))
                what = f"its {_derivative_name(k)} jumps by about {size:.2g} along {name}"
                return f"{what}, and a lift would keep that for all times"
    return ""


def _derivative_name(k: int) -> str:
    return ("value", "slope")[k] if k < 2 else f"derivative of order {k}"


def _along(function: PointFunction, axis: int) -> PointFunction:
    return lambda point: jax.jvp(function, (point,), (jnp.zeros_like(point).at[axis].set(1),))[1]
