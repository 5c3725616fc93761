"""Smaller parts, each with the comparison that decided whether it was kept.

    python benchmarks/small_parts.py [--cases fine-tuning] [--seeds 0 1 2]
    python benchmarks/small_parts.py --markdown

``fine-tuning``: a DeepONet that knows heat conduction, logistic growth and Burgers' equation, from
60 solutions of each (`pinops.Mixture`, periodic waves), goes on with 5 or 50 solutions of the
bistable equation: with all of its parameters, the last layers alone (`Only`), changes of low rank
(`LowRank`), or in a random subspace (`Subspace`); always Adam, 500 steps, at the learning rate that
was best for 10 solutions and another seed. Errors are mean relative L2 errors over 40 unseen
members.
"""

import tempfile
from pathlib import Path
from typing import Any

import _record
from _record import Row

MARKS = ("<!-- few: benchmarks/small_parts.py --markdown -->", "<!-- end of few -->")
KNOWN = "heat_waves", "logistic_waves", "burgers_waves"
UNSEEN = "bistable_waves"
FEW = (5, 50)
TESTED = 40
RATES = {
    "all parameters": 1e-3,
    "last layers": 3e-3,
    "low rank": 1e-3,
    "subspace": 3e-3,
}
RANK, DIMENSION = 4, 1000
SETTINGS: dict[str, dict[str, Any]] = {
    "fine-tuning": {"rates": RATES, "rank": RANK, "dimension": DIMENSION, "steps": 500},
}


def last_layers(params: Any) -> tuple[Any, Any]:
    """Of the branch and of the trunk."""
    return params.network.branch.network.last, params.network.trunk.last


def optimizer_of(way: str, rate: float) -> Any:
    """Adam of what a way of fine-tuning trains."""
    import pinops as po

    adam = po.optimizers.Adam(rate, None)
    return {
        "all parameters": adam,
        "last layers": po.optimizers.Only(adam, last_layers),
        "low rank": po.optimizers.LowRank(adam, RANK),
        "subspace": po.optimizers.Subspace(adam, DIMENSION),
    }[way]


def numbers_of(way: str, params: Any) -> int:
    """How many numbers a way trains."""
    import jax

    optimizer = optimizer_of(way, 1.0)
    if way in ("low rank", "subspace"):
        params = optimizer.first(params)
    return sum(
        leaf.size
        for leaf in jax.tree.leaves(last_layers(params) if way == "last layers" else params)
    )


def tasks(folder: Path, seed: int, smoke: bool) -> tuple[Any, Any, Any]:
    """The operator to start from, solutions of the other family to train on, and to test on."""
    import pinops as po
    from pinops.data import generate

    count, tested = (12, 3) if smoke else (max(FEW) + 6, TESTED)
    mixture = po.Mixture([*KNOWN, UNSEEN], [1.0] * len(KNOWN) + [0.0])
    many = 12 if smoke else round(60 * len(KNOWN) / 0.9)
    data = generate(mixture, folder / "known.h5", count=many, seed=10 + seed)
    unseen = mixture.only(UNSEEN)
    others = generate(unseen, folder / "unseen.h5", count=count + tested, seed=20 + seed)
    width, depth = (4, 1) if smoke else (64, 3)
    network = po.networks.ModifiedMLP(width, depth)
    steps = 2 if smoke else 2000
    start = po.train(
        mixture,
        po.operators.DeepONet(network, network, width),
        data=data.split(test=1)[0],
        functions=po.Functions(batch=4 if smoke else 32),
        optimizer=po.optimizers.SOAP(3e-3, steps),
        steps=steps,
        seed=seed,
        progress=False,
    )
    rest, test = others.split(test=tested)
    return start, rest, test


def tuned(start: Any, rest: Any, way: str, rate: float, count: int, smoke: bool) -> Any:
    """The operator after fine-tuning with ``count`` solutions."""
    import numpy as np

    import pinops as po

    # One sample is set apart for testing, and a tenth for validation.
    few = rest.take(np.arange(count + max(1, count // 10) + 1)).split(test=1)[0]
    return po.train(
        start.family.only(UNSEEN),
        start=start,
        data=few,
        optimizer=optimizer_of(way, rate),
        functions=po.Functions(batch=min(32, count)),
        steps=2 if smoke else SETTINGS["fine-tuning"]["steps"],
        progress=False,
    )


def fine_tuning(seed: int, smoke: bool) -> Row:
    """Errors by the number of solutions and by way."""
    from dataclasses import replace

    with tempfile.TemporaryDirectory() as folder:
        start, rest, test = tasks(Path(folder), seed, smoke)
        family = start.family.only(UNSEEN)
        errors: dict[str, dict[str, float]] = {}
        for count in FEW[:1] if smoke else FEW:
            found = {}
            for way, rate in RATES.items():
                after = tuned(start, rest, way, rate, count, smoke)
                found[way] = after.error(test)["u"]["mean"]
            errors[str(count)] = found
        before = replace(start, family=family).error(test)["u"]["mean"]
    return {
        "before": before,
        "errors": errors,
        "trained": {way: numbers_of(way, start.params) for way in RATES},
    }


def run(case: str, seed: int, smoke: bool) -> Row:
    """What is recorded of a case and seed."""
    return {"fine-tuning": fine_tuning}[case](seed, smoke)


def table(content: Row) -> list[str]:
    """Errors in per cent by way and number of solutions."""
    entry = content["cases"]["fine-tuning"]
    runs = entry["runs"]
    lines = ["| what is trained | numbers | " + " | ".join(f"{n} solutions" for n in FEW) + " |"]
    lines.append("|---" * (2 + len(FEW)) + "|")
    for way in RATES:
        cells = [
            _record.each(runs, lambda run, n=n, w=way: f"{100 * run['errors'][str(n)][w]:.2f}")
            for n in FEW
        ]
        lines.append(f"| {way} | {runs[0]['trained'][way]} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    _record.by_case(
        __file__,
        __doc__,
        run,
        SETTINGS,
        page=_record.ROOT / "docs/guide/optimizers.md",
        marks=MARKS,
        table=table,
    )
