"""The figure of a map on clouds and meshes."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pinops.plotting._drawing import Rows, drawn
from pinops.plotting._history import loss_panel
from pinops.training import PointSample, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 6.0  # of a point of a cloud


class OnPoints(Protocol):
    """A map on points, as far as its figure goes."""

    @property
    def history(self) -> Sequence[Report]: ...
    @property
    def request(self) -> Any: ...


def plot_points(
    trained: OnPoints,
    samples: Sequence[tuple[PointSample, np.ndarray]],
    unknowns: Sequence[str],
    path: str | Path | None = None,
) -> "Figure":
    """Truth, prediction and error of some samples, a row for each unknown of each.

    Args:
        trained: The map.
        samples: Samples of the plane, or of space seen along its last axis, with what is predicted.
        unknowns: The names of the outputs.
        path: Where the figure is written; None: nowhere.
    """
    rows: Rows = []
    for number, (sample, predicted) in enumerate(samples):
        assert sample.values is not None
        for k, name in enumerate(unknowns):
            truth, guess = sample.values[:, k], predicted[:, k]
            limits = (float(np.nanmin(truth)), float(np.nanmax(truth)))
            rows.append(
                [
                    partial(_map, sample, truth, limits, f"{name}, sample {number}"),
                    partial(_map, sample, guess, limits, "predicted"),
                    partial(_map, sample, np.abs(guess - truth), None, "error"),
                ]
            )
    return drawn(trained.request["problem"], rows, [loss_panel(trained)], path)


def _map(
    sample: PointSample,
    values: np.ndarray,
    limits: tuple[float, float] | None,
    title: str,
    axes: "Axes",
) -> None:
    """Values in triangles of the plane, or at the points of a cloud."""
    mesh = sample.mesh
    low, high = limits or (0.0, float(np.nanmax(values)))
    x, y = mesh.points[:, 0], mesh.points[:, 1] if mesh.points.shape[1] > 1 else values
    if mesh.cells is not None and mesh.points.shape[1] == 2 and mesh.cells.shape[1] == 3:
        finite = np.where(np.isfinite(values), values, low)
        image = axes.tripcolor(
            x, y, finite, triangles=mesh.cells, shading="gouraud", vmin=low, vmax=high
        )
    else:
        image = axes.scatter(x, y, c=values, s=_SIZE, vmin=low, vmax=high)
    axes.set_aspect("equal")
    axes.set_title(title)
    assert axes.figure is not None
    axes.figure.colorbar(image, ax=axes)
