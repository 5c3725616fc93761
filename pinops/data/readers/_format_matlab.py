"""MATLAB files up to version 7.2, through ``scipy.io`` (SciPy is a dependency anyway).

The format has no way to read a part of an array, so that each is loaded when it is used. SciPy
executes nothing for arrays of numbers; cells, structures and objects are not read.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pinops.data._hdf5 import DataFileError, said
from pinops.data.readers._found import RATIO, Entry, Found, shown

_BYTES = {"double": 8, "single": 4, "logical": 1, "char": 1, "sparse": 1}
_ARRAYS = {"double", "single", "logical", "int8", "int16", "int32", "int64"}
_ARRAYS |= {"uint8", "uint16", "uint32", "uint64"}


def matches(path: Path) -> bool:
    """Whether it begins as MATLAB files of version 5 do."""
    if not path.is_file():
        return False
    with open(path, "rb") as raw:
        begin = raw.read(128)
    return begin[:10] == b"MATLAB 5.0" or (path.suffix.lower() == ".mat" and len(begin) < 128)


def look(path: Path) -> Found:
    """The variables of a file, without their numbers."""
    from scipy.io import whosmat

    size = path.stat().st_size
    arrays: dict[str, Entry] = {}
    for name, shape, kind in _guarded(path, lambda: whosmat(path)):
        declared = _BYTES.get(kind, int(kind.lstrip("uint") or 8) // 8 if "int" in kind else 1)
        for length in shape:
            declared *= int(length)
        problem = ""
        if kind not in _ARRAYS:
            problem = f"is a {shown(kind)} of MATLAB, not an array of numbers"
        elif declared > RATIO * size:
            problem = f"declares {declared} bytes, and the file has {size}; get it again"
        arrays[name] = Entry(tuple(shape), shown(kind), _reader(path, name, shape), problem=problem)
    return Found(path, "MATLAB 5", arrays)


def _reader(path: Path, name: str, shape: tuple[int, ...]) -> Any:
    def read() -> np.ndarray:
        from scipy.io import loadmat

        array = _guarded(path, lambda: loadmat(path, variable_names=[name]))[name]
        if not isinstance(array, np.ndarray) or array.shape != tuple(shape):
            raise DataFileError(f"{path}: {shown(name)} is damaged; get the file again")
        return array

    return read


def _guarded(path: Path, call: Any) -> Any:
    """What SciPy reads; a file from a stranger makes it raise almost anything."""
    try:
        return call()
    except Exception as error:
        raise DataFileError(
            f"{path} cannot be read: it is truncated or no MATLAB file ({said(error)}); get the "
            "file again"
        ) from error
