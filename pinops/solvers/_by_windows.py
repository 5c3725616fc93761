"""How time windows are solved one after the other, and what happens where one has not converged.

A window hands its end on. So a wrong one is not passed on in silence: it is tried again from fresh
parameters, then in halves, and where that does not help the march through time ends there.
"""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from pinops.data import read_run
from pinops.problem import Problem, TimeWindows, load_problem
from pinops.solvers._solution import Solution
from pinops.solvers._windows import NOT_CONVERGED, WindowedSolution, window_of

# Losses are mean squares in units of a typical solution's terms: a residual of 3 percent.
_LARGEST_LOSS = 1e-3
_WORSE = 1e4  # times the largest loss of earlier windows: a hundred times the residual
_SMALLEST_LOSS = 1e-6  # below it a loss is never called large
_HALVINGS = 2

SolveOne = Callable[..., Solution]


def solve_by_windows(
    solve_one: SolveOne,
    problem: str | Problem,
    windows: TimeWindows,
    *,
    minutes: float | None,
    start: Solution | None,
    out: Path | None,
    options: dict[str, Any],
) -> WindowedSolution:
    """`solve` for each window; one that is complete in ``out`` is only read again.

    Args:
        solve_one: Solves a problem with the options of `solve`, and the ``title`` of its progress
            line.
        problem: The whole.
        windows: Its parts.
        minutes: The time limit of all together.
        start: What the first window goes on from.
        out: The run directory, with one of each window in it.
        options: Of `solve`, for every window.
    """
    problem = load_problem(problem) if isinstance(problem, str) else problem
    march = _March(solve_one, problem, windows, minutes, start, out, options)
    left, halvings, ended = [Fraction(1, windows.count)] * windows.count, 0, ""
    while left and not ended:
        share = march.stored_share() or left[0]
        if share < left[0]:
            left = [share] * int(left[0] / share) + left[1:]
        part, reason = march.tried(share, sum(left, Fraction(0)))
        if reason and halvings < _HALVINGS and march.has_time():
            halvings += 1
            march.reject(f"{reason}; going on with half of its length")
            left = [share / 2, share / 2, *left[1:]]
            continue
        march.accept(part)
        left = left[1:]
        if reason:
            ended = NOT_CONVERGED
            warnings.warn(
                f"{march.title(share)} {reason}; the later ones are not solved, because they would "
                "begin from a wrong state: give more steps or minutes, or more windows",
                stacklevel=4,
            )
        elif part.status == "stopped":
            break
        elif left and not march.has_time():
            ended = "out of time"
    parts = tuple(march.parts)
    request = parts[0].request | {"windows": {"count": windows.count, "nodes": windows.nodes}}
    solution = WindowedSolution(problem, request, parts, ended, tuple(march.notes))
    if out is not None:
        solution.save(out)
    return solution


