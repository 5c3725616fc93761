"""Where the samples of a data set lie: in memory, in a file of ours, or in several places.

A store gives blocks of consecutive samples. Of the blocks that were read last, some stay in memory;
how many samples a block has follows from their size, so that a data set larger than memory can be
read, and shuffled by blocks.
"""

import abc
import hashlib
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from pinops.data._contents import Arrays, Layout
from pinops.data._hdf5 import digest_of
from pinops.settings import share_of_memory

BLOCK = 32  # samples that are read together, fewer where they are large
_BLOCK_BYTES = 16 * 2**20
_CACHE_BYTES = 256 * 2**20  # less where memory is small
Rows = dict[str, Any]  # arrays with a sample in each row, or lists of arrays
Numbers = Int[np.ndarray, " b"]
Pairs = Int[np.ndarray, "k 2"]


class Store(abc.ABC):
    """Abstract: samples in blocks.

    Attributes:
        path: Of the file, or what messages call it.
        count: How many samples.
        block: How many of them are read together.
        coordinates: Those that all samples share, as they broadcast against each other.
        layout: What the arrays are.
        longest: The most rows of a sample, by name, of what differs in size.
        settings: How members of a family were made; None for other data.
        kind: Of the reference that they were made with; "" for other data.
        source: Of that reference, or where the arrays come from.
    """

    path: Path | str
    count: int
    block: int
    coordinates: dict[str, np.ndarray]
    layout: Layout
    longest: Mapping[str, int]
    settings: dict[str, Any] | None = None
    kind: str = ""
    source: str = ""

    def __init__(self) -> None:
        self._cache: OrderedDict[int, tuple[int, Rows]] = OrderedDict()
        self._held, self._most = 0, share_of_memory(_CACHE_BYTES)

    @abc.abstractmethod
    def read(self, block: int) -> Rows:
        """The samples of one block."""

    @property
    @abc.abstractmethod
    def digest(self) -> str:
        """A checksum of the whole."""

    @property
    def origin(self) -> str:
        """What tells whether samples of the same number are the same; by default the digest."""
        return self.digest

    def identified(self, numbers: Numbers) -> dict[str, Pairs]:
        """Where samples first come from: by origin, which of ``numbers`` are from there, and their
        numbers there.
        """
        return {self.origin: np.stack([np.arange(len(numbers)), numbers], -1)}

    def cached(self, block: int) -> Rows:
        """The samples of one block, from memory where they were read lately."""
        if block in self._cache:
            self._cache.move_to_end(block)
            return self._cache[block][1]
        rows = self.read(block)
        size = sum(_bytes(value) for value in rows.values())
        self._cache[block] = size, rows
        self._held += size
        while self._held > self._most and len(self._cache) > 1:
            _, (freed, _) = self._cache.popitem(last=False)
            self._held -= freed
        return rows


def _bytes(value: Any) -> int:
    return sum(a.nbytes for a in value) if isinstance(value, list) else value.nbytes


def _type_of(value: Any) -> np.dtype:
    """Of an array, or the one that holds the numbers of all arrays of a list."""
    return np.result_type(*{one.dtype for one in value}) if isinstance(value, list) else value.dtype


def _as_type(value: Any, dtype: np.dtype) -> Any:
    if isinstance(value, list):
        return [one.astype(dtype, copy=False) for one in value]
    return value.astype(dtype, copy=False)


