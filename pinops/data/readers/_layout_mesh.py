"""Samples on meshes: points, cells, and the data at points of VTK and VTU files.

A file with data at cells only has its samples at the centres of the cells. Data at cells beside
data at points are left out, as values at other points.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pinops.data._contents import Contents
from pinops.data.readers._format_mesh import files_of, load
from pinops.data.readers._found import Found, components, plain, shown
from pinops.data.readers._roles import INPUTS

_DIMENSION = {"line": 1, "triangle": 2, "quad": 2, "polygon": 2, "tetra": 3, "hexahedron": 3}
_DIMENSION |= {"wedge": 3, "pyramid": 3, "line3": 1, "triangle6": 2, "quad8": 2, "quad9": 2}
_DIMENSION |= {"tetra10": 3, "hexahedron20": 3, "hexahedron27": 3, "vertex": 0}


def matches(found: Found) -> bool:
    """Whether there are points with data at them or at cells."""
    groups = {name.partition("/")[0] for name in found.arrays}
    return "points" in found.arrays and bool(groups & {"point_data", "cell_data"})


def read(found: Found) -> Contents:
    """One sample from each file."""
    meshes = [load(file) for file in files_of(found.path)]
    at_points = bool(meshes[0].point_data)
    where = "point_data" if at_points else "cell_data"
    found.used.update(["points", *(n for n in found.arrays if n.startswith(f"{where}/"))])
    points = [np.asarray(mesh.points, np.float64) for mesh in meshes]
    cells = [_cells(mesh) for mesh in meshes]
    if at_points:
        if all(own is not None for own in cells):
            found.used.update(name for name in found.arrays if name.startswith("cells/"))
    else:
        points, cells = [_centres(found, m, p) for m, p in zip(meshes, points, strict=True)], [None]
    if not all(np.isfinite(own).all() for own in points):
        raise found.error("a point is not finite")
    data = [_data(mesh, at_points=at_points) for mesh in meshes]
    for file, own in zip(files_of(found.path), data, strict=True):
        if set(own) != set(data[0]):
            raise found.error(
                f"{file.name} has the data {', '.join(shown(n) for n in sorted(own))}, and the "
                f"first file has {', '.join(shown(n) for n in sorted(data[0]))}"
            )
    dimension = min(own.shape[1] for own in points)
    while dimension > 1 and not any(own[:, dimension - 1].any() for own in points):
        dimension -= 1  # VTK has three coordinates also in the plane
    arrays: dict[str, list[np.ndarray]] = {}
    for name in data[0]:
        arrays |= _columns(found, name, [own[name] for own in data], dimension, points)
    inputs = {n: a for n, a in arrays.items() if n.lower() in INPUTS and len(arrays) > 1}
    return Contents(
        outputs={name: array for name, array in arrays.items() if name not in inputs},
        inputs=inputs,
        coordinates=[own[:, :dimension] for own in points],
        cells=cells if all(own is not None for own in cells) else None,
        source=str(found.path),
    )


def _data(mesh: Any, *, at_points: bool) -> dict[str, np.ndarray]:
    if at_points:
        return {name: np.asarray(array) for name, array in mesh.point_data.items()}
    return {
        name: np.concatenate([np.asarray(block) for block in blocks])
        for name, blocks in mesh.cell_data.items()
    }


def _cells(mesh: Any) -> np.ndarray | None:
    """The cells of the highest dimension, where they are of one kind."""
    kinds = {block.type: _DIMENSION.get(block.type, 3) for block in mesh.cells}
    highest = [kind for kind, d in kinds.items() if d == max(kinds.values())]
    if len(highest) != 1:
        return None
    blocks = [np.asarray(block.data) for block in mesh.cells if block.type == highest[0]]
    cells = np.concatenate(blocks)
    return cells if cells.ndim == 2 and cells.dtype.kind in "iu" else None


def _centres(found: Found, mesh: Any, points: np.ndarray) -> np.ndarray:
    blocks = [np.asarray(block.data) for block in mesh.cells]
    for block in blocks:
        if block.ndim != 2 or block.min(initial=0) < 0 or block.max(initial=0) >= len(points):
            raise found.error("a cell has a corner that is not there")
    return np.concatenate([points[block].mean(axis=1) for block in blocks])


def _columns(
    found: Found,
    name: str,
    arrays: Sequence[np.ndarray],
    dimension: int,
    points: Sequence[np.ndarray],
) -> dict[str, list[np.ndarray]]:
    """The components of data by name; vectors in the plane have two."""
    for array, own in zip(arrays, points, strict=True):
        if array.shape[0] != len(own) or array.ndim > 2 or array.dtype.kind not in "fiub":
            raise found.error(
                f"{shown(name)} has {array.dtype} of the shape {array.shape}, and there are "
                f"{len(own)} points"
            )
    if arrays[0].ndim == 1:
        return {plain(name): list(arrays)}
    count = min(array.shape[1] for array in arrays)
    if count == 3 > dimension and not any(array[:, dimension:].any() for array in arrays):
        count = dimension
    if count == 1:
        return {plain(name): [array[:, 0] for array in arrays]}
    names = components(plain(name), ("x", "y", "z")[:count], count)
    return {new: [array[:, k] for array in arrays] for k, new in enumerate(names)}
