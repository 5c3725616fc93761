"""``run.json``: what was asked, with which versions, and the result once there is one."""

import json
import os
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pinops.data import DataFileError
from pinops.training import difference


def write_run(folder: Path, request: Mapping[str, Any], result: Mapping[str, Any] | None) -> None:
    """Write ``run.json`` atomically."""
    packages = ("pinops", "jax", "jaxlib", "equinox", "optax", "numpy")
    content = {
        "request": request,
        "versions": {name: version(name) for name in packages},
        "result": result,
    }
    folder.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".run.json.")
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / "run.json")
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_run(folder: str | Path) -> dict[str, Any]:
    """The contents of ``run.json``.

    Raises:
        FileNotFoundError: When there is none.
        DataFileError: When it is damaged.
    """
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no run: there is no {path}")
    try:
        content = json.loads(path.read_text())
        content["request"]["problem"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataFileError(
            f"{path} cannot be read as the description of a run ({error}); restore a copy"
        ) from error
    return content


def check_folder(folder: Path, request: Mapping[str, Any]) -> None:
    """Raises ValueError when a folder holds another run than that of a request, or another thing."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; choose a folder for the run")
    if not (folder / "run.json").exists():
        return
    name = difference(read_run(folder)["request"], request)
    if name is not None:
        raise ValueError(
            f"{folder} holds another run, with a different {name}; choose another folder"
        )
