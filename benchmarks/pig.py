"""Physics-informed Gaussians against their paper (arXiv:2412.05994): error in a fixed time, and the
cost of a step.

    python benchmarks/pig.py [--seeds 0 1 2] [--cases helmholtz ...] [--seconds 150]
    python benchmarks/pig.py --step
    python benchmarks/pig.py --markdown

The first command updates ``benchmarks/results/pig.json`` with final iterates against the references
of pinops; ``--seconds`` shortens the time limit of a case, and is recorded. ``--step`` measures one
loss and gradient of 400 Gaussians in four channels at 4096 points against the same arithmetic
written by hand, alternately in one process. The last command writes the table of its page.
"""

import statistics
from collections.abc import Callable
from typing import Any

import _record
from time_to_accuracy import record, table

MARKS = ("<!-- gaussians: benchmarks/pig.py --markdown -->", "<!-- end of gaussians -->")


def gaussians(number: int, scale: float, more: str = "") -> list[str]:
    """One channel without a head: half the cost per parameter of four channels, as accurate."""
    settings = f'gaussians={number}, scale={scale}, channels=1, head="none"'
    return ["--network", f"PIG({', '.join(filter(None, (settings, more)))})"]


HELMHOLTZ = gaussians(300, 0.2)
# Radial basis functions: only the weights are trained, in one step.
STILL = "moving=False, reshaping=False"
LINEAR = ["--points", "Collocation(interior=8000)"]
LINEAR += ["--optimizer", "TruncatedGaussNewton()", "--steps", "2"]
NEWTON = ["--points", "Collocation(interior=10000, sampler=Arcsine())"]  # that of the cavity
NEWTON += ["--optimizer", "GaussNewton(damping=1e-13)", "--steps", "5"]
# Relative L2 error (worst unknown), seconds, and the options.
CASES: dict[str, tuple[str, tuple[float, float, list[str]]]] = {
    "helmholtz": ("helmholtz", (4e-5, 300, HELMHOLTZ)),
    "helmholtz, fixed centres": ("helmholtz", (4e-5, 300, gaussians(300, 0.2, "moving=False"))),
    "helmholtz, head of 16": (
        "helmholtz",
        (4e-5, 300, ["--network", "PIG(gaussians=75, scale=0.2)"]),
    ),
    "helmholtz, head of 64": (
        "helmholtz",
        (
            4e-5,
            300,
            ["--network", "PIG(gaussians=75, scale=0.2, hidden=64)"],
        ),
    ),
    "helmholtz, Adam": (
        "helmholtz",
        (4e-5, 300, [*HELMHOLTZ, "--optimizer", "Adam(0.01)"]),
    ),
    "helmholtz, L-BFGS": ("helmholtz", (4e-5, 300, [*HELMHOLTZ, "--optimizer", "LBFGS()"])),
    "helmholtz, Levenberg-Marquardt": (
        "helmholtz",
        (4e-5, 300, [*HELMHOLTZ, "--optimizer", "LevenbergMarquardt()"]),
    ),
    "helmholtz, MLP": ("helmholtz", (4e-5, 300, ["--network", "MLP()"])),
    "helmholtz a1=10 a2=10": (
        "helmholtz a1=10 a2=10",
        (5e-3, 600, [*gaussians(3000, 0.12, STILL), *LINEAR]),
    ),
    "klein_gordon": ("klein_gordon", (2.5e-3, 600, gaussians(100, 0.5))),
    "flow_mixing": ("flow_mixing", (1.5e-3, 900, gaussians(400, 0.3))),
    "nonlinear_diffusion": ("nonlinear_diffusion", (2e-3, 900, gaussians(200, 0.3))),
    "allen_cahn": ("allen_cahn", (1e-4, 600, gaussians(400, 0.2))),
    "allen_cahn, fixed centres": ("allen_cahn", (1e-4, 600, gaussians(400, 0.2, "moving=False"))),
    "allen_cahn, head of 16": (
        "allen_cahn",
        (1e-4, 600, ["--network", "PIG(gaussians=100, scale=0.2)"]),
    ),
    "allen_cahn, head of 64": (
        "allen_cahn",
        (
            1e-4,
            600,
            ["--network", "PIG(gaussians=100, scale=0.2, hidden=64)"],
        ),
    ),
    "allen_cahn, L-BFGS": (
        "allen_cahn",
        (1e-4, 600, [*gaussians(400, 0.2), "--optimizer", "LBFGS()"]),
    ),
    "allen_cahn, idle ones moved": ("allen_cahn", (1e-4, 600, gaussians(400, 0.2, "idle=0.05"))),
    "allen_cahn_inverse": ("allen_cahn_inverse", (1e-2, 600, gaussians(400, 0.2))),
    "lid_driven_cavity": (
        "lid_driven_cavity",
        (2e-3, 600, [*gaussians(1936, 0.115, f'centres="grid", {STILL}'), *NEWTON]),
    ),
}


