"""The figure of the rollouts of a surrogate."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pinops.metrics import snapshot_errors, spectrum
from pinops.plotting._drawing import COLORS, Panel, Rollouts, Rows, drawn
from pinops.plotting._history import legend_beside, logarithmic, loss_panels
from pinops.plotting._panels import (
    colours_of,
    error_colours,
    error_map,
    held_at,
    map_panel,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_rollouts(
    trained: Rollouts,
    predicted: np.ndarray,
    truth: np.ndarray,
    labels: Sequence[str],
    path: str | Path | None = None,
    spread: np.ndarray | None = None,
) -> "Figure":
    """Trajectories of a surrogate beside the true ones, their errors by lead time and by wave
    number, and the training.

    There is a row for each unknown of the first, the middle and the last trajectory: space and time
    in one dimension, the middle snapshot in two, in the colours of all.

    Args:
        trained: The surrogate.
        predicted: Its trajectories ``(n, t, *grid, c)``.
        truth: The true ones, of the same shape.
        labels: What each trajectory is, such as "viscosity 0.01".
        path: Where the figure is written; None: nowhere.
        spread: The standard deviation of the trajectories over members; None: there is one
            surrogate.
    """
    names = trained.family.domain.coordinates
    time = names.index(trained.family.domain.time)
    axes = axes_of_rollouts(trained, truth.shape)
    space = [name for name in names if name != names[time]]
    if len(space) == 1:
        chosen: tuple[Any, ...] = ()
        plane, when = (names[time], space[0]), ""
    else:  # the middle of time and of further axes
        middle, *others = (n // 2 for n in (truth.shape[1], *truth.shape[4:-1]))
        chosen = (middle, slice(None), slice(None), *others)
        plane, when = (space[0], space[1]), f" at {names[time]} = {axes[names[time]][middle]:.3g}"
        when += held_at(axes, space[2:])

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
    given = trained.given
    if spread is not None:  # of the true snapshots there is none
        spread = np.concatenate([np.zeros_like(truth[:, :given]), spread[:, given:]], 1)
    for k, c in pairs:
        unknown, norm = unknowns[c], colours[f"{k} {c}"]
        found, true = predicted[k, ..., c], truth[k, ..., c]
        error = of_errors[unknown]
        rows.append(
            [
                map_panel(
                    f"{unknown}{when}\n{labels[k]}", unknown, axes, plane, image(found), norm
                ),
                map_panel("reference", "", axes, plane, image(true), norm),
                error_map(unknown, axes, plane, image(np.abs(found - true)), error),
            ]
        )
        if spread is not None:
            rows[-1].append(
                error_map(unknown, axes, plane, image(spread[k, ..., c]), error, "spread")
            )
    later = axes[names[time]][given:]
    off = (predicted - truth)[:, given:]
    errors = snapshot_errors(predicted, truth)[:, given:]
    below = [
        _growing(names[time], later, errors, labels, unknowns),
        _by_wave_number(truth[:, given:], off, unknowns),
    ]
    below += loss_panels(trained, "relative L2")
    return drawn(
        f"{trained.request['problem']}, rollouts of {truth.shape[1] - given} steps",
        rows,
        below,
        path,
    )


def axes_of_rollouts(trained: Rollouts, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The points of each coordinate of trajectories of this shape, ``(n, t, *grid, c)``."""
    domain, grid = trained.family.domain, trained.grid
    sizes = list(shape[2:-1])
    sizes.insert(domain.coordinates.index(domain.time), shape[1])
    return {
        name: at + step * np.arange(n)
        for name, at, step, n in zip(domain.coordinates, grid.first, grid.steps, sizes, strict=True)
    }


def _growing(
    time: str,
    times: np.ndarray,
    errors: np.ndarray,
    labels: Sequence[str],
    unknowns: Sequence[str],
) -> Panel:
    """The error of each trajectory over time, and with several unknowns the mean of each.

    Args:
        time: The name of the coordinate.
        times: Of the predicted snapshots, ``(t,)``.
        errors: Relative ones, ``(n, t, c)``.
        labels: Of the trajectories.
        unknowns: Their names.
    """
    curves = list(zip(labels, errors.mean(-1), strict=True))
    if len(unknowns) > 1:
        curves += [(f"{u}, mean", errors[..., c].mean(0)) for c, u in enumerate(unknowns)]

    def panel(ax: "Axes") -> None:
        for k, (label, curve) in enumerate(curves):
            color, style = COLORS[k % len(COLORS)], "-" if k < len(labels) else "--"
            ax.plot(times, curve, style, color=color, linewidth=1.3, label=label)
        logarithmic(ax)
        ax.set(title="error of a rollout", xlabel=time, ylabel="RMSE / RMS of the reference")
        legend_beside(ax)

    return panel


def _by_wave_number(truth: np.ndarray, off: np.ndarray, unknowns: Sequence[str]) -> Panel:
    """The spectrum of each unknown, dashed, and that of its error.

    Args:
        truth: The predicted part of the true trajectories, ``(n, t, *grid, c)``.
        off: Their errors.
        unknowns: Their names.
    """
    solutions, errors = spectrum(truth), spectrum(off)

    def panel(ax: "Axes") -> None:
        for c, (unknown, color) in enumerate(zip(unknowns, cycle(COLORS))):
            for curves, style, label in (
                (solutions, "--", unknown),
                (errors, "-", f"error of {unknown}"),
            ):
                ax.plot(curves[:, c], style, color=color, linewidth=1.3, label=label)
        logarithmic(ax)
        ax.set(title="spectrum", xlabel="wave number", ylabel="root mean square")
        legend_beside(ax)

    return panel
