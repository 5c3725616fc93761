"""Panels of fields: maps, curves, and what is compared at scattered points."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pinops.plotting._drawing import COLORS, Drawable, Panel
from pinops.plotting._grids import Grid
from pinops.plotting._history import legend_beside
from pinops.problem import Observed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DECADES = 5  # of |error| that a map resolves
_ERROR = "|solution - reference|"


class Colours(NamedTuple):
    """From values to colours: a range, and the colour map."""

    norm: Any
    map: str


def colours_of(fields: Mapping[str, Sequence[np.ndarray | None]]) -> dict[str, Colours]:
    """The colours of every row of a figure, such as an unknown, from all arrays that it shows.

    One colour map for the whole figure: where all rows have both signs a diverging one,
    symmetric about zero; else a sequential one, since half of a diverging map would stay unused.
    """
    from matplotlib.colors import Normalize

    ranges = {}
    for unknown, arrays in fields.items():
        known = [array for array in arrays if array is not None]
        low = min(float(np.nanmin(array)) for array in known)
        ranges[unknown] = low, max(float(np.nanmax(array)) for array in known)
    if all(low < -0.05 * high and high > -0.05 * low for low, high in ranges.values()):
        tops = {unknown: max(-low, high) for unknown, (low, high) in ranges.items()}
        return {unknown: Colours(Normalize(-top, top), "coolwarm") for unknown, top in tops.items()}
    return {unknown: Colours(Normalize(*each), "viridis") for unknown, each in ranges.items()}


def colours_of_solution(
    solution: Drawable, values: Mapping[str, np.ndarray], grid: Grid | None
) -> dict[str, Colours]:
    """The colours of a solution and its reference."""
    truth = {} if grid is None else grid.truth
    return colours_of({u: (values[u], truth.get(u)) for u in solution.problem.unknowns})


def error_colours(error: np.ndarray) -> Colours:
    return Colours(_error_norm(error), "magma")


def _error_norm(error: np.ndarray) -> Any:
    """Logarithmic colours over whole decades, down to what nearly all points exceed."""
    from matplotlib.colors import LogNorm

    error = np.where(np.isfinite(error), error, np.nan)  # of a rollout that has diverged
    top = np.ceil(np.log10(max(float(np.nanmax(error)), 1e-16)))
    bottom = np.floor(np.log10(max(float(np.nanquantile(error, 0.05)), 1e-300)))
    return LogNorm(10.0 ** np.clip(bottom, top - _DECADES, top - 1), 10.0**top)


def label_of(solution: Drawable, unknown: str) -> str:
    return f"{unknown} (mean removed)" if unknown in solution.problem.gauge else unknown


def map_panel(
    title: str,
    bar: str | None,
    axes: dict[str, np.ndarray],
    plane: tuple[str, ...],
    image: np.ndarray,
    colours: Colours,
    *,
    error: bool = False,
    observed: dict[str, np.ndarray] | None = None,
) -> Panel:
    """A field over two coordinates.

    Args:
        title: Of the panel.
        bar: The name of the colour bar; None: without one.
        axes: The values of the coordinates.
        plane: The coordinates across and up.
        image: The field, (up, across).
        colours: From its values to colours.
        error: Whether it is |error|, whose small values are not told apart.
        observed: Where the field was observed.
    """
    across, up = plane

    def panel(ax: "Axes") -> None:
        from matplotlib.ticker import NullFormatter

        norm, cmap = colours
        shown = np.maximum(image, norm.vmin) if error else image
        mesh = ax.pcolormesh(
            axes[across], axes[up], shown, norm=norm, cmap=cmap, shading="nearest", rasterized=True
        )
        if observed:
            ax.plot(observed[across], observed[up], "k.", markersize=2, alpha=0.6)
        ax.set(
            title=f"{title}, observed at the dots" if observed else title, xlabel=across, ylabel=up
        )
        ax.set_xlim(axes[across][0], axes[across][-1])
        ax.set_ylim(axes[up][0], axes[up][-1])
        ax.locator_params(axis="x", nbins=4)
        if across != "t":
            ax.set_aspect("equal")
        if error and np.nanmax(image) <= norm.vmin:
            ax.text(
                0.5,
                0.5,
                f"below {norm.vmin:.0e}",
                color="white",
                ha="center",
                va="center",
                transform=ax.transAxes,
            )
        if bar is not None:
            inset = ax.inset_axes((1.03, 0.0, 0.05, 1.0))  # as high as the map, whatever its aspect
            ax.figure.colorbar(mesh, cax=inset, label=bar, extend="min" if error else "neither")
            if error:
                inset.yaxis.set_minor_formatter(NullFormatter())

    return panel


def error_map(
    unknown: str,
    axes: dict[str, np.ndarray],
    plane: tuple[str, ...],
    error: np.ndarray,
    colours: Colours | None = None,
) -> Panel:
    colours = error_colours(error) if colours is None else colours
    return map_panel(f"|error| of {unknown}", _ERROR, axes, plane, error, colours, error=True)


def lines_panel(
    name: str,
    unknown: str,
    x: np.ndarray,
    lines: dict[str, np.ndarray],
    at: np.ndarray | None = None,
    truth: np.ndarray | None = None,
) -> Panel:
    """Curves of the solution; the reference ``truth`` (n, curves) at ``at``, dashed on top."""

    def panel(ax: "Axes") -> None:
        import matplotlib

        shades = matplotlib.colormaps["viridis"](np.linspace(0.2, 0.9, len(lines)))
        for (label, values), shade in zip(lines.items(), shades, strict=True):
            ax.plot(x, values, color=shade, linewidth=1.8, label=label)
        if at is not None and truth is not None:
            dashed = ax.plot(at, truth, "k--", linewidth=0.9)
            dashed[0].set_label("reference")
        ax.set(title=f"{unknown} along {name}", xlabel=name, ylabel=unknown)
        legend_beside(ax)

    return panel


def error_curve(name: str, unknown: str, x: np.ndarray, error: np.ndarray) -> Panel:
    def panel(ax: "Axes") -> None:
        ax.semilogy(x, np.where(error > 0, error, np.nan), color=COLORS[1])
        ax.set(title=f"|error| of {unknown}", xlabel=name, ylabel=_ERROR)

    return panel


def parity_panel(unknown: str, truth: np.ndarray, found: np.ndarray, kind: str) -> Panel:
    def panel(ax: "Axes") -> None:
        ax.plot(truth, found, ".", color=COLORS[0], markersize=2, alpha=0.4, rasterized=True)
        ax.axline(
            (float(truth.mean()), float(truth.mean())),
            slope=1,
            color="black",
            linewidth=0.8,
            linestyle="--",
        )
        ax.set(
            title=f"{unknown} at {truth.size} points",
            xlabel=f"reference ({kind})",
            ylabel="solution",
        )

    return panel


def histogram_panel(unknown: str, error: np.ndarray) -> Panel:
    def panel(ax: "Axes") -> None:
        scale = _error_norm(error)
        bins = np.geomspace(scale.vmin / 10, scale.vmax, 50)
        ax.hist(np.clip(error, bins[0], None), bins=bins, color=COLORS[1])
        ax.set_xscale("log")
        ax.set(title=f"|error| of {unknown}", xlabel=_ERROR, ylabel="points")

    return panel


def observed_at(solution: Drawable, unknown: str) -> dict[str, np.ndarray] | None:
    """Where an unknown was observed."""
    conditions = [
        c for c in solution.problem.conditions() if isinstance(c, Observed) and unknown in c.values
    ]
    names = solution.problem.domain.coordinates
    return (
        {name: np.concatenate([c.coordinates[name] for c in conditions]) for name in names}
        if conditions
        else None
    )
