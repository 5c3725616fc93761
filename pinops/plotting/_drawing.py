"""Figures of rows of panels: a panel is a function that draws into given axes."""

from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pinops.data import replacing
from pinops.problem import Problem
from pinops.reference import Reference
from pinops.training import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
_STYLE: Any = {"font.size": 9, "axes.titlesize": 9, "figure.titlesize": 10, "legend.fontsize": 8}
# Okabe & Ito (2008): told apart by the colour-blind too.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_WIDEST = 32  # characters of a line of a title
_PANEL = (3.2, 2.7)  # width and height of a panel, in inches
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
    def steps(self) -> int: ...
    @property
    def reference(self) -> Any: ...
    @property
    def x64(self) -> bool: ...
    @property
    def deviation(self) -> "Drawable | None": ...
    def values(self, coordinates: Mapping[str, Any]) -> dict[str, np.ndarray]: ...
    def error(self, data: Reference | None = None) -> Mapping[str, Mapping[str, float]]: ...


class Rollouts(Protocol):
    """A surrogate, as far as a figure of its rollouts goes."""

    @property
    def given(self) -> int: ...
    @property
    def family(self) -> Problem: ...
    @property
    def request(self) -> Mapping[str, Any]: ...
    @property
    def history(self) -> Sequence[Report]: ...
    @property
    def grid(self) -> Any: ...


class Maps(Protocol):
    """A steady map, as far as a figure of it goes."""

    @property
    def family(self) -> Problem: ...
    @property
    def request(self) -> Mapping[str, Any]: ...
    @property
    def history(self) -> Sequence[Report]: ...


def drawn(
    title: str,
    rows: Rows,
    history: list[Panel],
    path: str | Path | None,
    panel_size: tuple[float, float] = _PANEL,
) -> "Figure":
    import matplotlib
    from matplotlib.figure import Figure  # not pyplot: no global state, no display
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = max([len(row) for row in rows], default=0)
    across, up = panel_size
    width = max(across * columns, 4.0 * len(history), 4.0)
    height = up * (len(rows) + bool(history)) + 0.3
    with matplotlib.rc_context(_STYLE):
        figure = Figure(
            figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(wspace=0.06)
        )
        figure.suptitle(title, wrap=True)
        parts = [part for part in (rows, [history] if history else []) if part]
        ratios = [len(part) for part in parts]
        halves = figure.subfigures(len(parts), 1, height_ratios=ratios, squeeze=False)[:, 0]
        for half, part in zip(halves, parts, strict=True):
            beside = max(len(row) for row in part)
            axes = half.subplots(len(part), beside, squeeze=False)
            for row, row_axes in zip(part, axes, strict=True):
                for panel, ax in zip_longest(row, row_axes):
                    ax.set_axis_off() if panel is None else panel(ax)
            for ax in half.axes:  # with those that took the place of others
                ax.set_title(_broken(ax.get_title(), max(1.0, width / (across * beside))))
    if path is not None:
        write_figure(figure, path)
    _show_in_notebooks(figure)
    return figure


def _broken(title: str, panels: float) -> str:
    """A title in lines that fit above so many panels, broken after commas where there are some."""
    widest = int(panels * _WIDEST)
    lines = [
        part
        for line in title.split("\n")
        for part in (line if len(line) <= widest else line.replace(", ", ",\n")).split("\n")
    ]
    return "\n".join(fill(line, widest) for line in lines)


def write_figure(figure: "Figure", path: str | Path) -> None:
    """Write a figure to a file, whose folder is made (150 dpi).

    Raises:
        ValueError: For a file that no picture is written to.
        OSError: When it cannot be written.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise ValueError(f"a figure is a .png, .pdf or .svg file, got {path}; name it so")
    with replacing(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=DPI, bbox_inches="tight")


def as_png(figure: "Figure") -> bytes:
    """A picture of a figure, as the content of a file."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    return buffer.getvalue()


def _show_in_notebooks(figure: "Figure") -> None:
    """Give the figure a picture of itself: without pyplot, IPython does not know how to draw it."""

    def picture() -> bytes:
        return as_png(figure)

    figure._repr_png_ = picture  # pyright: ignore[reportAttributeAccessIssue]
