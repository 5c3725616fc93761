"""Animations: a figure whose panels are drawn again for every frame, written frame by frame."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from pinops.data import replacing
from pinops.plotting._drawing import COLORS, Drawable, Panel, Rollouts, Rows, drawn
from pinops.plotting._grids import Grid, evaluated, grid_of
from pinops.plotting._history import legend_beside
from pinops.plotting._panels import (
    Colours,
    colours_of,
    colours_of_solution,
    error_colours,
    held_at,
    label_of,
    map_panel,
    range_of,
)
from pinops.plotting._rollouts import axes_of_rollouts
from pinops.problem import name_of
from pinops.reference import Reference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOVING = (".gif", ".mp4")
_RATE = 12  # frames for each second, at most
_DPI = 100
Update = Callable[[int], None]


def check_animation(path: Path, seconds: float) -> None:
    """Raises ValueError for a file or a duration that no animation has."""
    from matplotlib.animation import FFMpegWriter

    if path.suffix.lower() not in MOVING:
        raise ValueError(f"an animation is a .gif or an .mp4 file, got {path}; name it so")
    if not 0 < seconds <= 60:
        raise ValueError(f"seconds must be greater than 0 and at most 60, got {seconds}")
    if path.suffix.lower() == ".mp4" and not FFMpegWriter.isAvailable():
        raise ValueError(
            f"{path.name} needs the program ffmpeg, which is not installed; "
            f"write {path.stem}.gif, which needs nothing"
        )


def animate_solution(
    solution: Drawable,
    path: str | Path,
    *,
    seconds: float = 5.0,
    reference: Reference | None = None,
    of: str = "",
) -> Path:
    """A solution over time, beside its reference where there is one.

    One coordinate of space: curves. Two: maps. Three: maps through the middle of the third.

    Args:
        solution: What is drawn.
        path: The file, ``.gif`` or, where ffmpeg is installed, ``.mp4``.
        seconds: How long it lasts, at most 60.
        reference: What it is compared with; None: its own reference.
        of: What it is a solution of, besides its problem, for the title.

    Returns:
        The path.

    Raises:
        ValueError: Without time or without space, for another suffix, for ``.mp4`` without ffmpeg,
            and for a duration out of range.
    """
    path, domain = Path(path), solution.problem.domain
    check_animation(path, seconds)
    if domain.time is None or not 1 <= len(domain.space) <= 3:
        many = len(domain.space) or "no"
        lacks = "no time" if domain.time is None else f"{many} coordinates of space"
        raise ValueError(
            f"{name_of(solution.problem)} has {lacks}, and an animation shows one to three "
            "coordinates of space over time; use plot()"
        )
    reference = solution.reference if reference is None else reference
    axes, values, grid = _frames(solution, reference, max(2, round(_RATE * seconds)))
    plane = domain.space[:2]
    order = [domain.coordinates.index(name) for name in (domain.time, *plane[::-1])]
    order += [k for k in range(len(domain.coordinates)) if k not in order]

    def images(array: np.ndarray) -> np.ndarray:
        """``(t, x)`` or ``(t, y, x)``."""
        moved = np.transpose(array, order)
        return moved.reshape(moved.shape[: 1 + len(plane)])

    held = held_at(axes, domain.space[2:])
    updates: list[Update] = []
    colours = colours_of_solution(solution, values, grid) if len(plane) == 2 else {}
    rows: Rows = []
    for u in solution.problem.unknowns:
        label, found = label_of(solution.problem, u), images(values[u])
        true = None if grid is None or u not in grid.truth else images(grid.truth[u])
        if len(plane) == 1:
            rows.append([curves_panel(label, plane[0], axes[plane[0]], found, true, updates)])
            continue
        rows.append([_map(f"{label}{held}", u, axes, plane, found, colours[u], updates)])
        if grid is not None and true is not None:
            named, error = f"{u}, reference ({grid.kind})", np.abs(found - true)
            norm = error_colours(error)
            rows[-1].append(_map(named, "", axes, plane, true, colours[u], updates))
            rows[-1].append(_map(f"|error| of {u}", "", axes, plane, error, norm, updates, True))
    title = ", ".join(filter(None, (solution.request["problem"], of)))
    write_frames(title, domain.time, axes[domain.time], rows, updates, path, seconds)
    return path


def animate_rollouts(
    trained: Rollouts,
    predicted: np.ndarray,
    truth: np.ndarray,
    labels: Sequence[str],
    path: str | Path,
    *,
    seconds: float = 5.0,
) -> Path:
    """Rollouts of a surrogate over time, beside the true trajectories.

    There is a row for each unknown of the first, the middle and the last trajectory.

    Args:
        trained: The surrogate.
        predicted: Its trajectories ``(n, t, *grid, c)``.
        truth: The true ones, of the same shape.
        labels: What each trajectory is.
        path: The file, ``.gif`` or, where ffmpeg is installed, ``.mp4``.
        seconds: How long it lasts, at most 60.

    Returns:
        The path.

    Raises:
        ValueError: For another suffix, ``.mp4`` without ffmpeg, and a duration out of range.
    """
    path = Path(path)
    check_animation(path, seconds)
    axes, time = axes_of_rollouts(trained, truth.shape), trained.family.domain.time
    assert time is not None
    space = [name for name in axes if name != time]
    middle = tuple(n // 2 for n in truth.shape[4:-1])  # of a third coordinate
    some = shown_of(truth.shape[1], seconds)
    axes |= {time: axes[time][some]}
    plane = tuple(space[:2])

    def images(array: np.ndarray) -> np.ndarray:
        """``(t, x)`` or ``(t, y, x)``."""
        if len(plane) == 1:
            return array[some]
        return array[(some, slice(None), slice(None), *middle)].swapaxes(1, 2)

    updates: list[Update] = []
    rows: Rows = []
    shown = np.unique([0, len(labels) // 2, len(labels) - 1])
    pairs = [(k, c) for k in shown for c in range(len(trained.family.unknowns))]
    colours = colours_of({f"{k} {c}": [truth[k, ..., c]] for k, c in pairs})
    for k, c in pairs:
        unknown = trained.family.unknowns[c]
        named = f"{unknown}{held_at(axes, space[2:])}\n{labels[k]}"
        found, true = images(predicted[k, ..., c]), images(truth[k, ..., c])
        if len(plane) == 1:
            rows.append([curves_panel(named, plane[0], axes[plane[0]], found, true, updates)])
            continue
        norm, error = colours[f"{k} {c}"], np.abs(found - true)
        rows.append(
            [
                _map(named, unknown, axes, plane, found, norm, updates),
                _map("reference", "", axes, plane, true, norm, updates),
                _map("|error|", "", axes, plane, error, error_colours(error), updates, True),
            ]
        )
    title = f"{trained.request['problem']}, rollouts"
    write_frames(title, time, axes[time], rows, updates, path, seconds)
    return path


def shown_of(count: int, seconds: float) -> Int[np.ndarray, " n"]:
    """The indices of the snapshots that an animation shows; always the first and the last."""
    some = np.linspace(0, count - 1, max(2, round(_RATE * seconds)))
    return np.unique(some.round().astype(int))


def _frames(
    solution: Drawable, reference: Reference | None, count: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], Grid | None]:
    """Axes, values at no more than so many times, and the reference there, if it is on a grid."""
    problem, domain = solution.problem, solution.problem.domain
    time = domain.time
    assert time is not None
    # A third coordinate of space is held at its middle.
    held = {name: np.array([np.mean(domain.bounds[name])]) for name in domain.space[2:]}
    shown = {1: 401, 2: 121, 3: 121}[len(domain.space)]
    fine = {name: np.linspace(*domain.bounds[name], shown) for name in domain.space}
    axes = {**fine, **held, time: np.linspace(*domain.bounds[time], count)}
    axes = {name: axes[name] for name in domain.coordinates}
    grid = None if reference is None else grid_of(solution, reference, axes)
    if grid is None:
        return axes, evaluated(solution, axes), None
    if problem.exact is None:
        line, along = grid.axes[time], domain.coordinates.index(time)
        at = np.unique(np.abs(line - axes[time][:, None]).argmin(1))
        grid = Grid(
            axes=grid.axes | {time: line[at]},
            values={u: np.take(array, at, along) for u, array in grid.values.items()},
            truth={u: np.take(array, at, along) for u, array in grid.truth.items()},
            kind=grid.kind,
        )
    # Unknowns that the reference does not know are evaluated at its points.
    more = {} if grid.values.keys() >= set(problem.unknowns) else evaluated(solution, grid.axes)
    return grid.axes, more | grid.values, grid


def _map(
    title: str,
    bar: str,
    axes: dict[str, np.ndarray],
    plane: tuple[str, ...],
    images: np.ndarray,
    colours: Colours,
    updates: list[Update],
    error: bool = False,
) -> Panel:
    """A map whose colours change; images ``(t, up, across)``."""
    still = map_panel(title, bar, axes, plane, images[0], colours, error=error)
    low = colours.norm.vmin if error else -np.inf

    def panel(ax: "Axes") -> None:
        still(ax)
        (mesh,) = ax.collections
        for text in ax.texts:
            text.remove()  # that this one frame is below the range

        def update(k: int) -> None:
            mesh.set_array(np.ma.masked_invalid(np.maximum(images[k], low)))

        updates.append(update)

    return panel


def curves_panel(
    label: str,
    across: str,
    x: np.ndarray,
    found: np.ndarray,
    true: np.ndarray | None,
    updates: list[Update],
) -> Panel:
    """Curves that move ``(t, x)``, the reference dashed; their axis stays."""
    arrays = [found] if true is None else [found, true]

    def panel(ax: "Axes") -> None:
        styles: list[dict[str, Any]] = [
            {"color": COLORS[0], "linewidth": 1.8, "label": "solution"},
            {"color": "black", "linewidth": 0.9, "linestyle": "--", "label": "reference"},
        ]
        lines = [
            ax.plot(x, array[0], **style)[0] for array, style in zip(arrays, styles, strict=False)
        ]
        low, high = _limits(found, true)
        margin = 0.05 * (high - low) or 1.0
        ax.set(title=label, xlabel=across, ylim=(low - margin, high + margin))
        legend_beside(ax)

        def update(k: int) -> None:
            for line, array in zip(lines, arrays, strict=True):
                line.set_ydata(array[k])

        updates.append(update)

    return panel


def _limits(found: np.ndarray, true: np.ndarray | None) -> tuple[float, float]:
    """What an axis shows: all, but of a rollout that diverges only what is near the truth."""
    low, high = range_of(found)
    if true is None:
        return low, high
    least, most = range_of(true)
    near = (most - least) / 2
    return min(least, max(low, least - near)), max(most, min(high, most + near))


def write_frames(
    title: str,
    time: str,
    times: np.ndarray,
    rows: Rows,
    updates: list[Update],
    path: Path,
    seconds: float,
) -> None:
    """Draw every frame and write them; `updates` is filled when the panels are drawn.

    What is there already is replaced once the last frame is written.
    """
    from matplotlib.animation import FFMpegWriter

    heading_at = _headings(title, time, times)
    figure = drawn(heading_at[-1], rows, [], None)
    (heading,) = figure.texts
    figure.set_dpi(_DPI)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # no frame moves the panels

    def show(k: int) -> None:
        for update in updates:
            update(k)
        heading.set_text(heading_at[k])

    with replacing(path) as temporary:
        if path.suffix.lower() == ".gif":
            _write_gif(figure, show, len(times), temporary, seconds)
            return
        rate: Any = len(times) / seconds  # stubs want whole numbers
        writer = FFMpegWriter(fps=rate, extra_args=["-f", "mp4"])  # the temporary name says nothing
        with writer.saving(figure, str(temporary), _DPI):
            for k in range(len(times)):
                show(k)
                writer.grab_frame()


def _headings(title: str, time: str, times: np.ndarray) -> list[str]:
    """The title with each time, to as many digits as tell them apart; of times far from one, in
    powers of ten.
    """
    largest, step = np.max(np.abs(times)), np.ptp(times) / 100
    digits = int(np.floor(np.log10(step)))
    if -4 <= digits and largest < 1e6:
        return [f"{title}, {time} = {at:.{max(0, -digits)}f}" for at in times]
    digits = max(0, int(np.floor(np.log10(largest))) - digits)
    return [f"{title}, {time} = {at:.{digits}e}" for at in times]


def _write_gif(
    figure: Any, show: Callable[[int], None], count: int, path: Path, seconds: float
) -> None:
    """Write the frames that `show` makes of a figure, one at a time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)

    def frames() -> Iterator[Any]:
        for k in range(count):
            show(k)
            canvas.draw()
            yield Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])

    pictures = frames()
    ends = 10 * np.round(100 * np.linspace(0, seconds, count + 1)).astype(int)  # files count so
    next(pictures).save(
        path,
        format="GIF",
        save_all=True,
        append_images=pictures,
        duration=np.diff(ends).tolist(),
        loop=0,
    )
