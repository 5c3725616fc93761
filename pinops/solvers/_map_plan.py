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
from pinops.networks import is_constrained, trainable
from pinops.operators import GridArchitecture
from pinops.problem import Problem, Scales, fingerprint, impose, name_of
from pinops.settings import OneOf, require, share_of_memory
from pinops.solvers._door import Assembly, Options
from pinops.solvers._map_answers import evaluated, referenced, relative_errors
from pinops.solvers._of_family import (
    POOL_BYTES,
    FamilyPlan,
    of_outcome,
    phases_request,
    pool_of,
)
from pinops.solvers._operator_plan import (
    STEPS,
    check_trainable,
    checked_physics,
    family_scales,
    monitored,
    nothing,
    typical_inputs,
)
from pinops.solvers._recipe import (
    Length,
    check_digits,
    check_stochastic,
    check_terms_weighted,
    checked_steps,
    map_optimizer,
    phases,
)
from pinops.solvers._request import Drawing, as_drawn, describe
from pinops.solvers._trained_map import TrainedMap
from pinops.training import (
    LOSSES,
    Functions,
    GridEquation,
    MapInputs,
    MapModel,
    Outcome,
    Params,
    SampleBatches,
    Training,
    cast,
    check_functions_fit,
    check_network_fits,
    check_on_grid,
    check_shared,
    mean_and_scale,
    rounded,
    samples_of,
)

_MONITORED = 64  # samples whose errors are shown during training
_BATCH = 8
_MEMBERS = 4096  # in memory without data, at most
_WHAT = "maps, of which every step has other samples"


