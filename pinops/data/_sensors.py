"""Functions at sensors that differ from sample to sample.

They are kept as one array ``(k, d + c)`` for each sample: where each of its k sensors is, and then
what it measures.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from pinops._numbers import real
from pinops.problem import Sensors

_DIMENSIONS = 3  # at most, of the positions of sensors

Readings = list[Float[np.ndarray, "_k _w"]]


def readings(name: str, values: Any, positions: Any, where: str) -> tuple[Readings, int]:
    """A function of every sample as it is kept, and the dimension of the positions.

    Args:
        name: Of the input.
        values: For each sample ``(k,)`` or ``(k, c)``.
        positions: For each sample ``(k, d)``, or ``(k,)`` on a line.
        where: What messages call the data.

    Raises:
        ValueError: Naming the sample that is not like the first one.
    """
    pairs = {"inputs": _columns(name, values, "inputs", where)}
    pairs["sensors"] = _columns(name, positions, "sensors", where)
    counts = {what: len(arrays) for what, arrays in pairs.items()}
    if counts["inputs"] != counts["sensors"]:
        raise ValueError(
            f"{where}: inputs[{name!r}] has {counts['inputs']} samples, and sensors[{name!r}] has "
            f"{counts['sensors']}; give one array for each sample"
        )
    dimensions = pairs["sensors"][0].shape[1]
    if dimensions > _DIMENSIONS:
        raise ValueError(
            f"{where}: sensors[{name!r}] has {dimensions} coordinates; give (k, d), with d from 1 "
            f"to {_DIMENSIONS}"
        )
    for k, (own, at) in enumerate(zip(pairs["inputs"], pairs["sensors"], strict=True)):
        if len(own) != len(at):
            raise ValueError(
                f"{where}: {name} of sample {k} has {len(own)} values at {len(at)} sensors; give "
                "as many"
            )
        if not np.isfinite(at).all():
            raise ValueError(f"{where}: {name} of sample {k} has a sensor that is not finite")
    rows = [np.concatenate(p, 1) for p in zip(pairs["sensors"], pairs["inputs"], strict=True)]
    return rows, dimensions


def _columns(name: str, given: Any, what: str, where: str) -> list[np.ndarray]:
    """An array ``(k, c)`` for each sample, all of the same c."""
    if isinstance(given, str) or not hasattr(given, "__len__") or not len(given):
        raise ValueError(f"{where}: {what}[{name!r}] must be a list of arrays, one for each sample")
    found = []
    for k, one in enumerate(given):
        array = real(np.asarray(one), f"{where}: {what}[{name!r}][{k}]")
        array = array[:, None] if array.ndim == 1 else array
        wanted = found[0].shape[1] if found else None
        if array.ndim != 2 or not array.size or wanted not in (None, array.shape[1]):
            more = "" if wanted is None else f", and that of sample 0 {wanted} columns"
            raise ValueError(
                f"{where}: {what}[{name!r}] of sample {k} has the shape {np.shape(one)}{more}; "
                "give a row for each sensor, one at least"
            )
        if array.dtype.kind not in "fiub":
            raise ValueError(
                f"{where}: {what}[{name!r}] of sample {k} holds {array.dtype}; give numbers"
            )
        found.append(array)
    return found


def as_sensors(rows: Sequence[Float[np.ndarray, "_k _w"]], dimensions: int, size: int) -> Sensors:
    """Samples in the leading axis, each filled up to ``size`` sensors."""
    dtype = np.result_type(np.float32, *{own.dtype for own in rows})
    whole = np.zeros((len(rows), size, rows[0].shape[1]), dtype)
    for k, own in enumerate(rows):
        whole[k, : len(own)] = own
    counts = np.asarray([len(own) for own in rows])
    present = (np.arange(size) < counts[:, None]).astype(dtype)
    return Sensors(whole[..., :dimensions], whole[..., dimensions:], present)
