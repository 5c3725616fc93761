"""The one-dimensional files of PDEBench (Takamoto et al. 2022) as data sets.

They are streamed, thinned, and mixed across parameters. What a file says of its equation and domain
is compared with what the family needs.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pinops.data._contents import Contents
from pinops.data._dataset import Dataset
from pinops.data._file_store import check_new
from pinops.data._generate import PART, join, settings_of
from pinops.data._hdf5 import DataFileError, read_arrays, said, write_arrays
from pinops.data._of_family import bounds_of
from pinops.data._store import BLOCK
from pinops.data.readers import read_contents
from pinops.problem import Problem, name_of

_SYMBOLS = {"speed": "beta", "viscosity": "Nu"}  # PDEBench's, by the coefficient of a family


def from_pdebench(
    family: Problem,
    files: Sequence[str | Path],
    path: str | Path,
    *,
    count: int = 1000,
    report: Callable[[int, int], None] = lambda done, count: None,
) -> Dataset:
    """A data set of trajectories of PDEBench files, in turn from each of them.

    Files are such as ``1D_Burgers_Sols_Nu0.01.hdf5``. The parameter in a file's attributes, or else
    in its name, becomes the coefficient of the family. Only the
    first snapshot is known of the initial values: a member's ``initial`` is NaN, and the error bar
    infinite. An interrupted call resumes.

    Args:
        family: ``cape_advection`` or ``cape_burgers``, whose ``cells`` and ``frames`` say how many
            grid points and snapshots are kept.
        files: Of the equation and the domain of the family, on one grid.
        path: Of the data set that is made.
        count: How many trajectories.
        report: ``report(done, count)`` is called after every block.

    Raises:
        ValueError: For invalid arguments.
        FileNotFoundError: For a missing file.
        DataFileError: A ValueError, for files that are not as PDEBench has them, of another
            equation or another domain.
    """
    path, files = Path(path), [Path(file) for file in files]
    leaves = list(family.arrays())
    known = {field.name for field in fields(family)}
    if (
        family.domain.coordinates != ("x", "t")
        or len(leaves) != 2
        or not {"initial", "cells", "frames"} <= known
        or not _SYMBOLS.keys() & set(leaves)
    ):
        raise ValueError(
            "PDEBench's one-dimensional files are for cape_advection and cape_burgers, not for "
            f"{name_of(family)}"
        )
    (coefficient,) = (name for name in leaves if name != "initial")
    check_new(path)
    if not files:
        raise ValueError("there is no PDEBench file to read; give some")
    sources = [_Source(file, family, coefficient) for file in files]
    for source in sources[1:]:
        if any(
            not np.allclose(
                source.grid[name], sources[0].grid[name], atol=1e-8 * np.ptp(source.grid[name])
            )
            for name in source.grid
        ):
            raise ValueError(
                f"{source.path} and {sources[0].path} have other coordinates; make a data set of "
                "each"
            )
    most = len(files) * min(source.count for source in sources)
    if not 1 <= count <= most:
        raise ValueError(
            f"count must be from 1 to the {most} trajectories that are there, got {count}"
        )
    settings = settings_of(family, count, f"PDEBench: {', '.join(file.name for file in files)}")
    parts = path.with_name(f"{path.name}.parts")
    names = [parts / f"{start:08d}.h5" for start in range(0, count, BLOCK)]
    for number, name in enumerate(names):
        if name.exists():
            if read_arrays(name, PART)[1].get("settings") != json.loads(json.dumps(settings)):
                raise ValueError(
                    f"{parts} holds parts of another data set; delete that folder, or choose "
                    "another file"
                )
        else:
            members = range(number * BLOCK, min((number + 1) * BLOCK, count))
            _write(name, family, coefficient, sources, members, settings)
        report(min((number + 1) * BLOCK, count), count)
    join(path, names, settings)
    shutil.rmtree(parts)
    return Dataset.open(path)


def _write(
    name: Path,
    family: Problem,
    coefficient: str,
    sources: "list[_Source]",
    samples: range,
    settings: dict[str, Any],
) -> None:
    chosen = [(sources[k % len(sources)], k // len(sources)) for k in samples]
    values = np.stack([source.trajectory(row) for source, row in chosen])
    numbers = np.asarray([source.parameter for source, _ in chosen])
    with jax.enable_x64(True):
        members = [replace(family, **{coefficient: number}).inputs() for number in numbers]
    arrays = {f"coordinates/{key}": array for key, array in sources[0].grid.items()}
    for key in members[0]:
        arrays[f"inputs/{key}"] = np.stack([np.asarray(given[key]) for given in members])
    arrays |= {"values/u": values, "error_bar/u": np.full(len(values), np.inf)}
    initial = np.shape(family.initial)  # pyright: ignore[reportAttributeAccessIssue]
    arrays |= {
        f"members/{coefficient}": numbers,
        "members/initial": np.full((len(values), *initial), np.nan),
    }
    attributes = {"settings": settings, "coordinates": list(sources[0].grid), "unknowns": ["u"]}
    write_arrays(
        name, PART, arrays, attributes | {"kind": "PDEBench", "source": "Takamoto et al. (2022)"}
    )


class _Source:
    """One file: its parameter, its thinned grid, and its trajectories one by one."""

    def __init__(self, path: Path, family: Problem, coefficient: str):
        self.path = path
        cells, frames = family.cells, family.frames  # pyright: ignore[reportAttributeAccessIssue]
        if not path.is_file():
            raise FileNotFoundError(
                f"there is no file {path}; PDEBench's own page says where to get it"
            )
        contents = _contents_of(path)
        self.values = contents.outputs["u"]
        x, t = contents.coordinates["x"], contents.coordinates["t"]
        self.parameter = _parameter(path, contents.parameters, family, coefficient)
        self.count = len(self.values)
        times, points = t.size, x.size
        if points % cells or (times - 1) % (frames - 1):
            raise ValueError(
                f"{path} has {points} grid points and {times} times, of which {cells} cells and "
                f"{frames} frames are no regular part; "
                "give a divisor of each (of the number of steps for frames)"
            )
        for name, line in (("x", x), ("t", t)):
            _check_extent(path, name, line, family)
        self.every = ((times - 1) // (frames - 1), points // cells)
        self.grid = {"x": x[:: self.every[1], None], "t": t[None, :: self.every[0]]}

    def trajectory(self, row: int) -> np.ndarray:
        values = self.values[row][:: self.every[0], :: self.every[1]].T.astype(np.float64)
        if not np.isfinite(values).all():
            raise DataFileError(
                f"{self.path}: trajectory {row} has values that are not finite; get the file again"
            )
        return values


def _contents_of(path: Path) -> Contents:
    """Trajectories ``u (n, t, x)``. Raises DataFileError where a file has something else."""
    needed = "which has tensor, x-coordinate and t-coordinate"
    try:
        contents = read_contents(path)
    except DataFileError as error:
        raise DataFileError(
            f"{path} is no one-dimensional file of PDEBench, {needed} ({said(error)}); get it again"
        ) from error
    if list(contents.outputs) != ["u"] or list(contents.coordinates) != ["t", "x"]:
        raise DataFileError(
            f"{path} is no one-dimensional file of PDEBench, {needed}: it has "
            f"{', '.join(contents.outputs)} over {', '.join(contents.coordinates)}"
        )
    return contents


def _parameter(path: Path, stated: Mapping[str, float], family: Problem, coefficient: str) -> float:
    """The value of the coefficient that a file is for.

    Raises:
        ValueError: Where it names none; DataFileError where it names that of another equation.
    """
    symbol = _SYMBOLS[coefficient]
    values = {name.lower(): value for name, value in stated.items()}
    if not values:
        raise ValueError(
            f"{path}: neither its attributes nor its name tell a parameter, as "
            "1D_Burgers_Sols_Nu0.01.hdf5 does; give the file that name"
        )
    if set(values) != {symbol.lower()}:
        raise DataFileError(
            f"{path} has the parameter {', '.join(values)}, and {name_of(family)} needs {symbol}, "
            f"its {coefficient}; give a file of this equation"
        )
    return values[symbol.lower()]


def _check_extent(path: Path, name: str, line: np.ndarray, family: Problem) -> None:
    """Raises DataFileError where a coordinate misses more of a domain than a step at its ends."""
    low, high = bounds_of(family)[name]
    step = np.max(np.diff(line), initial=0.0)
    slack = 1e-5 * (high - low)  # coordinates are in single precision
    first, last = np.min(line), np.max(line)
    inside = low - slack <= first and last <= high + slack
    covered = first - low <= step + slack and high - last <= step + slack
    if not np.isfinite(line).all() or not (inside and covered):
        raise DataFileError(
            f"{path} has {name} from {first:g} to {last:g}, and the domain of {name_of(family)} is "
            f"{low:g} to {high:g}; give a file of this domain"
        )
