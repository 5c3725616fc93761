"""Three lines of Python that would read a file of no known layout.

They are a guess that the user corrects: which array goes in and which comes out is taken from the
names where those say it, otherwise the arrays with the most axes are taken.
"""

import re
from collections.abc import Sequence

from pinops.data.readers._found import Found
from pinops.data.readers._roles import INPUTS, OUTPUTS

_LOADERS = {
    "HDF5": "with h5py.File({path!r}) as file: arrays = {{n: file[n][()] for n in {names}}}",
    "MATLAB 7.3": (
        "with h5py.File({path!r}) as file: arrays = {{n: file[n][()].T for n in {names}}}"
    ),
    "MATLAB 5": "arrays = scipy.io.loadmat({path!r})",
    "NumPy .npz": "with np.load({path!r}) as file: arrays = dict(file)",
    "NumPy .npy": "arrays = {{{stem!r}: np.load({path!r})}}",
    "a folder of .npy files": (
        "arrays = {{file.stem: np.load(file) for file in pathlib.Path({path!r}).glob('*.npy')}}"
    ),
    "CSV": "arrays = np.genfromtxt({path!r}, delimiter=',', names=True)",
    "NetCDF": "arrays = xarray.open_dataset({path!r})",
    "zarr": "arrays = xarray.open_zarr({path!r})",
}
_IMPORTS = {
    "HDF5": "h5py, ",
    "MATLAB 7.3": "h5py, ",
    "MATLAB 5": "scipy.io, ",
    "NetCDF": "xarray, ",
    "zarr": "xarray, ",
    "a folder of .npy files": "pathlib, ",
    "VTK": "meshio, ",
}


def three_lines(found: Found) -> list[str]:
    """Imports, the arrays of the file by name, and a data set of two of them."""
    solved, given = _chosen(found)
    names = tuple(name for name in (given, solved) if name is not None)
    loader = _LOADERS.get(found.format, "arrays = meshio.read({path!r}).point_data")
    load = loader.format(path=str(found.path), names=names, stem=found.path.stem)
    made = f"outputs={{'u': arrays[{solved!r}]}}, {_coordinates(found, solved, given)}"
    if given is not None:
        made = f"inputs={{'a': arrays[{given!r}]}}, {made}"
    return [
        f"import {_IMPORTS.get(found.format, '')}numpy as np, pinops as po",
        load,
        f"data = po.Dataset.from_arrays({made})",
    ]


def _chosen(found: Found) -> tuple[str, str | None]:
    """An output, and an input with as many samples where there is one."""
    good = [name for name, e in found.arrays.items() if not e.problem and len(e.shape) > 1]
    if not good:
        return next(iter(found.arrays), "u"), None
    solved = max(good, key=lambda name: (_says(name, OUTPUTS | {"y"}), len(found.shape(name))))
    rest = [name for name in good if name != solved]
    rest = [name for name in rest if found.shape(name)[0] == found.shape(solved)[0]]
    given = max(
        rest, key=lambda name: (_says(name, INPUTS | {"x"}), len(found.shape(name))), default=None
    )
    return solved, given


def _says(name: str, words: frozenset[str]) -> bool:
    """Whether one of the words of a name is among these."""
    return not words.isdisjoint(re.split(r"[_/ .-]+", name.lower()))


def _coordinates(found: Found, solved: str, given: str | None) -> str:
    """The axes of an output; one more than the input has is time."""
    shape = found.shape(solved)[1:] if solved in found.arrays else ()
    field = found.shape(given)[1:] if given is not None else ()
    moving = len(shape) > 3 or (len(shape) > 1 and tuple(field) == tuple(shape[1:]))
    axes: Sequence[str] = ("t", "x", "y", "z") if moving else ("x", "y", "z")
    pairs = [f"'{axis}': np.arange({n})" for axis, n in zip(axes, shape or (1,), strict=False)]
    return f"coordinates={{{', '.join(pairs)}}}{', time=' + repr('t') if moving else ''}"
