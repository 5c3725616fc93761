"""The cost of a training step: the public interface against arithmetic written by hand, in turns, on one core.

    python benchmarks/step_cost.py [--rounds 7] [--peers PYTHON --peer-scripts FOLDER]

The work: Burgers' equation, a network of 4 x 64 tanh units, 8192 interior, 256 initial and 256 boundary points, one full-batch
step of Adam. The bound propagates u, u_x, u_t, u_xx through the layers by hand, one matrix product per layer, over chunks of 256
points. ``--peers`` names a Python in which DeepXDE (with torch or JAX), PINA and jinns are installed: the scripts in FOLDER
(default: ``../shared/bench/peers``) then time the same work in them, on the same core. Prints medians, their ratios, the memory
of one step's program by XLA's account, and how long the default recipe compiles with an empty cache and with a filled one;
records all in ``benchmarks/results/step_cost.json``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from catalogue import RESULTS, machine, versions

import pinops as po
from pinops.training import _train

STEPS, INTERIOR, CONDITION, CHUNK = 100, 8192, 256, 256


class SoftBurgers(po.Problem):
    """Burgers' equation with every condition in the loss."""

    domain = po.Box(x=(-1, 1), t=(0, 1))
    viscosity: float = po.positive(0.01 / np.pi)

    def residual(self, u, u_t, u_x, u_xx):
        return u_t + u * u_x - self.viscosity * u_xx

    def conditions(self):
        return po.Initial(lambda x: -jnp.sin(jnp.pi * x), soft=True), po.Dirichlet(
            0.0, on="x", soft=True
        )


class HardBurgers(po.Problem):
    """The same with every condition built into the field."""

    domain = SoftBurgers.domain
    viscosity: float = po.positive(0.01 / np.pi)
    residual = SoftBurgers.residual

    def conditions(self):
        return po.Initial(lambda x: -jnp.sin(jnp.pi * x)), po.Dirichlet(0.0, on="x")


PEERS = {  # script, what it is told by the environment
    "DeepXDE, torch": ("a_deepxde.py", {"DDE_BACKEND": "pytorch"}),
    "DeepXDE, JAX": ("a_deepxde.py", {"DDE_BACKEND": "jax"}),
    "PINA": ("a_pina.py", {}),
    "jinns": ("a_jinns.py", {}),
}


def by_hand(dtype: str):
    """A function that measures milliseconds of a step of the bound, and the bytes that its program needs."""
    with jax.enable_x64(dtype == "float64"):
        rng = np.random.default_rng(0)
        draw = lambda n, low, high: jnp.asarray(rng.uniform(low, high, (n, 2)), dtype)
        inside = draw(INTERIOR, (-1, 0), (1, 1)).reshape(-1, CHUNK, 2)
        start = draw(CONDITION, (-1, 0), (1, 0))
        walls = (
            draw(CONDITION, (-1, 0), (1, 1))
            .at[:, 0]
            .set(jnp.asarray(rng.choice([-1.0, 1.0], CONDITION), dtype))
        )
        sizes = (2, 64, 64, 64, 64, 1)
        layers = [
            (
                jnp.asarray(rng.standard_normal((i, o)) * np.sqrt(2 / (i + o)), dtype),
                jnp.zeros(o, dtype),
            )
            for i, o in zip(sizes, sizes[1:], strict=False)
        ]

        def value(layers, points):
            for weight, bias in layers[:-1]:
                points = jnp.tanh(points @ weight + bias)
            return (points @ layers[-1][0] + layers[-1][1])[:, 0]

        def interior(layers, points):
            (weight, bias), *rest = layers
            z, z_x, z_t, z_xx = (
                points @ weight + bias,
                weight[:1],
                weight[1:],
                jnp.zeros((1, 1), dtype),
            )
            for weight, bias in rest:
                a = jnp.tanh(z)
                d = 1 - a * a
                a_x = d * z_x
                streams = jnp.concatenate([a, a_x, d * z_t, d * z_xx - 2 * a * a_x * z_x]) @ weight
                z, z_x, z_t, z_xx = jnp.split(streams, 4)
                z = z + bias
            return jnp.sum(jnp.square(z_t + z * z_x - 0.01 / np.pi * z_xx)) / INTERIOR

        def conditions(layers):
            gap = value(layers, start) + jnp.sin(jnp.pi * start[:, 0])
            return 1000 * (jnp.mean(jnp.square(gap)) + jnp.mean(jnp.square(value(layers, walls))))

        optimizer = optax.adam(1e-3)

        def step(carry, _):
            layers, state = carry
            total = jax.value_and_grad(conditions)(layers)
            add = lambda total, points: (
                jax.tree.map(jnp.add, total, jax.value_and_grad(interior)(layers, points)),
                None,
            )
            (_, gradient), _ = jax.lax.scan(add, total, inside)
            updates, state = optimizer.update(gradient, state, layers)
            return (optax.apply_updates(layers, updates), state), None

        carry = (layers, optimizer.init(layers))
        many = (
            jax.jit(lambda carry: jax.lax.scan(step, carry, length=STEPS)[0]).lower(carry).compile()
        )
        carry = jax.block_until_ready(many(carry))

    def run() -> float:
        with jax.enable_x64(dtype == "float64"):
            began = time.perf_counter()
            jax.block_until_ready(many(carry))
            return 1e3 * (time.perf_counter() - began) / STEPS

    return run, _bytes(many)


