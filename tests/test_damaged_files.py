"""Damaged files of every layout: each of 500 is one sentence, or is read as what is in it, without
more memory than it has bytes.
"""

import random
import resource
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from layouts import FILES

from pinops.data import Dataset, read_contents

VARIANTS = 21  # of each of 24 layouts
MEGABYTES = 200


def named(file: h5py.File) -> list[str]:
    """Names of all arrays of an HDF5 file."""
    names: list[str] = []
    file.visititems(
        lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None
    )
    return names


def altered(array: np.ndarray, rng: random.Random) -> np.ndarray:
    """Another type, shape or value."""
    array = np.array(array)
    ways = [
        lambda: array.astype(rng.choice(["i4", "f2", "c8", "S4", "bool", "u1"])),
        lambda: array.T,
        lambda: array[..., None],
        lambda: array[None],
        lambda: array.reshape(-1),
        lambda: array[:0],
        lambda: array[1:] if array.ndim else array,
        lambda: array[..., ::-1] if array.ndim else array,
        lambda: np.concatenate([array, array], axis=-1) if array.ndim else array,
        lambda: np.where(np.arange(array.size).reshape(array.shape) == 1, np.nan, array),
        lambda: np.where(np.arange(array.size).reshape(array.shape) == 2, np.inf, array),
        lambda: np.zeros_like(array),
        lambda: array[0] if array.ndim else array,
    ]
    return rng.choice(ways)()


def damage_hdf5(path: Path, rng: random.Random) -> None:
    with h5py.File(path, "r+") as file:
        name = rng.choice(named(file))
        what = rng.randrange(7)
        if what == 0:
            del file[name]
        elif what == 1:
            node = file[name]
            shape, dtype = (10**6, *node.shape[1:], 10**5), node.dtype
            del file[name]
            file.create_dataset(name, shape, dtype, chunks=True, compression=rng.choice([None, 4]))
        elif what == 2:
            del file[name]
            file.create_group(name)
        elif what == 3 and file.attrs:
            file.attrs[rng.choice(list(file.attrs))] = rng.choice([np.nan, "much", [1, 2], b"\xff"])
        elif what == 4:
            del file[name]
            file[name] = h5py.SoftLink("/somewhere")
        else:
            array = altered(file[name][()], rng)
            del file[name]
            file[name] = array


def damage_npz(path: Path, rng: random.Random) -> None:
    with np.load(path) as archive:
        arrays = dict(archive)
    name = rng.choice(list(arrays))
    if rng.random() < 0.2:
        del arrays[name]
    else:
        arrays[name] = altered(arrays[name], rng)
    np.savez(path, **arrays)


def damage_npy(path: Path, rng: random.Random) -> None:
    file = rng.choice(sorted(path.iterdir()))
    what = rng.randrange(4)
    if what == 0:
        file.unlink()
    elif what == 1:
        file.write_bytes(file.read_bytes()[: rng.randrange(200)])
    elif what == 2:  # a hostile shape in the header
        file.write_bytes(file.read_bytes().replace(b"(4, ", b"(9999999999, ", 1))
    else:
        np.save(file, altered(np.load(file), rng))


def damage_matlab(path: Path, rng: random.Random) -> None:
    arrays = {n: a for n, a in scipy.io.loadmat(path).items() if not n.startswith("__")}
    name = rng.choice(list(arrays))
    array = altered(arrays[name], rng)
    arrays[name] = array if array.dtype.kind != "S" else array.astype("U4")
    scipy.io.savemat(path, arrays)


def damage_text(path: Path, rng: random.Random) -> None:
    lines = path.read_text().splitlines()
    k = rng.randrange(len(lines))
    fields = lines[k].replace(";", ",").split(",")
    j = rng.randrange(len(fields))
    fields[j] = rng.choice(["", "nan", "inf", "1e999", "u", "7", "0x1", "\0", "é"])
    mark = ";" if ";" in lines[0] else ","
    lines[k] = mark.join(fields[rng.randrange(2) :]) if rng.random() < 0.3 else mark.join(fields)
    path.write_text("\n".join(lines))


