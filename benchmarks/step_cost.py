"""The cost of a training step: the public interface against arithmetic written by hand, in turns, on one core.

    python benchmarks/step_cost.py [--rounds 7] [--peer "NAME: COMMAND" ...]

The work: Burgers' equation, a network of 4 x 64 tanh units, 8192 interior, 256 initial and 256 boundary points, one full-batch
step of Adam. The bound propagates u, u_x, u_t, u_xx through the layers by hand, one matrix product per layer, over chunks of 256
points. A peer is a command that prints a JSON line with "ms"; it runs on the same core. Prints medians and their ratios, and
records them in ``benchmarks/results/step_cost.json``.
"""

import argparse
import json
import os
import shlex
import subprocess
import time

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

import jax
import jax.numpy as jnp
import numpy as np
import optax
from catalogue import RESULTS, machine, versions

import pinops as po

STEPS, INTERIOR, CONDITION, CHUNK = 100, 8192, 256, 256


class SoftBurgers(po.Problem):
    """Burgers' equation with every condition in the loss."""

    domain = po.Box(x=(-1, 1), t=(0, 1))
    viscosity: float = po.positive(0.01 / np.pi)

    def residual(self, u, u_t, u_x, u_xx):
        return u_t + u * u_x - self.viscosity * u_xx

    def conditions(self):
        return po.Initial(lambda x: -jnp.sin(jnp.pi * x), soft=True), po.Dirichlet(0.0, on="x", soft=True)


class HardBurgers(po.Problem):
    """The same with every condition built into the field."""

    domain = SoftBurgers.domain
    viscosity: float = po.positive(0.01 / np.pi)
    residual = SoftBurgers.residual

    def conditions(self):
        return po.Initial(lambda x: -jnp.sin(jnp.pi * x)), po.Dirichlet(0.0, on="x")


def by_hand(dtype: str):
    """Milliseconds of a step of the bound."""
    with jax.enable_x64(dtype == "float64"):
        rng = np.random.default_rng(0)
        draw = lambda n, low, high: jnp.asarray(rng.uniform(low, high, (n, 2)), dtype)
        inside = draw(INTERIOR, (-1, 0), (1, 1)).reshape(-1, CHUNK, 2)
        start = draw(CONDITION, (-1, 0), (1, 0))
        walls = draw(CONDITION, (-1, 0), (1, 1)).at[:, 0].set(jnp.asarray(rng.choice([-1.0, 1.0], CONDITION), dtype))
        sizes = (2, 64, 64, 64, 64, 1)
        layers = [
            (jnp.asarray(rng.standard_normal((i, o)) * np.sqrt(2 / (i + o)), dtype), jnp.zeros(o, dtype))
            for i, o in zip(sizes, sizes[1:], strict=False)
        ]

        def value(layers, points):
            for weight, bias in layers[:-1]:
                points = jnp.tanh(points @ weight + bias)
            return (points @ layers[-1][0] + layers[-1][1])[:, 0]

        def interior(layers, points):
            (weight, bias), *rest = layers
            z, z_x, z_t, z_xx = points @ weight + bias, weight[:1], weight[1:], jnp.zeros((1, 1), dtype)
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
            add = lambda total, points: (jax.tree.map(jnp.add, total, jax.value_and_grad(interior)(layers, points)), None)
            (_, gradient), _ = jax.lax.scan(add, total, inside)
            updates, state = optimizer.update(gradient, state, layers)
            return (optax.apply_updates(layers, updates), state), None

        many = jax.jit(lambda carry: jax.lax.scan(step, carry, length=STEPS)[0])
        carry = jax.block_until_ready(many((layers, optimizer.init(layers))))

    def run() -> float:
        with jax.enable_x64(dtype == "float64"):
            began = time.perf_counter()
            jax.block_until_ready(many(carry))
            return 1e3 * (time.perf_counter() - began) / STEPS

    return run


def public(problem: po.Problem, dtype: str):
    """Milliseconds of a step of `pinops.solve`, between its reports."""
    optimizer = optax.adam(1e-3)
    points = po.Collocation(interior=INTERIOR, boundary=CONDITION, initial=CONDITION, every=0, refinement=None)

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

    run()
    return run


def peer(command: str) -> float:
    """Milliseconds that a command reports."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(shlex.split(command), capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{command} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return float(json.loads(done.stdout.strip().splitlines()[-1])["ms"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peer", action="append", default=[], metavar='"NAME: COMMAND"')
    arguments = parser.parse_args()
    recorded: dict = {"machine": machine() | {"pinned_to_one_core": True}, "versions": versions(), "ms": {}, "ratio": {}}
    for dtype in ("float32", "float64"):
        contenders = {
            "by hand": by_hand(dtype),
            "pinops": public(SoftBurgers(), dtype),
            "pinops, hard": public(HardBurgers(), dtype),
        }
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(arguments.rounds):
            for name, run in contenders.items():
                times[name].append(run())
        recorded["ms"][dtype] = {name: float(np.median(values)) for name, values in times.items()}
        recorded["ratio"][dtype] = {
            name: float(np.median(np.divide(values, times["by hand"]))) for name, values in times.items() if name != "by hand"
        }
        for name, milliseconds in recorded["ms"][dtype].items():
            ratio = recorded["ratio"][dtype].get(name, 1.0)
            print(f"{dtype}  {name:14s} {milliseconds:7.2f} ms  {ratio:.2f} of the bound", flush=True)
    for entry in arguments.peer:
        name, _, command = entry.partition(":")
        recorded["ms"].setdefault("peers", {})[name] = peer(command.strip())
        print(f"peer     {name:14s} {recorded['ms']['peers'][name]:7.2f} ms", flush=True)
    RESULTS.with_name("step_cost.json").write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
