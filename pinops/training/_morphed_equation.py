"""The equation of a shape on the grid of the square that its mesh is mapped to."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pinops.losses import Term, residuals
from pinops.networks import CurvedGridField
from pinops.problem import (
    INTERIOR,
    Dirichlet,
    Points,
    Problem,
    Scales,
    constraints,
    missing_axes,
    name_of,
    names_of,
    residual_signature,
)

_LINE = 9  # points of each axis where sources are measured


class MorphedEquation(eqx.Module):
    """The equation and the conditions of a family whose shapes differ from sample to sample.

    Args:
        problem: The family.
        scales: The sizes of unknowns and equations.
        middle: What scaled coordinates are 0 at.
        radius: What coordinates were divided by.
        owner: The name that messages give the family.
    """

    problem: Problem
    scales: Scales
    middle: Float[Array, " 2"]
    radius: Float[Array, ""]
    owner: str = eqx.field(static=True)

    def with_sources(
        self, coefficients: Mapping[str, Array], mean: Sequence[float]
    ) -> "MorphedEquation":
        """The same with equations that are at least as large as they are for constant unknowns.

        Where solutions are as smooth as the shape allows, their derivatives are larger than the
        domain says, which lies around all shapes; what sources there are is known.

        Args:
            coefficients: Of some members, by name, a member in each row.
            mean: Of each unknown.
        """
        line = jnp.linspace(-1.0, 1.0, _LINE)
        scaled = jnp.stack(jnp.meshgrid(line, line, indexing="ij"), -1)
        values = jnp.broadcast_to(jnp.asarray(mean, scaled.dtype), (_LINE, _LINE, len(mean)))
        sizes = dict(self.scales.terms)

        def left(member: Mapping[str, Array]) -> dict[str, Array]:
            terms = self.terms(member, scaled, values, (False, False))
            return {name: terms[name].mean_square() for name in sizes}

        found = jax.vmap(left)(coefficients) if coefficients else left({})
        for name, squares in found.items():
            sizes[name] = sizes[name] * jnp.sqrt(jnp.maximum(1.0, jnp.mean(squares)))
        return replace(self, scales=replace(self.scales, terms=sizes))

    def terms(
        self,
        coefficients: Mapping[str, Array],
        scaled: Float[Array, "a b 2"],
        values: Float[Array, "a b c"],
        periodic: tuple[bool, bool],
    ) -> dict[str, Term]:
        """The interior equations at the points with neighbours on all sides, in a mean over the
        shape, and the conditions at the others, all of them in their sizes.

        Args:
            coefficients: Of the member, by name.
            scaled: The coordinates of the grid points, as a network sees them.
            values: The outputs there, in the units of the unknowns.
            periodic: Whether the grid is closed along each axis.
        """
        member = self.problem.with_arrays(coefficients)
        places = jnp.broadcast_to(self.middle, scaled.shape) + self.radius * scaled
        field = CurvedGridField(values, places, periodic)
        inside = {INTERIOR: Points(field.points, weights=field.shares)}
        equations = constraints(member, tuple(range(len(member.conditions()))))
        inner = [equation for equation in equations if equation.region == INTERIOR]
        out = residuals(field, inner, inside, owner=self.owner, sizes=self.scales.terms)
        edge = _edge(values.shape[:2], periodic)
        for equation in equations:
            if equation.region != INTERIOR:
                (name,) = equation.linear or ()
                known = values[edge][:, member.unknowns.index(name)]
                off = jax.vmap(partial(_off, equation.function, name))(places[edge], known)
                out[equation.name] = Term(off / self.scales.sizes[name], equation.region)
        return out


def _off(function: Any, name: str, point: Float[Array, " 2"], value: Array) -> Array:
    """What a condition on values leaves at one point."""
    return function(point=point, **{name: value})


def _edge(
    grid: tuple[int, ...], periodic: tuple[bool, bool]
) -> tuple[Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """The points of a grid that lie at an end of an axis which is not closed."""
    on_edge = np.zeros(grid, bool)
    for axis, closed in enumerate(periodic):
        if not closed:
            ends = np.moveaxis(on_edge, axis, 0)
            ends[[0, -1]] = True
    first, second = np.nonzero(on_edge)
    return first, second


def check_on_shapes(problem: Problem) -> None:
    """Check that the equation of a family can be taken on the grids of shapes.

    Args:
        problem: The family.

    Raises:
        ValueError: For a time axis, other than two coordinates, integrals, derivatives of higher
            than second order, unknowns that lack a coordinate, and conditions that do not give
            values on the whole boundary.
    """
    name, coordinates = name_of(problem), problem.domain.coordinates
    if len(coordinates) != 2 or problem.domain.time is not None:
        raise ValueError(
            f"{name}: equations on meshes are steady and of two coordinates, and it has "
            f"{', '.join(coordinates)}; leave physics out"
        )
    for integral in names_of(problem).integrals:
        raise ValueError(
            f"{name}: equations on meshes cannot take the integral {integral}; leave physics out"
        )
    for unknown in missing_axes(problem):
        raise ValueError(
            f"{name}: equations on meshes take unknowns of all coordinates, and {unknown} lacks "
            "some; leave physics out"
        )
    if any(len(index) > 2 for index in residual_signature(problem).plan.indices):
        raise ValueError(
            f"{name}: equations on meshes take at most second derivatives; leave physics out"
        )
    for condition in problem.conditions():
        if not isinstance(condition, Dirichlet) or condition.on is not None:
            raise ValueError(
                f"{name}: conditions on meshes give values on the whole boundary, such as "
                f"Dirichlet(0.0), got {type(condition).__name__} on "
                f"{getattr(condition, 'on', None)}; leave physics out"
            )
