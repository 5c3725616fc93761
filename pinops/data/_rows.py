"""Rows of samples: which of them, by part, and how those of different size lie in one array."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from pinops.data._sensors import as_sensors

TENTH = 10  # of the samples one is for testing
Members = range | Sequence[int] | Int[np.ndarray, " b"]
_RUNS = 1000  # of consecutive samples, of which a random part consists


def places_in(members: Members, count: int, path: Path | str) -> Int[np.ndarray, " b"]:
    """The places of samples as an array.

    Raises:
        ValueError: For none, for what is not whole numbers, and for a place that there is not.
    """
    chosen = np.asarray(members)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not chosen.size:
        raise ValueError(
            f"samples are chosen by whole numbers, such as range(100), got {members!r}"
        )
    if chosen.min() < 0 or chosen.max() >= count:
        bad = chosen[(chosen < 0) | (chosen >= count)][0]
        raise ValueError(f"{path} has {count} samples, and no sample {bad}")
    return chosen.astype(np.int64)


def random_parts(
    count: int, first: int, *, seed: int
) -> tuple[Int[np.ndarray, " f"], Int[np.ndarray, " r"]]:
    """``first`` random ones of ``count`` places, and the others, both rising.

    Of many samples whole runs of consecutive ones are taken, so that a part is read in blocks.
    """
    run = max(1, count // _RUNS)
    runs = np.random.default_rng(seed).permutation(-(-count // run))
    order = np.concatenate([np.arange(k * run, min((k + 1) * run, count)) for k in runs])
    return np.sort(order[:first]), np.sort(order[first:])


def random_tenths(count: int) -> tuple[Int[np.ndarray, " _t"], ...]:
    """The places of three parts at random, always the same: 8, 1 and 1 tenths of at least two
    samples; of two none is in the second part.
    """
    tenth = max(1, count // TENTH)
    last, others = random_parts(count, tenth, seed=0)
    if count < 3:
        return others, last[:0], last
    inner, first = random_parts(len(others), tenth, seed=1)
    return others[first], others[inner], last


def tenths_of_blocks(count: int, block: int) -> list[int]:
    """The edges of three parts: 8, 1 and 1 tenths of the blocks, one of them at least.

    Args:
        count: Of the samples, at least 3.
        block: Samples in a block.
    """
    blocks = -(-count // block)
    if blocks < 3:  # of a few members the parts are single ones
        tenth, unit = max(1, count // TENTH), 1
    else:
        tenth, unit = max(1, blocks // TENTH), block
    whole = -(-count // unit)
    return [0, (whole - 2 * tenth) * unit, (whole - tenth) * unit, count]


def ranges_of(numbers: Int[np.ndarray, " b"]) -> list[list[int]]:
    """Whole numbers as ranges ``[start, stop]`` of consecutive ones, rising."""
    if not len(numbers):
        return []
    parts = np.split(np.sort(numbers), np.flatnonzero(np.diff(np.sort(numbers)) > 1) + 1)
    return [[int(part[0]), int(part[-1]) + 1] for part in parts]


def filled(
    rows: Mapping[str, Any], sensors: Mapping[str, int], longest: Mapping[str, int]
) -> dict[str, Any]:
    """Samples of different size in arrays.

    Args:
        rows: Of samples, those of different size as lists.
        sensors: The dimension of the sensors of each input that has its own.
        longest: What the arrays are filled up to, by the name of their rows; where it has none, the
            longest of these samples.
    """
    sizes = {
        name: longest.get(name, max(len(one) for one in value))
        for name, value in rows.items()
        if isinstance(value, list)
    }
    functions = {}
    for name, dimensions in sensors.items():
        key = f"inputs/{name}"
        functions[key] = as_sensors(rows[key], dimensions, sizes[key])
    rows = {**rows, **functions}
    return _on_meshes(rows, sizes["points"]) if "points" in rows else rows


def _on_meshes(rows: Mapping[str, Any], longest: int) -> dict[str, Any]:
    """Values at the points of each sample in one array, and which of its rows are there."""
    out: dict[str, Any] = {}
    for name, value in rows.items():
        if not isinstance(value, list) or name == "cells":
            out[name] = value
            continue
        missing = np.nan if name.startswith("values/") else 0
        dtype = np.result_type(np.float32, *{one.dtype for one in value})
        whole = np.full((len(value), longest, *value[0].shape[1:]), missing, dtype)
        for k, one in enumerate(value):
            whole[k, : len(one)] = one
        out[name] = whole
    sizes = np.asarray([len(one) for one in rows["points"]])
    return out | {"present": np.arange(longest) < sizes[:, None]}


def inputs_in(rows: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs among the rows of a data set, by name."""
    return {
        name.removeprefix("inputs/"): array
        for name, array in rows.items()
        if name.startswith("inputs/")
    }
