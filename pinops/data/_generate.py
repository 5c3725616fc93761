"""Data sets of families, made by their references.

Members are made, checked and read in blocks. A file that is being made is a folder of finished
blocks beside it, so that an interruption costs one block; the data set appears whole.
"""

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from threadpoolctl import threadpool_limits

from pinops.data._contents import Layout
from pinops.data._dataset import Dataset
from pinops.data._file_store import FileStore, check_new, write_store
from pinops.data._hdf5 import read_arrays, write_arrays
from pinops.data._of_family import problem_in, settings_of
from pinops.data._store import BLOCK
from pinops.problem import (
    Problem,
    check_family,
    load_folder,
    sample_members,
    unstacked,
)
from pinops.reference import Reference

PART = "part of a data set"
INPUTS = "inputs/"  # the group of what operators see, in a file and in rows
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
) -> Dataset:
    """Solve random members of a family with their references and write them to a file.

    The same call continues after an interruption.

    Args:
        family: A problem with ``sample(key)``, ``inputs()`` and ``reference()``.
        path: Of the file, which must not exist.
        count: How many members, >= 1.
        seed: Of their random keys, from 0 to 2^32 - 1.
        workers: Processes that share the work; more than one needs a registered family.
        folder: Where the file of the family lies, for one that is not in the catalogue.
        report: ``report(done, count)`` is called after every block.

    Raises:
        ValueError: For invalid arguments, and for blocks of other settings.
        OSError: When the file cannot be written.
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
    check_new(path)
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
                    "where it stopped"
                ) from None
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    join(path, names, settings)
    shutil.rmtree(parts)
    return Dataset(FileStore(path))


def _in_process(settings: dict[str, Any], folder: Path | None, block: int, path: Path) -> None:
    if folder is not None:
        load_folder(folder)
    _solve_block(problem_in(settings), settings, block, path)


# Rounding depends on the number of threads; data do not depend on the cores.
@threadpool_limits.wrap(limits=1, user_api="blas")
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
    for k, reference in enumerate(references):
        if not _same_grid(first, reference):
            raise ValueError(
                f"the reference of member {start + k} of {settings['problem']} lies on another "
                "grid than the first; give all references one"
            )
    arrays = {f"coordinates/{name}": array for name, array in first.coordinates.items()}
    arrays |= {f"{INPUTS}{name}": np.asarray(array) for name, array in inputs.items()}
    each = [member.arrays() for member in members]
    for name in each[0]:
        arrays[f"members/{name}"] = np.stack([np.asarray(one[name]) for one in each])
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


def _same_grid(one: Reference, other: Reference) -> bool:
    pairs = zip(one.coordinates.values(), other.coordinates.values(), strict=True)
    return all(np.array_equal(*pair) for pair in pairs)


def join(path: Path, parts: list[Path], settings: dict[str, Any]) -> None:
    """One file of all blocks of members; it appears whole or not at all."""
    arrays, attributes = read_arrays(parts[0], PART)
    own = [name.removeprefix(INPUTS) for name in arrays if name.startswith(INPUTS)]
    names = tuple(attributes["coordinates"])
    layout = Layout(
        kind="grid",
        names=names,
        unknowns=tuple(attributes["unknowns"]),
        inputs=tuple(own),
        parameters=tuple(name for name in own if arrays[INPUTS + name].ndim == 1),
        time="t" if "t" in names else None,
    )

    def members(number: int) -> dict[str, np.ndarray]:
        rows = read_arrays(parts[number], PART)[0]
        return {name: array for name, array in rows.items() if not name.startswith("coordinates/")}

    write_store(
        path,
        members,
        count=settings["count"],
        block=BLOCK,
        coordinates={name: arrays[f"coordinates/{name}"] for name in names},
        layout=layout,
        attributes={
            "settings": settings,
            "kind": attributes["kind"],
            "source": attributes["source"],
        },
    )
