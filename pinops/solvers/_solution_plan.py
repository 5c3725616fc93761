"""From a request to a training of one problem: its parts are checked, then assembled."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pinops.data import cached_reference
from pinops.losses import Fixed, Weighting
from pinops.metrics import errors
from pinops.networks import (
    Architecture,
    Embedding,
    check_network,
    embedding_of,
    is_plain,
    placed,
)
from pinops.operators import Uncertain
from pinops.optimizers import LBFGS, MOST_PARAMETERS, Optimizer
from pinops.problem import (
    Imposition,
    Observed,
    Problem,
    Scales,
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
from pinops.solvers._door import Assembly, Options
from pinops.solvers._recipe import (
    check_forgetful,
    default_architecture,
    default_collocation,
    default_steps,
    phases,
)
from pinops.solvers._request import Drawing, as_drawn, check_flat, describe, digest, drawn_with
from pinops.solvers._solution import Solution
from pinops.solvers._windows import window_shape
from pinops.training import (
    Callback,
    Collocation,
    Continuation,
    Device,
    Model,
    Outcome,
    Params,
    Phase,
    Training,
    TrainState,
    check_network_fits,
    check_points_fit,
    evaluate,
    gathered,
    split,
)
from pinops.training import cast as to_precision

_MONITOR_POINTS = 10_000  # of the reference grid, whose errors are shown during training
Network = Architecture | Uncertain | Callable[[Array], Array]


class SolveOptions(TypedDict, total=False):
    """The options that `invert` and the overloads of `solve` share."""

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


class SolutionPlan(NamedTuple):
    """What all members of an ensemble share: the problem, its imposition and its training."""

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
    ) -> "SolutionPlan":
        """The plan of a request. Raises ValueError for invalid parts."""
        network = asked.get("network")
        if start is not None and network is not None:
            raise ValueError(
                "start and network exclude each other: "
                "the network of the solution to start from goes on"
            )
        problem = load_problem(problem) if isinstance(problem, str) else problem
        residual_signature(problem)
        check_resolved(problem, options.dtype)
        exact = start is None or start.request.get("exact", True)
        if start is not None:
            network = to_precision(start.network)
        elif network is None:
            network = default_architecture()
        imposition = impose(problem, exact, is_plain(network))
        embedding = embedding_of(problem, imposition, network)
        if start is not None:
            seen = embedding_of(start.problem, start.model.imposition, network)
            check_flat(embedding, seen, name_of(holder(problem)))
        sizes = scales_of(problem, imposition, asked.get("scales"))
        if start is not None:
            # A network that goes on keeps the numbers of its training.
            before = Scales.from_json(start.request["scales"])
            sizes = replace(sizes, centre=before.centre, spread=before.spread)
        continuation = asked.get("continuation")
        for name, values in ({} if continuation is None else continuation.coefficients).items():
            _check_stages(holder(problem), name, values)
        collocation = _collocation(problem, asked.get("sampler"), asked.get("points"))
        enough = default_steps(problem, enough_for)
        optimizer, steps = asked.get("optimizer"), asked.get("steps")
        resumed = options.before
        # SSBroyden refuses what the networks of operators have, and nobody chose their size here.
        if optimizer is None and start is not None and start.num_parameters > MOST_PARAMETERS:
            optimizer = LBFGS()
        plan = phases(optimizer, steps, enough, warm=start is not None, before=resumed)
        if collocation.stochastic:
            remedy = "batch and laplacian do not give that; choose another optimizer, such as Adam"
            check_forgetful(plan, remedy)
        return cls(
            problem=problem,
            owner=name_of(holder(problem)),
            imposition=imposition,
            embedding=embedding,
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
        built, request = self.network, self._request(seed)
        if isinstance(built, Architecture):
            known = placed(built, self.problem.domain.coordinates, self.embedding)
            build = Drawing(known, (self.embedding.size, len(self.problem.unknowns)))
            points = self.collocation.batch or self.collocation.interior
            optimizers = [phase.optimizer for phase in self.phases]
            check_network_fits(built, build, optimizers, points)
            built = as_drawn(request, build)
        check_network(built, self.embedding, self.problem.unknowns)
        mesh = self.options.mesh()
        model, params = split(self.problem, built, self.imposition, self.scales, self.owner, mesh)
        if not jax.tree.leaves(params):
            raise ValueError(
                "the network has no parameters that training could change; give an architecture "
                "such as MLP(20, 2)"
            )
        training = Training(
            model=replace(model, bootstrap=self.options.bootstrap(seed)),
            phases=self.phases,
            source=self.collocation,
            seed=seed,
            weighting=self.weighting,
            stages=self.continuation,
            measure=_monitor(self.problem, self.reference, model),
            ends=self.options.ends,
        )

        def first() -> TrainState:
            windowed = request["window"] is not None
            return _first_state(training, params, self.start, windowed)

        def result(outcome: Outcome) -> Solution:
            return Solution(
                problem=self.problem,
                request=request,
                model=replace(model, mesh=None),
                params=outcome.params,
                history=outcome.history,
                status=outcome.status,
                compile_seconds=outcome.compile_seconds,
                state=outcome.state,
            )

        return Assembly(training, params, request, first, result)

    def _request(self, seed: int) -> dict[str, Any]:
        problem, start = self.problem, self.start
        generated = start is not None and not start.request.get("exact", True)
        return {
            **({"exact": False} if generated else {}),
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
            **self.options.asked,
        }


def _collocation(
    problem: Problem, sampler: Sampler | None, points: Collocation | None
) -> Collocation:
    """The points of a request. Raises ValueError for an invalid sampler or `Collocation`."""
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
    """The state before the first step; it continues the optimizer of ``start`` where that fits."""
    carried, optimizer = None, training.phases[0].optimizer
    # The curvatures of one time window are wrong in the next: steps along flat directions would be
    # far too long, and destroy what the network has learnt.
    misled = windowed and optimizer.remembers
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
    """Relative L2 errors on a part of the reference grid; nothing without a reference."""
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
    """Raises ValueError for an equation that is not finite before training, and names the point."""
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
            f"{name_of(problem)} has no coefficient {name!r} to continue in; "
            f"it has {', '.join(numbers) or 'none'}"
        )
    if name in problem.trainable:
        raise ValueError(
            f"{name_of(problem)}: {name} is to be found; it cannot be prescribed by a continuation"
        )
    for value in values:
        replace(problem, **{name: value})  # the problem's own checks


def _digest_of_observations(problem: Problem) -> str | None:
    """A checksum of all observations, which a resumed run must share; None without any."""
    observed = [condition for condition in problem.conditions() if isinstance(condition, Observed)]
    named = [pair for condition in observed for pair in sorted(condition.arrays.items())]
    if not named:
        return None
    pairs = ((np.frombuffer(name.encode(), np.uint8), array) for name, array in named)
    return digest([part for pair in pairs for part in pair])
