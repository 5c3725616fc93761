"""The front door for families and data: an operator or a surrogate for many problems."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pinops.data import Dataset, as_dataset, check_data, family_of, problem_in
from pinops.losses import Weighting
from pinops.operators import (
    MMGP,
    DeepONet,
    Direct,
    GridArchitecture,
    HyPINO,
    OperatorArchitecture,
    PointArchitecture,
    SurrogateArchitecture,
    Uncertain,
    check_architecture,
)
from pinops.optimizers import Optimizer
from pinops.problem import Problem, RandomLinearProblems, check_family, load_problem
from pinops.solvers._door import Options, compute_precision, precision, trained, unwrapped
from pinops.solvers._hypernetwork_plan import hypernetwork_plan
from pinops.solvers._map_plan import map_plan
from pinops.solvers._mmgp_plan import fitted_mmgp
from pinops.solvers._multifidelity import MultiFidelity, trained_on_two_levels
from pinops.solvers._operator_plan import operator_plan
from pinops.solvers._point_plan import point_plan
from pinops.solvers._point_step_plan import point_step_plan
from pinops.solvers._recipe import Length
from pinops.solvers._surrogate_plan import surrogate_plan
from pinops.solvers._trained_multifidelity import TrainedMultiFidelity
from pinops.solvers._trained_operator import TrainedOperator
from pinops.training import Callback, Curriculum, Device, Functions, Phase

_RESOLVED = 0.1  # of a deviation, which the rounding of values has to be smaller than


def train(
    what: str | Problem | Dataset | RandomLinearProblems,
    architecture: OperatorArchitecture
    | SurrogateArchitecture
    | GridArchitecture
    | PointArchitecture
    | MMGP
    | HyPINO
    | Uncertain
    | MultiFidelity
    | None = None,
    *,
    data: Dataset | str | Path | None = None,
    physics: float | None = None,
    functions: Functions | None = None,
    curriculum: Curriculum | None = None,
    optimizer: Optimizer | Any | Sequence[Phase] | None = None,
    weighting: Weighting | None = None,
    loss: str | None = None,
    start: TrainedOperator | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    ensemble: int | None = None,
    dtype: Any = "float32",
    compute_dtype: Any = None,
    devices: int | Sequence[Device] | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
) -> Any:
    """Train an operator, a steady map or a surrogate of time steps: ``po.train("burgers_family")``.

    The architecture says which: `DeepONet` makes an operator, from the inputs of a problem (also
    functions at sensors of their own) to its solution at any points; a network on grids such as
    `FNO` a map from input fields and numbers to the solution on a grid; `Direct` and `CAPE` of one
    a surrogate, from snapshots on a grid to the next one; `Transolver` and `MeshGraphNet` a map on
    points that differ from sample to sample, as does `MorphedGrid` of a network on grids for
    meshes, and `Direct` of one a surrogate there. Of data with a time axis a network on points
    alone stands for ``Direct(network, change=True)``. `MMGP` is fitted to fields on meshes in
    closed form, in float64, and gives them with error bars. `HyPINO` learns from random linear
    problems to generate the network of a problem.

    Args:
        what: A family, by its registered name or as a `Problem` with ``sample(key)`` and
            ``inputs()``; or a `Dataset`, whose family it then is; or `RandomLinearProblems`.
        architecture: Default: a `DeepONet`. `pinops.uncertain` of one gives error bars; a
            `MultiFidelity` of one corrects a cheaper level.
        data: Solutions made by `pinops data`, a `Dataset` or its file. Surrogates need them; a map
            without data lies on the grid of the input fields of its family.
        physics: The weight >= 0 of the equations in the loss (and of conditions that are not met
            exactly, for an operator). Default: 1 without data, 0 with them. The equation of a map
            is that of differences on its grid, and its outputs then meet the conditions exactly.
        functions: How many samples and points are drawn, and how many a step takes. Default for a
            surrogate: 30 trajectories in a step, for a map, or on points: 8 samples.
        curriculum: Of a surrogate: from steps that begin at the truth to whole rollouts; default:
            30 epochs.
        optimizer: As for `solve`. Default: SOAP with a learning rate from 3e-3 to zero; for a
            surrogate Adam with the same, of gradients no longer than 1; for a map on a grid and a
            `MorphedGrid` Adam with one from 2e-3 to zero, after a tenth of the steps in which it
            rises.
        weighting: How terms are balanced, one of `pinops.losses`; default: constant weights.
        loss: Of a map, the mean over samples of a relative error: "H1" (the default) that of the
            values and that of their gradients, the root of the sum of their squares; "L2" that of
            the values alone, for outputs that jump.
        start: Go on from this operator, of the same family or of another with inputs of the same
            shapes (`optimizers.Only` then trains some of its layers).
        steps: The number of steps, 10000 by default, for `HyPINO` 20000; for a surrogate the
            curriculum says it.
        epochs: The number of passes through the samples for training, instead of steps.
        minutes: The time limit.
        seed: Of parameters, samples and points.
        ensemble: Train this many at once, with the seeds ``seed, seed + 1, ...``; the result is an
            `Ensemble`.
        dtype: ``jnp.float32``, ``jnp.float64`` or the name.
        compute_dtype: ``jnp.bfloat16``, or the name: inside of networks, for data. Parameters,
            losses and outputs keep ``dtype``, and so do transforms and derivatives.
        devices: How many devices, or which, share the samples of a step.
        callbacks: Called with a `Report` after every stretch of steps; one that returns True ends
            training. `TensorBoard` and others write a log.
        progress: Show one line on stderr.
        out: A run directory, where a checkpoint is written every ``checkpoint_seconds``.
        resume: Go on from the checkpoint in ``out``, bit for bit.
        checkpoint_seconds: The time between two checkpoints.

    Returns:
        A `TrainedOperator`, a `TrainedMap`, a `TrainedSurrogate`, a `TrainedPointMap`, a
        `TrainedPointSurrogate`, a `TrainedMMGP` or a `TrainedHypernetwork`, an `Ensemble` of them,
        a `TrainedUncertain` or a `TrainedMultiFidelity`.

    Raises:
        ValueError: For invalid arguments.
        OSError: For what cannot be read or written. A KeyboardInterrupt leaves a checkpoint behind.
    """
    if isinstance(architecture, MultiFidelity):
        return _on_two_levels(**locals())  # nothing is local yet but the arguments
    name = precision(dtype)
    inner, wrapped, ensemble = unwrapped(architecture, ensemble, start)
    options = Options(
        dtype=name,
        compute_dtype=compute_precision(compute_dtype, name),
        minutes=minutes,
        seed=seed,
        ensemble=ensemble,
        uncertain=wrapped,
        devices=devices,
        callbacks=tuple(callbacks),
        progress=progress,
        out=None if out is None else Path(out),
        resume=resume,
        checkpoint_seconds=checkpoint_seconds,
    )
    length = Length(steps, epochs)
    recipe: Any = {"functions": functions, "optimizer": optimizer, "weighting": weighting}
    if isinstance(what, RandomLinearProblems) or isinstance(inner, HyPINO):
        given = {"data": data, "physics": physics, "curriculum": curriculum, "loss": loss}
        pair = _manufactured(what, inner, given | {"start": start, "epochs": epochs})
        with jax.enable_x64(options.x64):
            plan: Any = hypernetwork_plan(*pair, options, length=length, **recipe)
        return trained(options, plan.assembled)
    family, dataset = _family(what, data)
    kind = DeepONet() if inner is None else inner
    check_architecture(kind)
    if dataset is not None:
        kind = _in_time(kind, dataset)
        _check_sensors(kind, dataset)
    if isinstance(kind, MMGP):
        given = {"physics": physics, "curriculum": curriculum, "loss": loss, "start": start}
        return fitted_mmgp(kind, options, dataset, {**given, **recipe, **vars(length)})
    _check_kind(kind, length=length, start=start, curriculum=curriculum, loss=loss)
    shared = {"dataset": dataset, "physics": physics, **recipe}
    fresh = inner is not None or start is None
    special = {"curriculum": curriculum, "loss": loss, "length": length, "start": start}
    with jax.enable_x64(options.x64):
        plan = _plan(family, kind, options, shared, fresh=fresh, **special)
    if dataset is not None:
        _check_digits(dataset, options.dtype)
    shared_data = {"tested_on": plan.tested_on, "data": plan.dataset}
    return trained(options, plan.assembled, **shared_data)


def _plan(
    family: Problem,
    kind: Any,
    options: Options,
    shared: dict[str, Any],
    *,
    fresh: bool,
    curriculum: Curriculum | None,
    loss: str | None,
    length: Length,
    start: TrainedOperator | None,
) -> Any:
    """The plan of what an architecture makes; ``fresh``: not one that goes on from ``start``."""
    _check_unlabelled(kind, shared["functions"], shared["dataset"], shared["physics"])
    if isinstance(kind, Direct) and kind.on_points is not None:
        return point_step_plan(kind, options, curriculum=curriculum, **shared)
    if isinstance(kind, SurrogateArchitecture):
        return surrogate_plan(family, kind, options, curriculum=curriculum, **shared)
    if isinstance(kind, GridArchitecture):
        return map_plan(family, kind, options, loss=loss, length=length, **shared)
    if isinstance(kind, PointArchitecture):
        return point_plan(kind, options, length=length, **shared)
    operator = kind if fresh else None
    return operator_plan(family, operator, options, start=start, length=length, **shared)


def _on_two_levels(
    what: Any,
    architecture: MultiFidelity,
    data: Any,
    ensemble: int | None,
    out: str | Path | None,
    **options: Any,
) -> TrainedMultiFidelity:
    """Train both levels, with the options as they were given.

    Raises:
        ValueError: Without data of the high level.
    """
    _, dataset = _family(what, data)
    if dataset is None:
        raise ValueError(
            "MultiFidelity needs samples of the high level: train(dataset, MultiFidelity(low=...))"
        )
    folder = None if out is None else Path(out)
    return trained_on_two_levels(
        dataset, architecture, train, out=folder, ensemble=ensemble, **options
    )


def _in_time(kind: Any, dataset: Dataset) -> Any:
    """What is trained on data: of trajectories at points a step from one snapshot to the next.

    Raises:
        ValueError: For trajectories at points, and an architecture of something else.
    """
    if dataset.layout.kind != "meshes" or dataset.layout.time is None:
        return kind
    if isinstance(kind, PointArchitecture):
        return Direct(kind, change=True)  # steps are short, and changes easier to learn
    if isinstance(kind, Direct) and kind.on_points is not None:
        return kind
    raise ValueError(
        f"{dataset.path} has trajectories at points, which {type(kind).__name__} does not learn; "
        "train Direct(Transolver()) or Direct(MeshGraphNet())"
    )


def _manufactured(
    what: Any, architecture: Any, given: Mapping[str, Any]
) -> tuple[RandomLinearProblems, HyPINO]:
    """Random problems and a hypernetwork. Raises ValueError for one without the other, and for
    options of other trainings.
    """
    if not (isinstance(what, RandomLinearProblems) and isinstance(architecture, HyPINO)):
        raise ValueError(
            "HyPINO() learns from random linear problems and nothing else does: give "
            "train(RandomLinearProblems(pool), HyPINO()), got "
            f"{type(what).__name__} and {type(architecture).__name__}"
        )
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name} is not for HyPINO, which draws its problems; leave it out")
    return what, architecture


def _check_sensors(kind: Any, dataset: Dataset) -> None:
    """Raises ValueError for an architecture that does not see functions at sensors of their own."""
    if dataset.layout.sensors and not isinstance(kind, OperatorArchitecture):
        name = min(dataset.layout.sensors)
        raise ValueError(
            f"{dataset.path} has the input {name} at sensors that differ from sample to sample, "
            f"which {type(kind).__name__} does not take; train a DeepONet()"
        )


def _check_digits(dataset: Dataset, dtype: str) -> None:
    """Raises ValueError for unknowns that vary by less than what a precision resolves."""
    for name, scale in dataset.scale.items():
        mean = dataset.mean[name]
        if np.finfo(dtype).eps * abs(mean) > _RESOLVED * scale:
            raise ValueError(
                f"{dataset.path}: {name} varies by {scale:.1g} about {mean:.3g}, which {dtype} "
                f"rounds to steps of {np.spacing(np.asarray(abs(mean), dtype)):.1g}; take the mean "
                "out of the data"
                + ("" if dtype == "float64" else ', or train with dtype="float64"')
            )


def _check_unlabelled(
    kind: Any, functions: Functions | None, dataset: Dataset | None, physics: float | None
) -> None:
    """Raises ValueError for members without solutions where no equation is asked of them."""
    if functions is None or not functions.unlabelled:
        return
    of_family = dataset is not None and dataset.settings is not None
    if not (isinstance(kind, OperatorArchitecture) and of_family and physics):
        raise ValueError(
            "Functions: unlabelled members are for the equation of an operator beside its data: "
            "give an operator such as DeepONet(), data= of a family and physics=, or leave "
            "unlabelled out"
        )


def _check_kind(kind: Any, *, length: Length, start: Any, curriculum: Any, loss: Any) -> None:
    """Raises ValueError for an option of another kind of architecture."""
    if isinstance(kind, SurrogateArchitecture):
        for name, value in (("steps", length.steps), ("epochs", length.epochs), ("start", start)):
            if value is not None:
                raise ValueError(
                    f"{name} is not for a surrogate, which is trained for the epochs of "
                    "curriculum=Curriculum(...)"
                )
    elif curriculum is not None:
        raise ValueError("curriculum is for surrogates, such as CAPE(FNO(20)); leave it out")
    if isinstance(kind, GridArchitecture | PointArchitecture) and start is not None:
        raise ValueError("start is for operators, such as DeepONet(); leave it out")
    if loss is not None and not isinstance(kind, GridArchitecture):
        raise ValueError("loss is for maps on grids, such as FNO(32, 12); leave it out")


def _family(
    what: str | Problem | Dataset, data: Dataset | str | Path | None
) -> tuple[Problem, Dataset | None]:
    """The family of a request, and its data."""
    dataset = None if data is None else as_dataset(data)
    if isinstance(what, Dataset):
        if dataset is not None:
            raise ValueError("data are given twice: train(dataset, ...) needs no data=")
        if (settings := what.settings) is None:
            return family_of(what), what
        family, dataset = problem_in(settings), what
    else:
        family = load_problem(what) if isinstance(what, str) else what
    check_family(family)
    if dataset is not None:
        check_data(dataset, family)
    return family, dataset
