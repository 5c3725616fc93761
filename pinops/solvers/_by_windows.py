"""How time windows are solved one after the other, and what happens where one has not converged.

A window hands its end on. So a wrong one is not passed on in silence: it is tried again, in halves
where that does not help, and where these are too short the march through time ends there. Whether
a window is wrong, its loss at new points tells.
"""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pinops.data import read_run
from pinops.networks import Spectral
from pinops.optimizers import GaussNewton
from pinops.problem import Problem, TimeWindows, load_problem
from pinops.solvers._door import precision
from pinops.solvers._measures import fresh_loss
from pinops.solvers._recipe import checked_steps, default_steps
from pinops.solvers._solution import Solution
from pinops.solvers._windows import NOT_CONVERGED, WindowedSolution, window_of
from pinops.training import Callback, Report, endless

# Losses are mean squares in units of a typical solution's terms: a residual of 3 percent.
_LARGEST_LOSS = 1e-3
_WORSE = 1e4  # times the largest loss of earlier windows: a hundred times the residual
_SMALLEST_LOSS = 1e-6  # below it a loss is never called large
_HALVINGS = 2  # of one of equal windows
# Where lengths are chosen: the tolerance, and how often the first window, and how often the length
# of the window before is halved.
_TOLERANCE = 1e-5
_OF_SERIES = 1e-10  # which Newton's method reaches in the step after 1e-5
_SERIES_STEPS = 60
_FIRST, _LATER = 12, 4
_MARGIN = 0.5  # of the tolerance, where a training ends: new points may be worse
_EARLY = 3  # the part of the steps in which a window must be halfway; one that is done is quick
_IN_A_ROW = 4  # quick windows of one length, before one of twice the length

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
        solve_one: Solves a problem with the options of `solve`, the ``title`` of its progress line
            and what ``ends`` it.
        problem: The whole.
        windows: Its parts.
        minutes: The time limit of all together.
        start: What the first window goes on from.
        out: The run directory, with one of each window in it.
        options: Of `solve`, for every window.
    """
    problem = load_problem(problem) if isinstance(problem, str) else problem
    if windows.count:
        lengths = _Equal(windows.count)
    else:
        lengths, options = _chosen(problem, windows, options, start)
    march = _March(solve_one, problem, windows, lengths, minutes, start, out, options)
    ended = ""
    while march.passed < 1 and not ended:
        share = march.next_share()
        part, reason = march.tried(share)
        stopped = march.stopped or part.status == "stopped"
        if reason and not stopped and march.halves(share):
            march.reject(f"{reason}; going on with half of its length", share, quiet=lengths.chosen)
            continue
        title = march.title(share)
        march.accept(part, share)
        if stopped:
            finished = march.passed == 1 and not reason and part.status != "stopped"
            ended = "" if finished else "stopped"
            break
        if reason:
            ended = NOT_CONVERGED
            warnings.warn(
                f"{title} {reason}; the later ones are not solved, because they would "
                f"begin from a wrong state: {lengths.remedy}",
                stacklevel=4,
            )
        elif march.passed < 1 and not march.has_time():
            ended = "out of time"
    parts = tuple(march.parts)
    request = _of_whole(parts[0].request) | {"seed": options["seed"]}
    if options["steps"] is not None:
        request |= {"steps": options["steps"]}
    request |= {"windows": {**lengths.to_json(), "nodes": windows.nodes}}
    solution = WindowedSolution(problem, request, parts, ended, tuple(march.notes))
    if out is not None:
        solution.save(out)
    return solution


def _of_whole(first: dict[str, Any]) -> dict[str, Any]:
    """The request of all windows, from that of the first without what is its own: a run that was
    stopped in the first one may be resumed with another length of it.
    """
    fingerprint = {name: value for name, value in first["fingerprint"].items() if name != "window"}
    rest = {name: value for name, value in first.items() if name not in ("window", "scales")}
    return rest | {"fingerprint": fingerprint}


# Lengths are shares of the time, halvings of the longest; each window begins at a multiple of its
# own, so that few lengths occur, of which each is compiled once, and the last one fits.


@dataclass(frozen=True)
class _Equal:
    """Windows of one length, and halves and quarters of one that does not converge."""

    count: int
    chosen = False
    unfinished = ("stopped",)  # windows that are trained on where a run is resumed
    remedy = "give more steps or minutes, or more windows"
    ends = staticmethod(endless)

    @property
    def longest(self) -> Fraction:
        return Fraction(1, self.count)

    def smallest(self, before: Fraction | None) -> Fraction:
        return self.longest / 2**_HALVINGS

    def after(self, parts: list[Solution], share: Fraction) -> Fraction:
        """The length of the next window, after one of a share."""
        return self.longest

    def fault(self, loss: float, parts: list[Solution]) -> bool:
        """Whether a loss at new points is too large."""
        before = max((other.history[-1].loss for other in parts), default=np.inf)
        return not loss <= min(_LARGEST_LOSS, max(_SMALLEST_LOSS, _WORSE * before))

    def to_json(self) -> dict[str, Any]:
        return {"count": self.count}


@dataclass(frozen=True)
class _Chosen:
    """Windows as long as a number of steps solves them to a tolerance."""

    tolerance: float
    steps: int
    chosen = True
    unfinished = ("stopped", "out of time")
    remedy = "give more steps or minutes, or a larger tolerance"
    longest = Fraction(1)

    def smallest(self, before: Fraction | None) -> Fraction:
        return Fraction(1, 2**_FIRST) if before is None else before / 2**_LATER

    def after(self, parts: list[Solution], share: Fraction) -> Fraction:
        # Several are quick before one of twice the length is risked, and again after it has failed.
        row = [part.history[-1].step <= self.steps // _EARLY for part in _alike(parts)]
        grows = all(row) and len(row) % _IN_A_ROW == 0
        return min(2 * share, self.longest) if grows else share

    def fault(self, loss: float, parts: list[Solution]) -> bool:
        return not loss <= self.tolerance**2

    def ends(self, report: Report) -> str:
        """The status of a window that has met the tolerance, or will not."""
        if report.loss <= (_MARGIN * self.tolerance) ** 2:
            return "converged"
        # Halfway in orders of magnitude: the square root of the loss that is aimed at.
        late = report.step >= self.steps // _EARLY
        return NOT_CONVERGED if late and report.loss > self.tolerance else ""

    def to_json(self) -> dict[str, Any]:
        return {"tolerance": self.tolerance}


def _chosen(
    problem: Problem, windows: TimeWindows, options: dict[str, Any], start: Solution | None
) -> tuple[_Chosen, dict[str, Any]]:
    """How lengths are chosen, and the options of every window.

    Ordinary differential equations get a recipe of their own: Gauss-Newton on a Chebyshev series
    takes a few steps in windows that are short enough, and fails at once in longer ones.
    """
    if isinstance(options["optimizer"], tuple | list):
        raise ValueError(
            "windows whose lengths are chosen end early, and phases have their numbers of steps: "
            "give one optimizer, or a count of windows"
        )
    given = (options["network"], options["optimizer"], start)
    series = len(problem.domain.coordinates) == 1 and all(each is None for each in given)
    tolerance, default = _TOLERANCE, default_steps(problem, None) // 2
    if series:
        options = options | {"network": Spectral((32,)), "optimizer": GaussNewton(damping=1e-14)}
        default = _SERIES_STEPS
        if precision(options["dtype"]) == "float64":
            tolerance = _OF_SERIES
    lengths = _Chosen(windows.tolerance or tolerance, checked_steps(options["steps"], default))
    return lengths, options | {"steps": lengths.steps}


def _alike(parts: list[Solution]) -> list[Solution]:
    """The last windows, as many as have the same length."""
    lengths = [part.request["window"]["length"] for part in parts]
    others = [k for k, length in enumerate(lengths) if length != lengths[-1]]
    return parts[others[-1] + 1 if others else 0 :]


@dataclass
class _March:
    """The windows solved so far, and how to solve the next."""

    solve_one: SolveOne
    problem: Problem
    windows: TimeWindows
    lengths: _Equal | _Chosen
    minutes: float | None
    start: Solution | None
    out: Path | None
    options: dict[str, Any]
    began: float = field(default_factory=time.monotonic)
    parts: list[Solution] = field(default_factory=list)
    notes: list[tuple[int, str]] = field(default_factory=list)  # by the number of the part
    passed: Fraction = Fraction(0)
    wish: Fraction = Fraction(1)  # the longest share of the next window
    before: Fraction | None = None  # the share of the last window
    rejected: Fraction | None = None  # the last share that was too long at the present start
    stopped: bool = False  # by a callback, perhaps at the report with which a window ends anyway

    def __post_init__(self):
        self.wish = self.lengths.longest

    def _aligned(self) -> Fraction:
        """The longest share that begins at a multiple of itself."""
        share = self.lengths.longest
        while share > self.wish or self.passed % share:
            share /= 2
        return share

    def next_share(self) -> Fraction:
        """Of the window that is to be resumed, or else half of what was too long, or as wished."""
        own = self._aligned() if self.rejected is None else self.rejected / 2
        return self._stored_share() or own

    def _stored_share(self) -> Fraction | None:
        """The share of the window that is to be resumed, if halving leads to it."""
        stored = self._stored()
        window = None if stored is None else stored["request"].get("window")
        if window is None:
            return None
        low, high = self.problem.domain.bounds[self.problem.domain.time or ""]
        share = self._aligned()
        while share >= self.lengths.smallest(self.before):
            if np.isclose(window["length"], float(share) * (high - low), rtol=1e-9):
                return share
            share /= 2
        return None

    def halves(self, share: Fraction) -> bool:
        """Whether a window of this share may be tried in halves."""
        return share > self.lengths.smallest(self.before) and self.has_time()

    def title(self, share: Fraction) -> str:
        """ "window 3/10", or "window 3, t = 2 to 4 of 10" where lengths are chosen."""
        number = len(self.parts) + 1
        if not self.lengths.chosen:
            return f"window {number}/{number - 1 + math.ceil((1 - self.passed) / share)}"
        name = self.problem.domain.time or ""
        low, high = self.problem.domain.bounds[name]
        begin, end = (low + (high - low) * float(at) for at in (self.passed, self.passed + share))
        return f"window {number}, {name} = {begin:.4g} to {end:.4g} of {high:.4g}"

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

    def tried(self, share: Fraction) -> tuple[Solution, str]:
        """The window, and what is wrong with it.

        If a start from the previous window fails, fresh parameters are tried, too; where lengths
        are chosen, with half of the length.
        """
        part = self._solved(share, fresh=self.lengths.chosen and self.rejected is not None)
        reason = self._fault(part)
        if self.lengths.chosen or not reason or self.stopped or not self.has_time():
            return part, reason
        self.reject(f"{reason}; trying again from fresh parameters", None)
        part = self._solved(share, fresh=True)
        return part, self._fault(part)

    def _solved(self, share: Fraction, *, fresh: bool) -> Solution:
        own, stored = dict(self.options), self._stored()
        if stored is not None:
            result = stored["result"]
            if result is not None and result["status"] not in self.lengths.unfinished:
                own["steps"] = result["steps"]
            fresh = stored["request"].get("start") is None
            if fresh and stored["request"].get("seed") == own["seed"] + 1:  # it was tried again
                own["seed"] += 1
        elif fresh:
            own["seed"] = own["seed"] + 1
        if self.minutes is not None:
            own["minutes"] = self._minutes(share)
        before = self.parts[-1] if self.parts else None
        begun = None if fresh else before or self.start
        if begun is not None:
            own["network"] = None
        window = window_of(self.problem, self.windows, share, self.passed, before)
        own |= {"title": self.title(share), "ends": self.lengths.ends}
        own["callbacks"] = [self._noting(callback) for callback in own["callbacks"]]
        return self.solve_one(window, start=begun, out=self._folder(), **own)

    def _noting(self, callback: Callback) -> Callback:
        """A callback whose wish to stop is one for all windows."""

        def call(report: Report) -> bool:
            stop = bool(callback(report))
            self.stopped = self.stopped or stop
            return stop

        return call

    def _minutes(self, share: Fraction) -> float:
        """Of what is left: the share of one of equal windows, of which the first counts twice,
        because all are compiled with it.
        """
        assert self.minutes is not None
        seconds = max(self.began + 60 * self.minutes - time.monotonic(), 0.6)
        if self.lengths.chosen:
            return seconds / 60
        weight = 2 if not self.parts else 1
        return float(
            seconds / 60 * float(weight * share / (1 - self.passed + (weight - 1) * share))
        )

    def _fault(self, part: Solution) -> str:
        """Why the end of a window is unreliable; empty if it is not, or if the user stopped."""
        if part.status == "stopped":
            return ""
        if part.status == "diverged" or not part.history:
            return "diverged"
        with jax.enable_x64(part.x64):
            loss = np.maximum(part.history[-1].loss, fresh_loss(part.model, part.params))
        if not self.lengths.fault(loss, self.parts):
            return ""
        return f"has not converged (its loss is {loss:.1e})"

    def reject(self, sentence: str, share: Fraction | None, *, quiet: bool = False) -> None:
        """Say so, and move the run directory of the rejected window aside.

        Args:
            sentence: What is wrong, and what is tried next.
            share: Its length, if it was too long.
            quiet: Whether the history says it alone, without a warning.
        """
        title = self.title(share or self.next_share())
        if not quiet:
            warnings.warn(f"{title} {sentence}", stacklevel=5)
        self.notes.append((len(self.parts), f"{title} {sentence}"))
        folder = self._folder()
        if folder is not None and folder.exists():
            names = (
                folder.with_name(f"{folder.name}_rejected_{k}") for k in range(len(self.notes) + 99)
            )
            folder.rename(next(name for name in names if not name.exists()))
        self.rejected = share or self.rejected

    def accept(self, part: Solution, share: Fraction) -> None:
        """Go on behind a window."""
        self.parts.append(part)
        self.wish = self.lengths.after(self.parts, share)
        self.passed, self.before, self.rejected = self.passed + share, share, None
