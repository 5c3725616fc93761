"""Figures of a solution: what a paper shows of it, from the names and the geometry of its problem.

A figure is rows of panels, a panel a function that draws into given axes. Two instances: a map of the solution over the true
geometry, and the history of the loss. One row (two in three dimensions) per unknown, the history below.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pinops.problem import Observed
from pinops.reference import Reference
from pinops.solvers import Solution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
_STYLE = {"font.size": 9, "axes.titlesize": 9, "figure.titlesize": 10, "legend.fontsize": 8, "legend.frameon": False}
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe & Ito (2008): safe for the colour-blind
_DECADES = 5  # of |error| that a map resolves
_SLICES = (0.0, 1 / 3, 2 / 3, 1.0)  # of a range, where it is cut

Panel = Callable[["Axes"], None]
Rows = list[list[Panel]]


def plot_solution(solution: Solution, path: str | Path | None = None) -> "Figure":
    """Solution, reference, error and training history in one figure; written to ``path`` (150 dpi) where given.

    One coordinate: curves. Two: maps, with cuts at several times where there is time. Three: maps at several times (or cuts
    along the last coordinate). More, or scattered points: solution against reference, and a histogram of the error.
    Colours of |error| are logarithmic. An unknown that is determined up to a constant is shown without its mean.
    """
    number = len(solution.problem.domain.coordinates)
    grid = None if solution.reference is None else _grid(solution, solution.reference)
    if solution.reference is not None and grid is None:
        rows = _scattered(solution, solution.reference)
    else:
        rows = {1: _curves, 2: _plane}.get(number, _cuts)(solution, grid)
    return _draw(_title(solution), rows, _history(solution), path)


def plot_history(solution: Solution, path: str | Path | None = None) -> "Figure":
    """Loss terms, errors and, for an inverse problem, coefficients over the steps; written to ``path`` where given."""
    return _draw(_title(solution), [], _history(solution), path)


def _draw(title: str, rows: Rows, history: list[Panel], path: str | Path | None) -> "Figure":
    import matplotlib
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    columns = max([len(row) for row in rows], default=0)
    width = max(3.2 * columns, 4.0 * len(history), 4.0)
    heights = [2.7] * len(rows) + [2.6] * bool(history)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, sum(heights) + 0.3), dpi=DPI, layout="constrained")
        figure.suptitle(title)
        parts = [rows, [history]] if rows and history else [rows or [history]]
        ratios = [2.7 * len(rows), 2.6] if len(parts) == 2 else [1.0]
        for part, panels in zip(figure.subfigures(len(parts), 1, height_ratios=ratios, squeeze=False)[:, 0], parts, strict=True):
            axes = part.subplots(len(panels), max(len(row) for row in panels), squeeze=False)
            for row, row_axes in zip(panels, axes, strict=True):
                for panel, ax in zip(row, row_axes, strict=True):
                    panel(ax)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI)
    _show_in_notebooks(figure)
    return figure


def _show_in_notebooks(figure: "Figure") -> None:
    """Give the figure a picture of itself: without pyplot, IPython does not know how to draw it."""

    def picture() -> bytes:
        buffer = BytesIO()
        figure.savefig(buffer, format="png")
        return buffer.getvalue()

    figure._repr_png_ = picture  # pyright: ignore[reportAttributeAccessIssue]


def _title(solution: Solution) -> str:
    name = solution.request["problem"]
    if solution.reference is None:
        return name
    errors = ", ".join(f"{unknown} {error['relative_l2']:.1e}" for unknown, error in solution.error().items())
    return f"{name}: relative L2 error {errors}"


# -- Values on grids --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Grid:
    """Solution and reference with one array axis per coordinate, in the order of the domain."""

    axes: dict[str, np.ndarray]
    values: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    kind: str

    def error(self, unknown: str) -> np.ndarray:
        return np.abs(self.values[unknown] - self.truth[unknown])


def _grid(solution: Solution, reference: Reference) -> _Grid | None:
    """The points of the reference as a grid; None where they are scattered."""
    names = solution.problem.domain.coordinates
    shape = np.broadcast_shapes(*(array.shape for array in reference.coordinates.values()))
    order, axes = [], {}
    for name in names:
        full = np.broadcast_to(reference.coordinates[name], shape)
        varies = [k for k in range(len(shape)) if np.any(np.diff(full, axis=k))]
        if len(varies) != 1:
            return None
        order += varies
        axes[name] = full[tuple(slice(None) if k == varies[0] else 0 for k in range(len(shape)))]
    if sorted(order) != list(range(len(shape))) or len(names) > 3:
        return None
    values = solution.values(reference.coordinates)
    truth = {u: np.transpose(array, order) for u, array in reference.values.items()}
    values = {u: np.where(np.isfinite(truth[u]), np.transpose(values[u], order), np.nan) for u in truth}
    return _Grid(axes, _centred(solution, values), _centred(solution, truth), reference.kind)


def _centred(solution: Solution, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Unknowns that are determined up to a constant without their mean, at each time; one array axis per coordinate."""
    domain = solution.problem.domain
    space = tuple(k for k, name in enumerate(domain.coordinates) if name != domain.time)
    means = {u: np.nanmean(values[u], axis=space, keepdims=True) for u in values if u in solution.problem.gauge}
    return values | {u: values[u] - mean for u, mean in means.items()}


