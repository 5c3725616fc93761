"""Which conditions are imposed exactly, and why others are not: data disagree or have a kink."""

from collections.abc import Callable
from functools import partial
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
from pinops.problem._faces import Face, Imposition, PointFunction, faces_of_condition
from pinops.problem._inside import check_observed
from pinops.problem._problem import Problem, by_unknown, features_at, residual_signature, values_at

# Data that vary over less than about a thousandth of the domain count as not smooth.
_KINK_CELLS = 2000
# The exact lift of data on d pairs of faces evaluates them 3^d times, with derivatives: minutes
# of compilation from four on.
MAX_LIFTED_AXES = 3


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
        new = faces_of_condition(problem, k, condition)
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

    def given(method: str, point: Any) -> Any:
        return jnp.stack(list(values_at(problem, method, point).values()))

    known: dict[str, Callable[[Any], Any]] = {
        method: partial(given, method)
        for method in ("lift", "factor")
        if getattr(problem, method) is not None
    }
    if problem.features is not None:
        known["features"] = partial(features_at, problem)
    data: dict[str, Callable[[Any], Any]] = {}
    if even and problem.exact is not None:
        data["exact"] = partial(given, "exact")
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
                # Where they meet both may vanish: what counts is how large the data are on their
                # own faces.
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
        # A derivative may vanish at the ends, and be round-off there: what counts is its size
        # anywhere.
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
    """The derivative of a function along an axis."""

    def derivative(point: Any) -> Any:
        return jax.jvp(function, (point,), (jnp.zeros_like(point).at[axis].set(1),))[1]

    return derivative
