"""Three coordinates of space: slices through the middle, and the surface of the opened domain."""

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from pinops.plotting._drawing import Drawable, Panel, Rows
from pinops.plotting._grids import Grid, display_axes, evaluated
from pinops.plotting._panels import (
    Colours,
    colours_of_solution,
    error_colours,
    label_of,
    map_panel,
)
from pinops.problem import Problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CELLS = 30  # about as many along every edge of the surface
# What Matplotlib's view shows of a cube are the faces that look along these directions.
_SEEN = (1, -1, 1)


def rows_of_space(solution: Drawable, grid: Grid | None) -> Rows:
    """Slices through the middle and the surface of each unknown, and slices of |error|.

    With time: at its end.
    """
    problem = solution.problem
    axes = display_axes(problem)
    values = evaluated(solution, axes)
    colours = colours_of_solution(solution, values, grid)
    rows: Rows = []
    for u in problem.unknowns:
        rows.append(row_of_space(problem, u, axes, values[u], colours[u]))
        if grid is not None and u in grid.truth:
            error = grid.error(u)
            rows.append(_slices(problem, "|error|", u, grid.axes, error, error_colours(error)))
    return rows


def row_of_space(
    problem: Problem,
    unknown: str,
    axes: dict[str, np.ndarray],
    values: np.ndarray,
    colours: Colours,
) -> list[Panel]:
    """Three slices and the surface.

    Args:
        problem: Of three coordinates of space.
        unknown: Its name.
        axes: The points of each coordinate.
        values: In the order of the coordinates; NaN outside the domain.
        colours: Of all panels.
    """
    label = label_of(problem, unknown)
    lines = {name: axes[name] for name in problem.domain.space}
    inside = _at_the_end(problem, values)
    return [
        *_slices(problem, unknown, label, axes, values, colours),
        _surface(unknown, lines, inside, colours),
    ]


def _at_the_end(problem: Problem, values: np.ndarray) -> np.ndarray:
    """Values in space alone."""
    domain = problem.domain
    if domain.time is None:
        return values
    return np.take(values, -1, axis=domain.coordinates.index(domain.time))


def _slices(
    problem: Problem,
    title: str,
    label: str,
    axes: dict[str, np.ndarray],
    values: np.ndarray,
    colours: Colours,
) -> list[Panel]:
    """Maps across each coordinate, the last one with a colour bar."""
    names, inside = problem.domain.space, _at_the_end(problem, values)
    is_error = title == "|error|"
    panels = []
    for plane in combinations(names, 2):
        (across,) = set(names) - set(plane)
        axis = names.index(across)
        middle = middle_of(inside, axis)
        image = np.take(inside, middle, axis=axis).T
        bar = None if len(panels) < 2 else f"|error| of {label}" if is_error else label
        named = f"{title}, {across} = {axes[across][middle]:.4g}"
        panels.append(map_panel(named, bar, axes, plane, image, colours, error=is_error))
    return panels


def middle_of(values: np.ndarray, axis: int) -> int:
    """Where a coordinate is cut: at its middle, or nearest to it, where most of the domain is.

    Args:
        values: On a grid; NaN outside the domain.
        axis: That of the coordinate.
    """
    areas = np.isfinite(np.moveaxis(values, axis, 0)).reshape(values.shape[axis], -1).sum(1)
    away = np.abs(np.arange(len(areas)) - len(areas) // 2)
    return int(np.argmin(np.where(areas >= areas.max() / 2, away, len(areas))))


def _surface(
    unknown: str, axes: dict[str, np.ndarray], values: np.ndarray, colours: Colours
) -> Panel:
    """The surface of the domain, of which the octant in front is taken out."""

    def panel(ax: "Axes") -> None:
        import matplotlib
        from mpl_toolkits.mplot3d.art3d import Poly3DCollection

        spec = ax.get_subplotspec()
        assert spec is not None and ax.figure is not None
        box: Any = ax.figure.add_subplot(spec, projection="3d")  # stubs are those of the plane
        ax.remove()
        corners, at = visible_faces([*axes.values()], values)
        shades = matplotlib.colormaps[colours.map](colours.norm(at))
        box.add_collection3d(
            Poly3DCollection(corners, facecolors=shades, edgecolors=shades, linewidths=0.2)
        )
        ends = [(line[0], line[-1]) for line in axes.values()]
        box.set(title=f"{unknown}, surface")
        box.set(**dict(zip(("xlim", "ylim", "zlim"), ends, strict=True)))
        box.set(**dict(zip(("xlabel", "ylabel", "zlabel"), axes, strict=True)))
        # A plate or a rod on one scale would leave no room for what its axes say.
        sides = np.array([high - low for low, high in ends])
        box.set_box_aspect(np.maximum(sides, sides.max() / 2).tolist(), zoom=1.1)
        for axis in ("x", "y", "z"):
            box.locator_params(axis=axis, nbins=3)

    return panel


def visible_faces(lines: list[np.ndarray], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces of the cells of a grid that bound the domain without its octant in front.

    Args:
        lines: The points of each of the three axes.
        values: At the points; NaN outside the domain. A cell with half of its corners inside
            belongs to it.

    Returns:
        Corners ``(f, 4, 3)`` of the faces that look towards the viewer, and the mean value ``(f,)``
        at each.
    """
    chosen = [_thinned(line.size) for line in lines]
    lines = [line[at] for line, at in zip(lines, chosen, strict=True)]
    values = values[np.ix_(*chosen)]
    shape = tuple(line.size - 1 for line in lines)
    known, total = np.zeros(shape, int), np.zeros(shape)
    for corner in np.ndindex(2, 2, 2):
        ends = tuple(slice(k, k + n) for k, n in zip(corner, shape, strict=True))  # of all cells
        known += np.isfinite(values[ends])
        total += np.nan_to_num(values[ends])
    cells = known >= 4  # with all eight, thin walls would have holes
    inside = total / np.maximum(known, 1)
    front = [
        slice(n // 2, None) if sign > 0 else slice(None, n // 2)
        for sign, n in zip(_SEEN, cells.shape, strict=True)
    ]
    cells[tuple(front)] = False
    solid = np.pad(cells, 1).astype(int)
    corners, means = [], []
    for axis, sign in enumerate(_SEEN):
        # A face looks along the axis where cells end in that direction.
        inner = tuple(slice(None) if k == axis else slice(1, -1) for k in range(3))
        found = np.argwhere(np.diff(solid, axis=axis)[inner] == -sign)
        others = [k for k in range(3) if k != axis]
        nodes = np.repeat(found[:, None], 4, axis=1)
        nodes[..., others] += np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
        corners.append(np.stack([line[nodes[..., k]] for k, line in enumerate(lines)], -1))
        owner = found - (np.arange(3) == axis) * (sign > 0)
        seen = values[tuple(np.moveaxis(nodes, -1, 0))]
        within = np.isfinite(seen).sum(-1)
        mean = np.nan_to_num(seen).sum(-1) / np.maximum(within, 1)
        means.append(np.where(within > 0, mean, inside[tuple(owner.T)]))
    return np.concatenate(corners), np.concatenate(means)


def _thinned(size: int) -> np.ndarray:
    """Which points of an axis the surface is drawn with, both ends among them."""
    return np.unique(np.linspace(0, size - 1, min(size, _CELLS + 1)).round().astype(int))