def _evaluate(solution: Solution, axes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The solution on the grid of these axes, NaN outside the domain."""
    domain = solution.problem.domain
    mesh = np.meshgrid(*(axes[name] for name in domain.coordinates), indexing="ij")
    outside = ~domain.contains(np.stack([array.ravel() for array in mesh], -1)).reshape(mesh[0].shape)
    values = solution.values(dict(zip(domain.coordinates, mesh, strict=True)))
    return _centred(solution, {unknown: np.where(outside, np.nan, array) for unknown, array in values.items()})


def _fine(solution: Solution, name: str, number: int) -> np.ndarray:
    return np.linspace(*solution.problem.domain.bounds[name], number)


def _cut_at(solution: Solution, name: str, grid: _Grid | None) -> np.ndarray:
    """Where a coordinate is cut: points of the reference, where there is one."""
    axis = _fine(solution, name, 301) if grid is None else grid.axes[name]
    wanted = axis[0] + np.asarray(_SLICES) * (axis[-1] - axis[0])
    return axis[np.unique(np.abs(axis - wanted[:, None]).argmin(1))]


# -- Layouts: the rows of panels, by dimension ------------------------------------------------------------------------


def _curves(solution: Solution, grid: _Grid | None) -> Rows:
    """One coordinate: solution on reference, |error|."""
    (name,) = solution.problem.domain.coordinates
    x = _fine(solution, name, 401)
    values = _evaluate(solution, {name: x})
    rows: Rows = []
    for u in solution.problem.unknowns:
        truth = None if grid is None or u not in grid.truth else grid.truth[u]
        row = [_lines(name, u, x, {"solution": values[u]}, None if grid is None else grid.axes[name], truth)]
        if grid is not None and truth is not None:
            row.append(_error_curve(name, u, grid.axes[name], grid.error(u)))
        rows.append(row)
    return rows


def _plane(solution: Solution, grid: _Grid | None) -> Rows:
    """Two coordinates: maps of solution, reference and |error|; with time, cuts instead of the map of the reference."""
    domain = solution.problem.domain
    names = domain.coordinates
    time = domain.time
    across, up = (time, domain.space[0]) if time else names
    axes = {name: _fine(solution, name, 201) for name in names}
    values = _evaluate(solution, axes)
    turned = (across, up) != names
    turn = lambda array: array if turned else array.T  # images are (up, across)
    if time:
        times = _cut_at(solution, time, grid)
        cuts = _evaluate(solution, {up: axes[up], time: times})
    rows: Rows = []
    for u in solution.problem.unknowns:
        truth = None if grid is None else grid.truth.get(u)
        label, norm = _label(solution, u), _norm(values[u], truth)
        picture = _map(label, label, axes, (across, up), turn(values[u]), norm, observed=_observed(solution, u))
        row = [picture]
        if grid is not None and truth is not None:
            if not time:
                row.append(_map(f"reference ({grid.kind})", label, grid.axes, (across, up), turn(truth), norm))
            row.append(_error_map(f"|error| of {u}", grid.axes, (across, up), turn(grid.error(u))))
        if time:
            along = names.index(time)
            lines = {f"{time} = {at:.3g}": np.take(cuts[u], k, along) for k, at in enumerate(times)}
            at = None if truth is None or grid is None else grid.axes[up]
            chosen = None
            if truth is not None and grid is not None:
                chosen = np.stack([np.take(truth, k, along) for k in np.searchsorted(grid.axes[time], times)], -1)
            row.append(_lines(up, label, axes[up], lines, at, chosen))
        rows.append(row)
    return rows


def _cuts(solution: Solution, grid: _Grid | None) -> Rows:
    """Three coordinates: maps at several times, a row of the solution and a row of |error| for each unknown.

    Without reference also for more coordinates: those beyond are held at the middle of their range.
    """
    domain = solution.problem.domain
    across, up, *others = domain.space
    along = domain.time or others.pop(0)
    cuts = _cut_at(solution, along, grid)
    axes = {across: _fine(solution, across, 121), up: _fine(solution, up, 121), along: cuts}
    axes |= {name: np.array([np.mean(domain.bounds[name])]) for name in others}
    order = [domain.coordinates.index(name) for name in (up, across, along, *others)]
    values = _evaluate(solution, axes)
    held = "".join(f", {name} = {axes[name][0]:.3g}" for name in others)
    titles = [f"{along} = {at:.3g}{held}" for at in cuts]
    rows: Rows = []
    for u in solution.problem.unknowns:
        images = np.transpose(values[u], order).reshape(121, 121, len(cuts))
        label, last = _label(solution, u), len(cuts) - 1
        norm = _norm(images, None if grid is None else grid.truth.get(u))
        plane = (across, up)
        rows.append(
            [_map(f"{u}, {t}", label if k == last else None, axes, plane, images[..., k], norm) for k, t in enumerate(titles)]
        )
        if grid is not None and u in grid.truth:
            at = np.searchsorted(grid.axes[along], cuts)
            errors = np.transpose(grid.error(u), order)[..., at]
            scale = _error_norm(errors)
            bar = f"|error| of {u}"
            rows.append(
                [
                    _map(f"|error|, {t}", bar if k == last else None, grid.axes, plane, errors[..., k], scale, error=True)
                    for k, t in enumerate(titles)
                ]
            )
    return rows


def _scattered(solution: Solution, reference: Reference) -> Rows:
    """Many coordinates or scattered points: solution against reference, histogram of |error|."""
    values = solution.values(reference.coordinates)
    rows: Rows = []
    for u, truth in reference.values.items():
        inside = np.isfinite(truth)
        found, true = values[u][inside], truth[inside]
        if u in solution.problem.gauge:
            found, true = found - found.mean(), true - true.mean()
        rows.append([_parity(_label(solution, u), true, found, reference.kind), _histogram(u, np.abs(found - true))])
    return rows


# -- Panels -----------------------------------------------------------------------------------------------------------


def _label(solution: Solution, unknown: str) -> str:
    return f"{unknown} (mean removed)" if unknown in solution.problem.gauge else unknown


def _norm(*arrays: np.ndarray | None) -> Any:
    """Colours of a field: symmetric about zero where it has both signs."""
    from matplotlib.colors import Normalize

    known = [array for array in arrays if array is not None]
    low, high = min(float(np.nanmin(a)) for a in known), max(float(np.nanmax(a)) for a in known)
    if low < -0.05 * high and high > -0.05 * low:
        high = max(-low, high)
        low = -high
    return Normalize(low, high)


def _error_norm(error: np.ndarray) -> Any:
    """Logarithmic colours from the largest error down to what nearly all points have, over a few decades at most."""
    from matplotlib.colors import LogNorm

    high = max(float(np.nanmax(error)), 1e-16)
    low = np.clip(float(np.nanquantile(error, 0.05)), high * 10.0**-_DECADES, high / 10)
    return LogNorm(low, high)


def _map(
    title: str,
    bar: str | None,
    axes: dict[str, np.ndarray],
    plane: tuple[str, str],
    image: np.ndarray,
    norm: Any,
    *,
    error: bool = False,
    observed: dict[str, np.ndarray] | None = None,
) -> Panel:
    """A field over two coordinates, ``image`` (up, across), with a colour bar named ``bar`` (None: without)."""
    across, up = plane

    def panel(ax: "Axes") -> None:
        diverging = norm.vmin == -norm.vmax
        cmap = "magma" if error else "coolwarm" if diverging else "viridis"
        shown = np.maximum(image, norm.vmin) if error else image
        mesh = ax.pcolormesh(axes[across], axes[up], shown, norm=norm, cmap=cmap, shading="nearest", rasterized=True)
        if observed:
            ax.plot(observed[across], observed[up], "k.", markersize=2.5, alpha=0.6, label="observations")
        ax.set(title=title, xlabel=across, ylabel=up)
        ax.set_xlim(axes[across][[0, -1]])
        ax.set_ylim(axes[up][[0, -1]])
        if across != "t":
            ax.set_aspect("equal")
        if bar is not None:
            ax.figure.colorbar(mesh, ax=ax, label=bar, extend="min" if error else "neither")

    return panel


def _error_map(title: str, axes: dict[str, np.ndarray], plane: tuple[str, str], error: np.ndarray) -> Panel:
    return _map(title, "|solution - reference|", axes, plane, error, _error_norm(error), error=True)


def _lines(
    name: str, unknown: str, x: np.ndarray, lines: dict[str, np.ndarray], at: np.ndarray | None, truth: np.ndarray | None
) -> Panel:
    """Curves of the solution, and of the reference, ``truth`` (n, curves) at ``at``, dashed on top."""

    def panel(ax: "Axes") -> None:
        import matplotlib

        shades = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.85, len(lines)))
        for (label, values), shade in zip(lines.items(), shades, strict=True):
            ax.plot(x, values, color=shade, linewidth=1.8, label=label)
        if at is not None and truth is not None:
            dashed = ax.plot(at, truth, "k--", linewidth=0.9)
            dashed[0].set_label("reference")
        ax.set(title=f"{unknown} along {name}", xlabel=name, ylabel=unknown)
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), handlelength=1.6)

    return panel


def _error_curve(name: str, unknown: str, x: np.ndarray, error: np.ndarray) -> Panel:
    def panel(ax: "Axes") -> None:
        ax.semilogy(x, np.where(error > 0, error, np.nan), color=_COLORS[1])
        ax.set(title=f"|error| of {unknown}", xlabel=name, ylabel="|solution - reference|")

    return panel


def _parity(unknown: str, truth: np.ndarray, found: np.ndarray, kind: str) -> Panel:
    def panel(ax: "Axes") -> None:
        ax.plot(truth, found, ".", color=_COLORS[0], markersize=2, alpha=0.4, rasterized=True)
        ax.axline((float(truth.mean()), float(truth.mean())), slope=1, color="black", linewidth=0.8, linestyle="--")
        ax.set(title=f"{unknown} at {truth.size} points", xlabel=f"reference ({kind})", ylabel="solution")
        ax.set_aspect("equal", adjustable="datalim")

    return panel


def _histogram(unknown: str, error: np.ndarray) -> Panel:
    def panel(ax: "Axes") -> None:
        scale = _error_norm(error)
        bins = np.geomspace(scale.vmin / 10, scale.vmax, 50)
        ax.hist(np.clip(error, bins[0], None), bins=bins, color=_COLORS[1])
        ax.set_xscale("log")
        ax.set(title=f"|error| of {unknown}", xlabel="|solution - reference|", ylabel="points")

    return panel


def _observed(solution: Solution, unknown: str) -> dict[str, np.ndarray] | None:
    """Where an unknown was observed."""
    conditions = [c for c in solution.problem.conditions() if isinstance(c, Observed) and unknown in c.values]
    names = solution.problem.domain.coordinates
    return {name: np.concatenate([c.coordinates[name] for c in conditions]) for name in names} if conditions else None


# -- History ----------------------------------------------------------------------------------------------------------


def _history(solution: Solution) -> list[Panel]:
    """Panels of loss terms, of errors where there is a reference, and of each coefficient to be found."""
    history = solution.history
    if not history:
        return []
    panels = [_loss(solution)]
    if history[-1].errors and solution.reference is not None:
        panels.append(_errors(solution, solution.reference))
    return panels + [_coefficient(solution, name) for name in history[-1].coefficients]


def _over_steps(ax: "Axes", solution: Solution, curves: dict[str, list[float]], **style: Any) -> None:
    """Curves over the steps; a thin line where one optimizer hands over to the next."""
    steps = [report.step for report in solution.history]
    marker = "." if len(steps) < 20 else ""
    for (label, values), color in zip(curves.items(), _COLORS * len(curves), strict=False):
        ax.plot(steps, values, color=color, linewidth=1.3, marker=marker, label=label, **style)
    for before, after in pairwise(solution.history):
        if before.phase != after.phase:
            ax.axvline(before.step, color="0.6", linewidth=0.8)
    ax.set_xlabel("step")


def _loss(solution: Solution) -> Panel:
    history = solution.history
    phases = list(dict.fromkeys(report.phase for report in history))
    names = list(history[-1].terms)
    curves = {name: [report.terms.get(name, np.nan) for report in history] for name in names}

    def panel(ax: "Axes") -> None:
        if len(names) > 1:
            ax.plot([r.step for r in history], [r.loss for r in history], color="black", linewidth=1.0, label="sum")
        _over_steps(ax, solution, curves)
        ax.set_yscale("log")
        ax.set(title=f"loss: {', then '.join(phases)}", ylabel="mean square")
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), handlelength=1.2)

    return panel


def _errors(solution: Solution, reference: Reference) -> Panel:
    names = list(solution.history[-1].errors)
    curves = {name: [report.errors.get(name, np.nan) for report in solution.history] for name in names}

    def panel(ax: "Axes") -> None:
        _over_steps(ax, solution, curves)
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        floor = max(reference.error_bar[name] for name in names)
        ax.axhline(floor, color="black", linestyle="--", linewidth=1.0, label=f"error bar of\nreference {floor:.0e}")
        # A floor far below the errors is only named in the legend: it would squeeze the curves.
        ax.set_ylim(min(low, floor / 2) if floor > low / 1000 else low, high)
        ax.set(title=f"error against {reference.kind}", ylabel="relative L2 error")
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), handlelength=1.2)

    return panel


def _coefficient(solution: Solution, name: str) -> Panel:
    values = [report.coefficients[name] for report in solution.history]

    def panel(ax: "Axes") -> None:
        _over_steps(ax, solution, {name: values})
        ax.axhline(values[-1], color="0.6", linestyle=":", linewidth=1.0)
        ax.set(title=f"{name} = {values[-1]:.6g}", ylabel=name)

    return panel
