"""What a person sees while training: one line on stderr with phase, step, loss terms, error and time left."""

import sys
import time

from pinops.settings import Number, require
from pinops.training._state import Report


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(max(seconds, 0)), 60)
    return f"{minutes}:{seconds:02d}"


def describe(report: Report, left: float | None) -> str:
    """One line: ``SSBroyden 2500/6000  loss 2.1e-07 (residual 2.1e-07)  error u 6.5e-05  0:31, about 0:40 left``."""
    terms = ", ".join(f"{name} {value:.1e}" for name, value in report.terms.items())
    parts = [
        f"{report.phase} {report.step}/{report.total_steps}",
        f"loss {report.loss:.1e} ({terms})",
    ]
    if report.errors:
        parts.append(
            "error " + ", ".join(f"{name} {value:.1e}" for name, value in report.errors.items())
        )
    parts += [f"{name} = {value:.6g}" for name, value in report.coefficients.items()]
    parts.append(_clock(report.seconds) + ("" if left is None else f", about {_clock(left)} left"))
    return "  ".join(parts)


class Progress:
    """A callback that keeps one line up to date on a terminal, and prints one every ten seconds elsewhere.

    The only mutable object of this room: it remembers when it last printed.
    """

    def __init__(self, minutes: float | None = None):
        self._minutes = minutes
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
        line = describe(report, self._left(report))
        print(
            f"\r\x1b[2K{line}" if terminal else line,
            end="\n" if done or not terminal else "",
            file=sys.stderr,
            flush=True,
        )

    def _left(self, report: Report) -> float | None:
        assert self._first is not None
        steps = report.step - self._first.step
        if steps <= 0:
            return None
        pace = (report.seconds - self._first.seconds) / steps
        left = pace * (report.total_steps - report.step)
        return left if self._minutes is None else min(left, 60 * self._minutes - report.seconds)


class StopAt:
    """A callback that ends training once every known error is at most ``relative_l2``.

    **Raises** ValueError when the target is not positive.
    """

    def __init__(self, relative_l2: float):
        require("StopAt", "relative_l2", relative_l2, Number(above=0))
        self.relative_l2 = relative_l2

    def __call__(self, report: Report) -> bool:
        return bool(report.errors) and max(report.errors.values()) <= self.relative_l2
