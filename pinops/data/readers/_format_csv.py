"""Tables as text: a line of names, then a line of numbers for each observation.

Columns are separated by commas, semicolons, tabs or spaces; a unit follows its name in brackets,
``u [m/s]``; an empty field is a missing value.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np

from pinops.data._hdf5 import DataFileError, said
from pinops.data.readers._found import Entry, Found, shown

_SUFFIXES = (".csv", ".tsv", ".txt", ".dat")
_LINE = 100_000  # characters of the line of names
_COLUMNS = 1000
_UNIT = re.compile(r"^(.*?)\s*[\[(]([^\])]*)[\])]$")


def matches(path: Path) -> bool:
    """By its name."""
    return path.is_file() and path.suffix.lower() in _SUFFIXES


def look(path: Path) -> Found:
    """The columns; as text has no index, the numbers are read here."""
    names, units, delimiter = _header(path)
    try:
        table = _numbers(path, delimiter)
    except (ValueError, OSError, MemoryError) as error:
        raise DataFileError(
            f"{path} cannot be read: after its line of names every line must have "
            f"{len(names)} numbers ({said(error)})"
        ) from error
    if table.shape[1] != len(names) or not len(table):
        raise DataFileError(
            f"{path} cannot be read: it names {len(names)} columns, and has {len(table)} lines of "
            f"{table.shape[1]} numbers"
        )
    arrays = {}
    for name, unit, column in zip(names, units, table.T, strict=True):
        attributes = {"units": unit} if unit else {}
        arrays[name] = Entry(column.shape, "float64", _given(column), attributes)
    return Found(path, "CSV", arrays)


def _given(column: np.ndarray) -> Any:
    return lambda: column


def _header(path: Path) -> tuple[list[str], list[str], str | None]:
    try:
        with open(path, encoding="utf-8-sig") as file:
            line = file.readline(_LINE).strip().lstrip("#").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise DataFileError(f"{path} cannot be read: it is no text ({said(error)})") from error
    delimiter = next((mark for mark in ",;\t" if mark in line), None)
    parts = [part.strip().strip("\"'").strip() for part in line.split(delimiter)]
    if not line or len(parts) > _COLUMNS or all(_is_number(part) for part in parts):
        raise DataFileError(
            f"{path} cannot be read: its first line must name the columns, such as x,y,u, got "
            f"{shown(line)!r}; numbers alone are read by np.loadtxt, for po.Dataset.from_arrays"
        )
    split = [_UNIT.match(part) for part in parts]
    names = [m[1].strip() if m else part for m, part in zip(split, parts, strict=True)]
    units = [m[2].strip() if m else "" for m in split]
    if len(set(names)) < len(names) or not all(names):
        raise DataFileError(f"{path} cannot be read: two of its columns have the same or no name")
    return names, units, delimiter


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(path: Path, delimiter: str | None) -> np.ndarray:
    options: dict[str, Any] = {"delimiter": delimiter, "skiprows": 1, "ndmin": 2}
    options |= {"encoding": "utf-8", "comments": None}
    if "\n" not in path.read_text(encoding="utf-8").strip():  # the names and nothing else
        return np.zeros((0, 0))
    try:
        return np.loadtxt(path, **options)
    except ValueError:  # slower, with empty fields
        return np.loadtxt(path, converters=_or_missing, **options)


def _or_missing(text: str) -> float:
    return float(text) if text.strip() else np.nan
