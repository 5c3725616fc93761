"""Residual vectors: every equation that must vanish, at every point of its region."""

from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from pinops.derivatives import Plan, Signature, apply_pointwise
from pinops.networks import Field
from pinops.problem import INTERIOR, Constraint, Points, Region


class Term(eqx.Module):
    """Residuals that must vanish, and the region where.

    Args:
        vector: The residual at each point, ``(n,)`` (or more axes inside of a batched program).
        region: What the term is: an interior equation, a condition, observations, data.
    """

    vector: Float[Array, "..."]
    region: Region = eqx.field(static=True)

    def mean_square(self, weight: Array | float = 1.0) -> Float[Array, ""]:
        """The weighted mean square; ``weight``: ``(1,)``, or ``(n,)`` for one weight per point."""
        return jnp.mean(weight * jnp.square(self.vector))

    def flat(self) -> "Term":
        """The same term with one axis."""
        return Term(self.vector.ravel(), self.region)


def plans(constraints: Sequence[Constraint]) -> dict[Region, Plan]:
    """The partial derivatives that the constraints of each region need together.

    Args:
        constraints: What must vanish, each with its region and signature.

    Returns:
        A derivative plan for each region.
    """
    out: dict[Region, Plan] = {}
    for constraint in constraints:
        out[constraint.region] = out.get(constraint.region, Plan()).union(constraint.signature.plan)
    return out


def residuals(
    field: Field,
    constraints: Sequence[Constraint],
    points: Mapping[Region, Points],
    *,
    owner: str,
    sizes: Mapping[str, Array | float] | None = None,
) -> dict[str, Term]:
    """The term of every constraint, by name.

    The interior equation is called "residual", or by its own names where it returns several.
    Constraints that share a region share one evaluation of the field. Where points have weights,
    the vector is scaled by their roots, so that its mean square is the weighted one.

    Args:
        field: The solution.
        constraints: What must vanish.
        points: Of every region that a constraint names.
        owner: The name that messages give the problem.
        sizes: By what each term is divided, so that none has units before it is squared; None: they
            keep their units.
    """
    out: dict[str, Term] = {}
    for region, plan in plans(constraints).items():
        here = [constraint for constraint in constraints if constraint.region == region]
        gather = _gathered(field, plan, points[region])
        for constraint in here:
            values = gather(constraint.signature)
            values |= {name: jnp.asarray(array) for name, array in points[region].data.items()}
            label = constraint.name or "residual"
            for name, value in apply_pointwise(
                constraint.function, values, owner=f"{owner}, {label}"
            ).items():
                key = name or label if region == INTERIOR else f"{label} {name}".strip()
                weights = points[region].weights
                value = value if sizes is None else value / sizes[key]
                vector = value if weights is None else jnp.sqrt(jnp.asarray(weights)) * value
                out[key] = Term(vector, region)
    return out


def _gathered(
    field: Field, plan: Plan, points: Points
) -> Callable[[Signature], dict[str, Float[Array, "n ..."]]]:
    """The values of the arguments of an equation at points; beside an interface those on either
    side, ``(n, 2, ...)``.
    """
    directions, normals = points.directions, points.normals
    normals = None if normals is None else jnp.asarray(normals)
    if directions is None:
        known = [points.fixed] if points.across is None else points.fixed or [None, None]
        sides = zip(points.sides, known, strict=True)
        jets = [field.jet(at, plan, fixed) for at, fixed in sides]
    else:
        along = plan.along(len(directions), points.sides[0].shape[1])
        jets = [field.jet(at, along, directions=directions) for at in points.sides]

    def gather(signature: Signature) -> dict[str, Array]:
        found = [
            signature.gather(jet, at, normals, field.jet)
            for jet, at in zip(jets, points.sides, strict=True)
        ]
        if points.across is None:
            return found[0]
        return {name: jnp.stack([side[name] for side in found], 1) for name in found[0]}

    return gather
