"""Surrogates that see the parameters of an equation, side by side: rollouts of seen and unseen parameters.

    python benchmarks/cape.py [--seeds 0 1] [--pdes burgers advection] [--models cape_fno fno ...]
    taskset -c 0 python benchmarks/cape.py --step [--peers PYTHON]
    python benchmarks/cape.py --markdown

The first makes the data in a folder beside (once), trains every model in a process of its own and updates
``benchmarks/results/cape.json``; the second measures a forward and backward pass of an FNO (16 modes, 64 channels, 4 layers, 32
states of 1024 places, float32) in processor time, ``PYTHON`` having neuraloperator and torch; the last writes the table of the
README. Models of one equation are trained on the same trajectories, with about as many parameters, for the same epochs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from catalogue import into_readme, machine, versions

RESULTS = Path(__file__).parent / "results" / "cape.json"
MARKS = ("<!-- surrogates: benchmarks/cape.py --markdown -->", "<!-- end of surrogates -->")
COUNT, UNSEEN = 800, 128  # eight tenths of the first for training, one for testing
CAPE = [
    "--set-operator",
    "width=16",
    "embedding=32",
    "pooling=2",
]  # 39 446 numbers, and the others 38 922 and 38 941
PLAIN = ["--set-operator", "width=19"]
MODELS: dict[str, list[str]] = {
    "cape_fno": ["--operator", "cape_fno", *CAPE],
    "cape_fno, pooling=4": ["--operator", "cape_fno", *CAPE[:-1]],
    "fno": ["--operator", "fno", *PLAIN],
    "conditional_fno": ["--operator", "conditional_fno", *PLAIN],
    "cape_fno, truth only": [
        "--operator",
        "cape_fno",
        *CAPE,
        "--set-curriculum",
        "schedule=forced",
    ],
    "cape_fno, predictions only": [
        "--operator",
        "cape_fno",
        *CAPE,
        "--set-curriculum",
        "schedule=free",
    ],
    "cape_fno, spectral branch": ["--operator", "cape_fno", *CAPE, "branches=spectral"],
    "cape_fno, pointwise branch": ["--operator", "cape_fno", *CAPE, "branches=pointwise"],
    "cape_fno, depthwise branch": ["--operator", "cape_fno", *CAPE, "branches=depthwise"],
    "cape_fno, parameter itself": [
        "--operator",
        "cape_fno",
        *CAPE,
        "--set-functions",
        "parameter_map=identity",
    ],
    "unet": [
        "--operator",
        "unet",
        "--set-operator",
        "width=4",
    ],  # 43 021 numbers, and the others 43 033 and 41 829
    "conditional_unet": ["--operator", "conditional_unet", "--set-operator", "width=4"],
    "cape_unet": [
        "--operator",
        "cape_unet",
        "--set-operator",
        "width=3",
        "embedding=40",
        "pooling=2",
    ],
}
PARTS = ("seen", "interpolation", "extrapolation")


def data(pde: str, folder: Path) -> dict[str, Path]:
    """The files of an equation: parameters of the training (also its test part), and two sets of others."""
    files = {}
    for part, parameters, count in (
        ("seen", "training", COUNT),
        *((part, part, UNSEEN) for part in PARTS[1:]),
    ):
        files[part] = folder / f"cape_{pde}_{part}.h5"
        if not files[part].exists():
            setting = [
                "--set",
                f"parameters={parameters}",
                "--count",
                str(count),
                "--seed",
                str(len(files)),
            ]
            command = [
                sys.executable,
                "-m",
                "pinops",
                "data",
                f"cape_{pde}",
                "--out",
                str(files[part]),
                *setting,
            ]
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
    return files


def trained(pde: str, model: str, seed: int, files: dict[str, Path]) -> dict[str, Any]:
    """One training and the errors of its rollouts, by part and value of the parameter."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "pinops",
            "train",
            f"cape_{pde}",
            "--data",
            str(files["seen"]),
            *MODELS[model],
        ]
        began = time.perf_counter()
        subprocess.run(
            [*command, "--seed", str(seed), "--out", f"{folder}/run", "--json"],
            check=True,
            capture_output=True,
        )
        seconds = time.perf_counter() - began
        out: dict[str, Any] = {"seed": seed, "process_seconds": seconds}
        evaluate = "import json, sys, warnings; warnings.simplefilter('ignore'); import pinops as po; run = po.load(sys.argv[1]); "
        evaluate += "print(json.dumps([run.errors(sys.argv[2]), *(run.errors(f, None) for f in sys.argv[3:])]))"
        names = [f"{folder}/run", *(str(files[part]) for part in PARTS)]
        found = subprocess.run(
            [sys.executable, "-c", evaluate, *names], check=True, capture_output=True, text=True
        ).stdout
        out |= dict(zip(PARTS, json.loads(found.splitlines()[-1]), strict=True))
        out["parameters"] = json.loads(Path(f"{folder}/run/run.json").read_text())["result"][
            "parameters"
        ]
        return out


def nrmse(run: dict[str, Any], part: str) -> float:
    """The geometric mean over the values of the parameter."""
    return statistics.geometric_mean(
        found["nrmse"] for label, found in run[part].items() if label != "all"
    )


