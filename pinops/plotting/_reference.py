"""The figure of what is known of a problem before anything is trained."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pinops.data import cached_reference
from pinops.plotting._drawing import Rows, drawn
from pinops.plotting._grids import centred, cut_at, cut_coordinate, display_axes, exact_on, on_axes
from pinops.plotting._layouts import row_of_cuts
from pinops.plotting._panels import colours_of, label_of, lines_panel, map_panel
from pinops.plotting._space import row_of_space
from pinops.problem import Problem, name_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Small, so that a row of them is legible in a page; cuts share a colour bar.
_PANEL, _CUT = (2.9, 2.4), (2.2, 2.1)


def plot_reference(problem: Problem, path: str | Path | None = None) -> "Figure":
    """The reference solution of a problem, as a figure of its solution would show it.

    Of more than three coordinates, those beyond the second are held at the middle of their range.

    Args:
        problem: A problem, or a member of a family.
        path: Where the figure is written; None: nowhere.

    Raises:
        ValueError: Without a reference, and for one that is neither exact nor on a grid.
    """
    name, names = name_of(problem), problem.domain.coordinates
    axes, truth = _known(problem)
    time, colours = problem.domain.time, colours_of({u: [truth[u]] for u in truth})
    labels = {u: label_of(problem, u) for u in truth}
    rows: Rows = [[]]
    if len(names) == 1:
        (x,) = names
        rows[0] = [lines_panel(x, u, axes[x], {"reference": truth[u]}) for u in truth]
    elif len(names) == 3 and time is None:
        rows = [row_of_space(problem, u, axes, truth[u], colours[u]) for u in truth]
    elif len(names) == 3:
        along = cut_coordinate(problem)
        across, up = (other for other in names if other != along)
        cuts = cut_at(axes[along])
        order = [names.index(name) for name in (up, across, along)]
        at = np.searchsorted(axes[along], cuts)
        rows = [
            row_of_cuts(
                [f"{u}, {along} = {cut:.3g}" for cut in cuts],
                labels[u],
                axes,
                (across, up),
                np.transpose(truth[u], order)[..., at],
                colours[u],
            )
            for u in truth
        ]
    else:
        across, up = names[:2] if time is None else (time, *problem.domain.space)
        order = [names.index(name) for name in (up, across)]
        planes = {u: truth[u].reshape(truth[u].shape[:2]).transpose(order) for u in truth}
        rows[0] = [
            map_panel(labels[u], u, axes, (across, up), planes[u], colours[u]) for u in truth
        ]
    return drawn(name, rows, [], path, _PANEL if len(rows[0]) < 4 else _CUT)


def _known(problem: Problem) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Axes and values of the reference, NaN outside the domain; exact ones at fine points."""
    bounds = problem.domain.bounds
    if problem.exact is not None:
        axes = display_axes(problem)
        if len(axes) > 3:
            axes = {
                name: line if k < 2 else np.array([np.mean(bounds[name])])
                for k, (name, line) in enumerate(axes.items())
            }
        return axes, exact_on(problem, axes)
    reference = cached_reference(problem)
    placed = None if reference is None else on_axes(problem, reference)
    if placed is None:
        raise ValueError(
            f"{name_of(problem)} has no reference on a grid to draw; give it an exact solution, or "
            "plot what was solved"
        )
    axes, truth, _ = placed
    return axes, centred(problem, truth)
