"""Elasticity and heat on meshes of random shapes: networks on points against images of the shapes.

1000 samples of 500 to 1500 points each, of ``pinops data elasticity_hole`` and ``heat_polygons``,
800 of them for training. Every method trains for the same time; the error is the mean of relative
L2 errors over the points of 100 shapes of another seed, and over unknowns. The same shapes with
twice as many points show what a finer mesh costs, and whether the error stays.

The rival is a DeepONet that sees images of the shape (1 inside, 0 outside) and of the source on
48 x 48 points, learns from solutions interpolated to these, and is asked at the points of the mesh.

``--minutes`` is the time of each training; ``--keep`` is the folder where data are kept and found.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import _record

FAMILIES = ("elasticity_hole", "heat_polygons")
METHODS = {
    "transolver": "Transolver(64, 4, boundary=True)",
    "messages": "MeshGraphNet(32, 8, boundary=True)",
    "images": "DeepONet(trunk=ModifiedMLP(100, 4), latent=100)",
}
CASES = [f"{family}, {method}" for family in FAMILIES for method in METHODS]
SAMPLES, TESTED, NODES = 1000, 100, (500, 1500)
IMAGE = 48  # points of each axis
TARGET = {"error": 0.02, "cost_of_twice_the_points": 2.5}


def data_of(family: str, folder: Path, smoke: bool) -> dict[str, Any]:
    """The data sets of a family: for training, for testing, and the same shapes twice as fine."""
    import pinops as po
    from pinops.data import mesh_contents

    samples, tested = (12, 2) if smoke else (SAMPLES, TESTED)
    low, high = (60, 100) if smoke else NODES
    wanted = {
        "training": (samples, 0, (low, high)),
        "test": (tested, 1, (low, high)),
        "finer": (tested, 1, (2 * low, 2 * high)),
    }
    found = {}
    for part, (count, seed, nodes) in wanted.items():
        path = folder / f"{family}_{part}.h5"
        if not path.exists():
            workers = 1 if smoke else 2
            made = mesh_contents(family, count, seed=seed, nodes=nodes, workers=workers)
            po.Dataset.of(made).save(path)
        found[part] = po.Dataset.open(path)
    return found


def on_points(data: dict[str, Any], method: str, minutes: float, seed: int, smoke: bool) -> Any:
    """A network on points, its errors, and seconds for all test samples, coarse and fine."""
    import pinops as po
    from pinops.settings import parsed
    from pinops.solvers import allowed

    kind: Any = po.operators.PointArchitecture
    result = po.train(
        data["training"],
        parsed(METHODS[method], allowed(kind), kind=kind, what="a network on points"),
        minutes=minutes,
        steps=2 if smoke else None,
        seed=seed,
        progress=False,
    )
    errors, seconds = {}, {}
    for part in ("test", "finer"):
        result.error(data[part])  # compiles
        began = time.process_time()
        errors[part] = result.error(data[part])
        seconds[part] = time.process_time() - began
    return result, errors, seconds


def image_of(sample: Any, bounds: Any) -> dict[str, Any]:
    """The shape, the inputs and the outputs of a sample on a grid; outputs are NaN outside."""
    import numpy as np

    axes = [np.linspace(low, high, IMAGE) for low, high in bounds]
    at = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
    inside = sample.mesh.signed_distance(at) <= 0
    known = np.column_stack([*sample.inputs.values(), sample.values])
    found = sample.mesh.interpolated(known, at)
    count = len(sample.inputs)
    images = {"shape": inside, "outputs": np.where(inside[:, None], found[:, count:], np.nan)}
    for k, name in enumerate(sample.inputs):
        images[name] = np.where(inside, found[:, k], 0.0)
    return {name: np.reshape(x, (IMAGE, IMAGE, *x.shape[1:])) for name, x in images.items()}


def on_images(data: dict[str, Any], minutes: float, seed: int, smoke: bool) -> Any:
    """A DeepONet of images, and its errors at the points of the meshes."""
    import numpy as np

    import pinops as po
    from pinops.settings import parsed
    from pinops.solvers import allowed
    from pinops.training import samples_in

    unknowns, names = data["training"].unknowns, data["training"].layout.inputs
    local = dict.fromkeys(names, True)

    def samples(part: str) -> list[Any]:
        dataset = data[part]
        return samples_in(dataset.rows(range(dataset.count)), unknowns, local)

    train = samples("training")
    whole = np.concatenate([sample.mesh.points for sample in train])
    bounds = list(zip(whole.min(0), whole.max(0), strict=True))
    images = [image_of(sample, bounds) for sample in train]
    dataset = po.Dataset.from_arrays(
        inputs={name: np.stack([i[name] for i in images]) for name in ("shape", *names)},
        outputs={
            name: np.stack([i["outputs"][..., k] for i in images])
            for k, name in enumerate(unknowns)
        },
        coordinates={
            name: np.linspace(low, high, IMAGE)
            for name, (low, high) in zip(data["training"].layout.names, bounds, strict=True)
        },
    )
    kind: Any = po.operators.OperatorArchitecture
    result = po.train(
        dataset,
        parsed(
            METHODS["images"],
            allowed(kind, po.networks.Architecture),
            kind=kind,
            what="an operator",
        ),
        minutes=minutes,
        steps=2 if smoke else None,
        seed=seed,
        progress=False,
    )
    errors = {}
    for part in ("test", "finer"):
        relative: dict[str, list[float]] = {name: [] for name in unknowns}
        tested = samples(part)
        longest = max(len(sample.mesh.points) for sample in tested)
        for sample in tested:
            image = image_of(sample, bounds)
            given = {name: image[name][None] for name in ("shape", *names)}
            # As many points for each sample, so that one program serves all.
            at = np.resize(sample.mesh.points, (longest, 2))
            values: Any = result(given, x=at[:, 0], y=at[:, 1])
            values = values if isinstance(values, dict) else {unknowns[0]: values}
            for k, name in enumerate(unknowns):
                truth = sample.values[:, k]
                off = values[name][0, : len(truth)] - truth
                relative[name].append(float(np.linalg.norm(off) / np.linalg.norm(truth)))
        errors[part] = {name: {"mean": float(np.mean(row))} for name, row in relative.items()}
    return result, errors, None


def row_of(case: str, seed: int, folder: Path, minutes: float, smoke: bool) -> dict[str, Any]:
    """One training and its errors."""
    family, method = case.split(", ")
    data = data_of(family, folder, smoke)
    if method == "images":
        result, errors, seconds = on_images(data, minutes, seed, smoke)
    else:
        result, errors, seconds = on_points(data, method, minutes, seed, smoke)
    means = {
        part: {name: error["mean"] for name, error in found.items()}
        for part, found in errors.items()
    }
    row = {
        "relative_l2": means["test"],
        "twice_the_points": means["finer"],
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


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES, seeds=(0,))
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
