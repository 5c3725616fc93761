"""Arrays at the points of each sample, one for each, and what can be wrong with them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pinops._numbers import real


def _of_samples(name: str, given: Any, count: int, where: str) -> list[np.ndarray]:
    """An array of real numbers for each sample."""
    arrays = [real(np.asarray(a), f"{where}: {name}[{k}]") for k, a in enumerate(given)]
    if len(arrays) != count:
        raise ValueError(f"{where}: {name} has {len(arrays)} samples, and there are {count}")
    return arrays


def at_points(name: str, given: Any, sizes: Sequence[int], where: str) -> list[np.ndarray]:
    """A list of arrays, one number (or a row of them) for each point of each sample."""
    arrays = _of_samples(name, given, len(sizes), where)
    tail = arrays[0].shape[1:]
    for k, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
        if array.shape != (size, *tail) or len(tail) > 1:
            raise ValueError(
                f"{where}: {name} of sample {k} has the shape {array.shape}, and the sample has "
                f"{size} points"
            )
    return arrays


def in_time(
    name: str, given: Any, sizes: Sequence[int], times: int, where: str
) -> list[np.ndarray]:
    """The values of each sample ``(t, m_k[, c])``, turned round to ``(m_k, t[, c])``."""
    arrays = _of_samples(name, given, len(sizes), where)
    tail = arrays[0].shape[2:]
    for k, (array, size) in enumerate(zip(arrays, sizes, strict=True)):
        if array.shape != (times, size, *tail) or len(tail) > 1:
            raise ValueError(
                f"{where}: {name} of sample {k} has the shape {array.shape}; it must be ({times}, "
                f"{size}), times and points, perhaps with channels at the end"
            )
    return [np.ascontiguousarray(np.swapaxes(array, 0, 1)) for array in arrays]


def by_channel(name: str, arrays: list[np.ndarray], axes: int) -> dict[str, list[np.ndarray]]:
    """An output by unknown: itself, or the channels behind its axes."""
    tail = arrays[0].shape[axes:]
    if not tail:
        return {name: arrays}
    if tail == (1,):
        return {name: [array[..., 0] for array in arrays]}
    return {f"{name}{c}": [array[..., c] for array in arrays] for c in range(tail[0])}


def cells_of(given: Any, sizes: Sequence[int], where: str) -> list[np.ndarray]:
    """The corners of the cells of each sample, by the number of a point."""
    cells = list(given) if isinstance(given, list | tuple) else [given] * len(sizes)
    if len(cells) != len(sizes):
        raise ValueError(f"{where}: there are cells of {len(cells)} samples, and {len(sizes)}")
    out = []
    for k, (own, size) in enumerate(zip(cells, sizes, strict=True)):
        array = np.asarray(own)
        if array.ndim != 2 or array.dtype.kind not in "iu":
            raise ValueError(
                f"{where}: the cells of sample {k} must be whole numbers (cells, corners), got "
                f"{array.dtype} of the shape {array.shape}"
            )
        if array.size and (array.min() < 0 or array.max() >= size):
            raise ValueError(
                f"{where}: a cell of sample {k} has the corner {int(array.max())}, and the sample "
                f"has {size} points, numbered from 0"
            )
        out.append(array.astype(np.int32))
    return out
