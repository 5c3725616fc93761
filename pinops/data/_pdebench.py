"""The one-dimensional files of PDEBench (Takamoto et al. 2022) as data sets: streamed, thinned, and mixed across parameters."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import jax
import numpy as np

from pinops.data._dataset import BLOCK, PART, Dataset, join, leaves_of
from pinops.data._hdf5 import DataFileError, opened, read_arrays, said, write_arrays
from pinops.problem import Problem, coefficients_as_json, name_of

_NUMBER = re.compile(r"_(?:beta|Nu)([0-9.eE+-]+?)\.(?:hdf5|h5)$")


def from_pdebench(
    family: Problem,
    files: Sequence[str | Path],
    path: str | Path,
    *,
    count: int = 1000,
    report: Callable[[int, int], None] = lambda done, count: None,
) -> Dataset:
    """A data set of ``count`` trajectories of PDEBench files, such as ``1D_Burgers_Sols_Nu0.01.hdf5``, in turn from each of them.

    The value in a file's name becomes the coefficient of the family, ``cape_advection`` or ``cape_burgers``, whose ``cells`` and
    ``frames`` say how many of the places and times are kept. Initial values are not known but for the first frame: a member's
    ``initial`` is NaN, and the error bar infinite. Goes on where it was interrupted.

    **Raises** ValueError for what cannot be meant; FileNotFoundError, or DataFileError, a ValueError, for files that are not as
    PDEBench has them.
    """
    path, files = Path(path), [Path(file) for file in files]
    leaves = leaves_of(family)
    known = {field.name for field in fields(family)}
    if (
        family.domain.coordinates != ("x", "t")
        or len(leaves) != 2
        or not {"initial", "cells", "frames"} <= known
    ):
        raise ValueError(
            f"PDEBench's one-dimensional files are for cape_advection and cape_burgers, not for {name_of(family)}"
        )
    (coefficient,) = (name for name in leaves if name != "initial")
    if path.exists():
        raise ValueError(f"{path} exists already; choose another file, or delete it")
    if not files:
        raise ValueError("there is no PDEBench file to read; give some")
    sources = [_Source(file, family.cells, family.frames) for file in files]  # pyright: ignore[reportAttributeAccessIssue]
    for source in sources[1:]:
        if any(not np.allclose(source.grid[name], sources[0].grid[name]) for name in source.grid):
            raise ValueError(
                f"{source.path} and {sources[0].path} have other coordinates; make a data set of each"
            )
    most = len(files) * min(source.count for source in sources)
    if not 1 <= count <= most:
        raise ValueError(
            f"count must be from 1 to the {most} trajectories that are there, got {count}"
        )
    settings = {
        "problem": name_of(family),
        "coefficients": coefficients_as_json(family),
        "count": count,
        "seed": f"PDEBench: {', '.join(file.name for file in files)}",
    }
    parts = path.with_name(f"{path.name}.parts")
    names = [parts / f"{start:08d}.h5" for start in range(0, count, BLOCK)]
    for number, name in enumerate(names):
        if name.exists():
            if read_arrays(name, PART)[1].get("settings") != json.loads(json.dumps(settings)):
                raise ValueError(
                    f"{parts} holds parts of another data set; delete that folder, or choose another file"
                )
        else:
            members = range(number * BLOCK, min((number + 1) * BLOCK, count))
            _write(name, family, coefficient, sources, members, settings)
        report(min((number + 1) * BLOCK, count), count)
    join(path, names, settings)
    shutil.rmtree(parts)
    return Dataset(path)


def _write(
    name: Path,
    family: Problem,
    coefficient: str,
    sources: "list[_Source]",
    members: range,
    settings: dict[str, Any],
) -> None:
    chosen = [(sources[k % len(sources)], k // len(sources)) for k in members]
    values = np.stack([source.trajectory(row) for source, row in chosen])
    numbers = np.asarray([source.parameter for source, _ in chosen])
    with jax.enable_x64(True):
        inputs = np.stack(
            [np.asarray(replace(family, **{coefficient: number}).inputs()) for number in numbers]
        )
    arrays = {f"coordinates/{key}": array for key, array in sources[0].grid.items()}
    arrays |= {"inputs": inputs, "values/u": values, "error_bar/u": np.full(len(values), np.inf)}
    arrays |= {
        f"members/{coefficient}": numbers,
        "members/initial": np.full((len(values), *np.shape(family.initial)), np.nan),
    }  # pyright: ignore[reportAttributeAccessIssue]
    attributes = {"settings": settings, "coordinates": list(sources[0].grid), "unknowns": ["u"]}
    write_arrays(
        name, PART, arrays, attributes | {"kind": "PDEBench", "source": "Takamoto et al. (2022)"}
    )


def _line(array: h5py.Dataset) -> np.ndarray:
    """A coordinate: one axis of at most a million numbers."""
    if array.ndim != 1 or array.size > 1_000_000:
        raise ValueError(f"{array.name} has the shape {array.shape}")
    return np.asarray(array[()], np.float64)


class _Source:
    """One file: its parameter, its thinned grid, and its trajectories one by one."""

    def __init__(self, path: Path, cells: int, frames: int):
        self.path = path
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no file {path}; PDEBench's own page says where to get it"
            )
        found = _NUMBER.search(path.name)
        if found is None:
            raise ValueError(
                f"{path}: the name tells no parameter, as 1D_Burgers_Sols_Nu0.01.hdf5 does; give the file that name"
            )
        self.parameter = float(found[1])
        try:
            with opened(path, None) as file:
                self.shape = file["tensor"].shape
                x, t = (_line(file[f"{name}-coordinate"]) for name in ("x", "t"))
        except DataFileError as error:
            raise DataFileError(
                f"{path} is no one-dimensional file of PDEBench, which has tensor, x-coordinate and t-coordinate "
                f"({said(error.__cause__ or error)}); get it again"
            ) from error
        if len(self.shape) != 3 or self.shape[2] != x.size or t.size < self.shape[1]:
            raise DataFileError(
                f"{path}: tensor has shape {self.shape}, which is not trajectories, at most {t.size} times and {x.size} places; "
                "get the file again"
            )
        self.count = self.shape[0]
        (_, times, places) = self.shape
        if places % cells or (times - 1) % (frames - 1):
            raise ValueError(
                f"{path} has {places} places and {times} times, of which {cells} cells and {frames} frames are no regular part; "
                "give a divisor of each (of the number of steps for frames)"
            )
        self.every = ((times - 1) // (frames - 1), places // cells)
        self.grid = {"x": x[:: self.every[1], None], "t": t[None, : times : self.every[0]]}

    def trajectory(self, row: int) -> np.ndarray:
        with opened(self.path, None) as file:
            tensor = file["tensor"]
            values = np.asarray(tensor[row, :: self.every[0], :: self.every[1]], np.float64).T
        if not np.isfinite(values).all():
            raise DataFileError(
                f"{self.path}: trajectory {row} has values that are not finite; get the file again"
            )
        return values
