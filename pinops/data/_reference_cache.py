"""The cache of references that take seconds to compute; nothing is ever downloaded."""

import hashlib
import inspect
import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pinops.data._hdf5 import DataFileError, read_arrays, write_arrays
from pinops.problem import Problem, Window, coefficients_of, name_of
from pinops.reference import Reference

_KIND = "reference"


def cache_folder() -> Path:
    """Where pinops keeps whatever it can compute again.

    ``$PINOPS_CACHE``, or a folder in the user's cache folder.
    """
    if "PINOPS_CACHE" in os.environ:
        return Path(os.environ["PINOPS_CACHE"])
    home = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or home) / "pinops"


def cached_reference(problem: Problem, *, compute: bool = True) -> Reference | None:
    """``problem.reference()``, from the cache where an equal problem has computed it before.

    The key holds the source files of the problem's classes and of the room `pinops.reference`, the
    coefficients, the bounds, and the version of pinops. Closed forms are not cached. A damaged
    cache file is removed, and an unwritable cache does not stop the computation.

    Args:
        problem: a problem, or a time window of one.
        compute: with False, a numerical reference that is not in the cache is None.
    """
    if isinstance(problem, Window):
        whole = cached_reference(problem.problem, compute=compute)
        return None if whole is None else problem.part(whole)
    if type(problem).reference is Problem.reference:
        return problem.reference()
    path = _path(problem)
    if path is not None and path.is_file():
        try:
            return _unpack(*read_arrays(path, _KIND))
        except (DataFileError, KeyError):
            path.unlink(missing_ok=True)
    if not compute:
        return None
    reference = problem.reference()
    if path is not None and reference is not None:
        try:
            write_arrays(path, _KIND, *_pack(reference))
        except OSError:
            pass  # a read-only home folder must not stop the computation
    return reference


def _path(problem: Problem) -> Path | None:
    own = [cls for cls in type(problem).__mro__ if issubclass(cls, Problem) and cls is not Problem]
    try:
        sources = [Path(inspect.getfile(cls)).read_text() for cls in own]
    except (OSError, TypeError):  # a class defined at a prompt has no file
        return None
    from pinops import reference as solvers

    text = [version("pinops"), *sources]
    room = Path(inspect.getfile(solvers)).parent
    text += [path.read_text() for path in sorted(room.glob("*.py"))]
    coefficients = coefficients_of(problem).items()
    text += [f"{name}={np.asarray(value).tolist()!r}" for name, value in coefficients]
    # Classes that a function makes differ in what no file says.
    text += [f"{name} in {bounds!r}" for name, bounds in problem.domain.bounds.items()]
    key = hashlib.sha256("\0".join(text).encode()).hexdigest()[:16]
    return cache_folder() / "references" / f"{name_of(problem)}-{key}.h5"


def _pack(reference: Reference) -> tuple[dict[str, np.ndarray], dict]:
    arrays = {f"coordinates/{name}": array for name, array in reference.coordinates.items()}
    arrays |= {f"values/{name}": array for name, array in reference.values.items()}
    attributes = {
        "error_bar": reference.error_bar,
        "kind": reference.kind,
        "source": reference.source,
    }
    # HDF5 sorts names; the order of coordinates is part of the meaning.
    return arrays, attributes | {
        "coordinates": list(reference.coordinates),
        "values": list(reference.values),
    }


def _unpack(arrays: dict[str, np.ndarray], attributes: dict) -> Reference:
    return Reference(
        coordinates={name: arrays[f"coordinates/{name}"] for name in attributes["coordinates"]},
        values={name: arrays[f"values/{name}"] for name in attributes["values"]},
        error_bar=attributes["error_bar"],
        kind=attributes["kind"],
        source=attributes["source"],
    )
