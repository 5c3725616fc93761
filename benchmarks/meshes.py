"""Elasticity and heat on meshes of random shapes: networks on points against images of the shapes.

1000 samples of 500 to 1500 points each, of ``pinops data elasticity_hole`` and ``heat_polygons``,
800 of them for training. Every method trains for the same time; the error is the mean of relative
L2 errors over the points of 100 shapes of another seed, and over unknowns. The same shapes with
twice as many points show what a finer mesh costs, and whether the error stays.

The rival is a DeepONet that sees images of the shape (1 inside, 0 outside) and of the source on
48 x 48 points, learns from solutions interpolated to these, and is asked at the points of the mesh.

``--minutes`` is the time of each training, except for the cases of twice the time; ``--keep`` is
the folder where data are kept and found.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import _meshes
import _record

FAMILIES = ("elasticity_hole", "heat_polygons")
METHODS = {
    "transolver": "Transolver(64, 4, boundary=True)",
    "messages": "MeshGraphNet(32, 8, boundary=True)",
    "images": "DeepONet(trunk=ModifiedMLP(100, 4), latent=100)",
}
LONGER = "twice the time"
CASES = [f"{family}, {method}" for family in FAMILIES for method in METHODS]
CASES += [f"{family}, transolver, {LONGER}" for family in FAMILIES]
MARKS = ("<!-- meshes: benchmarks/meshes.py --markdown -->", "<!-- end of meshes -->")
SAMPLES, TESTED, NODES = 1000, 100, (500, 1500)
TARGET = {"error": 0.02, "cost_of_twice_the_points": 2.5}


def data_of(family: str, folder: Path, smoke: bool) -> dict[str, Any]:
    """The data sets of a family: for training, for testing, and the same shapes twice as fine."""
    samples, tested = (12, 2) if smoke else (SAMPLES, TESTED)
    low, high = (60, 100) if smoke else NODES
    wanted = {
        "training": (samples, 0, (low, high)),
        "test": (tested, 1, (low, high)),
        "finer": (tested, 1, (2 * low, 2 * high)),
    }
    return {
        part: _meshes.data_in(folder, f"{family}_{part}", family, *more)
        for part, more in wanted.items()
    }


def on_points(data: dict[str, Any], method: str, minutes: float, seed: int, smoke: bool) -> Any:
    """A network on points, its errors, and seconds for all test samples, coarse and fine."""
    architecture = _meshes.written(METHODS[method])
    result = _meshes.trained(data["training"], architecture, minutes, seed, smoke)
    errors, seconds = {}, {}
    for part in ("test", "finer"):
        result.error(data[part])  # compiles
        began = time.process_time()
        found = result.error(data[part])
        errors[part] = {name: error["mean"] for name, error in found.items()}
        seconds[part] = time.process_time() - began
    return result, errors, seconds


def on_images(data: dict[str, Any], minutes: float, seed: int, smoke: bool) -> Any:
    """A DeepONet of images, and its errors at the points of the meshes."""
    rival = _meshes.OnImages(data["training"], METHODS["images"], minutes, seed, smoke)
    errors = {
        part: _meshes.mean_errors(rival.predicted(data[part]), rival.unknowns)
        for part in ("test", "finer")
    }
    return rival.result, errors, None


def row_of(case: str, seed: int, folder: Path, minutes: float, smoke: bool) -> dict[str, Any]:
    """One training and its errors."""
    family, method, *longer = case.split(", ")
    minutes *= 2 if longer else 1
    data = data_of(family, folder, smoke)
    if method == "images":
        result, errors, seconds = on_images(data, minutes, seed, smoke)
    else:
        result, errors, seconds = on_points(data, method, minutes, seed, smoke)
    row = {
        "relative_l2": errors["test"],
        "twice_the_points": errors["finer"],
        "training_seconds": round(result.seconds, 1),
        "compile_seconds": round(result.compile_seconds, 1),
        "steps": result.steps,
        "parameters": result.num_parameters,
        "processor_seconds": round(time.process_time(), 1),
    }
    if seconds is not None:
        row["cost_of_twice_the_points"] = round(seconds["finer"] / seconds["test"], 2)
    return row


def error(row: dict[str, Any], part: str = "relative_l2") -> float:
    """The mean over samples and unknowns."""
    found = row.get(part)
    return sum(found.values()) / len(found) if found else float("inf")


def table(cases: dict[str, Any]) -> list[str]:
    """The rows of the table."""
    lines = [
        "| data | network | steps | minutes | error | twice the points | cost of these |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, entry in cases.items():
        run = entry["runs"][0]
        minutes = f"{run['training_seconds'] / 60:.0f}"
        cost = run.get("cost_of_twice_the_points", "-")
        network = f"`{entry['network']}`" + (" on images" if "images" in case else "")
        cells = [case.split(", ")[0], network, str(run["steps"]), minutes, f"{error(run):.4f}"]
        cells += [f"{error(run, 'twice_the_points'):.4f}", str(cost)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES, seeds=(0,))
    _record.add_markdown(options)
    options.add_argument("--minutes", type=float, default=15.0, help="of each training")
    options.add_argument("--keep", type=Path, metavar="FOLDER", help="where data are")
    asked = _record.parse(options)
    smoke = bool(asked.smoke)
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if asked.one:
            row = row_of(asked.cases[0], asked.seeds[0], folder, asked.minutes, smoke)
            print(json.dumps(row))
            return
        record = _record.Record(asked.record)
        if asked.markdown:
            _record.into_page(table(record.cases()), MARKS, asked.markdown)
            return
        for case in asked.cases:
            data_of(case.split(", ")[0], folder, smoke)  # before the clock of a process starts
            for seed in asked.seeds:
                more = ["--keep", str(folder), "--minutes", str(asked.minutes)]
                more += ["--pin"] if asked.pin else []
                more += ["--smoke", str(asked.smoke)] if smoke else []
                row = _record.one(__file__, case, seed, *more)
                method = METHODS[case.split(", ")[1]]
                record.add(case, seed, row, network=method, minutes=asked.minutes, target=TARGET)
                print(case, seed, f"{error(row):.4f}", row, flush=True)


if __name__ == "__main__":
    main()
