"""The progress line on stderr: phase, step, loss terms, error and remaining time."""

import sys
import time

from pinops.settings import Number, require
from pinops.training._state import UNLIMITED, Report


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(max(seconds, 0)), 60)
    return f"{minutes}:{seconds:02d}"


def describe(
    report: Report, left: float | None, share: float | None = None, title: str = ""
) -> str:
    """One line, such as ``SSBroyden 2500/6000  loss 2.1e-07 (residual 2.1e-07)  0:31, ending``.

    Errors stand behind the loss and its terms, coefficients behind the errors.

    Args:
        report: The latest report.
        left: The remaining seconds, if known.
        share: The part of the time limit that has passed, from 0 to 1.
        title: The name of this training, if there are several.
    """
    terms = ", ".join(f"{name} {value:.1e}" for name, value in report.terms.items())
    parts = [
        *([title] if title else []),
        f"{report.phase} {_steps(report, share)}",
        f"loss {report.loss:.1e} ({terms})",
    ]
    if report.errors:
        parts.append(
            "error " + ", ".join(f"{name} {value:.1e}" for name, value in report.errors.items())
        )
    parts += [f"{name} = {value:.6g}" for name, value in report.coefficients.items()]
    parts.append(_clock(report.seconds) + ("" if left is None else _left(left)))
    return "  ".join(parts)


def _steps(report: Report, share: float | None) -> str:
    """Steps taken out of all; with the share of the time if that is the only limit."""
    if report.total_steps < UNLIMITED:
        return f"{report.step}/{report.total_steps}"
    of_time = "" if share is None else f" ({100 * min(share, 1.0):.0f} % of the time)"
    return f"{report.step} steps{of_time}"


def _left(seconds: float) -> str:
    return f", about {_clock(seconds)} left" if seconds >= 1 else ", ending"


class Progress:
    """A callback that updates one line on a terminal; elsewhere it prints one every ten seconds.

    The only mutable object of this room: it remembers when it last printed.
    """

    def __init__(
        self, minutes: float | None = None, *, began: float | None = None, title: str = ""
    ):
        self._seconds = None if minutes is None else 60 * minutes
        self._began = time.monotonic() if began is None else began
        self._title = title
        self._last = 0.0
        self._first: Report | None = None

    def __call__(self, report: Report) -> None:
        self._first = self._first or report
        if report.message:
            print(report.message, file=sys.stderr, flush=True)
            return
        terminal = sys.stderr.isatty()
        now = time.monotonic()
        done = report.step >= report.total_steps
        if now - self._last < (0.2 if terminal else 10.0) and not done:
            return
        self._last = now
        share = None if self._seconds is None else (now - self._began) / self._seconds
        line = describe(report, self._left(report), share, self._title)
        print(
            f"\r\x1b[2K{line}" if terminal else line,
            end="\n" if done or not terminal else "",
            file=sys.stderr,
            flush=True,
        )

    def _left(self, report: Report) -> float | None:
        assert self._first is not None
        steps = report.step - self._first.step
        left = []
        if steps > 0:
            pace = (report.seconds - self._first.seconds) / steps
            left.append(pace * (report.total_steps - report.step))
        if self._seconds is not None:
            left.append(self._began + self._seconds - time.monotonic())
        return min(left, default=None)


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
