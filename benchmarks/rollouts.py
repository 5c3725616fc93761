"""Rollouts of Fourier neural operators trained on trajectories of Burgers' equation.

    python benchmarks/rollouts.py [--seeds 0] [--cases neuraloperator pdebench] [--peers PYTHON]

``neuraloperator``: the arrays of `neuralop.data.datasets.load_mini_burgers_1dtime` as ``.npz``
(``u_train``, ``u_test``; viscosity 0.01, 16 points, 17 snapshots, 800 and 400 trajectories).
``pdebench``: exact solutions (Cole and Hopf; `cape_burgers`) in a file of PDEBench's layout, 500
trajectories of which 100 are for testing, 64 points, 21 snapshots.

The error is the mean over trajectories of the relative L2 error of a whole rollout without its
first snapshot. The time is that of the processor for the whole process, imports and compilation
included. We train single steps, of which the network gives the change. With ``--peers`` an FNO of
neuraloperator of the same width, modes and depth has as much time on the same trajectories
(`peer_rollouts.py`); ``PYTHON`` needs neuraloperator and torch. Its recipes are "one step", which
learns single steps from true snapshots, "change", of which the network gives the change, as ours
does, and "rollout", which learns whole rollouts. Ours keeps a tenth of the trajectories for
validation; the peer trains on all.
"""

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import _record

SHARED = Path(__file__).parents[2] / "shared/refdata/cape/neuralop_burgers_nu0.01_16.npz"
WIDTH, DEPTH = 32, 4
MODES = {"neuraloperator": 8, "pdebench": 16}
EPOCHS = {"neuraloperator": 60, "pdebench": 30}
RECIPES = ("one step", "change", "rollout")
PAGE = Path(__file__).parents[1] / "docs/guide/steppers.md"
MARKS = ("<!-- rollouts: benchmarks/rollouts.py --markdown -->", "<!-- end of rollouts -->")
NU, POINTS, SNAPSHOTS, COUNT, TEST = 0.04, 64, 21, 500, 100
TARGET = 0.5  # of the error of the best recipe of the peer


def solutions(path: Path, smoke: bool) -> None:
    """Write exact solutions in the layout of PDEBench, which has one time more than snapshots."""
    from dataclasses import replace

    import h5py
    import jax
    import numpy as np

    import pinops as po
    from pinops.functions import RandomWaves

    snapshots, count = (5, 30) if smoke else (SNAPSHOTS, COUNT)
    family: Any = po.load_problem("cape_burgers", viscosity=NU, cells=POINTS, frames=snapshots)
    keys = jax.random.split(jax.random.key(0), count)
    starts = np.asarray(jax.vmap(RandomWaves().sample)(keys))
    u = np.stack([replace(family, initial=s).reference().values["u"].T for s in starts])
    with h5py.File(path, "w") as file:
        file["tensor"] = u.astype(np.float32)
        file["x-coordinate"] = ((np.arange(POINTS) + 0.5) / POINTS).astype(np.float32)
        step = 2 / (snapshots - 1)
        file["t-coordinate"] = (step * np.arange(snapshots + 1)).astype(np.float32)
        file.attrs["Nu"] = NU


def datasets(case: str, path: Path, smoke: bool) -> tuple[Any, Any]:
    """The trajectories for training, and those for testing."""
    import numpy as np

    import pinops as po

    if case == "pdebench":
        return po.Dataset.open(path).split(test=10 if smoke else TEST)

    def dataset(u: Any) -> Any:
        axes = {"t": np.linspace(0, 1, u.shape[1]), "x": np.arange(u.shape[2]) / u.shape[2]}
        return po.Dataset.from_arrays(outputs={"u": u}, coordinates=axes, time="t")

    if smoke:
        waves = np.random.default_rng(0).standard_normal((30, 5, 16))
        return dataset(waves[:20]), dataset(waves[20:])
    given = np.load(path)
    return dataset(given["u_train"]), dataset(given["u_test"])


