"""The progress line on stderr: phase, step, loss, error and remaining time."""

import shutil
import sys
import time
from collections.abc import Sequence

from pinops.settings import Number, require
from pinops.training._state import UNLIMITED, Phase, Report

_OFTEN = 0.2  # seconds between two updates of a line that is replaced
_RARELY = 10.0  # between two lines that stay; later a twentieth of the time that has passed
_SHARE = 1 / 20


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def describe(
    report: Report,
    left: float | None,
    share: float | None = None,
    title: str = "",
    width: int | None = None,
) -> str:
    """One line, such as ``SSBroyden 2500/6000  loss 2.1e-07 (residual 2.1e-07)  0:31, ending``.

    Errors stand behind the loss and its terms, coefficients behind the errors.

    Args:
        report: The latest report.
        left: The remaining seconds, if known.
        share: The part of the time limit that has passed, from 0 to 1.
        title: The name of this training, if there are several.
        width: The most characters, at least 30: the terms are left out first, then the middle.
    """
    terms = ", ".join(f"{name} {value:.1e}" for name, value in report.terms.items())
    errors = ", ".join(f"{name} {value:.1e}" for name, value in report.errors.items())
    before = [*([title] if title else []), f"{report.phase} {_steps(report, share)}"]
    loss = f"loss {report.loss:.1e}"
    after = [f"error {errors}"] if report.errors else []
    after += [f"{name} = {value:.6g}" for name, value in report.coefficients.items()]
    end = _clock(report.seconds) + ("" if left is None else _left(left))
    line = "  ".join([*before, f"{loss} ({terms})", *after, end])
    if width is None or len(line) <= width:
        return line
    line = "  ".join([*before, loss, *after])
    rest = width - len(end) - 2
    return f"{line if len(line) <= rest else line[: rest - 3] + '...'}  {end}"


def _steps(report: Report, share: float | None) -> str:
    """Steps taken out of all; with the share of the time if that is the only limit."""
    if report.total_steps < UNLIMITED:
        return f"{report.step}/{report.total_steps}"
    of_time = "" if share is None else f" ({100 * min(share, 1.0):.0f} % of the time)"
    return f"{report.step} steps{of_time}"


def _left(seconds: float) -> str:
    return f", about {_clock(seconds)} left" if seconds >= 1 else ", ending"


class Remaining:
    """How long the remaining steps take.

    A step costs what it has cost since the first report of its phase, which ends a compilation.
    Later phases are expected to have the same pace, and to take as long until their first report as
    the training took until its own.
    """

    def __init__(self, phases: Sequence[Phase], began: float):
        """From the phases of a training, and when it began, by `time.monotonic`."""
        self._ends = [sum(phase.steps for phase in phases[: k + 1]) for k in range(len(phases))]
        self._began = began
        self._until_first: float | None = None
        self._phase = -1
        self._first = (0.0, 0)  # of the present phase: when its first report came, at which step
        self._pace: float | None = None  # seconds a step

    def seconds(self, step: int, now: float) -> float | None:
        """The remaining seconds at a step that is reported now; None before the second report."""
        phase = next((k for k, end in enumerate(self._ends) if step <= end), len(self._ends) - 1)
        if self._until_first is None:
            self._until_first = now - self._began
        if phase != self._phase:
            self._phase, self._first = phase, (now, step)
        elif step > self._first[1]:
            self._pace = (now - self._first[0]) / (step - self._first[1])
        if self._pace is None:
            return None
        compilations = len(self._ends) - 1 - phase
        return self._pace * (self._ends[-1] - step) + self._until_first * compilations


class Progress:
    """A callback that shows one line, which is replaced on a terminal and in a notebook.

    Elsewhere lines stay: one every ten seconds, later one each time that another twentieth of the
    time has passed.
    """

    def __init__(
        self,
        minutes: float | None = None,
        *,
        phases: Sequence[Phase],
        began: float | None = None,
        title: str = "",
    ):
        """A line for a training.

        Args:
            minutes: Its time limit.
            phases: Its phases.
            began: When it began, by `time.monotonic`; default: now.
            title: What the line begins with.
        """
        self._seconds = None if minutes is None else 60 * minutes
        self._began = time.monotonic() if began is None else began
        self._remaining = Remaining(phases, self._began)
        self._title = title
        self._printed: float | None = None  # when
        self._length = 0  # of the line that the next one replaces
        self._hidden: Report | None = None  # the latest one, if no line shows it

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        if report.message:
            self._print(report.message, stays=True)
            return
        steps_left = self._remaining.seconds(report.step, now)
        pause = _OFTEN if _replaces() else max(_RARELY, _SHARE * (now - self._began))
        last = report.step >= report.total_steps
        self._hidden = report
        if self._printed is None or now - self._printed >= pause or last:
            self._show(report, self._left(steps_left, now), now, stays=last)

    def end(self) -> None:
        """Show the last report if no line has, and leave the line as it is."""
        if self._hidden is not None:
            self._show(self._hidden, None, time.monotonic(), stays=True)
        elif self._length:
            print(file=sys.stderr, flush=True)
            self._length = 0

    def _show(self, report: Report, left: float | None, now: float, *, stays: bool) -> None:
        self._printed, self._hidden = now, None
        share = None if self._seconds is None else (now - self._began) / self._seconds
        width = shutil.get_terminal_size().columns - 1 if sys.stderr.isatty() else None
        limit = None if width is None else max(30, width)
        self._print(describe(report, left, share, self._title, limit), stays=stays)

    def _print(self, line: str, *, stays: bool) -> None:
        if not _replaces():
            print(line, file=sys.stderr, flush=True)
            return
        begin = "\r" if self._length else ""
        end = "\n" if stays else ""
        print(f"{begin}{line.ljust(self._length)}", end=end, file=sys.stderr, flush=True)
        self._length = 0 if stays else len(line)

    def _left(self, of_steps: float | None, now: float) -> float | None:
        limits = [] if of_steps is None else [of_steps]
        if self._seconds is not None:
            limits.append(self._began + self._seconds - now)
        return min(limits, default=None)


def _replaces() -> bool:
    """Whether a carriage return on stderr begins the same line again."""
    return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")


class StopAt:
    """A callback that ends training once every known error is at most ``relative_l2``.

    Raises:
        ValueError: For a target that is not positive.
    """

    def __init__(self, relative_l2: float):
        require("StopAt", "relative_l2", relative_l2, Number(above=0))
        self.relative_l2 = relative_l2

    def __call__(self, report: Report) -> bool:
        return bool(report.errors) and max(report.errors.values()) <= self.relative_l2
