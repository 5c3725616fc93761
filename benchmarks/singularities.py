"""What is known of a singularity or a layer, as one line of a problem, against none.

Each problem is solved with the default network and optimizer within the same time:

* "L-shape": lap u = 0 with the data of r^(2/3) sin(2a/3) - r^(4/3) sin(4a/3) / 2 + e^x cos(y) / 4;
  "feature" shows networks the first two singular functions, "free coefficient" has them in the
  lift, times trainable coefficients;
* "Robin heat": u_t = 0.1 u_xx from u = 1, with u + u_n = 0 at x = 0, which the start does not meet,
  and u_n = 0 at x = 1; "lift" has `similarity`;
* "corner jump": lap u = 0 on a square with u = 1 on one side and 0 on the others; "lift" has
  `angle` in both corners;
* "layer": -0.01 u_xx + u_x = f with a smooth part and a layer of width 0.01; "feature" has `layer`.

The solutions are closed forms and series that have converged.
"""

import json
import math
import statistics
from typing import Any

import _record

MARKS = (
    "<!-- singularities: benchmarks/singularities.py --markdown -->",
    "<!-- end of singularities -->",
)
CASES = (
    "L-shape, plain",
    "L-shape, feature",
    "L-shape, free coefficient",
    "Robin heat, plain",
    "Robin heat, lift",
    "corner jump, plain",
    "corner jump, lift",
    "layer, plain",
    "layer, feature",
)
DIFFUSIVITY, SMALL, MODES = 0.1, 0.01, 400


def l_shape(how: str) -> Any:
    """Laplace's equation on an L-shape."""
    import jax.numpy as jnp

    import pinops as po

    def singular(x: Any, y: Any, k: int) -> Any:
        return po.features.corner(x, y, at=(0, 0), opening=1.5 * math.pi, start=0.5 * math.pi, k=k)

    class LShape(po.Problem):
        domain = po.Polygon([(0, 0), (0, 1), (-1, 1), (-1, -1), (1, -1), (1, 0)])
        trainable = ("first", "second") if how == "free coefficient" else ()
        first: float = 0.1
        second: float = 0.1

        def residual(self, lap_u):
            return lap_u

        def exact(self, x, y):
            smooth = jnp.exp(x) * jnp.cos(y) / 4
            return singular(x, y, 1) - singular(x, y, 2) / 2 + smooth

        def conditions(self):
            return (po.Dirichlet(self.exact),)

        if how == "feature":

            def features(self, x, y):
                return singular(x, y, 1), singular(x, y, 2)

        if how == "free coefficient":

            def lift(self, x, y):
                return self.first * singular(x, y, 1) + self.second * singular(x, y, 2)

    return LShape()


def robin_heat(how: str) -> Any:
    """A rod that begins to lose heat at one end."""
    import numpy as np

    import pinops as po

    def cooled(x: Any, t: Any, modes: int) -> Any:
        """The series: m tan m = 1."""
        m = np.pi * np.arange(modes) + np.pi / 4
        for _ in range(100):
            m = np.pi * np.arange(modes) + np.arctan(1 / m)
        weights = 2 * np.sin(m) / (m + np.sin(m) * np.cos(m))
        waves = weights * np.cos(m * (1 - x)) * np.exp(-DIFFUSIVITY * m**2 * t)
        return np.where(t > 0, waves.sum(-1, keepdims=True), 1.0)[..., 0]

    class RobinHeat(po.Problem):
        domain = po.Box(x=(0, 1), t=(0, 1))

        def residual(self, u_t, u_xx):
            return u_t - DIFFUSIVITY * u_xx

        def conditions(self):
            return (
                po.Robin(0.0, on="x_min"),
                po.Neumann(0.0, on="x_max"),
                po.Initial(1.0),
            )

        def reference(self):
            x, t = np.linspace(0, 1, 101), np.linspace(0, 1, 51)
            return compared({"x": x, "t": t}, cooled)

        if how == "lift":

            def lift(self, x, t):
                return 1 - po.features.similarity(x, t, diffusivity=DIFFUSIVITY, alpha=1, beta=1)

    return RobinHeat()


def corner_jump(how: str) -> Any:
    """A square with a hot side."""
    import numpy as np

    import pinops as po

    def heated(x: Any, y: Any, modes: int) -> Any:
        """The series of sin(n pi x) sinh(n pi y) / sinh(n pi), n odd."""
        n = np.pi * (2 * np.arange(modes) + 1)
        rise = np.exp(n * (y - 1)) * np.expm1(-2 * n * y) / np.expm1(-2 * n)
        inside = (4 / n * np.sin(n * x) * rise).sum(-1, keepdims=True)
        return np.where(y < 1, inside, 1.0)[..., 0]

    class CornerJump(po.Problem):
        domain = po.Box(x=(0, 1), y=(0, 1))

        def residual(self, lap_u):
            return lap_u

        def conditions(self):
            return (po.Dirichlet(1.0, on="y_max"), po.Dirichlet(0.0, on=("x", "y_min")))

        def reference(self):
            # Between the corners, in which the solution has no value.
            line = (np.arange(64) + 0.5) / 64
            return compared({"x": line, "y": line}, heated)

        if how == "lift":

            def lift(self, x, y):
                right = 0.5 * math.pi
                left = po.features.angle(x, y, at=(0, 1), opening=right, start=-right)
                return left - po.features.angle(x, y, at=(1, 1), opening=right, start=-2 * right)

    return CornerJump()


