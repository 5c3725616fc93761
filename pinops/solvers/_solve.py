"""The front door for one PDE: from a problem to a solution with an error."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack, cast, overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pinops.data import cached_reference
from pinops.losses import Fixed, Weighting
from pinops.metrics import errors
from pinops.networks import Architecture, Embedding, check_network, embedding_of
from pinops.optimizers import Optimizer
from pinops.problem import (
    Imposition,
    InverseProblem,
    Observed,
    Problem,
    Scales,
    TimeWindows,
    check_resolved,
    coefficients_as_json,
    coefficients_of,
    fingerprint,
    holder,
    impose,
    load_problem,
    name_of,
    residual_signature,
    scales_of,
)
from pinops.reference import Reference
from pinops.sampling import Sampler
from pinops.settings import quick
from pinops.solvers._by_windows import solve_by_windows
from pinops.solvers._door import Assembly, Options, precision, trained
from pinops.solvers._ensemble import Ensemble
from pinops.solvers._recipe import (
    MINUTES,
    check_forgetful,
    default_architecture,
    default_collocation,
    default_steps,
    phases,
)
from pinops.solvers._request import Drawing, as_drawn, describe, digest, drawn_with
from pinops.solvers._solution import Solution
from pinops.solvers._windows import WindowedSolution, window_shape
from pinops.training import (
    Callback,
    Collocation,
    Continuation,
    Device,
    Model,
    Outcome,
    Params,
    Phase,
    StopAt,
    Training,
    TrainState,
    check_network_fits,
    check_points_fit,
    evaluate,
    gathered,
    split,
)
from pinops.training import (
    cast as to_precision,
)

_MONITOR_POINTS = 10_000
Network = Architecture | Callable[[Array], Array]


class SolveOptions(TypedDict, total=False):
    """The options of `solve` that `invert` and the ways of `solve` share."""

    network: Network | None
    optimizer: Optimizer | Any | Sequence[Phase] | None
    sampler: Sampler | None
    points: Collocation | None
    weighting: Weighting | None
    continuation: Continuation | None
    scales: Mapping[str, float] | None
    steps: int | None
    minutes: float | None
    seed: int
    start: Solution | None
    devices: int | Sequence[Device] | None
    dtype: Any
    target: float | None
    callbacks: Sequence[Callback]
    progress: bool
    out: str | Path | None
    resume: bool
    checkpoint_seconds: float


@overload
def solve(
    problem: str | Problem,
    *,
    ensemble: None = None,
    windows: None = None,
    **options: Unpack[SolveOptions],
) -> Solution: ...
@overload
def solve(
    problem: str | Problem,
    *,
    ensemble: int,
    windows: None = None,
    **options: Unpack[SolveOptions],
) -> Ensemble: ...
@overload
def solve(
    problem: str | Problem,
    *,
    windows: TimeWindows,
    ensemble: None = None,
    **options: Unpack[SolveOptions],
) -> WindowedSolution: ...
def solve(  # pyright: ignore[reportInconsistentOverload]
    problem: str | Problem,
    *,
    network: Network | None = None,
    optimizer: Optimizer | Any | Sequence[Phase] | None = None,
    sampler: Sampler | None = None,
    points: Collocation | None = None,
    weighting: Weighting | None = None,
    continuation: Continuation | None = None,
    scales: Mapping[str, float] | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    ensemble: int | None = None,
    windows: TimeWindows | None = None,
    start: Solution | None = None,
    devices: int | Sequence[Device] | None = None,
    dtype: Any = "float64",
    target: float | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 10.0,
) -> Solution | Ensemble | WindowedSolution:
    """Solve a PDE: ``po.solve("burgers")``.

    Args:
        problem: A registered name or a `Problem`.
        network: An architecture such as `MLP(width=30)` or `FromLinen(...)`, or a ready network ``(features,) ->
            (unknowns,)`` (an Equinox module, `jax.tree_util.Partial(function, params)`); default: a small multilayer
            perceptron.
        optimizer: One of `pinops.optimizers`, an optax transformation, or a tuple of `Phase`; default: Adam, then
            SSBroyden.
        sampler: How points are spread, one of `pinops.sampling`.
        points: Numbers of points, their sampler and refinement, a `Collocation`; it excludes ``sampler``.
        weighting: How terms are balanced, one of `pinops.losses`.
        continuation: Other coefficients in the first steps, from an easy problem to this one.
        scales: How large unknowns are, ``{"u": 1e-6}``; default: as large as their data and sources make them.
        steps: The number of optimizer steps. Default: 6000 (9000 for systems, more than two coordinates, waves and
            dispersion) in at most 4.5 minutes; as many as fit where only ``minutes`` is given.
        minutes: The time limit. Whichever of the two ends first counts.
        seed: Of network and points.
        ensemble: Train this many networks at once, with the seeds ``seed, seed + 1, ...``; the result is an `Ensemble`
            (run directories ``seed_0, ...`` in ``out``).
        windows: Solve one part of the time interval after the other; ``steps`` are then those of each part, and
            ``minutes`` are shared by all. The result is a `WindowedSolution` (run directories ``window_0, ...`` in
            ``out``).
        start: Go on from this solution: its network, and its optimizer where the first phase has the same one. The
            default is then SSBroyden at once.
        devices: Spread the interior points over this many devices, or these; default: one, or all of them where
            `jax.distributed` has joined several processes (each calls `solve` with the same arguments; the first one
            writes).
        dtype: ``jnp.float64``, ``jnp.float32`` or the name; the caller's JAX configuration is left as it is.
        target: Stop once every relative L2 error against the reference is at most this.
        callbacks: Called with a `Report` after every stretch of steps; one that returns True ends training.
        progress: Show one line on stderr.
        out: A run directory, where a checkpoint is written every ``checkpoint_seconds``.
        resume: Go on from the checkpoint in ``out``, also with more steps; the result is bit for bit that of a run that
            never stopped.
        checkpoint_seconds: The time between two checkpoints.

    Returns:
        A `Solution`, an `Ensemble` or a `WindowedSolution`.

    Raises:
        ValueError: For invalid arguments (unknown names, wrong shapes, NaN, no steps, a run directory of another run).
        OSError: For what cannot be written. A KeyboardInterrupt leaves a checkpoint behind.
    """
    shared: SolveOptions = {
        "network": network,
        "optimizer": optimizer,
        "sampler": sampler,
        "points": points,
        "weighting": weighting,
        "continuation": continuation,
        "scales": scales,
        "steps": steps,
        "seed": seed,
        "devices": devices,
        "dtype": dtype,
        "callbacks": callbacks,
        "progress": progress,
        "resume": resume,
        "checkpoint_seconds": checkpoint_seconds,
    }
    folder = None if out is None else Path(out)
    if windows is not None:
        if ensemble is not None or target is not None:
            raise ValueError("windows exclude ensemble and target: give one of them")
        return solve_by_windows(
            _solve_one,
            problem,
            windows,
            minutes=minutes,
            start=start,
            out=folder,
            options=dict(shared),
        )
    return _solve_one(
        problem,
        start=start,
        out=folder,
        minutes=minutes,
        ensemble=ensemble,
        target=target,
        **cast("dict[str, Any]", shared),
    )


def _solve_one(
    problem: str | Problem,
    *,
    start: Solution | None,
    out: Path | None,
    minutes: float | None = None,
    ensemble: int | None = None,
    target: float | None = None,
    title: str = "",
    **asked: Any,
) -> Any:
    """`solve` in one piece; ``title`` stands before its progress line."""
    if asked["steps"] is None and minutes is None and not _has_phases(asked["optimizer"]):
        limit: float | None = MINUTES
    else:
        limit = minutes
    options = Options(
        dtype=precision(asked["dtype"]),
        minutes=limit,
        seed=asked["seed"],
        ensemble=ensemble,
        devices=asked["devices"],
        callbacks=tuple(asked["callbacks"]),
        progress=asked["progress"],
        out=out,
        resume=asked["resume"],
        checkpoint_seconds=asked["checkpoint_seconds"],
        title=title,
    )
    stop = [StopAt(target)] if target is not None else []
    with jax.enable_x64(options.x64):
        request = cast("SolveOptions", asked)
        what = _Plan.of(problem, request, options, start, enough_for=minutes)
        if target is not None and what.reference is None:
            raise ValueError(f"target needs a reference to compare with, and {what.owner} has none")
    return trained(options, what.assembled, callbacks=stop)


def _has_phases(optimizer: Any) -> bool:
    return isinstance(optimizer, tuple | list)


class _Plan(NamedTuple):
    """What all members of an ensemble share: the problem, how it is imposed and how it is trained."""

    problem: Problem
    owner: str
    imposition: Imposition
    embedding: Embedding
    network: Network
    scales: Scales
    collocation: Collocation
    weighting: Weighting
    continuation: Continuation | None
    phases: tuple[Phase, ...]
    reference: Reference | None
    start: Solution | None
    fingerprint: dict[str, Any]
    options: Options

    @classmethod
    def of(
        cls,
        problem: str | Problem,
        asked: SolveOptions,
        options: Options,
        start: Solution | None,
        enough_for: float | None,
    ) -> "_Plan":
        """The plan of a request, whose parts are checked here."""
        network = asked.get("network")
        if start is not None and network is not None:
            raise ValueError(
                "start and network exclude each other: the network of the solution to start from goes on"
            )
        problem = load_problem(problem) if isinstance(problem, str) else problem
        residual_signature(problem)
        check_resolved(problem, options.dtype)
        imposition = impose(problem)
        sizes = scales_of(problem, imposition, asked.get("scales"))
        if start is not None:
            network = to_precision(start.network)
            # A network that goes on does so with the numbers that it was trained with.
            before = Scales.from_json(start.request["scales"])
            sizes = replace(sizes, centre=before.centre, spread=before.spread)
        elif network is None:
            network = default_architecture()
        continuation = asked.get("continuation")
        for name, values in ({} if continuation is None else continuation.coefficients).items():
            _check_stages(holder(problem), name, values)
        collocation = _collocation(problem, asked.get("sampler"), asked.get("points"))
        enough = default_steps(problem, enough_for)
        optimizer, steps = asked.get("optimizer"), asked.get("steps")
        warm, before = start is not None, options.before
        plan = phases(optimizer, steps, enough, warm=warm, before=before)
        if collocation.stochastic:
            remedy = "batch and laplacian do not give that; choose another optimizer, such as Adam"
            check_forgetful(plan, remedy)
        return cls(
            problem=problem,
            owner=name_of(holder(problem)),
            imposition=imposition,
            embedding=embedding_of(problem, imposition, network),
            network=network,
            scales=sizes,
            collocation=collocation,
            weighting=asked.get("weighting") or Fixed(),
            continuation=continuation,
            phases=plan,
            reference=cached_reference(problem),
            start=start,
            fingerprint=fingerprint(problem),
            options=options,
        )

    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""
        built = self.network
        if isinstance(built, Architecture):
            build = Drawing(built, (self.embedding.size, len(self.problem.unknowns)))
            points = self.collocation.batch or self.collocation.interior
            optimizers = [phase.optimizer for phase in self.phases]
            check_network_fits(built, build, optimizers, points)
            built = as_drawn({"seed": seed, "dtype": self.options.dtype}, build)
        check_network(built, self.embedding, self.problem.unknowns)
        mesh = self.options.mesh()
        model, params = split(self.problem, built, self.imposition, self.scales, self.owner, mesh)
        training = Training(
            model=model,
            phases=self.phases,
            source=self.collocation,
            seed=seed,
            weighting=self.weighting,
            stages=self.continuation,
            measure=_monitor(self.problem, self.reference, model),
        )
        request = self._request(seed)

        def first() -> TrainState:
            windowed = request["window"] is not None
            return _first_state(training, params, self.start, windowed)

        def result(outcome: Outcome) -> Solution:
            return Solution(
                problem=self.problem,
                request=request,
                model=replace(model, mesh=None),
                params=outcome.state.params,
                history=outcome.history,
                status=outcome.status,
                compile_seconds=outcome.compile_seconds,
                state=outcome.state,
            )

        return Assembly(training, params, request, first, result)

    def _request(self, seed: int) -> dict[str, Any]:
        problem, start = self.problem, self.start
        return {
            "problem": self.owner,
            "coefficients": describe(coefficients_of(problem)) | coefficients_as_json(problem),
            "trainable": list(problem.trainable),
            "network": describe(self.network) if start is None else start.request["network"],
            "phases": [describe(phase.optimizer) for phase in self.phases],
            "phase_steps": [phase.steps for phase in self.phases[:-1]],
            "steps": sum(phase.steps for phase in self.phases),
            "minutes": self.options.minutes,
            "collocation": describe(self.collocation),
            "weighting": describe(self.weighting),
            "continuation": describe(self.continuation),
            "observations": _digest_of_observations(problem),
            # Before the sizes, which differ with it.
            "window": window_shape(problem),
            "scales": self.scales.to_json(),
            "start": None if start is None else digest(jax.tree.leaves(start.params)),
            "drawn": None if start is None else drawn_with(start.request),
            "fingerprint": self.fingerprint,
            "seed": seed,
            "dtype": self.options.dtype,
        }


def _collocation(
    problem: Problem, sampler: Sampler | None, points: Collocation | None
) -> Collocation:
    """The points of a request. Raises ValueError for what is not a sampler, or not a `Collocation`."""
    if points is not None and sampler is not None:
        raise ValueError("points and sampler exclude each other: a Collocation has its own sampler")
    if points is not None and not isinstance(points, Collocation):
        raise ValueError(f"points must be a Collocation, got {points!r}")
    if sampler is not None and not isinstance(sampler, Sampler):
        raise ValueError(
            f"sampler must be one of pinops.sampling, got {sampler!r}; numbers of points go to "
            "points=Collocation(...)"
        )
    if points is None:
        points = default_collocation(problem)
        points = points if sampler is None else replace(points, sampler=sampler)
    check_points_fit(points, problem)
    return points


def _first_state(
    training: Training, params: Params, start: Solution | None, windowed: bool
) -> TrainState:
    """The state before the first step, with the optimizer's state of the solution to start from, where that fits."""
    carried, optimizer = None, training.phases[0].optimizer
    # Curvatures of the last time window are wrong in the next: steps along flat directions are far
    # too long, and what the network knew is lost.
    misled = optimizer.remembers and windowed
    if start is not None and start.state is not None and not misled:

        def shapes(tree: Any) -> Any:
            return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)

        carried, fresh = start.state.optimizer, optimizer.init(params)
        same = jax.tree.structure(carried) == jax.tree.structure(fresh)
        carried = carried if same and shapes(carried) == shapes(fresh) else None
    state = training.init(params, carried, fit=start is None)
    _check_first_evaluation(training, state)
    return state


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
    model = training.model
    assert isinstance(model, Model)
    names = model.problem.domain.coordinates
    params, points = gathered((state.params, state.points), model.mesh)
    terms = quick(Model.residuals)(model, params, points)
    training.weighting.check(terms)
    for name, term in terms.items():
        vector = np.asarray(term.vector)
        bad = np.flatnonzero(~np.isfinite(vector))
        if bad.size:
            pairs = zip(names, points[term.region].at[bad[0]], strict=True)
            where = ", ".join(f"{c} = {float(x):.4g}" for c, x in pairs)
            raise ValueError(
                f"{model.owner}: {name!r} is {float(vector[bad[0]])} at {where} before training "
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
    **options: Unpack[SolveOptions],
) -> Solution:
    """Find coefficients of a PDE from observations of its solution.

    The estimates are ``solution.coefficients``.

    Args:
        problem: A registered name or a `Problem`.
        observations: Scattered values, `Observed`.
        unknown: Which coefficients to find, starting from the values that they have (positive ones are trained through
            their logarithm). Both may be left out for a problem that declares them itself.
        options: As for `solve`.

    Raises:
        ValueError: As `solve` does, and where nothing is to be found.
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
