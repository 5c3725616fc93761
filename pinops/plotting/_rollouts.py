"""The figure of the rollouts of a surrogate."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pinops.plotting._drawing import COLORS, Rollouts, Rows, drawn
from pinops.plotting._history import legend_beside, logarithmic, loss_panel
from pinops.plotting._panels import colours_of, error_colours, error_map, map_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_rollouts(
    trained: Rollouts,
    predicted: np.ndarray,
    truth: np.ndarray,
    labels: Sequence[str],
    path: str | Path | None = None,
) -> "Figure":
    """Trajectories of a surrogate beside the true ones, the growth of their errors, the training.

    There is a row for each unknown of the first, the middle and the last trajectory: space and time
    in one dimension, the middle snapshot in two, in the colours of all.

    Args:
        trained: The surrogate.
        predicted: Its trajectories ``(n, t, *grid, c)``.
        truth: The true ones, of the same shape.
        labels: What each trajectory is, such as "viscosity 0.01".
        path: Where the figure is written; None: nowhere.
    """
    names = trained.family.domain.coordinates
    time = names.index(trained.family.domain.time)
    first, steps = trained.grid.first, trained.grid.steps
    sizes = list(truth.shape[2:-1])
    sizes.insert(time, truth.shape[1])
    axes = {
        name: at + step * np.arange(n)
        for name, at, step, n in zip(names, first, steps, sizes, strict=True)
    }
    space = [name for name in names if name != names[time]]
    if len(space) == 1:
        chosen: tuple[Any, ...] = ()
        plane, when = (names[time], space[0]), ""
    else:  # the middle of time and of further axes
        middle, *others = (n // 2 for n in (truth.shape[1], *truth.shape[4:-1]))
        chosen = (middle, slice(None), slice(None), *others)
        plane, when = (space[0], space[1]), f" at {names[time]} = {axes[names[time]][middle]:.3g}"

    def image(field: np.ndarray) -> np.ndarray:
        """The plane of a trajectory that is shown, (up, across)."""
        return field[chosen].T

    shown = np.unique([0, len(labels) // 2, len(labels) - 1])
    unknowns = trained.family.unknowns
    # All rows share the colour map; a range of its own keeps a trajectory of small size visible.
    pairs = [(k, c) for k in shown for c in range(len(unknowns))]
    colours = colours_of({f"{k} {c}": [truth[k, ..., c]] for k, c in pairs})
    off = np.abs(predicted - truth)[shown]
    of_errors = {u: error_colours(off[..., c]) for c, u in enumerate(unknowns)}
    rows: Rows = []
    for k, c in pairs:
        unknown, norm = unknowns[c], colours[f"{k} {c}"]
        found, true = predicted[k, ..., c], truth[k, ..., c]
        error = of_errors[unknown]
        rows.append(
            [
                map_panel(
                    f"{unknown}{when}, {labels[k]}", unknown, axes, plane, image(found), norm
                ),
                map_panel("reference", unknown, axes, plane, image(true), norm),
                error_map(unknown, axes, plane, image(np.abs(found - true)), error),
            ]
        )
    rest = tuple(range(2, truth.ndim))
    growth = np.sqrt(
        np.mean((predicted - truth) ** 2, rest) / np.maximum(np.mean(truth**2, rest), 1e-300)
    )[:, 1:]

    def growing(ax: "Axes") -> None:
        for label, curve, color in zip(labels, growth, cycle(COLORS)):
            ax.plot(axes[names[time]][1:], curve, color=color, linewidth=1.3, label=label)
        logarithmic(ax)
        ax.set(title="error of a rollout", xlabel=names[time], ylabel="RMSE / RMS of the reference")
        legend_beside(ax)

    history = [growing, loss_panel(trained, "relative L2")] if trained.history else [growing]
    return drawn(
        f"{trained.request['problem']}, rollouts of {truth.shape[1] - 1} steps", rows, history, path
    )
