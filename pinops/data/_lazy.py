"""Arrays that are read when they are asked for."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_KEPT = 64 * 2**20  # bytes of rows


class Lazy:
    """An array in a file, whose rows are read when they are asked for.

    Args:
        shape: ``(n, ...)``.
        dtype: Of the numbers.
        read: From ``slice(start, stop)``, ``0 <= start <= stop <= n``, to those rows.
    """

    def __init__(self, shape: Sequence[int], dtype: Any, read: Callable[[slice], np.ndarray]):
        self.shape = tuple(int(length) for length in shape)
        self.dtype = np.dtype(dtype)
        self._read = read

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            numbers = range(len(self))[rows]
            if numbers.step == 1:
                return self._read(slice(numbers.start, max(numbers.start, numbers.stop)))
            rows = np.asarray(numbers, int)
        if isinstance(rows, int | np.integer):
            number = range(len(self))[rows]
            return self._read(slice(number, number + 1))[0]
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        if not rows.size:
            return self._read(slice(0, 0))
        return np.stack([self[int(row)] for row in rows])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)


def columns(array: Any, names: Sequence[str]) -> dict[str, Any]:
    """The channels at the end of an array by name.

    The rows that were read last are kept if they are few, since a reader of samples asks for them
    once for each name; nobody may write into them.
    """
    last: dict[tuple[int, int], np.ndarray] = {}

    def rows_of(rows: slice) -> np.ndarray:
        key = (rows.start, rows.stop)
        if key in last:
            return last[key]
        some = array[rows]
        last.clear()
        if some.nbytes <= _KEPT:
            some.flags.writeable = False
            last[key] = some
        return some

    if isinstance(array, np.ndarray):
        return {name: array[..., k] for k, name in enumerate(names)}
    return {
        name: Lazy(array.shape[:-1], array.dtype, lambda rows, k=k: rows_of(rows)[..., k])
        for k, name in enumerate(names)
    }
