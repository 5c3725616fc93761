"""The front door for one PDE: from a problem to a solution with an error."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, overload

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pinops.data import cached_reference
from pinops.losses import Fixed, Weighting
from pinops.metrics import errors
from pinops.networks import Architecture, check_network, embedding_of
from pinops.problem import (
    INTERIOR,
    InverseProblem,
    Observed,
    Problem,
    Scales,
    TimeWindows,
    check_resolved,
    coefficients_as_json,
    coefficients_of,
    constraints,
    holder,
    impose,
    load_problem,
    name_of,
    residual_signature,
    scales_of,
)
from pinops.reference import Reference
from pinops.sampling import Sampler
from pinops.solvers._ensemble import Ensemble
from pinops.solvers._recipe import (
    MINUTES,
    check_forgetful,
    default_architecture,
    default_collocation,
    default_steps,
    phases,
)
from pinops.solvers._runs import (
    Run,
    as_drawn,
    check_options,
    describe,
    digest,
    drawn_with,
    prepare,
    train_runs,
)
from pinops.solvers._solution import Solution, read_run
from pinops.solvers._windows import WindowedSolution, window_of, window_shape
from pinops.training import (
    Callback,
    Collocation,
    Continuation,
    Model,
    Outcome,
    Params,
    Progress,
    StopAt,
    Training,
    TrainState,
    cast,
    evaluate,
    gathered,
    mesh_of,
    split,
)

_MONITOR_POINTS = 10_000


@overload
def solve(
    problem: str | Problem, *, seeds: None = None, windows: None = None, **options: Any
) -> Solution: ...
@overload
def solve(problem: str | Problem, *, seeds: int, **options: Any) -> Ensemble: ...
@overload
def solve(problem: str | Problem, *, windows: TimeWindows, **options: Any) -> WindowedSolution: ...
def solve(  # pyright: ignore[reportInconsistentOverload]
    problem: str | Problem,
    *,
    network: Architecture | Callable[..., Any] | None = None,
    optimizer: Any = None,
    sampler: Sampler | Collocation | None = None,
    weighting: Weighting | None = None,
    continuation: Continuation | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    seeds: int | None = None,
    windows: TimeWindows | None = None,
    start: Solution | None = None,
    scales: Mapping[str, float] | None = None,
    devices: int | None = None,
    dtype: str = "float64",
    target: float | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 10.0,
) -> Solution | Ensemble | WindowedSolution:
    """Solve a PDE: ``po.solve("burgers")``.

    **Arguments:**

    - `problem`: a registered name or a `Problem`.
    - `network`: an architecture such as `MLP(width=30)` or `FromLinen(...)`, or a ready network ``(features,) -> (unknowns,)``
      (an Equinox module, `jax.tree_util.Partial(function, params)`); default: a small multilayer perceptron.
    - `optimizer`: one of `pinops.optimizers`, an optax transformation, or a tuple of `Phase`; default: Adam, then SSBroyden.
    - `sampler`: one of `pinops.sampling`, or a `Collocation` for numbers of points and refinement as well.
    - `weighting`: one of `pinops.losses`.
    - `continuation`: other coefficients in the first steps, from an easy problem to this one.
    - `steps`, `minutes`: the budget; whichever ends first. Default: 6000 steps (9000 for systems, more than two coordinates,
      waves and dispersion), at most 4.5 minutes; as many steps as fit where only minutes are given.
    - `seed`: of network and points. `seeds`: train that many networks at once, with the seeds ``seed, seed + 1, ...``; the result
      is then an `Ensemble` with mean and spread (run directories ``seed_0, ...`` in `out`).
    - `windows`: solve one part of the time interval after the other; `steps` are then those of each part, `minutes` are shared by
      all. The result is a `WindowedSolution` (run directories ``window_0, ...`` in `out`).
    - `start`: go on from this solution: its network, and its optimizer where the first phase has the same one. The default is
      then SSBroyden at once.
    - `scales`: how large unknowns are, ``{"u": 1e-6}``; default: as large as their data and sources make them.
    - `devices`: spread the interior points over that many devices of JAX; default: one, or all of them where
      `jax.distributed` has joined several processes (each calls `solve` with the same arguments; the first one writes).
    - `dtype`: "float64" or "float32"; the caller's JAX configuration is left as it is.
    - `target`: stop once every relative L2 error against the reference is at most this.
    - `callbacks`: called with a `Report` after every stretch of steps; one that returns True ends training.
    - `progress`: one line on stderr.
    - `out`: a run directory; a checkpoint is written every `checkpoint_seconds`. `resume`: go on from the one in `out`, also
      with more steps; the result is bit for bit that of a run that never stopped.

    **Raises** ValueError for what cannot be meant (unknown names, wrong shapes, NaN, no steps, a run directory of another
    run), OSError for what cannot be written. A KeyboardInterrupt leaves a checkpoint behind.
    """
    if windows is not None:
        if seeds is not None or target is not None:
            raise ValueError("windows exclude seeds and target: give one of them")
        options = {
            "network": network,
            "optimizer": optimizer,
            "sampler": sampler,
            "weighting": weighting,
            "continuation": continuation,
            "steps": steps,
            "seed": seed,
            "scales": scales,
            "devices": devices,
            "dtype": dtype,
            "callbacks": callbacks,
            "progress": progress,
            "checkpoint_seconds": checkpoint_seconds,
        }
        return _solve_windows(
            problem, windows, minutes, start, None if out is None else Path(out), resume, options
        )
    began = time.monotonic()
    if seeds is not None and not (isinstance(seeds, int) and seeds >= 1):
        raise ValueError(f"seeds must be a whole number of at least 1, got {seeds!r}")
    check_options(dtype, minutes, seed, seeds or 1, checkpoint_seconds, resume and out is None)
    if start is not None and network is not None:
        raise ValueError(
            "start and network exclude each other: the network of the solution to start from goes on"
        )
    limited = minutes  # as asked for, before the default
    stop = [StopAt(target)] if target is not None else []
    if steps is None and minutes is None and not isinstance(optimizer, tuple | list):
        minutes = MINUTES
    everyone = [*callbacks, *stop, *([Progress(minutes)] if progress else [])]
    with jax.enable_x64(dtype == "float64"):
        problem = load_problem(problem) if isinstance(problem, str) else problem
        owner = name_of(holder(problem))
        residual_signature(problem)
        check_resolved(problem, dtype)
        imposition = impose(problem)
        sizes = scales_of(problem, imposition, scales)
        if start is not None:
            network = cast(start.network)
            # A network that goes on does so with the numbers that it was trained with.
            before = Scales.from_json(start.request["scales"])
            sizes = replace(sizes, centre=before.centre, spread=before.spread)
        elif network is None:
            network = default_architecture()
        embedding = embedding_of(problem, imposition, network)
        weighting = Fixed() if weighting is None else weighting
        for name, values in ({} if continuation is None else continuation.coefficients).items():
            _check_stages(holder(problem), name, values)
        collocation = default_collocation(problem)
        if isinstance(sampler, Collocation):
            collocation = sampler
        elif sampler is not None:
            collocation = replace(collocation, sampler=sampler)
        mesh = mesh_of(devices)
        if mesh is not None and seeds is not None:
            raise ValueError(
                "seeds and devices exclude each other: train the seeds on one device, or one seed on several"
            )
        enough = default_steps(problem, limited)
        reference = cached_reference(problem)
        if target is not None and reference is None:
            raise ValueError(f"target needs a reference to compare with, and {owner} has none")
        runs: list[Run] = []
        for number in range(seed, seed + (seeds or 1)):
            built = network
            if isinstance(network, Architecture):
                build = lambda key, network=network: network.build(
                    embedding.size, len(problem.unknowns), key=key
                )
                built = as_drawn({"seed": number, "dtype": dtype}, build)
            check_network(built, embedding, problem.unknowns)
            plan = phases(optimizer, steps, enough, warm=start is not None)
            if collocation.stochastic:
                check_forgetful(
                    plan,
                    "batch and laplacian do not give that; choose another optimizer, such as Adam",
                )
            request = {
                "problem": owner,
                "coefficients": describe(coefficients_of(problem)) | coefficients_as_json(problem),
                "trainable": list(problem.trainable),
                "network": describe(network) if start is None else start.request["network"],
                "phases": [describe(phase.optimizer) for phase in plan],
                "phase_steps": [phase.steps for phase in plan[:-1]],
                "steps": sum(phase.steps for phase in plan),
                "minutes": minutes,
                "collocation": describe(collocation),
                "weighting": describe(weighting),
                "continuation": describe(continuation),
                "observations": _digest_of_observations(problem),
                "start": None if start is None else digest(jax.tree.leaves(start.params)),
                "drawn": None if start is None else drawn_with(start.request),
                "window": window_shape(problem),
                "seed": number,
                "dtype": dtype,
                "scales": sizes.to_json(),  # last: it follows from the others
            }
            folder = (
                None
                if out is None
                else Path(out)
                if seeds is None
                else Path(out) / f"seed_{number}"
            )
            if folder is not None:
                prepare(folder, request, resume)
            model, params = split(problem, built, imposition, sizes, owner, mesh)
            training = Training(
                model,
                plan,
                collocation,
                number,
                weighting,
                continuation,
                _monitor(problem, reference, model),
            )
            first = partial(_first_state, training, params, start)
            runs.append(Run(training, params, request, folder, resume, first))
        outcomes = train_runs(runs, minutes, everyone, checkpoint_seconds, began)
        solutions = [
            _solution(problem, run, outcome) for run, outcome in zip(runs, outcomes, strict=True)
        ]
    return solutions[0] if seeds is None else Ensemble(tuple(solutions))


def _solve_windows(
    problem: str | Problem,
    windows: TimeWindows,
    minutes: float | None,
    start: Solution | None,
    out: Path | None,
    resume: bool,
    options: dict[str, Any],
) -> WindowedSolution:
    """`solve` for each window; one that is complete in ``out`` is only read again."""
    problem = load_problem(problem) if isinstance(problem, str) else problem
    parts: list[Solution] = []
    for number in range(windows.count):
        folder = None if out is None else out / f"window_{number}"
        own = dict(options)
        if folder is not None and resume and (folder / "run.json").exists():
            result = read_run(folder)["result"]
            if result is not None and result["status"] != "stopped":
                own["steps"] = result["steps"]
        if minutes is not None:
            own["minutes"] = minutes / windows.count
        before = parts[-1] if parts else None
        begun = before or start
        if begun is not None:
            own["network"] = None
        window = window_of(problem, windows, number, before)
        part = solve(window, start=begun, out=folder, resume=resume, **own)
        parts.append(part)
        if part.status in ("stopped", "diverged"):
            break
    request = parts[0].request | {"windows": {"count": windows.count, "nodes": windows.nodes}}
    solution = WindowedSolution(problem, request, tuple(parts))
    if out is not None:
        solution.save(out)
    return solution


def _first_state(training: Training, params: Params, start: Solution | None) -> TrainState:
    """The state before the first step, with the optimizer's state of the solution to start from, where that fits."""
    carried = None
    if start is not None and start.state is not None:
        shapes = lambda tree: jax.tree.map(
            lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree
        )
        carried, fresh = start.state.optimizer, training.phases[0].optimizer.init(params)
        if jax.tree.structure(carried) != jax.tree.structure(fresh) or shapes(carried) != shapes(
            fresh
        ):
            carried = None
    state = training.init(params, carried, fit=start is None)
    _check_first_evaluation(training, state)
    return state


