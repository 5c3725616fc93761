"""HDF5 in and out: named arrays with attributes, written atomically and checked when read."""

import glob
import hashlib
import io
import json
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np


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
    """Write named arrays and JSON attributes; the file appears whole or not at all, whatever happens meanwhile.

    **Raises** OSError naming the file when the folder cannot be written or the disk is full.
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
    """A temporary file to be written; it takes the place of ``path`` once that is done, and is removed otherwise.

    **Raises** OSError naming the file when the folder cannot be written or the disk is full.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        # The name says whose it is, so that the next writer sees whether its owner is still there.
        prefix = f".{path.name}.{os.getpid()}@{platform.node()}."
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".part")
        temporary = Path(name)
        os.close(handle)
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(
            f"{path} cannot be written: {error.strerror or error}; free some space or choose another folder"
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


def read_arrays(path: str | Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and attributes of a file of this kind.

    **Raises** FileNotFoundError when it is missing, DataFileError when it is truncated, altered or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        with h5py.File(path, "r") as file:
            found = file.attrs.get("pinops")
            if found != kind:
                what = f"holds a pinops {found}" if found else "was not written by pinops"
                raise DataFileError(
                    f"{path} is not a pinops {kind}: it {what}; give the right file"
                )
            text, expected = str(file.attrs["attributes"]), file.attrs["sha256"]
            arrays: dict[str, np.ndarray] = {}

            def visit(name: str, node: Any) -> None:
                if isinstance(node, h5py.Dataset):
                    arrays[name] = np.asarray(node[()])

            file.visititems(visit)
    except DataFileError:
        raise
    except (OSError, KeyError, RuntimeError) as error:
        message = f"{path} cannot be read: it is truncated or not HDF5 ({error}); delete it or restore a copy"
        raise DataFileError(message) from error
    if digest_of(arrays, text) != expected:
        raise DataFileError(
            f"{path} is damaged: its checksum does not match its content; delete it or restore a copy"
        )
    return arrays, json.loads(text)
