"""Operators trained on arrays alone: the antiderivative of random functions.

1000 random functions (Gaussian, length scale 0.2) at 100 sensors and their antiderivatives for
training, 1000 others for testing, as in the example of DeepXDE; antiderivatives are those of cubic
splines. The error is the mean of relative L2 errors over the functions for testing; the time is
that of the processor for the whole process, imports and compilation included. The operator is
linear, so that the affine map that `PODDeepONet` begins with is all that it needs.

"own points": outputs are known at 60 to 100 random points, others for each function. "own sensors":
each function is also known at 60 to 100 random sensors of its own only. A step then takes 32 points
of 32 functions, since a trunk is evaluated for each function at its own points.
"""

import json
import time
from typing import Any

import _record

MARKS = ("<!-- own arrays: benchmarks/own_arrays.py --markdown -->", "<!-- end of own arrays -->")
POINTS, SENSORS = "own points", "own points and sensors"
# By what is trained and what differs from sample to sample: the number of steps.
CASES = {
    "DeepONet()": 3000,
    "PODDeepONet()": 300,
    f"DeepONet(), {POINTS}": 3000,
    f"DeepONet(Kriging()), {SENSORS}": 3000,
    f"DeepONet(DeepSet()), {SENSORS}": 3000,
    f"DeepONet(Attention()), {SENSORS}": 3000,
}
TARGET = 2e-3  # of issue 20, for shared points


def functions(count: int, seed: int) -> tuple[Any, Any, Any]:
    """Sensors, random functions at them, and their antiderivatives, which vanish at 0."""
    import numpy as np
    from scipy.interpolate import CubicSpline

    x = np.linspace(0, 1, 100)
    covariance = np.exp(-((x[:, None] - x) ** 2) / (2 * 0.2**2)) + 1e-10 * np.eye(len(x))
    random = np.random.default_rng(seed)
    v = random.standard_normal((count, len(x))) @ np.linalg.cholesky(covariance).T
    return x, v, CubicSpline(x, v, axis=1).antiderivative()(x)


def data_of(case: str, count: int, seed: int) -> Any:
    """The data set of a case."""
    import numpy as np
    from scipy.interpolate import CubicSpline

    import pinops as po

    x, v, u = functions(count, seed)
    if POINTS not in case:
        return po.Dataset.from_arrays(inputs={"v": v}, outputs={"u": u}, coordinates={"x": x})
    random = np.random.default_rng(seed + 1000)

    def places() -> list[Any]:
        return [np.sort(random.uniform(size=random.integers(60, 101))) for _ in range(count)]

    points, inputs, positions = places(), {"v": v}, {}
    if SENSORS in case:
        sensors = places()
        inputs = {"v": [CubicSpline(x, f)(at) for f, at in zip(v, sensors, strict=True)]}
        positions = {"v": sensors}
    outputs = {"u": [CubicSpline(x, f)(at) for f, at in zip(u, points, strict=True)]}
    own = [at[:, None] for at in points]
    return po.Dataset.from_arrays(
        inputs=inputs, outputs=outputs, coordinates=own, sensors=positions
    )


def row_of(case: str, seed: int, smoke: bool) -> dict[str, Any]:
    """One training and its error."""
    import pinops as po

    data = data_of(case, 60 if smoke else 2000, seed)
    train, test = data.split(test=20 if smoke else 1000, seed=seed)
    kinds = {
        "DeepONet()": po.operators.DeepONet(),
        "PODDeepONet()": po.operators.PODDeepONet(),
        "DeepONet(Kriging())": po.operators.DeepONet(po.networks.Kriging()),
        "DeepONet(DeepSet())": po.operators.DeepONet(po.networks.DeepSet()),
        "DeepONet(Attention())": po.operators.DeepONet(po.networks.Attention()),
    }
    steps = 2 if smoke else CASES[case]
    few = po.Functions(batch=32, data_points=32) if POINTS in case else None
    trained = po.train(
        train, kinds[case.split(", ")[0]], functions=few, steps=steps, seed=seed, progress=False
    )
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
        what, *differs = name.split(", ")
        label = ", ".join([f"`{what}`", *differs])
        lines.append(f"| {label} | {runs[0]['steps']} | {errors} | {times} |")
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
            record.add(case, seed, row, **({} if POINTS in case else {"target": TARGET}))
            print(f"{case} seed {seed}: {row['relative_l2']['u']:.2e}, {row['cpu_seconds']} s")


if __name__ == "__main__":
    main()
