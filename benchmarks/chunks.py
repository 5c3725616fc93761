"""One gradient of a map on a grid, in chunks of each size: is the automatic size the best one?

The loss is that of `po.train`, the relative error in H1; "auto" is the number of samples that the
rule of `pinops/training/_chunks.py` takes at once, "to_the_best" and "to_whole" its time divided by
that of the best size and by that of all samples at once.

Times are those of the processor, on one core, medians of rounds in turn.
"""

import json
import statistics
import time
from typing import Any

import _record

CASES = {  # network, grid, batch
    "1-D, 1024": ("FNO(64, 16)", (1024,), 32),
    "1-D, 128": ("FNO(32, 12)", (128,), 64),
    "2-D, 16 x 16": ("FNO(32, 8, padding=0.25)", (16, 16), 32),
    "2-D, 64 x 64": ("FNO(32, 12)", (64, 64), 32),
    "2-D, 64 x 64, U-Net": ("UNet(16)", (64, 64), 32),
    "3-D, 24 x 24 x 24": ("FNO(16, 6)", (24, 24, 24), 8),
}
ROUNDS = 5


def step(case: str, smoke: bool) -> dict[str, Any]:
    """Milliseconds of a gradient by the number of samples in a chunk, and the automatic number."""
    import jax
    import numpy as np

    import pinops as po
    from pinops.settings import parsed
    from pinops.solvers import allowed
    from pinops.training import Samples, _chunks

    text, grid, batch = CASES[case]
    if smoke:
        text, grid, batch = "FNO(2, 2, 1)", tuple(8 for _ in grid), 4
    lines = {name: np.arange(n) / n for name, n in zip("xyz", grid, strict=False)}
    random = np.random.default_rng(0)
    a, u = (random.standard_normal((batch + 4, *grid)).astype(np.float32) for _ in range(2))
    data = po.Dataset.from_arrays(inputs={"a": a}, outputs={"u": u}, coordinates=lines)
    kind: Any = po.operators.GridArchitecture
    network = parsed(text, allowed(kind), kind=kind, what="a network on grids")
    result = po.train(data, network, steps=1, progress=False)
    samples = Samples({"a": a[:batch]}, u[:batch, ..., None])
    weights = {"observed u": np.ones(1, np.float32)}
    chosen: list[int] = []
    rule = _chunks.chunk_for

    def gradient_of(chunk: int | None) -> Any:
        """The gradient in chunks of a given size; None: that of the rule."""

        def size(program: Any, total: int, params: Any, **more: Any) -> int:
            chosen.append(rule(program, total, params, **more) if chunk is None else chunk)
            return chosen[-1]

        def gradient(params: Any) -> Any:
            _chunks.chunk_for = size
            try:
                return result.model.objective(samples, weights)(params)
            finally:
                _chunks.chunk_for = rule

        return gradient

    jax.eval_shape(gradient_of(None), result.params)
    auto = chosen[0]
    sizes = sorted({n for n in (1, 2, 4, 8, 16, 32, 64) if batch % n == 0} | {auto})
    ways = {n: jax.jit(gradient_of(n)).lower(result.params).compile() for n in sizes}
    times = _record.in_turns(
        {str(n): lambda program=program: program(result.params) for n, program in ways.items()},
        1 if smoke else ROUNDS,
        1,
        clock=time.process_time,
    )
    ms = {name: round(statistics.median(values), 2) for name, values in times.items()}
    own = ms[str(auto)]
    return {
        "ms": ms,
        "auto": auto,
        "to_the_best": round(own / min(ms.values()), 3),
        "to_whole": round(own / ms[str(batch)], 3),
    }


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES, seeds=(0,))
    asked = _record.parse(options)
    if asked.one:
        _record.pin()
        print(json.dumps(step(asked.cases[0], bool(asked.smoke))))
        return
    record = _record.Record(asked.record)
    for case in asked.cases:
        smoke = ["--smoke", str(asked.smoke)] if asked.smoke else []
        row = _record.one(__file__, case, 0, *smoke, cold=False)
        network, grid, batch = CASES[case]
        record.add(case, 0, row, network=network, grid=list(grid), batch=batch)
        print(case, row)


if __name__ == "__main__":
    main()
