"""Panels of fields: maps, curves, and what is compared at scattered points."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pinops.plotting._drawing import COLORS, Drawable, Panel
from pinops.plotting._grids import Grid
from pinops.plotting._history import legend_beside, logarithmic
from pinops.problem import Observed, Problem

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LONGEST = 4  # a side of a map on one scale, in units of the other
_BRIEF = 24  # characters above a colour bar
_DECADES = 5  # of |error| that a map resolves
_EXACT = 1e-16  # the scale of errors that are all zero
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
        ranges[unknown] = range_of(*(array for array in arrays if array is not None))
    if all(low < -0.05 * high and high > -0.05 * low for low, high in ranges.values()):
        tops = {unknown: max(-low, high) for unknown, (low, high) in ranges.items()}
        return {unknown: Colours(Normalize(-top, top), "coolwarm") for unknown, top in tops.items()}
    return {unknown: Colours(Normalize(*each), "viridis") for unknown, each in ranges.items()}


def range_of(*arrays: np.ndarray) -> tuple[float, float]:
    """The least and the largest finite value; 0 and 0 where there is none."""
    known = np.concatenate([array[np.isfinite(array)] for array in arrays])
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


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

    # Of a rollout that has diverged, or that begins with the truth, only the errors between.
    known = error[np.isfinite(error) & (error > 0)]
    known = known if known.size else np.full(1, _EXACT)
    top = np.ceil(np.log10(known.max()))
    bottom = np.floor(np.log10(np.quantile(known, 0.05)))
    return LogNorm(10.0 ** np.clip(bottom, top - _DECADES, top - 1), 10.0**top)


def label_of(problem: Problem, unknown: str) -> str:
    return f"{unknown} (mean removed)" if unknown in problem.gauge else unknown


def map_panel(
    title: str,
    bar: str | None,
    axes: dict[str, np.ndarray],
    plane: tuple[str, ...],
    image: np.ndarray,
    colours: Colours,
    *,
    error: bool = False,
    observed: tuple[dict[str, np.ndarray], np.ndarray] | None = None,
) -> Panel:
    """A field over two coordinates.

    Args:
        title: Of the panel.
        bar: The name of the colour bar, "" where the title says it; None: without a bar.
        axes: The values of the coordinates.
        plane: The coordinates across and up.
        image: The field, (up, across).
        colours: From its values to colours.
        error: Whether it is |error|, whose small values are not told apart.
        observed: Where the field was observed, and the values.
    """
    across, up = plane

    def panel(ax: "Axes") -> None:
        norm, cmap = colours
        shown = np.maximum(image, norm.vmin) if error else image
        mesh = ax.pcolormesh(
            axes[across], axes[up], shown, norm=norm, cmap=cmap, shading="nearest", rasterized=True
        )
        if observed:
            places, _ = observed
            ax.plot(places[across], places[up], "k.", markersize=2, alpha=0.6)
        ax.set(
            title=f"{title}, observed at the dots" if observed else title, xlabel=across, ylabel=up
        )
        ax.set_xlim(axes[across][0], axes[across][-1])
        ax.set_ylim(axes[up][0], axes[up][-1])
        ax.locator_params(axis="x", nbins=4)
        if across != "t":
            in_proportion(ax, axes[across], axes[up])
        if error and np.isfinite(image).any() and not (image > norm.vmin).any():
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
            bar_beside(ax, mesh, bar, error=error)

    return panel


def held_at(axes: Mapping[str, np.ndarray], names: Sequence[str]) -> str:
    """Where the coordinates are held that a map does not show: in the middle, ", z = 0.5"."""
    return "".join(f", {name} = {axes[name][len(axes[name]) // 2]:.4g}" for name in names)


def in_proportion(ax: "Axes", across: np.ndarray, up: np.ndarray) -> None:
    """Both coordinates on one scale, unless that leaves a line of a map."""
    width, height = np.ptp(across), np.ptp(up)
    if width < _LONGEST * height and height < _LONGEST * width:
        ax.set_aspect("equal")
        if width < 0.7 * height:  # a narrow map has room for two or three
            ax.locator_params(axis="x", nbins=1 if width < 0.35 * height else 2)


def bar_beside(ax: "Axes", image: Any, label: str, *, error: bool) -> None:
    """A colour bar as high as the map, whatever its aspect.

    Its label stands above it: at its side it could be taken for that of the next panel's axis.
    """
    from matplotlib.ticker import NullFormatter

    # A map on one scale may be narrower than its panel; its bar is as wide as the others.
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    wider = 1.0 if ax.get_aspect() == "auto" else max(1.0, (high - low) / (right - left))
    inset = ax.inset_axes((1.0 + 0.03 * wider, 0.0, 0.05 * wider, 1.0))
    assert ax.figure is not None
    ax.figure.colorbar(image, cax=inset, extend="min" if error else "neither")
    inset.set_title(shorten(label), loc="left", fontsize="small")
    if error:
        inset.yaxis.set_minor_formatter(NullFormatter())


def shorten(label: str) -> str:
    """A name beside a panel, whose title has all of it."""
    return label if len(label) <= _BRIEF else f"{label[: _BRIEF - 3]}..."


def error_map(
    unknown: str,
    axes: dict[str, np.ndarray],
    plane: tuple[str, ...],
    error: np.ndarray,
    colours: Colours | None = None,
    what: str = "|error|",
) -> Panel:
    """A map of an error, or of ``what`` is shown like one, such as the spread over members."""
    colours = error_colours(error) if colours is None else colours
    return map_panel(f"{what} of {unknown}", "", axes, plane, error, colours, error=True)


def lines_panel(
    name: str,
    unknown: str,
    x: np.ndarray,
    lines: dict[str, np.ndarray],
    at: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    measured: tuple[np.ndarray, np.ndarray] | None = None,
    spread: np.ndarray | None = None,
) -> Panel:
    """Curves of the solution, and what they are compared with.

    Args:
        name: The coordinate.
        unknown: The name of the field.
        x: The points of the curves.
        lines: The curves by name.
        at: The points of the reference.
        truth: The reference there, ``(n, curves)``, dashed on top.
        measured: Where the field was observed, and the values: dots.
        spread: The standard deviation of every curve, of which a band shows two on each side; None:
            without bands.
    """

    def panel(ax: "Axes") -> None:
        import matplotlib

        shades = matplotlib.colormaps["viridis"](np.linspace(0.2, 0.9, len(lines)))
        for (label, values), shade in zip(lines.items(), shades, strict=True):
            ax.plot(x, values, color=shade, linewidth=1.8, label=label)
            if spread is not None:
                low, high = values - 2 * spread, values + 2 * spread
                band = ax.fill_between(x, low, high, color=shade, alpha=0.25, linewidth=0)
                band.set_label("2 standard deviations")
        if at is not None and truth is not None:
            dashed = ax.plot(at, truth, "k--", linewidth=0.9)
            dashed[0].set_label("reference")
        if measured is not None:
            ax.plot(*measured, "k.", markersize=4, label="observed")
        ax.set(title=f"{unknown} along {name}", xlabel=name, ylabel=unknown)
        legend_beside(ax)

    return panel


def error_curve(name: str, unknown: str, x: np.ndarray, error: np.ndarray) -> Panel:
    def panel(ax: "Axes") -> None:
        ax.plot(x, np.where(error > 0, error, np.nan), color=COLORS[1])
        logarithmic(ax)
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


def observed_at(
    solution: Drawable, unknown: str
) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
    """Where an unknown was observed, and the values."""
    conditions = [
        c for c in solution.problem.conditions() if isinstance(c, Observed) and unknown in c.values
    ]
    if not conditions:
        return None
    names = solution.problem.domain.coordinates
    places = {name: np.concatenate([c.coordinates[name] for c in conditions]) for name in names}
    return places, np.concatenate([c.values[unknown] for c in conditions])
