"""Operators against published ones: error over unseen problems after a fixed time, cost of a step.

    python benchmarks/operators.py [--seeds 0 1 2] [--cases antiderivative ...] [--keep FOLDER]
    python benchmarks/operators.py --step --pin [--peers PYTHON]
    python benchmarks/operators.py --markdown

The first command updates ``benchmarks/results/operators.json``. Each run is ``pinops train`` in a
fresh process, on the equations alone or on data; its error is the mean relative L2 error over 100
unseen members of the family, against our references. ``--seconds`` shortens the time limit of a
case, ``--keep`` keeps the runs and their data. ``--step`` measures one Adam step of a
physics-informed DeepONet (128 functions x 256 points, four layers of 100, float32) against the same
arithmetic written by hand, alternately in one process, and against DeepXDE's mode for aligned
points if ``PYTHON`` has DeepXDE and torch. The last command writes the table of its page.
"""

import dataclasses
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _record
from _record import Record, Row

MARKS = ("<!-- operators: benchmarks/operators.py --markdown -->", "<!-- end of operators -->")


def operator(width: int, depth: int, latent: int) -> list[str]:
    """A DeepONet whose branch and trunk are modified multilayer perceptrons of one size."""
    network = f"ModifiedMLP({width}, {depth})"
    return ["--operator", f"DeepONet({network}, {network}, {latent})"]


def functions(points: int, batch: int, more: str = "") -> list[str]:
    """The samples and points of a step; otherwise the defaults of `Functions`."""
    shared = "boundary=1024, initial=1024, every=1000, refinement=None"
    settings = f"batch={batch}, points=Collocation({shared}, batch={points})"
    return ["--functions", f"Functions({', '.join(filter(None, (settings, more)))})"]


def soap(rate: float, steps: int) -> list[str]:
    """SOAP whose learning rate reaches zero after ``steps``, as many as fit into a case."""
    return ["--optimizer", f"SOAP({rate}, {steps})", "--steps", str(steps)]


# Its branch fits any inputs, including images.
SMOKE = ["--operator", "DeepONet(trunk=ModifiedMLP(6, 2), latent=6)"]
SMOKE += [*functions(16, 4), *soap(3e-3, 2)]


def settings(
    width: int,
    depth: int,
    latent: int,
    points: int,
    batch: int,
    rate: float,
    steps: int,
    more: str = "",
) -> list[str]:
    """The options of a case."""
    network, drawn = operator(width, depth, latent), functions(points, batch, more)
    return [*network, *drawn, *soap(rate, steps)]


# For images the branch is convolutional.
CONVOLUTIONAL = ["--operator", "DeepONet(trunk=ModifiedMLP(100, 4), latent=100)"]
CONVOLUTIONAL += ["--functions", "Functions(batch=64, data_points=256)", *soap(3e-3, 4000)]
# A small DeepONet by a method of the second order, in sample space: 32 problems at 32 points, other
# ones in every step.
NEWTON = [*operator(20, 2, 20), *functions(32, 32), "--optimizer", "GaussNewton(damping=0.01)"]
POD = ["--operator", "PODDeepONet(ModifiedMLP(100, 4), 32, (24, 1, 24))"]
POD += ["--functions", "Functions(batch=64)", *soap(3e-3, 2000)]
# The coefficients of the training family, and of the test family if it is another one.
MEMBERS = {"plate_family": (["--set", "designs=table"], ["--set", "designs=unseen"])}
DATA = {
    "fisher_family": 2400,
    "darcy_family": 1920,
    "plate_family": 240,
    "burgers_family, on data": 512,
    "burgers_family, POD, on data": 512,
}  # members of a data set; the time to make it is recorded and does not count
# Mean relative L2 error, seconds, what is published (Wang, Wang & Perdikaris 2021, from their
# notebooks), and the options. The family's name may have a remark behind a comma.
CASES: dict[str, tuple[float, float, str, list[str]]] = {
    "antiderivative": (2.5e-3, 300, "2.5e-3", settings(50, 4, 50, 128, 64, 5e-3, 16_000)),
    "antiderivative, small": (2.5e-3, 300, "2.5e-3", settings(20, 2, 20, 128, 64, 5e-3, 20_000)),
    "antiderivative, small, 360 steps": (
        2.5e-3,
        300,
        "2.5e-3",
        settings(20, 2, 20, 128, 64, 5e-3, 360),
    ),
    "antiderivative, small, Gauss-Newton": (2.5e-3, 300, "2.5e-3", NEWTON),
    "diffusion_reaction": (5e-3, 600, "5.3e-3", settings(64, 4, 64, 256, 64, 5e-3, 20_000)),
    "fisher_family": (2e-2, 900, "-", settings(100, 4, 100, 256, 100, 5e-3, 6_000)),
    "fisher_family, on equations": (2e-2, 900, "-", settings(100, 4, 100, 256, 64, 3e-3, 10_000)),
    "eikonal_family": (3e-3, 600, "2.8e-3", settings(64, 4, 64, 256, 64, 3e-3, 6_000)),
    "darcy_family": (8e-2, 1800, "-", CONVOLUTIONAL),
    "plate_family": (
        2e-2,
        1200,
        "-",
        settings(100, 4, 100, 256, 32, 3e-3, 10_000, "data_points=512"),
    ),
    "burgers_family": (4e-2, 1800, "1.4e-2", settings(100, 4, 100, 512, 64, 3e-3, 10_000)),
    "burgers_family, on data": (4e-2, 1800, "-", settings(100, 4, 100, 256, 64, 3e-3, 2_000)),
    "burgers_family, POD, on data": (4e-2, 1800, "-", POD),
    "advection_family": (4e-2, 1800, "2.4e-2", settings(100, 4, 100, 512, 64, 3e-3, 25_000)),
}


