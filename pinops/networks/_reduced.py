"""Fields some of whose unknowns depend on fewer coordinates than the others."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import Jet, Plan
from pinops.networks._field import Field, bounds_of
from pinops.problem import Problem, missing_axes


@dataclass(frozen=True)
class ReducedField(Field):
    """A field that gives some unknowns as they are in the middle of the coordinates they lack.

    Args:
        field: A function of all coordinates.
        missing: For each set of coordinates that are missed, in their numbers, which unknowns miss
            them.
        middle: The middle of the interval of every coordinate.
    """

    field: Field
    missing: dict[tuple[int, ...], tuple[bool, ...]]
    middle: tuple[float, ...]

    def jet(
        self,
        points: Float[Array, "n d"],
        plan: Plan,
        fixed: Any = None,
        directions: Float[Array, "m d"] | None = None,
    ) -> Jet:
        first, *others = [None] * (1 + len(self.missing)) if fixed is None else fixed
        out: Jet = self.field.jet(points, plan, first, directions)
        parts = zip(self._parts(points, plan), self.missing.items(), others, strict=True)
        for (there, lower), (axes, which), known in parts:
            kept = directions
            if directions is not None:
                kept = directions.at[:, np.asarray(axes)].set(0)
            own: Jet = self.field.jet(there, lower, known, kept)
            mask, zero = np.asarray(which)[None], jnp.zeros((1, len(which)), points.dtype)
            out = {
                index: jnp.where(mask, own.get(index, zero), out.get(index, zero))
                for index in dict.fromkeys((*out, *own))
            }
        return out

    def fixed(self, points: Float[Array, "n d"], plan: Plan) -> Any:
        parts = [(points, plan), *self._parts(points, plan)]
        return tuple(self.field.fixed(there, lower) for there, lower in parts)

    def _parts(
        self, points: Float[Array, "n d"], plan: Plan
    ) -> Iterator[tuple[Float[Array, "n d"], Plan]]:
        """For each set of missing coordinates, the points in their middle, and the derivatives
        that are not zero there.
        """
        for axes in self.missing:
            at = np.asarray(axes)
            there = points.at[:, at].set(jnp.asarray(self.middle, points.dtype)[at])
            indices = [index for index in plan.indices if not set(index) & set(axes)]
            yield there, Plan(indices, [axis for axis in plan.laplacian if axis not in axes])


def reduced_by(problem: Problem, field: Field) -> Field:
    """The field with the unknowns of ``depends_on`` as functions of their own coordinates; itself
    without any.

    Args:
        problem: Whose unknowns they are.
        field: Of all unknowns, with the conditions that are imposed exactly.
    """
    missing: dict[tuple[int, ...], tuple[bool, ...]] = {}
    own = missing_axes(problem)
    for axes in own.values():
        missing[axes] = tuple(own.get(name) == axes for name in problem.unknowns)
    if not missing:
        return field
    return ReducedField(field, missing, tuple(sum(pair) / 2 for pair in bounds_of(problem)))