def _bytes(program: jax.stages.Compiled) -> int:
    """What a program needs besides its own code: arguments, results and temporary arrays."""
    needs = program.memory_analysis()
    assert needs is not None
    own = needs.argument_size_in_bytes + needs.output_size_in_bytes - needs.alias_size_in_bytes
    return own + needs.temp_size_in_bytes


def public(problem: po.Problem, dtype: str):
    """The same for `pinops.solve`: milliseconds between its reports, and the bytes of the program that it runs."""
    optimizer = optax.adam(1e-3)
    points = po.Collocation(
        interior=INTERIOR, boundary=CONDITION, initial=CONDITION, every=0, refinement=None
    )

    def run() -> float:
        solution = po.solve(
            problem,
            network=po.networks.MLP(width=64, depth=4),
            optimizer=optimizer,
            sampler=points,
            steps=STEPS + 50,
            dtype=dtype,
            progress=False,
        )
        first, last = solution.history[0], solution.history[-1]
        return 1e3 * (last.seconds - first.seconds) / (last.step - first.step)

    whole: Any = _train._stretch
    asked: list[Any] = []

    def overheard(*inputs):
        asked[:] = inputs
        return whole(*inputs)

    _train._stretch = overheard
    try:
        run()
    finally:
        _train._stretch = whole
    with jax.enable_x64(dtype == "float64"):
        program = whole.lower(*asked).compile().compiled
    return run, _bytes(program)


def peer(python: str, script: Path, told: dict[str, str], dtype: str) -> float | None:
    """Milliseconds of a step in another framework; None where it is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        own = {
            "JAX_PLATFORMS": "cpu",
            "F64": "1" if dtype == "float64" else "0",
            "OUT_JSONL": f"{folder}/rows.jsonl",
        }
        done = subprocess.run(
            [python, str(script)],
            capture_output=True,
            text=True,
            env=os.environ | own | told,
            cwd=folder,
        )
        rows = Path(own["OUT_JSONL"])
        if done.returncode or not rows.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"{dtype}  {script.name}: {last}", file=sys.stderr)
            return None
        return float(json.loads(rows.read_text().splitlines()[-1])["ms"])


def compilation() -> dict[str, float]:
    """Seconds of compilation of ``pinops solve burgers``, its first 50 steps of each phase included."""
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": f"{folder}/compiled"}
        for name in ("cold", "cached"):
            command = [
                sys.executable,
                "-m",
                "pinops",
                "solve",
                "burgers",
                "--steps",
                "400",
                "--json",
                "--out",
                f"{folder}/{name}",
            ]
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, check=True
            )
            out[name] = json.loads(done.stdout.splitlines()[-1])["compile_seconds"]
            print(f"compilation, {name}: {out[name]:.1f} s", flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument(
        "--peer-scripts",
        type=Path,
        default=Path(__file__).parents[2] / "shared" / "bench" / "peers",
    )
    arguments = parser.parse_args()
    recorded: dict = {"compile_seconds": compilation()}
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    recorded |= {"machine": machine() | {"pinned_to_one_core": True}, "versions": versions()}
    recorded |= {"ms": {}, "ratio": {}, "bytes": {}, "bytes_ratio": {}}
    for dtype in ("float32", "float64"):
        contenders = {
            "by hand": by_hand(dtype),
            "pinops": public(SoftBurgers(), dtype),
            "pinops, hard": public(HardBurgers(), dtype),
        }
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(arguments.rounds):
            for name, (run, _) in contenders.items():
                times[name].append(run())
        milliseconds = {name: float(np.median(values)) for name, values in times.items()}
        ratios = {
            name: float(np.median(np.divide(values, times["by hand"])))
            for name, values in times.items()
        }
        needs = {name: size for name, (_, size) in contenders.items()}
        for name, (script, told) in PEERS.items() if arguments.peers else ():
            found = peer(
                os.path.abspath(arguments.peers),
                arguments.peer_scripts.resolve() / script,
                told,
                dtype,
            )
            if found is not None:
                milliseconds[name], ratios[name] = found, found / milliseconds["by hand"]
        recorded["ms"][dtype], recorded["ratio"][dtype], recorded["bytes"][dtype] = (
            milliseconds,
            ratios,
            needs,
        )
        recorded["bytes_ratio"][dtype] = {
            name: size / needs["by hand"] for name, size in needs.items()
        }
        for name, value in milliseconds.items():
            memory = f"  {needs[name] / 2**20:6.1f} MiB" if name in needs else ""
            print(
                f"{dtype}  {name:14s} {value:7.2f} ms  {ratios[name]:5.2f} of the bound{memory}",
                flush=True,
            )
    RESULTS.with_name("step_cost.json").write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
