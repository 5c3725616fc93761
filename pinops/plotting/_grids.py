"""Values of a solution and of its reference on grids, with one array axis for each coordinate."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from pinops.plotting._drawing import Drawable
from pinops.problem import Problem, values_at
from pinops.reference import Reference

_SLICES = (0.0, 1 / 3, 2 / 3, 1.0)  # of a range, where it is cut


@dataclass(frozen=True)
class Grid:
    """Solution and reference with one array axis per coordinate, in the order of the domain."""

    axes: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    kind: str

    def error(self, unknown: str) -> np.ndarray:
        return np.abs(self.values[unknown] - self.truth[unknown])


def grid_of(
    solution: Drawable, reference: Reference, axes: dict[str, np.ndarray] | None = None
) -> Grid | None:
    """Where to compare: at the points of the reference, or finer ones of an exact solution.

    Args:
        solution: What is compared.
        reference: With what.
        axes: The points where an exact solution is known too; None: those of a picture.

    Returns:
        None for more than three coordinates, unless their points are given, and for scattered ones.
    """
    problem = solution.problem
    if len(problem.domain.coordinates) > 3 and (axes is None or problem.exact is None):
        return None
    if problem.exact is not None:
        axes = display_axes(problem) if axes is None else axes
        return Grid(axes, evaluated(solution, axes), exact_on(problem, axes), reference.kind)
    placed = on_axes(problem, reference)
    if placed is None:
        return None
    axes, truth, order = placed
    values = solution.values(reference.coordinates)
    values = {
        u: np.where(np.isfinite(truth[u]), np.transpose(values[u], order), np.nan) for u in truth
    }
    return Grid(axes, centred(problem, values), centred(problem, truth), reference.kind)


def on_axes(
    problem: Problem, reference: Reference
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[int]] | None:
    """The axes of a reference on a grid, its values in the order of the domain, and that order.

    None for scattered points.
    """
    names = problem.domain.coordinates
    shape = np.broadcast_shapes(*(array.shape for array in reference.coordinates.values()))
    order: list[int] = []
    axes: dict[str, np.ndarray] = {}
    for name in names:
        full = np.broadcast_to(reference.coordinates[name], shape)
        varies = [k for k in range(len(shape)) if np.any(np.diff(full, axis=k))]
        if len(varies) != 1:
            return None
        order += varies
        axes[name] = full[tuple(slice(None) if k == varies[0] else 0 for k in range(len(shape)))]
    if sorted(order) != list(range(len(shape))):
        return None
    return axes, {u: np.transpose(array, order) for u, array in reference.values.items()}, order


def display_axes(problem: Problem) -> dict[str, np.ndarray]:
    """Points on every axis, fine enough for a picture; where three coordinates are cut, few."""
    domain = problem.domain
    names = domain.coordinates
    if len(domain.space) == 3:  # slices through the middle, which is among them; the end of time
        unit = {name: np.linspace(0, 1, 61) for name in names}
        unit |= {} if domain.time is None else {domain.time: np.ones(1)}
    else:
        number = {1: 401, 2: 241}.get(len(names), 121)  # thirds are among them
        unit = {name: np.linspace(0, 1, number) for name in names}
        unit |= {cut_coordinate(problem): np.asarray(_SLICES)} if len(names) > 2 else {}
    return {
        name: low + at * (high - low)
        for name, at in unit.items()
        for low, high in [domain.bounds[name]]
    }


def cut_coordinate(problem: Problem) -> str:
    """Of three or more coordinates the one that is cut: time, or the third."""
    domain = problem.domain
    return domain.time or domain.space[2]


def centred(problem: Problem, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Unknowns that are determined up to a constant without their mean, at each time."""
    domain = problem.domain
    space = tuple(k for k, name in enumerate(domain.coordinates) if name != domain.time)
    means = {
        u: np.nanmean(values[u], axis=space, keepdims=True) for u in values if u in problem.gauge
    }
    return values | {u: values[u] - mean for u, mean in means.items()}


def evaluated(solution: Drawable, axes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The solution on the grid of these axes, NaN outside the domain."""
    domain = solution.problem.domain
    mesh = np.meshgrid(*(axes[name] for name in domain.coordinates), indexing="ij")
    outside = ~domain.contains(np.stack([array.ravel() for array in mesh], -1)).reshape(
        mesh[0].shape
    )
    values = solution.values(dict(zip(domain.coordinates, mesh, strict=True)))
    return centred(
        solution.problem,
        {unknown: np.where(outside, np.nan, array) for unknown, array in values.items()},
    )


def exact_on(problem: Problem, axes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The exact solution on the grid of these axes, NaN outside the domain."""
    mesh = np.meshgrid(*(axes[name] for name in problem.domain.coordinates), indexing="ij")
    points = np.stack([array.ravel() for array in mesh], -1)
    with jax.enable_x64(True):
        values = jax.vmap(lambda point: values_at(problem, "exact", point))(jnp.asarray(points))
    outside = ~problem.domain.contains(points)
    values = {
        u: np.where(outside, np.nan, np.asarray(values[u])) for u in problem.unknowns if u in values
    }
    return centred(problem, {u: array.reshape(mesh[0].shape) for u, array in values.items()})


def cut_at(axis: np.ndarray) -> np.ndarray:
    """Where a coordinate with these points is cut."""
    wanted = axis[0] + np.asarray(_SLICES) * (axis[-1] - axis[0])
    return axis[np.unique(np.abs(axis - wanted[:, None]).argmin(1))]
