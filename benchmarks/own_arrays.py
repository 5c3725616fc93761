"""Operators trained on arrays alone: the antiderivative of random functions.

1000 random functions (Gaussian, length scale 0.2) at 100 sensors and their antiderivatives for
training, 1000 others for testing, as in the example of DeepXDE; antiderivatives are those of cubic
splines. The error is the mean of relative L2 errors over the functions for testing; the time is
that of the processor for the whole process, imports and compilation included. The operator is
linear, so that the affine map that `PODDeepONet` begins with is all that it needs.
"""

import json
import time
from typing import Any

import _record

MARKS = ("<!-- own arrays: benchmarks/own_arrays.py --markdown -->", "<!-- end of own arrays -->")
CASES = {"DeepONet()": 3000, "PODDeepONet()": 300}
TARGET = 2e-3


def functions(count: int, seed: int) -> tuple[Any, Any, Any]:
    """Sensors, random functions at them, and their antiderivatives, which vanish at 0."""
    import numpy as np
    from scipy.interpolate import CubicSpline

    x = np.linspace(0, 1, 100)
    covariance = np.exp(-((x[:, None] - x) ** 2) / (2 * 0.2**2)) + 1e-10 * np.eye(len(x))
    random = np.random.default_rng(seed)
    v = random.standard_normal((count, len(x))) @ np.linalg.cholesky(covariance).T
    return x, v, CubicSpline(x, v, axis=1).antiderivative()(x)


def row_of(case: str, seed: int, smoke: bool) -> dict[str, Any]:
    """One training and its error."""
    import pinops as po

    x, v, u = functions(60 if smoke else 2000, seed)
    data = po.Dataset.from_arrays(inputs={"v": v}, outputs={"u": u}, coordinates={"x": x})
    train, test = data.split(test=20 if smoke else 1000, seed=seed)
    kinds = {"DeepONet()": po.operators.DeepONet, "PODDeepONet()": po.operators.PODDeepONet}
    steps = 2 if smoke else CASES[case]
    trained = po.train(train, kinds[case](), steps=steps, seed=seed, progress=False)
    error = trained.error(test)
    return {
        "relative_l2": {"u": error["u"]["mean"]},
        "errors": error,
        "cpu_seconds": round(time.process_time(), 1),
        "parameters": trained.num_parameters,
        "steps": trained.steps,
    }


def table(cases: dict[str, Any]) -> list[str]:
    """The rows of the table."""
    lines = [
        "| antiderivative from arrays | steps | relative L2 error | CPU s |",
        "|---|---|---|---|",
    ]
    for name, entry in cases.items():
        runs = entry["runs"]
        errors = _record.each(runs, lambda run: f"{run['relative_l2']['u']:.1e}")
        times = _record.each(runs, lambda run: f"{run['cpu_seconds']:.0f}")
        lines.append(f"| `{name}` | {runs[0]['steps']} | {errors} | {times} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES)
    _record.add_markdown(options)
    asked = _record.parse(options)
    record = _record.Record(asked.record)
    if asked.one:
        print(json.dumps(row_of(asked.cases[0], asked.seeds[0], bool(asked.smoke))))
        return
    if asked.markdown:
        _record.into_page(table(record.cases()), MARKS, asked.markdown)
        return
    for case in asked.cases:
        for seed in asked.seeds:
            more = ["--pin"] if asked.pin else []
            more += ["--smoke", str(asked.smoke)] if asked.smoke else []
            row = _record.one(__file__, case, seed, *more)
            record.add(case, seed, row, target=TARGET)
            print(f"{case} seed {seed}: {row['relative_l2']['u']:.2e}, {row['cpu_seconds']} s")


if __name__ == "__main__":
    main()
