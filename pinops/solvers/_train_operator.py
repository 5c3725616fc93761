"""The front door for families: from many problems to an operator that solves all of them."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from pinops.data import Dataset, write_arrays
from pinops.losses import Fixed, PointWeighting, SelfAdaptive, Weighting
from pinops.metrics import errors
from pinops.networks import embedding_of
from pinops.operators import DeepONet, Operator, OperatorArchitecture
from pinops.optimizers import soap
from pinops.problem import (
    Problem,
    Scales,
    check_family,
    check_resolved,
    coefficients_as_json,
    coefficients_of,
    impose,
    load_problem,
    name_of,
    residual_signature,
    sample_members,
    scales_of_family,
    unstacked,
)
from pinops.reference import Reference
from pinops.solvers._recipe import check_forgetful, checked_steps, phases
from pinops.solvers._runs import (
    Run,
    as_drawn,
    check_options,
    describe,
    digest,
    drawn_with,
    prepare,
    train_runs,
)
from pinops.solvers._solution import (
    CHECKPOINT,
    Solution,
    count_parameters,
    read_run,
    training_summary,
    write_run,
)
from pinops.training import (
    Callback,
    Draw,
    Functions,
    OperatorModel,
    Params,
    Progress,
    Report,
    Training,
    TrainState,
    cast,
    check_shared,
    evaluate_members,
    gathered,
    history_arrays,
    inputs_of,
    mesh_of,
    save_checkpoint,
    split,
    with_modes,
)

STEPS = 10_000
_MONITORED = 8  # members whose errors are shown during training
_TESTED = 100
_FOR_SCALES = 8  # members whose sizes are looked at
_FOR_UNITS = 512  # members whose inputs tell their mean and size
# Random keys of members: never those of training, which follow from its seed by folding in 0, 1, 2, 3.
_TEST, _MONITOR, _INPUTS = 11, 12, 13


def train_operator(
    family: str | Problem,
    operator: OperatorArchitecture | None = None,
    *,
    data: "Dataset | str | Path | None" = None,
    physics: bool | None = None,
    optimizer: Any = None,
    functions: Functions | None = None,
    weighting: Weighting | None = None,
    start: "TrainedOperator | None" = None,
    steps: int | None = None,
    minutes: float | None = None,
    seed: int = 0,
    dtype: str = "float32",
    devices: int | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
) -> "TrainedOperator":
    """Train an operator on a family of problems: ``po.train_operator("burgers_family")``.

    **Arguments:**

    - `family`: a registered name or a `Problem` with ``sample(key)`` and ``inputs()``.
    - `operator`: an architecture such as `DeepONet(...)`; default: a DeepONet of modified multilayer perceptrons, 4 x 100.
    - `data`: solutions made by `pinops data`, a `Dataset` or its file. `physics`: whether the equations are in the loss; default:
      where there are no data.
    - `functions`: how many problems and points are drawn, and how many a step takes.
    - `start`: go on from this operator, of the same family or of another with inputs of the same shape (`optimizers.Only` then
      trains some of its layers).
    - `optimizer`, `weighting`, `steps`, `minutes`, `seed`, `callbacks`, `progress`, `out`, `resume`, `checkpoint_seconds`: as for
      `solve`. Default: 10000 steps of SOAP, its learning rate falling from 3e-3 to zero.
    - `dtype`: "float32" or "float64". `devices`: as for `solve`; they share the problems of a step.

    **Raises** ValueError for what cannot be meant, OSError for what cannot be written. A KeyboardInterrupt leaves a checkpoint
    behind.
    """
    began = time.monotonic()
    check_options(dtype, minutes, seed, 1, checkpoint_seconds, resume and out is None)
    with jax.enable_x64(dtype == "float64"):
        problem = load_problem(family) if isinstance(family, str) else family
        owner = name_of(problem)
        check_family(problem)
        dataset = Dataset(data) if isinstance(data, str | Path) else data
        if dataset is not None:
            dataset.check_family(problem)
        physics = dataset is None if physics is None else physics
        if not physics and dataset is None:
            raise ValueError("there is nothing to train on: give data, or leave physics as it is")
        if dataset is None and not problem.conditions() and problem.factor is None:
            raise ValueError(
                f"the equation of {owner} alone has many solutions, and it has no conditions: give data"
            )
        residual_signature(problem)
        check_resolved(problem, dtype)
        if start is not None and operator is not None:
            raise ValueError(
                "start and operator exclude each other: the operator to start from goes on"
            )
        before = None if start is None else _built_before(start, problem)
        operator = DeepONet() if operator is None else operator
        functions = Functions() if functions is None else functions
        if dataset is not None:
            functions = _within(functions, len(dataset.splits["training"]))
        if isinstance(weighting, PointWeighting | SelfAdaptive):
            raise ValueError(
                f"{type(weighting).__name__} weighs single points, and every step of an operator has other problems and points; "
                "choose one that weighs terms, such as GradientNorm or ReLoBRaLo"
            )
        if optimizer is None:
            total = checked_steps(steps, STEPS)
            if resume and out is not None:
                _check_schedule(Path(out), total)
            optimizer = soap(3e-3, total)
        plan = phases(optimizer, steps, STEPS)
        sizes = family_scales(problem, dataset)
        if start is not None:
            # A network that goes on does so with the numbers that it was trained with.
            sizes |= {part: start.request["scales"][part] for part in ("centre", "spread")}
        request = {
            "problem": owner,
            "coefficients": describe(coefficients_of(problem)) | coefficients_as_json(problem),
            "operator": describe(operator) if start is None else start.request["operator"],
            "data": None if dataset is None else dataset.digest,
            "data_members": None
            if dataset is None
            else [dataset.origin, len(dataset.splits["training"])],
            "physics": physics,
            "phases": [describe(phase.optimizer) for phase in plan],
            "phase_steps": [phase.steps for phase in plan[:-1]],
            "steps": sum(phase.steps for phase in plan),
            "minutes": minutes,
            "functions": describe(functions),
            "weighting": describe(weighting),
            "inputs": _inputs(problem, dataset) if start is None else start.request["inputs"],
            "scale": dict.fromkeys(problem.unknowns, 1.0) if dataset is None else dataset.scale,
            "start": None if start is None else digest(jax.tree.leaves(start.params)),
            "drawn": None if start is None else drawn_with(start.request),
            "seed": seed,
            "dtype": dtype,
            "scales": sizes,  # last: they follow from the others
        }
        built, params = built_operator(problem, operator if before is None else before, request)
        if start is None:
            params = with_modes(built, params, dataset)
        model = replace(built, mesh=mesh_of(devices))
        check_shared(functions.batch, "problems of a step", model.mesh, "Functions(batch={})")
        drawn = Draw(functions, dataset)
        if drawn.stochastic:
            check_forgetful(
                plan,
                "let a step take all, Functions(batch=pool, points=Collocation(batch=None), data_points=None), or choose Adam",
            )
        folder = None if out is None else Path(out)
        if folder is not None:
            prepare(folder, request, resume)
        measure = _monitor(problem, model, dataset)
        training = Training(
            model, plan, drawn, seed, Fixed() if weighting is None else weighting, None, measure
        )
        run = Run(
            training, params, request, folder, resume, lambda: training.init(params, fit=False)
        )
        everyone = [*callbacks, *([Progress(minutes)] if progress else [])]
        (outcome,) = train_runs([run], minutes, everyone, checkpoint_seconds, began)
    state = gathered(outcome.state, model.mesh)
    result = (state.params, outcome.history, outcome.status, outcome.compile_seconds, state)
    trained = TrainedOperator(problem, request, built, *result)
    if folder is not None and jax.process_index() == 0:  # of several processes one writes
        trained.save(folder)
    return trained


def _check_schedule(folder: Path, steps: int) -> None:
    """Raises ValueError when the run in a folder has another number of steps, over which its default learning rate falls."""
    before = read_run(folder)["request"].get("steps") if (folder / "run.json").exists() else steps
    if before != steps:
        raise ValueError(
            f"the learning rate of this run falls to zero over its {before} steps; resume it with that number, or give both "
            "runs an optimizer of your own"
        )


def _within(functions: Functions, members: int) -> Functions:
    """With no more problems than a data set has."""
    pool = min(functions.pool, members)
    return replace(functions, pool=pool, batch=min(functions.batch, pool))


def _key(purpose: int) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.key(0), purpose)


def _built_before(start: "TrainedOperator", problem: Problem) -> Operator:
    """The operator to start from. Raises ValueError where it does not fit the problem."""
    if not isinstance(start, TrainedOperator):
        raise ValueError(f"start must be a trained operator, got a {type(start).__name__}")
    sizes = [embedding_of(p, impose(p)).size for p in (problem, start.family)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"start is an operator of {sizes[1]} features of the coordinates; {name_of(problem)} has {sizes[0]}"
        )
    if (
        inputs_of(problem).shape != inputs_of(start.family).shape
        or problem.unknowns != start.family.unknowns
    ):
        raise ValueError(
            f"start is an operator for inputs of shape {inputs_of(start.family).shape} and {', '.join(start.family.unknowns)}; "
            f"{name_of(problem)} has inputs of shape {inputs_of(problem).shape} and {', '.join(problem.unknowns)}"
        )
    return cast(start.model.operator(start.params))


def built_operator(
    problem: Problem, operator: OperatorArchitecture | Operator, request: Mapping[str, Any]
) -> tuple[OperatorModel, Params]:
    """The model of a request and its parameters, fresh ones for an architecture."""
    imposition, count = impose(problem), len(problem.unknowns)
    built = operator
    if isinstance(operator, OperatorArchitecture):
        features = embedding_of(problem, imposition).size
        centre, deviation = (np.asarray(request["inputs"][name]) for name in ("mean", "deviation"))
        built = as_drawn(
            request, lambda key: operator.build(centre, deviation, features, count, key=key)
        )
    plain, params = split(
        problem, built, imposition, Scales.from_json(request["scales"]), request["problem"]
    )
    scale = jnp.asarray(
        [request["scale"][name] for name in problem.unknowns], jnp.result_type(float)
    )
    return OperatorModel(
        plain.problem,
        plain.frozen,
        plain.scales,
        scale,
        imposition,
        plain.owner,
        request["physics"],
    ), params


def _inputs(problem: Problem, dataset: Dataset | None) -> dict[str, Any]:
    """The mean and standard deviation of every input of a family, to six digits."""
    if dataset is not None:
        inputs = np.asarray(dataset.inputs(), np.float64)
    else:
        with jax.enable_x64(True):
            members = sample_members(problem, _key(_INPUTS), range(_FOR_UNITS))
            inputs = np.asarray(eqx.filter_vmap(inputs_of)(members))
    deviation = np.std(inputs, axis=0)
    # Some may be the same for all but for rounding, of themselves or of what they were computed from. Inputs have units of
    # their own, a modulus of 2e11 beside a ratio of 0.3: they are not compared with each other any further.
    rounding = np.maximum(1e-12 * np.max(np.abs(inputs), axis=0), 1e-15 * np.max(deviation))
    deviation = np.where(deviation > rounding, deviation, 1.0)
    rounded = lambda numbers: np.vectorize(lambda number: float(f"{number:.6g}"))(numbers).tolist()
    return {"mean": rounded(np.mean(inputs, axis=0)), "deviation": rounded(deviation)}


def family_scales(problem: Problem, dataset: Dataset | None) -> dict[str, Any]:
    """The sizes of the unknowns and equations of a family: of a few members, or of the data where there are some."""
    members = _members(problem, _INPUTS, _FOR_SCALES)
    given, means = (None, None) if dataset is None else (dataset.scale, dataset.mean)
    return scales_of_family(members, impose(problem), given, means).to_json()


def _members(problem: Problem, purpose: int, count: int) -> list[Problem]:
    """Members drawn in double precision: references are made for them."""
    with jax.enable_x64(True):
        return unstacked(sample_members(problem, _key(purpose), range(count)), count)


def _comparison(
    model: OperatorModel, members: Sequence[Problem], references: Sequence[Reference]
) -> Callable[[Params], list[dict[str, dict[str, float]]]]:
    """From parameters to the errors of every member, as `pinops.metrics.errors` has them."""
    coordinates = references[0].coordinates
    names = model.problem.domain.coordinates
    grids = np.broadcast_arrays(*(coordinates[name] for name in names))
    points = jnp.asarray(np.stack([grid.ravel() for grid in grids], -1), jnp.result_type(float))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[cast(member) for member in members])

    def compare(params: Params) -> list[dict[str, dict[str, float]]]:
        out = np.asarray(evaluate_members(model, params, stacked, points))
        found = []
        for values, reference in zip(out, references, strict=True):
            by_name = {
                name: values[:, k].reshape(grids[0].shape)
                for k, name in enumerate(model.problem.unknowns)
            }
            found.append(
                errors(
                    by_name, reference, gauge=model.problem.gauge, time=model.problem.domain.time
                )
            )
        return found

    return compare


def _monitor(
    problem: Problem, model: OperatorModel, dataset: Dataset | None
) -> Callable[[Params], dict[str, float]]:
    """Mean relative L2 errors over a few members that are not trained on; nothing where there is no reference."""
    if dataset is not None:
        members, references = dataset.solved(problem, dataset.splits["validation"][:_MONITORED])
    else:
        members = _members(problem, _MONITOR, _MONITORED)
        references = [member.reference() for member in members]
    if any(reference is None for reference in references):
        return lambda params: {}
    compare = _comparison(
        model, members, [reference for reference in references if reference is not None]
    )

    def measure(params: Params) -> dict[str, float]:
        found = compare(params)
        return {
            name: float(np.mean([error[name]["relative_l2"] for error in found]))
            for name in found[0]
        }

    return measure


@dataclass(frozen=True)
class TrainedOperator:
    """What `train_operator` returns. Immutable; evaluates in the precision that it was trained in.

    Called with a member of the family it gives a `Solution`: ``trained(member)(x=0.3, t=0.5)``; that of a network like any other,
    which `solve(member, start=trained(member))` refines.
    """

    family: Problem
    request: dict[str, Any]
    model: OperatorModel
    params: Params
    history: list[Report]
    status: str
    compile_seconds: float = 0.0
    state: TrainState | None = None

    @property
    def _x64(self) -> bool:
        return self.request["dtype"] == "float64"

    def __call__(self, member: Problem) -> Solution:
        """The solution of one member.

        **Raises** ValueError for a problem of another family, and for inputs of another size.
        """
        if type(member) is not type(self.family):
            raise ValueError(
                f"this operator solves {type(self.family).__name__}, not {type(member).__name__}"
            )
        with jax.enable_x64(self._x64):
            operator = self.model.operator(self.params)
            network = operator(inputs_of(member))
            model, params = split(
                member, network, self.model.imposition, self.model.scales, self.model.owner
            )
        request = {
            "problem": self.request["problem"],
            "coefficients": coefficients_as_json(member),
            "trainable": [],
            "network": self.request["operator"],
            "seed": self.request["seed"],
            "scales": self.request["scales"],
            "dtype": self.request["dtype"],
        }
        return Solution(member, request, model, params, self.history, self.status)

    def errors(self, members: Sequence[Problem] | Dataset) -> dict[str, np.ndarray]:
        """The relative L2 error of every unknown for every member, ``{unknown: (n,)}``, against their references.

        ``members``: of the family, or a data set, of which the test part is taken.

        **Raises** ValueError where a member has no reference, and for a data set with members that the training has seen.
        """
        if isinstance(members, Dataset):
            members, references = self._tested_on(members)
        else:
            references = [member.reference() for member in members]
        if not references or any(reference is None for reference in references):
            raise ValueError(
                f"{self.request['problem']} has no reference to compare with; give the family one"
            )
        with jax.enable_x64(self._x64):
            compare = _comparison(self.model, members, [r for r in references if r is not None])
            found = compare(self.params)
        return {
            name: np.asarray([error[name]["relative_l2"] for error in found]) for name in found[0]
        }

    def test_members(self, count: int = _TESTED) -> list[Problem]:
        """Members that no training and no monitor has seen, the same for every run of the family."""
        return _members(self.family, _TEST, count)

    def _tested_on(self, dataset: Dataset) -> tuple[list[Problem], list[Reference]]:
        """The test part of a data set. Raises ValueError where the training has seen it."""
        dataset.check_family(self.family)
        members = dataset.splits["test"]
        origin, seen = self.request.get("data_members") or ("", 0)
        if origin == dataset.origin and members.start < seen:
            raise ValueError(
                f"{dataset.path} is made with the seed of the data of the training, which has seen its test members; make it "
                "with another seed"
            )
        return dataset.solved(self.family, members)

    def error(
        self, members: int | Sequence[Problem] | Dataset = _TESTED
    ) -> dict[str, dict[str, float]]:
        """``{unknown: {"mean", "std", "median", "worst"}}`` of the `errors`; for a number: of so many `test_members`."""
        statistics = {"mean": np.mean, "std": np.std, "median": np.median, "worst": np.max}
        found = self.errors(self.test_members(members) if isinstance(members, int) else members)
        return {
            name: {kind: float(of(values)) for kind, of in statistics.items()}
            for name, values in found.items()
        }

    def summary(self, dataset: Dataset | None = None) -> dict[str, Any]:
        """What a run was and what came out, on a hundred `test_members` or the test part of a data set.

        The contents of ``run.json`` and of ``--json``.
        """
        known = dataset is not None or self.test_members(1)[0].reference() is not None
        tested = _TESTED if dataset is None else len(dataset.splits["test"])
        return {
            "problem": self.request["problem"],
            "relative_l2": self.error(_TESTED if dataset is None else dataset) if known else {},
            "tested": tested if known else 0,
            **training_summary(
                self.request,
                self.history,
                self.compile_seconds,
                count_parameters(self.params),
                self.status,
            ),
        }

    def plot(self, path: str | Path | None = None) -> Any:
        """A figure of the solution, reference and error of one test member, and the loss history; written to ``path``."""
        return self(self.test_members(1)[0]).plot(path)

    def save(self, folder: str | Path) -> Path:
        """Write a run directory: ``run.json, history.h5, checkpoint/``. Loading it executes no code.

        **Raises** OSError when it cannot be written.
        """
        folder = Path(folder)
        if self.state is not None or not (folder / CHECKPOINT).exists():
            save_checkpoint(
                folder / CHECKPOINT, self.state or self.params, self.history, self.request
            )
        write_arrays(folder / "history.h5", "history", history_arrays(self.history))
        write_run(folder, self.request, self.summary())
        return folder
