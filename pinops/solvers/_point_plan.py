"""From a request to a training of a map on points."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from pinops.data import BLOCK, Dataset, check_values
from pinops.losses import Fixed, Weighting
from pinops.metrics import ratio
from pinops.networks import trainable
from pinops.operators import PointArchitecture
from pinops.optimizers import SOAP
from pinops.problem import DataFamily, fingerprint
from pinops.solvers._door import Assembly, Options
from pinops.solvers._of_family import FamilyPlan, of_outcome, phases_request, pool_of
from pinops.solvers._operator_plan import STEPS
from pinops.solvers._recipe import (
    Length,
    check_stochastic,
    check_terms_weighted,
    checked_steps,
    phases,
)
from pinops.solvers._request import Drawing, as_drawn, describe
from pinops.solvers._trained_point_map import TrainedPointMap
from pinops.training import (
    CloudBatches,
    Functions,
    Outcome,
    Params,
    PointInputs,
    PointMapModel,
    Training,
    cast,
    check_network_fits,
    evaluate_clouds,
    fitted_inputs,
    samples_in,
)

_WHAT = "maps on points, of which every step has other samples"
_BATCH = 8  # samples of a step
_MONITORED = 32  # samples for validation whose errors are reported


@dataclass(frozen=True)
class PointPlan(FamilyPlan):
    """What all members of an ensemble of maps on points share."""

    problem: DataFamily
    dataset: Dataset
    architecture: PointArchitecture
    source: CloudBatches

    @property
    def tested_on(self) -> Dataset:
        """The test part of the data."""
        return self.dataset

    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""
        request = self._request(seed)
        model, params = built_point_map(self.problem, self.architecture, request)
        training = Training(
            model=model,
            phases=self.phases,
            source=self.source,
            seed=seed,
            weighting=self.weighting,
            measure=_monitor(model, self.source),
        )

        def result(outcome: Outcome) -> TrainedPointMap:
            return TrainedPointMap(
                family=self.problem,
                request=request,
                architecture=self.architecture,
                model=model,
                **of_outcome(outcome),
            )

        return Assembly(training, params, request, partial(training.init, params), result)

    def _request(self, seed: int) -> dict[str, Any]:
        return self.common(seed) | {
            "point_map": describe(self.architecture),
            "points": self.source.inputs.to_json(),
            "mean": self.dataset.mean,
            "scale": self.dataset.scale,
            **phases_request(self.phases),
        }


def point_plan(
    architecture: PointArchitecture,
    options: Options,
    *,
    dataset: Dataset | None,
    physics: float | None,
    functions: Functions | None,
    optimizer: Any,
    weighting: Weighting | None,
    length: Length,
) -> PointPlan:
    """The plan of a request, whose parts are checked here; arguments as for `train`."""
    name = type(architecture).__name__
    if dataset is None:
        raise ValueError(f"{name} is trained on data; give data=")
    if dataset.layout.kind != "meshes":
        raise ValueError(
            f"{name} learns from samples with points of their own, and {dataset.path} has "
            f"{dataset.layout.shape(dataset.coordinates)} for all; give coordinates=[points, ...], "
            "or train a DeepONet()"
        )
    if physics:
        raise ValueError(f"physics={physics:g} needs a grid; leave it out for {name}")
    if options.mesh() is not None:
        raise ValueError(f"{name} is trained on one device; leave devices out")
    check_terms_weighted(weighting, _WHAT)
    check_values(dataset, *dataset.splits, gaps=True, coefficients=False)
    local = _local(dataset)
    inputs, counts = fitted_inputs(architecture, _blocks(dataset, local), local)
    default = Functions(pool=pool_of(dataset, _BATCH), batch=_BATCH)
    functions = (functions or default).within(len(counts))
    source = CloudBatches.of(
        dataset,
        architecture,
        inputs,
        counts,
        pool=functions.pool,
        batch=functions.batch,
        points=functions.data_points,
    )
    steps = length.in_steps(len(counts), source.batch)
    total = checked_steps(steps, STEPS)
    # In equal time Adam ends with a larger error on heat in polygons.
    chosen = SOAP(decay_steps=total) if optimizer is None else optimizer
    plan = phases(chosen, steps, STEPS)
    check_stochastic(plan, _WHAT)
    family = _family(dataset, inputs)
    return PointPlan(
        problem=family,
        architecture=architecture,
        options=options,
        dataset=dataset,
        source=source,
        functions=functions,
        phases=plan,
        weighting=weighting or Fixed(),
        fingerprint=fingerprint(family),
    )


def _blocks(dataset: Dataset, local: Mapping[str, bool]) -> Any:
    """The samples for training, some at a time."""
    training = dataset.splits["training"]
    for start in range(0, len(training), BLOCK):
        rows = dataset.rows(training[start : start + BLOCK])
        yield samples_in(rows, dataset.unknowns, local)


def _local(dataset: Dataset) -> dict[str, bool]:
    """Of every input, whether it has a value for each point of each sample."""
    found = dict.fromkeys(dataset.layout.inputs, True)
    for member in dataset.splits["training"][:BLOCK]:
        rows = dataset.rows([int(member)])
        count = rows["points"].shape[1]
        for name in found:
            found[name] &= np.shape(rows[f"inputs/{name}"])[1:2] == (count,)
    return found


def _family(dataset: Dataset, inputs: PointInputs) -> DataFamily:
    """The family of the data; the shapes of inputs at points are those at one of them."""
    names, low = dataset.layout.names, np.asarray(inputs.middle) - inputs.radius
    bounds = {
        name: (float(a), float(a) + 2 * inputs.radius) for name, a in zip(names, low, strict=True)
    }
    return DataFamily.of(
        bounds, dataset.unknowns, dict(zip(inputs.names, inputs.shapes, strict=True))
    )


def built_point_map(
    family: DataFamily, architecture: PointArchitecture, request: Mapping[str, Any]
) -> tuple[PointMapModel, Params]:
    """The model of a request, and fresh parameters."""
    inputs, unknowns = PointInputs.from_json(request["points"]), family.unknowns
    build = Drawing(architecture, (inputs.features, len(unknowns), len(inputs.middle)))
    check_network_fits(architecture, build)
    built = as_drawn(request, build)
    arrays, frozen = eqx.partition(built, trainable(built))

    def numbers(part: str) -> Any:
        return jnp.asarray([request[part][name] for name in unknowns], jnp.result_type(float))

    model = PointMapModel(
        frozen=frozen,
        mean=numbers("mean"),
        scale=numbers("scale"),
        unknowns=tuple(unknowns),
        owner=request["problem"],
        compute_dtype=request.get("compute_dtype"),
    )
    return model, Params(cast(arrays), {})


def _monitor(model: PointMapModel, source: CloudBatches) -> Callable[[Params], dict[str, float]]:
    """The mean relative L2 error of each unknown over some samples for validation."""
    dataset, inputs = source.dataset, source.inputs
    members = dataset.splits["validation"][:_MONITORED]
    if not len(members):
        return lambda params: {}
    local = dict(zip(inputs.names, inputs.local, strict=True))
    samples = samples_in(dataset.rows(members), dataset.unknowns, local)
    groups = [
        cast(inputs.clouds(source.architecture, [samples[k] for k in here], size))
        for size, here in inputs.by_size(len(sample.mesh.points) for sample in samples)
    ]

    def measure(params: Params) -> dict[str, float]:
        errors = []
        for clouds in groups:
            truth = np.asarray(clouds.values)
            known = np.isfinite(truth)
            predicted = np.asarray(evaluate_clouds(model, params, clouds))
            off = np.where(known, predicted - truth, 0.0)
            size = np.linalg.norm(np.where(known, truth, 0.0), axis=1)
            errors.append(ratio(np.linalg.norm(off, axis=1), size))
        means = np.concatenate(errors).mean(0)
        return {name: float(means[k]) for k, name in enumerate(model.unknowns)}

    return measure
