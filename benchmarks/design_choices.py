"""Choices of the default recipe against their predecessors: final errors after the same steps.

    python benchmarks/design_choices.py [--seeds 0 1 2] [--steps 1200]

Burgers: residual-adaptive points with Horvitz-Thompson weights, the same points without weights,
and Sobol points without refinement. Wave: factors of the initial conditions that level off at a
distance of 0.1 (s / (s + 0.1), squared for the two conditions in time), and the powers s and s^2.
Heat: walls without flux met exactly, and as a term of the loss.
Updates ``benchmarks/results/design_choices.json``.
"""

import contextlib
import json
from typing import Any
from unittest import mock

import _record
from _record import Row, measure

WEIGHTED, UNWEIGHTED = "burgers, weighted adaptive points", "burgers, unweighted adaptive points"
SOBOL = "burgers, Sobol points"
LEVEL, POWERS = "wave, factors that level off", "wave, factors that are powers"
FLAT, TERM = "heat, fluxes met exactly", "heat, fluxes as a term of the loss"
CASES = (WEIGHTED, UNWEIGHTED, SOBOL, LEVEL, POWERS, FLAT, TERM)


def insulated(soft: bool) -> Any:
    """Heat in a square without flux through its walls, whose third derivatives do not vanish there,
    so that no mirror image continues the solution.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    import pinops as po

    def first(s):
        return jnp.sin(2 * s) - 2 * s * (1 - s) ** 2 + 2 * np.cos(2) * s**2 * (1 - s)

    def second(s):
        slope = 1 - 3 * np.sin(3)
        return jnp.cos(3 * s) + s - s * (1 - s) ** 2 + slope * s**2 * (1 - s)

    class Insulated(po.Problem):
        domain = po.Box(x=(0, 1), y=(0, 1), t=(0, 1))

        def exact(self, x, y, t):
            return jnp.exp(-t) * first(x) * second(y) + jnp.sin(3 * t) * second(x) / 2

        def residual(self, u_t, lap_u, x, y, t):
            slopes = jax.grad(self.exact, (0, 1, 2))(x, y, t)
            seconds = [jax.grad(jax.grad(self.exact, k), k)(x, y, t) for k in (0, 1)]
            return u_t - lap_u - slopes[2] + sum(seconds)

        def conditions(self):
            return po.Initial(self.exact), po.Neumann(0.0, on=("x", "y"), soft=soft)

    return Insulated()


def run(case: str, seed: int, steps: int) -> Row:
    """One training; the replacement of a case happens before compilation."""
    import numpy as np

    import pinops as po
    from pinops.networks import _constrained
    from pinops.sampling import _adaptive

    def without_weights(*arguments, **settings):
        """`residual_adaptive` without weights, as in Wu et al. (2023)."""
        chosen, weights = po.sampling.residual_adaptive(*arguments, **settings)
        return chosen, np.ones_like(weights)

    adam = min(300, steps // 2)
    phases = (
        po.Phase(po.optimizers.Adam(5e-3, adam), adam),
        po.Phase(po.optimizers.SSBroyden(), steps - adam),
    )
    options: dict[str, Any] = {"points": po.Collocation(refinement=None)} if case == SOBOL else {}
    with contextlib.ExitStack() as replaced:
        if case == UNWEIGHTED:
            patch = mock.patch.object(_adaptive, "residual_adaptive", without_weights)
            replaced.enter_context(patch)
        if case == POWERS:  # s / (s + c) is a multiple of s for a large c
            replaced.enter_context(mock.patch.object(_constrained, "SATURATION", 1e6))
        name = case.split(",")[0]
        problem = insulated(case == TERM) if name == "heat" else name
        solution = po.solve(problem, optimizer=phases, seed=seed, progress=False, **options)
        errors = {unknown: one["mean"] for unknown, one in solution.error().items()}
    return {"relative_l2": errors, "seconds": round(solution.seconds, 1)}


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES)
    options.add_argument("--steps", type=int, default=1200)
    arguments = _record.parse(options)
    steps = 4 if arguments.smoke else arguments.steps
    if arguments.one:
        return print(json.dumps(run(arguments.cases[0], arguments.seeds[0], steps)))
    for case in arguments.cases:
        for seed in arguments.seeds:
            row = _record.one(__file__, case, seed, "--steps", str(steps), cold=False)
            _record.Record(arguments.record).add(case, seed, row, steps=steps)
            seconds = row["process_seconds"]
            print(f"{case:40s} seed {seed}  {measure(row):.2e}  {seconds:.0f} s", flush=True)
    return None


if __name__ == "__main__":
    main()
