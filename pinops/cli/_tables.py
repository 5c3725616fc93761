"""Tables of plain aligned text: numbers are never cut, and only the last column is wrapped."""

import shutil
import textwrap
from collections.abc import Sequence
from typing import Any

from pinops._numbers import as_json

_NARROWEST = 24  # columns that are left for text in any case
_GAP = "  "


def table(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None) -> str:
    """Rows below a header, each column as wide as its longest cell; the last one is wrapped.

    Args:
        header: The names of the columns.
        rows: As many cells each.
        width: Columns in all (default: those of the terminal, 80 elsewhere).
    """
    width = shutil.get_terminal_size().columns if width is None else width
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    left = max(_NARROWEST, width - sum(w + len(_GAP) for w in widths[:-1]))
    widths[-1] = min(widths[-1], left)
    rule = ["-" * w for w in widths]
    lines = []
    for row in [header, rule, *rows]:
        first, *more = textwrap.wrap(row[-1], widths[-1]) or [""]
        cells = [cell.ljust(w) for cell, w in zip(row[:-1], widths, strict=False)]
        lines.append(_GAP.join([*cells, first]).rstrip())
        lines += [" " * (sum(widths[:-1]) + len(_GAP) * len(cells)) + part for part in more]
    return "\n".join(lines)


def show(result: dict[str, Any], *, json_: bool) -> None:
    """Print the summary of a result on stdout: one line of JSON, or tables for people."""
    print(as_json(result) if json_ else "\n".join(_lines(result)))


def _lines(result: dict[str, Any]) -> list[str]:
    lines = [*_errors(result), *_rollouts(result)]
    if not lines:
        lines = ["there is no reference to compare with; a family's errors are found with --data"]
    lines.append(
        f"{result['status']} after {result['steps']} steps, {result['seconds']:.0f} s "
        f"({result['compile_seconds']:.0f} s of it compiling), {result['parameters']} parameters"
    )
    lines += [f"  {line}" for line in result.get("conditions", ())]
    if "tested" not in result and "rollout" not in result:
        lines += [f"  {k} = {v}" for k, v in result.get("coefficients", {}).items()]
    return [*lines, f"kept in {result['out']}"]


def _errors(result: dict[str, Any]) -> list[str]:
    """The relative L2 errors, with what they are the mean of."""
    errors = result["errors"]
    if not errors:
        return []
    bars = (result.get("reference") or {}).get("error_bar")
    if bars is not None:
        header = ("unknown", "relative L2 error", "largest error", "error bar of reference")
        rows = [
            (name, f"{error['mean']:.2e}", f"{error['max_abs']:.2e}", f"{bars[name]:.0e}")
            for name, error in errors.items()
        ]
        return [table(header, rows)]
    header = ("relative L2 error of", "mean", "deviation", "median", "worst")
    columns = ("mean", "std", "median", "worst")
    rows = [
        (name, *(f"{error[column]:.2e}" for column in columns)) for name, error in errors.items()
    ]
    lines = [table(header, rows)]
    if result.get("tested"):
        lines.append(f"over {result['tested']} unseen problems")
    if result.get("members"):
        lines.append(f"over {len(result['members'])} members of the ensemble")
    if result.get("averaged"):
        lines.append(f"of the mean of {result['averaged']} members")
    return lines


def _rollouts(result: dict[str, Any]) -> list[str]:
    """The errors of whole trajectories, by value of the parameters."""
    if not result.get("rollout"):
        return []
    header = ("nRMSE", "of fluctuation", "RMSE", "correlated", "rollouts of")
    rows = []
    for label, found in result["rollout"].items():
        numbers = [f"{found[name]:.2e}" for name in ("nrmse", "fluctuation", "rmse")]
        rows.append((*numbers, f"{found['correlated']:.0%}", label))
    return [table(header, rows), *_lead_times(result["lead_times"])]


def _lead_times(found: dict[str, list[float]]) -> list[str]:
    """The errors of a rollout by unknown, after the first, the middle and the last step."""
    steps = found["steps"]
    shown = sorted({0, len(steps) // 2, len(steps) - 1})
    header = ("relative L2 error after steps", *(str(steps[k]) for k in shown))
    rows = [
        (name, *(f"{errors[k]:.2e}" for k in shown))
        for name, errors in found.items()
        if name != "steps"
    ]
    return [table(header, rows)]
