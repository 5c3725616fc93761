"""Which fluxes cannot be met by a field without slope on their face, and why."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.problem._cube import cube
from pinops.problem._dependence import missing_axes
from pinops.problem._faces import (
    Face,
    PointFunction,
    end_of,
    faces,
    flat_ends,
    is_valued,
    onto_face,
)
from pinops.problem._problem import Problem, features_at, values_at
from pinops.settings import quick


def not_flat(problem: Problem, taken: Sequence[Face], plain: bool) -> dict[int, str]:
    """Conditions with a flux, and no value, on a face where a field cannot be flat, and why not.

    All unknowns see the same functions of the coordinates: either all are flat on a face, or none.
    A feature or factor of the problem that has a slope there passes it on to the field.

    Args:
        problem: Whose conditions they are.
        taken: All that is imposed on faces.
        plain: Whether the network sees each coordinate as it is, and so cannot be made flat.
    """
    out: dict[int, str] = {}
    for axis, upper in flat_ends(taken):
        fluxes = [
            face
            for face in taken
            if (face.axis, face.upper) == (axis, upper) and not is_valued(face, taken)
        ]
        if plain:
            reason = "its network sees each coordinate as it is, so that its slope there is free"
        else:
            reason = _others(problem, fluxes) or _known(problem, axis, upper)
        if reason:
            out = {face.condition: reason for face in fluxes} | out
    return out


def _others(problem: Problem, fluxes: Sequence[Face]) -> str:
    """An unknown that keeps others from a flux on a face; empty without one."""
    axis, upper = fluxes[0].axis, fluxes[0].upper
    flat = {face.component for face in fluxes}
    missing, at = missing_axes(problem), end_of(problem, axis, upper)
    for component, unknown in enumerate(problem.unknowns):
        if component in flat or axis in missing.get(unknown, ()):
            continue
        there = [
            face
            for face in faces(problem)
            if (face.component, face.axis, face.upper) == (component, axis, upper)
        ]
        if not there:
            has = "has none"
        elif any(face.is_value for face in there):
            has = "has a value"
        else:
            has = "has one that is a term of the loss"
        return f"a flux is met exactly only where all unknowns have one; on {at} {unknown} {has}"
    return ""


def _known(problem: Problem, axis: int, upper: bool) -> str:
    """What a problem knows of its solution that has a slope on a face; empty without any."""
    if problem.features is None and problem.factor is None and not problem.subdomains:
        return ""
    low, high = problem.domain.bounds[problem.domain.coordinates[axis]]
    with jax.enable_x64(True):
        inside = jnp.asarray(problem.domain.sample_interior(cube, 64))
        found = jax.tree.map(np.asarray, _slopes(problem, axis, upper, inside))
    for what, (slope, size) in found.items():
        if not np.all(slope <= 1e-9 * size / (high - low)):  # nan is not flat either
            at = end_of(problem, axis, upper)
            return f"the problem's {what} a slope on {at}"
    return ""


@quick
def _slopes(
    problem: Problem, axis: int, upper: bool, inside: Float[Array, "n d"]
) -> dict[str, tuple[Array, Array]]:
    """Of features and factor, by their name and verb: the largest slope along a coordinate on its
    face, and the largest value, of each.
    """
    known: dict[str, PointFunction] = {"features have": partial(features_at, problem)}
    if problem.factor is not None:
        known["factor has"] = lambda point: jnp.stack(
            list(values_at(problem, "factor", point).values())
        )
    at = problem.domain.bounds[problem.domain.coordinates[axis]][upper]
    along = jnp.zeros(inside.shape[1], inside.dtype).at[axis].set(1)
    on_face, out = onto_face(inside, axis, at), {}
    for what, function in known.items():
        slopes = jax.vmap(lambda point, f=function: jax.jvp(f, (point,), (along,))[1])(on_face)
        values = jax.vmap(function)(jnp.concatenate([inside, on_face]))
        out[what] = jnp.max(jnp.abs(slopes), 0), jnp.max(jnp.abs(values), 0)
    return out
