"""One operator for six equations: what symbols, data and equations are worth.

    python benchmarks/prose.py [--cases "tokens" "one-hot"] [--seeds 0 1] [--steps 2000]
    python benchmarks/prose.py --markdown

Six families of one dimension (advection, heat, Klein-Gordon, logistic growth, Burgers, a cubic
flux) are trained together, with 10 or 100 functions of each, on data alone or also on the equations
of 100 more functions; ``DeepONet, each`` is one network per family with a sixth of the steps. The
seventh family, bistable, is in no training: ``adapted`` goes on from ``tokens`` with its equation
alone, and ``from scratch`` begins afresh. Updates ``benchmarks/results/prose.json`` with mean
relative L2 errors by family over unseen members.
"""

import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import _record
from _record import Row

KINDS = ("advection", "heat", "klein_gordon", "logistic", "burgers", "cubic_flux")
UNSEEN = "bistable"
CASES = {
    "tokens": "100 functions of each, with the words of the equation",
    "one-hot": "the same, with the number of the family",
    "one-hot, constants": "the same, with the number and the constants of the equation",
    "no symbols": "the same, with neither",
    "DeepONet": "the same, one DeepONet for all that sees words, constants and the number",
    "DeepONet, each": "the same, one DeepONet for each family",
    "tokens, 10": "10 functions of each, with words",
    "tokens, 10, equation": "10 functions of each and the equations",
    "tokens, 100, equation": "100 functions of each and the equations",
    "adapted": "unseen: `tokens` goes on with the equation of bistable",
    "from scratch": "unseen: the equation of bistable from the start",
}
TESTED = 15  # members of each family
MARKS = ("<!-- equations: benchmarks/prose.py --markdown -->", "<!-- end of equations -->")


def names() -> list[str]:
    return [f"{kind}_waves" for kind in (*KINDS, UNSEEN)]


def data_of(mixture: Any, folder: Path, count: int) -> Any:
    """About ``count`` functions of each family to train on, made once for all cases."""
    from pinops.data import Dataset, generate

    path = folder / f"{count}.h5"
    total = round(count * len(KINDS) / 0.9) + 1
    whole = Dataset.open(path) if path.exists() else generate(mixture, path, count=total)
    return whole.split(test=1)[0]


def of_family(data: Any, number: int) -> Any:
    """The members of one family."""
    import numpy as np

    rows = data.rows(np.arange(data.count))
    return data.take(np.flatnonzero(rows["members/chosen"] == number)).split(test=1)[0]


def trained(case: str, mixture: Any, folder: Path, seed: int, size: dict[str, int]) -> Any:
    """The operators of a case, by what they are tested on; one of all families is for "all"."""
    import pinops as po
    from pinops.operators import PROSE, DeepONet

    symbols = None if case == "no symbols" else case if "one-hot" in case else "tokens"
    few, equation = "10" in case.split(", "), "equation" in case
    net = PROSE(size["width"], symbols=symbols)
    points = po.Collocation(
        interior=1024, boundary=8, initial=8, every=100, refinement=None, batch=size["points"]
    )
    shared: dict[str, Any] = {"steps": size["steps"], "seed": seed, "progress": False}
    count = size["few"] if few else size["many"]
    if case in ("adapted", "from scratch"):
        functions = po.Functions(pool=size["many"], batch=size["batch"], points=points)
        start = None
        if case == "adapted":
            where = folder / f"tokens_{seed}"
            if not (where / "run.json").exists():
                trained("tokens", mixture, folder, seed, size)["all"].save(where)
            start = po.load(where)
            shared["optimizer"] = po.optimizers.SOAP(1e-3, size["steps"])
        return {
            "all": po.train(
                mixture.only(names()[-1]),
                net if start is None else None,
                start=start,
                functions=functions,
                **shared,
            )
        }
    data = data_of(mixture, folder, count)
    pool = len(data.splits["training"])
    functions = po.Functions(
        pool=pool,
        batch=size["batch"],
        points=points,
        data_points=size["points"],
        unlabelled=size["many"] * len(KINDS) if equation else 0,
    )
    if case == "DeepONet, each":
        shared["steps"] = size["steps"] // len(KINDS)
        found = {}
        for number, name in enumerate(names()[:-1]):
            own = of_family(data, number)
            found[name] = po.train(mixture, DeepONet(), data=own, functions=functions, **shared)
        return found
    return {
        "all": po.train(
            mixture,
            DeepONet() if case == "DeepONet" else net,
            data=data,
            physics=0.1 if equation else 0.0,
            functions=functions,
            **shared,
        )
    }


