"""The time that JAX spends compiling, wherever that happens, from its monitoring events."""

import time
from functools import cache

import jax.monitoring

_EVENTS = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


def compiled() -> float:
    """Seconds of tracing, lowering and compiling (or reading from a cache) since the first call.

    The difference between two calls is the time spent between them.
    """
    return _recorder().seconds


class _Recorder:
    """Adds up intervals; one that began before others holds them (a trace within a trace)."""

    def __init__(self):
        self._intervals: list[tuple[float, float]] = []
        self._before = 0.0  # of the intervals that are no longer kept

    def __call__(self, event: str, duration: float, **_: object) -> None:
        if event not in _EVENTS:
            return
        start = time.monotonic() - duration
        while self._intervals and self._intervals[-1][0] >= start:
            self._intervals.pop()
        self._intervals.append((start, duration))
        if len(self._intervals) > 10_000:
            self._before += sum(seconds for _, seconds in self._intervals[:5000])
            del self._intervals[:5000]

    @property
    def seconds(self) -> float:
        return self._before + sum(seconds for _, seconds in self._intervals)


@cache
def _recorder() -> _Recorder:
    # Listeners stay until the process ends: one for all trainings, from the first on.
    recorder = _Recorder()
    jax.monitoring.register_event_duration_secs_listener(
        recorder  # pyright: ignore[reportArgumentType]
    )
    return recorder
