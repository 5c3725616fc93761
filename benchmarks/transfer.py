"""A shape that an operator has not seen: what operators for other shapes, and the equation, make of few members of it.

    python benchmarks/operators.py --cases darcy_family --keep FOLDER
    python benchmarks/transfer.py FOLDER [--seeds 0 1 2] [--steps 600] [--learning-rate 0.001]

The first trains `darcy_family` on squares, discs and triangles; the second goes on from these runs with 96 members of the shape
"right_triangle", and updates ``benchmarks/results/transfer.json``: mean relative L2 errors over 40 unseen right triangles, final
iterates, of the operator as it was, of all its layers trained further, of some of them (the first convolution, the dense layers
of the branch and the last layer of the trunk), of a fresh operator on the same members, and of one with the equation as well.
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
from pinops.networks import ModifiedMLP
from pinops.operators import DeepONet
from pinops.problem import sample_members, unstacked

RESULTS = Path(__file__).parent / "results" / "transfer.json"
MEMBERS = 160  # three of five blocks, 96 members, are for training


def some_layers(params):
    """What the multi-task DeepONet's authors train further."""
    branch, trunk = params.network.branch.network, params.network.trunk
    return branch.kernels[0], branch.biases[0], branch.head, trunk.last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where operators.py has kept its runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    arguments = parser.parse_args()
    family = po.load_problem("darcy_family", task="right_triangle")
    with jax.enable_x64(True):
        tested = unstacked(sample_members(family, jax.random.key(99), range(40)), 40)
    soap = po.optimizers.soap(arguments.learning_rate, arguments.steps)
    options = {"steps": arguments.steps, "functions": po.Functions(batch=32), "progress": False}
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        data = generate(family, Path(folder) / "few.h5", count=MEMBERS)
        for seed in arguments.seeds:
            began = time.monotonic()
            source = po.load(arguments.folder / f"darcy_family_{seed}")
            fresh = DeepONet(trunk=ModifiedMLP(100, 4), latent=100)
            ways = {
                "all layers": {"start": source, "optimizer": soap},
                "some layers": {
                    "start": source,
                    "optimizer": po.optimizers.Only(soap, some_layers),
                },
                "fresh": {"operator": fresh, "optimizer": soap},
                "fresh, and the equation": {"operator": fresh, "optimizer": soap, "physics": True},
            }
            error = lambda operator: float(np.mean(operator.errors(tested)["u"]))
            run = {"seed": seed, "as it was": error(source)}
            for name, way in ways.items():
                run[name] = error(po.train_operator(family, data=data, seed=seed, **way, **options))
            runs.append(run | {"seconds": round(time.monotonic() - began, 1)})
            print(runs[-1], flush=True)
    recorded = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    entry = {
        "steps": arguments.steps,
        "members": 96,
        "runs": runs,
        "machine": machine(),
        "versions": versions(),
    }
    recorded[f"learning rate {arguments.learning_rate:g}"] = entry
    RESULTS.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
