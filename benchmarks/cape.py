"""Parameter-conditioned surrogates compared: rollouts for parameters seen and unseen in training.

    python benchmarks/cape.py [--seeds 0 1] [--cases "burgers, cape_fno" "advection, fno" ...]
    python benchmarks/cape.py --step --pin [--peers PYTHON]
    python benchmarks/cape.py --markdown

The first command makes the data once, in a neighbouring folder, trains every model in a process of
its own and updates ``benchmarks/results/cape.json``. The second measures the processor time of a
forward and backward pass of an FNO (16 modes, 64 channels, 4 layers, 32 states of 1024 grid points,
float32); ``PYTHON`` needs neuraloperator and torch. The last writes the table of its page. All
models of an equation have the same trajectories and epochs and a similar number of parameters.
"""

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import _record
from _record import Record, Row

MARKS = ("<!-- surrogates: benchmarks/cape.py --markdown -->", "<!-- end of surrogates -->")
PDES = ("burgers", "advection")
COUNT, UNSEEN = 800, 128  # eight tenths of the first for training, one for testing


def model(operator: str, *more: str) -> list[str]:
    """The options of a model."""
    return ["--operator", operator, *more]


def cape(more: str = "pooling=2") -> str:
    """A CAPE of 39 446 parameters; the other FNOs have 38 922 and 38 941."""
    return f"CAPE(FNO(16, 12), width=32, {more})"


MODELS: dict[str, list[str]] = {
    "cape_fno": model(cape()),
    "cape_fno, pooling=4": model(cape("pooling=4")),
    "fno": model("Direct(FNO(19, 12), conditional=False)"),
    "conditional_fno": model("Direct(FNO(19, 12))"),
    "cape_fno, truth only": model(cape(), "--curriculum", 'Curriculum(schedule="forced")'),
    "cape_fno, predictions only": model(cape(), "--curriculum", 'Curriculum(schedule="free")'),
    "cape_fno, spectral branch": model(cape('pooling=2, branches=("spectral",)')),
    "cape_fno, pointwise branch": model(cape('pooling=2, branches=("pointwise",)')),
    "cape_fno, depthwise branch": model(cape('pooling=2, branches=("depthwise",)')),
    "cape_fno, parameter itself": model(cape('pooling=2, parameter_map="identity"')),
    # 43 021 parameters; the others have 43 033 and 41 829
    "unet": model("Direct(UNet(4), conditional=False)"),
    "conditional_unet": model("Direct(UNet(4))"),
    "cape_unet": model("CAPE(UNet(3), width=40, pooling=2)"),
}
PARTS = ("seen", "interpolation", "extrapolation")


# Ratios of mean errors over the seeds: the two models, the parameters, and the target.
RATIOS: tuple[tuple[str, str, str, str, float | None], ...] = (
    ("CAPE-FNO / FNO, seen", "cape_fno", "fno", "seen", 0.5),
    ("CAPE-FNO / FNO, between", "cape_fno", "fno", "interpolation", 0.7),
    ("CAPE-FNO / conditional FNO, between", "cape_fno", "conditional_fno", "interpolation", 1.0),
    ("CAPE-U-Net / U-Net, seen", "cape_unet", "unet", "seen", 0.5),
    ("CAPE-U-Net / U-Net, between", "cape_unet", "unet", "interpolation", 0.7),
    (
        "CAPE-U-Net / conditional U-Net, between",
        "cape_unet",
        "conditional_unet",
        "interpolation",
        1.0,
    ),
    ("curriculum / truth only, seen", "cape_fno", "cape_fno, truth only", "seen", 1.0),
    ("curriculum / predictions only, seen", "cape_fno", "cape_fno, predictions only", "seen", None),
    ("CAPE-FNO / conditional FNO, beyond", "cape_fno", "conditional_fno", "extrapolation", None),
)
SMALL = ["frames=6"]  # the coefficients of a smoke test
SMOKE = ["--set", *SMALL, "--curriculum", "Curriculum(2, 1)"]


def data(pde: str, folder: Path, smoke: bool) -> dict[str, Path]:
    """The data files of an equation: the training parameters (with a test part), and two others."""
    files = {}
    for seed, part in enumerate(PARTS):
        files[part] = folder / f"cape_{pde}_{part}.h5"
        if files[part].exists():
            continue
        count = 80 if smoke else COUNT if part == "seen" else UNSEEN
        command = ["data", f"cape_{pde}", "--out", str(files[part]), "--count", str(count)]
        parameters = "training" if part == "seen" else part
        command += ["--seed", str(seed + 1), "--set", f"parameters={parameters}", *(SMALL * smoke)]
        subprocess.run(_record.pinops(*command), check=True, capture_output=True)
    return files