def _solution(problem: Problem, run: Run, outcome: Outcome) -> Solution:
    """The outcome as a solution, written to its folder."""
    model = run.training.model
    state = gathered(outcome.state, model.mesh)
    solution = Solution(
        problem,
        run.request,
        replace(model, mesh=None),
        state.params,
        outcome.history,
        outcome.status,
        outcome.compile_seconds,
        state,
    )
    if run.folder is not None and jax.process_index() == 0:  # of several processes one writes
        solution.save(run.folder)
    return solution


def _monitor(
    problem: Problem, reference: Reference | None, model: Model
) -> Callable[[Params], dict[str, float]]:
    """Relative L2 errors on a part of the reference grid, for progress and history; nothing without a reference."""
    if reference is None:
        return lambda params: {}
    reference = reference.coarse(_MONITOR_POINTS)
    grids = np.broadcast_arrays(
        *(reference.coordinates[name] for name in problem.domain.coordinates)
    )
    points = jnp.asarray(np.stack([grid.ravel() for grid in grids], -1), jnp.result_type(float))

    def measure(params: Params) -> dict[str, float]:
        out = np.asarray(evaluate(model, params, points))
        values = {
            name: out[:, k].reshape(grids[0].shape) for k, name in enumerate(problem.unknowns)
        }
        found = errors(values, reference, gauge=problem.gauge, time=problem.domain.time)
        return {name: error["relative_l2"] for name, error in found.items()}

    return measure