class ArrayStore(Store):
    """Arrays in memory, or lazy ones."""

    def __init__(self, arrays: Arrays):
        super().__init__()
        self.path, self.count = arrays.source, arrays.count
        self.coordinates, self.layout = arrays.coordinates, arrays.layout
        self.source = arrays.source
        # Of one type each, as in a file, whose blocks would lose digits otherwise.
        self._stored = {
            name: _as_type(array, _type_of(array)) if isinstance(array, list) else array
            for name, array in arrays.stored.items()
        }
        self.block = _block_of(self._stored)
        own = ["points", "cells", *(f"inputs/{name}" for name in arrays.layout.sensors)]
        self.longest = {
            name: max(len(one) for one in self._stored[name])
            for name in own
            if name in self._stored
        }
        self._digest = ""

    def read(self, block: int) -> Rows:
        here = slice(block * self.block, (block + 1) * self.block)
        rows = {}
        for name, array in self._stored.items():
            some = array[here]
            rows[name] = some if isinstance(some, list) else np.asarray(some)
        return rows

    @property
    def digest(self) -> str:
        """Of all arrays in memory; of lazy ones of the first and the last block."""
        if not self._digest:
            digest = hashlib.sha256(repr(self.layout).encode())
            digest.update(digest_of(self.coordinates).encode())
            for name, array in sorted(self._stored.items()):
                digest.update(_digest_of_rows(name, array, self.block).encode())
            self._digest = digest.hexdigest()[:16]
        return self._digest


def _digest_of_rows(name: str, array: Any, block: int) -> str:
    if isinstance(array, list):
        return digest_of({f"{name} {k}": one for k, one in enumerate(array)})
    if isinstance(array, np.ndarray):
        return digest_of({name: array})
    ends = {"first": np.asarray(array[:block]), "last": np.asarray(array[-block:])}
    return digest_of(ends, f"{name} {tuple(array.shape)}")


