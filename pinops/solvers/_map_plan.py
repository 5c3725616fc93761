"""From a request to a training of a steady map on samples of input and output fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pinops.data import Dataset, check_values
from pinops.losses import Fixed, Weighting
from pinops.networks import trainable
from pinops.operators import GridArchitecture
from pinops.optimizers import Adam
from pinops.problem import (
    Problem,
    fingerprint,
    name_of,
)
from pinops.settings import OneOf, require
from pinops.solvers._door import Assembly, Options
from pinops.solvers._of_family import family_request, of_outcome, phases_request, pool_of
from pinops.solvers._operator_plan import STEPS
from pinops.solvers._recipe import (
    Length,
    check_stochastic,
    check_terms_weighted,
    checked_steps,
    phases,
)
from pinops.solvers._request import Drawing, as_drawn, describe
from pinops.solvers._trained_map import TrainedMap, evaluated, relative_errors
from pinops.training import (
    LOSSES,
    Functions,
    MapInputs,
    MapModel,
    Outcome,
    Params,
    Phase,
    SampleBatches,
    Training,
    cast,
    check_network_fits,
    check_shared,
    mean_and_scale,
    rounded,
    samples_of,
)

_MONITORED = 64  # samples whose errors are shown during training
_BATCH = 8


@dataclass(frozen=True)
class MapPlan:
    """What all members of an ensemble of maps share."""

    problem: Problem
    architecture: GridArchitecture
    options: Options
    dataset: Dataset
    functions: Functions
    phases: tuple[Phase, ...]
    weighting: Weighting
    inputs: MapInputs
    scaling: tuple[np.ndarray, np.ndarray]
    loss: str
    fingerprint: dict[str, Any]

    @property
    def tested_on(self) -> Dataset | None:
        """The data, where a part of them is for testing."""
        return self.dataset if len(self.dataset.splits["test"]) else None

    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""
        request = self._request(seed)
        built, params = built_map(self.problem, self.architecture, request, self.scaling)
        model = replace(built, mesh=self.options.mesh())
        pool, batch = self.functions.pool, self.functions.batch
        check_shared(batch, "samples of a step", model.mesh, "Functions(batch={})")
        training = Training(
            model=model,
            phases=self.phases,
            source=SampleBatches(self.dataset, pool, batch),
            seed=seed,
            weighting=self.weighting,
            measure=_monitor(built, self.dataset),
        )

        def result(outcome: Outcome) -> TrainedMap:
            return TrainedMap(
                family=self.problem,
                request=request,
                model=built,
                **of_outcome(outcome),
                dataset=self.dataset,
            )

        first = partial(training.init, params, fit=False)
        return Assembly(training, params, request, first, result)

    def _request(self, seed: int) -> dict[str, Any]:
        problem, dataset = self.problem, self.dataset
        common = family_request(
            problem,
            dataset,
            self.options,
            functions=self.functions,
            weighting=self.weighting,
            fingerprint=self.fingerprint,
            seed=seed,
        )
        return common | {
            "map": describe(self.architecture),
            "axes": {n: np.ravel(line).tolist() for n, line in dataset.coordinates.items()},
            "inputs": self.inputs.to_json(),
            "scale": dataset.scale,
            "centre": dataset.centre,
            "loss": self.loss,
            **phases_request(self.phases),
        }


def map_plan(
    problem: Problem,
    architecture: GridArchitecture,
    options: Options,
    *,
    dataset: Dataset | None,
    physics: float | None,
    functions: Functions | None,
    optimizer: Any,
    weighting: Weighting | None,
    loss: str | None,
    length: Length,
) -> MapPlan:
    """The plan of a request, whose parts are checked here; arguments as for `train`."""
    name = type(architecture).__name__
    if dataset is None:
        raise ValueError(
            f"{name} is trained on data: make them with pinops data {name_of(problem)} --out "
            "FILE, and give data="
        )
    grid = _grid_of(name, problem, dataset)
    if physics:
        raise ValueError(f"{name} is trained on data alone so far; leave physics out")
    require("train", "loss", "H1" if loss is None else loss, OneOf(LOSSES))
    check_terms_weighted(weighting, "maps, of which every step has other samples")
    check_values(dataset, *dataset.splits, gaps=True, coefficients=False)
    count = len(dataset.splits["training"])
    if functions is not None and functions.batch > count:
        raise ValueError(
            f"Functions: batch must be at most the {count} samples for training, got "
            f"{functions.batch}"
        )
    inputs = MapInputs.of(dataset.inputs(), grid)
    default = Functions(pool=pool_of(dataset, _BATCH), batch=_BATCH)
    functions = (functions or default).within(count)
    steps = length.in_steps(count, functions.batch)
    total = checked_steps(steps, STEPS)
    plan = phases(Adam(2e-3, total, warm_up=0.1) if optimizer is None else optimizer, steps, STEPS)
    check_stochastic(plan, "maps, of which every step has other samples")
    return MapPlan(
        problem=problem,
        architecture=architecture,
        options=options,
        dataset=dataset,
        functions=functions,
        phases=plan,
        weighting=weighting or Fixed(),
        inputs=inputs,
        scaling=mean_and_scale(dataset, problem.unknowns),
        loss=loss or "H1",
        fingerprint=fingerprint(problem),
    )


def _grid_of(name: str, problem: Problem, dataset: Dataset) -> tuple[int, ...]:
    """The grid of the outputs.

    Raises:
        ValueError: For data that are not on a grid, or have a time axis.
    """
    layout = dataset.layout
    if layout.time is not None or problem.domain.time is not None:
        raise ValueError(
            f"{name} maps fields to fields, and {dataset.path} has a time axis; train "
            f"Direct({name}(...)) or CAPE({name}(...)) on trajectories"
        )
    if layout.kind != "grid":
        raise ValueError(
            f"{name} needs outputs on a grid, and those of {dataset.path} lie on {layout.kind}; "
            "give the axes, coordinates={'x': x, 'y': y}, or train a DeepONet()"
        )
    return tuple(np.size(line) for line in dataset.coordinates.values())


def built_map(
    problem: Problem,
    architecture: GridArchitecture,
    request: Mapping[str, Any],
    scaling: tuple[np.ndarray, np.ndarray],
) -> tuple[MapModel, Params]:
    """The model of a request, and fresh parameters; ``scaling``: what `mean_and_scale` gives."""
    inputs = MapInputs.from_json(request["inputs"])
    axes = [np.asarray(line) for line in request["axes"].values()]
    sizes = (inputs.count, len(problem.unknowns), tuple(len(line) for line in axes))
    build = Drawing(architecture, sizes)
    check_network_fits(architecture, build)
    built = as_drawn(request, build)
    arrays, frozen = eqx.partition(built, trainable(built))

    def numbers(part: str) -> jax.Array:
        values = [request[part][name] for name in problem.unknowns]
        return jnp.asarray(values, jnp.result_type(float))

    model = MapModel(
        problem=cast(problem),
        frozen=frozen,
        mean=jnp.asarray(scaling[0], jnp.result_type(float)),
        scale=jnp.asarray(scaling[1], jnp.result_type(float)),
        size=numbers("scale"),
        centre=numbers("centre"),
        distances=tuple(distances_of(line) for line in axes),
        inputs=inputs,
        loss=request["loss"],
        owner=request["problem"],
        compute_dtype=request.get("compute_dtype"),
    )
    return model, Params(cast(arrays), {})


def distances_of(line: np.ndarray) -> jax.Array:
    """Of neighbouring points of an axis, as shares of its length (a point more than there are
    intervals).
    """
    apart = np.abs(np.diff(line))
    length = np.sum(apart) * len(line) / max(1, len(apart)) or 1.0
    return jnp.asarray(rounded(apart / length) if len(apart) else [], jnp.result_type(float))


def _monitor(model: MapModel, dataset: Dataset) -> Callable[[Params], dict[str, float]]:
    """The mean relative error of some samples for validation, of training where there are none."""
    part = dataset.splits["validation"]
    part = part if len(part) else dataset.splits["training"]
    samples = samples_of(model.problem, dataset.rows(part[:_MONITORED]))
    inputs = {name: jnp.asarray(array) for name, array in samples.inputs.items()}
    truth = np.asarray(samples.values)
    names = model.problem.unknowns

    def measure(params: Params) -> dict[str, float]:
        predicted = np.asarray(evaluated(model, params, inputs))
        errors, _ = relative_errors(predicted, truth)
        return {name: float(np.nanmean(errors[:, k])) for k, name in enumerate(names)}

    return measure
