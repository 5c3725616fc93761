"""NumPy files: ``.npz`` with several arrays, one ``.npy``, and folders of ``.npy``.

Headers are read first: an array of objects, which only pickle could read, is refused, and so is one
that declares more than the file can hold.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from pinops.data._hdf5 import DataFileError, said
from pinops.data._lazy import Lazy
from pinops.data.readers._found import RATIO, Entry, Found, shown

_MAGIC = b"\x93NUMPY"
_COUNT = 10_000  # arrays
_BROKEN = (OSError, ValueError, EOFError, MemoryError, RuntimeError, SyntaxError)
_BROKEN += (zipfile.BadZipFile, zlib.error)
OBJECTS = (
    "holds objects, which only pickle could read; write it again as numbers, "
    "np.stack(list(array)).astype(float)"
)


def matches(path: Path) -> bool:
    """Whether it is ``.npz``, ``.npy``, or a folder that has ``.npy`` in it."""
    if path.is_dir():
        return any(path.glob("*.npy"))
    with open(path, "rb") as raw:
        begin = raw.read(6)
    return begin == _MAGIC or (begin[:4] == b"PK\x03\x04" and path.suffix.lower() != ".pt")


def look(path: Path) -> Found:
    """What NumPy's files hold, without the numbers."""
    if path.is_dir():
        files = sorted(path.glob("*.npy"))[:_COUNT]
        arrays = {file.stem: _entry_of_file(file) for file in files}
        return Found(path, "a folder of .npy files", arrays)
    if not zipfile.is_zipfile(path):
        if path.suffix.lower() == ".npz":
            raise DataFileError(f"{path} cannot be read: it is truncated or no .npz; get it again")
        return Found(path, "NumPy .npy", {path.stem: _entry_of_file(path)})
    try:
        with zipfile.ZipFile(path) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".npy")]
            if not members or len(members) > _COUNT:
                raise DataFileError(
                    f"{path} cannot be read: it is a zip with {len(members)} arrays, not an .npz; "
                    "write one with np.savez"
                )
            found = {
                one.filename.removesuffix(".npy"): _entry_of_member(archive, one, path)
                for one in members
            }
    except _BROKEN as error:
        if isinstance(error, DataFileError):
            raise
        raise DataFileError(
            f"{path} cannot be read: it is truncated or no .npz ({said(error)}); get it again"
        ) from error
    return Found(path, "NumPy .npz", found)


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _entry(shape: tuple[int, ...], dtype: np.dtype, room: int, read: Any) -> Entry:
    words, declared = shown(str(dtype)), dtype.itemsize
    for length in shape:
        declared *= int(length)
    problem = ""
    if dtype.hasobject:
        problem = OBJECTS
    elif dtype.kind not in "fiubc":
        problem = f"holds {words}, not numbers"
    elif declared > room or min(shape, default=0) < 0:
        problem = f"declares {declared} bytes, and there are {room}; get the file again"
    return Entry(shape, words, read, problem=problem)


def _entry_of_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Entry:
    with archive.open(member) as stream:
        shape, _, dtype = _header(stream)

    def read() -> np.ndarray:
        try:
            with zipfile.ZipFile(path) as again, again.open(member.filename) as stream:
                return np.lib.format.read_array(stream, allow_pickle=False)
        except _BROKEN as error:
            raise DataFileError(
                f"{path}: {shown(member.filename)} cannot be read ({said(error)}); get the file "
                "again"
            ) from error

    # What a zip says of its sizes is a stranger's word, too.
    room = min(member.file_size, RATIO * min(member.compress_size, path.stat().st_size))
    return _entry(shape, dtype, room, read)


def _entry_of_file(path: Path) -> Entry:
    try:
        with open(path, "rb") as stream:
            shape, _, dtype = _header(stream)
    except _BROKEN as error:
        problem = f"is truncated or no .npy ({said(error)}); get it again"
        return Entry((), "?", lambda: None, problem=problem)

    def rows_of(rows: slice) -> np.ndarray:
        # Mapped, so that only these rows are read; closed with the array that is left behind.
        try:
            return np.array(np.load(path, mmap_mode="r", allow_pickle=False)[rows])
        except _BROKEN as error:
            raise DataFileError(f"{path} cannot be read ({said(error)}); get it again") from error

    def read() -> Any:
        if not shape:
            return np.asarray(np.load(path, allow_pickle=False))
        return Lazy(shape, dtype, rows_of)

    return _entry(shape, dtype, path.stat().st_size, read)