def _block_of(stored: Mapping[str, Any]) -> int:
    """How many samples are read together: few enough to be small, 32 at most."""
    size = 0
    for array in stored.values():
        if isinstance(array, list):
            size += max(one.nbytes for one in array)
        else:
            size += int(np.prod(array.shape[1:], dtype=np.int64)) * np.dtype(array.dtype).itemsize
    return int(np.clip(_BLOCK_BYTES // max(size, 1), 1, BLOCK))


class Joined(Store):
    """The samples of several stores of the same layout, one behind the other."""

    def __init__(self, stores: Sequence[Store]):
        super().__init__()
        first = stores[0]
        self._stores = list(stores)
        self.path = " + ".join(str(store.path) for store in stores)
        self.count = sum(store.count for store in stores)
        self.block = min(store.block for store in stores)
        for other in stores[1:]:
            _check_joinable(first, other)
        self.coordinates, self.layout = first.coordinates, _joined_layout(stores)
        self.settings, self.kind, self.source = None, first.kind, self.path
        # Of one type each, whichever store a block comes from.
        samples = [gathered(store, np.arange(1)) for store in stores]
        self._types = {
            name: np.result_type(*(_type_of(rows[name]) for rows in samples))
            for name in sorted(set.intersection(*map(set, samples)))
        }
        self.longest = {
            name: max(store.longest.get(name, 0) for store in stores) for name in first.longest
        }

    def read(self, block: int) -> Rows:
        numbers = range(block * self.block, min((block + 1) * self.block, self.count))
        parts, begin = [], 0
        for store in self._stores:
            own = range(max(numbers.start - begin, 0), min(numbers.stop - begin, store.count))
            if len(own):
                parts.append(gathered(store, np.asarray(own)))
            begin += store.count
        return {
            name: _as_type(joined([part[name] for part in parts]), dtype)
            for name, dtype in self._types.items()
        }

    def identified(self, numbers: Numbers) -> dict[str, Pairs]:
        found: dict[str, list[Pairs]] = {}
        begin = 0
        for store in self._stores:
            own = np.flatnonzero((numbers >= begin) & (numbers < begin + store.count))
            known = store.identified(numbers[own] - begin) if len(own) else {}
            for origin, pairs in known.items():
                which, theirs = pairs.T
                found.setdefault(origin, []).append(np.stack([own[which], theirs], -1))
            begin += store.count
        return {origin: np.concatenate(parts) for origin, parts in found.items()}

    @property
    def digest(self) -> str:
        text = " ".join(store.digest for store in self._stores)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_joinable(first: Store, other: Store) -> None:
    """Raises ValueError where samples of two stores cannot be rows of one array."""
    both = f"{first.path} and {other.path} cannot be joined"
    for what in ("kind", "time", "names", "unknowns", "inputs", "parameters", "sensors", "scalars"):
        own, theirs = getattr(first.layout, what), getattr(other.layout, what)
        if own != theirs:
            verb = "is" if what in ("kind", "time") else "are"
            raise ValueError(f"{both}: {what} {verb} {own} and {theirs}; make them the same")
    units = other.layout.units
    for name, unit in first.layout.units.items():
        if units.get(name, unit) != unit:
            raise ValueError(
                f"{both}: the unit of {name} is {unit} and {units[name]}; convert one of them"
            )
    for name, axis in first.coordinates.items():
        there = other.coordinates[name]
        if axis.shape != there.shape or not np.allclose(axis, there, rtol=1e-6, atol=0):
            raise ValueError(f"{both}: their points of {name} differ; interpolate one of them")
    own, theirs = (_shapes_of_rows(store.cached(0)) for store in (first, other))
    for name in own.keys() & theirs.keys():
        if own[name] != theirs[name]:
            raise ValueError(
                f"{both}: a sample of {name.rpartition('/')[2]} is {own[name]} and {theirs[name]}; "
                "bring them to one shape"
            )


def _shapes_of_rows(rows: Rows) -> dict[str, str]:
    """What is the same in every sample of an array or a list, in words."""
    return {
        name: f"of any length, with rows of the shape {value[0].shape[1:]}"
        if isinstance(value, list)
        else f"of the shape {value.shape[1:]}"
        for name, value in rows.items()
    }


def _joined_layout(stores: Sequence[Store]) -> Layout:
    """The layout of stores that can be joined, with the units and the cells that it then has."""
    units: dict[str, str] = {}
    for store in stores:
        units |= store.layout.units
    cells = all(store.layout.cells for store in stores)
    return replace(stores[0].layout, units=units, cells=cells)


def joined(parts: Sequence[Any]) -> Any:
    """Rows behind rows, of arrays or lists."""
    if isinstance(parts[0], list):
        return [one for part in parts for one in part]
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def gathered(store: Store, numbers: np.ndarray) -> Rows:
    """Samples of any numbers, in their order; blocks are read once."""
    blocks, inverse = np.unique(numbers // store.block, return_inverse=True)
    out: dict[str, list[Any]] = {}
    order: list[np.ndarray] = []
    for k, block in enumerate(blocks):
        rows = store.cached(int(block))
        where = np.flatnonzero(inverse == k)
        inner = numbers[where] - block * store.block
        order.append(where)
        for name, value in rows.items():
            some = [value[i] for i in inner] if isinstance(value, list) else value[inner]
            out.setdefault(name, []).append(some)
    back = np.argsort(np.concatenate(order)) if order else np.arange(0)
    found: Rows = {}
    for name, parts in out.items():
        whole = joined(parts)
        if isinstance(whole, list):
            found[name] = [_widened(whole[i]) for i in back]
        else:
            found[name] = _widened(whole[back])
    return found


def _widened(array: np.ndarray) -> np.ndarray:
    """Half precision as single, whose squares do not overflow beyond 256; others as they are."""
    return array.astype(np.float32) if array.dtype == np.float16 else array


class Taken(Store):
    """Some samples of a store, as a store."""

    def __init__(self, store: Store, numbers: np.ndarray):
        super().__init__()
        self._of, self._numbers = store, numbers
        self.path, self.block, self.count = store.path, store.block, len(numbers)
        self.coordinates, self.layout = store.coordinates, store.layout
        self.kind, self.source, self.longest = store.kind, store.source, store.longest

    def read(self, block: int) -> dict[str, Any]:
        here = slice(block * self.block, (block + 1) * self.block)
        return gathered(self._of, self._numbers[here])

    def identified(self, numbers: Numbers) -> dict[str, Pairs]:
        return self._of.identified(self._numbers[numbers])

    @property
    def digest(self) -> str:
        text = self._of.digest.encode() + np.asarray(self._numbers, np.int64).tobytes()
        return hashlib.sha256(text).hexdigest()[:16]
