"""Short tables in HTML: what notebooks show of an object, and what a report consists of.

Two instances: the rows of a data set in a notebook, the settings of a run in its report.
"""

from collections.abc import Mapping, Sequence
from html import escape

_NO: tuple[object, ...] = ("", [], (), {})


class Markup(str):
    """A text that is HTML already, such as a formula."""


def as_table(rows: Mapping[str, object], title: str = "") -> str:
    """A table of two columns, escaped but for `Markup`; rows without a value are left out.

    Args:
        rows: What stands beside each name: a text, a number, or a list or table of them, each in a
            line.
        title: Above the table; "": nothing.
    """
    known = {name: value for name, value in rows.items() if value is not None and value not in _NO}
    body = "".join(
        f'<tr><th style="text-align:left;vertical-align:top">{escape(name)}</th>'
        f'<td style="text-align:left">{_cell(value)}</td></tr>'
        for name, value in known.items()
    )
    above = f"<caption>{escape(title)}</caption>" if title else ""
    return f"<table>{above}{body}</table>"


def as_grid(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with a line of names above, all of it escaped."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>" for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: object) -> str:
    if isinstance(value, Markup):
        return value
    if isinstance(value, Mapping):
        return "<br>".join(f"{escape(str(name))}: {_cell(each)}" for name, each in value.items())
    if isinstance(value, list | tuple):
        return "<br>".join(_cell(line) for line in value)
    return escape(f"{value:.6g}" if isinstance(value, float) else str(value))
