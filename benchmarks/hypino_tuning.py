"""Is a generated network a better start for training than others?

    python benchmarks/hypino_tuning.py [--cases HT HZ HZ-G PS-C PS-L PS-G WV] [--seeds 0]
                                       [--steps 600] [--keep FOLDER]

The seven benchmarks of HyPINO are solved by SSBroyden from four starts, networks of one shape whose
conditions are terms of the loss: as the pretrained hypernetwork generates it (``generated``, before
its last layer is fitted), with a fitted last layer (``fitted``), at random (``random``), and from a
network that was trained by Reptile (Nichol et al. 2018, arXiv:1803.02999) on the same manufactured
problems (``reptile``). A row has for each the relative L2 error at the start and at the end, the
iterations to errors of 0.1, 0.01 and 0.001 and those to the error that ``generated`` starts from,
in steps of 5. The networks of Reptile and random ones are multiplied by the size of the problem's
data, which the hypernetwork sees, too. ``--keep`` keeps the network of Reptile in
``FOLDER/reptile_SEED.eqx``. Rows go to ``benchmarks/results/hypino_tuning.json``.
"""

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import _record
from _record import Row

CASES = ("HT", "HZ", "HZ-G", "PS-C", "PS-L", "PS-G", "WV")
STARTS = ("generated", "fitted", "random", "reptile")
LEVELS = (0.1, 0.01, 0.001)
MARKS = ("<!-- tuning: benchmarks/hypino_tuning.py --markdown -->", "<!-- end of tuning -->")
OUTER, INNER, TASKS = 120, 100, 16  # of Reptile: updates, steps on each task, tasks of an update
INNER_RATE = 1e-2


def reptile(trained: Any, seed: int, outer: int, inner: int, tasks: int) -> Any:
    """A network from which a few steps of Adam solve a manufactured problem.

    Each update moves it towards the mean of the networks that ``inner`` steps make of it on
    problems of their own.
    """
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optax
    from hypino import problems_of

    from pinops.training import drawn_problems

    problems = problems_of("cpu", 8 if tasks == 1 else 20_000, 0, tasks == 1)
    size = trained.architecture.grid
    if tasks > 1 and problems.size != size:
        raise SystemExit(f"the pretrained model sees images of {size}, got {problems.size}")
    target = trained.architecture.target
    start = target.build(2, 1, key=jax.random.key(seed)).networks
    start = jax.tree.map(lambda leaf: leaf[0].astype(jnp.float32), start)
    optimizer = optax.adam(INNER_RATE)

    class Same(eqx.Module):
        """Stands where the model has a hypernetwork: its networks are what is trained."""

        members: Any

        def networks(self, *seen: Any) -> Any:
            return self.members

    nothing = eqx.partition(start, False)[0]
    model = replace(trained.model, frozen=Same(nothing))

    def loss(networks: Any, samples: Any) -> Any:
        terms = model.residuals(SimpleNamespace(network=Same(networks)), samples)
        # The sum over problems: each has an optimizer's step of its own.
        return tasks * sum(jnp.mean(term.vector**2) for term in terms.values())

    @jax.jit
    def update(network: Any, samples: Any, share: Any) -> Any:
        networks = jax.tree.map(lambda leaf: jnp.stack([leaf] * tasks), network)

        def step(carry: Any, _: None) -> Any:
            networks, state = carry
            gradient = jax.grad(loss)(networks, samples)
            change, state = optimizer.update(gradient, state)
            return (optax.apply_updates(networks, change), state), None

        (networks, _), _ = jax.lax.scan(step, (networks, optimizer.init(networks)), length=inner)
        return jax.tree.map(
            lambda old, new: old + share * (jnp.mean(new, 0) - old), network, networks
        )

    for k in range(outer):
        samples = drawn_problems(problems, jax.random.key(1000 * seed + k), tasks, 0.5)
        start = update(start, samples, jnp.float32(1 - k / outer))
    return start


