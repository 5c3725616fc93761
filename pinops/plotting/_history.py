"""Panels of a training: terms of the loss, errors and coefficients over the steps."""

from itertools import cycle, pairwise
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from pinops.plotting._drawing import COLORS, Drawable, Panel
from pinops.reference import Reference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDEST = 28  # characters of a line beside a panel


def history_panels(solution: Drawable, reference: Reference | None) -> list[Panel]:
    """Panels of loss terms, of errors where they are known, and of each coefficient sought."""
    history = solution.history
    if not history:
        return []
    panels = loss_panels(solution)
    if history[-1].errors and reference is not None:
        panels.append(_errors(solution, reference))
    return panels + [_coefficient(solution, name) for name in history[-1].coefficients]


def _over_steps(ax: "Axes", solution: Any, curves: dict[str, list[float]], **style: Any) -> None:
    """Curves over the steps; a thin line where one optimizer hands over to the next."""
    steps = [report.step for report in solution.history]
    marker = "." if len(steps) < 20 else ""
    for (label, values), color in zip(curves.items(), cycle(COLORS)):
        ax.plot(steps, values, color=color, linewidth=1.3, marker=marker, label=label, **style)
    for before, after in pairwise(solution.history):
        if before.phase != after.phase:
            ax.axvline(before.step, color="0.6", linewidth=0.8)
    ax.set_xlabel("step")
    ax.locator_params(axis="x", integer=True)


def logarithmic(ax: "Axes", mark: float = np.nan) -> bool:
    """A logarithmic axis over whole decades.

    Args:
        ax: The axes.
        mark: A value that it should show; not one so far off as to squeeze the curves.

    Returns:
        Whether the mark lies inside the axis.
    """
    from matplotlib.ticker import NullFormatter

    ax.set_yscale("log")
    low, high = ax.dataLim.intervaly
    if not 0 < low <= high < np.inf:
        return False
    inside = low / 1000 < mark < 1000 * high
    low, high = (min(low, mark), max(high, mark)) if inside else (low, high)
    ax.set_ylim(10.0 ** np.floor(np.log10(low) - 0.02), 10.0 ** np.ceil(np.log10(high) + 0.02))
    ax.yaxis.set_minor_formatter(NullFormatter())
    return inside


def legend_beside(ax: "Axes") -> None:
    """A legend on the right; long names, as of a condition on six edges, take several lines."""
    handles, names = ax.get_legend_handles_labels()
    lines = [
        fill(name.replace("+", " + "), _WIDEST)
        if max(map(len, name.split("\n"))) > _WIDEST
        else name
        for name in names
    ]
    ax.legend(
        handles,
        lines,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.02),
        handlelength=1.4,
        frameon=False,
    )


def loss_panels(solution: Any, measure: str = "mean square") -> list[Panel]:
    """The loss over the steps; nothing of what was loaded as weights, which have no history."""
    history = solution.history
    if not history or not history[-1].terms:
        return []
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
            legend_beside(ax)
        logarithmic(ax)
        ax.set(title=f"loss: {', then '.join(phases)}", ylabel=quantity)

    return [panel]


def _errors(solution: Drawable, reference: Reference) -> Panel:
    names = [name for name in solution.problem.unknowns if name in solution.history[-1].errors]
    curves = {
        name: [report.errors.get(name, np.nan) for report in solution.history] for name in names
    }
    floor = max(reference.error_bar[name] for name in names)

    def panel(ax: "Axes") -> None:
        _over_steps(ax, solution, curves)
        title, label = f"error against {reference.kind}", f"error bar of\nreference: {floor:.0e}"
        if logarithmic(ax, floor):
            ax.axhline(floor, color="black", linestyle="--", linewidth=1.0, label=label)
        else:
            title += f"\n(its error bar: {floor:.0e})"
        ax.set(title=title, ylabel="relative L2 error")
        legend_beside(ax)

    return panel


def _coefficient(solution: Drawable, name: str) -> Panel:
    values = [report.coefficients[name] for report in solution.history]

    def panel(ax: "Axes") -> None:
        _over_steps(ax, solution, {name: values})
        ax.axhline(values[-1], color="0.6", linestyle=":", linewidth=1.0)
        ax.set(title=f"{name} = {values[-1]:.6g}", ylabel=name)

    return panel