EVALUATE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import pinops as po
run = po.load(sys.argv[1])
print(json.dumps([run.metrics(sys.argv[2]), *(run.metrics(file, None) for file in sys.argv[3:])]))
"""


def trained(case: str, seed: int, files: dict[str, Path], smoke: bool) -> Row:
    """One training, and its rollout errors by part and parameter value."""
    pde, model = case.split(", ", 1)
    with tempfile.TemporaryDirectory() as folder:
        command = ["train", f"cape_{pde}", "--data", str(files["seen"]), *MODELS[model]]
        command += [*(SMOKE * smoke), "--seed", str(seed), "--json"]
        row = _record.fresh(_record.pinops(*command, "--out", f"{folder}/run"), cold=False)
        if "failed" in row:
            return row
        names = [f"{folder}/run", *(str(files[part]) for part in PARTS)]
        command = [sys.executable, "-c", EVALUATE, *names]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        errors = json.loads(done.stdout.splitlines()[-1])
        result = json.loads(Path(f"{folder}/run/run.json").read_text())["result"]
    return {
        "process_seconds": row["process_seconds"],
        **dict(zip(PARTS, errors, strict=True)),
        "parameters": result["parameters"],
    }


def nrmse(run: Row, part: str) -> float:
    """The geometric mean over the parameter values."""
    values = (found["nrmse"] for label, found in run[part].items() if label != "all")
    return statistics.geometric_mean(values)


def mean(runs: Iterable[Row], part: str) -> float:
    """The mean over the seeds."""
    return statistics.mean(nrmse(run, part) for run in runs)


def table(content: Row) -> list[str]:
    """The table: all models, the ratios and the cost of a pass."""
    cases = content["cases"]
    lines = [
        "| equation | model | parameters | seconds | seen | between | beyond |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, entry in cases.items():
        runs = entry["runs"]
        cells = [*case.split(", ", 1), str(runs[0]["parameters"]), _record.seconds(entry)]
        for part in PARTS:
            cells.append(_record.each(runs, lambda run, part=part: f"{nrmse(run, part):.3g}"))
        lines.append(f"| {' | '.join(cells)} |")
    pdes = list(dict.fromkeys(case.split(", ")[0] for case in cases))
    lines += ["", f"| ratio of means over the seeds | target | {' | '.join(pdes)} |"]
    lines += ["|---|---|" + "---|" * len(pdes)]
    for label, one, other, part, target in RATIOS:
        cells = [label, "-" if target is None else f"at most {target}"]
        for pde in pdes:
            if f"{pde}, {one}" not in cases or f"{pde}, {other}" not in cases:
                cells.append("-")
                continue
            above, below = (mean(cases[f"{pde}, {name}"]["runs"], part) for name in (one, other))
            ratio = above / below
            shown = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.2g}"
            cells.append(shown + ("" if target is None or ratio <= target else ", **missed**"))
        lines.append(f"| {' | '.join(cells)} |")
    jax = next(iter(cases.values()))["runs"][0]["versions"]["jax"]
    lines += ["", f"{_record.processors(cases)}, jax {jax}; trainings beside other work."]
    if "step" in content:
        each = content["step"]["ms"].items()
        costs = ", ".join(f"{name} {value:.0f} ms" for name, value in each)
        about = "Forward and backward pass of an FNO (16 modes, 64 channels, 4 layers, 32 states of"
        lines += ["", f"{about} 1024 grid points): {costs}."]
    return lines


def pass_cost(rounds: int, repeats: int, cells: int) -> dict[str, float]:
    """Median processor time in ms: all states at once, and four at a time as in training."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from pinops.operators import FNO
    from pinops.training import mean_of_chunks

    network = FNO(64, 16).build(1, 1, (cells,), key=jax.random.key(0))
    states = jax.random.normal(jax.random.key(1), (32, cells, 1))
    gradient = eqx.filter_value_and_grad(
        lambda network, states: jnp.mean(jnp.square(network(states)))
    )
    whole = eqx.filter_jit(gradient)
    chunks = eqx.filter_jit(lambda n, s: mean_of_chunks(lambda x: gradient(n, x[0]), [s], 4))
    ways = {
        "pinops": lambda: whole(network, states),
        "pinops, four states at a time": lambda: chunks(network, states),
    }
    times = _record.in_turns(ways, rounds, repeats, time.process_time)
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    cases = [", ".join(pair) for pair in itertools.product(PDES, MODELS)]
    options = _record.parser(__file__, __doc__, cases, seeds=(0, 1))
    folder = Path(__file__).parent / "data"
    options.add_argument("--data", type=Path, default=folder, help="a folder for the trajectories")
    options.add_argument("--step", action="store_true")
    options.add_argument("--peers", metavar="PYTHON", help="with neuraloperator and torch")
    _record.add_markdown(options)
    arguments = _record.parse(options)
    results, smoke = Record(arguments.record), bool(arguments.smoke)
    if arguments.markdown:
        return _record.into_page(table(results.read()), MARKS, arguments.markdown)
    if arguments.step:
        sizes = (1, 1, 64) if smoke else (9, 3, 1024)
        found = pass_cost(*sizes)
        if arguments.peers:
            peer = _record.peer(arguments.peers, "peer_fno.py")
            name = f"neuraloperator {peer['version']}"
            found |= {f"{name}, {how}": cost for how, cost in peer["ms"].items()}
            found |= {f"{name}, again": cost for name, cost in pass_cost(*sizes).items()}
        print(", ".join(f"{name} {value:.0f} ms" for name, value in found.items()))
        return results.section("step", ms=found)
    arguments.data.mkdir(exist_ok=True)
    for seed, case in itertools.product(arguments.seeds, arguments.cases):
        run = trained(case, seed, data(case.split(", ")[0], arguments.data, smoke), smoke)
        results.add(case, seed, run)
        shown = run.get("failed") or "  ".join(f"{part} {nrmse(run, part):.4f}" for part in PARTS)
        print(f"{case:38s} seed {seed} {run['process_seconds']:6.0f} s  {shown}", flush=True)
    return None


if __name__ == "__main__":
    main()
