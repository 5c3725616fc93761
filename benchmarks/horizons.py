"""Long times in windows whose lengths are chosen: errors over all of the time.

    python benchmarks/horizons.py [--cases lorenz ...] [--seeds 0 1 2] [--pin]
    python benchmarks/horizons.py --markdown

The first command solves every problem with ``windows=TimeWindows(...)`` and updates
``benchmarks/results/horizons.json``; the second writes the table of ``docs/guide/horizons.md``.
References are those of `scipy.integrate.solve_ivp` (DOP853, relative tolerance 1e-13, and 1e-12 for
the error bar), a Fourier series in time steps, or in closed form.
"""

from pathlib import Path
from typing import Any

import _record
from _record import Row, measure

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "horizons.md"
MARKS = ("<!-- table: benchmarks/horizons.py --markdown -->", "<!-- end of table -->")
CASES = {
    "lotka_volterra 20": ("Lotka-Volterra to t = 20", 1e-5, 120),
    "lotka_volterra 100": ("Lotka-Volterra to t = 100, 7 periods", 1e-5, 300),
    "pendulum 100": ("a pendulum to t = 100, 14 periods", 1e-5, 300),
    "lorenz 20": ("Lorenz to t = 20", 1e-4, 300),
    "advection 100": ("advection to t = 100, 16 crossings", 1e-3, 300),
    "reaction_diffusion 20": ("u_t = u_xx / 100 + u - u³ to t = 20", 1e-4, 300),
    "kuramoto_sivashinsky 50": ("Kuramoto-Sivashinsky, length 22, to t = 50", 1e-2, 600),
}


def problem(name: str, end: float) -> Any:
    """The problem of a case, up to a time."""
    import jax.numpy as jnp
    import numpy as np
    from scipy.integrate import solve_ivp

    import pinops as po
    from pinops.reference import Reference, periodic_etdrk4

    def in_time(rates: Any, start: tuple[float, ...], names: tuple[str, ...]) -> Reference:
        """The solution of ordinary differential equations; names of the first of its parts."""
        t = np.linspace(0, end, 2001)

        def found(tolerance: float) -> Any:
            options: dict[str, Any] = {"rtol": tolerance, "atol": tolerance, "t_eval": t}
            return solve_ivp(rates, (0, end), start, method="DOP853", **options).y

        rough, fine = found(1e-12), found(1e-13)
        off = np.linalg.norm(rough - fine, axis=1) / np.linalg.norm(fine, axis=1)
        return Reference(
            {"t": t},
            dict(zip(names, fine, strict=False)),
            dict(zip(names, off.tolist(), strict=False)),
            "DOP853",
            "Hairer, Norsett & Wanner (1993)",
        )

    class LotkaVolterra(po.Problem):
        """Prey x and predators y; Wikipedia's rates."""

        domain = po.Box(t=(0, end))
        unknowns = ("x", "y")

        def residual(self, x, x_t, y, y_t):
            return {"prey": x_t - 1.1 * x + 0.4 * x * y, "predators": y_t - 0.1 * x * y + 0.4 * y}

        def conditions(self):
            return (po.Initial({"x": 10.0, "y": 10.0}),)

        def reference(self):
            def rates(t, z):
                return [1.1 * z[0] - 0.4 * z[0] * z[1], 0.1 * z[0] * z[1] - 0.4 * z[1]]

            return in_time(rates, (10.0, 10.0), ("x", "y"))

    class Pendulum(po.Problem):
        """u_tt = -sin u, from an angle of 1.5 at rest."""

        domain = po.Box(t=(0, end))

        def residual(self, u, u_tt):
            return u_tt + jnp.sin(u)

        def conditions(self):
            return (po.Initial(1.5, 0.0),)

        def reference(self):
            return in_time(lambda t, z: [z[1], -np.sin(z[0])], (1.5, 0.0), ("u",))

    class Lorenz(po.Problem):
        """The usual rates, from (1, 1, 1)."""

        domain = po.Box(t=(0, end))
        unknowns = ("x", "y", "z")

        def residual(self, x, x_t, y, y_t, z, z_t):
            return {
                "x": x_t - 10 * (y - x),
                "y": y_t - x * (28 - z) + y,
                "z": z_t - x * y + 8 / 3 * z,
            }

        def conditions(self):
            return (po.Initial({"x": 1.0, "y": 1.0, "z": 1.0}),)

        def reference(self):
            def rates(t, s):
                x, y, z = s
                return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]

            return in_time(rates, (1.0, 1.0, 1.0), ("x", "y", "z"))

    class Advection(po.Problem):
        """u_t + u_x = 0, periodic."""

        domain = po.Box(x=(0, 2 * np.pi), t=(0, end))

        def residual(self, u_t, u_x):
            return u_t + u_x

        def conditions(self):
            return po.Periodic("x"), po.Initial(lambda x: jnp.sin(x))

        def exact(self, x, t):
            return jnp.sin(x - t)

    class ReactionDiffusion(po.Problem):
        """u_t = u_xx / 100 + u - u^3, periodic."""

        domain = po.Box(x=(0, 2 * np.pi), t=(0, end))

        def residual(self, u, u_t, u_xx):
            return u_t - u_xx / 100 - u + u**3

        def conditions(self):
            return po.Periodic("x"), po.Initial(lambda x: jnp.cos(x) * (1 + jnp.sin(x)) / 2)

        def reference(self):
            return periodic_etdrk4(
                np.linspace(0, 2 * np.pi, 129),
                np.linspace(0, end, 201),
                interval=(0, 2 * np.pi),
                symbol=lambda k: -(k**2) / 100,
                reaction=lambda u: u - u**3,
                initial=lambda x: np.cos(x) * (1 + np.sin(x)) / 2,
                modes=256,
                max_step=0.01,
            )

    class KuramotoSivashinsky(po.Problem):
        """u_t + u u_x + u_xx + u_xxxx = 0 on a length of 22, the smallest with chaos."""

        domain = po.Box(x=(0, 22), t=(0, end))

        def residual(self, u, u_t, u_x, u_xx, u_xxxx):
            return u_t + u * u_x + u_xx + u_xxxx

        def conditions(self):
            wave = 2 * jnp.pi / 22
            return (
                po.Periodic("x"),
                po.Initial(lambda x: jnp.cos(wave * x) * (1 + jnp.sin(wave * x))),
            )

        def reference(self):
            wave = 2 * np.pi / 22
            return periodic_etdrk4(
                np.linspace(0, 22, 129),
                np.linspace(0, end, 201),
                interval=(0, 22),
                symbol=lambda k: k**2 - k**4,
                flux=lambda u: u**2 / 2,
                initial=lambda x: np.cos(wave * x) * (1 + np.sin(wave * x)),
                modes=128,
                max_step=0.01,
            )

    found = (LotkaVolterra, Pendulum, Lorenz, Advection, ReactionDiffusion, KuramotoSivashinsky)
    classes = {name.split()[0]: None for name in CASES}
    return dict(zip(classes, found, strict=True))[name]()


