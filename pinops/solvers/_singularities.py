"""Where a solution is singular or steep, from domain, conditions and coefficients alone.

Each spot comes with the line that a problem needs. Two instances: at a reentrant corner the
gradient is unbounded whatever the data are; before a small coefficient of u_xx there is a layer,
whose width the roots of the frozen equation tell.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import Gradient, Index, Laplacian, Partial, apply_pointwise
from pinops.geometry import Corner, corners
from pinops.problem import (
    Dirichlet,
    Face,
    Neumann,
    Problem,
    Region,
    Robin,
    constraints,
    faces,
    inside,
    remaining,
    residual_signature,
    tips,
)
from pinops.settings import quick
from pinops.solvers._roughness import MAX_LINED, NEAR, SMALLEST, Spot, on_face
from pinops.training import Model, Params

ALIKE = 1e-6  # up to this relative difference, two coefficients are one
THIN = 0.1  # of the length of a coordinate: a layer is thinner
LOOKED_AT = 64  # points of a wall
SPREAD = 256  # points where the size of data is taken from

Slopes = dict[Index, Float[np.ndarray, " n"]]


def slopes_at(model: Model, params: Params, at: Float[np.ndarray, "n d"]) -> Slopes:
    """How the equation depends on each partial derivative of its unknown at points, ``(n,)``.

    Nothing for several unknowns or equations, and where derivatives of more than second order are
    taken.
    """
    problem = model.problem
    arguments = residual_signature(problem).arguments
    orders = [len(what.index) for _, what in arguments if isinstance(what, Partial)]
    if len(problem.unknowns) > 1 or max(orders, default=0) > 2:
        return {}
    found = _slopes(model, params, jnp.asarray(at, jnp.result_type(float)))
    return {index: np.asarray(slope, np.float64) for index, slope in found.items()}


@quick
def _slopes(model: Model, params: Params, points: Float[Array, "n d"]) -> dict[Index, Array]:
    (equation,) = constraints(model.problem_at(params), ())
    signature = equation.signature
    field = model.field(params)
    jet = field.jet(points, signature.plan)
    values = signature.gather(jet, points, elsewhere=field.jet)
    space = signature.names.space_axes
    out: dict[Index, Array] = {}

    def add(name: str, tangent: Array, *indices: Index) -> None:
        def along(value: Array) -> dict[str, Array]:
            return apply_pointwise(equation.function, values | {name: value}, owner=model.owner)

        slopes = list(jax.jvp(along, (values[name],), (tangent,))[1].values())
        if len(slopes) == 1:
            out.update({index: out.get(index, 0.0) + slopes[0] for index in indices})

    for name, what in signature.arguments:
        one = jnp.ones_like(values[name])
        match what:
            case Partial(_, index):
                add(name, one, index)
            case Laplacian():
                add(name, one, *((axis, axis) for axis in space))
            case Gradient():
                for k, axis in enumerate(space):
                    add(name, one * (jnp.arange(len(space)) == k), (axis,))
    return out


def _is_laplacian(slopes: Slopes, axes: tuple[int, int]) -> bool:
    """Whether the highest derivatives along two axes are a multiple of the Laplacian."""
    a, b = (slopes.get((axis, axis), np.zeros(1)) for axis in axes)
    mixed = slopes.get((min(axes), max(axes)), np.zeros(1))
    return bool(np.all(a != 0) and np.all(np.maximum(abs(a - b), abs(mixed)) <= ALIKE * abs(a)))


def _in_plane(problem: Problem) -> tuple[int, int] | None:
    """The two spatial axes of a problem in the plane."""
    names = problem.domain.coordinates
    axes = [names.index(name) for name in problem.domain.space]
    return (axes[0], axes[1]) if len(axes) == 2 else None


def _at_corner(problem: Problem, corner: Corner) -> Float[np.ndarray, "1 d"]:
    """A point just inside of a corner, in the middle of everything else."""
    bounds = problem.domain.bounds
    point = [sum(bounds[name]) / 2 for name in problem.domain.coordinates]
    middle = corner.start + corner.opening / 2
    step = 1e-3 * max(high - low for low, high in bounds.values())
    for axis, at, way in zip(
        _in_plane(problem) or (), corner.at, (math.cos(middle), math.sin(middle)), strict=True
    ):
        point[axis] = at + step * way
    return np.asarray([point])


def _line(problem: Problem, method: str, body: str) -> str:
    """The line to add, or what to add to it."""
    if getattr(problem, method) is not None:
        return f"add `{body}` to {method}()"
    return f"add `def {method}(self, {', '.join(problem.domain.coordinates)}): return {body}`"


def _wedge(problem: Problem, corner: Corner) -> str:
    """The arguments of `pinops.features.corner` and `angle`."""
    at = ", ".join(f"{value:.6g}" for value in corner.at)
    turns = (f"{value / math.pi:.6g} * jnp.pi" for value in (corner.opening, corner.start))
    opening, start = turns
    return f"{', '.join(problem.domain.space)}, at=({at}), opening={opening}, start={start}"


# Corners.


def corners_of(model: Model, params: Params) -> list[Spot]:
    """Corners in which the gradient is unbounded, of a problem that knows nothing of them."""
    problem, out = model.problem, []
    axes = _in_plane(problem)
    if axes is None or problem.lift is not None or problem.features is not None:
        return []
    known = tips(problem, model.imposition.hard)
    for corner in corners(problem.domain):
        if any(math.dist(corner.at, tip) < ALIKE for tip in known):
            continue
        kinds = [_kind(problem, part) for part in corner.parts]
        if None in kinds:
            continue
        mixed = kinds[0] != kinds[1]
        power = (0.5 if mixed else 1.0) * math.pi / corner.opening
        singular = power < 1 - ALIKE
        if singular and _is_laplacian(slopes_at(model, params, _at_corner(problem, corner)), axes):
            out.append(_corner_spot(problem, corner, kinds == [Neumann] * 2, mixed, power))
    return out


def _kind(problem: Problem, part: str) -> type | None:
    """What is given on a wall: `Dirichlet`, `Neumann` (also for Robin), or None: anything else."""
    found = {
        Dirichlet if isinstance(condition, Dirichlet) else Neumann
        for condition in problem.conditions()
        if isinstance(condition, Dirichlet | Neumann | Robin)
        and part in problem.domain.select(condition.on)
    }
    return found.pop() if len(found) == 1 else None


def _corner_spot(problem: Problem, corner: Corner, flux: bool, mixed: bool, power: float) -> Spot:
    names, axes = problem.domain.space, list(_in_plane(problem) or ())
    size = max(high - low for low, high in (problem.domain.bounds[name] for name in names))

    def near(region: Region, at: Float[np.ndarray, "n d"]) -> np.ndarray:
        return np.linalg.norm(at[:, axes] - np.asarray(corner.at), axis=1) < NEAR * size

    more = ""
    if flux or mixed:
        more = f", neumann={tuple(_kind(problem, part) is Neumann for part in corner.parts)}"
    body = f"self.strength * po.features.corner({_wedge(problem, corner)}{more})"
    where = ", ".join(f"{name} = {at:.4g}" for name, at in zip(names, corner.at, strict=True))
    angle = f"{math.degrees(corner.opening):.4g} degrees"
    return Spot(
        f"the walls meet at {angle} in {where}, where the solution behaves like r^{power:.3g}",
        near,
        f"give it the coefficient `strength: float = 1.0`, `trainable = ('strength',)`, and "
        f"{_line(problem, 'lift', body)}",
    )


# Layers.


def layers_of(model: Model, params: Params, points: Float[np.ndarray, "n d"]) -> list[Spot]:
    """Layers at the walls of a problem that knows nothing of them.

    With the coefficients a, b, c of u_xx, u_x and u frozen at a wall, solutions exp(s x) of
    a s^2 + b s + c = 0 that decay from there have the width 1 / |s|.

    Args:
        model: The problem.
        params: Of the solution, on which the coefficients may depend.
        points: In the domain.
    """
    problem, out = model.problem, []
    if problem.lift is not None or problem.features is not None:
        return []
    for face in faces(problem):
        name, (_, at) = problem.domain.coordinates[face.axis], on_face(problem, face)
        if not face.is_value or name == problem.domain.time:
            continue
        wall = np.array(points[:LOOKED_AT])
        wall[:, face.axis] = at
        slopes = slopes_at(model, params, wall)
        low, high = problem.domain.bounds[name]
        width = _width(slopes, face)
        if width is not None and width < THIN * (high - low):
            out.append(_layer_spot(problem, face, width))
    return out


def _width(slopes: Slopes, face: Face) -> float | None:
    """The median width of a layer on a wall; None where most of the wall has none."""
    zero = np.zeros_like(next(iter(slopes.values()), np.zeros(1)))
    axis = face.axis
    a, b, c = (slopes.get(index, zero) for index in ((axis, axis), (axis,), ()))
    inward = -1.0 if face.upper else 1.0
    widths = []
    for coefficients in zip(a, inward * b, c, strict=True):
        roots = np.roots(coefficients) if coefficients[0] != 0 else np.zeros(0)
        decay = [-root.real for root in roots if root.real < 0 and root.imag == 0]
        widths.append(1 / max(decay) if decay else np.inf)
    width = float(np.median(widths))
    return width if np.isfinite(width) else None


def _layer_spot(problem: Problem, face: Face, width: float) -> Spot:
    where, at = on_face(problem, face)
    name = problem.domain.coordinates[face.axis]
    low, high = problem.domain.bounds[name]
    distance = f"{at:.6g} - {name}" if face.upper else f"{name} - {at:.6g}" if at else name

    def near(region: Region, points: Float[np.ndarray, "n d"]) -> np.ndarray:
        return np.abs(points[:, face.axis] - at) < NEAR * (high - low)

    body = f"(po.features.layer({distance}, width={width:.2g}),)"
    what = f"the coefficients make a layer of width {width:.2g} at {where}"
    return Spot(what, near, _line(problem, "features", body))


# Data that disagree.


def disagreements_of(model: Model, params: Params) -> list[Spot]:
    """Where the data of two faces disagree, with the lift that has the disagreement."""
    problem, out = model.problem, []
    if len(problem.domain.coordinates) > MAX_LINED:
        return []
    given = faces(problem)
    for number, face in enumerate(given):
        for before, other in enumerate(given[:number] if face.is_value else given):
            pair = face.axis != other.axis and face.component == other.component
            if not (pair and other.is_value):
                continue
            gap, size = _gap(problem, number, before)
            if abs(gap) > SMALLEST * size:
                out.append(_disagreement(model, params, face, other, gap))
    return out


def _gap(problem: Problem, number: int, before: int) -> tuple[float, float]:
    """By how much the data of a face exceed what those of another make of it, and their size."""
    face, other = (faces(problem)[k] for k in (number, before))
    names, bounds = problem.domain.coordinates, problem.domain.bounds
    low, high = np.asarray([bounds[name] for name in names]).T
    places = low + np.random.default_rng(0).uniform(size=(SPREAD, len(names))) * (high - low)
    places[0] = (low + high) / 2
    for one in (face, other):
        places[0, one.axis] = on_face(problem, one)[1]
    with jax.enable_x64(True):
        own, made, plain = (np.asarray(part) for part in _data(problem, number, before, places))
    return float(own[0] - made[0]), float(max(np.abs(part).max() for part in (own, made, plain)))


@quick
def _data(
    problem: Problem, number: int, before: int, points: Float[np.ndarray, "n d"]
) -> tuple[Array, Array, Array]:
    """Data of a face, what those of another make of it, and these, at points."""
    face, other = (faces(problem)[k] for k in (number, before))
    bounds = problem.domain.bounds[problem.domain.coordinates[face.axis]]
    parts: list[Callable] = [remaining(problem, face), remaining(problem, other)]
    functions = [parts[0], face.apply(parts[1], bounds), parts[1]]
    own, made, plain = (jax.vmap(function)(jnp.asarray(points)) for function in functions)
    return own, made, face.alpha * plain


def _disagreement(model: Model, params: Params, face: Face, other: Face, gap: float) -> Spot:
    problem = model.problem
    names, bounds = problem.domain.coordinates, problem.domain.bounds

    def near(region: Region, at: Float[np.ndarray, "n d"]) -> np.ndarray:
        out = np.ones(len(at), bool)
        for one in (face, other):
            name = names[one.axis]
            length = bounds[name][1] - bounds[name][0]
            out &= np.abs(at[:, one.axis] - on_face(problem, one)[1]) < 2 * NEAR * length
        return out

    unknown = problem.unknowns[face.component]
    where = f"{on_face(problem, face)[0]} and {on_face(problem, other)[0]}"
    remedy = ""
    if len(names) == 2:
        remedy = _heated(model, params, face, other, gap) or _jump(model, params, face, other, gap)
    return Spot(f"the data of {unknown} disagree where {where} meet", near, remedy)


def _heated(model: Model, params: Params, face: Face, other: Face, gap: float) -> str:
    """The lift where a wall and the start disagree, of an equation that diffuses."""
    problem = model.problem
    names, time = problem.domain.coordinates, problem.domain.time
    if time not in (names[face.axis], names[other.axis]):
        return ""
    wall, start = (other, face) if names[face.axis] == time else (face, other)
    if start.upper:
        return ""
    sign = -1.0 if wall is other else 1.0
    slopes = slopes_at(model, params, _meeting(problem, face, other))
    along, change = slopes.get((wall.axis, wall.axis)), slopes.get((start.axis,))
    if along is None or change is None or not -along[0] * change[0] > 0:
        return ""
    at, began = on_face(problem, wall)[1], on_face(problem, start)[1]
    name = names[wall.axis]
    distance = f"{at:.6g} - {name}" if wall.upper else f"{name} - {at:.6g}" if at else name
    since = f"{time} - {began:.6g}" if began else str(time)
    alpha, beta = float(wall.alpha), float(wall.slope) * (1.0 if wall.upper else -1.0)
    more = f", alpha={alpha:.6g}, beta={beta:.6g}" if beta else ""
    body = f"po.features.similarity({distance}, {since}, diffusivity={-along[0] / change[0]:.6g}"
    return _line(problem, "lift", f"{sign * gap:.6g} * {body}{more})")


def _jump(model: Model, params: Params, face: Face, other: Face, gap: float) -> str:
    """The lift where the values on two walls disagree, of an equation with the Laplacian."""
    problem, axes = model.problem, _in_plane(model.problem)
    if axes is None or not face.is_value:
        return ""
    place = {one.axis: on_face(problem, one)[1] for one in (face, other)}
    slopes = slopes_at(model, params, _meeting(problem, face, other))
    if not _is_laplacian(slopes, axes):
        return ""
    corner = min(corners(problem.domain), key=lambda one: math.dist(one.at, (place[0], place[1])))
    # Along the first wall of a corner the coordinate of the other face changes.
    runs_along = 0 if abs(math.cos(corner.start)) > 0.5 else 1
    second = face if face.axis == runs_along else other
    sign = 1.0 if second is face else -1.0
    body = f"{sign * gap:.6g} * po.features.angle({_wedge(problem, corner)})"
    return _line(problem, "lift", body)


def _meeting(problem: Problem, face: Face, other: Face) -> Float[np.ndarray, "1 d"]:
    """A point just inside of where two faces meet."""
    bounds = [problem.domain.bounds[name] for name in problem.domain.coordinates]
    point = np.asarray([sum(pair) / 2 for pair in bounds])
    for one in (face, other):
        low, high = bounds[one.axis]
        point[one.axis] = high if one.upper else low
    return np.asarray(inside(point, bounds))[None]
