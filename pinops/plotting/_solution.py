"""The figure of a solution, and that of its history alone."""

from pathlib import Path
from typing import TYPE_CHECKING

from pinops.plotting._drawing import Drawable, drawn
from pinops.plotting._grids import grid_of
from pinops.plotting._history import history_panels
from pinops.plotting._layouts import (
    rows_of_curves,
    rows_of_cuts,
    rows_of_plane,
    rows_of_scattered,
    rows_of_space_time,
)
from pinops.plotting._space import rows_of_space
from pinops.reference import Reference

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_solution(
    solution: Drawable,
    path: str | Path | None = None,
    *,
    reference: Reference | None = None,
    of: str = "",
) -> "Figure":
    """Solution, reference, error and training history in one figure.

    One coordinate: curves. Two: maps, with cuts at several times where there is time. Three: maps
    at several times; three of space: slices through the middle and the surface. More, or scattered
    points: solution against reference, histogram of the error. Colours of |error| are logarithmic.
    An unknown that is determined up to a constant is shown without its mean.

    Args:
        solution: What is drawn.
        path: Where the figure is written; None: nowhere.
        reference: What it is compared with; None: its own reference.
        of: What it is a solution of, besides its problem, for the title: "one unseen member".
    """
    domain = solution.problem.domain
    layout = {1: rows_of_curves, 2: rows_of_space_time if domain.time else rows_of_plane}.get(
        len(domain.coordinates), rows_of_cuts
    )
    layout = rows_of_space if len(domain.space) == 3 else layout
    reference = solution.reference if reference is None else reference
    if reference is None:
        rows = layout(solution, None)
    else:
        grid = grid_of(solution, reference)
        rows = rows_of_scattered(solution, reference) if grid is None else layout(solution, grid)
        if grid is None and len(domain.space) == 3:
            rows = rows_of_space(solution, None) + rows
    history = history_panels(solution, reference)
    return drawn(_title(solution, reference, of), rows, history, path)


def plot_history(solution: Drawable, path: str | Path | None = None) -> "Figure":
    """Loss terms, errors and, for an inverse problem, coefficients over the steps.

    Args:
        solution: What was trained.
        path: Where the figure is written; None: nowhere.
    """
    reference = solution.reference
    return drawn(_title(solution, reference), [], history_panels(solution, reference), path)


def _title(solution: Drawable, reference: Reference | None, of: str = "") -> str:
    name = ", ".join(filter(None, (solution.request["problem"], of)))
    if reference is None:
        return name
    found = solution.error(reference)
    errors = ", ".join(f"{unknown} {error['mean']:.1e}" for unknown, error in found.items())
    return f"{name}, relative L2 error: {errors}"
