"""From a request to a training of an operator on a family."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pinops.data import Dataset, check_values, read_run, solved
from pinops.losses import Fixed, PointWeighting, SelfAdaptive, Weighting
from pinops.networks import Embedding, embedding_of, is_plain, placed, trainable
from pinops.operators import Operator, OperatorArchitecture
from pinops.optimizers import SOAP
from pinops.problem import (
    DataFamily,
    Problem,
    Scales,
    check_resolved,
    fingerprint,
    impose,
    in_words,
    name_of,
    residual_signature,
    sample_members,
    scales_of_family,
    shapes_of,
)
from pinops.reference import Reference
from pinops.solvers._door import Assembly, Options
from pinops.solvers._of_family import FamilyPlan, of_outcome, phases_request, pool_of
from pinops.solvers._recipe import Length, check_digits, check_forgetful, checked_steps, phases
from pinops.solvers._request import Drawing, as_drawn, check_flat, describe, digest, drawn_with
from pinops.solvers._trained_operator import (
    TrainedOperator,
    comparison,
    unseen_members,
    with_references,
)
from pinops.training import (
    Draw,
    Functions,
    OperatorModel,
    Outcome,
    Params,
    SolvedMembers,
    Training,
    cast,
    check_functions_fit,
    check_network_fits,
    check_shared,
    inputs_of,
    numbers_of,
    split,
    statistics_of,
)

STEPS = 10_000
_MONITORED = 8  # members whose errors are shown during training
_FOR_SCALES = 8  # members whose sizes are looked at
_FOR_UNITS = 512  # members whose inputs tell their mean and size
# Random keys of members: never those of training, which follow from its seed by folding in 0, 1, 2,
# 3.
_MONITOR, _INPUTS = 12, 13


@dataclass(frozen=True)
class OperatorPlan(FamilyPlan):
    """What all members of an ensemble of operators share."""

    architecture: OperatorArchitecture | Operator
    physics: float
    start: TrainedOperator | None
    inputs: dict[str, Any]
    scales: dict[str, Any]

    @property
    def tested_on(self) -> Dataset | None:
        """The test part of data alone; None: unseen members with their references."""
        dataset = self.dataset
        if dataset is None or not isinstance(self.problem, DataFamily):
            return None
        return dataset if len(dataset.splits["test"]) else None

    def assembled(self, seed: int) -> Assembly:
        """The training with a seed."""
        request = self._request(seed)
        built, params = built_operator(self.problem, self.architecture, request)
        if self.start is None:
            params = fitted(self.architecture, built, params, self.dataset)
        model = replace(built, mesh=self.options.mesh(), bootstrap=self.options.bootstrap(seed))
        batch = self.functions.batch
        check_shared(batch, "problems of a step", model.mesh, "Functions(batch={})")
        training = Training(
            model=model,
            phases=self.phases,
            source=Draw(self.functions, self.dataset),
            seed=seed,
            weighting=self.weighting,
            measure=_monitor(self.problem, built, self.dataset),
            pool_seed=self.options.pool_seed,
        )

        def result(outcome: Outcome) -> TrainedOperator:
            return TrainedOperator(
                family=self.problem,
                request=request,
                model=built,
                **of_outcome(outcome),
            )

        first = partial(training.init, params, fit=False)
        return Assembly(training, params, request, first, result)

    def _request(self, seed: int) -> dict[str, Any]:
        problem, dataset, start = self.problem, self.dataset, self.start
        ones = dict.fromkeys(problem.unknowns, 1.0)
        return self.common(seed) | {
            "operator": describe(self.architecture) if start is None else start.request["operator"],
            "physics": self.physics,
            **phases_request(self.phases),
            "inputs": self.inputs,
            "scale": ones if dataset is None else dataset.scale,
            "scales": self.scales,
            "start": None if start is None else digest(jax.tree.leaves(start.params)),
            "drawn": None if start is None else drawn_with(start.request),
        }


def operator_plan(
    problem: Problem,
    architecture: OperatorArchitecture | None,
    options: Options,
    *,
    dataset: Dataset | None,
    physics: float | None,
    functions: Functions | None,
    optimizer: Any,
    weighting: Weighting | None,
    start: TrainedOperator | None,
    length: Length,
) -> OperatorPlan:
    """The plan of a request, whose parts are checked here; arguments as for `train`."""
    if dataset is not None:
        check_values(dataset, *dataset.splits, gaps=True, coefficients=True)
    physics = checked_physics(physics, 1.0 if dataset is None else 0.0, weighting)
    check_trainable(problem, physics, dataset)
    if dataset is not None:
        _check_inputs(dataset)
    check_digits(options.compute_dtype, equation=dataset is None)
    check_resolved(problem, options.dtype)
    if start is not None and architecture is not None:
        raise ValueError(
            "start and an architecture exclude each other: the operator to start from goes on"
        )
    before = None if start is None else _built_before(start, problem)
    if functions is None:
        batch = Functions().batch
        functions = Functions() if dataset is None else Functions(pool=pool_of(dataset, batch))
    check_functions_fit(functions, problem)
    samples = None if dataset is None else len(dataset.splits["training"])
    if samples is not None:
        functions = functions.within(samples)
    steps = length.in_steps(samples, functions.batch)
    if isinstance(weighting, PointWeighting | SelfAdaptive):
        raise ValueError(
            f"{type(weighting).__name__} weighs single points, and every step of an operator has "
            "other problems and points; "
            "choose one that weighs terms, such as GradientNorm or ReLoBRaLo"
        )
    if optimizer is None:
        total = checked_steps(steps, STEPS)
        if options.resume:
            for seed in options.seeds:
                _check_schedule(options.folder(seed), total)
        optimizer = SOAP(3e-3, total)
    plan = phases(optimizer, steps, STEPS)
    if Draw(functions, dataset).stochastic:
        check_forgetful(
            plan,
            "let a step take all, Functions(batch=pool, points=Collocation(batch=None), "
            "data_points=None), or choose Adam",
        )
    sizes = family_scales(problem, dataset)
    if start is not None:
        # A network that goes on does so with the numbers that it was trained with.
        sizes |= {part: start.request["scales"][part] for part in ("centre", "spread")}
    what = before or architecture
    assert what is not None
    return OperatorPlan(
        problem=problem,
        architecture=what,
        options=options,
        dataset=dataset,
        physics=physics,
        functions=functions,
        phases=plan,
        weighting=weighting or Fixed(equation=physics, condition=1000 * physics),
        start=start,
        inputs=_inputs(problem, dataset) if start is None else start.request["inputs"],
        scales=sizes,
        fingerprint=fingerprint(problem),
    )


def check_trainable(problem: Problem, physics: float, dataset: Dataset | None) -> None:
    """Raises ValueError where neither the equation nor data determine the solutions."""
    if isinstance(problem, DataFamily):
        check_without_equation(physics)
        return
    if not physics and dataset is None:
        raise ValueError("there is nothing to train on: give data, or leave physics as it is")
    if dataset is None and not problem.conditions() and problem.factor is None:
        raise ValueError(
            f"the equation of {name_of(problem)} alone has many solutions, and it has no "
            "conditions: give data"
        )
    residual_signature(problem)


def _check_inputs(dataset: Dataset) -> None:
    """Raises ValueError for inputs that have a value at every point of a sample."""
    if dataset.local:
        name = dataset.local[0]
        raise ValueError(
            f"{dataset.path} has the input {name} at the points of each sample; give "
            f"sensors={{{name!r}: points}} with the data for a DeepONet(), or train a Transolver()"
        )


def check_without_equation(physics: float) -> None:
    """Raises ValueError for a weight of the equation that data alone do not have."""
    if physics:
        raise ValueError(
            f"physics={physics:g} needs an equation, and these are data alone; train a family with "
            "data=, or leave physics out"
        )


def checked_physics(physics: float | None, default: float, weighting: Weighting | None) -> float:
    """The weight of the equations.

    Raises:
        ValueError: For one that is negative, or beside a weighting.
    """
    weight = default if physics is None else physics
    if not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
        raise ValueError(f"physics must be zero or more and finite, got {physics!r}")
    if weighting is not None and weight not in (0, 1):
        raise ValueError(
            f"physics={weight:g} and weighting exclude each other: give the weight of the "
            "equations to one of them"
        )
    return float(weight)


def operator_drawing(
    problem: Problem, architecture: OperatorArchitecture, request: Mapping[str, Any]
) -> Drawing:
    """How the operator of a request is drawn."""
    embedding = _embedding(problem, architecture)
    known = placed(architecture, problem.domain.coordinates, embedding)
    sizes = (embedding.size, len(problem.unknowns))

    def statistics() -> tuple[Any, ...]:
        return tuple(numbers_of(request["inputs"], part) for part in ("mean", "deviation"))

    return Drawing(known, sizes, statistics)


def _embedding(problem: Problem, operator: OperatorArchitecture | Operator) -> Embedding:
    """What an operator sees of a point."""
    return embedding_of(problem, impose(problem, plain=is_plain(operator)))


def built_operator(
    problem: Problem, operator: OperatorArchitecture | Operator, request: Mapping[str, Any]
) -> tuple[OperatorModel, Params]:
    """The model of a request and its parameters, fresh ones for an architecture."""
    imposition = impose(problem, plain=is_plain(operator))
    built = operator
    if isinstance(operator, OperatorArchitecture):
        build = operator_drawing(problem, operator, request)
        check_network_fits(operator, build)
        built = as_drawn(request, build)
    scales = Scales.from_json(request["scales"])
    plain, params = split(problem, built, imposition, scales, request["problem"])
    scale = [request["scale"][name] for name in problem.unknowns]
    model = OperatorModel(
        problem=plain.problem,
        frozen=plain.frozen,
        scales=plain.scales,
        scale=jnp.asarray(scale, jnp.result_type(float)),
        imposition=imposition,
        owner=plain.owner,
        physics=request["physics"] > 0,
        compute_dtype=request.get("compute_dtype"),
    )
    return model, params


def fitted(
    architecture: OperatorArchitecture | Operator,
    model: OperatorModel,
    params: Params,
    dataset: Dataset | None,
) -> Params:
    """The parameters with what the architecture takes from the data in closed form."""
    if not isinstance(architecture, OperatorArchitecture):
        return params
    before = model.operator(params)
    solutions = None if dataset is None else SolvedMembers(model, dataset)
    after = architecture.fitted(before, solutions)
    if after is before:
        return params
    arrays, _ = eqx.partition(after, trainable(after))
    return replace(params, network=cast(arrays))


def _check_schedule(folder: Path | None, steps: int) -> None:
    """Raises ValueError when the run in a folder has another number of steps, over which its
    default learning rate falls.
    """
    if folder is None or not (folder / "run.json").exists():
        return
    before = read_run(folder)["request"].get("steps")
    if before != steps:
        raise ValueError(
            f"the learning rate of this run falls to zero over its {before} steps; resume it with "
            "that number, or give both "
            "runs an optimizer of your own"
        )


def _built_before(start: TrainedOperator, problem: Problem) -> Operator:
    """The operator to start from. Raises ValueError where it does not fit the problem."""
    if not isinstance(start, TrainedOperator):
        raise ValueError(f"start must be a trained operator, got a {type(start).__name__}")
    operator = start.model.operator(start.params)
    sees, saw = (_embedding(p, operator) for p in (problem, start.family))
    if sees.size != saw.size:
        raise ValueError(
            f"start is an operator of {saw.size} features of the coordinates; {name_of(problem)} "
            f"has {sees.size}"
        )
    check_flat(sees, saw, name_of(problem))
    own, theirs = (shapes_of(family.inputs()) for family in (problem, start.family))
    if own != theirs or problem.unknowns != start.family.unknowns:
        raise ValueError(
            f"start is an operator for the inputs {in_words(theirs)} and the unknowns "
            f"{', '.join(start.family.unknowns)}; {name_of(problem)} has the inputs "
            f"{in_words(own)} "
            f"and the unknowns {', '.join(problem.unknowns)}"
        )
    return cast(operator)


def _inputs(problem: Problem, dataset: Dataset | None) -> dict[str, Any]:
    """The mean and standard deviation of every entry of every input of a family, by name."""
    return statistics_of(typical_inputs(problem, dataset))


def typical_inputs(problem: Problem, dataset: Dataset | None) -> dict[str, Any]:
    """The inputs of some samples for training, or of some members of a family without data."""
    if dataset is not None:
        return dataset.inputs()
    key = jax.random.fold_in(jax.random.key(0), _INPUTS)
    return eqx.filter_vmap(inputs_of)(sample_members(problem, key, range(_FOR_UNITS)))


def family_scales(problem: Problem, dataset: Dataset | None) -> dict[str, Any]:
    """The sizes of unknowns and equations of a family, from a few members or from data."""
    if isinstance(problem, DataFamily):
        assert dataset is not None
        return Scales(dataset.mean, dataset.scale, dataset.scale, {}, {}).to_json()
    members = unseen_members(problem, _INPUTS, _FOR_SCALES)
    given, means = (None, None) if dataset is None else (dataset.scale, dataset.mean)
    return scales_of_family(members, impose(problem), given, means).to_json()


def nothing(params: Params) -> dict[str, float]:
    """The errors where there is nothing to compare with."""
    return {}


def monitored(problem: Problem) -> tuple[list[Problem], list[Reference]]:
    """A few unseen members that errors are taken from during training, and their references; none
    where there are no references.
    """
    return with_references(unseen_members(problem, _MONITOR, _MONITORED))


def _monitor(
    problem: Problem, model: OperatorModel, dataset: Dataset | None
) -> Callable[[Params], dict[str, float]]:
    """Mean relative L2 errors over a few unseen members; nothing without a reference."""
    if dataset is not None:
        some = dataset.splits["validation"][:_MONITORED]
        if not len(some):
            return nothing
        members, references = solved(dataset, problem, some)
    else:
        members, references = monitored(problem)
        if not members:
            return nothing
    outputs, errors_of = comparison(problem, members, references)

    def measure(params: Params) -> dict[str, float]:
        found = errors_of(outputs(model, params))
        return {
            name: float(np.mean([error[name]["relative_l2"] for error in found]))
            for name in found[0]
        }

    return measure