def _check_first_evaluation(training: Training, state: TrainState) -> None:
    """Raises ValueError when an equation gives a number that is not finite before training, naming it and the point."""
    names = training.model.problem.domain.coordinates
    params, points = gathered((state.params, state.points), training.model.mesh)
    vectors = eqx.filter_jit(lambda model, params, points: model.residuals(params, points))(
        training.model, params, points
    )
    training.weighting.check(vectors)
    for name, vector in vectors.items():
        bad = np.flatnonzero(~np.isfinite(np.asarray(vector)))
        if bad.size:
            region = points[_region_of(training.model, name)]
            where = ", ".join(
                f"{c} = {float(x):.4g}" for c, x in zip(names, region.at[bad[0]], strict=True)
            )
            raise ValueError(
                f"{training.model.owner}: {name!r} is {float(vector[bad[0]])} at {where} before training "
                f"({bad.size} of {len(vector)} points); check the equation and its data there"
            )


def _check_stages(problem: Problem, name: str, values: Sequence[float]) -> None:
    """Raises ValueError when a coefficient cannot take the values of a continuation."""
    known = {field.name: field for field in fields(problem) if not field.metadata.get("static")}
    if name not in known or np.ndim(getattr(problem, name)) > 0:
        numbers = [other for other in known if np.ndim(getattr(problem, other)) == 0]
        raise ValueError(
            f"{name_of(problem)} has no coefficient {name!r} to continue in; it has {', '.join(numbers) or 'none'}"
        )
    if name in problem.trainable:
        raise ValueError(
            f"{name_of(problem)}: {name} is to be found; it cannot be prescribed by a continuation"
        )
    for value in values:
        replace(problem, **{name: value})  # the problem's own checks


