"""Darcy flow from neuraloperator's arrays: a steady map on 16 x 16, and zero-shot on 32 x 32.

1000 random media of two permeabilities and their pressures, of which 50 are set apart and 95 are
for validation; 20 epochs; 50 further samples on each grid are for testing. The error is the mean of
relative L2 errors. The time is that of the processor for the whole process, imports and compilation
included.

The arrays are those of `neuralop.data.datasets.load_darcy_flow_small` as ``.npz`` (``train16_x``,
``train16_y``, ``test16_x``, ...): ``darcy_map.py --data FILE``.

The cases ``family_...`` are maps of `darcy_family` on its grid of 33 x 33 points (media on a
square, a disc and a triangle): from 256 solved members, from these and the equation, from the
equation alone. Errors are those of 32 further members, and of one of them before and after it is
fine-tuned on its equation.
"""

import json
import time
from pathlib import Path
from typing import Any

import _record

EPOCHS, BATCH = 20, 8
DATA = Path(__file__).parents[2] / "shared/refdata/deeponet/neuralop_darcy_16_32.npz"
MARKS = ("<!-- maps: benchmarks/darcy_map.py --markdown -->", "<!-- end of maps -->")
FAMILY_MARKS = ("<!-- families: benchmarks/darcy_map.py --markdown -->", "<!-- end of families -->")
CASES = {
    "fno": "FNO(32, 8, padding=0.25)",
    "fno_l2": "FNO(32, 8, padding=0.25)",
    "fno_tucker": "FNO(32, 8, padding=0.25, rank=0.3)",
}
FAMILY = "FNO(24, 10, padding=0.25)"
FAMILY_CASES = {"family_data": 0.0, "family_both": 0.1, "family_physics": 1.0}  # physics
FAMILY_STEPS, MEMBERS, TUNING = 500, 320, 100
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
    seconds = round(time.process_time(), 1)
    return {
        "error_16": errors[16],
        "error_32": errors[32],
        "validation": result.history[-1].errors["u"],
        "cpu_seconds": seconds,
        "parameters": result.num_parameters,
        "steps": result.steps,
        "relative_l2": {"u": errors[16]},
        **prediction(result, given["test16_x"], 20 if smoke else 1000),
    }


def prediction(result: Any, some: Any, count: int) -> dict[str, float]:
    """Seconds in which many samples are predicted by one call, and by the bare network."""
    import jax
    import numpy as np

    program = result.program()
    forward = jax.jit(program.call)
    samples = np.resize(some, (count, *some.shape[1:])).astype(np.float32)
    times: dict[str, list[float]] = {"prediction_seconds": [], "forward_seconds": []}
    for _ in range(6):  # the first compiles
        began = time.perf_counter()
        result({"a": samples})
        between = time.perf_counter()
        jax.block_until_ready(forward({"a": samples}))
        times["prediction_seconds"].append(between - began)
        times["forward_seconds"].append(time.perf_counter() - between)
    return {name: round(float(np.median(found[1:])), 4) for name, found in times.items()}


