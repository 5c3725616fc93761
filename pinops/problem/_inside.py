"""Points that users give, of observations and of questions, belong into the domain."""

import warnings
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from pinops.problem._conditions import Periodic
from pinops.problem._observed import Observed

if TYPE_CHECKING:
    from pinops.problem._problem import Problem

# Round-off of whoever made the points, relative to the extent of the domain.
_SLACK = 1e-9


def outside(problem: "Problem", points: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " n"]:
    """Which points lie outside of the domain; along a periodic coordinate none does.

    Args:
        problem: Whose domain and periodic coordinates count.
        points: One in each row, columns as the coordinates of the domain.
    """
    domain, points = problem.domain, np.array(points, np.float64)
    for condition in problem.conditions():
        if isinstance(condition, Periodic):
            for name in (condition.on,) if isinstance(condition.on, str) else condition.on:
                low, high = domain.bounds[name]
                column = points[:, domain.coordinates.index(name)]
                column[:] = low + np.mod(column - low, high - low)
    return ~domain.contains(points, slack=_SLACK)


def check_observed(problem: "Problem", observed: Observed) -> None:
    """Observations must be at points of the problem's domain.

    Raises:
        ValueError: For another coordinate, one that is missing, and points outside of the domain,
            with their number and the first.
    """
    names, owner = problem.domain.coordinates, f"{type(problem).__name__}: Observed"
    for name in observed.coordinates:
        if name not in names:
            raise ValueError(
                f"{owner}: there is no coordinate {name!r}; the coordinates are {', '.join(names)}"
            )
    for name in names:
        if name not in observed.coordinates:
            raise ValueError(
                f"{owner} gives no values of the coordinate {name!r}; give one for each observation"
            )
    points = np.stack([observed.coordinates[name] for name in names], -1)
    said = _said(problem, points)
    if said:
        raise ValueError(f"{owner}: {said}; drop them, or widen the domain")


def warn_outside(problem: "Problem", points: Float[np.ndarray, "n d"], *, stacklevel: int) -> None:
    """Warn of points outside of the domain, where a solution is extrapolated.

    Args:
        problem: The problem that was solved.
        points: Where its solution is asked for.
        stacklevel: As for `warnings.warn`, of the caller: 1 is the line that calls this function.
    """
    said = _said(problem, points)
    if said:
        warnings.warn(
            f"{said}, where the values are extrapolated", UserWarning, stacklevel=stacklevel + 1
        )


def _said(problem: "Problem", points: np.ndarray) -> str:
    """How many points lie outside, and the first of them; empty for none."""
    rows = np.flatnonzero(outside(problem, points))
    if not rows.size:
        return ""
    names = problem.domain.coordinates
    at = [f"{name} = {x:.6g}" for name, x in zip(names, points[rows[0]], strict=True)]
    first = ", ".join(at if len(at) <= 6 else (*at[:6], "..."))
    verb = "lies" if len(points) == 1 else "lie"
    noun = "point" if len(points) == 1 else "points"
    return f"{rows.size} of {len(points)} {noun} {verb} outside of the domain; the first is {first}"
