"""HyPINO: trained hypernetworks on manufactured problems that they have not seen, and refined.

    python benchmarks/hypino.py --cases pretrained
    python benchmarks/hypino.py --cases cpu convolutions ... --minutes 6 --seeds 0 1 [--keep FOLDER]

``pretrained`` is the model that comes with pinops. Every other case trains the CPU configuration,
or one in which a single thing differs, for the given minutes on one core; "U-Net" and "FNO" are
maps from the same images and coefficients to the solution at the pixels, trained by `po.train` on
12 000 problems, without the equation. All are measured on manufactured problems of a pool of its
own, by the type of their operator: the median relative L2 error at interior points at once and
after 3 and 10 rounds of refinement, as in the paper (data of any size, last layers as generated),
with data divided by their size, and with fitted last layers besides. ``gain`` is the median ratio
of the mean square errors before and after ten rounds. The zero function has the error 1. On the
seven benchmarks of the paper a row of the pretrained model has mean square errors over the domain,
beside those of u = 0 and of the paper. ``--keep`` keeps the runs in ``FOLDER/CASE_SEED``, which are
not trained again where they are finished. Rows go to ``benchmarks/results/hypino.json``.
"""

import json
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import _record
from _record import Row

MARKS = ("<!-- hypino: benchmarks/hypino.py --markdown -->", "<!-- end of hypino -->")
ABLATION_MARKS = (
    "<!-- ablation: benchmarks/hypino.py --markdown -->",
    "<!-- end of ablation -->",
)
UNSEEN_MARKS = ("<!-- unseen: benchmarks/hypino.py --markdown -->", "<!-- end of unseen -->")
PRETRAINED = "pretrained"
CASES = {
    "cpu": "the configuration",
    "convolutions": "an encoder of convolutions of the same cost",
    "no Sobolev loss": "no derivatives of solutions in the loss",
    "operators at random": "terms of operators at random, as in the paper",
    "not scaled": "data of any size, as in the paper",
    "U-Net": "a U-Net on the same images, of the solution at the pixels",
    "FNO": "a Fourier neural operator likewise",
    PRETRAINED: "the model that comes with pinops",
}
ON_GRIDS = ("U-Net", "FNO")
SAMPLES = 12_000  # for these
POOL = 20_000
UNSEEN, UNSEEN_BRIEFLY = 256, 128  # problems for the pretrained model, and for the others
POOL_SEED = 3  # of the problems that are not seen; no constant was chosen on them
FREQUENCY, HOLES = 8.0, 4
ROUNDS = (0, 3, 10)
WAYS = {
    "as published": {"fitted": False, "scaled": False},
    "scaled": {"fitted": False},
    "scaled and fitted": {},
}
BRIEFLY = ("as published", "scaled and fitted")


def problems_of(case: str, pool: int, seed: int, smoke: bool) -> Any:
    """Random problems of a pool of its own."""
    import jax

    import pinops as po
    from pinops.problem import RandomLinearProblems

    compositions = po.functions.RandomCompositions(FREQUENCY)
    options: dict[str, Any] = {"size": 32, "points": 128, "boundary": 96, "holes": HOLES}
    if smoke:
        options |= {"size": 8, "points": 12, "boundary": 12}
    if case == "operators at random":
        options["shares"] = None
    return RandomLinearProblems(compositions.pool(jax.random.key(seed), pool), **options)


def trained_of(case: str, seed: int, minutes: float, folder: Path, smoke: bool) -> Any:
    """The trained hypernetwork of a case: one that is there, or a new one."""
    import pinops as po
    from pinops.operators import HyPINO, ResidualConvolutions, Swin

    if case == PRETRAINED:
        return po.pretrained()
    if (folder / "run.json").exists() and (found := po.load(folder)).status != "unfinished":
        return found
    target = po.networks.GatedFourier(24, 3, 5)
    options: dict[str, Any] = {"target": target, "scaled": case != "not scaled"}
    blocks = ResidualConvolutions(3) if case == "convolutions" else Swin(4)
    if smoke:
        options |= {"grid": 8, "width": 8, "depths": (1,), "heads": (2,), "hidden": 64}
        options["target"] = po.networks.GatedFourier(4, 1, 2)
    sobolev = {name: 0.0 for name in ("value", "slope", "curvature")}
    weights: dict[str, float] = sobolev if case == "no Sobolev loss" else {}
    return po.train(
        problems_of(case, 8 if smoke else POOL, 0, smoke),
        HyPINO(blocks=blocks, **options),
        weighting=po.losses.Fixed(weights, condition=1.0),
        steps=2 if smoke else 18_000,
        minutes=minutes,
        seed=seed,
        out=folder,
        resume=(folder / "run.json").exists(),
        progress=False,
        functions=po.Functions(pool=4, batch=2) if smoke else None,
    )