@dataclass
class _March:
    """The windows solved so far, and how to solve the next."""

    solve_one: SolveOne
    problem: Problem
    windows: TimeWindows
    minutes: float | None
    start: Solution | None
    out: Path | None
    options: dict[str, Any]
    began: float = field(default_factory=time.monotonic)
    parts: list[Solution] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)  # by the number of the part

    def title(self, share: Fraction) -> str:
        """ "window 3/10" of windows of this length."""
        return f"window {len(self.parts) + 1}/{self.total(share)}"

    def total(self, share: Fraction) -> int:
        """How many windows there will be, where those that are left have this length."""
        before = sum((self.share_of(part) for part in self.parts), Fraction(0))
        return len(self.parts) + math.ceil((1 - before) / share)

    def share_of(self, part: Solution) -> Fraction:
        """Its share of the whole time."""
        return self._share(part.request["window"]["length"]) or Fraction(1, self.windows.count)

    def _share(self, length: float) -> Fraction | None:
        """Of a window of this length; None for none that halving leads to."""
        low, high = self.problem.domain.bounds[self.problem.domain.time or ""]
        for halvings in range(_HALVINGS + 1):
            share = Fraction(1, self.windows.count * 2**halvings)
            if np.isclose(length, float(share) * (high - low), rtol=1e-9):
                return share
        return None

    def has_time(self) -> bool:
        return self.minutes is None or time.monotonic() - self.began < 60 * self.minutes

    def _folder(self) -> Path | None:
        return None if self.out is None else self.out / f"window_{len(self.parts)}"

    def _stored(self) -> dict[str, Any] | None:
        """The run of the present window that is to be resumed."""
        folder = self._folder()
        if folder is None or not self.options.get("resume") or not (folder / "run.json").exists():
            return None
        return read_run(folder)

    def stored_share(self) -> Fraction | None:
        """The share of the window that is to be resumed, which may be one that was halved."""
        stored = self._stored()
        window = None if stored is None else stored["request"].get("window")
        return None if window is None else self._share(window["length"])

    def tried(self, share: Fraction, left: Fraction) -> tuple[Solution, str]:
        """The window, and what is wrong with it.

        If a start from the previous window fails, fresh parameters are tried, too.
        """
        part = self._solved(share, left, fresh=False)
        reason = self._fault(part)
        if not reason or not self.has_time():
            return part, reason
        self.reject(f"{reason}; trying again from fresh parameters", self.title(share))
        part = self._solved(share, left, fresh=True)
        return part, self._fault(part)

    def _solved(self, share: Fraction, left: Fraction, *, fresh: bool) -> Solution:
        own, stored = dict(self.options), self._stored()
        if stored is not None:
            result = stored["result"]
            if result is not None and result["status"] != "stopped":
                own["steps"] = result["steps"]
            fresh = stored["request"].get("start") is None
            if fresh and stored["request"].get("seed") == own["seed"] + 1:  # it was tried again
                own["seed"] += 1
        elif fresh:
            own["seed"] = own["seed"] + 1
        if self.minutes is not None:
            own["minutes"] = self._minutes(share, left)
        before = self.parts[-1] if self.parts else None
        begun = None if fresh else before or self.start
        if begun is not None:
            own["network"] = None
        window = window_of(self.problem, self.windows, share, self._passed(), before)
        title = self.title(share)
        return self.solve_one(window, start=begun, out=self._folder(), title=title, **own)

    def _passed(self) -> Fraction:
        return sum((self.share_of(part) for part in self.parts), Fraction(0))

    def _minutes(self, share: Fraction, left: Fraction) -> float:
        """Of what is left; the first window counts twice, because all are compiled with it."""
        assert self.minutes is not None
        seconds = max(self.began + 60 * self.minutes - time.monotonic(), 0.6)
        weight = 2 if not self.parts else 1
        return float(seconds / 60 * float(weight * share / (left + (weight - 1) * share)))

    def _fault(self, part: Solution) -> str:
        """Why the end of a window is unreliable; empty if it is not, or if the user stopped."""
        if part.status == "stopped":
            return ""
        if part.status == "diverged" or not part.history:
            return "diverged"
        loss = part.history[-1].loss
        before = max((other.history[-1].loss for other in self.parts), default=np.inf)
        limit = min(_LARGEST_LOSS, max(_SMALLEST_LOSS, _WORSE * before))
        return f"has not converged (its loss is {loss:.1e})" if not loss <= limit else ""

    def reject(self, sentence: str, title: str = "") -> None:
        """Warn, and move the run directory of the rejected window aside."""
        title = title or f"window {len(self.parts) + 1}"
        warnings.warn(f"{title} {sentence}", stacklevel=5)
        self.notes.append((len(self.parts), f"{title} {sentence}"))
        folder = self._folder()
        if folder is not None and folder.exists():
            names = (
                folder.with_name(f"{folder.name}_rejected_{k}") for k in range(len(self.notes) + 99)
            )
            folder.rename(next(name for name in names if not name.exists()))

    def accept(self, part: Solution) -> None:
        self.parts.append(part)
