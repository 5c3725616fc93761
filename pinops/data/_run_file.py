"""``run.json``: what was asked, with which versions, and what came out, with checksums of itself
and of the files beside it. An exported file has a description of the same form, ``FILE.json``.

Both are read through one schema, so that whoever reads a run afterwards finds the names and types
that it expects.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pinops.data._hdf5 import DataFileError, parsed, replacing, size_of
from pinops.data._schema import (
    Anything,
    Either,
    Flag,
    Items,
    Kind,
    Number,
    Numbers,
    Optional,
    Row,
    Table,
    Text,
    check,
)
from pinops.data._versions import versions

_NAME = "run.json"
_EXPORTED = "file"  # the only part of the description of an exported file, whatever its name
_LARGEST = 8 * 2**20  # bytes of run.json
_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,100}\.h5")

_COUNT = Number(least=1, whole=True)
_SIZE = Number(least=1, most=1e8, whole=True)
_SIZE_OR_ANY = Number(least=-1, most=1e8, whole=True)  # -1: any number of sensors
_SEED = Number(least=0, most=2**32 - 1, whole=True)
_DTYPE = Text(("float32", "float64"))
_WEIGHT = Number(least=0)
_NAMES = Items(Text(longest=200))
_DIGEST = Text(longest=64)
_BY_NAME = Table({}, others=Number())
_NUMBERS = Items(Number())
# Of an input, or of the positions and values of one at sensors of its own.
_INPUT = Either((Numbers(), Table({"at": _NUMBERS, "values": _NUMBERS})))
_SIZES = Table({name: _BY_NAME for name in ("centre", "spread", "sizes", "terms", "coefficients")})
_DESCRIPTION = Either((Text(), Table({}, others=Anything())))

_PLACE = Number(least=0, whole=True)
# By the origin of data the samples of them for training, as ranges from a number to another.
_SEEN = Table({}, others=Items(Row((_PLACE, _PLACE))))

# What every request has, whatever was trained. Names that are only compared or shown have no type
# here.
_EVERY: Mapping[str, Kind] = {
    "problem": Text(longest=200),
    "coefficients": Table({}, others=Anything()),
    "seed": _SEED,
    "dtype": _DTYPE,
}
_MAYBE: Mapping[str, Kind] = {
    "trainable": _NAMES,
    "exact": Flag(),
    "steps": _COUNT,
    "minutes": Optional(Number(above=0)),
    "phases": Items(_DESCRIPTION),
    "phase_steps": Items(_COUNT),
    "ensemble": Items(_SEED, least=1),
    "uncertain": Table({"prior": Number(least=0), "bootstrap": Number(above=0, most=1)}),
    "compute_dtype": Optional(Text(("bfloat16",))),
    "observations": Optional(_DIGEST),
    "start": Optional(_DIGEST),
    "drawn": Optional(Row((_SEED, _DTYPE))),
    "data": Optional(_DIGEST),
    "data_members": Optional(_SEEN),
    "units": Table({}, others=Text(longest=200)),
    "physics": _WEIGHT,
    "fingerprint": Table({}, others=Anything()),
    "family": Table(
        {
            "bounds": Table({}, others=Items(Number(), length=2)),
            "unknowns": Items(Text(longest=200), least=1),
            "inputs": Table({}, others=Items(_SIZE_OR_ANY)),
        }
    ),
    "mixture": Table(
        {
            "families": Items(
                Table({"name": Text(longest=200), "coefficients": Table({}, others=Anything())}),
                least=1,
            ),
            "weights": Items(_WEIGHT, least=1),
        }
    ),
}
_SOLUTION: Mapping[str, Kind] = {
    "trainable": _NAMES,
    "network": _DESCRIPTION,
    "scales": _SIZES,
}
_WINDOWS: Mapping[str, Kind] = {
    "windows": Either(
        (
            Table({"count": Number(least=2, most=1e6, whole=True), "nodes": _SIZE}),
            Table({"tolerance": Number(above=0, most=1), "nodes": _SIZE}),
        )
    )
}
_OPERATOR: Mapping[str, Kind] = {
    "operator": _DESCRIPTION,
    "inputs": Table({name: Table({}, others=_INPUT) for name in ("mean", "deviation")}),
    "scale": _BY_NAME,
    "scales": _SIZES,
    "physics": _WEIGHT,
}
_MAPS = ("identity", "log", "sigmoid_log")
_SCALING = Table(
    {
        "names": _NAMES,
        "low": _NUMBERS,
        "high": _NUMBERS,
        "maps": Items(Text(_MAPS)),
        "mean": _NUMBERS,
        "deviation": _NUMBERS,
    }
)
_MAP_INPUTS = Table(
    {
        "fields": Table({}, others=Items(_SIZE, least=1)),
        "constants": Table({}, others=_SIZE),
        "of_fields": _SCALING,
        "of_constants": _SCALING,
    }
)
_CURRICULUM = Table(
    {"Curriculum": Table({"noise": _WEIGHT, "push_forward": Flag()}, others=Anything())}
)
_SURROGATE: Mapping[str, Kind] = {
    "surrogate": _DESCRIPTION,
    "data_members": _SEEN,
    "grid": Table(
        {
            "coordinates": _NAMES,
            "first": _NUMBERS,
            "steps": Items(Number(above=0)),
            "points": Items(_SIZE, least=1),
            "snapshots": _SIZE,
            "time": Text(longest=200),
        }
    ),
    "parameters": _SCALING,
    "fields": Optional(_MAP_INPUTS),
    "centre": _BY_NAME,
    "scale": _BY_NAME,
    "scales": _SIZES,
    "physics": _WEIGHT,
    "curriculum": _CURRICULUM,
}
_MAP: Mapping[str, Kind] = {
    "map": _DESCRIPTION,
    "axes": Table({}, others=_NUMBERS),
    "inputs": _MAP_INPUTS,
    "centre": _BY_NAME,
    "scale": _BY_NAME,
    "scales": Optional(_SIZES),
    "physics": _WEIGHT,
    "loss": Optional(Text(("H1", "L2"))),
}
_ON_POINTS: Mapping[str, Kind] = {
    "points": Table(
        {
            "names": _NAMES,
            "shapes": Items(Items(_SIZE)),
            "local": Items(Flag()),
            "maps": Items(Text(_MAPS)),
            "middle": Items(Number(), least=1),
            "radius": Number(above=0),
            "centre": _NUMBERS,
            "deviation": Items(Number(above=0)),
            "sizes": Items(_SIZE, least=1),
            "tables": Row((_PLACE, _PLACE)),
        }
    ),
    "mean": _BY_NAME,
    "scale": _BY_NAME,
}
_POINT_MAP: Mapping[str, Kind] = {"point_map": _DESCRIPTION, **_ON_POINTS}
_POINT_SURROGATE: Mapping[str, Kind] = {
    "surrogate": _DESCRIPTION,
    "data_members": _SEEN,
    "step": Number(above=0),
    "curriculum": _CURRICULUM,
    **_ON_POINTS,
}
_MODES = Number(least=0, most=1e5, whole=True)
_MMGP: Mapping[str, Kind] = {
    "mmgp": _DESCRIPTION,
    "data_members": _SEEN,
    "points": Table(
        {
            "names": _NAMES,
            "shapes": Items(Items(_SIZE)),
            "local": Items(Flag()),
            "dimension": Number(least=2, most=3, whole=True),
            "scalars": _NAMES,
        }
    ),
    "sizes": Table(
        {
            "samples": _SIZE,
            "points": _SIZE,
            "cells": _SIZE,
            "landmarks": _MODES,
            "dimension": Number(least=2, most=3, whole=True),
            "shape": _MODES,
            "fields": Table({}, others=Row((_SIZE, _MODES))),
            "numbers": _MODES,
            "outputs": Items(_MODES, least=1),
            "scalars": _MODES,
        }
    ),
}
_HYPERNETWORK: Mapping[str, Kind] = {
    "hypernetwork": _DESCRIPTION,
    "first_steps": _COUNT,
    "problems": _DESCRIPTION,
    "family": _MAYBE["family"],
}
_MULTI_FIDELITY: Mapping[str, Kind] = {
    "multi_fidelity": Table(
        {
            "mode": Text(("residual", "compose", "concat")),
            "low": Text(("trained", "function")),
        }
    ),
    "axes": Table({}, others=_NUMBERS),
    "data_members": _SEEN,
    "family": _MAYBE["family"],
}
_RESULT = Table(
    {
        "status": Text(longest=40),
        "steps": Number(least=0, whole=True),
        "seconds": Number(least=0),
        "compile_seconds": Number(least=0),
    },
    {"loss": Optional(Number(finite=False))},
    others=Anything(),
)
_PART = Table({"bytes": Number(least=0, whole=True), "sha256": _DIGEST})
_CONTENT = Table(
    {
        "request": Table({}, others=Anything()),
        "versions": Table({}, others=Text()),
        "result": Optional(_RESULT),
        "parts": Table({}, others=_PART),
        "sha256": _DIGEST,
    },
    {"interface": Table({}, others=Anything())},
)


def write_run(
    folder: Path,
    request: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    parts: Sequence[str] = (),
) -> None:
    """Write ``run.json``; it appears whole or not at all.

    A file beside it must not change while it is listed: whoever writes these files anew first
    writes ``run.json`` with no result, so that a run that is interrupted in between is an
    unfinished one and not a damaged one.

    Args:
        folder: the run directory.
        request: what was asked, as JSON.
        result: what came out, None as long as it is trained.
        parts: names of the final files in the folder, whose checksums are kept.

    Raises:
        OSError: when it cannot be written.
    """
    _write(folder / _NAME, request, result, {name: folder / name for name in parts})


def write_description(
    file: Path,
    request: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    interface: Mapping[str, Any],
) -> None:
    """Write ``FILE.json`` beside an exported file.

    Args:
        file: the exported file.
        request: what was asked, as JSON.
        result: what came out, None as long as the file is not written.
        interface: what the exported function takes and gives.

    Raises:
        OSError: when it cannot be written.
    """
    parts = {} if result is None else {_EXPORTED: file}
    _write(described_by(file), request, result, parts, {"interface": interface})


def described_by(file: Path) -> Path:
    """The description of an exported file."""
    return file.with_name(f"{file.name}.json")


def _write(
    path: Path,
    request: Mapping[str, Any],
    result: Mapping[str, Any] | None,
    parts: Mapping[str, Path],
    more: Mapping[str, Any] | None = None,
) -> None:
    content = {
        "request": request,
        "versions": versions(),
        "result": result,
        **(more or {}),
        "parts": {
            name: {"bytes": part.stat().st_size, "sha256": _digest_of_file(part)}
            for name, part in parts.items()
        },
        "sha256": "",
    }
    text = json.dumps(content, indent=2) + "\n"
    with replacing(path) as temporary:
        temporary.write_bytes(_signed(text.encode()))


def _signed(text: bytes) -> bytes:
    """The text of ``run.json`` with its own checksum, which is that of the text without it."""
    before, name, after = text.rpartition(b'"sha256": "')
    return before + name + hashlib.sha256(text).hexdigest().encode() + after


def read_run(folder: str | Path) -> dict[str, Any]:
    """The contents of ``run.json``, which agree with their checksums and the schema.

    Raises:
        FileNotFoundError: when there is none.
        DataFileError: when it, or a file that it lists, is altered, or a name or type in it is not
            as written by pinops.
    """
    folder = Path(folder)
    path = folder / _NAME
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no run: there is no {path}")
    content = _read(path)
    for name, part in content["parts"].items():
        if _PLAIN.fullmatch(name) is None:
            raise DataFileError(
                f"{path}: parts.{name[:40]!r} is no name of a file of a run; restore a copy"
            )
        if not (folder / name).is_file():
            raise DataFileError(
                f"{folder} is incomplete: {name}, which its run.json lists, is missing; restore a "
                "copy"
            )
        _check_part(folder / name, part, path)
    return content


def read_description(file: Path, *, written: bool = True) -> dict[str, Any]:
    """The description of an exported file, which agrees with its checksums and the schema.

    Args:
        file: the exported file.
        written: whether the file must be there, and be the described one.

    Raises:
        FileNotFoundError: when there is no such file, or no description beside it.
        DataFileError: when the file or its description is altered, or a name or type in it is not
            as written by pinops.
    """
    path = described_by(file)
    if written and not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    if not path.is_file():
        raise FileNotFoundError(f"{file} has no description: there is no {path}; copy both files")
    content = _read(path)
    if written:
        if set(content["parts"]) != {_EXPORTED}:
            raise DataFileError(f"{file} was not written to its end; export it again")
        _check_part(file, content["parts"][_EXPORTED], path)
    return content


def _read(path: Path) -> dict[str, Any]:
    """The contents of a description, which agree with its own checksum and the schema."""
    if (size := size_of(path)) > _LARGEST:
        raise DataFileError(f"{path} cannot be read: it has {size} bytes, more than {_LARGEST}")
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataFileError(f"{path} cannot be read: {error.strerror or error}") from error
    content = parsed(text, path)
    check(content, _CONTENT, str(path))
    signature = content["sha256"].encode()
    before, _, after = text.rpartition(signature or b"\0")
    if not signature or _signed(before + after) != text:
        raise DataFileError(
            f"{path} is damaged: its checksum does not match its content; restore a copy"
        )
    check(content, Table({"request": _kind_of(content["request"])}, others=Anything()), str(path))
    return content


def _kind_of(request: Mapping[str, Any]) -> Table:
    """The schema of a request, by what was trained."""
    own = _SOLUTION
    if "windows" in request:
        own = _WINDOWS
    elif "operator" in request:
        own = _OPERATOR
    elif "surrogate" in request:
        own = _POINT_SURROGATE if "points" in request else _SURROGATE
    elif "map" in request:
        own = _MAP
    elif "point_map" in request:
        own = _POINT_MAP
    elif "mmgp" in request:
        own = _MMGP
    elif "multi_fidelity" in request:
        own = _MULTI_FIDELITY
    elif "hypernetwork" in request:
        own = _HYPERNETWORK
    optional = {name: kind for name, kind in _MAYBE.items() if name not in own}
    return Table({**_EVERY, **own}, optional, Anything())


def _check_part(path: Path, part: Mapping[str, Any], description: Path) -> None:
    """Raises DataFileError when a file is not the described one."""
    if size_of(path) != part["bytes"] or _digest_of_file(path) != part["sha256"]:
        raise DataFileError(
            f"{path} is damaged: its checksum is not that in {description.name}; restore a copy"
        )


def _digest_of_file(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