def unseen(trained: Any, count: int, ways: Iterable[str], smoke: bool) -> Row:
    """Errors on manufactured problems of a pool that no training has seen, refined in some ways."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    problems = problems_of("cpu", 8 if smoke else 2000, POOL_SEED, smoke)
    samples = samples_of(problems, jax.random.key(2), count)
    points, truth = jnp.asarray(samples.points), np.asarray(samples.streams[..., 0])
    c = np.asarray(samples.coefficients)
    product = c[:, 3] * c[:, 4]
    heat = (product == 0) & (c[:, 2] != 0) & (c[:, 3] != 0)
    kinds = {
        "elliptic": product > 0,
        "parabolic": heat,
        "hyperbolic": product < 0,
        "other": (product == 0) & ~heat,
        "all": np.ones(count, bool),
    }
    size = np.linalg.norm(truth, axis=1)
    out: Row = {}
    for way in ways:
        options = WAYS[way]
        errors, seconds = {}, 0.0
        for rounds in ROUNDS:
            began = time.perf_counter()
            answer = trained.refined(samples, rounds, **options)
            seconds = time.perf_counter() - began
            errors[rounds] = np.linalg.norm(answer.values(points) - truth, axis=1) / size
        gains = (errors[ROUNDS[0]] / errors[ROUNDS[-1]]) ** 2
        out[way] = {
            kind: {
                "count": int(np.sum(here)),
                "error": {str(r): float(np.median(errors[r][here])) for r in ROUNDS},
                "gain": float(np.median(gains[here])),
            }
            for kind, here in kinds.items()
            if here.any()
        }
        out[way]["seconds"] = round(seconds, 2)
    return out


def on_benchmarks(trained: Any, smoke: bool) -> Row:
    """Mean square errors on the seven benchmarks of the paper, after 0, 3 and 10 rounds."""
    from _hypino import benchmarks

    out: Row = {}
    for name, benchmark in list(benchmarks().items())[: 1 if smoke else None]:
        errors: Row = {"published": benchmark.published}
        for way in ("as published", "scaled and fitted"):
            for rounds in ROUNDS[: 1 if smoke else None]:
                began = time.perf_counter()
                solution = trained(benchmark.problem, rounds, **WAYS[way])
                seconds = time.perf_counter() - began

                def predicted(points: Any, solution: Any = solution) -> Any:
                    names = solution.problem.domain.coordinates
                    (values,) = solution.values(dict(zip(names, points.T, strict=True))).values()
                    return values

                scores = benchmark.scores(predicted, 16 if smoke else 224)
                errors[f"{way}, {rounds}"] = scores["mse"]
                errors |= {"zero": scores["zero"], "share": scores["share"]}
                errors["seconds"] = round(seconds, 2)
        out[name] = errors
    return out


def samples_of(problems: Any, key: Any, count: int) -> Any:
    """Supervised samples of random problems."""
    from pinops.training import drawn_problems

    return drawn_problems(problems, key, count, 1.0)


def run(case: str, seed: int, minutes: float, keep: Path | None, smoke: bool) -> Row:
    """One case: the training, and its errors on problems that it has not seen."""
    if case in ON_GRIDS:
        return on_grids(case, seed, minutes, smoke)
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "run" if keep is None else keep / f"{case.replace(' ', '_')}_{seed}"
        trained = trained_of(case, seed, minutes, own, smoke)
    last = trained.history[-1]
    row: Row = {
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
        "parameters": trained.num_parameters,
        "terms": {name: round(value, 5) for name, value in last.terms.items()},
        "status": trained.status,
    }
    if case == PRETRAINED:
        row["benchmarks"] = on_benchmarks(trained, smoke)
        return row | {"unseen": unseen(trained, 8 if smoke else UNSEEN, WAYS, smoke)}
    return row | {"unseen": unseen(trained, 8 if smoke else UNSEEN_BRIEFLY, BRIEFLY, smoke)}


def at_pixels(seed: int, count: int, smoke: bool) -> tuple[Any, Any]:
    """Images and coefficients ``(count, N, N, 10)`` of problems divided by their size, and their
    exact solutions at the pixels, NaN in holes.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from pinops.functions import composition_streams
    from pinops.problem import pixels
    from pinops.training import divided, sizes_of

    problems = problems_of("cpu", 8 if smoke else POOL, seed, smoke)
    n = problems.size
    points = jnp.asarray(pixels(n).reshape(-1, 2), jnp.float32)

    @jax.jit
    @jax.vmap
    def one(key: Any) -> tuple[Any, Any]:
        sample = jax.tree.map(lambda leaf: leaf[None], problems.sample(key, 1.0))
        (size,) = sizes_of(sample)
        table = problems.composition(key)
        truth = jax.vmap(lambda at: composition_streams(table, at)[0])(points).reshape(n, n)
        images = divided(sample, size[None]).images[0]
        constant = jnp.broadcast_to(sample.coefficients[0], (n, n, 5))
        truth = jnp.where(sample.inside[0] > 0, truth / size, jnp.nan)
        return jnp.concatenate([images, constant], -1), truth

    keys = jax.random.split(jax.random.key(2), count)
    parts = [one(keys[k : k + 256]) for k in range(0, count, 256)]
    seen, truth = (np.concatenate(part) for part in zip(*parts, strict=True))
    return seen, truth


