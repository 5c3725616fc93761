"""The front door for one PDE: from a problem to a solution with an error."""

import inspect
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pinops import networks
from pinops.data import DataFileError, cached_reference
from pinops.losses import Fixed, Weighting
from pinops.metrics import errors
from pinops.networks import Architecture, activations, check_network, embedding_of
from pinops.problem import (
    InverseProblem,
    Observed,
    Problem,
    coefficients_of,
    holder,
    impose,
    load_problem,
    name_of,
    residual_signature,
)
from pinops.sampling import Sampler
from pinops.solvers._recipe import default_architecture, default_collocation, phases
from pinops.solvers._solution import CHECKPOINT, Solution, write_run
from pinops.training import (
    Callback,
    Collocation,
    Params,
    Progress,
    Report,
    StopAt,
    Training,
    TrainState,
    evaluate,
    load_checkpoint,
    load_params,
    save_checkpoint,
    split,
)

_CHECKPOINT_SECONDS = 10.0
_MONITOR_POINTS = 10_000
_FREE = ("steps", "minutes")  # what a resumed run may change


def solve(
    problem: str | Problem,
    *,
    network: Architecture | Callable[..., Any] | None = None,
    optimizer: Any = None,
    sampler: Sampler | Collocation | None = None,
    weighting: Weighting | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    dtype: str = "float64",
    target: float | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
) -> Solution:
    """Solve a PDE: ``po.solve("burgers")``.

    **Arguments:**

    - `problem`: a registered name or a `Problem`.
    - `network`: an architecture such as `MLP(width=30)` or `FromLinen(...)`, or a ready network ``(features,) -> (unknowns,)``
      (an Equinox module, `jax.tree_util.Partial(function, params)`); default: a small multilayer perceptron.
    - `optimizer`: one of `pinops.optimizers`, an optax transformation, or a tuple of `Phase`; default: Adam, then SSBroyden.
    - `sampler`: one of `pinops.sampling`, or a `Collocation` for numbers of points and refinement as well.
    - `weighting`: one of `pinops.losses`.
    - `steps`, `minutes`: the budget; whichever ends first.
    - `seed`: of network and points. `dtype`: "float64" or "float32"; the caller's JAX configuration is left as it is.
    - `target`: stop once every relative L2 error against the reference is at most this.
    - `callbacks`: called with a `Report` after every stretch of steps; one that returns True ends training.
    - `progress`: one line on stderr.
    - `out`: a run directory; a checkpoint is written every few seconds. `resume`: go on from the one in `out`; the result is
      bit for bit that of a run that never stopped.

    **Raises** ValueError for what cannot be meant (unknown names, wrong shapes, NaN, no steps, a run directory of another
    run), OSError for what cannot be written. A KeyboardInterrupt leaves a checkpoint behind.
    """
    if dtype not in ("float64", "float32"):
        raise ValueError(f"dtype must be 'float64' or 'float32', got {dtype!r}")
    if minutes is not None and not minutes > 0:
        raise ValueError(f"minutes must be greater than zero, got {minutes}")
    if resume and out is None:
        raise ValueError("resume needs out, the run directory to go on from")
    with jax.enable_x64(dtype == "float64"):
        problem = load_problem(problem) if isinstance(problem, str) else problem
        owner = name_of(holder(problem))
        residual_signature(problem)
        imposition = impose(problem)
        embedding = embedding_of(problem, imposition)
        key = jax.random.key(seed)
        network = default_architecture(problem, embedding) if network is None else network
        built = network
        if isinstance(network, Architecture):
            built = network.build(embedding.size, len(problem.unknowns), key=jax.random.fold_in(key, 0))
        check_network(built, embedding, problem.unknowns)
        weighting = Fixed() if weighting is None else weighting
        collocation = default_collocation(problem)
        if isinstance(sampler, Collocation):
            collocation = sampler
        elif sampler is not None:
            collocation = Collocation(sampler=sampler)
        plan = phases(optimizer, steps)
        request = {
            "problem": owner,
            "coefficients": {name: np.asarray(value).tolist() for name, value in coefficients_of(problem).items()},
            "trainable": list(problem.trainable),
            "network": _describe(network),
            "phases": [_describe(phase.optimizer) for phase in plan],
            "phase_steps": [phase.steps for phase in plan[:-1]],
            "steps": sum(phase.steps for phase in plan),
            "minutes": minutes,
            "collocation": _describe(collocation),
            "weighting": _describe(weighting),
            "seed": seed,
            "dtype": dtype,
        }
        folder = None if out is None else Path(out)
        if folder is not None:
            _prepare(folder, request, resume)
        model, params = split(problem, built, weighting, imposition, owner)
        training = Training(model, plan, collocation, seed, _monitor(problem, model))
        return _train(problem, training, params, request, minutes, target, callbacks, progress, folder, resume)


