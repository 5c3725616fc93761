"""The front door for one PDE: from a problem to a solution with an error."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack, cast, overload

import jax

from pinops.losses import Weighting
from pinops.operators import Uncertain
from pinops.optimizers import Optimizer
from pinops.problem import InverseProblem, Observed, Problem, TimeWindows, load_problem, name_of
from pinops.sampling import Sampler
from pinops.solvers._by_windows import solve_by_windows
from pinops.solvers._door import Options, precision, trained, unwrapped
from pinops.solvers._ensemble import Ensemble
from pinops.solvers._recipe import MINUTES
from pinops.solvers._solution import Solution
from pinops.solvers._solution_plan import Network, SolutionPlan, SolveOptions
from pinops.solvers._windows import WindowedSolution
from pinops.training import (
    Callback,
    Collocation,
    Continuation,
    Device,
    Ends,
    Phase,
    StopAt,
    endless,
)


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
        network: An architecture such as `MLP(width=30)` or `FromLinen(...)`, or a ready network
            ``(features,) -> (unknowns,)`` (an Equinox module, `jax.tree_util.Partial(function,
            params)`); default: a small multilayer perceptron. `pinops.uncertain` of an
            architecture gives error bars.
        optimizer: One of `pinops.optimizers`, an optax transformation, or a tuple of `Phase`;
            default: Adam (a quarter of the steps, at most 300), then SSBroyden.
        sampler: How points are spread, one of `pinops.sampling`.
        points: A `Collocation`: the numbers of points, their sampler and refinement. It excludes
            ``sampler``.
        weighting: How terms are balanced, one of `pinops.losses`.
        continuation: Other coefficients in the first steps, from an easy problem to this one.
        scales: The sizes of unknowns, ``{"u": 1e-6}``; default: measured from their data and
            sources.
        steps: The number of optimizer steps. Default: 6000 (9000 for systems, more than two
            coordinates, waves and dispersion) in at most 4.5 minutes; if only ``minutes`` is given,
            as many as fit. Windows of chosen lengths have half of them each, and no limit of time.
        minutes: The time limit. Training ends at whichever limit comes first.
        seed: The random seed of network and points.
        ensemble: The number of networks to train at once, with the seeds ``seed, seed + 1, ...``;
            the result is an `Ensemble` (run directories ``seed_0, ...`` in ``out``).
        windows: Solve the parts of the time interval one after the other, ``TimeWindows(10)`` or,
            with lengths that are chosen, ``TimeWindows()``; ``steps`` then count for each part, and
            all parts share ``minutes``. The result is a `WindowedSolution` (run directories
            ``window_0, ...`` in ``out``).
        start: A solution to continue: its network, and its optimizer if the first phase has the
            same one. The default is then SSBroyden from the first step.
        devices: A number of devices, or a list, that share the interior points. Default: one, or
            all of them where `jax.distributed` has joined several processes (each calls `solve`
            with the same arguments; the first one writes).
        dtype: ``jnp.float64``, ``jnp.float32`` or the name; the JAX configuration of the caller
            does not change.
        target: Stop once every relative L2 error against the reference is at most this.
        callbacks: Called with a `Report` after every stretch of steps; one that returns True ends
            training. `TensorBoard` and others write a log.
        progress: Show one line on stderr.
        out: A run directory, where a checkpoint is written every ``checkpoint_seconds``.
        resume: Continue from the checkpoint in ``out``, with more steps if desired; the result
            equals that of an uninterrupted run, bit for bit.
        checkpoint_seconds: The time between two checkpoints.

    Returns:
        A `Solution`, an `Ensemble`, a `TrainedUncertain` or a `WindowedSolution`.

    Raises:
        ValueError: For invalid arguments (unknown names, wrong shapes, NaN, no steps, a run
            directory of another run).
        OSError: For an ``out`` that cannot be written. A KeyboardInterrupt leaves a checkpoint
            behind.
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
        if isinstance(network, Uncertain):
            raise ValueError("windows and uncertain exclude each other: give one of them")
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
    ends: Ends = endless,
    **asked: Any,
) -> Any:
    """`solve` in one piece, until a report ``ends`` it; ``title`` begins its progress line."""
    has_phases = isinstance(asked["optimizer"], tuple | list)
    unlimited = asked["steps"] is None and minutes is None and not has_phases
    network, wrapped, ensemble = unwrapped(asked["network"], ensemble, start)
    asked |= {"network": network}
    options = Options(
        dtype=precision(asked["dtype"]),
        minutes=MINUTES if unlimited else minutes,
        seed=asked["seed"],
        ensemble=ensemble,
        uncertain=wrapped,
        devices=asked["devices"],
        callbacks=tuple(asked["callbacks"]),
        progress=asked["progress"],
        out=out,
        resume=asked["resume"],
        checkpoint_seconds=asked["checkpoint_seconds"],
        title=title,
        ends=ends,
    )
    stop = [StopAt(target)] if target is not None else []
    with jax.enable_x64(options.x64):
        request = cast("SolveOptions", asked)
        what = SolutionPlan.of(problem, request, options, start, enough_for=minutes)
        if target is not None and what.reference is None:
            raise ValueError(f"target needs a reference to compare with, and {what.owner} has none")
    return trained(options, what.assembled, callbacks=stop)


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
        unknown: The coefficients to find, from their present values (positive ones are trained
            through their logarithm). Omit both if the problem declares them itself.
        options: As for `solve`.

    Raises:
        ValueError: As for `solve`, and without a coefficient to find.
    """
    problem = load_problem(problem) if isinstance(problem, str) else problem
    names = (unknown,) if isinstance(unknown, str) else tuple(unknown)
    if observations is not None and names:
        problem = InverseProblem(problem, observations, names)
    elif observations is not None or names or not problem.trainable:
        raise ValueError(
            f"invert({name_of(problem)}): give both observations and unknown, "
            "the coefficients to be found"
        )
    return solve(problem, **options)
