"""Data sets in one HDF5 file, written whole or not at all, and checked block by block."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from pinops._numbers import real
from pinops.data._contents import Layout
from pinops.data._hdf5 import (
    DataFileError,
    attributes_of,
    digest_of,
    opened,
    replacing,
    text_of,
)
from pinops.data._schema import Anything, Either, Flag, Items, Number, Table, Text, check
from pinops.data._store import Numbers, Pairs, Rows, Store

KIND = "data set"
_SUFFIXES = (".h5", ".hdf5")
_GROUPS = ("inputs", "members", "values", "error_bar", "scalars")  # with a sample in each row
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
_LAYOUT = Table(
    {
        "kind": Text(("grid", "points", "meshes")),
        "names": _TEXTS,
        "unknowns": _TEXTS,
        "inputs": Items(Text(longest=200)),
        "parameters": Items(Text(longest=200)),
        "time": Text(("", "t")),
        "units": Table({}, others=Text(longest=200)),
        "cells": Flag(),
    },
    {
        "sensors": Table({}, others=Number(least=1, most=3, whole=True)),
        "scalars": Items(Text(longest=200)),
    },
)
_ATTRIBUTES = Table(
    {
        "layout": _LAYOUT,
        "count": Number(least=1, most=10**9, whole=True),
        "block": Number(least=1, most=10**6, whole=True),
        "coordinates": Items(Text(longest=200)),
        "source": Text(longest=10_000),
        "sha256": Items(Text(longest=64)),
        "coordinates_sha256": Text(longest=64),
    },
    {"settings": _SETTINGS, "kind": Text(longest=200), "origin": Text(longest=64)},
)


def check_new(path: Path) -> None:
    """Raises ValueError for a file that exists, and for a name that is not that of an HDF5 file."""
    if path.exists():
        raise ValueError(f"{path} exists already; choose another file, or delete it")
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"{path} would be an HDF5 file; choose a name that ends in .h5")


def is_ours(path: Path) -> bool:
    """Whether pinops has written a file, of any kind."""
    try:
        with h5py.File(path, "r") as file:
            return "pinops" in file.attrs
    except (OSError, ValueError, RuntimeError, KeyError):
        return False


class FileStore(Store):
    """A file of ours, of which only the blocks that are asked for are read, and checked.

    Raises:
        FileNotFoundError: When there is no such file.
        DataFileError: When it is truncated, damaged, or holds something else.
    """

    def __init__(self, path: str | Path):
        super().__init__()
        self.path: Path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(
                f"there is no file {self.path}; give another path, or make one with pinops data"
            )
        with opened(self.path, KIND) as file:
            attributes, text = attributes_of(file, self.path)
            check(attributes, _ATTRIBUTES, str(self.path))
            if text_of(file, "sha256", self.path) != digest_of({}, text):
                raise self._damaged("damaged: the checksum of its attributes does not match")
            self._attributes = attributes
            self.layout = layout_from_json(attributes["layout"])
            self.count, self.block = attributes["count"], attributes["block"]
            self.settings = attributes.get("settings")
            self.kind, self.source = attributes.get("kind", ""), attributes["source"]
            self.coordinates = {
                name: file[f"coordinates/{name}"][()] for name in attributes["coordinates"]
            }
            self._stored = [
                f"{group}/{key}" for group in _GROUPS if group in file for key in file[group]
            ]
            self._ragged = [name for name in file if name in ("points", "cells")]
            self._offsets = {key: file[f"offsets/{key}"][()] for key in (file.get("offsets") or ())}
            self._origins = {key: file[f"origins/{key}"][()] for key in (file.get("origins") or ())}
            self._check_lengths(file)
            self._check_offsets()
            self._check_origins()
        self.longest = {
            name: int(np.diff(self._offsets[key]).max())
            for name in [*self._stored, *self._ragged]
            if (key := _own_offsets(name, self.layout))
        }
        if digest_of(self._shared()) != attributes["coordinates_sha256"]:
            raise self._damaged("damaged: the checksum of its coordinates does not match")

    def _shared(self) -> dict[str, np.ndarray]:
        found = {f"coordinates/{name}": array for name, array in self.coordinates.items()}
        found |= {f"origins/{name}": array for name, array in self._origins.items()}
        return found | {f"offsets/{name}": array for name, array in self._offsets.items()}

    def _check_lengths(self, file: Any) -> None:
        """Raises DataFileError where what the file says of its arrays is not what they are."""
        meshes = self.layout.kind == "meshes"
        for name in self._stored:
            node = file[name]
            if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "fiub":
                raise self._damaged("damaged: it has samples that are no numbers")
            if _own_offsets(name, self.layout):
                dimensions = self.layout.sensors[name.removeprefix("inputs/")]
                if node.ndim != 2 or node.shape[1] <= dimensions:
                    raise self._damaged(f"damaged: {name[:60]!r} has no values at its sensors")
            elif not meshes and node.shape[:1] != (self.count,):
                raise self._damaged(
                    f"damaged: {name[:60]!r} has the shape {node.shape}, not {self.count} samples"
                )
        if self.settings is not None and self.settings["count"] != self.count:
            raise self._damaged("damaged: the number of its members is not that of its samples")
        if len(self._attributes["sha256"]) != -(-self.count // self.block):
            raise self._damaged("damaged: it has not one checksum for each block of samples")
        wanted = {"values": self.layout.unknowns, "inputs": self.layout.inputs}
        wanted["scalars"] = self.layout.scalars
        for group, names in wanted.items():
            if set(file.get(group) or ()) != set(names):
                raise self._damaged(f"damaged: its {group} are not those that it names")
        if any(file[f"scalars/{name}"].shape != (self.count,) for name in self.layout.scalars):
            raise self._damaged("damaged: its scalars are not one number for each sample")
        if "error_bar" in file and set(file["error_bar"]) != set(self.layout.unknowns):
            raise self._damaged("damaged: its error bars are not those of the unknowns")
        if set(file.get("coordinates") or ()) != set(self.coordinates):
            raise self._damaged("damaged: its coordinates are not those that it names")
        if meshes and (list(self.coordinates) == ["t"]) != (self.layout.time == "t"):
            raise self._damaged("damaged: trajectories on meshes need their times, and no others")
        times = (np.size(self.coordinates["t"]),) if meshes and self.layout.time else ()
        if meshes and any(file[f"values/{u}"].shape[1:] != times for u in self.layout.unknowns):
            raise self._damaged("damaged: its values have not one number for each time")

    def _check_offsets(self) -> None:
        for key, offsets in self._offsets.items():
            good = offsets.shape == (self.count + 1,) and offsets.dtype.kind in "iu"
            if not good or offsets[0] != 0 or (np.diff(offsets.astype(np.int64)) < 0).any():
                raise self._damaged(f"damaged: the offsets of its {key[:20]} do not rise")
        if (self.layout.kind == "meshes") != ("points" in self._offsets):
            raise self._damaged("damaged: samples with points of their own need offsets")
        if not set(self.layout.sensors) <= set(self.layout.inputs):
            raise self._damaged("damaged: it has sensors of inputs that it does not name")
        for name in [*self._stored, *self._ragged]:
            key = _own_offsets(name, self.layout)
            if key and key not in self._offsets:
                raise self._damaged(f"damaged: the offsets of its {name[:60]} are missing")

    def _check_origins(self) -> None:
        pairs = [*self._origins.values()]
        if not pairs:
            return
        good = all(p.shape[1:] == (2,) and p.dtype.kind in "iu" for p in pairs)
        if not good or sorted(np.concatenate(pairs)[:, 0]) != list(range(self.count)):
            raise self._damaged("damaged: it does not say of each sample where it comes from")

    def _damaged(self, how: str) -> DataFileError:
        return DataFileError(
            f"{self.path} cannot be read: it is {how}; make it again or restore a copy"
        )

    @property
    def origin(self) -> str:
        """A checksum of how members were made, but for their count; of other data that of the
        samples that were saved.
        """
        if self.settings is None:
            return self._attributes.get("origin", self.digest)
        content = {name: value for name, value in self.settings.items() if name != "count"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def digest(self) -> str:
        digests = [self._attributes["coordinates_sha256"], *self._attributes["sha256"]]
        return hashlib.sha256("".join(digests).encode()).hexdigest()[:16]

    def identified(self, numbers: Numbers) -> dict[str, Pairs]:
        if not self._origins:
            return super().identified(numbers)
        found = {}
        for origin, pairs in self._origins.items():
            there = np.full(self.count, -1)
            there[pairs[:, 0]] = pairs[:, 1]
            which = np.flatnonzero(there[numbers] >= 0)
            if len(which):
                found[origin] = np.stack([which, there[numbers[which]]], -1)
        return found

    def read(self, block: int) -> Rows:
        here = slice(block * self.block, min((block + 1) * self.block, self.count))
        with opened(self.path, KIND) as file:
            flat: dict[str, np.ndarray] = {}
            rows: Rows = {}
            for name in [*self._stored, *self._ragged]:
                offsets = self._offsets_of(name, file[name].shape[:1])
                part = here if offsets is None else slice(offsets[here.start], offsets[here.stop])
                flat[name] = real(file[name][part], f"{self.path}: {name}")
                rows[name] = flat[name]
                if offsets is not None:
                    edges = offsets[here.start + 1 : here.stop] - offsets[here.start]
                    rows[name] = np.split(flat[name], edges)
        if digest_of(flat) != self._attributes["sha256"][block]:
            raise self._damaged(
                f"damaged: the checksum of samples {here.start} to {here.stop - 1} does not match"
            )
        return rows

    def _offsets_of(self, name: str, length: tuple[int, ...]) -> np.ndarray | None:
        """Where each sample begins, of arrays that have another number of rows for each."""
        key = _own_offsets(name, self.layout)
        offsets = self._offsets.get(key or "points")
        if key not in (None, "points"):
            if name != "cells" and length != (int(self._offsets[key][-1]),):
                raise self._damaged(f"damaged: {name[:60]!r} has not a row for each sensor")
            return offsets
        if offsets is None or (name != "points" and length == (self.count,) != (offsets[-1],)):
            return None
        if length != (int(offsets[-1]),):
            raise self._damaged(f"damaged: {name[:60]!r} has not a row for each point")
        return offsets


def _own_offsets(name: str, layout: Layout) -> str | None:
    """The name of the offsets of an array that has another number of rows for each sample; None for
    what has a row for each sample or for each of its points.
    """
    if name in ("points", "cells"):
        return name
    own = name.removeprefix("inputs/")
    return f"sensors_{own}" if name != own and own in layout.sensors else None


def layout_from_json(content: Mapping[str, Any]) -> Layout:
    """The inverse of `layout_to_json`."""
    lists: dict[str, Any] = {}
    for name, value in content.items():
        lists[name] = tuple(value) if isinstance(value, list) else value
    lists["time"] = content["time"] or None
    return Layout(**lists)


def layout_to_json(layout: Layout) -> dict[str, Any]:
    """As in the attributes of a file."""
    content = {n: list(v) if isinstance(v, tuple) else v for n, v in vars(layout).items()}
    tables = {"units": dict(layout.units), "sensors": dict(layout.sensors)}
    return content | {"time": layout.time or ""} | tables


def write_store(
    path: Path,
    blocks: Callable[[int], Rows],
    *,
    count: int,
    block: int,
    coordinates: Mapping[str, np.ndarray],
    layout: Layout,
    attributes: Mapping[str, Any],
    origins: Mapping[str, Pairs] | None = None,
    report: Callable[[int, int], None] = lambda done, count: None,
) -> None:
    """One file of all blocks, with the checksum of each; it appears whole or not at all.

    Args:
        path: Of the file.
        blocks: From a number to the samples of that block.
        count: Of the samples.
        block: Samples in a block.
        coordinates: Those that all samples share.
        layout: What the arrays are.
        attributes: "source", and for members of a family "settings" and "kind".
        origins: Where samples come from that are a part of other data, or of several, as
            `Store.identified` says it.
        report: ``report(done, count)`` is called after every block.

    Raises:
        OSError: When it cannot be written.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        digests: list[str] = []
        sizes: dict[str, list[int]] = {}
        for number in range(-(-count // block)):
            rows = blocks(number)
            flat: dict[str, np.ndarray] = {}
            for name, value in rows.items():
                ragged = isinstance(value, list)
                if ragged and (key := _own_offsets(name, layout)):
                    sizes.setdefault(key, []).extend(len(one) for one in value)
                flat[name] = np.concatenate(value) if ragged else np.asarray(value)
                _append(file, name, flat[name], None if ragged else count, number * block)
            digests.append(digest_of(flat))
            report(min((number + 1) * block, count), count)
        shared = {f"coordinates/{name}": array for name, array in coordinates.items()}
        shared |= {f"origins/{name}": pairs for name, pairs in (origins or {}).items()}
        for name, lengths in sizes.items():
            shared[f"offsets/{name}"] = np.concatenate([[0], np.cumsum(lengths)])
        for name, array in shared.items():
            file.create_dataset(name, data=array)
        file.attrs["pinops"] = KIND
        content = {
            "layout": layout_to_json(layout),
            "count": count,
            "block": block,
            "coordinates": list(coordinates),
            "sha256": digests,
            "coordinates_sha256": digest_of(shared),
            **attributes,
        }
        file.attrs["attributes"] = text = json.dumps(content)
        file.attrs["sha256"] = digest_of({}, text)


def _append(file: Any, name: str, rows: np.ndarray, count: int | None, begin: int) -> None:
    """Rows behind those that are there; ``count``: how many there will be, where that is known."""
    if name not in file:
        if count is None:
            # Chunks without a filter: read as they are, and grown block by block.
            file.create_dataset(
                name, (0, *rows.shape[1:]), rows.dtype, maxshape=(None, *rows.shape[1:])
            )
        else:
            file.create_dataset(name, (count, *rows.shape[1:]), rows.dtype)
    if count is None:
        begin = len(file[name])
        file[name].resize(begin + len(rows), axis=0)
    file[name][begin : begin + len(rows)] = rows