def _train(
    problem: Problem,
    training: Training,
    params: Params,
    request: dict[str, Any],
    minutes: float | None,
    target: float | None,
    callbacks: Sequence[Callback],
    progress: bool,
    folder: Path | None,
    resume: bool,
) -> Solution:
    path = None if folder is None else folder / CHECKPOINT
    history: list[Report] = []
    if path is not None and resume and path.exists():
        state, history = load_checkpoint(path, training, params)
    else:
        state = training.init(params)
        _check_first_evaluation(training, state)
    last_written = time.monotonic()

    def keep(state: TrainState, history: list[Report]) -> None:
        nonlocal last_written
        if path is not None and time.monotonic() - last_written >= _CHECKPOINT_SECONDS:
            save_checkpoint(path, state, history, request)
            last_written = time.monotonic()

    latest: list[Any] = [state, history]

    def remember(state: TrainState, history: list[Report]) -> None:
        latest[:] = [state, history]
        keep(state, history)

    everyone = [*callbacks, *([StopAt(target)] if target is not None else []), *([Progress(minutes)] if progress else [])]
    try:
        outcome = training.run(state, minutes=minutes, callbacks=everyone, keep=remember, history=history)
    except KeyboardInterrupt:
        if path is not None:
            save_checkpoint(path, *latest, request)
        raise
    state, compiling = outcome.state, outcome.compile_seconds
    solution = Solution(problem, request, training.model, state.params, outcome.history, outcome.status, compiling, state)
    if folder is not None:
        solution.save(folder)
    return solution


def _prepare(folder: Path, request: dict[str, Any], resume: bool) -> None:
    """Make the run directory and write what is asked; refuse one that holds another run.

    **Raises** ValueError with the first thing that differs; OSError when it cannot be written.
    """
    existing = folder / "run.json"
    if existing.exists():
        if not resume:
            raise ValueError(f"{folder} already holds a run; choose another folder, or resume it")
        for name, asked in request.items():
            before = read_run(folder)["request"].get(name)
            if name not in _FREE and before != json.loads(json.dumps(asked)):
                raise ValueError(
                    f"{folder} holds a run with {name} = {before}, not {asked}; resume it as it was, or choose another folder"
                )
        return
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; choose a folder for the run")
    try:
        write_run(folder, request, None)
    except OSError as error:
        raise OSError(f"{folder} cannot be written: {error.strerror or error}; choose another folder") from error


