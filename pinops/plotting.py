"""Figures of a solution: what a paper shows of it, from the names and the geometry of its problem.

A figure is rows of panels, a panel a function that draws into given axes. Two instances: a map of the solution over the
true geometry, and the history of the loss. One row (two in three dimensions) per unknown, the history below.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import cycle, pairwise, product, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from pinops.data import GridSpec
from pinops.networks import GaussianNetwork
from pinops.problem import Observed, Problem, values_at
from pinops.reference import Reference
from pinops.training import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
_STYLE: Any = {"font.size": 9, "axes.titlesize": 9, "figure.titlesize": 10, "legend.fontsize": 8}
# Okabe & Ito (2008): told apart by the colour-blind too.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_HEIGHT = 2.7  # of a row, in inches
_DECADES = 5  # of |error| that a map resolves
_ERROR = "|solution - reference|"
_SLICES = (0.0, 1 / 3, 2 / 3, 1.0)  # of a range, where it is cut

Panel = Callable[["Axes"], None]
Rows = list[list[Panel]]


class Drawable(Protocol):
    """A solution, as far as a figure of it goes."""

    @property
    def problem(self) -> Problem: ...
    @property
    def request(self) -> Mapping[str, Any]: ...
    @property
    def history(self) -> Sequence[Report]: ...
    @property
    def reference(self) -> Reference | None: ...
    @property
    def x64(self) -> bool: ...
    def values(self, coordinates: Mapping[str, Any]) -> dict[str, np.ndarray]: ...
    def error(self) -> Mapping[str, Mapping[str, float]]: ...


class Rollouts(Protocol):
    """A surrogate, as far as a figure of its rollouts goes."""

    @property
    def family(self) -> Problem: ...
    @property
    def request(self) -> Mapping[str, Any]: ...
    @property
    def history(self) -> Sequence[Report]: ...
    @property
    def grid(self) -> GridSpec: ...


def plot_solution(solution: Drawable, path: str | Path | None = None) -> "Figure":
    """Solution, reference, error and training history in one figure; written to ``path`` (150 dpi) where given.

    One coordinate: curves. Two: maps, with cuts at several times where there is time. Three: maps at several times, or
    at values of the third coordinate. More, or scattered points: solution against reference, histogram of the error.
    Colours of |error| are logarithmic. An unknown that is determined up to a constant is shown without its mean.
    """
    domain = solution.problem.domain
    layout = {1: _curves, 2: _space_time if domain.time else _plane}.get(
        len(domain.coordinates), _cuts
    )
    if solution.reference is None:
        rows = layout(solution, None)
    else:
        grid = _grid(solution, solution.reference)
        rows = _scattered(solution, solution.reference) if grid is None else layout(solution, grid)
    return _draw(_title(solution), rows, _history(solution), path)


def plot_history(solution: Drawable, path: str | Path | None = None) -> "Figure":
    """Loss terms, errors and, for an inverse problem, coefficients over the steps; written to ``path`` where given."""
    return _draw(_title(solution), [], _history(solution), path)


def plot_gaussians(solution: Drawable, path: str | Path | None = None) -> "Figure":
    """The Gaussians of a `PIG` network over its solution in two coordinates, one panel for each unknown.

    Half an ellipse is one standard deviation wide; the darker, the larger the weight. Without a head an unknown has its own
    Gaussians, and its panel shows these. Written to ``path`` where given.

    **Raises** ValueError for another network, and for other than two coordinates, periodic or stretched ones.
    """
    network, domain = getattr(solution, "network", None), solution.problem.domain
    if not isinstance(network, GaussianNetwork):
        raise ValueError(
            f"plot_gaussians needs a solution with a PIG network, got {type(network).__name__}"
        )
    if len(domain.coordinates) != 2 or network.means.shape[-1] != 2 or solution.problem.stretched:
        raise ValueError(
            "plot_gaussians needs two coordinates, neither of them periodic or stretched"
        )
    low, high = np.array([domain.bounds[name] for name in domain.coordinates]).T
    half = (high - low) / 2
    with jax.enable_x64(network.weights.dtype == jnp.float64):
        means, scales, axes, weights = (
            np.asarray(x) for x in (network.means, network.scales, network.axes, network.weights)
        )
    centres = (means * half + (low + high) / 2).reshape(-1, 2)
    spans = (half[:, None] * axes * scales[..., None, :]).reshape(
        -1, 2, 2
    )  # one standard deviation along each axis, in columns
    strength = np.abs(weights).ravel() / max(np.abs(weights).max(), np.finfo(weights.dtype).tiny)
    grid = _display_axes(solution)
    values = _evaluate(solution, grid)
    circle = np.stack([np.cos(angle := np.linspace(0, 2 * np.pi, 40)), np.sin(angle)])

    def over(map_: Panel, own: slice) -> Panel:
        def panel(ax: "Axes") -> None:
            map_(ax)
            for centre, span, alpha in zip(centres[own], spans[own], strength[own], strict=True):
                ax.plot(
                    *(centre[:, None] + span @ circle),
                    color="black",
                    linewidth=0.5,
                    alpha=0.1 + 0.6 * alpha,
                )

        return panel

    part = len(centres) // len(solution.problem.unknowns) if network.head is None else None
    shares = [
        slice(None) if part is None else slice(k * part, (k + 1) * part)
        for k in range(len(solution.problem.unknowns))
    ]
    maps = [
        _map(u, _label(solution, u), grid, domain.coordinates, values[u].T, _norm(values[u]))
        for u in solution.problem.unknowns
    ]
    return _draw(
        f"{len(centres)} Gaussians, step {solution.steps}",
        [[over(*pair) for pair in zip(maps, shares, strict=True)]],
        [],
        path,
    )


def _draw(title: str, rows: Rows, history: list[Panel], path: str | Path | None) -> "Figure":
    import matplotlib
    from matplotlib.figure import Figure  # not pyplot: no global state, no display
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = max([len(row) for row in rows], default=0)
    width = max(3.2 * columns, 4.0 * len(history), 4.0)
    height = _HEIGHT * (len(rows) + bool(history)) + 0.3
    with matplotlib.rc_context(_STYLE):
        figure = Figure(
            figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(wspace=0.06)
        )
        figure.suptitle(title)
        parts = [part for part in (rows, [history] if history else []) if part]
        ratios = [_HEIGHT * len(part) for part in parts]
        halves = figure.subfigures(len(parts), 1, height_ratios=ratios, squeeze=False)[:, 0]
        for half, part in zip(halves, parts, strict=True):
            axes = half.subplots(len(part), max(len(row) for row in part), squeeze=False)
            for row, row_axes in zip(part, axes, strict=True):
                for panel, ax in zip_longest(row, row_axes):
                    ax.set_axis_off() if panel is None else panel(ax)
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=DPI, bbox_inches="tight")
    _show_in_notebooks(figure)
    return figure


def _show_in_notebooks(figure: "Figure") -> None:
    """Give the figure a picture of itself: without pyplot, IPython does not know how to draw it."""

    def picture() -> bytes:
        buffer = BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()

    figure._repr_png_ = picture  # pyright: ignore[reportAttributeAccessIssue]


def _title(solution: Drawable) -> str:
    name = solution.request["problem"]
    if solution.reference is None:
        return name
    errors = ", ".join(
        f"{unknown} {error['mean']:.1e}" for unknown, error in solution.error().items()
    )
    return f"{name}, relative L2 error: {errors}"


def plot_rollouts(
    trained: Rollouts,
    predicted: np.ndarray,
    truth: np.ndarray,
    labels: Sequence[str],
    path: str | Path | None = None,
) -> "Figure":
    """Trajectories ``(n, t, *grid, c)`` of a surrogate beside the true ones: a row for each unknown of the first, the middle and
    the last (space and time in one dimension, the middle frame in two, in the colours of all frames), the growth of the error of
    each, and the training; written to ``path`` where given.
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
        plane, when, image = (names[time], space[0]), "", lambda field: field.T
    else:
        middle = tuple(
            n // 2 for n in (truth.shape[1], *truth.shape[4:-1])
        )  # of time and of further axes
        plane, when = (
            (space[0], space[1]),
            f" at {names[time]} = {axes[names[time]][middle[0]]:.3g}",
        )
        image = lambda field: field[(middle[0], slice(None), slice(None), *middle[1:])].T
    rows: Rows = []
    for k, (c, unknown) in product(
        np.unique([0, len(labels) // 2, len(labels) - 1]), enumerate(trained.family.unknowns)
    ):
        found, true = predicted[k, ..., c], truth[k, ..., c]
        norm = _norm(true)
        rows.append(
            [
                _map(f"{unknown}{when}, {labels[k]}", unknown, axes, plane, image(found), norm),
                _map("reference", unknown, axes, plane, image(true), norm),
                _error_map(unknown, axes, plane, image(np.abs(found - true))),
            ]
        )
    rest = tuple(range(2, truth.ndim))
    growth = np.sqrt(
        np.mean((predicted - truth) ** 2, rest) / np.maximum(np.mean(truth**2, rest), 1e-300)
    )[:, 1:]

    def growing(ax: "Axes") -> None:
        for label, curve, color in zip(labels, growth, cycle(_COLORS)):
            ax.plot(axes[names[time]][1:], curve, color=color, linewidth=1.3, label=label)
        _logarithmic(ax)
        ax.set(title="error of a rollout", xlabel=names[time], ylabel="RMSE / RMS of the reference")
        _beside(ax)

    history = [growing, _loss(trained, "relative L2")] if trained.history else [growing]
    return _draw(
        f"{trained.request['problem']}, rollouts of {truth.shape[1] - 1} steps", rows, history, path
    )


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


def _grid(solution: Drawable, reference: Reference) -> _Grid | None:
    """Where to compare: the points of the reference where they are a grid, finer ones where there is an exact solution.

    None for more than three coordinates and for scattered points.
    """
    domain = solution.problem.domain
    names = domain.coordinates
    if len(names) > 3:
        return None
    if solution.problem.exact is not None:
        axes = _display_axes(solution)
        return _Grid(axes, _evaluate(solution, axes), _exact(solution, axes), reference.kind)
    shape = np.broadcast_shapes(*(array.shape for array in reference.coordinates.values()))
    order, axes = [], {}
    for name in names:
        full = np.broadcast_to(reference.coordinates[name], shape)
        varies = [k for k in range(len(shape)) if np.any(np.diff(full, axis=k))]
        if len(varies) != 1:
            return None
        order += varies
        axes[name] = full[tuple(slice(None) if k == varies[0] else 0 for k in range(len(shape)))]
    if sorted(order) != list(range(len(shape))):
        return None
    values = solution.values(reference.coordinates)
    truth = {u: np.transpose(array, order) for u, array in reference.values.items()}
    values = {
        u: np.where(np.isfinite(truth[u]), np.transpose(values[u], order), np.nan) for u in truth
    }
    return _Grid(axes, _centred(solution, values), _centred(solution, truth), reference.kind)


def _display_axes(solution: Drawable) -> dict[str, np.ndarray]:
    """Points on every axis, fine enough for a picture; of three coordinates the one that is cut has few."""
    domain = solution.problem.domain
    names = domain.coordinates
    number = {1: 401, 2: 241}.get(len(names), 121)  # thirds are among them
    unit = {name: np.linspace(0, 1, number) for name in names}
    if len(names) > 2:
        unit[_cut_coordinate(solution)] = np.asarray(_SLICES)
    return {
        name: low + at * (high - low)
        for name, at in unit.items()
        for low, high in [domain.bounds[name]]
    }


def _cut_coordinate(solution: Drawable) -> str:
    """Of three or more coordinates the one that is cut: time, or the third."""
    domain = solution.problem.domain
    return domain.time or domain.space[2]


def _centred(solution: Drawable, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Unknowns that are determined up to a constant without their mean, at each time; one array axis per coordinate."""
    domain = solution.problem.domain
    space = tuple(k for k, name in enumerate(domain.coordinates) if name != domain.time)
    means = {
        u: np.nanmean(values[u], axis=space, keepdims=True)
        for u in values
        if u in solution.problem.gauge
    }
    return values | {u: values[u] - mean for u, mean in means.items()}


def _evaluate(solution: Drawable, axes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The solution on the grid of these axes, NaN outside the domain."""
    domain = solution.problem.domain
    mesh = np.meshgrid(*(axes[name] for name in domain.coordinates), indexing="ij")
    outside = ~domain.contains(np.stack([array.ravel() for array in mesh], -1)).reshape(
        mesh[0].shape
    )
    values = solution.values(dict(zip(domain.coordinates, mesh, strict=True)))
    return _centred(
        solution, {unknown: np.where(outside, np.nan, array) for unknown, array in values.items()}
    )


def _exact(solution: Drawable, axes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The exact solution on the grid of these axes, NaN outside the domain."""
    problem = solution.problem
    mesh = np.meshgrid(*(axes[name] for name in problem.domain.coordinates), indexing="ij")
    points = np.stack([array.ravel() for array in mesh], -1)
    with jax.enable_x64(True):
        values = jax.vmap(lambda point: values_at(problem, "exact", point))(jnp.asarray(points))
    outside = ~problem.domain.contains(points)
    values = {
        u: np.where(outside, np.nan, np.asarray(values[u])) for u in problem.unknowns if u in values
    }
    return _centred(solution, {u: array.reshape(mesh[0].shape) for u, array in values.items()})


def _cut_at(solution: Drawable, name: str, grid: _Grid | None) -> np.ndarray:
    """Where a coordinate is cut: points of the reference, where there is one."""
    axis = (_display_axes(solution) if grid is None else grid.axes)[name]
    wanted = axis[0] + np.asarray(_SLICES) * (axis[-1] - axis[0])
    return axis[np.unique(np.abs(axis - wanted[:, None]).argmin(1))]


# -- Layouts: the rows of panels, by dimension ------------------------------------------------------------------------


def _curves(solution: Drawable, grid: _Grid | None) -> Rows:
    """One coordinate: solution on reference, |error|."""
    (name,) = solution.problem.domain.coordinates
    x = _display_axes(solution)[name]
    values = _evaluate(solution, {name: x})
    rows: Rows = []
    for u in solution.problem.unknowns:
        if grid is None or u not in grid.truth:
            row = [_lines(name, u, x, {"solution": values[u]})]
        else:
            row = [_lines(name, u, x, {"solution": values[u]}, grid.axes[name], grid.truth[u])]
            row.append(_error_curve(name, u, grid.axes[name], grid.error(u)))
        rows.append(row)
    return rows


def _plane(solution: Drawable, grid: _Grid | None) -> Rows:
    """Two coordinates of space: maps of solution, reference and |error|."""
    plane = solution.problem.domain.coordinates
    axes = _display_axes(solution)
    values = _evaluate(solution, axes)
    rows: Rows = []
    for u in solution.problem.unknowns:
        truth = None if grid is None else grid.truth.get(u)
        label, norm = _label(solution, u), _norm(values[u], truth)
        row = [_map(label, label, axes, plane, values[u].T, norm, observed=_observed(solution, u))]
        if grid is not None and truth is not None:
            row.append(
                _map(f"{u}, reference ({grid.kind})", label, grid.axes, plane, truth.T, norm)
            )
            row.append(_error_map(u, grid.axes, plane, grid.error(u).T))
        rows.append(row)
    return rows


def _space_time(solution: Drawable, grid: _Grid | None) -> Rows:
    """Time and one coordinate of space: maps of solution and |error|, and cuts at several times."""
    domain = solution.problem.domain
    (space,) = domain.space
    (time,) = set(domain.coordinates) - {space}
    plane, along = (time, space), domain.coordinates.index(time)
    image = lambda array: np.moveaxis(array, along, 1)  # (space, time)
    axes = _display_axes(solution)
    values = _evaluate(solution, axes)
    times = _cut_at(solution, time, grid)
    cuts = _evaluate(solution, axes | {time: times})
    rows: Rows = []
    for u in solution.problem.unknowns:
        truth = None if grid is None else grid.truth.get(u)
        label = _label(solution, u)
        norm, observed = _norm(values[u], truth), _observed(solution, u)
        row = [_map(label, label, axes, plane, image(values[u]), norm, observed=observed)]
        lines = {
            f"{time} = {at:.3g}": curve for at, curve in zip(times, image(cuts[u]).T, strict=True)
        }
        if grid is None or truth is None:
            row.append(_lines(space, label, axes[space], lines))
        else:
            row.append(_error_map(u, grid.axes, plane, image(grid.error(u))))
            curves = image(truth)[:, np.searchsorted(grid.axes[time], times)]
            row.append(_lines(space, label, axes[space], lines, grid.axes[space], curves))
        rows.append(row)
    return rows


def _cuts(solution: Drawable, grid: _Grid | None) -> Rows:
    """Three coordinates: maps at several times, a row of the solution and a row of |error| for each unknown.

    Without reference also for more coordinates: those beyond are held at the middle of their range.
    """
    domain = solution.problem.domain
    along = _cut_coordinate(solution)
    across, up, *others = [name for name in domain.space if name != along]
    plane = (across, up)
    cuts = _cut_at(solution, along, grid)
    axes = (
        _display_axes(solution)
        | {along: cuts}
        | {name: np.array([np.mean(domain.bounds[name])]) for name in others}
    )
    order = [domain.coordinates.index(name) for name in (up, across, along, *others)]
    values = _evaluate(solution, axes)
    held = "".join(f", {name} = {axes[name][0]:.3g}" for name in others)
    titles = [f"{along} = {at:.3g}{held}" for at in cuts]
    rows: Rows = []
    for u in solution.problem.unknowns:
        images = np.transpose(values[u], order).reshape(axes[up].size, axes[across].size, cuts.size)
        norm = _norm(images, None if grid is None else grid.truth.get(u))
        bars = [None] * (cuts.size - 1)
        rows.append([])
        for k, bar in enumerate([*bars, _label(solution, u)]):
            rows[-1].append(_map(f"{u}, {titles[k]}", bar, axes, plane, images[..., k], norm))
        if grid is not None and u in grid.truth:
            errors = np.transpose(grid.error(u), order)[
                ..., np.searchsorted(grid.axes[along], cuts)
            ]
            norm = _error_norm(errors)
            rows.append([])
            for k, bar in enumerate([*bars, f"|error| of {u}"]):
                rows[-1].append(
                    _map(
                        f"|error|, {titles[k]}",
                        bar,
                        grid.axes,
                        plane,
                        errors[..., k],
                        norm,
                        error=True,
                    )
                )
    return rows


def _scattered(solution: Drawable, reference: Reference) -> Rows:
    """Many coordinates or scattered points: solution against reference, histogram of |error|."""
    values = solution.values(reference.coordinates)
    rows: Rows = []
    for u, truth in reference.values.items():
        inside = np.isfinite(truth)
        found, true = values[u][inside], truth[inside]
        if u in solution.problem.gauge:
            found, true = found - found.mean(), true - true.mean()
        rows.append(
            [
                _parity(_label(solution, u), true, found, reference.kind),
                _histogram(u, np.abs(found - true)),
            ]
        )
    return rows


# -- Panels -----------------------------------------------------------------------------------------------------------


def _label(solution: Drawable, unknown: str) -> str:
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
    """Logarithmic colours over whole decades, from the largest error down to what nearly all points exceed."""
    from matplotlib.colors import LogNorm

    top = np.ceil(np.log10(max(float(np.nanmax(error)), 1e-16)))
    bottom = np.floor(np.log10(max(float(np.nanquantile(error, 0.05)), 1e-300)))
    return LogNorm(10.0 ** np.clip(bottom, top - _DECADES, top - 1), 10.0**top)


def _map(
    title: str,
    bar: str | None,
    axes: dict[str, np.ndarray],
    plane: tuple[str, ...],
    image: np.ndarray,
    norm: Any,
    *,
    error: bool = False,
    observed: dict[str, np.ndarray] | None = None,
) -> Panel:
    """A field over two coordinates, ``image`` (up, across), with a colour bar named ``bar`` (None: without)."""
    across, up = plane

    def panel(ax: "Axes") -> None:
        from matplotlib.ticker import NullFormatter

        diverging = norm.vmin == -norm.vmax
        cmap = "magma" if error else "coolwarm" if diverging else "viridis"
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


def _error_map(
    unknown: str, axes: dict[str, np.ndarray], plane: tuple[str, ...], error: np.ndarray
) -> Panel:
    return _map(f"|error| of {unknown}", _ERROR, axes, plane, error, _error_norm(error), error=True)


def _lines(
    name: str,
    unknown: str,
    x: np.ndarray,
    lines: dict[str, np.ndarray],
    at: np.ndarray | None = None,
    truth: np.ndarray | None = None,
) -> Panel:
    """Curves of the solution, and of the reference, ``truth`` (n, curves) at ``at``, dashed on top."""

    def panel(ax: "Axes") -> None:
        import matplotlib

        shades = matplotlib.colormaps["viridis"](np.linspace(0.2, 0.9, len(lines)))
        for (label, values), shade in zip(lines.items(), shades, strict=True):
            ax.plot(x, values, color=shade, linewidth=1.8, label=label)
        if at is not None and truth is not None:
            dashed = ax.plot(at, truth, "k--", linewidth=0.9)
            dashed[0].set_label("reference")
        ax.set(title=f"{unknown} along {name}", xlabel=name, ylabel=unknown)
        _beside(ax)

    return panel


def _error_curve(name: str, unknown: str, x: np.ndarray, error: np.ndarray) -> Panel:
    def panel(ax: "Axes") -> None:
        ax.semilogy(x, np.where(error > 0, error, np.nan), color=_COLORS[1])
        ax.set(title=f"|error| of {unknown}", xlabel=name, ylabel=_ERROR)

    return panel


def _parity(unknown: str, truth: np.ndarray, found: np.ndarray, kind: str) -> Panel:
    def panel(ax: "Axes") -> None:
        ax.plot(truth, found, ".", color=_COLORS[0], markersize=2, alpha=0.4, rasterized=True)
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


def _histogram(unknown: str, error: np.ndarray) -> Panel:
    def panel(ax: "Axes") -> None:
        scale = _error_norm(error)
        bins = np.geomspace(scale.vmin / 10, scale.vmax, 50)
        ax.hist(np.clip(error, bins[0], None), bins=bins, color=_COLORS[1])
        ax.set_xscale("log")
        ax.set(title=f"|error| of {unknown}", xlabel=_ERROR, ylabel="points")

    return panel


def _observed(solution: Drawable, unknown: str) -> dict[str, np.ndarray] | None:
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


# -- History ----------------------------------------------------------------------------------------------------------


def _history(solution: Drawable) -> list[Panel]:
    """Panels of loss terms, of errors where there is a reference, and of each coefficient to be found."""
    history = solution.history
    if not history:
        return []
    panels = [_loss(solution)]
    if history[-1].errors and solution.reference is not None:
        panels.append(_errors(solution, solution.reference))
    return panels + [_coefficient(solution, name) for name in history[-1].coefficients]


def _over_steps(ax: "Axes", solution: Any, curves: dict[str, list[float]], **style: Any) -> None:
    """Curves over the steps; a thin line where one optimizer hands over to the next."""
    steps = [report.step for report in solution.history]
    marker = "." if len(steps) < 20 else ""
    for (label, values), color in zip(curves.items(), cycle(_COLORS)):
        ax.plot(steps, values, color=color, linewidth=1.3, marker=marker, label=label, **style)
    for before, after in pairwise(solution.history):
        if before.phase != after.phase:
            ax.axvline(before.step, color="0.6", linewidth=0.8)
    ax.set_xlabel("step")


def _logarithmic(ax: "Axes", floor: float = np.inf) -> None:
    """A logarithmic axis over whole decades; down to ``floor`` unless that is so far below as to squeeze the curves."""
    from matplotlib.ticker import NullFormatter

    ax.set_yscale("log")
    low, high = ax.dataLim.intervaly
    if not 0 < low <= high < np.inf:
        return
    low = floor if low / 1000 < floor < low else low
    ax.set_ylim(10.0 ** np.floor(np.log10(low) - 0.02), 10.0 ** np.ceil(np.log10(high) + 0.02))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _beside(ax: "Axes") -> None:
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), handlelength=1.4, frameon=False)


def _loss(solution: Any, measure: str = "mean square") -> Panel:
    history = solution.history
    phases = list(dict.fromkeys(report.phase for report in history))
    names = list(history[-1].terms)
    curves = {name: [report.terms.get(name, np.nan) for report in history] for name in names}
    quantity = measure if len(names) > 1 else f"{measure} of {names[0]}"

    def panel(ax: "Axes") -> None:
        _over_steps(ax, solution, curves)
        if len(names) > 1:
            ax.plot(
                [r.step for r in history],
                [r.loss for r in history],
                color="black",
                linewidth=0.8,
                label="sum",
            )
            _beside(ax)
        _logarithmic(ax)
        ax.set(title=f"loss: {', then '.join(phases)}", ylabel=quantity)

    return panel


def _errors(solution: Drawable, reference: Reference) -> Panel:
    names = [name for name in solution.problem.unknowns if name in solution.history[-1].errors]
    curves = {
        name: [report.errors.get(name, np.nan) for report in solution.history] for name in names
    }
    floor = max(reference.error_bar[name] for name in names)

    def panel(ax: "Axes") -> None:
        _over_steps(ax, solution, curves)
        _logarithmic(ax, floor)
        ax.axhline(
            floor,
            color="black",
            linestyle="--",
            linewidth=1.0,
            label=f"error bar of\nreference: {floor:.0e}",
        )
        ax.set(title=f"error against {reference.kind}", ylabel="relative L2 error")
        _beside(ax)

    return panel


def _coefficient(solution: Drawable, name: str) -> Panel:
    values = [report.coefficients[name] for report in solution.history]

    def panel(ax: "Axes") -> None:
        _over_steps(ax, solution, {name: values})
        ax.axhline(values[-1], color="0.6", linestyle=":", linewidth=1.0)
        ax.set(title=f"{name} = {values[-1]:.6g}", ylabel=name)

    return panel
