"""Error after a fixed time against the target, in fresh processes, compilation included.

    python benchmarks/time_to_accuracy.py [--seeds 0 1 2] [--cases burgers "helmholtz a1=10" ...]
    python benchmarks/time_to_accuracy.py --peers PYTHON [--peer-seconds 180] [--seeds 0]
    python benchmarks/time_to_accuracy.py --markdown

The first command updates ``benchmarks/results/time_to_accuracy.json`` with the final iterates (the
median over the seeds counts) and the error over time of every run. The second solves Burgers'
equation in a Python with DeepXDE, PINA or jinns. The last writes the table of its page and draws
``benchmarks/results/time_to_accuracy.png``.
"""

import json
import os
import shlex
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import _record
from _record import Record, Row, measure
from peer_burgers import PEERS

MARKS = (
    "<!-- time to accuracy: benchmarks/time_to_accuracy.py --markdown -->",
    "<!-- end of time to accuracy -->",
)
# In a smoke test only the steps are limited.
SMOKE = ["--steps", "2", "--points", "Collocation(interior=64)"]
FOUR = ["--network", "MLP(width=30, depth=4)"]


def random_features(features: int, scale: float, steps: int = 2) -> list[str]:
    """Gauss-Newton on the last layer: the least-squares solution of a linear problem.

    It has two points per feature.
    """
    network = f"RandomFeatures({features}, scale={scale}, activation=sin)"
    points = f"Collocation(interior={2 * features})"
    options = ["--network", network, "--points", points]
    return [*options, "--optimizer", "TruncatedGaussNewton()", "--steps", str(steps)]


def many_dimensions(batch: int, directions: int, steps: int, points: str) -> list[str]:
    """Adam on batches, with the Laplacian along random directions.

    The network is symmetric under permutations of the coordinates.
    """
    laplacian = f'laplacian=STDE({directions}, "dense")'
    collocation = f"Collocation({points}, batch={batch}, {laplacian})"
    options = ["--dtype", "float32", "--network", "Symmetric()", "--points", collocation]
    return [*options, "--optimizer", f"Adam(0.01, {steps})", "--steps", str(steps)]


# A spectral expansion: 5 for the degree in time, 127 for the wave numbers.
CHAOTIC = ["--windows", "TimeWindows(200, nodes=257)", "--network", "Spectral((5, 127, 1))"]
CHAOTIC += ["--points", "Collocation(interior=3100)"]
CHAOTIC += ["--optimizer", "GaussNewton(damping=1e-14)", "--steps", "4"]
# Target relative L2 error (worst unknown), seconds, and options of the case besides the minutes.
CASES: dict[str, tuple[float, float, list[str]]] = {
    "burgers": (3e-6, 90, []),
    "allen_cahn": (2e-5, 300, FOUR),
    "kdv": (3e-4, 300, []),
    "helmholtz": (1e-7, 120, random_features(1200, 15)),
    "helmholtz a1=10 a2=10": (1e-3, 300, random_features(3000, 40)),
    "wave": (1e-5, 300, random_features(1200, 14)),
    "klein_gordon": (1e-4, 300, []),
    "flow_mixing": (3e-4, 300, []),
    "nonlinear_diffusion": (1e-3, 300, []),
    "poisson": (1e-7, 60, random_features(800, 4)),
    "poisson_nd": (1e-5, 120, []),
    "taylor_green": (1e-5, 300, []),
    "lid_driven_cavity": (1e-3, 300, FOUR),
    "lid_driven_cavity reynolds=1000": (2e-2, 900, FOUR),
    "kuramoto_sivashinsky": (1e-2, 1800, CHAOTIC),
    "poisson_nd dimension=100": (
        1e-2,
        600,
        many_dimensions(128, 2, 20_000, "boundary=4096, initial=2048"),
    ),
    "poisson_nd dimension=10000": (
        1e-2,
        600,
        many_dimensions(16, 1, 3_000, "interior=1024, boundary=1024, initial=2048"),
    ),
}


def record(
    results: Record,
    name: str,
    case: str,
    limits: tuple[float, float, list[str]],
    seeds: Iterable[int],
    *,
    overhead: float,
    limit: float = float("inf"),
    smoke: bool = False,
) -> None:
    """Run and record all seeds of a case; ``limit`` is a shorter time limit in seconds."""
    target, seconds, options = limits
    minutes = ["--minutes", str((min(seconds, limit) - overhead) / 60)]
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "run"
            more = [*options, *SMOKE] if smoke else [*options, *minutes]
            run = _record.solved(case, seed, more, out, cold=not smoke)
            if "relative_l2" in run:
                run["curve"] = curve(out)
        results.add(name, seed, run, target=target, seconds=seconds, options=options)
        error, wall = measure(run), run["process_seconds"]
        print(f"{name:32s} seed {seed}  {error:.2e}  {wall:6.1f} s", flush=True)
    entry = results.cases()[name]
    missed = "" if _record.met(entry) else "  MISSED"
    print(f"{name:32s} median {_record.median(entry):.2e}, target {target:.0e}{missed}", flush=True)


def curve(folder: Path) -> list[list[float]]:
    """Seconds and worst error, in about a hundred rows."""
    import numpy as np

    from pinops.data import read_arrays

    arrays, _ = read_arrays(folder / "history.h5", "history")
    errors = np.stack([array for name, array in arrays.items() if name.startswith("errors/")])
    rows = np.unique(np.linspace(0, errors.shape[1] - 1, 100).astype(int))
    return [
        [round(float(arrays["seconds"][k]), 2), float(f"{errors[:, k].max():.3e}")] for k in rows
    ]


