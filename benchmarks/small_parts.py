"""Smaller parts, each with the comparison that decided whether it was kept.

    python benchmarks/small_parts.py [--cases "5 solutions"] [--seeds 0 1 2] [--folder FOLDER]
    python benchmarks/small_parts.py --markdown

Fine-tuning: a DeepONet that knows heat conduction, logistic growth and Burgers' equation, from
100 solutions of each (`pinops.Mixture`, periodic waves), goes on with 5 or 50 solutions of the
bistable equation: with all of its parameters, or the last layers alone (`Only`); always Adam, 500
steps, at the better of two learning rates for 10 solutions. The recorded runs have two more ways,
which did not help and whose code was taken out again: changes of low rank (4) of every matrix
beside all biases (LoRA, arXiv:2106.09685), and a random subspace of 1000 dimensions
(arXiv:1804.08838). Errors are mean relative L2 errors over 40 unseen members, for three
choices of the solutions. ``FOLDER`` keeps the data and the operator for a next time.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import _record
from _record import Row

MARKS = ("<!-- few: benchmarks/small_parts.py --markdown -->", "<!-- end of few -->")
KNOWN = "heat_waves", "logistic_waves", "burgers_waves"
UNSEEN = "bistable_waves"
FEW = {"5 solutions": 5, "50 solutions": 50}
TESTED = 40
RATES = {
    "all parameters": 1e-3,
    "last layers": 3e-3,
}
STEPS = 500
SEED = 7


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
    }[way]


def numbers_of(way: str, params: Any) -> int:
    """How many numbers a way trains."""
    import jax

    return sum(
        leaf.size
        for leaf in jax.tree.leaves(last_layers(params) if way == "last layers" else params)
    )


def known(folder: Path, smoke: bool) -> Any:
    """The operator to start from, made once for a folder."""
    import pinops as po
    from pinops.data import Dataset, generate

    if (folder / "start/run.json").exists():
        return po.load(folder / "start")
    mixture = po.Mixture([*KNOWN, UNSEEN], [1.0] * len(KNOWN) + [0.0])
    path, count = folder / "known.h5", 12 if smoke else round(100 * len(KNOWN) / 0.9)
    data = (
        Dataset.open(path)
        if path.exists()
        else generate(mixture, path, count=count, seed=SEED + 10)
    )
    width, depth = (4, 1) if smoke else (64, 3)
    network, steps = po.networks.ModifiedMLP(width, depth), 2 if smoke else 3000
    return po.train(
        mixture,
        po.operators.DeepONet(network, network, width),
        data=data.split(test=1)[0],
        functions=po.Functions(batch=4 if smoke else 32),
        optimizer=po.optimizers.SOAP(3e-3, steps),
        steps=steps,
        seed=SEED,
        progress=False,
        out=folder / "start",
    )


def fine_tuning(case: str, seed: int, folder: Path, smoke: bool) -> Row:
    """Errors by way for one choice of solutions."""
    from dataclasses import replace

    import numpy as np

    import pinops as po
    from pinops.data import Dataset, generate

    start, path = known(folder, smoke), folder / "unseen.h5"
    unseen, tested = start.family.only(UNSEEN), 3 if smoke else TESTED
    total = tested + (12 if smoke else 76)
    others = (
        Dataset.open(path) if path.exists() else generate(unseen, path, count=total, seed=SEED + 20)
    )
    rest, test = others.split(test=tested)
    count = FEW[case]
    some = np.random.default_rng(seed).permutation(rest.count)
    # One sample is set apart for testing, and a tenth for validation.
    few = rest.take(some[: count + max(1, count // 10) + 1]).split(test=1)[0]
    errors: dict[str, float] = {}
    for way, rate in RATES.items():
        after = po.train(
            unseen,
            start=start,
            data=few,
            optimizer=optimizer_of(way, rate),
            functions=po.Functions(batch=min(32, count)),
            steps=2 if smoke else STEPS,
            seed=seed,
            progress=False,
        )
        errors[way] = after.error(test)["u"]["mean"]
    return {
        "before": replace(start, family=unseen).error(test)["u"]["mean"],
        "errors": errors,
        "trained": {way: numbers_of(way, start.params) for way in RATES},
    }


def table(content: Row) -> list[str]:
    """Errors in per cent by way and number of solutions."""
    runs = {case: entry["runs"] for case, entry in content["cases"].items() if case in FEW}
    if not runs:
        return []
    lines = ["| what is trained | numbers | " + " | ".join(runs) + " |"]
    lines.append("|---" * (2 + len(runs)) + "|")
    ways = {way: n for rows in runs.values() for run in rows for way, n in run["trained"].items()}
    for way, numbers in ways.items():
        cells = [
            _record.each(
                (run for run in rows if way in run["errors"]),
                lambda run, w=way: f"{100 * run['errors'][w]:.1f}",
            )
            for rows in runs.values()
        ]
        lines.append(f"| {way} | {numbers} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, FEW)
    options.add_argument("--folder", type=Path, help="where data and the operator are kept")
    _record.add_markdown(options, _record.ROOT / "docs/guide/operators.md")
    asked = _record.parse(options)
    record = _record.Record(asked.record)
    if asked.markdown:
        return _record.into_page(table(record.read()), MARKS, asked.markdown)
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if asked.one:
            case, seed = asked.cases[0], asked.seeds[0]
            return print(json.dumps(fine_tuning(case, seed, folder, bool(asked.smoke))))
        more = ["--folder", str(folder)]
        more += ["--smoke", str(asked.smoke)] if asked.smoke else []
        settings = {"rates": RATES, "steps": STEPS}
        for case in asked.cases:
            for seed in asked.seeds:
                row = _record.one(__file__, case, seed, *more, cold=not asked.smoke)
                record.add(case, seed, row, **settings)
                print(case, seed, row, flush=True)
    return None


if __name__ == "__main__":
    main()
