"""One DeepONet for three kinds of reaction against one per kind, tested on a fourth kind as well.

    python benchmarks/multi_task.py [--seeds 0 1 2] [--steps 3000]

The data are 800 members of each kind of `fisher_family`. The three single-task networks together
take as many steps as the multi-task one; the fourth kind is in no training data. Updates
``benchmarks/results/multi_task.json`` with mean relative L2 errors over 40 unseen members of every
kind, for the final iterates.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import _record
from _record import Row

FAMILY = "fisher_family"
KINDS = ("fisher", "newell_whitehead", "zeldovich")
UNSEEN = "degenerate"
MEMBERS, TESTED = 800, 40  # of each kind


def members(kind: str, count: int) -> list[Any]:
    """Unseen members of a kind."""
    import jax

    import pinops as po
    from pinops.problem import sample_members, unstacked

    family = po.load_problem(FAMILY, task=kind)
    with jax.enable_x64(True):
        return unstacked(sample_members(family, jax.random.key(99), range(count)), count)


def run(seed: int, steps: int, count: int, tested: int, batch: int) -> Row:
    """The errors of the multi-task network and of the single-task ones, by kind."""
    import numpy as np

    import pinops as po
    from pinops.data import generate

    unseen = {kind: members(kind, tested) for kind in (*KINDS, UNSEEN)}
    options: dict[str, Any] = {"functions": po.Functions(batch=batch), "progress": False}

    def trained(kind: str, count: int, steps: int, folder: str) -> Any:
        family = po.load_problem(FAMILY, task=kind)
        data = generate(family, Path(folder) / f"{kind}.h5", count=count)
        return po.train(family, data=data, steps=steps, seed=seed, **options)

    def error(operator: Any, kind: str) -> float:
        return float(np.mean(operator.errors(unseen[kind])["u"]))

    with tempfile.TemporaryDirectory() as folder:
        whole = trained("all", len(KINDS) * count, steps, folder)
        singles = {kind: trained(kind, count, steps // len(KINDS), folder) for kind in KINDS}
        return {
            "one for all": {kind: error(whole, kind) for kind in unseen},
            "one for each": {kind: error(single, kind) for kind, single in singles.items()},
        }


def main() -> None:
    options = _record.parser(__file__, __doc__, [FAMILY])
    options.add_argument("--steps", type=int, default=3000)
    arguments = _record.parse(options)
    smoke = ["--smoke", str(arguments.smoke)] if arguments.smoke else []
    sizes = (2 * len(KINDS), 66, 2, 2) if smoke else (arguments.steps, MEMBERS, TESTED, 100)
    if arguments.one:
        return print(json.dumps(run(arguments.seeds[0], *sizes)))
    more = ["--steps", str(arguments.steps), *smoke]
    for seed in arguments.seeds:
        row = _record.one(__file__, FAMILY, seed, *more, cold=not smoke)
        _record.Record(arguments.record).add(FAMILY, seed, row, steps=sizes[0])
        print(seed, row, flush=True)
    return None


if __name__ == "__main__":
    main()
