"""The Well (Ohana et al. 2024): scalars, vectors and tensors ``t0_fields``, ``t1_fields``,
``t2_fields`` of shape ``(n, t, *space[, d[, d]])``, beside ``dimensions`` and ``scalars``.

Attributes say which axes a field has: ``sample_varying``, ``time_varying``, ``dim_varying``. A
field that does not vary in time is an input; the constants of a simulation are parameters.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pinops.data._contents import Contents
from pinops.data._lazy import columns
from pinops.data.readers._found import (
    Found,
    changed,
    components,
    fields_of,
    number_of,
    plain,
    repeated,
    rising,
    shown,
)

_RANKS = {"t0_fields": 0, "t1_fields": 1, "t2_fields": 2}


def matches(found: Found) -> bool:
    """Whether it has fields and dimensions as The Well names them."""
    return "dimensions/time" in found.arrays and any(rank in found.groups for rank in _RANKS)


def read(found: Found) -> Contents:
    """Trajectories, with what is constant in them as inputs."""
    space = _space(found)
    fields = [name for name in found.arrays if name.partition("/")[0] in _RANKS]
    varying = [name for name in fields if _flag(found, name, "time_varying")]
    counts = {found.shape(name)[0] for name in fields if _flag(found, name, "sample_varying")}
    if not varying or len(counts) > 1:
        raise found.error(
            f"it has {len(varying)} fields that vary in time, of {sorted(counts)} samples; at "
            "least one is needed, and one number of samples"
        )
    count = counts.pop() if counts else 1
    axes = {"t": _line(found, "dimensions/time"), **space}
    outputs: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    for name in fields:
        array = _whole(found, name, axes, count)
        parts = _named(found, name, array, list(space))
        (outputs if name in varying else inputs).update(parts)
    parameters = _constants(found)
    for name, value in _scalars(found, count, len(axes["t"])).items():
        (inputs if np.ndim(value) == 2 else parameters)[name] = value
    axes, outputs = rising(axes, outputs)
    inputs |= rising(space, fields_of(inputs, space))[1]
    return Contents(
        outputs=outputs,
        inputs=inputs,
        coordinates=axes,
        parameters=parameters,
        time="t",
        units=found.units({f"dimensions/{name}": name for name in space}),
        source=str(found.path),
    )


def _space(found: Found) -> dict[str, np.ndarray]:
    """The axes of space, in the order that the file states."""
    stated = found.groups.get("dimensions", {}).get("spatial_dims")
    there = [name.partition("/")[2] for name in found.arrays if name.startswith("dimensions/")]
    names = [str(n) for n in stated] if isinstance(stated, list) else sorted({*there} - {"time"})
    if not 1 <= len(names) <= 3 or not set(names) <= set(there):
        raise found.error(
            f"its axes of space are {', '.join(shown(n) for n in names)}, and there are "
            f"dimensions/{', dimensions/'.join(shown(n) for n in there)}"
        )
    return {plain(name): _line(found, f"dimensions/{name}") for name in names}


def _line(found: Found, name: str) -> np.ndarray:
    """A coordinate, which may be stored for each sample, if all have the same."""
    if len(found.shape(name)) != 2:
        return found.axis(name)
    lines = np.asarray(found.array(name), np.float64)
    steps = np.diff(lines[0])
    monotone = (steps > 0).all() or (steps < 0).all()
    if not np.isfinite(lines).all() or not monotone or np.ptp(lines, axis=0).any():
        raise found.error(f"{shown(name)} differs from sample to sample, or does not rise")
    return lines[0]


def _flag(found: Found, name: str, which: str) -> bool:
    return bool(np.all(found.arrays[name].attributes.get(which, True)))


def _whole(found: Found, name: str, axes: Mapping[str, np.ndarray], count: int) -> Any:
    """A field with all of its axes, ``(n[, t], *space, ...)``."""
    entry, rank = found.arrays[name], _RANKS[name.partition("/")[0]]
    space = [axis for axis in axes if axis != "t"]
    varies = np.broadcast_to(entry.attributes.get("dim_varying", True), len(space))
    has = {"n": _flag(found, name, "sample_varying"), "t": _flag(found, name, "time_varying")}
    has |= {axis: bool(one) for axis, one in zip(space, varies, strict=True)}
    lengths = {"n": count} | {axis: len(line) for axis, line in axes.items()}
    wanted = [lengths[axis] for axis, one in has.items() if one]
    tail = list(entry.shape[len(wanted) :])
    if list(entry.shape[: len(wanted)]) != wanted or len(tail) != rank or max(tail, default=1) > 9:
        raise found.error(
            f"{shown(name)} has the shape {entry.shape}, and by its attributes it must be "
            f"({', '.join(str(n) for n in wanted)}{', components' * rank})"
        )
    array = found.array(name)
    rest = [axis for axis in lengths if axis != "n" and (axis != "t" or has["t"])]
    full = [lengths[axis] for axis in rest] + tail
    short = [lengths[axis] if has[axis] else 1 for axis in rest] + tail
    if not has["n"]:
        return repeated(np.broadcast_to(np.asarray(array).reshape(short), full), count)

    def spread(rows: np.ndarray) -> np.ndarray:
        return np.broadcast_to(rows.reshape(len(rows), *short), (len(rows), *full))

    return array if full == short else changed(array, (count, *full), spread)


def _named(found: Found, name: str, array: Any, space: Sequence[str]) -> dict[str, Any]:
    """Components of vectors and tensors by name; a symmetric tensor has each pair once."""
    group, _, own = name.partition("/")
    own, rank = plain(own), _RANKS[group]
    if rank == 0:
        return {own: array}
    if rank == 1:
        return columns(array, components(own, space, array.shape[-1]))
    attributes = found.arrays[name].attributes
    rows, cols = array.shape[-2:]
    pairs = [(i, j) for i in range(rows) for j in range(cols)]
    if attributes.get("symmetric", False) and rows == cols:
        pairs = [(i, j) for i, j in pairs if i <= j]
    if attributes.get("antisymmetric", False) and rows == cols:
        pairs = [(i, j) for i, j in pairs if i < j]
    short = list(space) if len(space) == rows == cols else [str(k) for k in range(max(rows, cols))]
    where = tuple(np.asarray(one) for one in zip(*pairs, strict=True))
    shape = (*array.shape[:-2], len(pairs))
    chosen = changed(array, shape, lambda some: some[..., where[0], where[1]])
    return columns(chosen, [f"{own}_{short[i]}{short[j]}" for i, j in pairs])


def _constants(found: Found) -> dict[str, Any]:
    """The parameters that the file states of all of its simulations."""
    stated = found.attributes.get("simulation_parameters", [])
    names = stated if isinstance(stated, list) else [stated]
    out: dict[str, Any] = {}
    for name in names:
        if isinstance(name, str) and name in found.attributes:
            value = number_of(found.attributes[name])
            if value is None:
                raise found.error(
                    f"its attribute {shown(name)} must be one number, got "
                    f"{shown(repr(found.attributes[name]))}"
                )
            out[plain(name)] = value
    return out


def _scalars(found: Found, count: int, frames: int) -> dict[str, Any]:
    """Numbers of each sample ``(n,)`` or of all; ``(n, t)`` where they vary in time."""
    out: dict[str, Any] = {}
    for name in [name for name in found.arrays if name.startswith("scalars/")]:
        values = np.asarray(found.array(name))
        if not np.isfinite(values).all():
            raise found.error(f"{shown(name)} is not finite")
        moving = _flag(found, name, "time_varying") and values.shape[-1:] == (frames,)
        if values.ndim == 0:
            out[plain(name[8:])] = float(values)
        elif values.shape == (count,) and _flag(found, name, "sample_varying"):
            out[plain(name[8:])] = values
        elif moving and values.shape in ((frames,), (count, frames)):
            out[plain(name[8:])] = np.broadcast_to(values, (count, frames))
        else:
            raise found.error(
                f"{shown(name)} has the shape {values.shape}, and there are {count} samples of "
                f"{frames} times"
            )
    return out
