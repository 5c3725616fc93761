"""Data sets of families: problems and their solutions in one HDF5 file, in blocks that are made,
checked and read one by one.

A file that is being made is a folder of finished blocks beside it, so that an interruption costs
one block; the data set appears whole.  Eight tenths of the blocks are for training, one for
validation and the last for testing.
"""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
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

from pinops._numbers import real
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
    in_words,
    load_folder,
    load_problem,
    name_of,
    sample_members,
    shapes_of,
    unstacked,
)
from pinops.reference import Reference

BLOCK = 32  # members that are solved, checked and read together
_CENTRED = (
    10.0  # a mean of more than so many standard deviations is taken out of what a surrogate sees
)
_KIND, PART = "data set", "part of a data set"
_INPUTS = "inputs/"  # the group of what operators see, in a file and in rows
_TEXTS = Items(Text(longest=200), least=1)
_SETTINGS = Table(
    {
        "problem": Text(longest=200),
        "coefficients": Table({}, others=Anything()),
        "count": Number(least=1, whole=True),
        "seed": Either((Number(least=0, most=2**32 - 1, whole=True), Text(longest=100_000))),
    },
    {"domain": Table({}, others=Items(Number(), length=2))},
    Anything(),
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
_MOST = 10**7  # members, so that the list of their files fits into memory


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

    **Arguments:** ``count`` of members; ``seed`` of their random keys; ``workers``: processes that
    share the work (more than one needs a registered family; ``folder``: where its file lies, for
    one that is not in the catalogue); ``report(done, count)`` is called after every block.

    An interrupted call goes on where it was. **Raises** ValueError for what cannot be meant, and
    for blocks of other settings; OSError when the file cannot be written.
    """
    path = Path(path)
    check_family(family)
    for name, number in (("count", count), ("workers", workers)):
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {number!r}")
    if count > _MOST:
        raise ValueError(f"count must be a whole number of at most {_MOST}, got {count}")
    if not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ValueError(f"seed must be a whole number from 0 to 2^32 - 1, got {seed!r}")
    if path.exists():
        raise ValueError(f"{path} exists already; choose another file, or delete it")
    settings = settings_of(family, count, seed)
    parts = path.with_name(f"{path.name}.parts")
    names = [parts / f"{start:08d}.h5" for start in range(0, count, BLOCK)]
    for name in names:
        if name.exists() and (before := read_arrays(name, PART)[1].get("settings")) != json.loads(
            json.dumps(settings)
        ):
            raise ValueError(
                f"{parts} holds parts of another data set, {before}; delete that folder, or choose "
                "another file"
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
                    "a process that solves members was ended from outside; the same call goes on "
                    "where it was"
                ) from None
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    join(path, names, settings)
    shutil.rmtree(parts)
    return Dataset(path)


def settings_of(family: Problem, count: int, seed: int | str) -> dict[str, Any]:
    """What the data of a family depend on: its name, coefficients and domain, and how members are
    drawn."""
    return {
        "problem": name_of(family),
        "coefficients": coefficients_as_json(family),
        "domain": bounds_of(family),
        "count": count,
        "seed": seed,
    }


def bounds_of(family: Problem) -> dict[str, list[float]]:
    """The bounds of every coordinate of the domain, as JSON has them."""
    bounds = family.domain.bounds
    return {name: [float(b) for b in bounds[name]] for name in family.domain.coordinates}


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
        inputs = eqx.filter_vmap(lambda problem: problem.inputs())(stacked)
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
                    f"the reference of member {start + k} of {settings['problem']} has no finite "
                    f"{name}; look at it"
                )
    first = references[0]
    arrays = {f"coordinates/{name}": array for name, array in first.coordinates.items()}
    arrays |= {f"{_INPUTS}{name}": np.asarray(array) for name, array in inputs.items()}
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


def as_dataset(data: "Dataset | str | Path") -> "Dataset":
    """What a user gives as data, as a data set.

    Args:
        data: A `Dataset`, or the file of one.

    Raises:
        ValueError: For arrays, or anything else that is no data set, with the remedy.
        FileNotFoundError: For a file that does not exist; `DataFileError` for one that is damaged.
    """
    if isinstance(data, Dataset):
        return data
    if isinstance(data, str | Path):
        return Dataset(data)
    many = isinstance(data, tuple | list | dict) or eqx.is_array_like(data)
    what = f"arrays in a {type(data).__name__}" if many else repr(data)
    raise ValueError(
        f"data must be a Dataset or the file of one, got {what}; make one of solutions of a family "
        "with po.generate(family, path) or pinops data NAME --out FILE"
    )


class Dataset:
    """A data set in a file. Only the blocks that are asked for are read, and each is checked when
    it is.

    **Raises** FileNotFoundError when there is no such file; DataFileError when it is truncated,
    damaged, or holds something else.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._block = lru_cache(maxsize=256)(self._read)
        self._checked: set[tuple[str, bool, bool]] = set()
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
            if not isinstance(file["inputs"], h5py.Group):
                raise DataFileError(
                    f"{self.path} has inputs without names, from before pinops gave them any; "
                    "make it again"
                )
            self._stored = [
                f"{group}/{key}"
                for group in ("inputs", "members", "values", "error_bar")
                for key in file[group]
            ]
            self._check_lengths(file)
        grid = {f"coordinates/{name}": array for name, array in self.coordinates.items()}
        if digest_of(grid) != self.attributes["coordinates_sha256"]:
            raise self._damaged("damaged: the checksum of its coordinates does not match")

    def _check_lengths(self, file: Any) -> None:
        """Raises DataFileError where the number of members or unknowns that is said is not that of
        the arrays.
        """
        for name in self._stored:
            if file[name].shape[:1] != (self.count,):
                raise self._damaged(
                    f"damaged: {name[:60]!r} has the shape {file[name].shape}, not {self.count} "
                    "members"
                )
        if len(self.attributes["sha256"]) != -(-self.count // BLOCK):
            raise self._damaged("damaged: it has not one checksum for each block of members")
        for group in ("values", "error_bar"):
            if set(file[group]) != set(self.attributes["unknowns"]):
                raise self._damaged(f"damaged: its {group} are not those of the unknowns")
        if set(file["coordinates"]) != set(self.coordinates):
            raise self._damaged("damaged: its coordinates are not those that it names")
        if any(file[name].dtype.kind not in "fiu" for name in self._stored):
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
        """A checksum of family, coefficients and seed: members of one number and origin are the
        same."""
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
        """The members for training, validation and testing: eight, one and one tenth of the blocks,
        at least one each.

        **Raises** ValueError for a data set of fewer than three blocks.
        """
        blocks = len(self.attributes["sha256"])
        if blocks < 3:
            raise ValueError(
                f"{self.path} has {self.count} members; training, validation and test need at "
                f"least {2 * BLOCK + 1}"
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
            name: float(f"{np.nanstd(rows[f'values/{name}'], dtype=np.float64) or 1.0:.6g}")
            for name in self.attributes["unknowns"]
        }

    @cached_property
    def mean(self) -> dict[str, float]:
        """The mean of each unknown over the same blocks."""
        rows = self.rows(self.splits["training"][: 8 * BLOCK])
        return {
            name: float(f"{np.nanmean(rows[f'values/{name}'], dtype=np.float64):.9g}")
            for name in self.attributes["unknowns"]
        }

    @property
    def centre(self) -> dict[str, float]:
        """The mean of each unknown where it hides how the unknown varies; 0 where it does not, so
        that 0 stays 0.
        """
        return {
            name: mean if abs(mean) > _CENTRED * self.scale[name] else 0.0
            for name, mean in self.mean.items()
        }

    def inputs(self) -> dict[str, Float[np.ndarray, "n ..."]]:
        """What operators see of the first members for training, by name."""
        return inputs_in(self.rows(self.splits["training"][: 16 * BLOCK]))

    def check_family(self, family: Problem) -> None:
        """Check that the data are those of a family.

        Raises:
            ValueError: For those of another one, or of other coefficients, unknowns, coordinates,
                domain or inputs.
        """
        settings, owner = self.attributes["settings"], name_of(family)
        if settings["problem"] != owner:
            raise ValueError(f"{self.path} holds data of {settings['problem']}, not of {owner}")
        for name, value in json.loads(json.dumps(coefficients_as_json(family))).items():
            there = settings["coefficients"].get(name)
            if there != value:
                raise ValueError(
                    f"{self.path} was made with {name} = {there}, and the family has {value}; give "
                    "the same"
                )
        if set(self.attributes["unknowns"]) != set(family.unknowns):
            found = ", ".join(self.attributes["unknowns"])
            raise ValueError(
                f"{self.path} has the unknowns {found}, and {owner} has "
                f"{', '.join(family.unknowns)}"
            )
        if tuple(self.coordinates) != family.domain.coordinates:
            raise ValueError(
                f"{self.path} has the coordinates {', '.join(self.coordinates)}, and {owner} has "
                f"{', '.join(family.domain.coordinates)}; make the data again"
            )
        self._check_domain(family)
        wanted = shapes_of(family.inputs())
        with opened(self.path, _KIND) as file:
            found = {name: file[_INPUTS + name].shape[1:] for name in file["inputs"]}
        if found != wanted:
            raise ValueError(
                f"{self.path} has the inputs {in_words(found)}, and {owner} gives "
                f"{in_words(wanted)}; make the data again"
            )

    def _check_domain(self, family: Problem) -> None:
        """Raises ValueError for data of another domain, by what was noted when they were made and
        by their grid."""
        noted, bounds = self.attributes["settings"].get("domain", {}), bounds_of(family)
        for name, (low, high) in bounds.items():
            before = noted.get(name, (low, high))
            slack = 1e-6 * (high - low)
            if not np.allclose(before, (low, high), rtol=0, atol=slack):
                raise ValueError(
                    f"{self.path} was made for {name} from {before[0]:g} to {before[1]:g}, and the "
                    "domain of "
                    f"{name_of(family)} is {low:g} to {high:g}; make the data again"
                )
            first, last = np.min(self.coordinates[name]), np.max(self.coordinates[name])
            if first < low - slack or last > high + slack:
                raise ValueError(
                    f"{self.path} has a grid of {name} from {first:g} to {last:g}, and the domain "
                    f"of {name_of(family)} is "
                    f"{low:g} to {high:g}; give data of this domain"
                )

    def check_values(self, *parts: str, gaps: bool, coefficients: bool) -> None:
        """Check every sample of some parts, block by block, before hours are spent on them.

        Args:
            parts: Of `splits`, such as "training", "test".
            gaps: Whether values may be missing (NaN), such as those outside of a shape; infinite
                ones never may.
            coefficients: Whether the coefficients of the members must be known, as for equations
                and conditions.

        Raises:
            ValueError: Naming the first sample that cannot be used by its number in the file, and
                why.
        """
        for part in parts:
            if (part, gaps, coefficients) in self._checked:
                continue
            members = self.splits[part]
            for start in range(members.start, members.stop, BLOCK):
                rows = self.rows(range(start, min(start + BLOCK, members.stop)))
                found = _unusable(rows, self.attributes["unknowns"], gaps, coefficients)
                if found is not None:
                    number, why = found
                    raise ValueError(
                        f"{self.path}: sample {number}, of the {part} part, {why}; mend that "
                        "sample or make the data again"
                    )
            self._checked.add((part, gaps, coefficients))

    def rows(self, members: range) -> dict[str, np.ndarray]:
        """Everything that is known of consecutive members."""
        blocks = range(members.start // BLOCK, -(-members.stop // BLOCK))
        read = [self._block(k) for k in blocks]
        offset = members.start - blocks.start * BLOCK
        return {
            name: np.concatenate([block[name] for block in read])[offset : offset + len(members)]
            for name in read[0]
        }

    def solved(self, family: Problem, members: range) -> tuple[list[Problem], list[Reference]]:
        """Consecutive members and their solutions."""
        rows, names = self.rows(members), self.attributes["unknowns"]
        kind, source = self.attributes["kind"], self.attributes["source"]

        def of(group: str, k: int) -> dict[str, Any]:
            return {name: rows[f"{group}/{name}"][k] for name in names}

        references = []
        for k in range(len(members)):
            bars = {name: float(bar) for name, bar in of("error_bar", k).items()}
            references.append(Reference(self.coordinates, of("values", k), bars, kind, source))
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
        return {name: np.concatenate([block[name] for block in read])[chosen] for name in read[0]}

    def _read(self, number: int) -> dict[str, np.ndarray]:
        here = slice(number * BLOCK, (number + 1) * BLOCK)
        with opened(self.path, _KIND) as file:
            rows = {name: real(file[name][here], f"{self.path}: {name}") for name in self._stored}
        if digest_of(rows) != self.attributes["sha256"][number]:
            raise self._damaged(
                f"damaged: the checksum of members {here.start} to {here.stop - 1} does not match"
            )
        count = len(next(iter(rows.values())))
        return rows | {"number": np.arange(here.start, here.start + count)}


def inputs_in(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs among the rows of a data set, by name."""
    return {
        name.removeprefix(_INPUTS): array
        for name, array in rows.items()
        if name.startswith(_INPUTS)
    }


def _unusable(
    rows: Mapping[str, np.ndarray], unknowns: Sequence[str], gaps: bool, coefficients: bool
) -> tuple[int, str] | None:
    """The number of the first sample that cannot be used, and why; None where all can."""
    faults: list[tuple[int, str]] = []

    def note(bad: np.ndarray, why: str) -> None:
        each = bad.reshape(len(bad), -1).any(1)
        if each.any():
            faults.append((int(rows["number"][np.argmax(each)]), why))

    for name, array in inputs_in(rows).items():
        note(~np.isfinite(array), f"has an input {name} that is not finite")
    for unknown in unknowns:
        values = rows[f"values/{unknown}"]
        if gaps:
            note(np.isinf(values), f"has infinite values of {unknown}")
            flat = values.reshape(len(values), -1)
            note(np.asarray(np.isnan(flat).all(1)), f"has no value of {unknown}")
        else:
            note(~np.isfinite(values), f"has values of {unknown} that are not finite")
        bar = rows[f"error_bar/{unknown}"]
        note(~(bar > 0), f"has an error bar of {unknown} that is not greater than zero")
    if coefficients:
        for name, array in rows.items():
            if name.startswith("members/") and np.issubdtype(array.dtype, np.floating):
                own = name.removeprefix("members/")
                note(~np.isfinite(array), f"has an unknown coefficient {own} (NaN), which it needs")
    return min(faults, default=None)
