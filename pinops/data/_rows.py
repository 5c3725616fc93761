"""Rows of samples: which of them, by part, and how those of different size lie in one array."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

_RUNS = 1000  # of consecutive samples, of which a random part consists


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


def padded(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Samples of different size in one array, and which of its rows are there."""
    longest = max(len(one) for one in rows["points"])
    out: dict[str, Any] = {}
    for name, value in rows.items():
        if not isinstance(value, list) or name == "cells":
            out[name] = value
            continue
        missing = np.nan if name.startswith("values/") else 0
        dtype = np.result_type(value[0].dtype, np.float32)
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
