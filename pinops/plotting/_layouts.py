"""Layouts: the rows of panels of a solution, by the number of its coordinates."""

from collections.abc import Sequence

import numpy as np

from pinops.plotting._drawing import Drawable, Panel, Rows
from pinops.plotting._grids import Grid, cut_at, cut_coordinate, display_axes, evaluated
from pinops.plotting._panels import (
    Colours,
    colours_of_solution,
    error_colours,
    error_curve,
    error_map,
    histogram_panel,
    label_of,
    lines_panel,
    map_panel,
    observed_at,
    parity_panel,
)
from pinops.reference import Reference


def rows_of_curves(solution: Drawable, grid: Grid | None) -> Rows:
    """One coordinate: solution on reference, |error|."""
    (name,) = solution.problem.domain.coordinates
    x = display_axes(solution.problem)[name]
    values = evaluated(solution, {name: x})
    deviation = solution.deviation
    spread = {} if deviation is None else evaluated(deviation, {name: x})
    rows: Rows = []
    for u in solution.problem.unknowns:
        known = None if grid is None else grid.truth.get(u)
        at = None if grid is None else grid.axes[name]
        seen = observed_at(solution, u)
        measured = None if seen is None else (seen[0][name], seen[1])
        band = spread.get(u)
        row = [lines_panel(name, u, x, {"solution": values[u]}, at, known, measured, band)]
        if grid is not None and known is not None:
            row.append(error_curve(name, u, grid.axes[name], grid.error(u)))
        rows.append(row)
    return rows


def rows_of_plane(solution: Drawable, grid: Grid | None) -> Rows:
    """Two coordinates of space: maps of solution, reference and |error|."""
    plane = solution.problem.domain.coordinates
    axes = display_axes(solution.problem)
    values = evaluated(solution, axes)
    colours = colours_of_solution(solution, values, grid)
    rows: Rows = []
    for u in solution.problem.unknowns:
        truth = None if grid is None else grid.truth.get(u)
        label, norm = label_of(solution.problem, u), colours[u]
        row = [
            map_panel(label, u, axes, plane, values[u].T, norm, observed=observed_at(solution, u))
        ]
        if grid is not None and truth is not None:
            row.append(
                map_panel(f"{u}, reference ({grid.kind})", "", grid.axes, plane, truth.T, norm)
            )
            row.append(error_map(u, grid.axes, plane, grid.error(u).T))
        if solution.deviation is not None:
            row.append(
                error_map(u, axes, plane, evaluated(solution.deviation, axes)[u].T, what="spread")
            )
        rows.append(row)
    return rows


def rows_of_space_time(solution: Drawable, grid: Grid | None) -> Rows:
    """Time and one coordinate of space: maps of solution and |error|, and cuts at several times."""
    domain = solution.problem.domain
    (space,) = domain.space
    (time,) = set(domain.coordinates) - {space}
    plane, along = (time, space), domain.coordinates.index(time)

    def image(array: np.ndarray) -> np.ndarray:
        """Axes (space, time), whatever their order in the domain."""
        return np.moveaxis(array, along, 1)

    axes = display_axes(solution.problem)
    values = evaluated(solution, axes)
    times = cut_at((axes if grid is None else grid.axes)[time])
    cuts = evaluated(solution, axes | {time: times})
    colours = colours_of_solution(solution, values, grid)
    rows: Rows = []
    for u in solution.problem.unknowns:
        truth = None if grid is None else grid.truth.get(u)
        label = label_of(solution.problem, u)
        norm, observed = colours[u], observed_at(solution, u)
        row = [map_panel(label, u, axes, plane, image(values[u]), norm, observed=observed)]
        lines = {
            f"{time} = {at:.3g}": curve for at, curve in zip(times, image(cuts[u]).T, strict=True)
        }
        if grid is None or truth is None:
            row.append(lines_panel(space, label, axes[space], lines))
        else:
            row.append(error_map(u, grid.axes, plane, image(grid.error(u))))
            curves = image(truth)[:, np.searchsorted(grid.axes[time], times)]
            row.append(lines_panel(space, label, axes[space], lines, grid.axes[space], curves))
        if solution.deviation is not None:
            spread = image(evaluated(solution.deviation, axes)[u])
            row.append(error_map(u, axes, plane, spread, what="spread"))
        rows.append(row)
    return rows


def rows_of_cuts(solution: Drawable, grid: Grid | None) -> Rows:
    """Three coordinates: maps at several times, of the solution and of |error| for each unknown.

    Without reference also for more coordinates: those beyond are held at the middle of their range.
    """
    domain = solution.problem.domain
    along = cut_coordinate(solution.problem)
    across, up, *others = [name for name in domain.space if name != along]
    plane = (across, up)
    axes = display_axes(solution.problem)
    cuts = cut_at((axes if grid is None else grid.axes)[along])
    axes |= {along: cuts} | {name: np.array([np.mean(domain.bounds[name])]) for name in others}
    order = [domain.coordinates.index(name) for name in (up, across, along, *others)]
    values = evaluated(solution, axes)
    held = "".join(f", {name} = {axes[name][0]:.3g}" for name in others)
    titles = [f"{along} = {at:.3g}{held}" for at in cuts]
    colours = colours_of_solution(solution, values, grid)
    rows: Rows = []
    for u in solution.problem.unknowns:
        images = np.transpose(values[u], order).reshape(axes[up].size, axes[across].size, cuts.size)
        named = [f"{u}, {title}" for title in titles]
        rows.append(
            row_of_cuts(named, label_of(solution.problem, u), axes, plane, images, colours[u])
        )
        if grid is not None and u in grid.truth:
            at = np.searchsorted(grid.axes[along], cuts)
            errors = np.transpose(grid.error(u), order)[..., at]
            named = [f"|error|, {title}" for title in titles]
            norm = error_colours(errors)
            rows.append(row_of_cuts(named, f"|error| of {u}", grid.axes, plane, errors, norm, True))
    return rows


def row_of_cuts(
    titles: Sequence[str],
    bar: str,
    axes: dict[str, np.ndarray],
    plane: tuple[str, ...],
    images: np.ndarray,
    colours: Colours,
    error: bool = False,
) -> list[Panel]:
    """Maps in the same colours side by side, with one colour bar; images ``(up, across, cut)``."""
    bars = [*[None] * (len(titles) - 1), bar]
    return [
        map_panel(title, name, axes, plane, images[..., k], colours, error=error)
        for k, (title, name) in enumerate(zip(titles, bars, strict=True))
    ]


def rows_of_scattered(solution: Drawable, reference: Reference) -> Rows:
    """Many coordinates or scattered points: solution against reference, histogram of |error|."""
    values = solution.values(reference.coordinates)
    rows: Rows = []
    for u, truth in reference.values.items():
        inside = np.isfinite(truth)
        found, true = values[u][inside], truth[inside]
        if u in solution.problem.gauge:
            found, true = found - found.mean(), true - true.mean()
        rows.append(
            [
                parity_panel(label_of(solution.problem, u), true, found, reference.kind),
                histogram_panel(u, np.abs(found - true)),
            ]
        )
    return rows
