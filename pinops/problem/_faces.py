"""Which conditions can be imposed exactly, and the linear functionals that say what they impose.

On a coordinate that is a factor of the domain (every coordinate of a box; time), a condition is a
*face functional* ``alpha u + slope du/d(axis) = data`` on the lower or upper face.  Two
instances: Dirichlet is ``alpha = 1, slope = 0``; an initial velocity is ``alpha = 0, slope = 1``
on the lower face of ``t``. Data on different axes are lifted together by a Boolean sum of
one-dimensional interpolations, exactly if and only if they agree where the faces meet
(Leake & Mortari 2020, Theory of Functional Connections).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pinops.problem._condition import Condition
from pinops.problem._conditions import Dirichlet, Initial, Neumann, Robin
from pinops.problem._problem import Problem, by_unknown, values_at

PointFunction = Callable[[Any], Any]


def onto_face(points: Any, axis: int, at: Any) -> Any:
    """The points ``(..., d)`` with one coordinate set to ``at``."""
    # A selection, because scattering is costly to differentiate.
    here = np.arange(points.shape[-1]) == axis
    return jnp.where(here.reshape((1,) * (points.ndim - 1) + here.shape), at, points)


def inside(point: Any, bounds: Sequence[tuple[float, float]]) -> Any:
    """The point ``(d,)``, moved by next to nothing where it lies on a bound.

    What is known of a solution may jump in a corner: then its values on two faces are limits from
    within either of them.
    """
    low, high = np.asarray(bounds, point.dtype).T
    # A bound of 0 is left by far less than its rounding would be: roots approach it slowly.
    least = np.cbrt(np.finfo(point.dtype).tiny) * (high - low)
    up, down = (np.maximum(4 * np.spacing(np.abs(end)), least) for end in (low, high))
    return jnp.where(point <= low, point + up, jnp.where(point >= high, point - down, point))


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
        """An upper bound for a function of size 1 that varies over the length of the axis."""
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


def remaining(problem: Problem, face: Face) -> PointFunction:
    """The data of a face less what the problem's lift has of them, as limits from within it."""
    if problem.lift is None:
        return face.data
    bounds = [problem.domain.bounds[name] for name in problem.domain.coordinates]
    name = problem.unknowns[face.component]

    def lift(point):
        return values_at(problem, "lift", point).get(name, jnp.zeros((), point.dtype))

    known = face.apply(lift, bounds[face.axis])
    return lambda point: face.data(point) - known(inside(point, bounds))


def end_of(problem: Problem, axis: int, upper: bool) -> str:
    """The name of a face, such as ``x_min``."""
    return f"{problem.domain.coordinates[axis]}_{'max' if upper else 'min'}"


def is_valued(face: Face, faces: Sequence[Face]) -> bool:
    """Whether the value of the same unknown is prescribed in the same place.

    Args:
        face: What else is prescribed there, or the value itself.
        faces: All that is prescribed.
    """
    place = face.component, face.axis, face.upper
    return any(
        other.is_value and (other.component, other.axis, other.upper) == place for other in faces
    )


def flat_ends(faces: Sequence[Face]) -> tuple[tuple[int, bool], ...]:
    """The ends ``(axis, upper)`` of coordinates where fluxes are prescribed and values are not.

    Args:
        faces: All that is prescribed.
    """
    ends = {(face.axis, face.upper) for face in faces if not is_valued(face, faces)}
    return tuple(sorted(ends))


def faces(problem: Problem, conditions: tuple[int, ...] | None = None) -> list[Face]:
    """All face functionals of the given conditions (default: all that live on faces only)."""
    out = []
    for k, condition in enumerate(problem.conditions()):
        if conditions is None or k in conditions:
            out += faces_of(problem, k, condition) or []
    return out


def faces_of(problem: Problem, number: int, condition: Condition) -> list[Face] | None:
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