def on_grids(case: str, seed: int, minutes: float, smoke: bool) -> Row:
    """A network on grids that is trained on exact solutions, and its errors on unseen problems."""
    import pinops as po
    from pinops.problem import pixels

    names = ("is_value", "is_flux", "value", "flux", "source", "c0", "c1", "c2", "c3", "c4")

    def dataset(pool: int, count: int) -> Any:
        seen, truth = at_pixels(pool, count, smoke)
        line = pixels(seen.shape[1])[0, :, 0]
        return po.Dataset.from_arrays(
            inputs={name: seen[..., k] for k, name in enumerate(names)},
            outputs={"u": truth},
            # The first axis is that of rows, which go down: y with another sign.
            coordinates={"row": line, "x": line},
        )

    networks = {"U-Net": po.operators.UNet(16), "FNO": po.operators.FNO(24, 4 if smoke else 8)}
    trained = po.train(
        dataset(0, 16 if smoke else SAMPLES),
        networks[case],
        loss="L2",
        steps=2 if smoke else None,
        minutes=minutes,
        seed=seed,
        progress=False,
    )
    errors = trained.error(dataset(POOL_SEED, 8 if smoke else UNSEEN_BRIEFLY))
    return {
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
        "parameters": trained.num_parameters,
        "status": trained.status,
        "unseen": errors["u"]["median"],
    }


def of_benchmarks(cases: Row) -> list[str]:
    """The rows of the seven benchmarks."""
    lines = [
        "| benchmark | u = 0 | at once | 10 rounds, as published | 10 rounds | paper, at once "
        "| paper, 10 rounds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in cases[PRETRAINED]["runs"][0]["benchmarks"].items():
        # The paper takes the mean over the whole square, where holes count as zero.
        numbers = [row["zero"], row["scaled and fitted, 0"], row["as published, 10"]]
        numbers = [row["share"] * x for x in [*numbers, row["scaled and fitted, 10"]]]
        paper = row["published"]
        cells = [f"{x:.1e}" for x in [*numbers, paper[0], paper[-1]]]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def of_unseen(cases: Row) -> list[str]:
    """The rows of manufactured problems, by type of the operator."""
    lines = [
        "| operators | problems | at once | 3 rounds | 10 rounds | gain |",
        "|---|---|---|---|---|---|",
    ]
    rows = dict(cases[PRETRAINED]["runs"][0]["unseen"]["scaled and fitted"])
    del rows["seconds"]
    for kind, row in rows.items():
        errors = [f"{row['error'][str(rounds)]:.3f}" for rounds in ROUNDS]
        lines.append(f"| {kind} | {row['count']} | {' | '.join(errors)} | {row['gain']:.1f} |")
    return lines


def of_ablation(cases: Row) -> list[str]:
    """The rows of short trainings, a number for each seed."""
    lines = [
        "| case | steps | at once | 10 rounds | 10 rounds, as published |",
        "|---|---|---|---|---|",
    ]
    for case, entry in cases.items():
        if case == PRETRAINED:
            continue
        cells = []
        for run in sorted(entry["runs"], key=lambda run: run["seed"]):
            if case in ON_GRIDS:  # without refinement
                cells.append([str(run["steps"]), f"{run['unseen']:.3f}", "-", "-"])
                continue
            published, fitted = (run["unseen"][way]["all"]["error"] for way in BRIEFLY)
            errors = [fitted["0"], fitted["10"], published["10"]]
            cells.append([str(run["steps"]), *(f"{error:.3f}" for error in errors)])
        columns = [", ".join(column) for column in zip(*cells, strict=True)]
        lines.append(f"| {entry['about']} | {' | '.join(columns)} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES, seeds=(0,))
    _record.add_markdown(options, _record.ROOT / "docs" / "guide" / "hypino.md")
    options.add_argument("--minutes", type=float, default=6.0, help="of each training")
    options.add_argument("--keep", type=Path, metavar="FOLDER", help="where runs are kept")
    arguments = _record.parse(options)
    if arguments.one:
        (case,), (seed,) = arguments.cases, arguments.seeds
        return print(
            json.dumps(run(case, seed, arguments.minutes, arguments.keep, bool(arguments.smoke)))
        )
    if arguments.markdown:
        cases = _record.Record(arguments.record).cases()
        tables = {MARKS: of_benchmarks, UNSEEN_MARKS: of_unseen, ABLATION_MARKS: of_ablation}
        for marks, rows in tables.items():
            _record.into_page(rows(cases), marks, arguments.markdown)
        return None
    more = ["--minutes", str(arguments.minutes)]
    more += ["--keep", str(arguments.keep)] if arguments.keep else []
    more += ["--smoke", str(arguments.smoke)] if arguments.smoke else []
    for case in arguments.cases:
        for seed in arguments.seeds:
            row = _record.one(__file__, case, seed, *more, cold=not arguments.smoke)
            facts = {} if case == PRETRAINED else {"minutes": arguments.minutes}
            _record.Record(arguments.record).add(case, seed, row, about=CASES[case], **facts)
            print(case, seed, row, flush=True)
    return None


if __name__ == "__main__":
    main()