def run(case: str, seed: int, folder: Path, size: dict[str, int]) -> Row:
    """Errors by family."""
    import pinops as po

    mixture = po.Mixture(names(), [1.0] * len(KINDS) + [0.0])
    operators = trained(case, mixture, folder, seed, size)
    if case == "tokens":
        operators["all"].save(folder / f"tokens_{seed}")
    errors = {}
    unseen = case in ("adapted", "from scratch")
    for name in names()[-1:] if unseen else names()[:-1]:
        operator = operators.get(name) or operators["all"]
        table = operator.error(mixture.only(name).members(size["tested"]))
        errors[name.removesuffix("_waves")] = table["u"]["mean"]
    whole = next(iter(operators.values()))
    return {
        "errors": errors,
        "mean": statistics.mean(errors.values()),
        "parameters": whole.num_parameters,
        "seconds": round(sum(operator.seconds for operator in operators.values()), 1),
    }


def table() -> list[str]:
    """Errors by case and family, in per cent."""
    cases = _record.Record(_record.RESULTS / "prose.json").cases()
    if not cases:
        return []
    kinds = (*KINDS, UNSEEN)
    head = " | ".join(kind.replace("_", " ") for kind in kinds)
    lines = [f"| case | mean | {head} | seconds |", "|---" * (len(kinds) + 3) + "|"]
    for case in filter(cases.__contains__, CASES):
        runs = cases[case]["runs"]

        def cell(kind: str, runs: list[Row] = runs) -> str:
            found = [row["errors"][kind] for row in runs if kind in row["errors"]]
            return f"{100 * statistics.mean(found):.1f}" if found else ""

        mean = 100 * statistics.mean(row["mean"] for row in runs)
        cells = " | ".join(map(cell, kinds))
        lines.append(f"| {case} | {mean:.1f} | {cells} | {_record.seconds(cases[case])} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES, (0,))
    options.add_argument("--steps", type=int, default=2000)
    options.add_argument("--width", type=int, default=64)
    options.add_argument("--folder", type=Path, help="where data and runs are kept for a next time")
    _record.add_markdown(options, _record.ROOT / "docs/guide/prose.md")
    arguments = _record.parse(options)
    if arguments.markdown:
        return _record.into_page(table(), MARKS, arguments.markdown)
    size = {
        "steps": arguments.steps,
        "width": arguments.width,
        "batch": 32,
        "points": 128,
        "few": 10,
        "many": 100,
        "tested": TESTED,
    }
    if arguments.smoke:
        size |= {"steps": 2, "width": 8, "batch": 4, "points": 8, "few": 2, "many": 2, "tested": 1}
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.one:
            return print(json.dumps(run(arguments.cases[0], arguments.seeds[0], folder, size)))
        more = ["--steps", str(size["steps"]), "--width", str(size["width"])]
        more += ["--folder", str(folder)]
        more += ["--smoke", str(arguments.smoke)] if arguments.smoke else []
        for seed in arguments.seeds:
            for case in arguments.cases:
                row = _record.one(__file__, case, seed, *more, cold=not arguments.smoke)
                if "failed" not in row:
                    _record.Record(arguments.record).add(case, seed, row, what=CASES[case], **size)
                print(case, seed, row, flush=True)
    return None


if __name__ == "__main__":
    main()