def peers(python: str, seeds: list[int], seconds: float) -> Row:
    """Error over time for Burgers' equation, by library installed there and by seed."""
    import numpy as np

    import pinops as po

    reference = po.load_problem("burgers").reference()
    assert reference is not None
    grids = np.broadcast_arrays(reference.coordinates["x"], reference.coordinates["t"])
    script, found, installed = Path(__file__).with_name("peer_burgers.py"), {}, {}
    with tempfile.TemporaryDirectory() as folder:
        values = np.broadcast_to(reference.values["u"], grids[0].shape).ravel()
        np.savez(
            f"{folder}/reference.npz",
            points=np.stack([grid.ravel() for grid in grids], -1),
            u=values,
        )
        for label, peer in PEERS.items():
            name = peer.__name__
            ask = "import importlib.metadata as m; "
            ask += f"print(m.version(m.packages_distributions()[{name!r}][0]))"
            answer = subprocess.run([python, "-c", ask], capture_output=True, text=True)
            if answer.returncode:
                print(f"{label}: {name} is not installed there", flush=True)
                continue
            found[label], installed[label] = [], answer.stdout.strip()
            for seed in seeds:
                command = [
                    python,
                    str(script),
                    name,
                    f"{folder}/reference.npz",
                    str(seconds),
                    str(seed),
                ]
                done = subprocess.run(
                    command, capture_output=True, text=True, cwd=folder, check=True
                )
                curve = json.loads(done.stdout.splitlines()[-1])
                found[label].append(curve)
                print(
                    f"{label}: burgers seed {seed}  {curve[-1][1]:.2e}  {curve[-1][0]:.1f} s",
                    flush=True,
                )
    return {"burgers": found, "installed": installed}


def table(cases: dict[str, Row], present: dict[str, list[str]]) -> list[str]:
    """The table, and the settings of each case: those of ``present`` where the case is still run,
    since recorded ones may be in an older notation.
    """
    lines = [
        "| case | relative L2 error (worst unknown), each seed | seconds, each seed | cores | "
        "target |",
        "|---|---|---|---|---|",
    ]
    settings = []
    for case, entry in cases.items():
        good = [run for run in entry["runs"] if "relative_l2" in run]
        errors = _record.each(good, lambda run: f"{measure(run):.1e}")
        errors += " of the coefficient" if any("coefficient_error" in row for row in good) else ""
        cores = entry["runs"][0]["machine"]["cores"]
        target = _record.target(entry, _record.met(entry))
        seconds = _record.seconds(entry)
        lines.append(f"| {case} | {errors} | {seconds} | {cores} | {target} |")
        if options := present.get(case, entry["options"]):
            settings.append(f"- {case}: `{shlex.join(options)}`")
    lines += ["", "Cases that have other settings than the default:", "", *settings]
    return [*lines, "", f"Processor: {_record.processors(cases)}."]


def plot(whole: Row, path: Path) -> None:
    """Plot the error over time of every run and the target, for each case."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    recorded = whole["cases"]
    columns = 3
    figure, axes = plt.subplots(
        -(-len(recorded) // columns),
        columns,
        figsize=(11, 2.6 * -(-len(recorded) // columns)),
        squeeze=False,
    )
    for axis in axes.ravel()[len(recorded) :]:
        axis.set_axis_off()
    for axis, (case, entry) in zip(axes.ravel(), recorded.items(), strict=False):
        for result in entry["runs"]:
            points = result.get("curve", [[result["process_seconds"], measure(result)]])
            axis.semilogy(
                *zip(*points, strict=True),
                color="C0",
                linewidth=1,
                marker="." if len(points) < 5 else "",
            )
        for number, (peer, curves) in enumerate(whole.get("peers", {}).get(case, {}).items()):
            for curve in curves:
                axis.semilogy(
                    *zip(*curve, strict=True), color=f"C{number + 1}", linewidth=1, label=peer
                )
            axis.legend(fontsize=6)
        axis.plot(entry["seconds"], entry["target"], "k+", markersize=9)
        axis.set_title(case, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("relative L2 error", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("seconds", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=130)


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES)
    about = "seconds for the start of Python, the reference, the figure and the files; what is left"
    about += " is for training (default 13; 25 where all shares one core)"
    options.add_argument("--overhead", type=float, default=13.0, help=about)
    options.add_argument("--peers", metavar="PYTHON", help="with DeepXDE, PINA or jinns")
    options.add_argument("--peer-seconds", type=float, default=180.0)
    _record.add_markdown(options)
    arguments = _record.parse(options)
    results = Record(arguments.record)
    if arguments.markdown:
        _record.into_page(
            table(results.cases(), {name: case[2] for name, case in CASES.items()}),
            MARKS,
            arguments.markdown,
        )
        if arguments.markdown == _record.PAGE:
            plot(results.read(), results.path.with_suffix(".png"))
    elif arguments.peers:
        python = os.path.abspath(arguments.peers)
        results.section("peers", **peers(python, arguments.seeds, arguments.peer_seconds))
    else:
        for case in arguments.cases:
            more = {"overhead": arguments.overhead, "smoke": bool(arguments.smoke)}
            record(results, case, case, CASES[case], arguments.seeds, **more)


if __name__ == "__main__":
    main()
