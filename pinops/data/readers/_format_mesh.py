"""VTK and VTU files through meshio (extra ``mesh``): points, cells, and data at both.

One file is one sample; a folder of files is a data set, in the order of their names.
"""

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from pinops.data._hdf5 import DataFileError, said
from pinops.data.readers._found import Entry, Found, shown

_SUFFIXES = (".vtu", ".vtk")


def matches(path: Path) -> bool:
    """By the names of the files."""
    return bool(files_of(path))


def files_of(path: Path) -> list[Path]:
    """The file, or those of a folder."""
    candidates = sorted(path.iterdir()) if path.is_dir() else [path]
    return [file for file in candidates if file.suffix.lower() in _SUFFIXES and file.is_file()]


def look(path: Path) -> Found:
    """The arrays of the file, or of the first one in a folder."""
    files = files_of(path)
    mesh = load(files[0])
    arrays = {"points": _entry(mesh.points)}
    arrays |= {f"point_data/{name}": _entry(a) for name, a in mesh.point_data.items()}
    for block in mesh.cells:
        arrays[f"cells/{block.type}"] = _entry(block.data)
    for name, blocks in mesh.cell_data.items():
        arrays[f"cell_data/{name}"] = _entry(np.concatenate([np.asarray(one) for one in blocks]))
    words = "VTK" if len(files) == 1 else f"a folder of {len(files)} VTK files"
    return Found(path, words, arrays)


def _entry(given: Any) -> Entry:
    array = np.asarray(given)
    problem = "" if array.dtype.kind in "fiub" else f"holds {array.dtype}, not numbers"
    return Entry(array.shape, shown(str(array.dtype)), lambda: array, problem=problem)


def load(path: Path) -> Any:
    """The mesh of a file.

    Raises:
        ImportError: Without the extra, with the line that installs it.
        DataFileError: For a file that meshio cannot read.
    """
    try:
        import meshio
    except ImportError as error:
        raise ImportError(
            f"reading {path} needs {error.name}; install it with pip install 'pinops[mesh]'"
        ) from error
    words = io.StringIO()
    try:
        # meshio prints what is wrong, and ends the process.
        with contextlib.redirect_stdout(words), contextlib.redirect_stderr(words):
            mesh = meshio.read(path)
            sizes = [len(mesh.points)] + [len(array) for array in mesh.point_data.values()]
    except (Exception, SystemExit) as error:
        raise DataFileError(
            f"{path} cannot be read: it is truncated or no {path.suffix[1:].upper()} file "
            f"({said(error)}); get the file again"
        ) from error
    if np.ndim(mesh.points) != 2 or not sizes[0] or len(set(sizes)) > 1:
        raise DataFileError(f"{path} cannot be read: it has not a value for each of its points")
    return mesh