def markdown(results: dict[str, Any]) -> list[str]:
    rows = [
        "| equation | model | parameters | seconds | seen | between | beyond |",
        "|---|---|---|---|---|---|---|",
    ]
    for pde in results["pdes"]:
        for model, runs in results["pdes"][pde].items():
            each = lambda part, runs=runs: ", ".join(f"{nrmse(run, part):.3g}" for run in runs)
            seconds = ", ".join(f"{run['process_seconds']:.0f}" for run in runs)
            rows.append(
                f"| {pde} | {model} | {runs[0]['parameters']} | {seconds} | {' | '.join(map(each, PARTS))} |"
            )
    ratios = [
        "",
        "| ratio of means over the seeds | wanted | " + " | ".join(results["pdes"]) + " |",
        "|---|---|" + "---|" * len(results["pdes"]),
    ]
    for label, one, other, part, wanted in (
        ("CAPE-FNO / FNO, seen", "cape_fno", "fno", "seen", 0.5),
        ("CAPE-FNO / FNO, between", "cape_fno", "fno", "interpolation", 0.7),
        (
            "CAPE-FNO / conditional FNO, between",
            "cape_fno",
            "conditional_fno",
            "interpolation",
            1.0,
        ),
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
        (
            "curriculum / predictions only, seen",
            "cape_fno",
            "cape_fno, predictions only",
            "seen",
            None,
        ),
        (
            "CAPE-FNO / conditional FNO, beyond",
            "cape_fno",
            "conditional_fno",
            "extrapolation",
            None,
        ),
    ):
        cells = []
        for models in results["pdes"].values():
            if one not in models or other not in models:
                cells.append("-")
                continue
            mean = lambda name, models=models, part=part: statistics.mean(
                nrmse(run, part) for run in models[name]
            )
            ratio = mean(one) / mean(other)
            shown = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.2g}"
            cells.append(shown + ("" if wanted is None or ratio <= wanted else ", **missed**"))
        ratios.append(
            f"| {label} | {'-' if wanted is None else f'at most {wanted}'} | {' | '.join(cells)} |"
        )
    processor = f"{results['machine']['processor']}, jax {results['versions']['jax']}; trainings beside other work."
    lines = [*rows, *ratios, "", processor]
    if "step" in results:
        costs = ", ".join(f"{name} {value:.0f} ms" for name, value in results["step"]["ms"].items())
        lines += [
            "",
            f"Forward and backward pass of an FNO (16 modes, 64 channels, 4 layers, 32 states of 1024 places): {costs}.",
        ]
    return lines


def pass_cost(rounds: int = 9, repeats: int = 3) -> dict[str, float]:
    """Median milliseconds of processor time: of all states at once, and of four at a time, as trainings do it."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from pinops.operators import FNO
    from pinops.training import mean_of_chunks

    network = FNO(64, 16).build(1, 1, (1024,), key=jax.random.key(0))
    states = jax.random.normal(jax.random.key(1), (32, 1024, 1))
    gradient = eqx.filter_value_and_grad(
        lambda network, states: jnp.mean(jnp.square(network(states)))
    )
    ways = {
        "pinops": gradient,
        "pinops, four states at a time": lambda n, s: mean_of_chunks(
            lambda x: gradient(n, x[0]), [s], 4
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    compiled = {name: eqx.filter_jit(way) for name, way in ways.items()}
    for _ in range(rounds + 1):
        for name, way in compiled.items():
            began = time.process_time()
            for _ in range(repeats):
                jax.block_until_ready(way(network, states))
            times[name].append(1e3 * (time.process_time() - began) / repeats)
    return {name: statistics.median(each[1:]) for name, each in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument(
        "--pdes", nargs="+", default=["burgers", "advection"], choices=["burgers", "advection"]
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(__file__).parent / "data",
        help="a folder for the trajectories",
    )
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--peers", metavar="PYTHON", help="with neuraloperator and torch")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"pdes": {}}
    if arguments.markdown:
        into_readme(markdown(results), MARKS)
        return
    if arguments.step:
        found = pass_cost()
        if arguments.peers:
            script = Path(__file__).with_name("peer_fno.py")
            done = subprocess.run(
                [os.path.abspath(arguments.peers), str(script)],
                capture_output=True,
                text=True,
                check=True,
            )
            peer = json.loads(done.stdout.splitlines()[-1])
            found |= {
                f"neuraloperator {peer['version']}, {how}": cost for how, cost in peer["ms"].items()
            }
            found |= {f"{name}, again": cost for name, cost in pass_cost().items()}
        print(", ".join(f"{name} {value:.0f} ms" for name, value in found.items()))
        results["step"] = {"ms": found, "machine": machine(), "versions": versions()}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        return
    arguments.data.mkdir(exist_ok=True)
    for pde in arguments.pdes:
        files = data(pde, arguments.data)
        for seed in arguments.seeds:
            for model in arguments.models:
                run = trained(pde, model, seed, files)
                print(
                    f"{pde:10s} {model:28s} seed {seed} {run['process_seconds']:6.0f} s  ", end=""
                )
                print("  ".join(f"{part} {nrmse(run, part):.4f}" for part in PARTS), flush=True)
                runs = results["pdes"].setdefault(pde, {}).setdefault(model, [])
                runs[:] = sorted(
                    [*(r for r in runs if r["seed"] != seed), run], key=lambda r: r["seed"]
                )
                results |= {"versions": versions(), "machine": machine()}
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