def _region_of(model: Model, term: str) -> str:
    """The region in which a term of the loss is evaluated."""
    conditions = [
        c for c in constraints(model.problem, model.imposition.soft) if c.region != INTERIOR
    ]
    return next(
        (c.region for c in conditions if term == c.name or term.startswith(f"{c.name} ")), INTERIOR
    )


def _digest_of_observations(problem: Problem) -> str | None:
    """A checksum of all observations, None without any: a resumed run must have the same ones."""
    observed = [condition for condition in problem.conditions() if isinstance(condition, Observed)]
    named = [
        pair
        for condition in observed
        for pair in sorted((condition.coordinates | condition.values).items())
    ]
    return (
        digest(
            [
                part
                for name, array in named
                for part in (np.frombuffer(name.encode(), np.uint8), array)
            ]
        )
        if named
        else None
    )


def invert(
    problem: str | Problem,
    observations: Observed | None = None,
    *,
    unknown: str | Sequence[str] = (),
    **options: Any,
) -> Solution:
    """Find coefficients of a PDE from observations of its solution.

    **Arguments:** ``observations``: scattered values, `Observed`; ``unknown``: which coefficients to find, starting from
    the values that they have (positive ones are trained through their logarithm); both may be left out for a problem that
    declares them itself; ``options``: as for `solve`.

    The estimates are ``solution.coefficients``. **Raises** ValueError as `solve` does, and for nothing to be found.
    """
    problem = load_problem(problem) if isinstance(problem, str) else problem
    names = (unknown,) if isinstance(unknown, str) else tuple(unknown)
    if observations is not None and names:
        problem = InverseProblem(problem, observations, names)
    elif observations is not None or names or not problem.trainable:
        raise ValueError(
            f"invert({name_of(problem)}): give both observations and unknown, the coefficients to be found"
        )
    return solve(problem, **options)
