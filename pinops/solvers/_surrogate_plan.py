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
from pinops.solvers._of_family import FamilyPlan, of_outcome, pool_of
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
    MapInputs,
    Outcome,
    ParameterScaling,
    Params,
    Phase,
    SurrogateModel,
    Training,
    cast,
    check_network_fits,
    check_shared,
    fields_in,
    in_a_row,
    names_in_a_row,
)

_MONITORED = 32  # trajectories whose rollouts are compared during training
_BATCH = 30
_WHAT = "surrogates, of which every step has other trajectories"


@dataclass(frozen=True)
class SurrogatePlan(FamilyPlan):
    """What all members of an ensemble of surrogates share."""

    architecture: SurrogateArchitecture
    dataset: Dataset
    physics: float
    curriculum: Curriculum
    optimizer: Any
    grid: GridSpec
    parameters: ParameterScaling
    fields: MapInputs | None

    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""
        request = self._request(seed)
        built, params = built_surrogate(self.problem, self.architecture, request)
        model = replace(built, mesh=self.options.mesh(), bootstrap=self.options.bootstrap(seed))
        pool, batch = self.functions.pool, self.functions.batch
        check_shared(batch, "trajectories of a step", model.mesh, "Functions(batch={})")
        training = Training(
            model=model,
            phases=self.phases,
            source=Batches(self.dataset, pool, batch),
            seed=seed,
            weighting=self.weighting,
            stages=self._epochs(),
            measure=_monitor(built, self.dataset),
            pool_seed=self.options.pool_seed,
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
        # The snapshots that a step sees count as the first one.
        return Epochs(self.curriculum, steps, self.grid.snapshots - self.architecture.history + 1)

    def _request(self, seed: int) -> dict[str, Any]:
        problem, dataset = self.problem, self.dataset
        return self.common(seed) | {
            "surrogate": describe(self.architecture),
            "grid": self.grid.to_json(),
            "parameters": self.parameters.to_json(),
            "fields": None if self.fields is None else self.fields.to_json(),
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
    if architecture.history >= grid.snapshots:
        raise ValueError(
            f"{type(architecture).__name__}: history={architecture.history} leaves none of the "
            f"{grid.snapshots} snapshots to predict; give at most {grid.snapshots - 1}"
        )
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
    fields = _fields(dataset, grid.points)
    return SurrogatePlan(
        problem=problem,
        architecture=architecture,
        options=options,
        dataset=dataset,
        physics=physics,
        functions=functions,
        curriculum=curriculum,
        optimizer=optimizer,
        phases=phases_of(optimizer, curriculum, steps, _WHAT),
        weighting=weighting or constant,
        grid=grid,
        parameters=_parameters(problem, dataset, architecture.parameter_map, fields),
        fields=fields,
        fingerprint=fingerprint(problem),
    )


def phases_of(optimizer: Any, curriculum: Curriculum, steps: int, what: str) -> tuple[Phase, ...]:
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
    check_stochastic([phase], what)
    return tuple(Phase(phase.optimizer, length) for length in lengths)


def _fields(dataset: Dataset, grid: tuple[int, ...]) -> MapInputs | None:
    """The input fields that a surrogate sees, scaled by samples for training; None without any.

    Raises:
        ValueError: For a field that changes in time, and for what is neither a field on such a grid
            nor numbers.
    """
    inputs = dataset.inputs()
    whole = np.broadcast_shapes(*(np.shape(axis) for axis in dataset.coordinates.values()))
    for name, array in inputs.items():
        if array.shape[1 : 1 + len(whole)] == whole:
            raise ValueError(
                f"{dataset.path}: the input {name} changes in time, and a surrogate sees fields "
                f"that do not; give {name} as an output, or one snapshot of it"
            )
    fields = fields_in(inputs, grid)
    return MapInputs.of(fields, grid) if fields else None


def _parameters(
    problem: Problem, dataset: Dataset, wanted: str, fields: MapInputs | None
) -> ParameterScaling:
    """The scaling of the parameters that a surrogate sees, from the training part of the data."""
    training = dataset.splits["training"]
    parts = [training[k : k + BLOCK] for k in range(0, len(training), BLOCK)]
    without = () if fields is None else fields.names

    def row(part: np.ndarray) -> np.ndarray:
        inputs = inputs_in(dataset.rows(part))
        kept = {name: array for name, array in inputs.items() if name not in without}
        return in_a_row(kept, len(part))

    values = np.concatenate([row(part) for part in parts]).astype(np.float64)
    return ParameterScaling.of(names_in_a_row(problem, without), values, wanted)


def built_surrogate(
    problem: Problem, surrogate: SurrogateArchitecture, request: Mapping[str, Any]
) -> tuple[SurrogateModel, Params]:
    """The model of a request, and fresh parameters."""
    grid = GridSpec.from_json(request["grid"])
    seen = ParameterScaling.from_json(request["parameters"])
    fields = None if request["fields"] is None else MapInputs.from_json(request["fields"])
    build = Drawing(surrogate, surrogate_sizes(problem, surrogate.history, request))
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
        history=surrogate.history,
        fields=fields,
        owner=request["problem"],
        compute_dtype=request.get("compute_dtype"),
    )
    return model, Params(cast(arrays), {})


def surrogate_sizes(
    problem: Problem, history: int, request: Mapping[str, Any]
) -> tuple[int, int, tuple[int, ...], int]:
    """What `SurrogateArchitecture.build` takes for a request."""
    unknowns, fields = len(problem.unknowns), request["fields"]
    channels = 0 if fields is None else len(fields["of_fields"]["names"])
    context = channels + (history - 1) * unknowns
    grid = tuple(request["grid"]["points"])
    return unknowns, len(request["parameters"]["names"]), grid, context


def _monitor(model: SurrogateModel, dataset: Dataset) -> Callable[[Params], dict[str, float]]:
    """The error of whole rollouts over some trajectories for validation."""
    members = dataset.splits["validation"][:_MONITORED]
    if not len(members):
        return nothing
    known = cast(model.trajectories(dataset, dataset.rows(members)))
    truth, given = np.asarray(known.frames), model.history
    first = known.frames[:, :given]

    def measure(params: Params) -> dict[str, float]:
        count = truth.shape[1] - given
        predicted = rolled(model, params, first, known.parameters, known.fields, count)
        whole = np.concatenate([truth[:, :given], np.asarray(predicted)], 1)
        return {"rollout": float(np.mean(rollout_metrics(whole, truth, given)["nrmse"]))}

    return measure