def layer(how: str) -> Any:
    """Convection with little diffusion, towards a wall."""
    import jax.numpy as jnp

    import pinops as po

    class Layer(po.Problem):
        domain = po.Box(x=(0, 1))

        def residual(self, u_x, u_xx, x):
            wave = 2 * jnp.pi * x
            smooth = jnp.pi * jnp.cos(wave) + 2 * jnp.pi**2 * SMALL * jnp.sin(wave)
            return -SMALL * u_xx + u_x - 1 - smooth

        def conditions(self):
            return (po.Dirichlet(0.0),)

        def exact(self, x):
            steep = (jnp.exp((x - 1) / SMALL) - jnp.exp(-1 / SMALL)) / (1 - jnp.exp(-1 / SMALL))
            return x + jnp.sin(2 * jnp.pi * x) / 2 - steep

        if how == "feature":

            def features(self, x):
                return (po.features.layer(1 - x, width=SMALL),)

    return Layer()


def compared(coordinates: dict[str, Any], series: Any) -> Any:
    """A series on a grid, twice: with half of its terms for the error bar."""
    import numpy as np

    import pinops as po

    (first, one), (second, other) = coordinates.items()
    a, b = one[:, None, None], other[None, :, None]
    values, fewer = series(a, b, MODES), series(a, b, MODES // 2)
    off = float(np.sqrt(np.mean((values - fewer) ** 2) / np.mean(values**2)))
    return po.reference.Reference(
        coordinates={first: one[:, None], second: other[None]},
        values={"u": values},
        error_bar={"u": max(off, 1e-14)},
        kind="series",
        source="benchmarks/singularities.py",
    )


PROBLEMS = {
    "L-shape": l_shape,
    "Robin heat": robin_heat,
    "corner jump": corner_jump,
    "layer": layer,
}


def row_of(case: str, seed: int, minutes: float, smoke: bool) -> dict[str, Any]:
    """One case and seed."""
    import pinops as po

    name, how = case.split(", ")
    options: Any = {"steps": 2} if smoke else {"minutes": minutes}
    solution = po.solve(PROBLEMS[name](how), seed=seed, progress=False, **options)
    error = solution.error()["u"]
    row = {"relative_l2": {"u": error["mean"]}, "max_abs": error["max_abs"]}
    row |= {"steps": solution.steps, "limit": solution.diagnose().limit}
    return row | {"coefficients": {k: float(v) for k, v in solution.coefficients.items()}}


def table(cases: dict[str, Any]) -> list[str]:
    """The rows of the table."""
    lines = ["| problem | known | error | largest error | `diagnose()` | seconds |"]
    lines.append("|---|---|---|---|---|---|")
    for case in CASES:
        if case not in cases:
            continue
        runs = cases[case]["runs"]
        name, how = case.split(", ")
        cells = [
            name,
            "nothing" if how == "plain" else how,
            _record.each(runs, lambda run: f"{_record.measure(run):.1e}"),
            f"{statistics.median(run.get('max_abs', math.inf) for run in runs):.1e}",
            ", ".join(dict.fromkeys(f"`{run.get('limit', '-')}`" for run in runs)),
            _record.seconds(cases[case]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES)
    _record.add_markdown(options, _record.ROOT / "docs" / "guide" / "singularities.md")
    options.add_argument("--minutes", type=float, default=1.5, help="of each training")
    asked = _record.parse(options)
    record = _record.Record(asked.record)
    if asked.one:
        case, seed = asked.cases[0], asked.seeds[0]
        print(json.dumps(row_of(case, seed, asked.minutes, bool(asked.smoke))))
        return
    if asked.markdown:
        _record.into_page(table(record.cases()), MARKS, asked.markdown)
        return
    for case in asked.cases:
        for seed in asked.seeds:
            more = ["--minutes", str(asked.minutes), *(["--pin"] if asked.pin else [])]
            more += ["--smoke", str(asked.smoke)] if asked.smoke else []
            row = _record.one(__file__, case, seed, *more)
            record.add(case, seed, row, minutes=asked.minutes)
            print(case, seed, row, flush=True)


if __name__ == "__main__":
    main()
