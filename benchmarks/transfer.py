"""Transfer to an unseen shape from few members, with operators of other shapes or the equation.

    python benchmarks/operators.py --cases darcy_family --keep FOLDER
    python benchmarks/transfer.py FOLDER [--seeds 0 1 2] [--steps 600] [--learning-rate 0.001]

The first command trains `darcy_family` on squares, discs and triangles. The second continues these
runs with 96 members of the shape "right_triangle" and updates ``benchmarks/results/transfer.json``
with mean relative L2 errors over 40 unseen right triangles, for the final iterates: without further
training, with all layers trained further, with some of them trained further (the first convolution,
the dense layers of the branch and the last layer of the trunk), for a fresh operator on the same
members, and for a fresh operator with the equation as well.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import _record
from _record import Row

MEMBERS = 160  # three of five blocks (96 members) are for training
TESTED = 40


def some_layers(params: Any) -> tuple[Any, ...]:
    """The layers that the authors of the multi-task DeepONet train further."""
    branch, trunk = params.network.branch.network, params.network.trunk
    return branch.kernels[0], branch.biases[0], branch.head, trunk.last


def run(source: Path, seed: int, rate: float, steps: int, count: int, tested: int) -> Row:
    """The errors without further training and after each kind of transfer."""
    import jax
    import numpy as np

    import pinops as po
    from pinops.data import generate
    from pinops.networks import ModifiedMLP
    from pinops.operators import DeepONet
    from pinops.problem import sample_members, unstacked

    family = po.load_problem("darcy_family", task="right_triangle")
    with jax.enable_x64(True):
        unseen = unstacked(sample_members(family, jax.random.key(99), range(tested)), tested)
    soap = po.optimizers.SOAP(rate, steps)
    options: dict[str, Any] = {"steps": steps, "functions": po.Functions(batch=min(32, count // 5))}
    start, fresh = po.load(source), DeepONet(trunk=ModifiedMLP(100, 4), latent=100)
    ways: dict[str, dict[str, Any]] = {
        "all layers": {"start": start, "optimizer": soap},
        "some layers": {"start": start, "optimizer": po.optimizers.Only(soap, some_layers)},
        "fresh": {"architecture": fresh, "optimizer": soap},
        "fresh, and the equation": {"architecture": fresh, "optimizer": soap, "physics": 1.0},
    }

    def error(operator: Any) -> float:
        return float(np.mean(operator.errors(unseen)["u"]))

    out = {"as it was": error(start)}
    with tempfile.TemporaryDirectory() as folder:
        data = generate(family, Path(folder) / "few.h5", count=count)
        for name, way in ways.items():
            shared = {"data": data, "seed": seed, "progress": False}
            out[name] = error(po.train(family, **shared, **way, **options))
    return out


def main() -> None:
    options = _record.parser(__file__, __doc__, ["right_triangle"])
    options.add_argument("folder", type=Path, help="where operators.py has kept its runs")
    options.add_argument("--steps", type=int, default=600)
    options.add_argument("--learning-rate", type=float, default=1e-3)
    arguments = _record.parse(options)
    rate, smoke = arguments.learning_rate, arguments.smoke
    sizes = (2, 66, 2) if smoke else (arguments.steps, MEMBERS, TESTED)
    if arguments.one:
        (seed,) = arguments.seeds
        source = arguments.folder / f"darcy_family_{seed}"
        return print(json.dumps(run(source, seed, rate, *sizes)))
    more = [str(arguments.folder), "--steps", str(arguments.steps), "--learning-rate", str(rate)]
    more += ["--smoke", str(smoke)] if smoke else []
    facts = {"steps": sizes[0], "members": sizes[1] * 3 // 5}
    for seed in arguments.seeds:
        row = _record.one(__file__, "right_triangle", seed, *more, cold=not smoke)
        _record.Record(arguments.record).add(f"learning rate {rate:g}", seed, row, **facts)
        print(seed, row, flush=True)
    return None


if __name__ == "__main__":
    main()
