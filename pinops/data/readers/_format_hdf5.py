"""HDF5 of others, and MATLAB 7.3, which is HDF5 with its axes in the reverse order.

Nothing is allocated for what a file declares: arrays are listed, and their rows read on demand.
"""

import itertools
import re
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pinops.data._hdf5 import OUTSIDE, DataFileError, said, size_of
from pinops.data._lazy import Lazy
from pinops.data.readers._found import RATIO, Entry, Found, shown

_COUNT = 20_000  # arrays and groups
_MANY = 32  # groups with a number for a name, of which one is listed: PDEBench has up to 10,000
_NUMBER = re.compile(r"^[0-9]{1,9}$")
_DEPTH = 16  # groups within groups
_ATTRIBUTES, _ENTRIES, _TEXT = 100, 1000, 65536  # of one array; of one attribute; characters


def matches(path: Path) -> bool:
    """Whether it is HDF5, perhaps behind a header of MATLAB."""
    return path.is_file() and h5py.is_hdf5(path)


def look(path: Path) -> Found:
    """What an HDF5 file holds, without its numbers."""
    with open(path, "rb") as raw:
        matlab = raw.read(6) == b"MATLAB"
    with reading(path) as file:
        if "pinops" in file.attrs:
            raise DataFileError(
                f"{path} was written by pinops, and is no file of others; open a data set with "
                "po.Dataset.open, and a run with po.load"
            )
        return _walk(file, path, matlab=matlab)


