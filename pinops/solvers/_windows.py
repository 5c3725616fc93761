"""Time windows: one solution after the other, each begun from the end of the one before."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.problem import Problem, TimeWindows, Window, nodes_of, series_of, warn_outside
from pinops.solvers._answer import Answer
from pinops.solvers._diagnose import Diagnosis
from pinops.solvers._solution import Solution
from pinops.solvers._trained import refuse_weights
from pinops.training import Report

NOT_CONVERGED = "not converged"


@dataclass(frozen=True, repr=False)
class WindowedSolution(Answer):
    """The result of ``solve(..., windows=TimeWindows(10))``: the solutions ``parts`` as one.

    Of a march that ended early, later values are not known: they are nan.
    """

    problem: Problem
    request: dict[str, Any]
    parts: tuple[Solution, ...]
    ended: str = ""  # the status, where it is not that of the parts
    # The number of each part that was tried again, and why.
    notes: tuple[tuple[int, str], ...] = ()

    @property
    def history(self) -> list[Report]:
        """The reports of all windows, with steps and seconds counted from the beginning."""
        out: list[Report] = []
        for k, part in enumerate(self.parts):
            steps, seconds = (out[-1].step, out[-1].seconds) if out else (0, 0.0)
            own = [
                replace(r, step=r.step + steps, seconds=r.seconds + seconds) for r in part.history
            ]
            said = "; ".join(sentence for number, sentence in self.notes if number == k)
            if own and said:
                own[0] = replace(own[0], message=said)
            out += own
        return out

    @property
    def status(self) -> str:
        """The status that all windows have, or that of the first one that did not finish."""
        if self.ended:
            return self.ended
        states = [part.status for part in self.parts]
        return next((status for status in states if status != "finished"), "finished")

    @property
    def windows(self) -> tuple[tuple[float, float], ...]:
        starts = (float(_window(part).start) for part in self.parts)
        return tuple(
            (at, at + _window(part).length) for at, part in zip(starts, self.parts, strict=True)
        )

    @property
    def compile_seconds(self) -> float:
        return sum(part.compile_seconds for part in self.parts)

    @property
    def num_parameters(self) -> int:
        """Those of the network of one window."""
        return self.parts[0].num_parameters

    @property
    def coefficients(self) -> dict[str, float]:
        return self.parts[-1].coefficients

    @property
    def conditions(self) -> list[str]:
        """How each condition is met in the last window."""
        return self.parts[-1].conditions

    @property
    def field(self) -> Callable[[Float[Array, " d"]], Float[Array, " c"]]:
        axis = self.problem.domain.coordinates.index(self.problem.domain.time or "")
        starts = np.array([float(_window(part).start) for part in self.parts])
        fields = [part.field for part in self.parts]
        solved = self._solved_until

        def field(point: Float[Array, " d"]) -> Float[Array, " c"]:
            point = jnp.asarray(point, jnp.result_type(float))
            later = jnp.sum(point[axis] >= jnp.asarray(starts[1:], point.dtype))
            here = point.at[axis].add(-jnp.asarray(starts, point.dtype)[later])
            found = jax.lax.switch(later, fields, here)
            return jnp.where(point[axis] <= solved, found, jnp.nan)

        return field

    @property
    def _solved_until(self) -> float:
        """The last time that was reached; infinity where that is the end."""
        last = self.windows[-1][1]
        # A few roundings: windows are fractions of the time.
        slack = 1e-9 * _window(self.parts[-1]).length
        end = self.problem.domain.bounds[self.problem.domain.time or ""][1]
        return math.inf if last + slack >= end else last + slack

    def values(self, coordinates: Mapping[str, Any]) -> dict[str, np.ndarray]:
        return self._in_parts(coordinates, lambda part, here: part.values(here))

    def partial(self, name: str, **coordinates: Any) -> np.ndarray:
        warn_outside(self.problem, self._points(coordinates)[0], stacklevel=2)
        return self._in_parts(coordinates, lambda part, here: {name: part.partial(name, **here)})[
            name
        ]

    def _in_parts(self, coordinates: Mapping[str, Any], evaluate: Any) -> dict[str, np.ndarray]:
        """Each point evaluated in its window; where two windows meet, in the later one."""
        points, shape = self._points(coordinates)
        names = self.problem.domain.coordinates
        axis = names.index(self.problem.domain.time or "")
        starts = np.array([_window(part).start for part in self.parts])
        number = np.clip(
            np.searchsorted(starts, points[:, axis], side="right") - 1, 0, len(starts) - 1
        )
        out: dict[str, np.ndarray] = {}
        for k, part in enumerate(self.parts):
            rows = np.flatnonzero(number == k)
            if not rows.size:
                continue
            here = points[rows]
            here[:, axis] -= starts[k]
            for name, value in evaluate(part, dict(zip(names, here.T, strict=True))).items():
                out.setdefault(name, np.empty((len(points), *value.shape[1:]), value.dtype))[
                    rows
                ] = value
        unsolved = points[:, axis] > self._solved_until
        for value in out.values():
            value[unsolved] = np.nan
        return {name: value.reshape(shape + value.shape[1:]) for name, value in out.items()}

    def residual(self, **coordinates: Any) -> dict[str, np.ndarray]:
        return self._in_parts(coordinates, lambda part, here: part.residual(**here))

    def diagnose(self) -> Diagnosis:
        """What limits the answer: that of the window with the largest loss."""
        return max(self.parts, key=lambda part: part.history[-1].loss).diagnose()

    def weights(self) -> dict[str, np.ndarray]:
        raise refuse_weights(self)

    def write_parts(self, folder: Path) -> tuple[str, ...]:
        for k, part in enumerate(self.parts):
            part.save(folder / f"window_{k}")
        self.write_grid(folder)
        return ("solution.h5",)


def _window(part: Solution) -> Window:
    assert isinstance(part.problem, Window)
    return part.problem


def window_shape(problem: Problem) -> dict[str, Any] | None:
    """The length of a window and the shapes of what it is handed; a resumed run has the same."""
    if not isinstance(problem, Window):
        return None
    handed = problem.handed or {}
    return {
        "length": problem.length,
        "nodes": {name: list(np.shape(values)) for name, values in handed.items()},
    }


def window_of(
    problem: Problem,
    windows: TimeWindows,
    share: Fraction,
    passed: Fraction,
    before: Solution | None,
) -> Window:
    """The window that continues the solution of the previous one.

    Args:
        problem: The problem on the whole time interval.
        windows: How it is divided.
        share: The length of this window, as a fraction of the whole time.
        passed: The time before this window, as a fraction of the whole time.
        before: The solution of the previous window, None for the first.
    """
    domain = problem.domain
    if domain.time is None:
        raise ValueError(f"time windows need a time coordinate; {type(problem).__name__} has none")
    low, high = domain.bounds[domain.time]
    length = (high - low) * share.numerator / share.denominator
    if before is None:
        return Window(problem, length, np.asarray(low), None)
    nodes = nodes_of(problem, windows.nodes)
    here = dict(zip(nodes, np.meshgrid(*nodes.values(), indexing="ij"), strict=True)) | {
        domain.time: _window(before).length
    }
    rates = {
        f"{name}_{domain.time}": before.partial(f"{name}_{domain.time}", **here)
        for name in problem.unknowns
    }
    handed = series_of(problem, before.values(here) | rates, windows.nodes)
    return Window(
        problem,
        length,
        np.asarray(low + (high - low) * passed.numerator / passed.denominator),
        {**handed},
    )