def row_of(case: str, seed: int, path: Path, smoke: bool) -> dict[str, Any]:
    """One training and the errors of its rollouts."""
    import pinops as po

    train, test = datasets(case, path, smoke)
    fno = po.operators.FNO(4, 2, 1) if smoke else po.operators.FNO(WIDTH, MODES[case], DEPTH)
    result = po.train(
        train,
        po.operators.Direct(fno, change=True),
        curriculum=po.Curriculum(2 if smoke else EPOCHS[case], schedule="forced"),
        functions=po.Functions(batch=10 if smoke else 20),
        seed=seed,
        progress=False,
    )
    error = result.error(test)
    return {
        "relative_l2": {"u": error["u"]["mean"]},
        "errors": error,
        "lead_times": result.lead_times(test)["u"],
        "cpu_seconds": round(time.process_time(), 1),
        "parameters": result.num_parameters,
        "steps": result.steps,
    }


def peers(python: str, case: str, seed: int, path: Path, seconds: float) -> dict[str, Any]:
    """What neuraloperator reaches in as much processor time, by recipe."""
    import numpy as np

    found = {}
    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "trajectories.npz"
        parts = zip(("train", "test"), datasets(case, path, smoke=False), strict=True)
        rows = {name: part.rows(range(part.count))["values/u"] for name, part in parts}
        np.savez(arrays, **rows)
        script = str(Path(__file__).with_name("peer_rollouts.py"))
        for recipe in RECIPES:
            sizes = (WIDTH, MODES[case], DEPTH, seed, seconds)
            command = [os.path.abspath(python), script, str(arrays), recipe, *map(str, sizes)]
            found[recipe] = _record.fresh(command)
    return found


def table(cases: dict[str, Any]) -> list[str]:
    """The rows of the page."""
    peer = " | ".join(f"neuraloperator, {recipe}" for recipe in RECIPES)
    lines = [f"| trajectories | pinops | CPU s | {peer} | ratio |"]
    lines += ["|---" * (4 + len(RECIPES)) + "|"]

    def other(run: dict[str, Any], recipe: str) -> str:
        found = run.get("peers", {}).get(recipe, {})
        return f"{found['relative_l2']['u']:.2e}" if "relative_l2" in found else "-"

    def ratio(run: dict[str, Any]) -> str:
        value = ratio_of(run)
        if value is None:
            return "-"
        return f"{value:.2f}" + ("" if value <= TARGET else ", **missed**")

    for name, entry in cases.items():
        runs = entry["runs"]
        cells = [
            _record.each(runs, lambda run: f"{run['relative_l2']['u']:.2e}"),
            _record.each(runs, lambda run: f"{run['cpu_seconds']:.0f}"),
            *(_record.each(runs, lambda run, r=r: other(run, r)) for r in RECIPES),
            _record.each(runs, ratio),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def ratio_of(run: dict[str, Any]) -> float | None:
    """Our error over that of the best recipe of the peer; None without peers."""
    errors = [p["relative_l2"]["u"] for p in run.get("peers", {}).values() if "relative_l2" in p]
    return run["relative_l2"]["u"] / min(errors) if errors else None


def main() -> None:
    options = _record.parser(__file__, __doc__, EPOCHS)
    options.add_argument("--data", type=Path, default=SHARED, metavar="FILE", help="the .npz file")
    options.add_argument("--peers", metavar="PYTHON", help="with neuraloperator and torch")
    _record.add_markdown(options, PAGE)
    asked = _record.parse(options)
    smoke = bool(asked.smoke)
    if asked.one:
        print(json.dumps(row_of(asked.cases[0], asked.seeds[0], asked.data, smoke)))
        return
    record = _record.Record(asked.record)
    if asked.markdown:
        _record.into_page(table(record.cases()), MARKS, asked.markdown)
        return
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / f"1D_Burgers_Sols_Nu{NU}.hdf5"
        if "pdebench" in asked.cases:
            solutions(made, smoke)
        for case in asked.cases:
            path = made if case == "pdebench" else asked.data
            for seed in asked.seeds:
                more = ["--data", str(path), *(["--pin"] if asked.pin else [])]
                more += ["--smoke", str(asked.smoke)] if smoke else []
                row = _record.one(__file__, case, seed, *more)
                if asked.peers:
                    row["peers"] = peers(asked.peers, case, seed, path, row["cpu_seconds"])
                record.add(case, seed, row, target=TARGET)
                print(case, seed, f"{row['relative_l2']['u']:.3e}", ratio_of(row), flush=True)


if __name__ == "__main__":
    main()