def family_row(case: str, seed: int, smoke: bool) -> dict[str, Any]:
    """One training on `darcy_family`, and its fine-tuning on the first member for testing."""
    import tempfile

    import numpy as np

    import pinops as po
    from pinops.data import generate, problems
    from pinops.problem import unstacked
    from pinops.settings import parsed
    from pinops.solvers import allowed

    family, physics = po.load_problem("darcy_family"), FAMILY_CASES[case]
    kind: Any = po.operators.GridArchitecture
    network = "FNO(2, 2, 1)" if smoke else FAMILY
    with tempfile.TemporaryDirectory() as folder:
        data = generate(family, Path(folder) / "data.h5", count=10 if smoke else MEMBERS)
        began = time.process_time()
        result = po.train(
            family,
            parsed(network, allowed(kind), kind=kind, what="a network on grids"),
            data=None if case == "family_physics" else data,
            physics=physics,
            steps=2 if smoke else FAMILY_STEPS,
            seed=seed,
            progress=False,
        )
        seconds = time.process_time() - began
        row = {
            "error": result.error(data)["u"]["mean"],
            "cpu_seconds": round(seconds, 1),
            "parameters": result.num_parameters,
            "steps": result.steps,
        }
        if physics:
            rows = data.rows(data.splits["test"][:1])
            (member,), truth = unstacked(problems(family, rows), 1), rows["values/u"][0]
            known = np.isfinite(truth)

            def error(trained: Any) -> float:
                off = (trained(member) - truth)[known]
                return float(np.linalg.norm(off) / np.linalg.norm(truth[known]))

            began = time.process_time()
            tuned = result.finetuned(member, steps=2 if smoke else TUNING, anchor=0.0)
            row |= {
                "one_before": error(result),
                "one_after": error(tuned),
                "residual_before": float(result.residual(member)[0]),
                "residual_after": float(tuned.residual(member)[0]),
                "tuning_cpu_seconds": round(time.process_time() - began, 1),
            }
    return row | {"relative_l2": {"u": row["error"]}}


def table(cases: dict[str, Any]) -> list[str]:
    """The rows of the table."""
    lines = [
        "| network | parameters | 16 x 16 | 32 x 32, zero-shot | CPU s |",
        "|---|---|---|---|---|",
    ]
    for name, network in CASES.items():
        if name not in cases:
            continue
        runs = cases[name]["runs"]
        cells = [
            f"`{network}`, {cases[name]['loss']}",
            str(runs[0]["parameters"]),
            _record.each(runs, lambda run: f"{run['error_16']:.4f}"),
            _record.each(runs, lambda run: f"{run['error_32']:.4f}"),
            _record.each(runs, lambda run: f"{run['cpu_seconds']:.0f}"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def family_table(cases: dict[str, Any]) -> list[str]:
    """The rows of the page on equations of maps."""
    lines = [
        "| trained on | error | CPU s | of one member | fine-tuned | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    words = ("256 solutions", "256 solutions and the equation", "the equation")
    for name, what in zip(FAMILY_CASES, words, strict=True):
        for run in cases.get(name, {"runs": []})["runs"]:
            cells = [f"{run['error']:.4f}", f"{run['cpu_seconds']:.0f}"]
            if "one_before" in run:
                cells += [f"{run['one_before']:.4f}", f"{run['one_after']:.4f}"]
                cells += [f"{run['tuning_cpu_seconds']:.0f}"]
            cells += ["-"] * (5 - len(cells))
            lines.append(f"| {what} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, [*CASES, *FAMILY_CASES])
    options.add_argument("--data", type=Path, default=DATA, metavar="FILE", help="the arrays")
    _record.add_markdown(options)
    asked = _record.parse(options)
    record = _record.Record(asked.record)
    if asked.one:
        case, seed, smoke = asked.cases[0], asked.seeds[0], bool(asked.smoke)
        family = case in FAMILY_CASES
        row = family_row(case, seed, smoke) if family else row_of(case, seed, asked.data, smoke)
        print(json.dumps(row))
        return
    if asked.markdown:
        for rows, marks in ((table, MARKS), (family_table, FAMILY_MARKS)):
            if marks[0] in asked.markdown.read_text():
                _record.into_page(rows(record.cases()), marks, asked.markdown)
        return
    for case in asked.cases:
        for seed in asked.seeds:
            more = ["--data", str(asked.data), *(["--pin"] if asked.pin else [])]
            more += ["--smoke", str(asked.smoke)] if asked.smoke else []
            row = _record.one(__file__, case, seed, *more)
            settings: dict[str, Any] = {"network": FAMILY, "physics": FAMILY_CASES.get(case)}
            if case in CASES:
                loss = "L2" if case == "fno_l2" else "H1"
                settings = {"network": CASES[case], "loss": loss, "target": TARGET}
            record.add(case, seed, row, **settings)
            print(case, seed, row)


if __name__ == "__main__":
    main()
