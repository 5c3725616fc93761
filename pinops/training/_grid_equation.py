"""What a family says of its solutions on a grid: conditions that are met exactly, and the equation.

As in physics-informed neural operators (Li et al. 2024, arXiv:2111.03794), the equation is that of
differences between the grid points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import Plan
from pinops.losses import residuals
from pinops.networks import (
    ConstrainedField,
    ConstrainedGrid,
    Field,
    GridField,
    boundary_shares,
    constrained_by,
    is_constrained,
    regular,
)
from pinops.problem import (
    INTERIOR,
    Imposition,
    Points,
    Problem,
    Scales,
    constraints,
    faces,
    impose,
    is_on_walls,
    missing_axes,
    name_of,
    names_of,
    residual_signature,
)

_EQUAL = 1e-6  # of a step, between steps that count as equal


class GridEquation(eqx.Module):
    """The conditions and the equation of a family on a grid.

    Args:
        scales: The sizes of unknowns and equations.
        lines: The points of each coordinate.
        imposition: How each condition is met.
        steps: The distances of the points of each coordinate.
        owner: The name that messages give the family.
        imposes: Whether there is anything to be met exactly.
    """

    scales: Scales
    lines: tuple[Float[Array, " n"], ...]
    imposition: Imposition = eqx.field(static=True)
    steps: tuple[float, ...] = eqx.field(static=True)
    owner: str = eqx.field(static=True)
    imposes: bool = eqx.field(static=True)

    @classmethod
    def of(
        cls, problem: Problem, lines: Sequence[Float[np.ndarray, " n"]], scales: Scales, owner: str
    ) -> "GridEquation":
        """That of a family, which `check_on_grid` allows."""
        imposition = impose(problem)
        empty = cls(scales, (), imposition, (), owner, is_constrained(problem, imposition))
        return empty.on(lines)

    def on(self, lines: Sequence[Float[np.ndarray, " n"]]) -> "GridEquation":
        """The same at other points."""
        steps = tuple(float((line[-1] - line[0]) / max(1, len(line) - 1)) for line in lines)
        arrays = tuple(jnp.asarray(line, jnp.result_type(float)) for line in lines)
        return replace(self, lines=arrays, steps=steps)

    @property
    def points(self) -> Float[Array, "n d"]:
        """All points of the grid, in the order of its axes."""
        return jnp.stack([x.ravel() for x in jnp.meshgrid(*self.lines, indexing="ij")], -1)

    def solutions(
        self, problems: Problem | None, values: Float[Array, "n *grid c"]
    ) -> Float[Array, "n *grid c"]:
        """Outputs of a network in the units of the unknowns, as they meet the conditions.

        Args:
            problems: The members, in the leading axis of every array; None where nothing is met.
            values: The outputs.
        """
        if not self.imposes:
            return values
        points = self.points

        def of(problem: Problem, values: Float[Array, "*grid c"]) -> Float[Array, "*grid c"]:
            jet = self._field(problem, values).jet(points, Plan())
            return jnp.reshape(jet[()], values.shape)

        return eqx.filter_vmap(of)(problems, values)

    def residuals(
        self, problems: Problem, values: Float[Array, "n *grid c"]
    ) -> dict[str, Float[Array, "n m"]]:
        """The interior equations, in their sizes, at the points where differences reach no end.

        Points on the boundary of a shape count 0: the solution is known there.

        Args:
            problems: The members, in the leading axis of every array.
            values: The outputs of a network in the units of the unknowns.
        """
        points, grid = self.points, values.shape[1:-1]

        def of(problem: Problem, values: Float[Array, "*grid c"]) -> dict[str, Array]:
            field, inside = self._field(problem, values), None
            shaped = problem.factor is not None
            if isinstance(field, ConstrainedGrid) and shaped:
                shares = boundary_shares(field.constrained, points, grid, self.steps)
                field, inside = replace(field, shares=shares), regular(shares)
            here = {INTERIOR: Points(points)}
            equations = constraints(problem, ())
            terms = residuals(field, equations, here, owner=self.owner, sizes=self.scales.terms)
            inner = _inner(problem, self._periodic(problem), shaped)
            out = {}
            for name, term in terms.items():
                vector = term.vector.reshape(grid)
                vector = vector if inside is None else jnp.where(inside, vector, 0.0)
                out[name] = vector[inner].ravel()
            return out

        return eqx.filter_vmap(of)(problems, values)

    def _periodic(self, problem: Problem) -> tuple[int, ...]:
        names = problem.domain.coordinates
        return tuple(map(names.index, self.imposition.periodic))

    def _field(self, problem: Problem, values: Float[Array, "*grid c"]) -> Field:
        grid = GridField(values, self.steps, self._periodic(problem))
        field = constrained_by(problem, self.imposition, grid, self.scales)
        return ConstrainedGrid(field) if isinstance(field, ConstrainedField) else field


def _inner(problem: Problem, periodic: Sequence[int], shaped: bool) -> tuple[slice, ...]:
    """The points from which differences reach as far as they must, along each axis."""
    reach = dict.fromkeys(range(len(problem.domain.coordinates)), int(shaped))
    plan = residual_signature(problem).plan
    for index in (*plan.indices, *((axis, axis) for axis in plan.laplacian)):
        for axis in index:
            if axis not in periodic:  # a first derivative is one-sided at the ends
                reach[axis] = max(reach[axis], index.count(axis) // 2)
    return tuple(slice(n, -n if n else None) for n in reach.values())


def check_on_grid(problem: Problem, axes: Mapping[str, Float[np.ndarray, " n"]]) -> None:
    """Check that the equation of a family can be taken on a grid.

    Args:
        problem: The family.
        axes: The points of each coordinate.

    Raises:
        ValueError: For integrals, points that are not equally spaced or do not cover a period once,
            conditions that cannot be met exactly by values at the points, and derivatives that
            differences at the boundary of a shape do not have.
    """
    imposition, name = impose(problem), name_of(problem)
    _check_local(problem, name)
    conditions = problem.conditions()
    others = {f.condition for f in faces(problem, imposition.hard) if not f.is_value}
    others |= {k for k in imposition.hard if is_on_walls(problem, k)}
    for k in (*imposition.soft, *sorted(others)):
        raise ValueError(
            f"{name}: equations on a grid need conditions that the values meet exactly, and "
            f"{type(conditions[k]).__name__} is not one; leave physics out, or train a DeepONet()"
        )
    for unknown in missing_axes(problem):
        raise ValueError(
            f"{name}: equations on a grid take unknowns of all coordinates, and {unknown} lacks "
            "some; leave physics out, or train a DeepONet()"
        )
    plan = residual_signature(problem).plan
    if problem.factor is not None and any(
        len(set(index)) > 1 or len(index) > 2 for index in plan.indices
    ):
        raise ValueError(
            f"{name}: with a factor, equations on a grid take at most second derivatives along one "
            "coordinate; leave physics out, or train a DeepONet()"
        )
    for coordinate, line in axes.items():
        apart = np.diff(line)
        if len(line) < 5 or np.ptp(apart) > _EQUAL * abs(apart[0]):
            raise ValueError(
                f"{name}: equations on a grid need at least 5 equally spaced points, and those of "
                f"{coordinate} are not; give data on such a grid, or physics=0"
            )
        low, high = problem.domain.bounds[coordinate]
        length = abs(apart[0]) * len(line)
        if coordinate in imposition.periodic and abs(length - (high - low)) > _EQUAL * length:
            raise ValueError(
                f"{name}: {coordinate} is periodic, and its points cover {length:g} instead of "
                f"{high - low:g}; give data with each point once, or physics=0"
            )


def _check_local(problem: Problem, owner: str) -> None:
    """Raises ValueError for integrals, whose nodes are no points of the grid."""
    for name in names_of(problem).integrals:
        raise ValueError(
            f"{owner}: equations on a grid cannot take the integral {name}; leave physics out, or "
            "train a DeepONet()"
        )


def grid_residuals(
    problem: Problem,
    frames: Float[Array, "t *grid c"],
    grid: tuple[tuple[float, float], ...],
    *,
    owner: str,
    sizes: Mapping[str, Any] | None = None,
) -> dict[str, Float[Array, "..."]]:
    """The interior equations at all grid points and inner snapshots, ``(t - 2, *grid)``.

    Fourier series along space, and central differences in time. ``grid``: the first place of each
    coordinate, and their distance; ``sizes``: what each equation is divided by (None: it keeps its
    units).
    """
    _check_local(problem, owner)
    names = problem.domain.coordinates
    time = names.index(problem.domain.time)
    values = jnp.moveaxis(frames, 0, time)
    periodic = tuple(axis for axis in range(len(names)) if axis != time)
    shape = values.shape[:-1]
    axes = [first + jnp.arange(n) * step for n, (first, step) in zip(shape, grid, strict=True)]
    at = jnp.stack([axis.ravel() for axis in jnp.meshgrid(*axes, indexing="ij")], -1)
    field = GridField(values, tuple(step for _, step in grid), periodic)
    here = {INTERIOR: Points(at)}
    terms = residuals(field, constraints(problem, ()), here, owner=owner, sizes=sizes)
    inside = {name: jnp.moveaxis(t.vector.reshape(shape), time, 0) for name, t in terms.items()}
    return {name: vector[1:-1] for name, vector in inside.items()}
