"""The time that is left for a training."""

import time


class Clock:
    """The remaining time and the steps that fit into it: no stretch should overrun the limit."""

    def __init__(self, deadline: float | None):
        self._deadline = deadline
        self._pace: dict[int, float] = {}  # seconds a step, by phase
        self._began: dict[int, float] = {}  # when the first steps of a phase were reported
        self._steps: dict[int, int] = {}  # steps taken since then

    def note(self, phase: int, seconds: float, steps: int) -> None:
        """Record how long some steps took; the first of a phase do not count, for they compile."""
        if phase not in self._steps:
            self._steps[phase] = 0
        else:
            self._pace[phase] = seconds / max(1, steps)
            self._steps[phase] += steps

    def settled(self, phase: int) -> None:
        """Record that a stretch is reported; the first reports compile, too, and do not count."""
        self._began.setdefault(phase, time.monotonic())

    def expected(self, phase: int) -> int | None:
        """How many steps the remaining time allows, including the work between them.

        None without a time limit, or before the first measurement.
        """
        if self._deadline is None or not self._steps.get(phase):
            return None
        now = time.monotonic()
        pace = (now - self._began[phase]) / self._steps[phase]
        return max(1, int((self._deadline - now) / max(pace, 1e-9)))

    def fitting(self, phase: int, count: int) -> int:
        """At most ``count`` steps, and no more than fit; one before the first measurement."""
        if self._deadline is None:
            return count
        if phase not in self._pace:
            return 1
        left = self._deadline - time.monotonic()
        return max(1, min(count, int(left / max(self._pace[phase], 1e-9))))

    def is_over(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline
