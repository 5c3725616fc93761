"""Physics-informed Gaussians against what their paper reports (arXiv:2412.05994): error in a fixed time, and the cost of a step.

    python benchmarks/pig.py [--seeds 0 1 2] [--cases helmholtz ...] [--seconds 150]
    python benchmarks/pig.py --step
    python benchmarks/pig.py --markdown

The first updates ``benchmarks/results/pig.json`` with final iterates against the references of pinops; ``--seconds`` limits each
run to less than the case allows, and the record says so. ``--step`` measures one loss and gradient of 400 Gaussians in four
channels at 4096 points against the same arithmetic written by hand, in turns, in one process; the last writes the table of the
README.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from catalogue import machine, versions
from time_to_accuracy import median_run, record, write_table

RESULTS = Path(__file__).parent / "results" / "pig.json"
MARKS = ("<!-- gaussians: benchmarks/pig.py --markdown -->", "<!-- end of gaussians -->")


def gaussians(number: int, scale: float, *more: str) -> list[str]:
    """One channel without a head: half the work of four channels for each parameter, and no worse."""
    return [
        "--network",
        "pig",
        "--set-network",
        f"gaussians={number}",
        f"scale={scale}",
        "channels=1",
        "head=none",
        *more,
    ]


HELMHOLTZ = gaussians(300, 0.2)
STILL = (
    "moving=false",
    "reshaping=false",
)  # radial basis functions: only their weights are trained, in one step
LINEAR = [
    "--set-collocation",
    "interior=8000",
    "--optimizer",
    "truncated_gauss_newton",
    "--steps",
    "2",
]
NEWTON = [
    "--set-collocation",
    "interior=10000",
    "--optimizer",
    "gauss_newton",
    "--set-optimizer",
    "damping=1e-13",
    "--steps",
    "5",
]
# Relative L2 error (worst unknown), seconds, and the options.
CASES: dict[str, tuple[str, tuple[float, float, list[str]]]] = {
    "helmholtz": ("helmholtz", (4e-5, 300, HELMHOLTZ)),
    "helmholtz, fixed centres": ("helmholtz", (4e-5, 300, [*HELMHOLTZ, "moving=false"])),
    "helmholtz, head of 16": (
        "helmholtz",
        (4e-5, 300, ["--network", "pig", "--set-network", "gaussians=75", "scale=0.2"]),
    ),
    "helmholtz, head of 64": (
        "helmholtz",
        (
            4e-5,
            300,
            ["--network", "pig", "--set-network", "gaussians=75", "scale=0.2", "hidden=64"],
        ),
    ),
    "helmholtz, Adam": (
        "helmholtz",
        (4e-5, 300, [*HELMHOLTZ, "--optimizer", "adam", "--set-optimizer", "learning_rate=0.01"]),
    ),
    "helmholtz, L-BFGS": ("helmholtz", (4e-5, 300, [*HELMHOLTZ, "--optimizer", "lbfgs"])),
    "helmholtz, Levenberg-Marquardt": (
        "helmholtz",
        (4e-5, 300, [*HELMHOLTZ, "--optimizer", "levenberg_marquardt"]),
    ),
    "helmholtz, MLP": ("helmholtz", (4e-5, 300, ["--network", "mlp"])),
    "helmholtz a1=10 a2=10": (
        "helmholtz a1=10 a2=10",
        (5e-3, 600, [*gaussians(3000, 0.12, *STILL), *LINEAR]),
    ),
    "klein_gordon": ("klein_gordon", (2.5e-3, 600, gaussians(100, 0.5))),
    "flow_mixing": ("flow_mixing", (1.5e-3, 900, gaussians(400, 0.3))),
    "nonlinear_diffusion": ("nonlinear_diffusion", (2e-3, 900, gaussians(200, 0.3))),
    "allen_cahn": ("allen_cahn", (1e-4, 600, gaussians(400, 0.2))),
    "allen_cahn, fixed centres": ("allen_cahn", (1e-4, 600, gaussians(400, 0.2, "moving=false"))),
    "allen_cahn, head of 16": (
        "allen_cahn",
        (1e-4, 600, ["--network", "pig", "--set-network", "gaussians=100", "scale=0.2"]),
    ),
    "allen_cahn, head of 64": (
        "allen_cahn",
        (
            1e-4,
            600,
            ["--network", "pig", "--set-network", "gaussians=100", "scale=0.2", "hidden=64"],
        ),
    ),
    "allen_cahn, L-BFGS": (
        "allen_cahn",
        (1e-4, 600, [*gaussians(400, 0.2), "--optimizer", "lbfgs"]),
    ),
    "allen_cahn, idle ones moved": ("allen_cahn", (1e-4, 600, gaussians(400, 0.2, "idle=0.05"))),
    "allen_cahn_inverse": ("allen_cahn_inverse", (1e-2, 600, gaussians(400, 0.2))),
    "lid_driven_cavity": (
        "lid_driven_cavity",
        (2e-3, 600, [*gaussians(1936, 0.115, "centres=grid", *STILL), *NEWTON]),
    ),
}


def step_cost(rounds: int = 9, repeats: int = 10) -> dict[str, float]:
    """Median milliseconds of a loss and its gradient: pinops, by hand, and their median ratio."""
    with jax.enable_x64(True):
        import pinops as po
        from pinops.networks import embedding_of
        from pinops.problem import impose, scales_of
        from pinops.training import draw, split

        problem: Any = po.load_problem("helmholtz")
        imposition = impose(problem)
        network = po.networks.PIG(400, 4).build(
            embedding_of(problem, imposition).size, 1, key=jax.random.key(0)
        )
        model, params = split(
            problem, network, imposition, scales_of(problem, imposition), "Helmholtz"
        )
        points = model.prepared(
            params, draw(problem, imposition.soft, po.Collocation(interior=4096), jax.random.key(1))
        )
        weights = {"residual": jnp.ones(1)}
        ours = jax.jit(lambda params: model.objective(points, weights)(params))
        at = points["interior"].at
        lift, factor = points["interior"].fixed
        wave = float(problem.k) ** 2
        a1, a2 = float(problem.a1), float(problem.a2)
        exact = jnp.sin(a1 * jnp.pi * at[:, 0]) * jnp.sin(a2 * jnp.pi * at[:, 1])
        source = (wave - jnp.pi**2 * (a1**2 + a2**2)) * exact

        def residuals(network, rows):
            """Closed forms for u, its gradient and u_xx + u_yy through one exponential, in features (-1, 1)."""
            z, source, f, fx, fy, lap = rows
            a = jnp.exp(-2 * network.spreads)
            m, w = network.centres, network.weights
            powers = jnp.concatenate([z * z, z, jnp.ones_like(z[:, :1])], 1)
            constant = -0.5 * jnp.sum(a * m * m, -1, keepdims=True)
            g = jnp.exp(
                jnp.einsum("pm,cnm->cpn", powers, jnp.concatenate([-0.5 * a, a * m, constant], -1))
            )
            wa, wam = w[..., None] * a, w[..., None] * a * m
            columns = jnp.concatenate(
                [w[..., None], wa, wam, wa * a, wam * a, wam * a * m - wa], -1
            )
            s = jnp.moveaxis(jnp.einsum("cpn,cnk->cpk", g, columns), -1, 0)
            x, y = z[:, 0], z[:, 1]
            value, gx, gy = s[0], s[3] - x * s[1], s[4] - y * s[2]
            gxx = x * x * s[5] - 2 * x * s[7] + s[9]
            gyy = y * y * s[6] - 2 * y * s[8] + s[10]
            (w1, w2), (b1, b2) = network.head.weights, network.head.biases
            h = jnp.tanh(value.T @ w1 + b1)
            d = 1 - h * h
            px, py = gx.T @ w1, gy.T @ w1
            second = d * ((gxx + gyy).T @ w1) - 2 * h * d * (px * px + py * py)
            u, ux, uy, laplacian = (v @ w2[:, 0] for v in (h, d * px, d * py, second))
            u = u + b2[0]
            return f * laplacian + 2 * (fx * ux + fy * uy) + lap * u + wave * f * u - source

        f = factor[()][:, 0]
        axes = jnp.stack([at[:, 0], at[:, 1]], 1)
        fx, fy = -2 * axes[:, 0] * (1 - axes[:, 1] ** 2), -2 * axes[:, 1] * (1 - axes[:, 0] ** 2)
        lap = -2 * (1 - axes[:, 1] ** 2) - 2 * (1 - axes[:, 0] ** 2)
        rows = [axes, source, f, fx, fy, lap]
        chunk = model._chunk(params, points["interior"])

        def loss(network, rows):
            return jnp.sum(jnp.square(residuals(network, rows))) / len(at)

        @jax.jit
        def by_hand(network):
            add = lambda total, part: (
                jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(network, part)),
                None,
            )
            zero = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), network))
            return jax.lax.scan(
                add, zero, [row.reshape(-1, chunk, *row.shape[1:]) for row in rows]
            )[0]

        contenders = {"pinops": lambda: ours(params), "by hand": lambda: by_hand(params.network)}
        one, other = (jax.block_until_ready(run())[0] for run in contenders.values())
        assert abs(float(one / other) - 1) < 1e-9, f"the two losses differ: {one}, {other}"
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, run in contenders.items():
                began = time.perf_counter()
                for _ in range(repeats):
                    jax.block_until_ready(run())
                times[name].append(1e3 * (time.perf_counter() - began) / repeats)
        found = {name: float(np.median(values)) for name, values in times.items()}
        return found | {"ratio": float(np.median(np.divide(times["pinops"], times["by hand"])))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="less than the case allows"
    )
    parser.add_argument("--overhead", type=float, default=25.0)
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    if arguments.markdown:
        return write_table(RESULTS, MARKS)
    if arguments.step:
        found = step_cost()
        print(", ".join(f"{name} {value:.2f}" for name, value in found.items()))
        recorded = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"cases": {}}
        recorded["step"] = {"ms": found, "machine": machine(), "versions": versions()}
        RESULTS.write_text(json.dumps(recorded, indent=1) + "\n")
        return None
    for name in arguments.cases:
        case, bar = CASES[name]
        record(
            RESULTS,
            name,
            median_run(case, bar, arguments.seeds, arguments.overhead, arguments.seconds),
        )
    return None


if __name__ == "__main__":
    main()
