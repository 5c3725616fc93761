"""Outputs of steady maps for many samples, and their errors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.metrics import ratio
from pinops.problem import Problem
from pinops.reference import Reference
from pinops.settings import reused
from pinops.solvers._trained_operator import stacked
from pinops.training import MapModel, Params, Samples, cast, chunk_of, samples_of_members

_AT_ONCE = 32  # times the memory of a chunk in a training, for the samples of a prediction


@reused
def evaluated(model: MapModel, params: Params, samples: Samples) -> Float[Array, "n *grid c"]:
    """The outputs of many samples, some at once so that memory stays small."""
    arrays, rest = eqx.partition(replace(samples, values=None, numbers=None), eqx.is_array)
    count = len(jax.tree.leaves(arrays)[0])

    def some(rows: Any) -> Array:
        return model.predicted(params, eqx.combine(rows, rest))

    def part(start: int, stop: int) -> Any:
        return jax.tree.map(lambda array: array[start:stop], arrays)

    def program(rows: int) -> Any:
        return jax.make_jaxpr(some)(part(0, rows)).jaxpr

    size = count if count < 2 else chunk_of(program, count, budgets=_AT_ONCE)
    if size >= count:
        return some(arrays)
    whole = count // size * size
    parts = jax.tree.map(lambda a: a.reshape(-1, size, *a.shape[1:]), part(0, whole))
    out = jax.lax.map(some, parts)
    out = out.reshape(whole, *out.shape[2:])
    return out if whole == count else jnp.concatenate([out, some(part(whole, count))])


def referenced(
    problem: Problem,
    members: Sequence[Problem],
    references: Sequence[Reference],
    axes: Mapping[str, np.ndarray],
) -> Samples | None:
    """Members and their references as samples; None without any, or where these are on another
    grid.
    """
    if not references:
        return None
    lines = {name: np.ravel(line) for name, line in references[0].coordinates.items()}
    same = [len(lines[n]) == len(a) and np.allclose(lines[n], a) for n, a in axes.items()]
    if list(lines) != list(axes) or not all(same):
        return None
    values = [np.stack([r.values[name] for r in references]) for name in problem.unknowns]
    seen = samples_of_members(stacked(members))
    return replace(seen, values=cast(np.stack(values, -1)))


def relative_errors(
    predicted: Float[np.ndarray, "n *grid c"], truth: Float[np.ndarray, "n *grid c"]
) -> tuple[Float[np.ndarray, "n c"], Float[np.ndarray, " c"]]:
    """The relative L2 error of each sample and unknown over the values that are known (NaN where
    there are none, infinite where a prediction is not finite), and the largest error of each
    unknown.
    """
    known = np.isfinite(truth)
    flat = (len(truth), -1, truth.shape[-1])
    truth = truth.astype(np.float64)
    off = np.where(known, predicted - truth, 0.0).reshape(flat)
    size = np.linalg.norm(np.where(known, truth, 0.0).reshape(flat), axis=1)
    relative = ratio(np.linalg.norm(off, axis=1), size)
    some = known.reshape(flat).any(1)
    return np.where(some, relative, np.nan), np.abs(off).max((0, 1))


def places_of(
    line: Float[np.ndarray, " m"], own: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " m"]:
    """Where points lie along an axis, counted in its steps; beyond its ends in those there."""
    if len(own) < 2:
        return np.zeros(len(line))
    left = np.clip(np.searchsorted(own, line, side="right") - 1, 0, len(own) - 2)
    return left + (line - own[left]) / (own[left + 1] - own[left])
