"""Darcy flow from neuraloperator's arrays: a steady map on 16 x 16, and zero-shot on 32 x 32.

1000 random media of two permeabilities and their pressures, of which 50 are set apart and 95 are
for validation; 20 epochs; 50 further samples on each grid are for testing. The error is the mean of
relative L2 errors. The time is that of the processor for the whole process, imports and compilation
included.

The arrays are those of `neuralop.data.datasets.load_darcy_flow_small` as ``.npz`` (``train16_x``,
``train16_y``, ``test16_x``, ...): ``darcy_map.py --data FILE``.
"""

import json
import time
from pathlib import Path
from typing import Any

import _record

EPOCHS, BATCH = 20, 8
DATA = Path(__file__).parents[2] / "shared/refdata/deeponet/neuralop_darcy_16_32.npz"
MARKS = ("<!-- maps: benchmarks/darcy_map.py --markdown -->", "<!-- end of maps -->")
CASES = {
    "fno": "FNO(32, 8, padding=0.25)",
    "fno_l2": "FNO(32, 8, padding=0.25)",
    "fno_tucker": "FNO(32, 8, padding=0.25, rank=0.3)",
}
TARGET = {"error_16": 0.090, "error_32": 0.125, "cpu_seconds": 50.0}


def arrays(path: Path, smoke: bool) -> dict[str, Any]:
    """The arrays of the file; random ones of the same names for a smoke test without it."""
    import numpy as np

    if path.exists() and not smoke:
        return dict(np.load(path))
    random = np.random.default_rng(0)
    out = {}
    for name, count, n in (("train16", 40, 16), ("test16", 4, 16), ("test32", 4, 32)):
        out[f"{name}_x"] = random.random((count, n, n)) > 0.5
        out[f"{name}_y"] = np.cumsum(random.standard_normal((count, n, n)), 1) / n
    return out


def row_of(case: str, seed: int, path: Path, smoke: bool) -> dict[str, Any]:
    """One training and its errors."""
    import numpy as np

    import pinops as po
    from pinops.settings import parsed
    from pinops.solvers import allowed

    given = arrays(path, smoke)

    def dataset(part: str, n: int) -> po.Dataset:
        line = np.arange(n) / n
        return po.Dataset.from_arrays(
            inputs={"a": given[f"{part}{n}_x"]},
            outputs={"u": given[f"{part}{n}_y"]},
            coordinates={"x": line, "y": line},
        )

    train, _ = dataset("train", 16).split(test=4 if smoke else 50)
    steps = EPOCHS * len(train.splits["training"]) // BATCH
    kind: Any = po.operators.GridArchitecture
    result = po.train(
        train,
        parsed(CASES[case], allowed(kind), kind=kind, what="a network on grids"),
        steps=2 if smoke else steps,
        loss="L2" if case == "fno_l2" else "H1",
        seed=seed,
        progress=False,
    )
    errors = {n: result.error(dataset("test", n))["u"]["mean"] for n in (16, 32)}
    return {
        "error_16": errors[16],
        "error_32": errors[32],
        "validation": result.history[-1].errors["u"],
        "cpu_seconds": round(time.process_time(), 1),
        "parameters": result.num_parameters,
        "steps": result.steps,
        "relative_l2": {"u": errors[16]},
    }


def table(cases: dict[str, Any]) -> list[str]:
    """The rows of the README."""
    lines = [
        "| network | parameters | 16 x 16 | 32 x 32, zero-shot | CPU s |",
        "|---|---|---|---|---|",
    ]
    for entry in cases.values():
        runs = entry["runs"]
        cells = [
            _record.each(runs, lambda run: f"{run['error_16']:.4f}"),
            _record.each(runs, lambda run: f"{run['error_32']:.4f}"),
            _record.each(runs, lambda run: f"{run['cpu_seconds']:.0f}"),
        ]
        name = f"`{entry['network']}`, {entry['loss']}"
        lines.append(f"| {name} | {runs[0]['parameters']} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES)
    options.add_argument("--data", type=Path, default=DATA, metavar="FILE", help="the arrays")
    _record.add_markdown(options)
    asked = _record.parse(options)
    record = _record.Record(asked.record)
    if asked.one:
        print(json.dumps(row_of(asked.cases[0], asked.seeds[0], asked.data, bool(asked.smoke))))
        return
    if asked.markdown:
        _record.into_readme(table(record.cases()), MARKS, asked.markdown)
        return
    for case in asked.cases:
        for seed in asked.seeds:
            more = ["--data", str(asked.data), *(["--pin"] if asked.pin else [])]
            more += ["--smoke", str(asked.smoke)] if asked.smoke else []
            row = _record.one(__file__, case, seed, *more)
            loss = "L2" if case == "fno_l2" else "H1"
            record.add(case, seed, row, network=CASES[case], loss=loss, target=TARGET)
            print(case, seed, row)


if __name__ == "__main__":
    main()
