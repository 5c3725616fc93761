"""Figures of error bars: whether they are as large as errors, and bands along a line."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from pinops.metrics import Calibration
from pinops.plotting._drawing import COLORS, Panel, drawn
from pinops.plotting._history import legend_beside

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL = (2.9, 2.6)
_COLUMNS = 3  # of panels with fields

Band = tuple[Float[np.ndarray, "n l"], Float[np.ndarray, "n l"]]


def plot_calibration(
    results: Calibration | Mapping[str, Calibration], path: str | Path | None = None
) -> "Figure":
    """Reliability, the widths that it costs, and a histogram of ranks for each result.

    Args:
        results: What `metrics.calibration` gives; several by name, which are compared.
        path: Where the figure is written; None: nowhere.

    Raises:
        ValueError: Without any result.
    """
    named = {"": results} if isinstance(results, Calibration) else dict(results)
    if not named:
        raise ValueError("plot_calibration: results must have at least one calibration, got none")
    histograms = [
        _histogram(name, result, color)
        for (name, result), color in zip(named.items(), cycle(COLORS))
    ]
    above = [_reliability(named), _widths(named)]
    rows = [above + histograms] if len(named) == 1 else [above, histograms]
    return drawn("calibration", rows, [], path, _PANEL)


def _reliability(named: Mapping[str, Calibration]) -> Panel:
    """How many values the bands hold, against how many they should."""

    def panel(ax: "Axes") -> None:
        ax.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--")
        for result, color in zip(named.values(), cycle(COLORS)):
            levels = [0.0, *result.coverage]
            ax.plot(levels, [0.0, *result.coverage.values()], color=color, linewidth=1.3)
        ax.set(title="reliability", xlabel="level of the band", ylabel="share of the truth inside")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.set_aspect("equal")
        ax.text(0.03, 0.93, "not sure enough", fontsize="small", color="0.4")
        ax.text(0.97, 0.05, "too sure", fontsize="small", color="0.4", ha="right")

    return panel


def _widths(named: Mapping[str, Calibration]) -> Panel:
    """What the bands cost: their mean width by level, over the error of the mean."""

    def panel(ax: "Axes") -> None:
        for (name, result), color in zip(named.items(), cycle(COLORS)):
            over = [0.0, *(width / result.rmse for width in result.width.values())]
            ax.plot([0.0, *result.width], over, color=color, linewidth=1.3, label=name)
        ax.set(title="width of the bands", xlabel="level of the band", ylabel="mean width / RMSE")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, None)
        if len(named) > 1:
            ax.legend(loc="upper left", handlelength=1.4, frameon=False)

    return panel


def _histogram(name: str, result: Calibration, color: str) -> Panel:
    """The shares of the ranks, or of the probability integral transform."""
    shares, ensemble = result.histogram, result.members is not None
    what = "rank histogram" if ensemble else "PIT histogram"

    def panel(ax: "Axes") -> None:
        count = len(shares)
        if ensemble:
            ax.bar(np.arange(count), shares, width=0.9, color=color)
            ax.set_xlabel(f"members below the truth, of {count - 1}")
            ax.locator_params(axis="x", integer=True)
        else:
            ax.bar((np.arange(count) + 0.5) / count, shares, width=0.9 / count, color=color)
            ax.set_xlabel("probability integral transform")
        ax.axhline(1 / count, color="black", linewidth=0.8, linestyle="--")
        ax.set(title=f"{what}\n{name}" if name else what, ylabel="share")

    return panel


def plot_bands(
    coordinate: Mapping[str, Float[np.ndarray, " l"]],
    mean: Float[np.ndarray, "n l"],
    bands: Mapping[str, Band],
    truth: Float[np.ndarray, "n l"] | None = None,
    *,
    unknown: str = "u",
    titles: Sequence[str] = (),
    path: str | Path | None = None,
) -> "Figure":
    """Fields along a line with their bands, a panel for each sample.

    Args:
        coordinate: The name of the line and its points: ``{"x": x}``.
        mean: What is predicted, ``(n, l)``.
        bands: Lower and upper ends ``(n, l)`` by name, such as "90 %": those of
            `metrics.prediction_band` or of `metrics.conformal`. Narrow ones are drawn darker.
        truth: What is true, ``(n, l)``: dashed.
        unknown: The name of the field.
        titles: Of the panels; default: "sample 0", "sample 1", ...
        path: Where the figure is written; None: nowhere.

    Raises:
        ValueError: For arrays that do not fit.
    """
    ((name, line),) = coordinate.items()
    x, centre = np.ravel(line), np.asarray(mean)
    for what, array in (
        ("mean", centre),
        *((f"band {label}", np.asarray(end)) for label, ends in bands.items() for end in ends),
        *([] if truth is None else [("truth", np.asarray(truth))]),
    ):
        if array.shape != centre.shape or array.ndim != 2 or array.shape[1] != len(x):
            raise ValueError(
                f"plot_bands: {what} must have a row of the {len(x)} points of {name} for each of "
                f"the {len(centre)} samples, got {array.shape}"
            )
    shown = list(titles) or [f"sample {k}" for k in range(len(centre))]
    wide = sorted(bands.items(), key=lambda band: -np.nanmean(band[1][1] - band[1][0]))
    last = len(centre) - 1
    panels = [
        banded(
            name,
            unknown,
            title,
            x,
            centre[k],
            {label: (low[k], high[k]) for label, (low, high) in wide},
            None if truth is None else np.asarray(truth)[k],
            legend=k == min(last, _COLUMNS - 1),
        )
        for k, title in enumerate(shown)
    ]
    rows = [panels[k : k + _COLUMNS] for k in range(0, len(panels), _COLUMNS)]
    return drawn(f"{unknown} along {name}", rows, [], path, _PANEL)


def banded(
    name: str,
    unknown: str,
    title: str,
    x: np.ndarray,
    mean: np.ndarray,
    bands: Mapping[str, tuple[np.ndarray, np.ndarray]],
    truth: np.ndarray | None,
    *,
    legend: bool,
) -> Panel:
    """The panel of one sample along a line; ``bands`` from wide to narrow."""
    shades = np.linspace(0.25, 0.55, len(bands))

    def panel(ax: "Axes") -> None:
        from matplotlib.colors import to_rgb

        full = np.array(to_rgb(COLORS[0]))
        for (label, (low, high)), shade in zip(bands.items(), shades, strict=True):
            # Mixed with white and opaque: of transparent bands the colours would add up.
            tint = tuple(1 - shade * (1 - full))
            ax.fill_between(x, low, high, color=tint, linewidth=0, label=label)
        ax.plot(x, mean, color=COLORS[0], linewidth=1.4, label="mean")
        if truth is not None:
            ax.plot(x, truth, "k--", linewidth=0.9, label="truth")
        ax.set(title=title, xlabel=name, ylabel=unknown)
        ax.set_xlim(x[0], x[-1])
        if legend:
            legend_beside(ax)

    return panel
