"""From a request to a training of a surrogate of time steps on trajectories."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pinops.data import BLOCK, Dataset, GridSpec, check_values, inputs_in
from pinops.losses import Fixed, Weighting
from pinops.metrics import rollout_metrics
from pinops.networks import trainable
from pinops.operators import SurrogateArchitecture
from pinops.optimizers import Adam
from pinops.problem import (
    DataFamily,
    Problem,
    fingerprint,
    name_of,
)
from pinops.solvers._door import Assembly, Options
from pinops.solvers._of_family import family_request, of_outcome, pool_of
from pinops.solvers._operator_plan import (
    check_without_equation,
    checked_physics,
    family_scales,
    nothing,
)
from pinops.solvers._recipe import check_digits, check_stochastic, check_terms_weighted, phases
from pinops.solvers._request import Drawing, as_drawn, describe
from pinops.solvers._trained_surrogate import TrainedSurrogate, rolled
from pinops.training import (
    Batches,
    Curriculum,
    Epochs,
    Functions,
    Outcome,
    ParameterScaling,
    Params,
    Phase,
    SurrogateModel,
    Training,
    cast,
    check_network_fits,
    check_shared,
    frames_of,
    in_a_row,
    names_in_a_row,
)

_MONITORED = 32  # trajectories whose rollouts are compared during training
_BATCH = 30
_WHAT = "surrogates, of which every step has other trajectories"


@dataclass(frozen=True)
class SurrogatePlan:
    """What all members of an ensemble of surrogates share."""

    problem: Problem
    architecture: SurrogateArchitecture
    options: Options
    dataset: Dataset
    physics: float
    functions: Functions
    curriculum: Curriculum
    optimizer: Any
    phases: tuple[Phase, ...]
    weighting: Weighting
    grid: GridSpec
    parameters: ParameterScaling
    fingerprint: dict[str, Any]

    @property
    def tested_on(self) -> Dataset | None:
        """The test part of the data, where there is one."""
        return self.dataset if len(self.dataset.splits["test"]) else None

    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""
        request = self._request(seed)
        built, params = built_surrogate(self.problem, self.architecture, request)
        model = replace(built, mesh=self.options.mesh())
        pool, batch = self.functions.pool, self.functions.batch
        check_shared(batch, "trajectories of a step", model.mesh, "Functions(batch={})")
        training = Training(
            model=model,
            phases=self.phases,
            source=Batches(self.dataset, pool, batch),
            seed=seed,
            weighting=self.weighting,
            stages=self._epochs(),
            measure=_monitor(self.problem, built, self.dataset),
        )

        def result(outcome: Outcome) -> TrainedSurrogate:
            return TrainedSurrogate(
                family=self.problem,
                request=request,
                model=built,
                **of_outcome(outcome),
            )

        first = partial(training.init, params, fit=False)
        return Assembly(training, params, request, first, result)

    def _epochs(self) -> Epochs:
        count = len(self.dataset.splits["training"])
        steps = -(-count // self.functions.batch)
        return Epochs(self.curriculum, steps, self.grid.snapshots)

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
            "surrogate": describe(self.architecture),
            "grid": self.grid.to_json(),
            "parameters": self.parameters.to_json(),
            "centre": dataset.centre,
            "scale": dataset.scale,
            "scales": family_scales(problem, dataset),
            "curriculum": describe(self.curriculum),
            "physics": self.physics,
            "optimizer": "Adam" if self.optimizer is None else describe(self.optimizer),
        }


def surrogate_plan(
    problem: Problem,
    architecture: SurrogateArchitecture,
    options: Options,
    *,
    dataset: Dataset | None,
    physics: float | None,
    functions: Functions | None,
    curriculum: Curriculum | None,
    optimizer: Any,
    weighting: Weighting | None,
) -> SurrogatePlan:
    """The plan of a request, whose parts are checked here; arguments as for `train`."""
    if dataset is None:
        raise ValueError(
            f"a surrogate is trained on data: make them with pinops data {name_of(problem)} --out "
            "FILE, and give data="
        )
    check_values(dataset, *dataset.splits, gaps=False, coefficients=bool(physics))
    physics = checked_physics(physics, 0.0, weighting)
    check_digits(options.compute_dtype, equation=bool(physics))
    check_terms_weighted(weighting, _WHAT)
    curriculum = Curriculum() if curriculum is None else curriculum
    if not architecture.embeds:  # there is nothing to warm up
        curriculum = replace(curriculum, warm_up=0)
    count = len(dataset.splits["training"])
    if functions is not None and functions.batch > count:
        raise ValueError(
            f"Functions: batch must be at most the {count} trajectories for training, got "
            f"{functions.batch}"
        )
    default = Functions(pool=pool_of(dataset, _BATCH), batch=_BATCH)
    functions = (functions or default).within(count)
    grid = GridSpec.of(problem, dataset)
    if isinstance(problem, DataFamily):
        check_without_equation(physics)
    if physics:
        grid.check_periodic(problem)
        if grid.snapshots < 3:
            raise ValueError(
                "equations on a grid need at least 3 snapshots, and the data have 2; make data "
                "with more, or physics=0"
            )
    steps = -(-count // functions.batch)
    constant = Fixed(equation=physics, auxiliary=architecture.auxiliary)
    return SurrogatePlan(
        problem=problem,
        architecture=architecture,
        options=options,
        dataset=dataset,
        physics=physics,
        functions=functions,
        curriculum=curriculum,
        optimizer=optimizer,
        phases=_phases(optimizer, curriculum, steps),
        weighting=weighting or constant,
        grid=grid,
        parameters=_parameters(problem, dataset, architecture.parameter_map),
        fingerprint=fingerprint(problem),
    )


def _phases(optimizer: Any, curriculum: Curriculum, steps: int) -> tuple[Phase, ...]:
    """One optimizer, which begins afresh after the warm-up.

    Gradients of rollouts are clipped. Through twenty steps they explode now and then, after which
    an FNO that does not see the parameter may not recover.

    Raises:
        ValueError: For an optimizer of the second order.
    """
    lengths = [
        count * steps
        for count in (curriculum.warm_up, curriculum.epochs - curriculum.warm_up)
        if count
    ]
    # Gradients through many steps now and then explode.
    default = Adam(3e-3, lengths[-1], largest=1.0)
    (phase,) = phases(default if optimizer is None else optimizer, lengths[-1], lengths[-1])
    check_stochastic([phase], _WHAT)
    return tuple(Phase(phase.optimizer, length) for length in lengths)


def _parameters(problem: Problem, dataset: Dataset, wanted: str) -> ParameterScaling:
    """The scaling of the parameters that a surrogate sees, from the training part of the data."""
    training = dataset.splits["training"]
    parts = [training[k : k + BLOCK] for k in range(0, len(training), BLOCK)]
    names = names_in_a_row(problem)
    rows = [in_a_row(inputs_in(dataset.rows(part)), len(part)) for part in parts]
    values = np.concatenate(rows).astype(np.float64)
    return ParameterScaling.of(names, values, wanted)


def built_surrogate(
    problem: Problem, surrogate: SurrogateArchitecture, request: Mapping[str, Any]
) -> tuple[SurrogateModel, Params]:
    """The model of a request, and fresh parameters."""
    grid = GridSpec.from_json(request["grid"])
    seen = ParameterScaling.from_json(request["parameters"])
    sizes = (len(problem.unknowns), len(seen.names), grid.points)
    build = Drawing(surrogate, sizes)
    check_network_fits(surrogate, build)
    built = as_drawn(request, build)
    arrays, frozen = eqx.partition(built, trainable(built))

    def numbers(values: Any) -> jax.Array:
        return jnp.asarray(values, jnp.result_type(float))

    asked = request["curriculum"]["Curriculum"]
    model = SurrogateModel(
        problem=cast(problem),
        frozen=frozen,
        mean=numbers([request["centre"][name] for name in problem.unknowns]),
        scale=numbers([request["scale"][name] for name in problem.unknowns]),
        sizes=cast(request["scales"]["terms"]),
        centre=numbers(seen.mean),
        spread=numbers(seen.deviation),
        free=jnp.asarray(1, jnp.int32),
        warm=numbers(0.0),
        maps=seen.maps,
        grid=grid.lines,
        noise=asked["noise"],
        physics=request["physics"] > 0,
        push_forward=asked["push_forward"],
        owner=request["problem"],
        compute_dtype=request.get("compute_dtype"),
    )
    return model, Params(cast(arrays), {})


def _monitor(
    problem: Problem, model: SurrogateModel, dataset: Dataset
) -> Callable[[Params], dict[str, float]]:
    """The error of whole rollouts over some trajectories for validation."""
    members = dataset.splits["validation"][:_MONITORED]
    if not len(members):
        return nothing
    rows = dataset.rows(members)
    truth = frames_of(problem, dataset, rows)
    seen = in_a_row(inputs_in(rows), len(members))
    frames, parameters = (jnp.asarray(x, jnp.result_type(float)) for x in (truth, seen))

    def measure(params: Params) -> dict[str, float]:
        predicted = rolled(model, params, frames[:, 0], parameters, truth.shape[1] - 1)
        whole = np.concatenate([truth[:, :1], np.asarray(predicted)], 1)
        return {"rollout": float(np.mean(rollout_metrics(whole, truth)["nrmse"]))}

    return measure
