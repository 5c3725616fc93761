"""HDF5 in and out: named arrays with attributes, written atomically and checked when read.

A file may come from a stranger.  Before an array is allocated, all that the file declares is
compared with what a file of ours can hold: plain numbers and fixed-length texts, stored as they
are, no larger together than the file itself.
"""

import glob
import hashlib
import io
import json
import os
import platform
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

_COUNT = 20_000  # arrays and groups of a file
_DEPTH = 16  # groups within groups
_TEXT = 8 * 2**20  # bytes of JSON, which as Python objects take up to twenty times as many
_NESTING = 32  # lists and tables within each other
_SPARSE = 64 * 2**20  # bytes from which on a file is asked whether it is there
_REASON = 120  # characters of what a library says
OUTSIDE = (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, IndexError)


class DataFileError(ValueError):
    """A file that cannot be used; the message says which, why, and what to do."""


def digest_of(arrays: Mapping[str, np.ndarray], attributes: str = "") -> str:
    """A checksum of named arrays and a text."""
    digest = hashlib.sha256(attributes.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_arrays(
    path: str | Path,
    kind: str,
    arrays: Mapping[str, Any],
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write named arrays and JSON attributes; the file appears whole or not at all, whatever
    happens meanwhile.

    Raises:
        OSError: If the folder cannot be written or the disk is full; the sentence names the file.
    """
    path = Path(path)
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    text = json.dumps(dict(attributes or {}), sort_keys=True)
    # In memory first: HDF5 crashes the process when a disk fills up under it.
    image = io.BytesIO()
    with h5py.File(image, "w") as file:
        file.attrs["pinops"] = kind
        file.attrs["attributes"] = text
        file.attrs["sha256"] = digest_of(arrays, text)
        for key, array in arrays.items():
            file.create_dataset(key, data=array)
    with replacing(path) as temporary:
        temporary.write_bytes(image.getbuffer())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file to be written; it takes the place of ``path`` once that is done, and is
    removed otherwise.

    Raises:
        OSError: If the folder cannot be written or the disk is full; the sentence names the file.
    """
    # The name says whose it is, so that the next writer sees whether its owner is still there.
    owner = f"{os.getpid()}@{platform.node()}.{secrets.token_hex(4)}"
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        part = path.parent / f".{path.name}.{owner}.part"
        part.touch(exist_ok=False)  # unlike mkstemp, for all who may read new files here
        temporary = part
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(
            f"{path} cannot be written: {error.strerror or error}; free some space or choose "
            "another folder"
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files that processes which were killed have left beside a file."""
    beginning = f".{path.name}."
    for part in path.parent.glob(f"{glob.escape(beginning)}*.part"):
        owner, _, rest = part.name.removeprefix(beginning).partition("@")
        host = rest.removesuffix(".part").rpartition(".")[0]
        # Processes of other machines cannot be seen from here.
        if owner.isdecimal() and host == platform.node() and not _is_alive(int(owner)):
            part.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    """Whether there is a process of this number; True where that cannot be told."""
    if os.name != "posix":  # elsewhere a signal of number 0 is not only a question
        return True
    try:
        os.kill(process, 0)  # a signal that only asks
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is that of another user
        return True
    return True


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # not possible on every system; the rename itself is atomic
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def opened(path: Path, kind: str) -> Iterator[Any]:  # h5py tells no group from an array
    """A file of ours, open for reading, after all that it declares has been checked; nothing is
    allocated for it before.

    Whatever goes wrong while it is open becomes a DataFileError of one sentence.

    Args:
        path: The file.
        kind: What it must hold, such as "checkpoint".

    Raises:
        FileNotFoundError: If there is no such file.
        DataFileError: If it is truncated, altered, of another kind, or not as pinops writes files.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with h5py.File(path, "r") as file:
            found = text_of(file, "pinops", path) if "pinops" in file.attrs else None
            if found != kind:
                words = "".join(c for c in (found or "")[:40] if c.isprintable())
                what = f"holds a pinops {words}" if found else "was not written by pinops"
                raise DataFileError(
                    f"{path} is not a pinops {kind}: it {what}; give the right file"
                )
            _check_declared(file, path)
            yield file
    except (DataFileError, FileNotFoundError):
        raise
    except RecursionError:
        raise DataFileError(f"{path} cannot be read: its groups are nested too deeply") from None
    except MemoryError:
        raise DataFileError(
            f"{path} cannot be read: its arrays do not fit the memory of this machine"
        ) from None
    except OUTSIDE as error:
        raise DataFileError(
            f"{path} cannot be read: it is truncated or not HDF5 ({said(error)}); "
            "delete it or restore a copy"
        ) from error


def said(error: BaseException, longest: int = _REASON) -> str:
    """The first line of what an exception says, short; its type where it says nothing."""
    line = next(iter(str(error).splitlines()), "").strip() or type(error).__name__
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def text_of(file: h5py.File, name: str, path: Path) -> str:
    """A text attribute, its type and size checked before it is used."""
    if name not in file.attrs:
        raise DataFileError(f"{path} cannot be read: it has no attribute {name!r}; restore a copy")
    handle = file.attrs.get_id(name)
    if h5py.check_string_dtype(handle.dtype) is None or handle.shape != ():
        raise DataFileError(
            f"{path} cannot be read: its attribute {name!r} must be one text, "
            f"got {str(handle.dtype)[:40]} of shape {str(handle.shape)[:40]}; restore a copy"
        )
    if handle.get_storage_size() > _TEXT:
        raise DataFileError(
            f"{path} cannot be read: its attribute {name!r} is larger than {_TEXT} bytes"
        )
    value = file.attrs[name]
    text = value.decode() if isinstance(value, bytes) else str(value)
    if len(text) > _TEXT:
        raise DataFileError(
            f"{path} cannot be read: its attribute {name!r} has {len(text)} characters, "
            f"more than {_TEXT}"
        )
    return text


def attributes_of(file: h5py.File, path: Path) -> tuple[dict[str, Any], str]:
    """The JSON attributes of an open file, and their text."""
    text = text_of(file, "attributes", path)
    value = parsed(text, path)
    if not isinstance(value, dict):
        raise DataFileError(f"{path} cannot be read: its attributes are no table; restore a copy")
    return value, text


def parsed(text: str | bytes, path: Path) -> Any:
    """JSON of bounded size and nesting.

    Raises:
        DataFileError: If it is not JSON, too long, or nested too deeply; the sentence names the
            file.
    """
    if len(text) > _TEXT:
        raise DataFileError(
            f"{path} cannot be read: its text has {len(text)} characters, more than {_TEXT}"
        )
    deep = f"{path} cannot be read: its lists and tables are nested more than {_NESTING} deep"
    try:
        value = json.loads(text)
    except RecursionError:
        raise DataFileError(deep) from None
    except ValueError as error:  # also of bytes that are no UTF-8, and of numbers of 5000 digits
        raise DataFileError(
            f"{path} cannot be read: it is not JSON ({said(error)}); restore a copy"
        ) from error
    layer, depth = [value] if isinstance(value, dict | list) else [], 0
    while layer:
        depth += 1
        if depth > _NESTING:
            raise DataFileError(deep)
        inner = (item.values() if isinstance(item, dict) else item for item in layer)
        layer = [item for items in inner for item in items if isinstance(item, dict | list)]
    return value


def size_of(path: Path) -> int:
    """The size of a file. Raises DataFileError where the disk holds far less: reading would make up
    the rest as zeros.
    """
    status = os.stat(path)
    if status.st_size > _SPARSE and 8192 * getattr(status, "st_blocks", 2**60) < status.st_size:
        raise DataFileError(f"{path} cannot be read: most of it is a hole that was never written")
    return status.st_size


def _check_declared(file: h5py.File, path: Path) -> None:
    """Raises DataFileError for what a file of ours never holds, and for arrays larger than the
    file.
    """
    size = size_of(path)
    count, total = 0, 0
    groups: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while groups:
        prefix, group, depth = groups.pop()
        if depth > _DEPTH:
            raise DataFileError(f"{path} cannot be read: its groups are nested too deeply")
        for name in group:
            count += 1
            if count > _COUNT:
                raise DataFileError(f"{path} cannot be read: it has more than {_COUNT} arrays")
            where = f"{prefix}{name}"
            shown = where if len(where) <= 60 else f"{where[:57]}..."
            # A link to another file reads what the user did not give; one within the file can be a
            # circle.
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise DataFileError(
                    f"{path} cannot be read: {shown!r} is a link; give a plain copy"
                )
            node = group[name]
            if isinstance(node, h5py.Group):
                groups.append((f"{where}/", node, depth + 1))
                continue
            total += _declared(node, shown, path)
            if total > size:
                raise DataFileError(
                    f"{path} cannot be read: its arrays, with {shown!r}, declare {total} bytes, "
                    f"and the file has {size}; delete it or restore a copy"
                )


def _declared(node: Any, name: str, path: Path) -> int:
    """How many bytes an array declares, as Python integers, which do not overflow."""
    if not isinstance(node, h5py.Dataset):
        raise DataFileError(f"{path} cannot be read: {name!r} is no array; restore a copy")
    kind = node.dtype
    if kind.kind not in "fiubS" or kind.hasobject or kind.subdtype is not None:
        raise DataFileError(
            f"{path} cannot be read: {name!r} holds {str(kind)[:40]}; "
            "pinops reads numbers and texts of fixed length"
        )
    if node.shape is None:
        raise DataFileError(f"{path} cannot be read: {name!r} is empty, without a shape")
    plan = node.id.get_create_plist()
    if plan.get_layout() == h5py.h5d.VIRTUAL or plan.get_external_count():
        raise DataFileError(
            f"{path} cannot be read: {name!r} lies in other files; give one with its numbers in it"
        )
    if plan.get_layout() == h5py.h5d.CHUNKED and plan.get_nfilters():
        raise DataFileError(
            f"{path} cannot be read: {name!r} is compressed, which pinops does not write; "
            "write it without compression"
        )
    total = kind.itemsize
    for length in node.shape:
        total *= int(length)
    return total


def read_arrays(path: str | Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and attributes of a file of this kind.

    Raises:
        FileNotFoundError: If it is missing.
        DataFileError: If it is truncated, altered, of another kind, or not as pinops writes files.
    """
    path = Path(path)
    with opened(path, kind) as file:
        attributes, text = attributes_of(file, path)
        expected = text_of(file, "sha256", path)
        arrays: dict[str, np.ndarray] = {}

        def visit(name: str, node: h5py.Group | h5py.Dataset) -> None:
            if isinstance(node, h5py.Dataset):
                arrays[name] = np.asarray(node[()])

        file.visititems(visit)
        if digest_of(arrays, text) != expected:
            raise DataFileError(
                f"{path} is damaged: its checksum does not match its content; "
                "delete it or restore a copy"
            )
    return arrays, attributes