def damage_bytes(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if rng.random() < 0.5:
        del content[rng.randrange(len(content)) :]
    else:
        for _ in range(rng.choice([1, 8, 64])):
            content[rng.randrange(min(len(content), 4096))] = rng.randrange(256)
    path.write_bytes(bytes(content))


def damaged(path: Path, rng: random.Random) -> bool:
    """Damages a file; whether it has been written again as a whole, so that its format can tell
    its numbers.
    """
    if path.is_dir():
        damage_npy(path, rng)
        return False
    if rng.random() < 0.3:
        damage_bytes(path, rng)
        return False
    if path.suffix == ".npz":
        damage_npz(path, rng)
    elif path.suffix == ".csv":
        damage_text(path, rng)
        return False
    elif h5py.is_hdf5(path):
        damage_hdf5(path, rng)
    else:
        damage_matlab(path, rng)
    return True


def numbers_of(path: Path) -> np.ndarray:
    """All numbers of a file that has been written again."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            arrays = list(dict(archive).values())
    elif h5py.is_hdf5(path):
        with h5py.File(path) as file:
            arrays = [file[name][()] for name in named(file) if file[name].size < 10**6]
    else:
        arrays = [a for n, a in scipy.io.loadmat(path).items() if not n.startswith("__")]
    flat = [np.ravel(a) for a in arrays if a.dtype.kind in "fiub"]
    return np.concatenate([a.astype(np.float64) for a in flat])


def check_whole(contents, known: np.ndarray | None) -> None:
    """What has been read is one data set: shapes fit the coordinates, and values are the file's."""
    axes = contents.coordinates
    if isinstance(axes, dict):
        grid = tuple(len(axis) for axis in axes.values())
        for axis in axes.values():
            assert np.isfinite(axis).all() and (np.diff(axis) > 0).all()
        assert contents.time is None or next(iter(axes)) == contents.time == "t"
    counts = set()
    for array in contents.outputs.values():
        counts.add(len(array))
        if isinstance(axes, list):
            assert all(len(own) == len(a) for own, a in zip(axes, array, strict=True))
            continue
        shape = tuple(array.shape[1:])
        wanted = grid if isinstance(axes, dict) else (len(axes),)
        assert shape[: len(wanted)] == wanted and len(shape) <= len(wanted) + 1
        values = np.asarray(array[:], np.float64)
        assert values.shape == tuple(array.shape) and values.size
        if known is not None:
            finite = values[np.isfinite(values)]
            assert np.isin(finite, known).all()
    for array in contents.inputs.values():
        counts.add(len(array))
        array[:]
    assert len(counts) == 1
    for value in contents.parameters.values():
        assert np.isfinite(value).all() and np.shape(value) in ((), (min(counts),))


@pytest.mark.parametrize("name", [name for name in FILES if name != "many groups"])  # slow
def test_a_damaged_file_is_one_sentence_or_is_read_as_what_it_is(name, tmp_path):
    whole = tmp_path / "whole"
    whole.mkdir()
    truth = FILES[name](whole)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused = 0
    for seed in range(VARIANTS):
        rng = random.Random(f"{name} {seed}")
        path = tmp_path / str(seed) / truth.path.name
        path.parent.mkdir()
        (shutil.copytree if truth.path.is_dir() else shutil.copy)(truth.path, path)
        written = damaged(path, rng)
        try:
            contents = read_contents(path)
            check_whole(contents, numbers_of(path) if written else None)
            Dataset.of(contents).rows(range(1))
        except ValueError as error:
            refused += 1
            first, *code = str(error).split("\n")
            assert str(path.parent) in first and len(first) < 1000 and len(code) in (0, 3), error
        except Exception as error:
            raise AssertionError(f"variant {seed} of {name}") from error
    assert refused > VARIANTS // 4
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < MEGABYTES * 1024