def made(case: str, folder: str | Path, count: int) -> tuple[list[str], float | None]:
    """The option for the data of a case, and the seconds to make them (None if they existed)."""
    if case not in DATA:
        return [], 0.0
    family = case.split(",")[0]
    path = Path(folder) / f"{family}.h5"
    if path.exists():
        return ["--data", str(path)], None
    began = time.perf_counter()
    members = MEMBERS.get(case, ([], []))[0]
    command = ["data", family, *members, "--count", str(count), "--out", str(path)]
    subprocess.run(_record.pinops(*command), check=True, capture_output=True)
    return ["--data", str(path)], round(time.perf_counter() - began, 1)


def run(case: str, seed: int, more: list[str], keep: Path | None, *, cold: bool = True) -> Row:
    """One ``pinops train`` in a fresh process, tested on another family where the case has one."""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/run" if keep is None else str(keep / f"{case}_{seed}")
        members, tested = MEMBERS.get(case, ([], []))
        command = ["train", case.split(",")[0], "--seed", str(seed), "--json", "--out", out]
        found = _record.fresh(_record.pinops(*command, *members, *more), cold=cold)
        if "failed" not in found and tested:
            found |= _record.fresh(
                _record.pinops("evaluate", out, *tested, "--json"), cold=cold
            ) | {"process_seconds": found["process_seconds"]}
    if "errors" in found:  # statistics over the members, not only the mean
        found["relative_l2"] = found["errors"]
    recorded = ("process_seconds", "failed", "relative_l2", "seconds", "compile_seconds", "steps")
    return {key: found[key] for key in (*recorded, "parameters", "status") if key in found}


def error(row: Row) -> float:
    """The mean error over the members."""
    return row["relative_l2"]["u"]["mean"] if "relative_l2" in row else float("inf")


def table(content: Row) -> list[str]:
    """The table."""
    lines = [
        "| family | mean relative L2 error over 100 unseen members, each seed | seconds, each seed "
        "| cores | target | published |",
        "|---|---|---|---|---|---|",
    ]
    for case, entry in content["cases"].items():
        errors = _record.each(
            (run for run in entry["runs"] if "relative_l2" in run), lambda run: f"{error(run):.1e}"
        )
        cores, target = entry["runs"][0]["machine"]["cores"], _record.met(entry, error)
        cells = (case, errors, _record.seconds(entry), str(cores))
        cells += (_record.target(entry, target), entry["published"])
        lines.append(f"| {' | '.join(cells)} |")
    if "step" in content:
        step = content["step"]
        costs = ", ".join(f"{name} {value:.1f} ms" for name, value in step["ms"].items())
        lines += ["", f"One step (one core, {step['machine']['processor']}): {costs}."]
    return lines


def by_hand(members: Any) -> tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]:
    """The loss of a DeepONet and a step of Adam, in as few operations as possible."""
    import jax
    import jax.numpy as jnp
    import optax

    from pinops.functions import interpolate
    from pinops.problem import INTERIOR

    points = members.points[INTERIOR].at
    at = 2 * points - 1
    along_x, along_t = (jnp.zeros_like(at).at[:, axis].set(2.0) for axis in (0, 1))
    given = jax.vmap(lambda f: jax.vmap(lambda x: interpolate(f, x, (0.0, 1.0)))(points[:, 0]))(
        members.problems.source
    )
    adam = optax.adam(1e-3)

    def net(network, x):
        for weight, bias in zip(network.weights[:-1], network.biases[:-1], strict=True):
            x = jnp.tanh(x @ weight + bias)
        return x @ network.weights[-1] + network.biases[-1]

    def loss(network):
        coefficients = net(network.branch.network, members.problems.source)

        def trunk(z):
            return net(network.trunk, z)

        def slope(z):
            return jax.jvp(trunk, (z,), (along_x,))[1]

        value, rate = jax.jvp(trunk, (at,), (along_t,))
        second = jax.jvp(slope, (at,), (along_x,))[1]
        u, u_t, u_xx = coefficients @ value.T, coefficients @ rate.T, coefficients @ second.T
        return jnp.mean(jnp.square(u_t - 0.01 * u_xx + 0.01 * u**2 - given))

    @jax.jit
    def step(network, state):
        updates, state = adam.update(jax.grad(loss)(network), state)
        return optax.apply_updates(network, updates), state

    return loss, step


