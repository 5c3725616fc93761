"""Data sets of families: problems and their solutions in one HDF5 file, in blocks that are made, checked and read one by one.

A file that is being made is a folder of finished blocks beside it, so that an interruption costs one block; the data set appears
whole.  Eight tenths of the blocks are for training, one for
validation and the last for testing.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cached_property, lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import equinox as eqx
import h5py
import jax
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from pinops.data._hdf5 import (
    DataFileError,
    attributes_of,
    digest_of,
    opened,
    read_arrays,
    replacing,
    write_arrays,
)
from pinops.data._schema import Anything, Either, Items, Number, Table, Text, check
from pinops.problem import (
    Problem,
    check_family,
    coefficients_as_json,
    load_folder,
    load_problem,
    name_of,
    sample_members,
    unstacked,
)
from pinops.reference import Reference

BLOCK = 32  # members that are solved, checked and read together
_KIND, PART = "data set", "part of a data set"
_TEXTS = Items(Text(longest=200), least=1)
_SETTINGS = Table(
    {
        "problem": Text(longest=200),
        "coefficients": Table({}, others=Anything()),
        "count": Number(least=1, whole=True),
        "seed": Either((Number(least=0, most=2**32 - 1, whole=True), Text(longest=100_000))),
    }
)
_ATTRIBUTES = Table(
    {
        "settings": _SETTINGS,
        "coordinates": _TEXTS,
        "unknowns": _TEXTS,
        "kind": Text(longest=200),
        "source": Text(longest=10_000),
        "sha256": Items(Text(longest=64)),
        "coordinates_sha256": Text(longest=64),
    }
)


def generate(
    family: Problem,
    path: str | Path,
    *,
    count: int = 1000,
    seed: int = 0,
    workers: int = 1,
    folder: Path | None = None,
    report: Callable[[int, int], None] = lambda done, count: None,
) -> "Dataset":
    """Solve random members of a family with their references and write them to a file.

    **Arguments:** ``count`` of members; ``seed`` of their random keys; ``workers``: processes that share the work (more than one
    needs a registered family; ``folder``: where its file lies, for one that
    is not in the catalogue); ``report(done, count)`` is called after every block.

    An interrupted call goes on where it was. **Raises** ValueError for what cannot be meant, and for blocks of other settings;
    OSError when the file cannot be written.
    """
    path = Path(path)
    check_family(family)
    for name, number in (("count", count), ("workers", workers)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {number!r}")
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to 2^32 - 1, got {seed!r}")
    if path.exists():
        raise ValueError(f"{path} exists already; choose another file, or delete it")
    settings = {
        "problem": name_of(family),
        "coefficients": coefficients_as_json(family),
        "count": count,
        "seed": seed,
    }
    parts = path.with_name(f"{path.name}.parts")
    names = [parts / f"{start:08d}.h5" for start in range(0, count, BLOCK)]
    for name in names:
        if name.exists() and (before := read_arrays(name, PART)[1].get("settings")) != json.loads(
            json.dumps(settings)
        ):
            raise ValueError(
                f"{parts} holds parts of another data set, {before}; delete that folder, or choose another file"
            )
    missing = [(k, name) for k, name in enumerate(names) if not name.exists()]
    done = len(names) - len(missing)
    report(min(done * BLOCK, count), count)
    if workers == 1 or len(missing) < 2:
        for k, name in missing:
            _solve_block(family, settings, k, name)
            done += 1
            report(min(done * BLOCK, count), count)
    else:
        with ProcessPoolExecutor(min(workers, len(missing)), get_context("spawn")) as pool:
            jobs = [pool.submit(_in_process, settings, folder, k, name) for k, name in missing]
            try:
                for job in as_completed(jobs):
                    job.result()
                    done += 1
                    report(min(done * BLOCK, count), count)
            except BrokenProcessPool:
                raise OSError(
                    "a process that solves members was ended from outside; the same call goes on where it was"
                ) from None
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    join(path, names, settings)
    shutil.rmtree(parts)
    return Dataset(path)


def _in_process(settings: dict[str, Any], folder: Path | None, block: int, path: Path) -> None:
    if folder is not None:
        load_folder(folder)
    _solve_block(
        load_problem(settings["problem"], **settings["coefficients"]), settings, block, path
    )


def _solve_block(family: Problem, settings: dict[str, Any], block: int, path: Path) -> None:
    """The members of one block, their solutions and error bars, in a file."""
    start, stop = block * BLOCK, min((block + 1) * BLOCK, settings["count"])
    with jax.enable_x64(True):
        stacked = sample_members(family, jax.random.key(settings["seed"]), range(start, stop))
        inputs = np.asarray(eqx.filter_vmap(lambda problem: problem.inputs())(stacked))
        members = unstacked(stacked, stop - start)
    references = [reference for member in members if (reference := member.reference()) is not None]
    if len(references) < len(members):
        raise ValueError(
            f"{settings['problem']} has no reference to make data from; give the family one"
        )
    for k, reference in enumerate(references):
        for name, values in reference.values.items():
            if np.isinf(values).any() or np.isnan(values).all():
                raise ValueError(
                    f"the reference of member {start + k} of {settings['problem']} has no finite {name}; look at it"
                )
    first = references[0]
    arrays = {f"coordinates/{name}": array for name, array in first.coordinates.items()} | {
        "inputs": inputs
    }
    for name in leaves_of(family):
        arrays[f"members/{name}"] = np.stack(
            [np.asarray(getattr(member, name)) for member in members]
        )
    for unknown in first.values:
        arrays[f"values/{unknown}"] = np.stack(
            [reference.values[unknown] for reference in references]
        )
        arrays[f"error_bar/{unknown}"] = np.asarray(
            [reference.error_bar[unknown] for reference in references]
        )
    attributes = {
        "settings": settings,
        "coordinates": list(first.coordinates),
        "unknowns": list(first.values),
    }
    write_arrays(path, PART, arrays, attributes | {"kind": first.kind, "source": first.source})


def leaves_of(family: Problem) -> list[str]:
    """The coefficients that may differ from member to member: those that are arrays."""
    return [
        field.name
        for field in dataclasses.fields(family)
        if eqx.is_array_like(getattr(family, field.name)) and not field.metadata.get("static")
    ]


def join(path: Path, parts: list[Path], settings: dict[str, Any]) -> None:
    """One file of all blocks, with the checksum of each; it appears whole or not at all."""
    made: dict[str, h5py.Dataset] = {}
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        digests, attributes, arrays = [], {}, {}
        for number, part in enumerate(parts):
            arrays, attributes = read_arrays(part, PART)
            rows = {
                key: array for key, array in arrays.items() if not key.startswith("coordinates/")
            }
            if number == 0:
                for key in arrays.keys() - rows.keys():
                    file.create_dataset(key, data=arrays[key])
                for key, array in rows.items():
                    shape = (settings["count"], *array.shape[1:])
                    made[key] = file.create_dataset(key, shape, array.dtype)
            here = slice(number * BLOCK, number * BLOCK + len(next(iter(rows.values()))))
            for key, array in rows.items():
                made[key][here] = array
            digests.append(digest_of(rows))
        file.attrs["pinops"] = _KIND
        grid = {key: array for key, array in arrays.items() if key.startswith("coordinates/")}
        file.attrs["attributes"] = json.dumps(
            attributes | {"sha256": digests, "coordinates_sha256": digest_of(grid)}
        )


class Dataset:
    """A data set in a file. Only the blocks that are asked for are read, and each is checked when it is.

    **Raises** FileNotFoundError when there is no such file; DataFileError when it is truncated, damaged, or holds something else.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._block = lru_cache(maxsize=256)(self._read)
        if not self.path.is_file():
            raise FileNotFoundError(
                f"there is no file {self.path}; make one with pinops data NAME --out {self.path}"
            )
        with opened(self.path, _KIND) as file:
            self.attributes: dict[str, Any] = attributes_of(file, self.path)[0]
            check(self.attributes, _ATTRIBUTES, str(self.path))
            self.coordinates = {
                name: file[f"coordinates/{name}"][()] for name in self.attributes["coordinates"]
            }
            self._names = [
                "inputs",
                *(
                    f"{group}/{key}"
                    for group in ("members", "values", "error_bar")
                    for key in file[group]
                ),
            ]
            self._check_lengths(file)
        grid = {f"coordinates/{name}": array for name, array in self.coordinates.items()}
        if digest_of(grid) != self.attributes["coordinates_sha256"]:
            raise self._damaged("damaged: the checksum of its coordinates does not match")

    def _check_lengths(self, file: Any) -> None:
        """Raises DataFileError where the number of members or unknowns that is said is not that of the arrays."""
        for name in self._names:
            if file[name].shape[:1] != (self.count,):
                raise self._damaged(
                    f"damaged: {name[:60]!r} has the shape {file[name].shape}, not {self.count} members"
                )
        if len(self.attributes["sha256"]) != -(-self.count // BLOCK):
            raise self._damaged("damaged: it has not one checksum for each block of members")
        for group in ("values", "error_bar"):
            if set(file[group]) != set(self.attributes["unknowns"]):
                raise self._damaged(f"damaged: its {group} are not those of the unknowns")
        if set(file["coordinates"]) != set(self.coordinates):
            raise self._damaged("damaged: its coordinates are not those that it names")
        if any(file[name].dtype.kind not in "fiu" for name in self._names):
            raise self._damaged("damaged: it has members that are no numbers")

    def _damaged(self, how: str) -> DataFileError:
        return DataFileError(
            f"{self.path} cannot be read: it is {how}; make it again or restore a copy"
        )

    @property
    def count(self) -> int:
        """How many members there are."""
        return self.attributes["settings"]["count"]

    @property
    def origin(self) -> str:
        """A checksum of family, coefficients and seed: members of one number and origin are the same."""
        settings = {
            name: value for name, value in self.attributes["settings"].items() if name != "count"
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def digest(self) -> str:
        """A checksum of the whole."""
        digests = [self.attributes["coordinates_sha256"], *self.attributes["sha256"]]
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]

    @property
    def splits(self) -> dict[str, range]:
        """The members for training, validation and testing: eight, one and one tenth of the blocks, at least one each.

        **Raises** ValueError for a data set of fewer than three blocks.
        """
        blocks = len(self.attributes["sha256"])
        if blocks < 3:
            raise ValueError(
                f"{self.path} has {self.count} members; training, validation and test need at least {2 * BLOCK + 1}"
            )
        tenth = max(1, blocks // 10)
        edges = [0, (blocks - 2 * tenth) * BLOCK, (blocks - tenth) * BLOCK, self.count]
        return {
            name: range(*edges[k : k + 2])
            for k, name in enumerate(("training", "validation", "test"))
        }

    @cached_property
    def points(self) -> Float[np.ndarray, "l d"]:
        """The points of the grid, in the order of the coordinates of the file."""
        return np.stack(
            [grid.ravel() for grid in np.broadcast_arrays(*self.coordinates.values())], -1
        )

    @cached_property
    def scale(self) -> dict[str, float]:
        """The standard deviation of each unknown over the first blocks for training."""
        rows = self.rows(self.splits["training"][: 8 * BLOCK])
        return {
            name: float(f"{np.nanstd(rows[f'values/{name}']) or 1.0:.6g}")
            for name in self.attributes["unknowns"]
        }

    def inputs(self) -> Float[np.ndarray, "n ..."]:
        """What operators see of the first members for training."""
        return self.rows(self.splits["training"][: 16 * BLOCK])["inputs"]

    def check_family(self, family: Problem) -> None:
        """Raises ValueError when the data are those of another family or of other coefficients, unknowns or coordinates."""
        settings = self.attributes["settings"]
        if settings["problem"] != name_of(family):
            raise ValueError(
                f"{self.path} holds data of {settings['problem']}, not of {name_of(family)}"
            )
        for name, value in json.loads(json.dumps(coefficients_as_json(family))).items():
            if settings["coefficients"].get(name) != value:
                there = settings["coefficients"].get(name)
                raise ValueError(
                    f"{self.path} was made with {name} = {there}, and the family has {value}; give the same"
                )
        if set(self.attributes["unknowns"]) != set(family.unknowns):
            found = ", ".join(self.attributes["unknowns"])
            raise ValueError(
                f"{self.path} has the unknowns {found}, and {name_of(family)} has {', '.join(family.unknowns)}"
            )
        if tuple(self.coordinates) != family.domain.coordinates:
            raise ValueError(
                f"{self.path} has the coordinates {', '.join(self.coordinates)}, and {name_of(family)} has "
                f"{', '.join(family.domain.coordinates)}; make the data again"
            )
        wanted = np.shape(family.inputs())
        with opened(self.path, _KIND) as file:
            found = file["inputs"].shape[1:]
        if found != wanted:
            raise ValueError(
                f"{self.path} has inputs of shape {found}, and the family gives {wanted}; make the data again"
            )

    def rows(self, members: range) -> dict[str, np.ndarray]:
        """Everything that is known of consecutive members."""
        blocks = range(members.start // BLOCK, -(-members.stop // BLOCK))
        read = [self._block(k) for k in blocks]
        offset = members.start - blocks.start * BLOCK
        return {
            name: np.concatenate([block[name] for block in read])[offset : offset + len(members)]
            for name in self._names
        }

    def solved(self, family: Problem, members: range) -> tuple[list[Problem], list[Reference]]:
        """Consecutive members and their solutions."""
        rows, names = self.rows(members), self.attributes["unknowns"]
        of = lambda group, k: {name: rows[f"{group}/{name}"][k] for name in names}
        bars = lambda k: {name: float(bar) for name, bar in of("error_bar", k).items()}
        kind, source = self.attributes["kind"], self.attributes["source"]
        references = [
            Reference(self.coordinates, of("values", k), bars(k), kind, source)
            for k in range(len(members))
        ]
        return unstacked(self.problems(family, rows), len(members)), references

    def problems(self, family: Problem, rows: dict[str, np.ndarray]) -> Problem:
        """The members of such rows, in the leading axis of every array."""
        return dataclasses.replace(
            family, **{name: rows[f"members/{name}"] for name in leaves_of(family)}
        )

    def drawn(self, key: PRNGKeyArray, count: int) -> dict[str, np.ndarray]:
        """So many random members for training, of as few blocks as they fill."""
        training = self.splits["training"]
        blocks = np.asarray(jax.random.permutation(key, len(training) // BLOCK))[
            : -(-count // BLOCK)
        ]
        read = [self._block(int(k)) for k in sorted(blocks)]
        chosen = np.asarray(jax.random.permutation(jax.random.fold_in(key, 1), len(read) * BLOCK))[
            :count
        ]
        return {
            name: np.concatenate([block[name] for block in read])[chosen] for name in self._names
        }

    def _read(self, number: int) -> dict[str, np.ndarray]:
        here = slice(number * BLOCK, (number + 1) * BLOCK)
        with opened(self.path, _KIND) as file:
            rows = {name: file[name][here] for name in self._names}
        if digest_of(rows) != self.attributes["sha256"][number]:
            raise self._damaged(
                f"damaged: the checksum of members {here.start} to {here.stop - 1} does not match"
            )
        return rows
