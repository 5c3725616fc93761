"""Gaussian processes and grids on morphed meshes: random stars, and a notched plate.

`star`: Poisson's equation on random smooth shapes of 520 to 590 points (``pinops data
poisson_stars``), 120 of them for the fit, with each of three maps to the disc. The error is the
root of the mean over 40 shapes of the mean square at the points by the square of the largest value;
the coverage is the share of points within the 95 % band. Networks are trained on the same samples
for ``--minutes``.

`notched plate`: displacements, stresses and largest values of ``pinops data notched_plate``, from
50, 200 and 1000 samples, eight tenths of them for training; errors are means over 100 plates of
another seed of relative L2 errors, and over the fields. Networks are trained for ``--minutes``
each. `deeponet` and `fno` see images of the shapes on 48 x 48 points. Largest values of networks
are those of their fields.

``--keep`` is the folder where data are kept and found.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import _meshes
import _record

MAPS = ("harmonic", "mean_value", "uniform")
METHODS = {
    "mmgp": "MMGP(landmarks=8)",
    "transolver": "Transolver(64, 4, boundary=True)",
    "messages": "MeshGraphNet(32, 8, boundary=True)",
    "morphed": "MorphedGrid(FNO(24, 10), (24, 48), target='square')",
    "deeponet": "DeepONet(trunk=ModifiedMLP(100, 4), latent=100)",
    "fno": "FNO(32, 12)",
}
COUNTS = (50, 200, 1000)
ON_STARS = {
    "morphed": "MorphedGrid(FNO(24, 6), 24)",
    "transolver": "Transolver(64, 4, boundary=True)",
}
CASES = [f"star, {name}" for name in (*MAPS, *ON_STARS)]
CASES += [f"notched plate, {count}, {method}" for count in COUNTS for method in METHODS]
MARKS = {
    "star": ("<!-- stars: benchmarks/mmgp.py --markdown -->", "<!-- end of stars -->"),
    "notched plate": ("<!-- plates: benchmarks/mmgp.py --markdown -->", "<!-- end of plates -->"),
}
TARGET = {"error": 9e-3, "coverage": (0.92, 0.97), "seconds": 30.0}  # of the harmonic map


def data_of(case: str, seed: int, folder: Path, smoke: bool) -> tuple[Any, Any]:
    """The samples to fit or train on, and those to test on; of stars each seed tests on others."""
    if case.startswith("star"):
        nodes = (90, 110) if smoke else (520, 590)
        # Of 133 samples 13 are for validation, and of no use here.
        data = _meshes.data_in(folder, "stars", "poisson_stars", 20 if smoke else 173, 0, nodes)
        return data.split(test=4 if smoke else 40, seed=seed)
    nodes, count = (500, 1000), int(case.split(", ")[1])
    data = _meshes.data_in(folder, "plates", "notched_plate", max(COUNTS), 0, nodes)
    return data.take(range(count)), _meshes.data_in(
        folder, "plates_test", "notched_plate", 100, 1, nodes
    )


def star(case: str, seed: int, folder: Path, smoke: bool) -> dict[str, Any]:
    """A fit with one of the maps, and its errors."""
    import numpy as np

    import pinops as po

    train, test = data_of(case, seed, folder, smoke)
    architecture = po.operators.MMGP(by=case.split(", ")[1], restarts=1 if smoke else 3)
    began, busy = time.perf_counter(), time.process_time()
    result = po.train(train, architecture, seed=seed, progress=False)
    answers = result.answers(test)
    seconds, busy = time.perf_counter() - began, time.process_time() - busy
    squares = [
        np.mean((found.mean - sample.values) ** 2) / np.abs(sample.values).max() ** 2
        for sample, found in answers
    ]
    return {
        "rrmse": float(np.sqrt(np.mean(squares))),
        "relative_l2": {name: error["mean"] for name, error in result.error(test).items()},
        "coverage": round(result.calibration(test)["u"].coverage[0.95], 4),
        "seconds": round(seconds, 1),
        "processor_seconds": round(busy, 1),
        "modes": result.details()["modes"],
    }


def star_by_network(
    case: str, seed: int, folder: Path, minutes: float, smoke: bool
) -> dict[str, Any]:
    """A network that is trained on the same samples, and its errors."""
    import numpy as np

    train, test = data_of(case, seed, folder, smoke)
    architecture = _meshes.written(ON_STARS[case.split(", ")[1]])
    result = _meshes.trained(train, architecture, minutes, seed, smoke)
    squares = [
        np.mean((values - sample.values) ** 2) / np.abs(sample.values).max() ** 2
        for sample, values in result.predicted(test)
    ]
    return {
        "rrmse": float(np.sqrt(np.mean(squares))),
        "relative_l2": {name: error["mean"] for name, error in result.error(test).items()},
        "seconds": round(result.seconds, 1),
        "processor_seconds": round(time.process_time(), 1),
        "steps": result.steps,
        "parameters": result.num_parameters,
    }


def plate(case: str, seed: int, folder: Path, minutes: float, smoke: bool) -> dict[str, Any]:
    """A fit or a training with some samples, and its errors."""
    import numpy as np

    train, test = data_of(case, seed, folder, smoke)
    method = case.split(", ")[2]
    row: dict[str, Any] = {}
    answers: Any = []
    if method in ("deeponet", "fno"):
        rival = _meshes.OnImages(train, METHODS[method], minutes, seed, smoke)
        result, pairs = rival.result, rival.predicted(test)
    elif method == "mmgp":
        import pinops as po

        began = time.perf_counter()
        result = po.train(train, _meshes.written(METHODS[method]), seed=seed, progress=False)
        row["training_seconds"] = round(time.perf_counter() - began, 1)
        answers = result.answers(test)
        found = result.calibration(test)
        shares = [found[name].coverage[0.95] for name in train.unknowns]
        row["coverage"] = round(sum(shares) / len(shares), 4)
        pairs = [(sample, found.mean) for sample, found in answers]
    else:
        result = _meshes.trained(train, _meshes.written(METHODS[method]), minutes, seed, smoke)
        pairs = result.predicted(test)
    scalars = {}
    for number, name in enumerate(train.layout.scalars):
        field = train.unknowns.index(name.removesuffix("_max"))
        off = [abs(v[:, field].max() / s.scalars[name] - 1) for s, v in pairs]
        if method == "mmgp":
            off = [abs(found.scalars[number] / s.scalars[name] - 1) for s, found in answers]
        scalars[name] = float(np.mean(off))
    return {
        "relative_l2": _meshes.mean_errors(pairs, train.unknowns),
        "scalars": scalars,
        "training_seconds": round(result.seconds, 1),
        "steps": result.steps,
        "parameters": result.num_parameters,
    } | row


def error(row: dict[str, Any]) -> float:
    """Of stars the RRMSE, of plates the mean over the fields."""
    found = row.get("relative_l2")
    return row.get("rrmse") or (sum(found.values()) / len(found) if found else float("inf"))


def tables(cases: dict[str, Any]) -> dict[str, list[str]]:
    """The rows of both tables."""
    stars = [
        "| model | RRMSE | relative L2 | coverage | processor seconds |",
        "|---|---|---|---|---|",
    ]
    plates = [
        "| samples | model | seconds | fields | largest stress | largest uy | coverage |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, entry in cases.items():
        runs = entry["runs"]

        def cell(shown: Any, runs: Any = runs) -> str:
            return _record.each(runs, shown)

        if case.startswith("star"):
            method = case.split(", ")[1]
            model = f"`{ON_STARS.get(method, f'MMGP(by={method!r})')}`"
            cells = [
                model,
                cell(lambda run: f"{run['rrmse']:.4f}"),
                cell(lambda run: f"{run['relative_l2']['u']:.4f}"),
                cell(lambda run: f"{run['coverage']:.3f}" if "coverage" in run else "-"),
                cell(lambda run: f"{run['processor_seconds']:.0f}"),
            ]
            stars.append(f"| {' | '.join(cells)} |")
        else:
            _, count, method = case.split(", ")
            cells = [
                count,
                f"`{METHODS[method]}`" + (" on images" if method in ("deeponet", "fno") else ""),
                cell(lambda run: f"{run['training_seconds']:.0f}"),
                cell(lambda run: f"{error(run):.4f}"),
                cell(lambda run: f"{run['scalars']['stress_max']:.4f}"),
                cell(lambda run: f"{run['scalars']['uy_max']:.4f}"),
                cell(lambda run: str(run.get("coverage", "-"))),
            ]
            plates.append(f"| {' | '.join(cells)} |")
    return {"star": stars, "notched plate": plates}


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES)
    _record.add_markdown(options, _record.ROOT / "docs" / "guide" / "mmgp.md")
    options.add_argument("--minutes", type=float, default=5.0, help="of each training")
    options.add_argument("--keep", type=Path, metavar="FOLDER", help="where data are")
    asked = _record.parse(options)
    smoke = bool(asked.smoke)
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if asked.one:
            case, seed = asked.cases[0], asked.seeds[0]
            if case.split(", ")[1] in MAPS:
                row = star(case, seed, folder, smoke)
            else:
                made = star_by_network if case.startswith("star") else plate
                row = made(case, seed, folder, asked.minutes, smoke)
            print(json.dumps(row))
            return
        record = _record.Record(asked.record)
        if asked.markdown:
            for part, lines in tables(record.cases()).items():
                _record.into_page(lines, MARKS[part], asked.markdown)
            return
        for case in asked.cases:
            data_of(case, asked.seeds[0], folder, smoke)  # before the clock of a process starts
            for seed in asked.seeds:
                more = ["--keep", str(folder), "--minutes", str(asked.minutes)]
                more += ["--pin"] if asked.pin else []
                more += ["--smoke", str(asked.smoke)] if smoke else []
                row = _record.one(__file__, case, seed, *more)
                settings = {"target": TARGET} if case == "star, harmonic" else {}
                record.add(case, seed, row, **settings)
                print(case, seed, f"{error(row):.4f}", row, flush=True)


if __name__ == "__main__":
    main()
