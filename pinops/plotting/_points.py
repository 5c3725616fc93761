"""The figures of maps and of surrogates of time steps on clouds and meshes."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pinops.geometry import Mesh, interpolation
from pinops.metrics import prediction_band
from pinops.plotting._animations import (
    Update,
    check_animation,
    curves_panel,
    shown_of,
    write_frames,
)
from pinops.plotting._calibration import banded
from pinops.plotting._drawing import COLORS, Panel, Rows, drawn
from pinops.plotting._history import legend_beside, logarithmic, loss_panels
from pinops.plotting._panels import (
    Colours,
    bar_beside,
    colours_of,
    error_colours,
    error_curve,
    in_proportion,
)
from pinops.problem import Problem
from pinops.training import PointSample, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 6.0  # of a point of a cloud
_ALONG = 300  # points of a section
_TIME = "t"  # what data call it; the coordinates of a family on points are those of space
Shown = Sequence[tuple[PointSample, np.ndarray]]
Frames = tuple[PointSample, np.ndarray, np.ndarray]  # a sample, the truth and the prediction


class OnPoints(Protocol):
    """What was trained on points, as far as its figures go."""

    @property
    def family(self) -> Problem: ...
    @property
    def history(self) -> Sequence[Report]: ...
    @property
    def request(self) -> Any: ...


def plot_points(
    trained: OnPoints,
    samples: Shown,
    path: str | Path | None = None,
    spreads: Sequence[np.ndarray] = (),
) -> "Figure":
    """Truth, prediction and error of some samples, a row for each unknown of each.

    On a line they are curves; of space one sees the plane of the first two coordinates, the points
    with the largest third one in front. Predictions with a spread are shown with it, and, of the
    plane, along a line with the band that holds 95 % of the truth, in place of the history of a
    training.

    Args:
        trained: The map.
        samples: With what is predicted of each, ``(m, c)``.
        path: Where the figure is written; None: nowhere.
        spreads: Standard deviations of the predictions of each sample, ``(m, c)``; empty where they
            are not known.
    """
    frames = [_still(sample, predicted) for sample, predicted in samples]
    rows = _rows(trained, frames, "", [])
    below = loss_panels(trained) if not spreads else []
    plane, unknowns = trained.family.domain.space[:2], trained.family.unknowns
    for number, spread in enumerate(spreads):
        sample, (truth,), (mean,) = frames[number]
        for c, name in enumerate(unknowns):
            colours = error_colours(np.abs(mean[:, c] - truth[:, c]))
            deviation = partial(_map, sample.mesh, plane, [], spread[None, :, c], colours)
            rows[number * len(unknowns) + c].append(
                partial(deviation, f"deviation of {name}", None)
            )
        if sample.mesh.cells is not None and sample.mesh.points.shape[1] == 2:
            columns = np.stack([truth[:, 0], mean[:, 0], spread[:, 0]], 1)
            below.append(_section(sample.mesh, columns, plane[0], unknowns[0], number))
    return drawn(_title(trained), rows, below, path)


def _section(mesh: Mesh, columns: np.ndarray, across: str, unknown: str, number: int) -> Panel:
    """Truth and prediction of an unknown along a line through the middle, with the band; columns
    are the truth, the mean and the deviation at the points.
    """
    low, high = mesh.points.min(0), mesh.points.max(0)
    x = np.linspace(low[0], high[0], _ALONG)
    at = np.stack([x, np.full(_ALONG, (low[1] + high[1]) / 2)], 1)
    known = interpolation(mesh, at) @ columns
    truth, mean, spread = np.where(mesh.signed_distance(at) <= 0, known.T, np.nan)
    bands = {"95 %": prediction_band(0.95, mean=mean, spread=spread)}
    title = f"sample {number} along a line"
    return banded(across, unknown, title, x, mean, bands, truth, legend=True)


def plot_point_rollouts(
    trained: OnPoints,
    samples: Shown,
    times: np.ndarray,
    errors: Mapping[str, Sequence[float]],
    path: str | Path | None = None,
) -> "Figure":
    """The last snapshot of some trajectories as in `plot_points`, errors by lead time, and the
    training.

    Args:
        trained: The surrogate.
        samples: With values and rollouts ``(m, t, c)``.
        times: Of the snapshots.
        errors: By "steps" and unknown, a number for each predicted snapshot.
        path: Where the figure is written; None: nowhere.
    """
    last = [_chosen(sample, predicted, [-1]) for sample, predicted in samples]
    rows = _rows(trained, last, f" at {_TIME} = {times[-1]:.3g}", [])
    below = [_growing(errors, trained.family.unknowns)]
    below += loss_panels(trained, "relative L2")
    return drawn(_title(trained), rows, below, path)


def animate_point_rollouts(
    trained: OnPoints,
    samples: Shown,
    times: np.ndarray,
    path: str | Path,
    *,
    seconds: float = 5.0,
) -> Path:
    """Rollouts on clouds and meshes over time, beside the true trajectories and the error, as in
    `plot_points`.

    Args:
        trained: The surrogate.
        samples: With values and rollouts ``(m, t, c)``.
        times: Of the snapshots.
        path: The file, ``.gif`` or, where ffmpeg is installed, ``.mp4``.
        seconds: How long it lasts, at most 60.

    Returns:
        The path.

    Raises:
        ValueError: For another suffix, ``.mp4`` without ffmpeg, and a duration out of range.
    """
    path = Path(path)
    check_animation(path, seconds)
    some, updates = shown_of(len(times), seconds), []
    frames = [_chosen(sample, predicted, some) for sample, predicted in samples]
    rows = _rows(trained, frames, "", updates)
    write_frames(f"{_title(trained)}, rollouts", _TIME, times[some], rows, updates, path, seconds)
    return path


def _title(trained: OnPoints) -> str:
    return trained.request["problem"]


def _still(sample: PointSample, predicted: np.ndarray) -> Frames:
    """The truth and the prediction ``(m, c)`` as those of one time, ``(1, m, c)``."""
    assert sample.values is not None
    return sample, sample.values[None], predicted[None]


def _chosen(sample: PointSample, predicted: np.ndarray, some: Any) -> Frames:
    """The truth and the prediction ``(m, t, c)`` at some times, which come first then."""
    assert sample.values is not None
    truth, guess = (np.moveaxis(array[:, some], 1, 0) for array in (sample.values, predicted))
    return sample, truth, guess


def _rows(
    trained: OnPoints,
    frames: Sequence[Frames],
    when: str,
    updates: list[Update],
) -> Rows:
    """A row for each unknown of each sample.

    Args:
        trained: What was trained.
        frames: Samples with the truth and the prediction ``(t, m, c)``.
        when: At which time, for the titles.
        updates: To which the panels add how they show another time.
    """
    domain, unknowns, rows = trained.family.domain, trained.family.unknowns, []
    across, *_ = plane = domain.space[:2]
    pairs = [(number, c) for number in range(len(frames)) for c in range(len(unknowns))]
    colours = colours_of({f"{k} {c}": [frames[k][1][..., c]] for k, c in pairs})
    for number, c in pairs:
        sample, whole, guesses = frames[number]
        name, truth, guess = unknowns[c], whole[..., c], guesses[..., c]
        named, error = f"{name}{when}, sample {number}", np.abs(guess - truth)
        if len(domain.space) == 1:
            order = np.argsort(sample.mesh.points[:, 0])
            x = sample.mesh.points[order, 0]
            found = guess[:, order], truth[:, order]
            rows.append([curves_panel(named, across, x, *found, updates)])
            if len(error) == 1:
                rows[-1].append(error_curve(across, name, x, error[0, order]))
            continue
        norm, panel = colours[f"{number} {c}"], partial(_map, sample.mesh, plane, updates)
        rows.append(
            [
                partial(panel, truth, norm, named, name),
                partial(panel, guess, norm, "predicted", ""),
                partial(panel, error, error_colours(error), f"|error| of {name}", None),
            ]
        )
    return rows


def _growing(errors: Mapping[str, Sequence[float]], unknowns: Sequence[str]) -> Panel:
    """The error of each unknown after each step."""

    def panel(ax: "Axes") -> None:
        marker = "." if len(errors["steps"]) < 20 else ""
        for name, colour in zip(unknowns, cycle(COLORS)):
            style = {"color": colour, "linewidth": 1.3, "marker": marker}
            ax.plot(errors["steps"], errors[name], label=name, **style)
        logarithmic(ax)
        ax.locator_params(axis="x", integer=True)
        ax.set(title="error of a rollout", xlabel="steps", ylabel="RMSE / RMS of the reference")
        legend_beside(ax)

    return panel


def _map(
    mesh: Mesh,
    plane: Sequence[str],
    updates: list[Update],
    frames: np.ndarray,
    colours: Colours,
    title: str,
    bar: str | None,
    axes: "Axes",
) -> None:
    """Values ``(t, m)`` in triangles of the plane, or at the points of a cloud; |error| where there
    is no name for the bar. Where a value is missing, nothing is drawn.
    """
    error, (x, y) = bar is None, mesh.points[:, :2].T
    shown = np.maximum(frames, colours.norm.vmin) if error else frames
    shown = np.ma.masked_invalid(shown)
    options: dict[str, Any] = {"cmap": colours.map, "norm": colours.norm}
    triangles, order = _triangles(mesh), slice(None)
    if triangles is not None:
        image = axes.tripcolor(
            x, y, np.zeros(len(x)), triangles=triangles, shading="gouraud", **options
        )
        image.set_array(shown[0])
    else:
        order = np.argsort(mesh.points[:, -1], kind="stable") if mesh.points.shape[1] > 2 else order
        image = axes.scatter(x[order], y[order], c=shown[0, order], s=_SIZE, **options)
    axes.set(title=title, xlabel=plane[0], ylabel=plane[1])
    axes.locator_params(axis="x", nbins=4)
    in_proportion(axes, x, y)
    bar_beside(axes, image, bar or "", error=error)

    def update(k: int) -> None:
        image.set_array(shown[k, order])

    updates.append(update)


def _triangles(mesh: Mesh) -> np.ndarray | None:
    """The triangles of a mesh of the plane, two of each quadrilateral; None for other samples."""
    cells = mesh.cells
    if cells is None or mesh.points.shape[1] != 2 or not len(cells):
        return None
    return cells if cells.shape[1] == 3 else np.concatenate([cells[:, :3], cells[:, [0, 2, 3]]])