def residuals(network: Any, rows: Any, wave: float) -> Any:
    """The equation in closed form: u, its gradient and u_xx + u_yy from one exponential.

    Features are in (-1, 1); ``rows`` holds points, source, and the factor that imposes the
    conditions with its derivatives.
    """
    import jax.numpy as jnp

    z, source, f, fx, fy, lap = rows
    a = jnp.exp(-2 * network.spreads)
    m, w = network.centres, network.weights
    powers = jnp.concatenate([z * z, z, jnp.ones_like(z[:, :1])], 1)
    constant = -0.5 * jnp.sum(a * m * m, -1, keepdims=True)
    g = jnp.exp(jnp.einsum("pm,cnm->cpn", powers, jnp.concatenate([-0.5 * a, a * m, constant], -1)))
    wa, wam = w[..., None] * a, w[..., None] * a * m
    columns = jnp.concatenate([w[..., None], wa, wam, wa * a, wam * a, wam * a * m - wa], -1)
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


def contenders(number: int, size: int) -> dict[str, Callable[[], Any]]:
    """Loss and gradient for given numbers of Gaussians and points, in float64: pinops, by hand."""
    import jax
    import jax.numpy as jnp

    import pinops as po
    from pinops.networks import embedding_of
    from pinops.problem import INTERIOR, Scales, impose
    from pinops.training import draw, split

    problem: Any = po.load_problem("helmholtz")
    imposition = impose(problem)
    network = po.networks.PIG(number, 4).build(
        embedding_of(problem, imposition).size, 1, key=jax.random.key(0)
    )
    one = {"u": 1.0}  # the arithmetic by hand has no sizes
    plain = Scales(
        centre={"u": 0.0}, spread=one, sizes=one, terms={"residual": 1.0}, coefficients={}
    )
    model, params = split(problem, network, imposition, plain, "Helmholtz")
    points = model.prepared(
        params, draw(problem, imposition.soft, po.Collocation(interior=size), jax.random.key(1))
    )
    weights = {"residual": jnp.ones(1)}
    ours = jax.jit(lambda params: model.objective(points, weights)(params))
    at = points[INTERIOR].at
    lift, factor, _ = points[INTERIOR].fixed
    wave = float(problem.k) ** 2
    a1, a2 = float(problem.a1), float(problem.a2)
    exact = jnp.sin(a1 * jnp.pi * at[:, 0]) * jnp.sin(a2 * jnp.pi * at[:, 1])
    source = (wave - jnp.pi**2 * (a1**2 + a2**2)) * exact

    f = factor[()][:, 0]
    axes = jnp.stack([at[:, 0], at[:, 1]], 1)
    fx, fy = -2 * axes[:, 0] * (1 - axes[:, 1] ** 2), -2 * axes[:, 1] * (1 - axes[:, 0] ** 2)
    lap = -2 * (1 - axes[:, 1] ** 2) - 2 * (1 - axes[:, 0] ** 2)
    rows = [axes, source, f, fx, fy, lap]
    chunk = model._chunk(params, points[INTERIOR])

    def loss(network, rows):
        return jnp.sum(jnp.square(residuals(network, rows, wave))) / len(at)

    @jax.jit
    def by_hand(network):
        def add(total, part):
            return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(network, part)), None

        zero = jax.tree.map(jnp.zeros_like, (jnp.zeros(()), network))
        return jax.lax.scan(add, zero, [row.reshape(-1, chunk, *row.shape[1:]) for row in rows])[0]

    ways: dict[str, Callable[[], Any]] = {
        "pinops": lambda: ours(params),
        "by hand": lambda: by_hand(params.network),
    }
    one, other = (jax.block_until_ready(run())[0] for run in ways.values())
    assert abs(float(one / other) - 1) < 1e-9, f"the two losses differ: {one}, {other}"
    return ways


def step_cost(rounds: int, repeats: int, number: int, size: int) -> dict[str, float]:
    """Median milliseconds with pinops and by hand, and the median of their ratios."""
    import jax

    with jax.enable_x64(True):
        times = _record.in_turns(contenders(number, size), rounds, repeats)
    found = {name: statistics.median(values) for name, values in times.items()}
    ratios = [ours / bound for ours, bound in zip(*times.values(), strict=True)]
    return found | {"ratio": statistics.median(ratios)}


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES)
    about = "less than the case allows"
    options.add_argument("--seconds", type=float, default=float("inf"), help=about)
    options.add_argument("--overhead", type=float, default=25.0)
    options.add_argument("--step", action="store_true")
    _record.add_markdown(options)
    arguments = _record.parse(options)
    results, smoke = _record.Record(arguments.record), bool(arguments.smoke)
    if arguments.markdown:
        present = {name: limits[2] for name, (_, limits) in CASES.items()}
        return _record.into_page(table(results.cases(), present), MARKS, arguments.markdown)
    if arguments.step:
        found = step_cost(1, 1, 40, 256) if smoke else step_cost(9, 10, 400, 4096)
        print(", ".join(f"{name} {value:.2f}" for name, value in found.items()))
        return results.section("step", ms=found)
    for name in arguments.cases:
        case, limits = CASES[name]
        times = {"overhead": arguments.overhead, "limit": arguments.seconds}
        record(results, name, case, limits, arguments.seeds, **times, smoke=smoke)
    return None


if __name__ == "__main__":
    main()