def starts(trained: Any, problem: Any, seed: int, learned: Any) -> dict[str, Any]:
    """Solutions to start from, which differ in their networks alone."""
    import equinox as eqx
    import jax
    import numpy as np

    from pinops.problem import encoded
    from pinops.training import sizes_of

    generated = trained(problem, fitted=False)
    given = encoded(problem, size=trained.architecture.grid)
    (size,) = sizes_of(jax.tree.map(lambda leaf: np.asarray(leaf)[None], given.samples))
    fresh = trained.architecture.target.build(2, 1, key=jax.random.key(seed)).networks
    stacked = jax.tree.map(lambda leaf: leaf[None], learned)

    def last(networks: Any) -> Any:
        return networks.weights[-1], networks.biases[-1]

    def started(networks: Any) -> Any:
        turned = networks.reordered(given.square.axes)
        networks = eqx.tree_at(last, turned, replace_fn=size.__mul__)
        params = eqx.tree_at(lambda p: p.network.networks, generated.params, networks)
        return replace(generated, params=params)

    return {
        "generated": generated,
        "fitted": trained(problem),
        "random": started(fresh),
        "reptile": started(stacked),
    }


def run(case: str, seed: int, steps: int, keep: Path | None, smoke: bool) -> Row:
    """One benchmark from all starts."""
    import equinox as eqx
    from _hypino import benchmarks

    import pinops as po

    class Watched(po.optimizers.SSBroyden):
        """Reports every few iterations, as they are counted here."""

        steps_per_dispatch = 5

    trained = po.pretrained()
    sizes = (2, 2, 1) if smoke else (OUTER, INNER, TASKS)
    file = None if keep is None else keep / f"reptile_{seed}.eqx"
    began = time.perf_counter()
    if file is not None and file.exists():
        learned = eqx.tree_deserialise_leaves(file, reptile(trained, seed, 0, *sizes[1:]))
    else:
        learned = reptile(trained, seed, *sizes)
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            eqx.tree_serialise_leaves(file, learned)
    row: Row = {"reptile_seconds": round(time.perf_counter() - began, 1)}
    problem = benchmarks()[case].problem
    given = starts(trained, problem, seed, learned)
    for name in STARTS:
        start = given[name]
        first = start.error()["u"]["mean"]
        solved = po.solve(
            problem, start=start, optimizer=Watched(), steps=steps, seed=seed, progress=False
        )
        course = [(0, first), *((r.step, r.errors["u"]) for r in solved.history)]
        row[name] = {
            "first": first,
            "last": course[-1][1],
            "steps": solved.steps,
            "seconds": round(solved.seconds, 1),
            "compile_seconds": round(solved.compile_seconds, 1),
            "to": {str(level): reached(course, level) for level in LEVELS},
            "to_generated": reached(course, given["generated"].error()["u"]["mean"]),
        }
    return row


def reached(course: list[tuple[int, float]], level: float) -> int | None:
    """The first iteration with an error of at most a level; None: there is none."""
    return next((step for step, error in course if error <= level), None)


def table(cases: Row) -> list[str]:
    """Iterations to an error of 0.001, or the error at the end in brackets, by start."""
    lines = [f"| benchmark | {' | '.join(STARTS)} | random reaches what is generated after |"]
    lines += ["|---|" + "---|" * (len(STARTS) + 1)]
    for case, entry in cases.items():
        row = entry["runs"][0]
        cells = []
        for name in STARTS:
            found = row[name]
            steps = found["to"][str(LEVELS[-1])]
            cells.append(
                f"{found['first']:.2g}, {steps or '(' + format(found['last'], '.1e') + ')'}"
            )
        lines.append(f"| {case} | {' | '.join(cells)} | {row['random']['to_generated']} |")
    return lines


def main() -> None:
    options = _record.parser(__file__, __doc__, CASES, seeds=(0,))
    _record.add_markdown(options, _record.ROOT / "docs" / "guide" / "hypino.md")
    options.add_argument("--steps", type=int, default=600, help="of SSBroyden")
    options.add_argument("--keep", type=Path, metavar="FOLDER", help="where Reptile's network is")
    arguments = _record.parse(options)
    steps = 5 if arguments.smoke else arguments.steps
    if arguments.one:
        (case,), (seed,) = arguments.cases, arguments.seeds
        return print(json.dumps(run(case, seed, steps, arguments.keep, bool(arguments.smoke))))
    if arguments.markdown:
        rows = table(_record.Record(arguments.record).cases())
        return _record.into_page(rows, MARKS, arguments.markdown)
    more = ["--steps", str(steps)]
    more += ["--keep", str(arguments.keep)] if arguments.keep else []
    more += ["--smoke", str(arguments.smoke)] if arguments.smoke else []
    for case in arguments.cases:
        for seed in arguments.seeds:
            row = _record.one(__file__, case, seed, *more, cold=not arguments.smoke)
            _record.Record(arguments.record).add(case, seed, row, steps=steps)
            print(case, seed, row, flush=True)
    return None


if __name__ == "__main__":
    main()
