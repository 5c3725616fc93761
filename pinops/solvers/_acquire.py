"""Which simulations to make next."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from pinops.problem import Problem
from pinops.settings import Whole, require
from pinops.solvers._trained_map import TrainedMap
from pinops.solvers._trained_uncertain import TrainedUncertain


def acquire(
    trained: TrainedUncertain, candidates: Any, count: int, **coordinates: Any
) -> Int[np.ndarray, " k"]:
    """The samples whose simulations would tell most, the first one most.

    The first is the one with the largest spread. What it would tell about others is taken from
    these before the next one is chosen: the covariance of the members' answers is that of a
    Gaussian process, which is conditioned on what has been chosen (a pivoted Cholesky
    factorisation), so that no two are nearly the same. Where an equation was trained on, and
    candidates are members of the family, the spread of each counts by the residual of the mean of
    its members (a map with ``physics=``).

    Args:
        trained: A map, an operator or a surrogate with error bars.
        candidates: What it is called with, a sample in each row: inputs by name, members of the
            family, or all arguments in a tuple.
        count: How many to choose, from 1 to the number of candidates.
        coordinates: Of operators: where solutions are compared, as in a call.

    Returns:
        The numbers of the chosen candidates.

    Raises:
        ValueError: For what has no spread, and a count out of its range.
    """
    if not isinstance(trained, TrainedUncertain):
        raise ValueError(
            f"acquire needs a spread, and a {type(trained).__name__} has none; train "
            "po.uncertain(architecture)"
        )
    given = candidates if isinstance(candidates, tuple) else (candidates,)
    answers = trained.each(*given, **coordinates)
    off = _deviations(answers)
    require("acquire", "count", count, Whole(1, len(off)))
    return _chosen(off * _residuals(trained, candidates)[:, None], count)


def _deviations(answers: Any) -> Float[np.ndarray, "n m"]:
    """What all members give for each sample less their mean, in units of the unknown."""
    arrays = answers.values() if isinstance(answers, dict) else [answers]
    rows = []
    for stack in arrays:
        stack = np.asarray(stack, np.float64)
        off = (stack - stack.mean(0)) / (stack.std() or 1.0)
        rows.append(np.moveaxis(off, 1, 0).reshape(stack.shape[1], -1))
    return np.concatenate(rows, 1)


def _residuals(trained: TrainedUncertain, candidates: Any) -> Float[np.ndarray, " n"]:
    """By what the spread of each candidate is multiplied: one number, 1, without an equation."""
    members: Sequence[Any] = candidates if isinstance(candidates, list | tuple) else ()
    maps = [member for member in trained if isinstance(member, TrainedMap)]
    problems = bool(members) and all(isinstance(member, Problem) for member in members)
    if not maps or not problems or not trained.request["physics"]:
        return np.ones(1)
    return np.mean([one.residual(members) for one in maps], axis=0)


def _chosen(rows: Float[np.ndarray, "n m"], count: int) -> Int[np.ndarray, " k"]:
    """The pivots of the first steps of a Cholesky factorisation of the Gram matrix of the rows."""
    left = np.sum(np.square(rows), axis=1)
    columns: list[np.ndarray] = []
    found: list[int] = []
    for _ in range(count):
        best = int(np.argmax(np.where(np.isin(np.arange(len(left)), found), -np.inf, left)))
        found.append(best)
        column = rows @ rows[best] - sum(c * c[best] for c in columns)
        size = np.sqrt(max(left[best], np.finfo(float).tiny))
        columns.append(column / size)
        left = np.maximum(left - np.square(columns[-1]), 0.0)
    return np.asarray(found)