def read_run(folder: str | Path) -> dict[str, Any]:
    """The contents of ``run.json``. Raises FileNotFoundError when there is none, DataFileError when it is damaged."""
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no run: there is no {path}")
    try:
        content = json.loads(path.read_text())
        content["request"]["problem"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataFileError(f"{path} cannot be read as the description of a run ({error}); restore a copy") from error
    return content


def _monitor(problem: Problem, model: Any) -> Callable[[Params], dict[str, float]]:
    """Relative L2 errors on a part of the reference grid, for progress and history; nothing without a reference."""
    reference = cached_reference(problem)
    if reference is None:
        return lambda params: {}
    reference = reference.coarse(_MONITOR_POINTS)
    grids = np.broadcast_arrays(*(reference.coordinates[name] for name in problem.domain.coordinates))
    points = jnp.asarray(np.stack([grid.ravel() for grid in grids], -1), jnp.result_type(float))

    def measure(params: Params) -> dict[str, float]:
        out = np.asarray(evaluate(model, params, points))
        values = {name: out[:, k].reshape(grids[0].shape) for k, name in enumerate(problem.unknowns)}
        found = errors(values, reference, gauge=problem.gauge, time=problem.domain.time)
        return {name: error["relative_l2"] for name, error in found.items()}

    return measure


def _check_first_evaluation(training: Training, state: TrainState) -> None:
    """Raises ValueError when an equation gives a number that is not finite before training, naming it and the point."""
    names = training.model.problem.domain.coordinates
    vectors = eqx.filter_jit(lambda model, params, points: model.residuals(params, points))(
        training.model, state.params, state.points
    )
    for name, vector in vectors.items():
        bad = np.flatnonzero(~np.isfinite(np.asarray(vector)))
        if bad.size:
            region = next(points for points in state.points.values() if len(points.at) == len(vector))
            where = ", ".join(f"{c} = {float(x):.4g}" for c, x in zip(names, region.at[bad[0]], strict=True))
            raise ValueError(
                f"{training.model.owner}: {name!r} is {float(vector[bad[0]])} at {where} before training "
                f"({bad.size} of {len(vector)} points); check the equation and its data there"
            )


def _describe(thing: Any) -> Any:
    """A description of an object in JSON, for run directories and for comparing a resumed run with its request."""
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, tuple | list):
        return [_describe(item) for item in thing]
    if isinstance(thing, dict):
        return {str(name): _describe(value) for name, value in thing.items()}
    if is_dataclass(thing) and not isinstance(thing, type):
        content = {field.name: _describe(getattr(thing, field.name)) for field in fields(thing)}
        return {type(thing).__name__: content}
    if isinstance(thing, np.ndarray | jax.Array):
        return f"array of shape {thing.shape}"
    known = next((name for name, function in activations.items() if function is thing), None)
    return known or f"{inspect.getmodule(thing).__name__}.{getattr(thing, '__qualname__', type(thing).__name__)}"


def load(folder: str | Path, *, problem: Problem | None = None, network: Any = None) -> Solution:
    """The solution in a run directory. Executes no code from it.

    ``problem`` and ``network`` are needed only where they were not a registered name and one of our own architectures.

    **Raises** FileNotFoundError or DataFileError (a ValueError) for a folder that holds no readable run.
    """
    folder = Path(folder)
    request = read_run(folder)["request"]
    result = read_run(folder).get("result") or {}
    with jax.enable_x64(request["dtype"] == "float64"):
        if problem is None:
            problem = load_problem(request["problem"], **request["coefficients"])
        if network is None:
            network = _architecture(request["network"], folder)
        imposition = impose(problem)
        embedding = embedding_of(problem, imposition)
        built = network
        if isinstance(network, Architecture):
            built = network.build(embedding.size, len(problem.unknowns), key=jax.random.key(0))
        model, params = split(problem, built, Fixed(), imposition, request["problem"])
        params, history = load_params(folder / CHECKPOINT, params)
    status, compiling = result.get("status", "unfinished"), result.get("compile_seconds", 0.0)
    return Solution(problem, request, model, params, history, status, compiling)


def _architecture(description: Any, folder: Path) -> Architecture:
    """One of our own architectures from its description. Raises ValueError for any other network."""
    if isinstance(description, dict) and len(description) == 1:
        ((name, content),) = description.items()
        cls = getattr(networks, name, None) if name.isidentifier() and not name.startswith("From") else None
        if isinstance(cls, type) and issubclass(cls, Architecture):
            return cls(**{key: activations.get(value, value) if isinstance(value, str) else value for key, value in content.items()})
    raise ValueError(f"the network of the run in {folder} is not one of pinops; give the same one again, load(..., network=...)")


def invert(
    problem: str | Problem, observations: Observed | None = None, *, unknown: str | Sequence[str] = (), **options: Any
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
        raise ValueError(f"invert({name_of(problem)}): give both observations and unknown, the coefficients to be found")
    return solve(problem, **options)
