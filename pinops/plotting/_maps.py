"""The figure of a steady map on a grid."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pinops.plotting._drawing import Maps, Rows, drawn
from pinops.plotting._history import loss_panels
from pinops.plotting._panels import (
    colours_of,
    error_colours,
    error_curve,
    error_map,
    held_at,
    lines_panel,
    map_panel,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_maps(
    trained: Maps,
    axes: dict[str, np.ndarray],
    predicted: np.ndarray,
    truth: np.ndarray,
    path: str | Path | None = None,
    spread: np.ndarray | None = None,
) -> "Figure":
    """Outputs of a map beside the true ones, in a row for each sample and unknown; the training.

    Of more than two axes the middle of the others is shown.

    Args:
        trained: The map.
        axes: The points of each coordinate.
        predicted: Its outputs ``(n, *grid, c)``.
        truth: The true ones, of the same shape.
        path: Where the figure is written; None: nowhere.
        spread: The standard deviation of the outputs over members; None: there is one map.
    """
    unknowns, names = trained.family.unknowns, list(axes)
    middle = tuple(len(axes[name]) // 2 for name in names[2:])
    held = held_at(axes, names[2:])
    rows: Rows = []
    pairs = [(k, c) for k in range(len(truth)) for c in range(len(unknowns))]
    colours = colours_of({f"{k} {c}": [truth[k, ..., c]] for k, c in pairs})
    off = np.abs(predicted - truth)
    of_errors = {u: error_colours(off[..., c]) for c, u in enumerate(unknowns)}
    for k, c in pairs:
        unknown, label = unknowns[c], f"{unknowns[c]}{held}, sample {k}"
        found, true, error = (array[k, ..., c] for array in (predicted, truth, off))
        if len(names) == 1:
            (name,) = names
            curves = lines_panel(
                name,
                unknown,
                axes[name],
                {label: found},
                axes[name],
                true[:, None],
                spread=None if spread is None else spread[k, ..., c],
            )
            rows.append([curves, error_curve(name, unknown, axes[name], error)])
            continue
        chosen = (slice(None), slice(None), *middle)
        plane, norm = (names[0], names[1]), colours[f"{k} {c}"]
        rows.append(
            [
                map_panel(label, unknown, axes, plane, found[chosen].T, norm),
                map_panel("truth", "", axes, plane, true[chosen].T, norm),
                error_map(unknown, axes, plane, error[chosen].T, of_errors[unknown]),
            ]
        )
        if spread is not None:
            image = spread[k, ..., c][chosen].T
            rows[-1].append(error_map(unknown, axes, plane, image, of_errors[unknown], "spread"))
    norm = trained.request.get("loss")
    measure = "mean square" if norm is None else f"relative {norm} error"
    measure = "loss term" if norm is not None and trained.request["physics"] else measure
    history = loss_panels(trained, measure)
    return drawn(f"{trained.request['problem']}, test samples", rows, history, path)