@contextmanager
def reading(path: Path) -> Iterator[Any]:  # h5py tells no group from an array
    """A file of others, open for reading.

    Raises:
        DataFileError: For whatever goes wrong while it is open.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except DataFileError:
        raise
    except MemoryError:
        raise DataFileError(
            f"{path} cannot be read: its arrays do not fit the memory of this machine"
        ) from None
    except (*OUTSIDE, RecursionError) as error:
        raise DataFileError(
            f"{path} cannot be read: it is truncated or not HDF5 ({said(error)}); "
            "get the file again"
        ) from error


def _walk(file: Any, path: Path, *, matlab: bool) -> Found:
    """All arrays and groups; of many groups that are called 0000, 0001, ... the first alone."""
    size = size_of(path)
    arrays: dict[str, Entry] = {}
    groups: dict[str, dict[str, Any]] = {}
    alike: list[str] = []
    todo: deque[tuple[str, Any, int]] = deque([("", file, 0)])
    while todo:
        prefix, group, depth = todo.popleft()
        names = list(group)
        if not prefix and len(names) > _MANY and all(_NUMBER.match(str(name)) for name in names):
            first, *alike = sorted(names, key=int)
            names = [first]
        for name in names:
            where = prefix + _text(name)
            if len(arrays) + len(groups) >= _COUNT or depth > _DEPTH:
                raise DataFileError(
                    f"{path} cannot be read: it has more than {_COUNT} arrays, or groups nested "
                    f"more than {_DEPTH} deep"
                )
            # A link to another file reads what the user did not give; one within the file can be
            # a circle.
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                arrays[where] = Entry((), "?", _nothing, problem="is a link; give a plain copy")
                continue
            node = group[name]
            if isinstance(node, h5py.Dataset):
                arrays[where] = _entry(node, path, where, size, reverse=matlab)
            elif isinstance(node, h5py.Group) and not (matlab and where[:1] == "#"):
                groups[where] = _attributes(node)
                todo.append((f"{where}/", node, depth + 1))
    words = "MATLAB 7.3" if matlab else "HDF5"
    return Found(path, words, arrays, _attributes(file), groups, tuple(alike))


def member(file: Any, path: Path, name: str, like: Entry) -> Any:
    """An array of an open file that was not listed, after the same checks.

    Args:
        file: That is open.
        path: Of it.
        name: With its groups.
        like: The array of another group, whose shape and type it must have.

    Raises:
        DataFileError: When it is a link, or something else.
    """
    *groups, _ = itertools.accumulate(name.split("/"), "{}/{}".format)
    for link in (*groups, name):
        if not isinstance(file.get(link, getlink=True), h5py.HardLink):
            raise DataFileError(
                f"{path}: {shown(link)} is not there, or a link; get the file again"
            )
    node = file[name]
    if not isinstance(node, h5py.Dataset) or node.shape != like.shape:
        raise DataFileError(
            f"{path}: {shown(name)} has the shape {getattr(node, 'shape', None)}, and the same "
            f"array of another sample has {like.shape}"
        )
    problem = _problem(node, size_of(path))
    if problem or str(node.dtype) != like.dtype:
        raise DataFileError(f"{path}: {shown(name)} {problem or f'holds {node.dtype}'}")
    return node


def attribute_of_groups(path: Path, groups: Sequence[str], name: str) -> list[Any]:
    """The value of one attribute for each of many groups; None where it is not there."""
    with reading(path) as file:
        return [
            _attributes(file[group], (name,)).get(name)
            if isinstance(file.get(group, getlink=True), h5py.HardLink)
            else None
            for group in groups
        ]


def _nothing() -> Any:
    return None


def _entry(node: h5py.Dataset, path: Path, name: str, size: int, *, reverse: bool) -> Entry:
    dtype, shape = node.dtype, node.shape
    words = shown(str(dtype))
    if shape is None or dtype.kind not in "fiubc" or dtype.hasobject or dtype.subdtype is not None:
        problem = f"holds {words}, not numbers"
        return Entry(shape or (), words, _nothing, _attributes(node), problem=problem)
    problem = _problem(node, size)
    if reverse:
        shape = shape[::-1]

    def read() -> Any:
        return _array(path, name, shape, dtype, reverse=reverse)

    return Entry(shape, words, read, _attributes(node), problem=problem)


def _problem(node: h5py.Dataset, size: int) -> str:
    """What speaks against reading an array; sizes as Python integers, which do not overflow."""
    plan = node.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        return "lies in other files; give one with its numbers in it"
    declared = node.dtype.itemsize
    for length in node.shape:
        declared *= int(length)
    packed = plan.get_layout() == h5py.h5d.CHUNKED and plan.get_nfilters()
    most = RATIO * min(node.id.get_storage_size(), size) if packed else size
    if declared > most:
        return f"declares {declared} bytes, and the file has {size}; get the file again"
    return ""


def _array(path: Path, name: str, shape: tuple[int, ...], dtype: Any, *, reverse: bool) -> Any:
    def node_of(file: Any) -> Any:
        node = file[name]
        there = node.shape[::-1] if reverse else node.shape
        if there != shape or node.dtype != dtype:
            raise DataFileError(f"{path} has been changed since it was opened; open it again")
        return node

    def rows_of(rows: slice) -> np.ndarray:
        with reading(path) as file:
            node = node_of(file)
            # The sample is the last axis of what MATLAB writes.
            return np.asarray(node[..., rows]).T if reverse else np.asarray(node[rows])

    if not shape:
        with reading(path) as file:
            return np.asarray(node_of(file)[()])
    return Lazy(shape, dtype, rows_of)


def _attributes(node: Any, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Numbers and texts of bounded size, of these names or of all; the rest is left out."""
    out: dict[str, Any] = {}
    chosen = list(node.attrs)[:_ATTRIBUTES] if names is None else names
    for name in [name for name in chosen if name in node.attrs]:
        handle = node.attrs.get_id(name)
        text = h5py.check_string_dtype(handle.dtype) is not None
        size = int(np.prod(handle.shape or (), dtype=object))
        if handle.get_storage_size() > _TEXT or size > _ENTRIES:
            continue
        if not text and handle.dtype.kind not in "fiub":
            continue
        try:
            value = node.attrs[name]
        except OUTSIDE:  # such as texts that are no UTF-8: as if it were not there
            continue
        out[_text(name)] = _words(value) if text else np.asarray(value)[()]
    return out


def _text(name: str | bytes) -> str:
    """h5py gives a name that is no UTF-8 as bytes."""
    return str(name, "utf-8", "replace") if isinstance(name, bytes) else name


def _words(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_words(one) for one in value.reshape(-1)]
    return (_text(value) if isinstance(value, bytes) else str(value))[:_TEXT]