def contenders(functions: int, size: int) -> dict[str, Callable[[], Any]]:
    """One Adam step on a given number of functions and points: pinops, and by hand."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    from jaxtyping import Array, Float

    import pinops as po
    from pinops.functions import interpolate
    from pinops.networks import MLP
    from pinops.operators import DeepONet
    from pinops.optimizers import Adam
    from pinops.solvers._operator_plan import built_operator
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
            return {"source": self.source}

    request = {
        "inputs": {"mean": {"source": [0.0] * 100}, "deviation": {"source": [1.0] * 100}},
        "seed": 0,
        "dtype": "float32",
        "scale": {"u": 1.0},
        "scales": {
            "centre": {"u": 0.0},
            "spread": {"u": 1.0},
            "sizes": {"u": 1.0},
            "terms": {"residual": 1.0},
            "coefficients": {},
        },
        "physics": 1.0,
        "problem": "source",
    }
    model, params = built_operator(Source(), DeepONet(MLP(100, 3), MLP(100, 3), 100), request)
    drawn = po.Functions(
        pool=functions, batch=functions, points=po.Collocation(interior=size, refinement=None)
    )
    members: Any = Draw(drawn).drawn(model, params, jax.random.key(0), None)
    optimizer = Adam(1e-3)
    weights = {"residual": jnp.ones(1)}
    ours = jax.jit(lambda p, s: optimizer.update(model.objective(members, weights), p, s)[:2])

    loss, bound = by_hand(members)
    one, other = float(model.objective(members, weights)(params)[0]), float(loss(params.network))
    assert abs(one / other - 1) < 1e-4, f"the two losses differ: {one}, {other}"
    state = optimizer.init(params), optax.adam(1e-3).init(params.network)
    return {
        "pinops": lambda: ours(params, state[0]),
        "by hand": lambda: bound(params.network, state[1]),
    }


def step_cost(rounds: int, repeats: int, functions: int, size: int) -> dict[str, float]:
    """Median milliseconds of a step."""
    times = _record.in_turns(contenders(functions, size), rounds, repeats)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES)
    about = "less than the case allows"
    options.add_argument("--seconds", type=float, default=float("inf"), help=about)
    about = "seconds for the start, the test members and the files"
    options.add_argument("--overhead", type=float, default=30.0, help=about)
    about = "where runs and data are kept, and data are found"
    options.add_argument("--keep", type=Path, metavar="FOLDER", help=about)
    options.add_argument("--step", action="store_true")
    options.add_argument("--peers", metavar="PYTHON", help="with DeepXDE and torch")
    _record.add_markdown(options)
    arguments = _record.parse(options)
    results, smoke = Record(arguments.record), bool(arguments.smoke)
    if arguments.markdown:
        return _record.into_page(table(results.read()), MARKS, arguments.markdown)
    if arguments.step:
        found = step_cost(1, 1, 4, 16) if smoke else step_cost(7, 30, 128, 256)
        if arguments.peers:
            peer = _record.peer(arguments.peers, "peer_deeponet.py", {"DDE_BACKEND": "pytorch"})
            found["DeepXDE, torch, zero coordinate shift"] = peer["ms"]
        print(", ".join(f"{name} {value:.2f} ms" for name, value in found.items()))
        return results.section("step", ms=found)
    there = [f"{case}_{seed}" for case in arguments.cases for seed in arguments.seeds]
    if arguments.keep and (old := [name for name in there if (arguments.keep / name).exists()]):
        options.error(f"{arguments.keep} holds {old[0]} already; choose another folder")
    for case in arguments.cases:
        target, allowed, published, chosen = CASES[case]
        minutes = (min(allowed, arguments.seconds) - arguments.overhead) / 60
        facts = {"target": target, "seconds": allowed, "published": published, "options": chosen}
        with tempfile.TemporaryDirectory() as folder:
            data, making = made(case, arguments.keep or folder, 66 if smoke else DATA.get(case, 0))
            more = [*chosen, *data, *(SMOKE if smoke else ["--minutes", str(minutes)])]
            for seed in arguments.seeds:
                row = run(case, seed, more, arguments.keep, cold=not smoke)
                results.add(case, seed, row, **facts, seconds_for_data=making)
                found, wall = row.get("relative_l2", row.get("failed")), row["process_seconds"]
                print(f"{case} seed {seed}: {found}, {wall:.0f} s", flush=True)
        entry = results.cases()[case]
        missed = "" if _record.met(entry, error) else "  MISSED"
        print(f"{case} median {_record.median(entry, error):.2e}{missed}", flush=True)
    return None


if __name__ == "__main__":
    main()
