"""NetCDF and zarr through xarray: arrays with named dimensions, coordinates and units.

Both need an extra, which is imported when such a file is opened. Times stay numbers in the units
that the file states; missing values become NaN.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from pinops.data._hdf5 import DataFileError, said
from pinops.data._lazy import Lazy
from pinops.data.readers._format_hdf5 import reading
from pinops.data.readers._found import RATIO, Entry, Found, shown

_NETCDF = (".nc", ".nc4", ".cdf", ".netcdf")
_META = (".zgroup", ".zmetadata", ".zattrs", "zarr.json")
_MOST = 8 * 2**20  # bytes of a description in JSON
_FILES = 1_000_000
# Codecs of numbers. Among the others is one that executes what a stranger wrote ("pickle").
_CODECS = {"blosc", "zlib", "gzip", "zstd", "lz4", "bz2", "lzma", "shuffle", "delta", "bytes"}
_CODECS |= {"crc32c", "crc32", "adler32", "transpose", "fixedscaleoffset", "quantize"}
_CODECS |= {"bitround", "packbits", "sharding_indexed", "vlen-utf8", "vlen-bytes"}


def matches(path: Path) -> bool:
    """Whether it is NetCDF by its name or beginning, or a folder of zarr."""
    if path.is_dir():
        return any((path / name).is_file() for name in _META)
    with open(path, "rb") as raw:
        return raw.read(3) == b"CDF" or path.suffix.lower() in _NETCDF


def look(path: Path) -> Found:
    """The variables of a file, without their numbers."""
    engine = _engine(path)
    if engine == "zarr":
        _check_codecs(path)
    size = _size(path)
    arrays: dict[str, Entry] = {}
    with _opened(path, engine) as data:
        attributes = _attributes(data.attrs)
        for name, variable in data.variables.items():
            kind, shape = variable.dtype, tuple(variable.shape)
            declared = kind.itemsize
            for length in shape:
                declared *= int(length)
            problem = "" if kind.kind in "fiub" else f"holds {shown(str(kind))}, not numbers"
            if declared > RATIO * size:
                problem = f"declares {declared} bytes, and the file has {size}; get it again"
            arrays[str(name)] = Entry(
                shape,
                shown(str(kind)),
                _reader(path, engine, str(name), shape, kind),
                _attributes(variable.attrs),
                tuple(str(dimension) for dimension in variable.dims),
                problem,
            )
    return Found(path, "zarr" if engine == "zarr" else "NetCDF", arrays, attributes)


def _reader(path: Path, engine: str, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    def rows_of(rows: slice) -> np.ndarray:
        with _opened(path, engine) as data:
            variable = data.variables[name]
            if tuple(variable.shape) != shape:
                raise DataFileError(f"{path} has been changed since it was opened; open it again")
            return np.asarray(variable[rows].values)

    def read() -> Any:
        if shape:
            return Lazy(shape, dtype, rows_of)
        with _opened(path, engine) as data:
            return np.asarray(data.variables[name].values)

    return read


def _engine(path: Path) -> str:
    if path.is_dir():
        return "zarr"
    with open(path, "rb") as raw:
        return "scipy" if raw.read(3) == b"CDF" else "h5netcdf"


@contextmanager
def _opened(path: Path, engine: str) -> Iterator[Any]:
    """A file that xarray has opened.

    Raises:
        ImportError: Without the extra, with the line that installs it.
        DataFileError: For whatever goes wrong while it is open.
    """
    extra = "zarr" if engine == "zarr" else "netcdf"
    try:
        import xarray

        if engine != "scipy":
            __import__(engine)
    except ImportError as error:
        raise ImportError(
            f"reading {path} needs {error.name}; install it with pip install 'pinops[{extra}]'"
        ) from error
    if engine == "h5netcdf":  # which prints, besides raising, where a file is no HDF5
        with reading(path):
            pass
    try:
        with xarray.open_dataset(path, engine=engine, decode_times=False, cache=False) as data:
            yield data
    except DataFileError:
        raise
    except Exception as error:  # a file from a stranger makes the libraries raise almost anything
        what = "zarr" if engine == "zarr" else "NetCDF"
        raise DataFileError(
            f"{path} cannot be read: it is truncated or no {what} ({said(error)}); get it again"
        ) from error


def _attributes(given: Any) -> dict[str, Any]:
    out = {}
    for name, value in list(given.items())[:100]:
        array = np.asarray(value)
        if isinstance(value, str):
            out[str(name)] = value[:65536]
        elif array.dtype.kind in "fiub" and array.size <= 1000:
            out[str(name)] = array[()]
    return out


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    total = 0
    for number, file in enumerate(path.rglob("*")):
        if number > _FILES:
            break
        total += file.stat().st_size if file.is_file() else 0
    return total


def _check_codecs(path: Path) -> None:
    """Raises DataFileError for a zarr folder whose numbers need other codecs than known ones."""
    for name in (".zarray", ".zmetadata", "zarr.json"):
        for file in path.rglob(name):
            if file.stat().st_size > _MOST:
                raise DataFileError(f"{path} cannot be read: {name} is larger than {_MOST} bytes")
            try:
                content = json.loads(file.read_bytes())
            except (OSError, ValueError, RecursionError) as error:
                raise DataFileError(
                    f"{path} cannot be read: {name} is not JSON ({said(error)}); get it again"
                ) from error
            _check_names(content, path, inside=False)


def _check_names(content: Any, path: Path, *, inside: bool) -> None:
    """``inside``: in a list of codecs, where "id" or "name" says which one."""
    if isinstance(content, list):
        for one in content:
            _check_names(one, path, inside=inside)
    elif isinstance(content, dict):
        if inside:
            name = str(content.get("id", content.get("name", ""))).removeprefix("numcodecs.")
            if name not in _CODECS:
                raise DataFileError(
                    f"{path} cannot be read: it needs the codec {shown(name)!r}, and pinops reads "
                    "numbers only; write it again with another one"
                )
        for key, value in content.items():
            own = key in ("codecs", "index_codecs", "filters", "compressor", "compressors")
            _check_names(value, path, inside=own)