@dataclass(frozen=True)
class MapPlan(FamilyPlan):
    """What all members of an ensemble of maps share."""

    architecture: GridArchitecture
    physics: float
    axes: dict[str, np.ndarray]
    inputs: MapInputs
    scales: dict[str, Any] | None
    scaling: tuple[np.ndarray, ...]
    loss: str | None

    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""
        request = self._request(seed)
        built, params = built_map(self.problem, self.architecture, request, self.scaling)
        model = replace(built, mesh=self.options.mesh(), bootstrap=self.options.bootstrap(seed))
        pool, batch = self.functions.pool, self.functions.batch
        check_shared(batch, "samples of a step", model.mesh, "Functions(batch={})")
        training = Training(
            model=model,
            phases=self.phases,
            source=SampleBatches(self.dataset, pool, batch),
            seed=seed,
            weighting=self.weighting,
            measure=_monitor(built, self.dataset, self.axes),
            pool_seed=self.options.pool_seed,
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
        if dataset is None:
            assert self.scales is not None  # there is an equation then
            scale, centre = self.scales["sizes"], dict.fromkeys(problem.unknowns, 0.0)
        else:
            scale, centre = dataset.scale, dataset.centre
        return self.common(seed) | {
            "map": describe(self.architecture),
            "axes": {name: line.tolist() for name, line in self.axes.items()},
            "inputs": self.inputs.to_json(),
            "scale": scale,
            "centre": centre,
            "scales": self.scales,
            "physics": self.physics,
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
    _check_steady(name, problem, dataset)
    if dataset is not None:
        check_values(dataset, *dataset.splits, gaps=True, coefficients=bool(physics))
    physics = checked_physics(physics, 1.0 if dataset is None else 0.0, weighting)
    check_trainable(problem, physics, dataset)
    check_digits(options.compute_dtype, equation=bool(physics))
    seen = typical_inputs(problem, dataset)
    axes = _axes(name, problem, dataset, seen)
    if physics:
        check_on_grid(problem, axes)
    check_terms_weighted(weighting, _WHAT)
    grid = tuple(len(line) for line in axes.values())
    functions = _functions(functions, problem, dataset, seen)
    samples = None if dataset is None else len(dataset.splits["training"])
    steps = length.in_steps(samples, functions.batch)
    total = checked_steps(steps, STEPS)
    plan = phases(map_optimizer(total) if optimizer is None else optimizer, steps, STEPS)
    check_stochastic(plan, _WHAT)
    scales = family_scales(problem, dataset) if physics else None
    return MapPlan(
        problem=problem,
        architecture=architecture,
        options=options,
        dataset=dataset,
        physics=physics,
        functions=functions,
        phases=plan,
        weighting=weighting or Fixed(equation=physics),
        axes=axes,
        inputs=MapInputs.of({name: np.asarray(array) for name, array in seen.items()}, grid),
        scales=scales,
        scaling=_scaling(problem, dataset, axes, scales),
        loss=_loss(loss, dataset),
        fingerprint=fingerprint(problem),
    )


def _loss(loss: str | None, dataset: Dataset | None) -> str | None:
    """The norm of errors; None without data.

    Raises:
        ValueError: For another one, and for one without data.
    """
    if dataset is None:
        if loss is not None:
            raise ValueError(f"loss={loss!r} is for data, and there are none; leave it out")
        return None
    require("train", "loss", "H1" if loss is None else loss, OneOf(LOSSES))
    return loss or "H1"


def _functions(
    functions: Functions | None,
    problem: Problem,
    dataset: Dataset | None,
    seen: Mapping[str, Any],
) -> Functions:
    """How many samples are in memory, and in a step.

    Raises:
        ValueError: For more in a step than there are, and for more than fit into memory.
    """
    if dataset is None:
        numbers = 2 * sum(np.size(array[0]) for array in seen.values())
        pool = max(_BATCH, min(_MEMBERS, share_of_memory(POOL_BYTES) // (8 * numbers)))
        chosen = functions or Functions(pool=pool, batch=_BATCH)
        check_functions_fit(chosen, problem)
        return chosen
    count = len(dataset.splits["training"])
    if functions is not None and functions.batch > count:
        raise ValueError(
            f"Functions: batch must be at most the {count} samples for training, got "
            f"{functions.batch}"
        )
    return (functions or Functions(pool=pool_of(dataset, _BATCH), batch=_BATCH)).within(count)


def _axes(
    name: str, problem: Problem, dataset: Dataset | None, seen: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """The points of each coordinate where the outputs lie.

    Without data they are those of the input fields: from one end of the domain to the other, along
    a periodic coordinate without the last.
    """
    if dataset is not None:
        return {n: np.ravel(line) for n, line in dataset.coordinates.items()}
    names, periodic = problem.domain.coordinates, impose(problem).periodic
    grids = {
        np.shape(array)[1 : 1 + len(names)]
        for array in seen.values()
        if np.ndim(array) - 1 in (len(names), len(names) + 1)
    }
    if len(grids) != 1:
        raise ValueError(
            f"without data {name} takes the grid of the input fields of {name_of(problem)}, of "
            f"which there {'are several' if grids else 'is none'}; give data="
        )
    bounds = problem.domain.bounds
    return {
        n: np.linspace(*bounds[n], count, endpoint=n not in periodic)
        for n, count in zip(names, grids.pop(), strict=True)
    }


def _check_steady(name: str, problem: Problem, dataset: Dataset | None) -> None:
    """Raises ValueError for outputs that have a time axis, or are not on a grid."""
    path = name_of(problem) if dataset is None else dataset.path
    time = None if dataset is None else dataset.layout.time
    if time is not None or problem.domain.time is not None:
        raise ValueError(
            f"{name} maps fields to fields, and {path} has a time axis; train "
            f"Direct({name}(...)) or CAPE({name}(...)) on trajectories"
        )
    if dataset is not None and dataset.layout.kind != "grid":
        raise ValueError(
            f"{name} needs outputs on a grid, and those of {path} lie on {dataset.layout.kind}; "
            "give the axes, coordinates={'x': x, 'y': y}, or train a DeepONet()"
        )


def _scaling(
    problem: Problem,
    dataset: Dataset | None,
    axes: Mapping[str, np.ndarray],
    scales: Mapping[str, Any] | None,
) -> tuple[np.ndarray, ...]:
    """The mean and deviation of each unknown at each point: those of the data, unless there are
    none or conditions are imposed, by which the outputs of the network are no unknowns.
    """
    imposes = scales is not None and is_constrained(problem, impose(problem))
    if dataset is not None and not imposes:
        return mean_and_scale(dataset, problem.unknowns)
    assert scales is not None
    shape = tuple(len(line) for line in axes.values())
    centre, spread = ([scales[part][n] for n in problem.unknowns] for part in ("centre", "spread"))
    mean = [0.0] * len(centre) if imposes else centre
    return tuple(np.broadcast_to(part, (*shape, len(mean))) for part in (mean, spread))


def built_map(
    problem: Problem,
    architecture: GridArchitecture,
    request: Mapping[str, Any],
    scaling: tuple[np.ndarray, ...],
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

    equation = None
    if request["scales"] is not None:
        scales = cast(Scales.from_json(request["scales"]))
        equation = GridEquation.of(problem, axes, scales, request["problem"])
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
        equation=equation,
    )
    return model, Params(cast(arrays), {})


def distances_of(line: np.ndarray) -> jax.Array:
    """Of neighbouring points of an axis, as shares of its length (a point more than there are
    intervals).
    """
    apart = np.abs(np.diff(line))
    length = np.sum(apart) * len(line) / max(1, len(apart)) or 1.0
    return jnp.asarray(rounded(apart / length) if len(apart) else [], jnp.result_type(float))


def _monitor(
    model: MapModel, dataset: Dataset | None, axes: Mapping[str, np.ndarray]
) -> Callable[[Params], dict[str, float]]:
    """The mean relative error of some samples for validation, of training where there are none;
    without data of some unseen members, where they have references on this grid.
    """
    problem = model.problem
    if dataset is None:
        samples = referenced(problem, *monitored(problem), axes)
        if samples is None:
            return nothing
    else:
        part = dataset.splits["validation"]
        part = part if len(part) else dataset.splits["training"]
        rows = dataset.rows(part[:_MONITORED])
        samples = samples_of(problem, rows, members=model.equation is not None)
    samples = jax.tree.map(jnp.asarray, samples)
    truth, names = np.asarray(samples.values), problem.unknowns

    def measure(params: Params) -> dict[str, float]:
        predicted = np.asarray(evaluated(model, params, samples))
        errors, _ = relative_errors(predicted, truth)
        return {name: float(np.nanmean(errors[:, k])) for k, name in enumerate(names)}

    return measure
