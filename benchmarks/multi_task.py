"""One DeepONet for three kinds of reaction against one for each, and what it makes of a fourth kind that no training has seen.

    python benchmarks/multi_task.py [--seeds 0 1 2] [--steps 3000]

Data of `fisher_family`, 800 members of each kind; the three single networks share the steps of the multi-task one. Writes
``benchmarks/results/multi_task.json``: mean relative L2 errors over 40 unseen members of every kind, final iterates.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
from catalogue import machine, versions

import pinops as po
from pinops.data import generate
from pinops.problem import sample_members, unstacked

RESULTS = Path(__file__).parent / "results" / "multi_task.json"
KINDS = ("fisher", "newell_whitehead", "zeldovich")
UNSEEN = "degenerate"


def members(kind: str) -> list:
    """Members of a kind that no training sees."""
    with jax.enable_x64(True):
        return unstacked(
            sample_members(
                po.load_problem("fisher_family", task=kind), jax.random.key(99), range(40)
            ),
            40,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=3000)
    arguments = parser.parse_args()
    tested = {kind: members(kind) for kind in (*KINDS, UNSEEN)}
    options = {"functions": po.Functions(batch=100), "progress": False}
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        data = {}
        for kind, count in (("all", 2400), *((kind, 800) for kind in KINDS)):
            data[kind] = generate(
                po.load_problem("fisher_family", task=kind),
                Path(folder) / f"{kind}.h5",
                count=count,
            )
        for seed in arguments.seeds:
            began = time.monotonic()
            errors = lambda trained, kind: float(np.mean(trained.errors(tested[kind])["u"]))
            whole = po.train(
                "fisher_family", data=data["all"], steps=arguments.steps, seed=seed, **options
            )
            run = {
                "seed": seed,
                "one for all": {kind: errors(whole, kind) for kind in tested},
                "one for each": {},
            }
            for kind in KINDS:
                steps = arguments.steps // len(KINDS)
                single = po.train(
                    po.load_problem("fisher_family", task=kind),
                    data=data[kind],
                    steps=steps,
                    seed=seed,
                    **options,
                )
                run["one for each"][kind] = errors(single, kind)
            runs.append(run | {"seconds": round(time.monotonic() - began, 1)})
            print(runs[-1], flush=True)
    content = {"steps": arguments.steps, "runs": runs, "machine": machine(), "versions": versions()}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
