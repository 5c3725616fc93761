"""From a request to a training of a map on points."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

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
    map_optimizer,
    phases,
)
from pinops.solvers._request import Drawing, as_drawn, describe
from pinops.solvers._trained_point_map import TrainedPointMap
from pinops.training import (
    CloudBatches,
    Functions,
    Outcome,
    ParameterScaling,
    Params,
    PointInputs,
    PointMapModel,
    PointSample,
    Training,
    cast,
    check_network_fits,
    evaluate_clouds,
    fitted_inputs,
    samples_in,
)

ON_POINTS = "networks on points, of which every step has other samples"
_BATCH = 8  # samples of a step
M = TypeVar("M")
_MONITORED = 32  # samples for validation whose errors are reported


@dataclass(frozen=True)
class PointPlan(FamilyPlan):
    """What all members of an ensemble of maps on points share."""

    problem: DataFamily
    dataset: Dataset
    architecture: PointArchitecture
    source: CloudBatches

    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""
        request = self._request(seed)
        model, params = built_point_map(self.problem, self.architecture, request)
        training = Training(
            model=replace(model, bootstrap=self.options.bootstrap(seed)),
            phases=self.phases,
            source=self.source,
            seed=seed,
            weighting=self.weighting,
            measure=_monitor(model, self.source),
            pool_seed=self.options.pool_seed,
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
    dataset = checked_clouds(architecture, options, dataset, physics, weighting)
    check_values(dataset, *dataset.splits, gaps=True, coefficients=False)
    source, functions = cloud_batches(dataset, architecture, functions)
    inputs = source.inputs
    steps = length.in_steps(len(dataset.splits["training"]), source.batch)
    total = checked_steps(steps, STEPS)
    # In equal time Adam ends with a larger error on heat in polygons.
    default = map_optimizer(total) if architecture.on_grid else SOAP(decay_steps=total)
    plan = phases(default if optimizer is None else optimizer, steps, STEPS)
    check_stochastic(plan, ON_POINTS)
    family = family_of_clouds(dataset, inputs)
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


def checked_clouds(
    architecture: PointArchitecture,
    options: Options,
    dataset: Dataset | None,
    physics: float | None,
    weighting: Weighting | None,
) -> Dataset:
    """The data of a request. Raises ValueError for what no network on points takes."""
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
    check_terms_weighted(weighting, ON_POINTS)
    return dataset


def cloud_batches(
    dataset: Dataset,
    architecture: PointArchitecture,
    functions: Functions | None,
    *,
    without: Collection[str] = (),
    parameter_map: str = "auto",
    noisy: bool = False,
) -> tuple[CloudBatches, Functions]:
    """The samples for training, and how many of them are in memory and in a step.

    Args:
        dataset: Of the layout "meshes".
        architecture: Which features and messages a network has.
        functions: What is asked for; None: the default.
        without: The inputs that a network does not see.
        parameter_map: What is made of numbers of whole samples, as of `Direct`.
        noisy: Whether a step adds noise.
    """
    local = {name: there for name, there in local_of(dataset).items() if name not in without}
    blocks = partial(_blocks, dataset, local)
    maps = _maps(blocks(), local, parameter_map)
    inputs, counts = fitted_inputs(architecture, blocks(), local, maps)
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
        noisy=noisy,
    )
    return source, functions


def _maps(
    blocks: Iterable[Sequence[PointSample]], local: Mapping[str, bool], wanted: str
) -> dict[str, tuple[str, ...]]:
    """What is made of every number of the inputs that are those of whole samples."""
    rows: dict[str, list[np.ndarray]] = {n: [] for n, there in local.items() if not there}
    for block in blocks if rows else ():  # without such inputs nothing is read
        for sample in block:
            for name, row in rows.items():
                row.append(np.ravel(sample.inputs[name]).astype(np.float64))
    return {
        name: ParameterScaling.of([name] * len(row[0]), np.stack(row), wanted).maps
        for name, row in rows.items()
    }


def _blocks(dataset: Dataset, local: Mapping[str, bool]) -> Any:
    """The samples for training, some at a time."""
    training = dataset.splits["training"]
    for start in range(0, len(training), BLOCK):
        rows = dataset.rows(training[start : start + BLOCK])
        yield samples_in(rows, dataset.unknowns, local)


def local_of(dataset: Dataset) -> dict[str, bool]:
    """Of every input, whether it has a value for each point of each sample."""
    found = dict.fromkeys(dataset.layout.inputs, True)
    for member in dataset.splits["training"][:BLOCK]:
        rows = dataset.rows([int(member)])
        count = rows["points"].shape[1]
        for name in found:
            found[name] &= np.shape(rows[f"inputs/{name}"])[1:2] == (count,)
    return found


def family_of_clouds(dataset: Dataset, inputs: PointInputs) -> DataFamily:
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
    return built_on_points(PointMapModel, family, build, request)


def built_on_points(
    kind: Callable[..., M],
    family: DataFamily,
    build: Drawing,
    request: Mapping[str, Any],
    **more: Any,
) -> tuple[M, Params]:
    """A model of samples on points, and fresh parameters.

    Args:
        kind: The class of the model.
        family: Of the data.
        build: How the network is drawn.
        request: Of the training.
        more: What models of this class have besides.
    """
    check_network_fits(build.architecture, build)
    built = as_drawn(request, build)
    arrays, frozen = eqx.partition(built, trainable(built))

    def numbers(part: str) -> Any:
        row = [request[part][name] for name in family.unknowns]
        return jnp.asarray(row, jnp.result_type(float))

    model = kind(
        frozen=frozen,
        mean=numbers("mean"),
        scale=numbers("scale"),
        unknowns=tuple(family.unknowns),
        owner=request["problem"],
        compute_dtype=request.get("compute_dtype"),
        **more,
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