def settings(name: str) -> dict[str, Any]:
    """The options of a case: none for ordinary differential equations."""
    import pinops as po

    if name == "kuramoto_sivashinsky":
        return {
            "windows": po.TimeWindows(nodes=65),
            "network": po.networks.Spectral((8, 24, 1)),
            "optimizer": po.optimizers.GaussNewton(damping=1e-14),
            "points": po.Collocation(interior=1024),
            "steps": 30,
        }
    if name in ("advection", "reaction_diffusion"):
        return {"windows": po.TimeWindows(tolerance=1e-4)}
    return {"windows": po.TimeWindows()}


def run(case: str, seed: int, smoke: bool) -> Row:
    """One march through time, in nine tenths of the seconds: the rest compiles."""
    import pinops as po

    name, end = case.split()
    options: dict[str, Any] = {"minutes": 0.9 * CASES[case][2] / 60}
    until = 1.0 if smoke else float(end)
    solution = po.solve(problem(name, until), seed=seed, progress=False, **settings(name) | options)
    errors = {unknown: one["mean"] for unknown, one in solution.error().items()}
    lengths = [end - begin for begin, end in solution.windows]
    return {
        "relative_l2": errors,
        "status": solution.status,
        "reached": solution.windows[-1][1],
        "windows": len(lengths),
        "lengths": [min(lengths), max(lengths)],
        "rejected": len(solution.notes),
        "steps": solution.history[-1].step,
        "seconds": round(solution.seconds, 1),
    }


def table(content: Row) -> list[str]:
    """The recorded cases."""
    lines = [
        "| problem | target | relative error, each seed | windows | their lengths | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for name, entry in content["cases"].items():
        runs = entry["runs"]
        errors = _record.each(runs, lambda row: f"{measure(row):.1e}")
        windows = _record.each(runs, lambda row: str(row["windows"]))
        lengths = _record.each(runs, lambda row: "{:.2g} to {:.2g}".format(*row["lengths"]))
        about, target, limit = CASES[name]
        taken = f"{_record.seconds(entry)} of {limit}"
        lines.append(f"| {about} | {target:.0e} | {errors} | {windows} | {lengths} | {taken} |")
    return lines


def main() -> None:
    settings = {
        case: {"target": target, "seconds": limit} for case, (_, target, limit) in CASES.items()
    }
    _record.by_case(__file__, __doc__, run, settings, page=PAGE, marks=MARKS, table=table)


if __name__ == "__main__":
    main()
