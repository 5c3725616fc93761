"""The tables of formats and layouts, and the two functions that go through them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pinops.data._contents import Contents
from pinops.data._hdf5 import DataFileError, said
from pinops.data.readers import (
    _format_csv,
    _format_hdf5,
    _format_matlab,
    _format_mesh,
    _format_npz,
    _format_pickle,
    _format_xarray,
    _layout_fno,
    _layout_labelled,
    _layout_mesh,
    _layout_named,
    _layout_pdebench,
    _layout_pdebench_darcy,
    _layout_pdebench_groups,
    _layout_pdebench_incompressible,
    _layout_table,
    _layout_well,
)
from pinops.data.readers._found import Entry, Found, shown
from pinops.data.readers._suggestion import three_lines

_MOST = 12  # arrays or attributes that a sentence names


@dataclass(frozen=True)
class Format:
    """How files are opened: ``look`` lists what is in those that it ``matches``."""

    name: str
    matches: Callable[[Path], bool]
    look: Callable[[Path], Found]


@dataclass(frozen=True)
class Layout:
    """What arrays mean: ``read`` makes contents of those that it ``matches``."""

    name: str
    matches: Callable[[Found], bool]
    read: Callable[[Found], Contents]


# The first that matches is taken: NetCDF 4 is HDF5 too, and files of PyTorch are zip like .npz.
FORMATS = (
    Format("pickle", _format_pickle.matches, _format_pickle.look),
    Format("NetCDF or zarr", _format_xarray.matches, _format_xarray.look),
    Format("HDF5 or MATLAB 7.3", _format_hdf5.matches, _format_hdf5.look),
    Format("NumPy", _format_npz.matches, _format_npz.look),
    Format("MATLAB 5", _format_matlab.matches, _format_matlab.look),
    Format("VTK", _format_mesh.matches, _format_mesh.look),
    Format("CSV", _format_csv.matches, _format_csv.look),
)

# From the most special to the most general.
LAYOUTS = (
    Layout("The Well", _layout_well.matches, _layout_well.read),
    Layout(
        "PDEBench, a group for each sample",
        _layout_pdebench_groups.matches,
        _layout_pdebench_groups.read,
    ),
    Layout("PDEBench, Darcy", _layout_pdebench_darcy.matches, _layout_pdebench_darcy.read),
    Layout("PDEBench", _layout_pdebench.matches, _layout_pdebench.read),
    Layout(
        "PDEBench, incompressible",
        _layout_pdebench_incompressible.matches,
        _layout_pdebench_incompressible.read,
    ),
    Layout("the FNO paper's MATLAB files", _layout_fno.matches, _layout_fno.read),
    Layout("a table of observations", _layout_table.matches, _layout_table.read),
    Layout("meshes", _layout_mesh.matches, _layout_mesh.read),
    Layout("arrays with named axes", _layout_labelled.matches, _layout_labelled.read),
    Layout("arrays with telling names", _layout_named.matches, _layout_named.read),
)


def read_contents(path: str | Path) -> Contents:
    """The samples in a file of others, of any layout in the table.

    Args:
        path: Of a file, or of a folder of ``.npy``, VTK or zarr.

    Returns:
        Named arrays, lazy where the format can read a part of them; nothing is resampled.

    Raises:
        FileNotFoundError: When there is no such file.
        ImportError: When the format needs an extra, with the line that installs it.
        DataFileError: When the file is damaged; and when it fits no layout, with what is in it and
            three lines of Python that would read it.
    """
    found = _looked(Path(path))
    layout = _layout_of(found)
    if layout is None:
        raise DataFileError(_unknown(found))
    return _read(found, layout)


def describe_file(path: str | Path) -> str:
    """What is in a file, which layout it has, and the data set that it would become.

    Args:
        path: Of a file, or of a folder of ``.npy``, VTK or zarr.

    Returns:
        Several lines.

    Raises:
        FileNotFoundError: When there is no such file.
        ImportError: When the format needs an extra, with the line that installs it.
        DataFileError: When the file cannot be opened.
    """
    found = _looked(Path(path))
    lines = [f"{found.path}: {found.format}", "arrays:"]
    lines += [f"  {_array_words(n, e)}" for n, e in _head(found.arrays).items()]
    lines += _more(found.arrays)
    if found.alike:
        lines.append(f"  and {len(found.alike)} groups more, such as {found.alike[0]}")
    if found.attributes:
        lines += ["attributes:", *(f"  {word}" for word in _attribute_words(found))]
        lines += _more(found.attributes)
    layout = _layout_of(found)
    if layout is None:
        return "\n".join([*lines, "layout: none of those that pinops knows", *three_lines(found)])
    lines.append(f"layout: {layout.name}")
    try:
        contents = _read(found, layout)
    except DataFileError as error:
        return "\n".join([*lines, f"which it does not keep: {error}"])
    return "\n".join(
        [*lines, "as a data set:", *(f"  {w}" for w in _contents_words(contents, found))]
    )


def _looked(path: Path) -> Found:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        for format in FORMATS:
            if format.matches(path):
                return format.look(path)
    except (DataFileError, FileNotFoundError, ImportError):
        raise
    except (OSError, ValueError, MemoryError, RecursionError) as error:
        raise DataFileError(f"{path} cannot be read ({said(error)})") from error
    if path.is_dir():
        names = [shown(file.name) for file in sorted(path.iterdir())[:3]]
        raise DataFileError(
            f"{path} is a folder with {', '.join(names) or 'nothing in it'}; folders that are data "
            "sets have .npy, VTK or zarr in them, so open one of its files"
        )
    raise DataFileError(
        f"{path} is a file of no format that pinops reads, which are HDF5, NumPy, MATLAB, NetCDF, "
        "zarr, CSV and VTK; load its arrays and give them to po.Dataset.from_arrays"
    )


def _layout_of(found: Found) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.matches(found)), None)


def _read(found: Found, layout: Layout) -> Contents:
    """The contents; what a file makes NumPy complain about is a sentence with its name."""
    try:
        return layout.read(found)
    except (DataFileError, ImportError):
        raise
    except (OSError, ValueError, KeyError, IndexError, TypeError, MemoryError) as error:
        raise DataFileError(
            f"{found.path} looks like {layout.name}, and cannot be read as such ({said(error)})"
        ) from error


def _head(table: Mapping[str, Any]) -> dict[str, Any]:
    return dict(list(table.items())[:_MOST])


def _more(table: Mapping[str, Any]) -> list[str]:
    return [f"  and {len(table) - _MOST} more"] if len(table) > _MOST else []


def _array_words(name: str, entry: Entry) -> str:
    problem = f", which {entry.problem}" if entry.problem else ""
    return f"{shown(name)} {entry.shape} {entry.dtype}{problem}"


def _attribute_words(found: Found) -> list[str]:
    items = _head(found.attributes).items()
    return [f"{shown(name)} = {shown(str(value))}" for name, value in items]


def _unknown(found: Found) -> str:
    """One sentence with what is in a file, and three lines that would read it."""
    arrays = [_array_words(name, entry) for name, entry in _head(found.arrays).items()]
    words = ", ".join(arrays) or "no arrays"
    attributes = ", ".join(_attribute_words(found))
    words += f" ({len(found.arrays)} in all)" if len(found.arrays) > _MOST else ""
    words += f", and the attributes {attributes}" if attributes else ""
    sentence = f"{found.path} has no layout that pinops knows; it is {found.format} with {words}"
    return "\n".join([f"{sentence}; read it with", *three_lines(found)])


def _contents_words(contents: Contents, found: Found) -> list[str]:
    first = next(iter(contents.outputs.values()))
    lines = [f"samples: {len(first)}"]
    for role, arrays in (("outputs", contents.outputs), ("inputs", contents.inputs)):
        words = [f"{name} {_shape_words(array)}" for name, array in arrays.items()]
        lines += [f"{role}: {', '.join(words)}"] if words else []
    if isinstance(contents.coordinates, Mapping):
        axes = [
            f"{name} {len(axis)} from {axis[0]:g} to {axis[-1]:g}"
            for name, axis in contents.coordinates.items()
        ]
        lines.append(f"axes: {', '.join(axes)}")
    elif isinstance(contents.coordinates, list):
        lines.append(f"points of each sample: {_shape_words(contents.coordinates)}")
    else:
        lines.append(f"shared points: {_shape_words(contents.coordinates)}")
    for name, value in contents.parameters.items():
        array = np.asarray(value, np.float64)
        ends = f"{array:g}" if array.ndim == 0 else f"from {array.min():g} to {array.max():g}"
        lines.append(f"parameter {name}: {ends}")
    lines += [f"unit of {name}: {unit}" for name, unit in contents.units.items()]
    left = [shown(name) for name in found.arrays if name not in found.used]
    if left:
        lines.append(f"left out: {', '.join(left[:_MOST])}{', ...' if len(left) > _MOST else ''}")
    return lines


def _shape_words(array: Any) -> str:
    if isinstance(array, list):
        sizes = [len(one) for one in array]
        return f"({len(array)}, {min(sizes)} to {max(sizes)}{_tail(array[0].shape[1:])})"
    return f"({', '.join(str(length) for length in array.shape)})"


def _tail(shape: tuple[int, ...]) -> str:
    return "".join(f", {length}" for length in shape)
