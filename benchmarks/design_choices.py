"""Two choices of the default recipe against what they replaced, over seeds: final errors after the same number of steps.

    python benchmarks/design_choices.py [--seeds 0 1 2] [--steps 2500]

Burgers: residual-adaptive points with Horvitz-Thompson weights, the same points without weights, and Sobol points without
refinement. Wave: a factor of the initial conditions that levels off, and one that does not. Recorded in
``benchmarks/results/design_choices.json``.
"""

import argparse
import contextlib
import json
import time
from unittest import mock

import jax
import numpy as np
from catalogue import RESULTS, machine, versions

import pinops as po
from pinops.networks import _field
from pinops.training import Collocation, _points


def without_weights(*arguments):
    """`residual_adaptive` with the weights left out, as in Wu et al. (2023)."""
    chosen, weights = po.sampling.residual_adaptive(*arguments)
    return chosen, np.ones_like(weights)


CHOICES = {
    "burgers": {
        "weighted residual-adaptive points (the default)": ({}, contextlib.nullcontext),
        "the same points without weights": (
            {},
            lambda: mock.patch.object(_points, "residual_adaptive", without_weights),
        ),
        "Sobol points, no refinement": (
            {"sampler": Collocation(refinement=None)},
            contextlib.nullcontext,
        ),
    },
    "wave": {
        "factors that level off (the default)": ({}, contextlib.nullcontext),
        "factors that are powers of t": ({}, lambda: mock.patch.object(_field, "SATURATION", 1e12)),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=2500)
    arguments = parser.parse_args()
    phases = lambda: (
        po.Phase(po.optimizers.Adam(5e-3, 300), 300),
        po.Phase(po.optimizers.SSBroyden(), arguments.steps - 300),
    )
    recorded: dict = {
        "machine": machine(),
        "versions": versions(),
        "steps": arguments.steps,
        "problems": {},
    }
    for problem, choices in CHOICES.items():
        recorded["problems"][problem] = {}
        for choice, (options, patch) in choices.items():
            runs = []
            jax.clear_caches()  # the patched constant is compiled in
            for seed in arguments.seeds:
                start = time.perf_counter()
                with patch():
                    solution = po.solve(
                        problem, optimizer=phases(), seed=seed, progress=False, **options
                    )
                error = max(entry["relative_l2"] for entry in solution.error().values())
                runs.append(
                    {
                        "seed": seed,
                        "relative_l2": error,
                        "seconds": round(time.perf_counter() - start, 1),
                    }
                )
                print(
                    f"{problem:8s} {choice:48s} seed {seed}  {error:.2e}  {runs[-1]['seconds']:.0f} s",
                    flush=True,
                )
            recorded["problems"][problem][choice] = runs
    RESULTS.with_name("design_choices.json").write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
