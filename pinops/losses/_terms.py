"""Residual vectors: every equation that must vanish, at every point of its region."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinops.derivatives import Plan, apply_pointwise
from pinops.networks import Field
from pinops.problem import INTERIOR, Constraint, Points


def plans(constraints: Sequence[Constraint]) -> dict[str, Plan]:
    """The partial derivatives that the constraints of each region need together."""
    out: dict[str, Plan] = {}
    for constraint in constraints:
        out[constraint.region] = out.get(constraint.region, Plan()).union(constraint.signature.plan)
    return out


def residuals(
    field: Field,
    constraints: Sequence[Constraint],
    points: Mapping[str, Points],
    *,
    owner: str,
    sizes: Mapping[str, Any] | None = None,
) -> dict[str, Float[Array, " n"]]:
    """``{term: (n,)}`` for all constraints; those that share a region share one evaluation of the field.

    The interior equation is called "residual", or by its own names where it returns several. Every vector is divided by the size
    of its term, ``sizes``, so that none has units before it is squared (None: they keep them). Where points have weights, the vector is scaled by their roots, so
    that its mean square is the weighted one.
    """
    out: dict[str, Array] = {}
    for region, plan in plans(constraints).items():
        here = [constraint for constraint in constraints if constraint.region == region]
        at = jnp.asarray(points[region].at)
        directions = points[region].directions
        if directions is None:
            jet = field.jet(at, plan, points[region].fixed)
        else:
            jet = field.jet(at, plan.along(len(directions), at.shape[1]), directions=directions)
        normals = points[region].normals
        for constraint in here:
            values = constraint.signature.gather(
                jet, at, None if normals is None else jnp.asarray(normals)
            )
            values |= {name: jnp.asarray(array) for name, array in points[region].data.items()}
            label = constraint.name or "residual"
            for name, value in apply_pointwise(
                constraint.function, values, owner=f"{owner}, {label}"
            ).items():
                key = name or label if region == INTERIOR else f"{label} {name}".strip()
                weights = points[region].weights
                value = value if sizes is None else value / sizes[key]
                out[key] = value if weights is None else jnp.sqrt(jnp.asarray(weights)) * value
    return out
