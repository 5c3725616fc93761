"""Tables of observations: columns ``x``, ``y``, ``z``, ``t`` say where, the others what was seen.

A column ``sample`` says which lines belong together. Samples that were observed at the same points
share them; points that fill a grid are one. A column that is one number for each sample is a
parameter.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pinops.data._contents import Contents
from pinops.data.readers._found import Found, plain, shown
from pinops.data.readers._roles import INPUTS, axis_of

_SAMPLES = frozenset({"sample", "samples", "member", "trajectory", "run", "case"})


def matches(found: Found) -> bool:
    """Whether it is a table with a column of coordinates and another one."""
    where = [name for name in found.arrays if axis_of(name)]
    return found.format == "CSV" and bool(where) and len(_seen(found, where)) > 0


def _seen(found: Found, where: Sequence[str]) -> list[str]:
    return [n for n in found.arrays if n not in where and n.lower() not in _SAMPLES]


def read(found: Found) -> Contents:
    """Samples of scattered observations, or of those on a grid."""
    axes = {axis_of(name): name for name in found.arrays if axis_of(name)}
    seen = _seen(found, list(axes.values()))
    if len(axes) < sum(axis_of(name) is not None for name in found.arrays):
        raise found.error("two of its columns are the same coordinate; rename one")
    names = [axis for axis in ("t", "x", "y", "z") if axis in axes]
    points = np.stack([np.asarray(found.array(axes[name])) for name in names], axis=1)
    values = {name: np.asarray(found.array(name)) for name in seen}
    groups = _groups(found)
    if not np.isfinite(points).all():
        row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
        raise found.error(f"line {row + 2} has a coordinate that is missing or not finite")
    constant = _constant(values, groups)
    parameters = {plain(n): np.asarray([values[n][rows[0]] for rows in groups]) for n in constant}
    values = {plain(name): array for name, array in values.items() if name not in constant}
    coordinates, arrays = _laid(found, names, [points[rows] for rows in groups], values, groups)
    inputs = {n: a for n, a in arrays.items() if n.lower() in INPUTS and len(arrays) > 1}
    return Contents(
        outputs={name: array for name, array in arrays.items() if name not in inputs},
        inputs=inputs,
        coordinates=coordinates,
        parameters=parameters,
        time="t" if isinstance(coordinates, dict) and "t" in names else None,
        units=found.units({name: plain(name) for name in seen} | {axes[n]: n for n in names}),
        source=str(found.path),
    )


def _groups(found: Found) -> list[np.ndarray]:
    """The lines of each sample, in the order in which samples appear."""
    column = next((name for name in found.arrays if name.lower() in _SAMPLES), None)
    if column is None:
        return [np.arange(next(iter(found.arrays.values())).shape[0])]
    labels = np.asarray(found.array(column))
    if not np.isfinite(labels).all():
        raise found.error(f"a number in the column {shown(column)} is missing")
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(inverse))[:-1])
    return [parts[k] for k in np.argsort(first)]


def _constant(values: dict[str, np.ndarray], groups: Sequence[np.ndarray]) -> list[str]:
    """Columns that are one number for each sample; the last one is left as an unknown."""
    if len(groups) < 2 or max(len(rows) for rows in groups) < 2:
        return []
    same = [n for n, a in values.items() if all((a[rows] == a[rows[0]]).all() for rows in groups)]
    return same if len(same) < len(values) else []


def _laid(
    found: Found,
    names: Sequence[str],
    points: Sequence[np.ndarray],
    values: dict[str, np.ndarray],
    groups: Sequence[np.ndarray],
) -> tuple[Any, dict[str, Any]]:
    """Coordinates, and values on them: a grid, shared points, or points of each sample."""
    orders = [np.lexsort(own.T[::-1]) for own in points]
    ordered = [own[order] for own, order in zip(points, orders, strict=True)]
    shared = all(np.array_equal(own, ordered[0]) for own in ordered)
    axes = [np.unique(column) for column in ordered[0].T]
    sizes = [len(axis) for axis in axes]
    full = shared and int(np.prod(sizes, dtype=object)) == len(ordered[0])
    # As many points as the grid has, and none twice: they are the grid.
    full = full and not (np.diff(ordered[0], axis=0) == 0).all(axis=1).any()
    shape = sizes if full else [len(ordered[0])]
    if full or (shared and len(groups) > 1):
        rows = np.stack([own[order] for own, order in zip(groups, orders, strict=True)])
        arrays: dict[str, Any] = {n: a[rows].reshape(-1, *shape) for n, a in values.items()}
    else:
        arrays = {name: [array[own] for own in groups] for name, array in values.items()}
    if full:
        return dict(zip(names, axes, strict=True)), arrays
    if "t" in names:
        raise found.error(
            "its observations have times and do not fill a grid, and scattered points of a data "
            "set have places only; give them to po.solve as observations, or interpolate them"
        )
    return (ordered[0] if shared and len(groups) > 1 else list(points)), arrays
