"""The front door for families and data: an operator or a surrogate for many problems."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from pinops.data import Dataset, as_dataset, check_data, family_of
from pinops.losses import Weighting
from pinops.operators import (
    DeepONet,
    GridArchitecture,
    OperatorArchitecture,
    PointArchitecture,
    SurrogateArchitecture,
    check_architecture,
)
from pinops.optimizers import Optimizer
from pinops.problem import Problem, check_family, load_problem
from pinops.solvers._door import Options, compute_precision, precision, trained
from pinops.solvers._ensemble import Ensemble
from pinops.solvers._map_plan import map_plan
from pinops.solvers._operator_plan import operator_plan
from pinops.solvers._point_plan import point_plan
from pinops.solvers._recipe import Length
from pinops.solvers._surrogate_plan import surrogate_plan
from pinops.solvers._trained_map import TrainedMap
from pinops.solvers._trained_operator import TrainedOperator
from pinops.solvers._trained_point_map import TrainedPointMap
from pinops.solvers._trained_surrogate import TrainedSurrogate
from pinops.training import Callback, Curriculum, Device, Functions, Phase


def train(
    what: str | Problem | Dataset,
    architecture: OperatorArchitecture
    | SurrogateArchitecture
    | GridArchitecture
    | PointArchitecture
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
    points that differ from sample to sample.

    Args:
        what: A family, by its registered name or as a `Problem` with ``sample(key)`` and
            ``inputs()``; or a `Dataset`, whose family it then is.
        architecture: Default: a `DeepONet`.
        data: Solutions made by `pinops data`, a `Dataset` or its file. Surrogates need them; a map
            without data lies on the grid of the input fields of its family.
        physics: The weight >= 0 of the equations in the loss (and of conditions that are not met
            exactly, for an operator). Default: 1 without data, 0 with them. The equation of a map
            is that of differences on its grid, and its outputs then meet the conditions exactly.
        functions: How many samples and points are drawn, and how many a step takes. Default for a
            surrogate: 30 trajectories in a step, for a map: 8 samples.
        curriculum: Of a surrogate: from steps that begin at the truth to whole rollouts; default:
            30 epochs.
        optimizer: As for `solve`. Default: SOAP with a learning rate from 3e-3 to zero; for a
            surrogate Adam with the same, of gradients no longer than 1; for a map Adam with one
            from 2e-3 to zero, after a tenth of the steps in which it rises (on points instead with
            gradients no longer than 1).
        weighting: How terms are balanced, one of `pinops.losses`; default: constant weights.
        loss: Of a map, the mean over samples of a relative error: "H1" (the default) that of the
            values and that of their gradients, the root of the sum of their squares; "L2" that of
            the values alone, for outputs that jump.
        start: Go on from this operator, of the same family or of another with inputs of the same
            shapes (`optimizers.Only` then trains some of its layers).
        steps: The number of steps, 10000 by default; for a surrogate the curriculum says it.
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
            training.
        progress: Show one line on stderr.
        out: A run directory, where a checkpoint is written every ``checkpoint_seconds``.
        resume: Go on from the checkpoint in ``out``, bit for bit.
        checkpoint_seconds: The time between two checkpoints.

    Returns:
        A `TrainedOperator`, a `TrainedMap`, a `TrainedSurrogate` or a `TrainedPointMap`, or an
        `Ensemble` of them.

    Raises:
        ValueError: For invalid arguments.
        OSError: For what cannot be read or written. A KeyboardInterrupt leaves a checkpoint behind.
    """
    name = precision(dtype)
    options = Options(
        dtype=name,
        compute_dtype=compute_precision(compute_dtype, name),
        minutes=minutes,
        seed=seed,
        ensemble=ensemble,
        devices=devices,
        callbacks=tuple(callbacks),
        progress=progress,
        out=None if out is None else Path(out),
        resume=resume,
        checkpoint_seconds=checkpoint_seconds,
    )
    family, dataset = _family(what, data)
    kind = DeepONet() if architecture is None else architecture
    check_architecture(kind)
    if dataset is not None:
        _check_sensors(kind, dataset)
    length = Length(steps, epochs)
    _check_kind(kind, length=length, start=start, curriculum=curriculum, loss=loss)
    shared: dict[str, Any] = {
        "dataset": dataset,
        "physics": physics,
        "functions": functions,
        "optimizer": optimizer,
        "weighting": weighting,
    }
    with jax.enable_x64(options.x64):
        if isinstance(kind, SurrogateArchitecture):
            plan: Any = surrogate_plan(family, kind, options, curriculum=curriculum, **shared)
        elif isinstance(kind, GridArchitecture):
            plan = map_plan(family, kind, options, loss=loss, length=length, **shared)
        elif isinstance(kind, PointArchitecture):
            plan = point_plan(kind, options, length=length, **shared)
        else:
            fresh = kind if architecture is not None or start is None else None
            plan = operator_plan(family, fresh, options, start=start, length=length, **shared)
    result: TrainedOperator | TrainedMap | TrainedSurrogate | TrainedPointMap | Ensemble
    result = trained(options, plan.assembled, tested_on=plan.tested_on)  # pyright: ignore
    return result


def _check_sensors(kind: Any, dataset: Dataset) -> None:
    """Raises ValueError for an architecture that does not see functions at sensors of their own."""
    if dataset.layout.sensors and not isinstance(kind, OperatorArchitecture):
        name = min(dataset.layout.sensors)
        raise ValueError(
            f"{dataset.path} has the input {name} at sensors that differ from sample to sample, "
            f"which {type(kind).__name__} does not take; train a DeepONet()"
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
        family, dataset = load_problem(settings["problem"], **settings["coefficients"]), what
    else:
        family = load_problem(what) if isinstance(what, str) else what
    check_family(family)
    if dataset is not None:
        check_data(dataset, family)
    return family, dataset
