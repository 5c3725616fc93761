"""Checkpoints: a training state and its history as named arrays in one HDF5 file, written
atomically.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from pinops.data import (
    Anything,
    DataFileError,
    Table,
    attributes_of,
    check,
    opened,
    read_arrays,
    shown,
    write_arrays,
)
from pinops.problem import difference as fingerprints_differ
from pinops.training._contracts import Params
from pinops.training._state import Report, TrainState
from pinops.training._train import Training

_KIND = "checkpoint"
_PARAMS, _ANSWER = "state/.params", "answer/"  # the latter where it is not the former
# What a resumed run may change; fingerprints are compared up to rounding.
_FREE = ("steps", "minutes", "fingerprint")
_ATTRIBUTES = Table({"request": Table({}, others=Anything())})


def save_checkpoint(
    path: Path,
    state: TrainState | None,
    params: Params,
    history: Sequence[Report],
    request: Mapping[str, Any],
) -> None:
    """Write a state and the parameters to answer with.

    Args:
        path: The checkpoint.
        state: What training goes on from; None: nothing.
        params: The parameters to answer with; often those of the state.
        history: The reports of the training.
        request: How the training was asked for.

    Raises:
        OSError: If the file cannot be written.
    """
    arrays = {f"state/{name}": leaf for name, leaf in named_leaves(state).items()}
    if state is None or params is not state.params:
        prefix = _PARAMS if state is None else _ANSWER
        arrays |= {f"{prefix}{name}": leaf for name, leaf in named_leaves(params).items()}
    arrays |= {f"history/{name}": array for name, array in history_arrays(history).items()}
    write_arrays(path, _KIND, arrays, {"request": dict(request)})


def difference(before: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """The first thing that makes two requests different trainings; None where one can go on from
    the other.
    """
    asked = json.loads(json.dumps(asked))
    return next(
        (name for name, value in asked.items() if name not in _FREE and before.get(name) != value),
        None,
    )


def difference_of_problems(before: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """The first thing in which the problems of two requests differ, where both say what it is."""
    there, here = before.get("fingerprint"), asked.get("fingerprint")
    if not isinstance(there, Mapping) or not isinstance(here, Mapping):
        return None
    return fingerprints_differ(there, here)


def load_checkpoint(
    path: Path, training: Training, params: Params, request: Mapping[str, Any]
) -> tuple[TrainState, list[Report]]:
    """The state and history in a file, in the structure of a training.

    Args:
        path: The checkpoint.
        training: The training to continue.
        params: Parameters of the same structure as the stored ones.
        request: How that training was asked for.

    Raises:
        FileNotFoundError: If there is no such file.
        DataFileError: If it is damaged, or holds the state of another training.
    """
    arrays, attributes = read_arrays(path, _KIND)
    _check_request(path, attributes, request)
    stored = _stored(arrays, "state/")
    if ".step" not in stored:
        raise DataFileError(f"{path} holds parameters but no training state; it cannot be resumed")
    step = stored[".step"]
    if step.shape != () or step.dtype.kind not in "iu" or step < 0:
        raise DataFileError(
            f"{path}: the number of its step must be one whole number, got {step!r:.60}"
        )
    number, _ = training.phase_at(int(step))
    first = training.init(params)
    optimizer = training.phases[number].optimizer.init(params)
    template = dataclasses.replace(first, optimizer=optimizer)
    return filled(path, stored, template), history_reports(path, _stored(arrays, "history/"))


def load_params(
    path: Path, params: Params, request: Mapping[str, Any]
) -> tuple[Params, list[Report]]:
    """Only the trained parameters and the history, in the structure of ``params``.

    Raises:
        FileNotFoundError: If there is no such file.
        DataFileError: If it is damaged, or a checkpoint of another run.
    """
    arrays, attributes = read_arrays(path, _KIND)
    _check_request(path, attributes, request)
    stored = _stored(arrays, _ANSWER) or _stored(arrays, _PARAMS)
    return filled(path, stored, params), history_reports(path, _stored(arrays, "history/"))


def check_checkpoint(path: Path, request: Mapping[str, Any]) -> None:
    """Compare the request of a checkpoint, before a network is built for it; reads no array.

    Raises:
        DataFileError: For the checkpoint of another run.
    """
    with opened(path, _KIND) as file:
        attributes, _ = attributes_of(file, path)
    _check_request(path, attributes, request)


def _check_request(path: Path, attributes: Mapping[str, Any], request: Mapping[str, Any]) -> None:
    check(attributes, _ATTRIBUTES, str(path))
    before = attributes["request"]
    name = difference(before, request)
    if name is not None:
        raise DataFileError(
            f"{path} is a checkpoint of another run: {name[:40]} is {shown(before.get(name))} "
            "there "
            f"and {shown(request[name])} here; restore the right file"
        )
    words = difference_of_problems(before, request)
    if words is not None:
        raise DataFileError(
            f"{path} is a checkpoint of another run: {words}; restore the right file"
        )


def _stored(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def filled(path: Path, stored: Mapping[str, np.ndarray], template: PyTree) -> Any:
    """The template with the stored leaves.

    Args:
        path: The file that they are from.
        stored: As `named_leaves` names them.
        template: With leaves of the same shapes and types.

    Raises:
        DataFileError: If one is missing, or has another shape or type.
    """
    expected = named_leaves(template)
    for name, leaf in expected.items():
        found = stored.get(name)
        if found is None or found.shape != jnp.shape(leaf) or found.dtype != np.asarray(leaf).dtype:
            what = "misses it" if found is None else f"has {found.dtype}{list(found.shape)}"
            raise DataFileError(
                f"{path} is a checkpoint of another training: for {name} this one needs "
                f"{np.asarray(leaf).dtype}{list(jnp.shape(leaf))}, the file {what}"
            )
    return jax.tree_util.tree_unflatten(
        jax.tree_util.tree_structure(template), [jnp.asarray(stored[name]) for name in expected]
    )


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """Every array of a tree by its path, such as ``.network.layers[0].weight``."""
    return {
        jax.tree_util.keystr(path): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]
    }


_GROUPS = ("terms", "errors", "coefficients")


def history_arrays(history: Sequence[Report]) -> dict[str, np.ndarray]:
    """A history as arrays over its rows, NaN where a row has no such entry; phases as fixed-length
    ASCII.
    """
    out = {
        "step": np.array([report.step for report in history], np.int64),
        "total_steps": np.array([report.total_steps for report in history], np.int64),
        "phase": np.array([report.phase.encode("ascii", "replace") for report in history], "S32"),
        "loss": np.array([report.loss for report in history], np.float64),
        "seconds": np.array([report.seconds for report in history], np.float64),
    }
    for group in _GROUPS:
        for name in dict.fromkeys(name for report in history for name in getattr(report, group)):
            out[f"{group}/{name}"] = np.array(
                [getattr(report, group).get(name, np.nan) for report in history], np.float64
            )
    return out


_COLUMNS = {"step": "i", "total_steps": "i", "phase": "S", "loss": "f", "seconds": "f"}


def history_reports(path: Path, arrays: Mapping[str, np.ndarray]) -> list[Report]:
    """The inverse of `history_arrays`.

    Raises:
        DataFileError: If a column is missing, of another type, or not as long as the others; the
            sentence names the file.
    """
    rows = _checked_rows(path, arrays)
    out = []
    for row in range(rows):
        groups: dict[str, dict[str, float]] = {group: {} for group in _GROUPS}
        for key, array in arrays.items():
            group, _, name = key.partition("/")
            if name and not np.isnan(array[row]):
                groups[group][name] = float(array[row])
        out.append(
            Report(
                step=int(arrays["step"][row]),
                total_steps=int(arrays["total_steps"][row]),
                phase=arrays["phase"][row].decode(),
                loss=float(arrays["loss"][row]),
                seconds=float(arrays["seconds"][row]),
                terms=groups["terms"],
                errors=groups["errors"],
                coefficients=groups["coefficients"],
            )
        )
    return out


def _checked_rows(path: Path, arrays: Mapping[str, np.ndarray]) -> int:
    """The number of rows that all columns of a history have.

    Raises:
        DataFileError: If they differ, or a column is not as `history_arrays` makes it.
    """
    for name in _COLUMNS:
        if name not in arrays:
            raise DataFileError(f"{path}: its history has no column {name!r}; restore a copy")
    rows = arrays["step"].shape
    for key, array in arrays.items():
        group, _, name = key.partition("/")
        shown = key if len(key) <= 60 else f"{key[:57]}..."
        if not (key in _COLUMNS or (group in _GROUPS and name)):
            raise DataFileError(f"{path}: {shown!r} is no column of a history; restore a copy")
        wanted = _COLUMNS.get(key, "f")
        if array.dtype.kind != wanted or array.ndim != 1 or array.shape != rows:
            raise DataFileError(
                f"{path}: the column {shown!r} of its history is {array.dtype}{list(array.shape)}, "
                f"and its steps are {list(rows)}; restore a copy"
            )
    if not all(phase.isascii() for phase in arrays["phase"].tolist()):
        raise DataFileError(f"{path}: a phase of its history is no ASCII; restore a copy")
    if np.any(arrays["step"] < 0) or not np.all(arrays["seconds"] >= 0):
        raise DataFileError(
            f"{path}: the steps and seconds of its history must be zero or more; restore a copy"
        )
    return rows[0]
