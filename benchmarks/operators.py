"""Operators against what is published for them: error over unseen problems after a fixed time, and the cost of a step.

    python benchmarks/operators.py [--seeds 0 1 2] [--cases antiderivative ...] [--seconds 200] [--keep FOLDER]
    python benchmarks/operators.py --step [--peers PYTHON]
    python benchmarks/operators.py --markdown

The first updates ``benchmarks/results/operators.json``: each run is ``pinops train`` in a fresh process, on the equations alone
or on data, and its error is the mean over 100 unseen members of the family of the relative L2 error against our references;
``--seconds`` limits each run to less than the case allows; ``--keep`` keeps the runs and their data. ``--step`` measures one step
of Adam of a physics-informed DeepONet (128 functions x 256 points, four layers of 100, float32; pin it to one core) against the
same arithmetic written by hand, in turns, in one process; with a Python that has DeepXDE and torch then also its mode for aligned
points. The last writes the table of the README.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from catalogue import into_readme, machine, versions

RESULTS = Path(__file__).parent / "results" / "operators.json"
START, END = "<!-- operators: benchmarks/operators.py --markdown -->", "<!-- end of operators -->"


def options(
    width: int,
    depth: int,
    latent: int,
    points: int,
    batch: int,
    rate: float,
    steps: int,
    *more: str,
) -> list[str]:
    """Settings of a case; ``steps`` fit into its time, so that the learning rate falls to zero in it."""
    operator = ["--set-operator", f"width={width}", f"depth={depth}", f"latent={latent}"]
    functions = ["--set-functions", f"points={points}", f"batch={batch}", *more]
    optimizer = [
        "--optimizer",
        "soap",
        "--set-optimizer",
        f"learning_rate={rate}",
        f"decay_steps={steps}",
    ]
    return [*operator, *functions, *optimizer, "--steps", str(steps)]


CONVOLUTIONAL = [
    "--set-operator",
    "width=100",
    "depth=4",
    "latent=100",
    "--set-functions",
    "batch=64",
    "data_points=256",
]
CONVOLUTIONAL += [
    "--optimizer",
    "soap",
    "--set-optimizer",
    "learning_rate=0.003",
    "decay_steps=4000",
    "--steps",
    "4000",
]
# A small DeepONet by a method of the second order, in sample space: 32 problems at 32 points, other ones in every step.
NEWTON = [
    "--set-operator",
    "width=20",
    "depth=2",
    "latent=20",
    "--set-functions",
    "points=32",
    "batch=32",
]
NEWTON += ["--optimizer", "gauss_newton", "--set-optimizer", "damping=0.01"]
POD = [
    "--operator",
    "pod_deeponet",
    "--set-operator",
    "degrees=24,1,24",
    "--set-functions",
    "batch=64",
]  # 32 modes
POD += [
    "--optimizer",
    "soap",
    "--set-optimizer",
    "learning_rate=0.003",
    "decay_steps=2000",
    "--steps",
    "2000",
]
# The coefficients of the family that is trained on, and of the one whose members are tested, where these differ.
MEMBERS = {"plate_family": (["--set", "designs=table"], ["--set", "designs=unseen"])}
DATA = {
    "fisher_family": 2400,
    "darcy_family": 1920,
    "plate_family": 240,
    "burgers_family, on data": 512,
    "burgers_family, POD, on data": 512,
}  # members of a data set; the time to make it is recorded and does not count
# Mean relative L2 error, seconds, what is published (Wang, Wang & Perdikaris 2021, from their notebooks), and the options. The
# family's name may have a remark behind a comma.
CASES: dict[str, tuple[float, float, str, list[str]]] = {
    "antiderivative": (2.5e-3, 300, "2.5e-3", options(50, 4, 50, 128, 64, 5e-3, 16_000)),
    "antiderivative, small": (2.5e-3, 300, "2.5e-3", options(20, 2, 20, 128, 64, 5e-3, 20_000)),
    "antiderivative, small, 360 steps": (
        2.5e-3,
        300,
        "2.5e-3",
        options(20, 2, 20, 128, 64, 5e-3, 360),
    ),
    "antiderivative, small, Gauss-Newton": (2.5e-3, 300, "2.5e-3", NEWTON),
    "diffusion_reaction": (5e-3, 600, "5.3e-3", options(64, 4, 64, 256, 64, 5e-3, 20_000)),
    "fisher_family": (2e-2, 900, "-", options(100, 4, 100, 256, 100, 5e-3, 6_000)),
    "fisher_family, on equations": (2e-2, 900, "-", options(100, 4, 100, 256, 64, 3e-3, 10_000)),
    "eikonal_family": (3e-3, 600, "2.8e-3", options(64, 4, 64, 256, 64, 3e-3, 6_000)),
    "darcy_family": (8e-2, 1800, "-", CONVOLUTIONAL),
    "plate_family": (
        2e-2,
        1200,
        "-",
        options(100, 4, 100, 256, 32, 3e-3, 10_000, "data_points=512"),
    ),
    "burgers_family": (4e-2, 1800, "1.4e-2", options(100, 4, 100, 512, 64, 3e-3, 10_000)),
    "burgers_family, on data": (4e-2, 1800, "-", options(100, 4, 100, 256, 64, 3e-3, 2_000)),
    "burgers_family, POD, on data": (4e-2, 1800, "-", POD),
    "advection_family": (4e-2, 1800, "2.4e-2", options(100, 4, 100, 512, 64, 3e-3, 25_000)),
}


def made(case: str, folder: str | Path) -> tuple[list[str], float | None]:
    """The option for the data of a case, and the seconds that it took to make them; None where they were there."""
    if case not in DATA:
        return [], 0.0
    start = time.perf_counter()
    family = case.split(",")[0]
    path = Path(folder) / f"{family}.h5"
    if path.exists():
        return ["--data", str(path)], None
    members = MEMBERS.get(case, ([], []))[0]
    command = [
        sys.executable,
        "-m",
        "pinops",
        "data",
        family,
        *members,
        "--count",
        str(DATA[case]),
        "--out",
        str(path),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return ["--data", str(path)], time.perf_counter() - start


def run(
    case: str, seed: int, seconds: float, overhead: float, data: list[str], keep: Path | None
) -> dict:
    """One ``pinops train`` in a fresh process with an empty compilation cache."""
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
        out = f"{folder}/run" if keep is None else str(keep / f"{case}_{seed}")
        command = [
            sys.executable,
            "-m",
            "pinops",
            "train",
            case.split(",")[0],
            "--seed",
            str(seed),
            "--json",
            "--out",
            out,
        ]
        members, tested = MEMBERS.get(case, ([], []))
        command += [*members, *CASES[case][3], *data, "--minutes", str((seconds - overhead) / 60)]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        wall = time.perf_counter() - start
        if done.returncode == 0 and tested:
            evaluate = [sys.executable, "-m", "pinops", "evaluate", out, *tested, "--json"]
            done = subprocess.run(evaluate, capture_output=True, text=True, env=environment)
    if done.returncode:
        return {
            "seed": seed,
            "process_seconds": wall,
            "failed": done.stderr.strip().splitlines()[-1:],
        }
    result = json.loads(done.stdout.splitlines()[-1])
    recorded = ("relative_l2", "seconds", "compile_seconds", "steps", "parameters", "status")
    return {"seed": seed, "process_seconds": round(wall, 1)} | {
        key: result[key] for key in recorded
    }


def write_table() -> None:
    recorded = json.loads(RESULTS.read_text())
    lines = [
        "| family | mean relative L2 error over 100 unseen members, each seed | seconds, each seed | cores | must | published |",
        "|---|---|---|---|---|---|",
    ]
    for case, entry in recorded["cases"].items():
        errors = ", ".join(
            f"{row['relative_l2']['u']['mean']:.1e}"
            for row in entry["runs"]
            if "relative_l2" in row
        )
        seconds = ", ".join(f"{row['process_seconds']:.0f}" for row in entry["runs"])
        must = f"{entry['must']:.1e} in {entry['seconds']:.0f} s" + (
            "" if entry["met"] else ", **missed**"
        )
        lines.append(
            f"| {case} | {errors} | {seconds} | {entry['machine']['cores']} | {must} | {entry['published']} |"
        )
    if "step" in recorded:
        costs = ", ".join(
            f"{name} {value:.1f} ms" for name, value in recorded["step"]["ms"].items()
        )
        lines += ["", f"One step (one core, {recorded['step']['machine']['processor']}): {costs}."]
    into_readme(lines, (START, END))


def step_cost(rounds: int = 7, repeats: int = 30) -> dict[str, float]:
    """Median milliseconds of a step: pinops, and by hand."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax
    from jaxtyping import Array, Float

    import pinops as po
    from pinops.functions import interpolate
    from pinops.networks import MLP
    from pinops.operators import DeepONet
    from pinops.optimizers import Adam
    from pinops.problem import impose, scales_of
    from pinops.solvers._train_operator import built_operator
    from pinops.training import Draw

    class Source(po.Problem):
        """u_t = D u_xx - k u^2 + f(x), without conditions: what the bound computes."""

        domain = po.Box(x=(0, 1), t=(0, 1))
        source: Float[Array | np.ndarray, " m"] = eqx.field(default_factory=lambda: np.zeros(100))

        def residual(self, u, u_t, u_xx, x):
            return (
                u_t
                - 0.01 * u_xx
                + 0.01 * u**2
                - interpolate(jnp.asarray(self.source), x, (0.0, 1.0))
            )

        def sample(self, key):
            return dataclasses.replace(
                self, source=po.functions.GaussianProcess(0.2).sample(key, np.linspace(0, 1, 100))
            )

        def inputs(self):
            return self.source

    request = {
        "inputs": {"mean": [0.0] * 100, "deviation": [1.0] * 100},
        "seed": 0,
        "dtype": "float32",
        "scale": {"u": 1.0},
        "scales": scales_of(Source(), impose(Source())).to_json(),
        "physics": True,
        "problem": "source",
    }
    model, params = built_operator(Source(), DeepONet(MLP(100, 3), MLP(100, 3), 100), request)
    functions = po.Functions(
        pool=128, batch=128, points=po.Collocation(interior=256, refinement=None)
    )
    members: Any = Draw(functions).drawn(model, params, jax.random.key(0), None)
    optimizer = Adam(1e-3)
    weights = {"residual": jnp.ones(1)}
    ours = jax.jit(lambda p, s: optimizer.update(model.objective(members, weights), p, s)[:2])

    at = 2 * members.points["interior"].at - 1
    sources = jax.vmap(
        lambda f: jax.vmap(lambda x: interpolate(f, x, (0.0, 1.0)))(
            members.points["interior"].at[:, 0]
        )
    )
    given = sources(members.problems.source)
    adam = optax.adam(1e-3)

    def net(network, x):
        for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
            x = jnp.tanh(x @ weight + bias)
        return x @ network.weights[-1] + network.biases[-1]

    def loss(network):
        coefficients = net(network.branch, members.problems.source)
        trunk = lambda z: net(network.trunk, z)
        along = lambda axis: jnp.zeros_like(at).at[:, axis].set(2.0)
        value, rate = jax.jvp(trunk, (at,), (along(1),))
        slope = lambda z: jax.jvp(trunk, (z,), (along(0),))[1]
        second = jax.jvp(slope, (at,), (along(0),))[1]
        u, u_t, u_xx = coefficients @ value.T, coefficients @ rate.T, coefficients @ second.T
        return jnp.mean(jnp.square(u_t - 0.01 * u_xx + 0.01 * u**2 - given))

    @jax.jit
    def by_hand(p, s):
        updates, s = adam.update(jax.grad(loss)(p), s)
        return optax.apply_updates(p, updates), s

    one, other = float(model.objective(members, weights)(params)[0]), float(loss(params.network))
    assert abs(one / other - 1) < 1e-4, f"the two losses differ: {one}, {other}"
    states = {
        "pinops": (params, optimizer.init(params)),
        "by hand": (params.network, adam.init(params.network)),
    }
    steps = {"pinops": ours, "by hand": by_hand}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            began = time.perf_counter()
            for _ in range(repeats):
                states[name] = step(*states[name])
            jax.block_until_ready(states[name])
            times[name].append(1e3 * (time.perf_counter() - began) / repeats)
    return {name: statistics.median(values[1:]) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="less than the case allows"
    )
    parser.add_argument(
        "--overhead",
        type=float,
        default=30.0,
        help="seconds for the start, the test members and the files",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FOLDER",
        help="where runs and data are kept, and data are found",
    )
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--peers", metavar="PYTHON", help="with DeepXDE and torch")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    if arguments.markdown:
        return write_table()
    recorded = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cases": {}}
    if arguments.step:
        found = step_cost()
        if arguments.peers:
            script = Path(__file__).with_name("peer_deeponet.py")
            environment = os.environ | {"DDE_BACKEND": "pytorch"}
            command = [os.path.abspath(arguments.peers), str(script)]
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, check=True
            )
            found["DeepXDE, torch, zero coordinate shift"] = float(done.stdout.splitlines()[-1])
        print(", ".join(f"{name} {value:.2f} ms" for name, value in found.items()))
        recorded["step"] = {"ms": found, "machine": machine(), "versions": versions()}
        RESULTS.write_text(json.dumps(recorded, indent=1) + "\n")
        return None
    there = [f"{case}_{seed}" for case in arguments.cases for seed in arguments.seeds]
    if arguments.keep and (old := [name for name in there if (arguments.keep / name).exists()]):
        parser.error(f"{arguments.keep} holds {old[0]} already; choose another folder")
    for case in arguments.cases:
        must, allowed, published, settings = CASES[case]
        seconds = min(allowed, arguments.seconds)
        runs = []
        with tempfile.TemporaryDirectory() as folder:
            data, making = made(case, arguments.keep or folder)
            for seed in arguments.seeds:
                runs.append(run(case, seed, seconds, arguments.overhead, data, arguments.keep))
                found = runs[-1].get("relative_l2", runs[-1].get("failed"))
                print(
                    f"{case} seed {seed}: {found}, {runs[-1]['process_seconds']:.0f} s", flush=True
                )
        means = [
            r["relative_l2"]["u"]["mean"] if "relative_l2" in r else float("inf") for r in runs
        ]
        entry = {
            "must": must,
            "seconds": allowed,
            "published": published,
            "options": settings,
            "median": statistics.median(means),
        }
        entry |= {
            "seconds_for_data": making and round(making, 1),
            "runs": runs,
            "machine": machine(),
            "versions": versions(),
        }
        entry["met"] = (
            entry["median"] <= must
            and statistics.median(r["process_seconds"] for r in runs) <= allowed
        )
        recorded["cases"][case] = entry
        RESULTS.write_text(json.dumps(recorded, indent=1) + "\n")
    return None


if __name__ == "__main__":
    main()
