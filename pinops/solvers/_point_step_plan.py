"""From a request to a training of a surrogate of time steps on points."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from pinops.data import Dataset, check_values, step_of
from pinops.losses import Fixed, Weighting
from pinops.operators import Direct
from pinops.problem import DataFamily, fingerprint
from pinops.solvers._door import Assembly, Options
from pinops.solvers._of_family import FamilyPlan, of_outcome
from pinops.solvers._operator_plan import nothing
from pinops.solvers._point_plan import (
    ON_POINTS,
    built_on_points,
    checked_clouds,
    cloud_batches,
    family_of_clouds,
    local_of,
)
from pinops.solvers._request import Drawing, describe
from pinops.solvers._surrogate_plan import phases_of
from pinops.solvers._trained_point_surrogate import (
    TrainedPointSurrogate,
    errors_of,
    grouped,
    rolled_from,
    times_of,
)
from pinops.training import (
    CloudBatches,
    Curriculum,
    Epochs,
    Functions,
    Outcome,
    Params,
    PointInputs,
    PointStepModel,
    Training,
    samples_in,
)

_MONITORED = 16  # trajectories for validation whose rollouts are compared during training


@dataclass(frozen=True)
class PointStepPlan(FamilyPlan):
    """What all members of an ensemble of surrogates on points share."""

    problem: DataFamily
    dataset: Dataset
    architecture: Direct
    source: CloudBatches
    curriculum: Curriculum
    optimizer: Any

    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""
        request = self._request(seed)
        model, params = built_point_steps(self.problem, self.architecture, request)
        steps = _steps(self.dataset, self.source)
        # The snapshots that a step sees count as the first one.
        frames = len(times_of(self.dataset)) - self.architecture.history + 1
        training = Training(
            model=replace(model, bootstrap=self.options.bootstrap(seed)),
            phases=self.phases,
            source=self.source,
            seed=seed,
            weighting=self.weighting,
            stages=Epochs(self.curriculum, steps, frames),
            measure=_monitor(model, self.source),
            pool_seed=self.options.pool_seed,
        )

        def result(outcome: Outcome) -> TrainedPointSurrogate:
            return TrainedPointSurrogate(
                family=self.problem,
                request=request,
                architecture=self.architecture,
                model=model,
                **of_outcome(outcome),
            )

        first = partial(training.init, params, fit=False)
        return Assembly(training, params, request, first, result)

    def _request(self, seed: int) -> dict[str, Any]:
        return self.common(seed) | {
            "surrogate": describe(self.architecture),
            "points": self.source.inputs.to_json(),
            "step": step_of(times_of(self.dataset)),
            "mean": self.dataset.mean,
            "scale": self.dataset.scale,
            "curriculum": describe(self.curriculum),
            "optimizer": "Adam" if self.optimizer is None else describe(self.optimizer),
        }


def point_step_plan(
    architecture: Direct,
    options: Options,
    *,
    dataset: Dataset | None,
    physics: float | None,
    functions: Functions | None,
    curriculum: Curriculum | None,
    optimizer: Any,
    weighting: Weighting | None,
) -> PointStepPlan:
    """The plan of a request, whose parts are checked here; arguments as for `train`."""
    network = architecture.on_points
    assert network is not None, "surrogates on grids have another plan"
    dataset = checked_clouds(network, options, dataset, physics, weighting)
    times = times_of(dataset)
    if len(times) < 2:
        raise ValueError(
            f"{dataset.path} has one snapshot, and a step leads from one to the next; give two at "
            "least, or leave the time out for a map"
        )
    if step_of(times) is None:
        raise ValueError(f"{dataset.path}: t must be equally spaced for a surrogate of time steps")
    if architecture.history >= len(times):
        raise ValueError(
            f"Direct: history={architecture.history} leaves none of the {len(times)} snapshots to "
            f"predict; give at most {len(times) - 1}"
        )
    check_values(dataset, *dataset.splits, gaps=False, coefficients=False)
    curriculum = replace(curriculum or Curriculum(), warm_up=0)  # there is nothing to warm up
    there = local_of(dataset)
    source, functions = cloud_batches(
        dataset,
        network,
        functions,
        without=() if architecture.conditional else [n for n, local in there.items() if not local],
        parameter_map=architecture.parameter_map,
        noisy=curriculum.noise > 0,
    )
    family = family_of_clouds(dataset, source.inputs)
    return PointStepPlan(
        problem=family,
        architecture=architecture,
        options=options,
        dataset=dataset,
        source=source,
        functions=functions,
        curriculum=curriculum,
        optimizer=optimizer,
        phases=phases_of(optimizer, curriculum, _steps(dataset, source), ON_POINTS),
        weighting=weighting or Fixed(),
        fingerprint=fingerprint(family),
    )


def _steps(dataset: Dataset, source: CloudBatches) -> int:
    """Of an epoch."""
    return -(-len(dataset.splits["training"]) // source.batch)


def built_point_steps(
    family: DataFamily, architecture: Direct, request: Mapping[str, Any]
) -> tuple[PointStepModel, Params]:
    """The model of a request, and fresh parameters."""
    asked = request["curriculum"]["Curriculum"]
    seen = PointInputs.from_json(request["points"])
    return built_on_points(
        PointStepModel,
        family,
        step_network(architecture, seen, len(family.unknowns)),
        request,
        free=jnp.asarray(1, jnp.int32),
        noise=asked["noise"],
        push_forward=asked["push_forward"],
        history=architecture.history,
        change=architecture.change,
    )


def step_network(architecture: Direct, seen: PointInputs, unknowns: int) -> Drawing:
    """How the network of a step is built: it sees the snapshots as features, too."""
    features = seen.features + architecture.history * unknowns
    return Drawing(architecture.on_points, (features, unknowns, len(seen.middle)))


def _monitor(model: PointStepModel, source: CloudBatches) -> Callable[[Params], dict[str, float]]:
    """The error of whole rollouts over some trajectories for validation."""
    dataset, inputs, given = source.dataset, source.inputs, model.history
    members = dataset.splits["validation"][:_MONITORED]
    if not len(members):
        return nothing
    local = dict(zip(inputs.names, inputs.local, strict=True))
    samples = samples_in(dataset.rows(members), dataset.unknowns, local)
    groups = grouped(inputs, source.architecture, samples, given)
    count = len(times_of(dataset)) - given

    def measure(params: Params) -> dict[str, float]:
        errors = []
        later = rolled_from(model, params, groups, samples, count)
        for sample, values in zip(samples, later, strict=True):
            assert sample.values is not None
            whole = np.concatenate([sample.values[:, :given], values], 1)
            errors.append(errors_of(sample, whole, given).mean())
        return {"rollout": float(np.mean(errors))}

    return measure
