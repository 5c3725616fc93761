"""The front door for autoregressive surrogates: from trajectories on a grid to the next frame, and the next."""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from pinops.data import BLOCK, Dataset, leaves_of, write_arrays
from pinops.metrics import rollout_metrics
from pinops.networks import trainable
from pinops.operators import CAPE, CAPESurrogate, SurrogateArchitecture
from pinops.optimizers import Adam, Optax
from pinops.problem import (
    Problem,
    check_family,
    check_resolved,
    coefficients_as_json,
    coefficients_of,
    load_problem,
    name_of,
    sample_members,
    unstacked,
)
from pinops.solvers._recipe import phases
from pinops.solvers._runs import Run, as_drawn, check_options, describe, prepare, train_runs
from pinops.solvers._solution import CHECKPOINT, count_parameters, training_summary, write_run
from pinops.solvers._train_operator import family_scales
from pinops.training import (
    MAPS,
    Batches,
    Callback,
    Curriculum,
    Epochs,
    Params,
    Phase,
    Progress,
    Report,
    SurrogateModel,
    Training,
    TrainState,
    as_frames,
    cast,
    check_periodic,
    check_shared,
    frames_of,
    gathered,
    grid_residuals,
    history_arrays,
    inputs_of,
    mesh_of,
    save_checkpoint,
)

_MONITORED = 32  # trajectories whose rollouts are compared during training
_POOL = 4096  # trajectories at hand
_VALUES = 32  # of the parameters that are told apart
_SHOWN = 21  # the random key of the members in figures


def train_surrogate(
    family: str | Problem,
    data: "Dataset | str | Path",
    surrogate: SurrogateArchitecture | None = None,
    *,
    curriculum: Curriculum | None = None,
    batch: int = 30,
    noise: float = 1e-3,
    embedding: float = 1e-3,
    physics: float = 0.0,
    parameter_map: str = "auto",
    optimizer: Any = None,
    minutes: float | None = None,
    seed: int = 0,
    dtype: str = "float32",
    devices: int | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
    out: str | Path | None = None,
    resume: bool = False,
    checkpoint_seconds: float = 30.0,
) -> "TrainedSurrogate":
    """Train a surrogate of one time step on trajectories: ``po.train_surrogate("cape_burgers", "burgers.h5")``.

    The loss is the mean relative L2 error of all frames of a trajectory, which follow from the truth or from predictions as the
    curriculum says.

    **Arguments:**

    - `family`: a registered name or a `Problem` with ``sample(key)``, and ``inputs()``, the vector of the parameters that a
      surrogate sees. `data`: its solutions, made by `pinops data`, a `Dataset` or its file.
    - `surrogate`: an architecture such as ``Direct(FNO(22))`` or ``CAPE(UNet(16))``; default: CAPE around an FNO.
    - `curriculum`: default `Curriculum()`, 30 epochs. `batch`: trajectories in a step.
    - `noise` >= 0: the standard deviation of what is added to the states that steps begin at, in units of that of the data.
    - `embedding` >= 0: the weight of the loss of what CAPE's embedding predicts by itself; `physics` >= 0: that of the mean
      square of the family's equations at the predictions (Fourier series in space, second-order differences in time).
    - `parameter_map`: "identity", "log" or "sigmoid_log", x / (1 + x), before parameters are standardised; "auto": the logarithm
      where all are positive and the largest is more than ten times the smallest.
    - `optimizer`: default: Adam, its learning rate falling from 3e-3 to zero by a cosine, of gradients no longer than 1.
    - `devices`: as for `solve`; they share the trajectories of a step.
    - `minutes`, `seed`, `dtype`, `callbacks`, `progress`, `out`, `resume`, `checkpoint_seconds`: as for `solve`.

    **Raises** ValueError for what cannot be meant, OSError for what cannot be written or read.
    """
    began = time.monotonic()
    check_options(dtype, minutes, seed, 1, checkpoint_seconds, resume and out is None)
    for name, value in (("noise", noise), ("embedding", embedding), ("physics", physics)):
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be zero or more and finite, got {value}")
    with jax.enable_x64(dtype == "float64"):
        problem = load_problem(family) if isinstance(family, str) else family
        check_family(problem)
        dataset = Dataset(data) if isinstance(data, str | Path) else data
        dataset.check_family(problem)
        check_resolved(problem, dtype)
        surrogate = CAPE() if surrogate is None else surrogate
        if not isinstance(surrogate, SurrogateArchitecture):
            raise ValueError(
                f"surrogate must be an architecture such as CAPE(FNO(20)) or Direct(FNO(20)), got {surrogate!r}"
            )
        curriculum = Curriculum() if curriculum is None else curriculum
        if not surrogate.embeds:  # there is nothing to warm up
            curriculum = replace(curriculum, warm_up=0)
        count = len(dataset.splits["training"])
        if not isinstance(batch, int) or not 1 <= batch <= count:
            raise ValueError(
                f"batch must be a whole number from 1 to the {count} trajectories for training, got {batch!r}"
            )
        request = {
            "problem": name_of(problem),
            "coefficients": describe(coefficients_of(problem)) | coefficients_as_json(problem),
            "surrogate": describe(surrogate),
            "data": dataset.digest,
            "data_members": [dataset.origin, count],
            "grid": grid_of(problem, dataset),
            "parameters": _parameters(problem, dataset, parameter_map),
            "centre": dataset.centre,
            "scale": dataset.scale,
            "curriculum": describe(curriculum),
            "batch": batch,
            "noise": noise,
            "embedding": embedding,
            "physics": physics,
            "optimizer": "Adam" if optimizer is None else describe(optimizer),
            "minutes": minutes,
            "seed": seed,
            "dtype": dtype,
            "scales": family_scales(problem, dataset),
        }
        if physics:
            check_periodic(problem, request["grid"])
            if request["grid"]["frames"] < 3:
                raise ValueError(
                    "equations on a grid need at least 3 frames, and the data have 2; make data with more, or physics=0"
                )
        built, params = built_surrogate(problem, surrogate, request)
        model = replace(built, mesh=mesh_of(devices))
        check_shared(batch, "trajectories of a step", model.mesh, "batch={}")
        epochs = Epochs(curriculum, -(-count // batch), request["grid"]["frames"])
        schedule = _phases(optimizer, curriculum, epochs.steps)
        folder = None if out is None else Path(out)
        if folder is not None:
            prepare(folder, request, resume)
        batches = Batches(dataset, min(_POOL, count), batch)
        training: Any = Training(
            model,
            schedule,
            batches,
            seed,
            continuation=epochs,
            measure=_monitor(problem, built, dataset),
        )
        run = Run(
            training, params, request, folder, resume, lambda: training.init(params, fit=False)
        )
        everyone = [*callbacks, *([Progress(minutes)] if progress else [])]
        (outcome,) = train_runs([run], minutes, everyone, checkpoint_seconds, began)
    state = gathered(outcome.state, model.mesh)
    result = (state.params, outcome.history, outcome.status, outcome.compile_seconds, state)
    trained = TrainedSurrogate(problem, request, built, *result)
    if folder is not None and jax.process_index() == 0:  # of several processes one writes
        trained.save(folder, dataset)
    return trained


def _phases(optimizer: Any, curriculum: Curriculum, steps: int) -> tuple[Phase, ...]:
    """One optimizer, which begins afresh after the warm-up. Raises ValueError for one of the second order."""
    lengths = [
        count * steps
        for count in (curriculum.warm_up, curriculum.epochs - curriculum.warm_up)
        if count
    ]
    # Gradients through many steps now and then explode.
    default = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(3e-3, lengths[-1]))
    )
    (phase,) = phases(default if optimizer is None else optimizer, lengths[-1], lengths[-1])
    if not isinstance(phase.optimizer, Optax | Adam):
        raise ValueError(
            f"{type(phase.optimizer).__name__} does not suit surrogates, of which every step has other trajectories; give Adam, "
            "SOAP or another optax transformation"
        )
    return tuple(Phase(phase.optimizer, length) for length in lengths)


def grid_of(problem: Problem, dataset: Dataset) -> dict[str, Any]:
    """How many places and frames there are, and how far apart in each coordinate.

    **Raises** ValueError for coordinates that are not a regular grid with time.
    """
    time = problem.domain.time
    if time is None:
        raise ValueError(
            f"{name_of(problem)} has no time coordinate; a surrogate goes from one time to the next"
        )
    first, steps, sizes = [], [], {}
    for axis, (name, values) in enumerate(dataset.coordinates.items()):
        line, apart = np.ravel(values), np.diff(np.ravel(values))
        own = np.ndim(values) == len(dataset.coordinates) and np.shape(values)[axis] == line.size
        if not own or len(line) < 2 or not apart[0] > 0 or np.ptp(apart) > 1e-6 * apart[0]:
            raise ValueError(
                f"{dataset.path}: surrogates need a regular grid, an axis for each coordinate in the order "
                f"{', '.join(dataset.coordinates)}; {name} is not equally spaced along axis {axis} alone"
            )
        rounded = lambda number: float(f"{number:.12g}")
        first.append(rounded(line[0]))
        steps.append(rounded((line[-1] - line[0]) / (len(line) - 1)))
        sizes[name] = len(line)
    frames = sizes.pop(time)
    return {"first": first, "steps": steps, "places": list(sizes.values()), "frames": frames}


def _same(grid: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two grids are the same but for rounding."""
    counts = all(grid[name] == other[name] for name in ("places", "frames"))
    near = 1e-9 * np.abs(np.asarray(grid["steps"]))  # relative to the distance of grid points
    return counts and all(
        bool(
            np.all(np.abs(np.subtract(grid[name], other[name])) <= near + 1e-9 * np.abs(grid[name]))
        )
        for name in ("first", "steps")
    )


def _parameters(problem: Problem, dataset: Dataset, wanted: str) -> dict[str, Any]:
    """Names, range, map, mean and deviation of the parameters that a surrogate sees, from the training part of the data."""
    if wanted not in ("auto", *MAPS):
        raise ValueError(f"parameter_map must be one of auto, {', '.join(MAPS)}, got {wanted!r}")
    training = dataset.splits["training"]
    parts = [training[k : k + BLOCK] for k in range(0, len(training), BLOCK)]
    values = np.concatenate([dataset.rows(part)["inputs"] for part in parts]).astype(np.float64)
    if values.ndim != 2:
        raise ValueError(
            f"{name_of(problem)}: a surrogate sees a vector of parameters, and inputs() gives shape {values.shape[1:]}; is it a "
            "family for a DeepONet?"
        )
    low, high = values.min(0), values.max(0)
    positive = low > 0
    if wanted not in ("auto", "identity") and not positive.all():
        raise ValueError(
            f"parameter_map={wanted!r} needs positive parameters, and the smallest are {low.tolist()}; choose identity"
        )
    names = ["log" if wide else "identity" for wide in positive & (high > 10 * low)]
    names = names if wanted == "auto" else [wanted] * len(names)
    mapped = np.stack([np.asarray(MAPS[name](values[:, k])) for k, name in enumerate(names)], 1)
    deviation = np.std(mapped, axis=0)
    rounded = lambda numbers: [float(f"{number:.6g}") for number in numbers]
    return {
        "names": names_of_parameters(problem),
        "low": rounded(low),
        "high": rounded(high),
        "maps": names,
        "mean": rounded(np.mean(mapped, axis=0)),
        "deviation": rounded(np.where(deviation > 1e-6 * np.abs(mapped).max(0), deviation, 1.0)),
    }


def names_of_parameters(problem: Problem) -> list[str]:
    """The coefficients that the parameters of a family are, ``inputs()``: those that change them."""
    names = [f"parameter {k}" for k in range(inputs_of(problem).size)]
    for name in leaves_of(problem):
        value = jnp.asarray(getattr(problem, name))
        if value.ndim == 0 and jnp.issubdtype(value.dtype, jnp.floating):
            slope = jax.jacfwd(
                lambda value, name=name: inputs_of(replace(problem, **{name: value}))
            )(value)
            for k in np.flatnonzero(slope):
                names[k] = name
    return names


def built_surrogate(
    problem: Problem, surrogate: SurrogateArchitecture, request: Mapping[str, Any]
) -> tuple[SurrogateModel, Params]:
    """The model of a request, and fresh parameters."""
    grid, seen = request["grid"], request["parameters"]
    sizes = (len(problem.unknowns), len(seen["names"]), tuple(grid["places"]))
    built = as_drawn(request, lambda key: surrogate.build(*sizes, key=key))
    arrays, frozen = eqx.partition(built, trainable(built))
    number = lambda values: jnp.asarray(values, jnp.result_type(float))
    model = SurrogateModel(
        cast(problem),
        frozen,
        number([request["centre"][name] for name in problem.unknowns]),
        number([request["scale"][name] for name in problem.unknowns]),
        cast(request["scales"]["terms"]),
        number(seen["mean"]),
        number(seen["deviation"]),
        jnp.asarray(1, jnp.int32),
        number(0.0),
        tuple(seen["maps"]),
        tuple(zip(grid["first"], grid["steps"], strict=True)),
        request["noise"],
        request["embedding"],
        request["physics"],
        request["curriculum"]["Curriculum"]["push_forward"],
        request["problem"],
    )
    return model, Params(cast(arrays), {})


_rolled = eqx.filter_jit(SurrogateModel.rollout)


def _monitor(
    problem: Problem, model: SurrogateModel, dataset: Dataset
) -> Callable[[Params], dict[str, float]]:
    """The error of whole rollouts over some trajectories for validation."""
    members = dataset.splits["validation"][:_MONITORED]
    rows = dataset.rows(members)
    truth = frames_of(problem, dataset, rows)
    frames, parameters = (jnp.asarray(x, jnp.result_type(float)) for x in (truth, rows["inputs"]))

    def measure(params: Params) -> dict[str, float]:
        predicted = _rolled(model, params, frames[:, 0], parameters, truth.shape[1] - 1)
        whole = np.concatenate([truth[:, :1], np.asarray(predicted)], 1)
        return {"rollout": float(np.mean(rollout_metrics(whole, truth)["nrmse"]))}

    return measure


@dataclass(frozen=True)
class TrainedSurrogate:
    """What `train_surrogate` returns. Immutable; evaluates in the precision that it was trained in."""

    family: Problem
    request: dict[str, Any]
    model: SurrogateModel
    params: Params
    history: list[Report]
    status: str
    compile_seconds: float = 0.0
    state: TrainState | None = None

    def rollout(
        self, first: Float[Any, "n *grid c"], parameters: Float[Any, "n p"], count: int
    ) -> Float[np.ndarray, "n t *grid c"]:
        """The first frames and ``count`` further ones that follow from them, each from the one before.

        Warns where parameters are outside the range of the training. **Raises** ValueError for a wrong number of channels,
        places or parameters, and for values that are not finite.
        """
        first, parameters = np.asarray(first), np.asarray(parameters)
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"count must be a whole number of frames of at least 1, got {count!r}")
        self._check(first, parameters)
        with jax.enable_x64(self.request["dtype"] == "float64"):
            at = lambda x: jnp.asarray(x, jnp.result_type(float))
            out = np.asarray(_rolled(self.model, self.params, at(first), at(parameters), count))
        return np.concatenate([first[:, None], out], 1)

    def _check(self, first: np.ndarray, parameters: np.ndarray) -> None:
        grid, seen = self.request["grid"], self.request["parameters"]
        channels = len(self.family.unknowns)
        if first.ndim != len(grid["places"]) + 2:
            raise ValueError(f"first frames have shape (n, *grid, {channels}), got {first.shape}")
        if first.shape[-1] != channels:
            raise ValueError(
                f"first frames need {channels} channels ({', '.join(self.family.unknowns)}), got {first.shape[-1]} in shape "
                f"{first.shape}"
            )
        if first.shape[1:-1] != tuple(grid["places"]):
            raise ValueError(
                f"the surrogate was trained on a grid of {tuple(grid['places'])}, got frames of {first.shape[1:-1]}"
            )
        if not np.isfinite(first).all():
            raise ValueError("first frames must be finite; one has a NaN or infinite value")
        if parameters.shape != (len(first), len(seen["names"])):
            raise ValueError(
                f"parameters need shape ({len(first)}, {len(seen['names'])}), {', '.join(seen['names'])} of each trajectory, got "
                f"{parameters.shape}"
            )
        if not np.isfinite(parameters).all():
            raise ValueError("parameters must be finite; one is a NaN or infinite")
        for k, name in enumerate(seen["names"]):
            low, high, slack = (
                seen["low"][k],
                seen["high"][k],
                1e-5 * max(abs(seen["low"][k]), abs(seen["high"][k])),
            )
            if seen["maps"][k] != "identity" and not (parameters[:, k] > 0).all():
                raise ValueError(
                    f"{name} must be positive, as the surrogate sees its {seen['maps'][k]}"
                )
            outside = np.unique(
                parameters[(parameters[:, k] < low - slack) | (parameters[:, k] > high + slack), k]
            )
            if outside.size:
                values = ", ".join(f"{value:.4g}" for value in outside[:5])
                warnings.warn(
                    f"{name} = {values} is outside the trained range, {low:g} to {high:g}",
                    stacklevel=3,
                )

    def predicted(
        self, data: "Dataset | str | Path", part: str | None = "test"
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The rollouts of a part of a data set (None: of all of it), the truth and the parameters of each.

        **Raises** ValueError where the training has seen it, and for another grid.
        """
        dataset = Dataset(data) if isinstance(data, str | Path) else data
        held = dataset.attributes["settings"]["problem"]
        if held != self.request["problem"]:
            raise ValueError(
                f"{dataset.path} holds data of {held}, and the surrogate is of {self.request['problem']}"
            )
        members = range(dataset.count) if part is None else dataset.splits[part]
        origin, seen = self.request["data_members"]
        if origin == dataset.origin and members.start < seen:
            raise ValueError(
                f"{dataset.path}: the training has seen members of this part; choose the test part, or another seed"
            )
        rows = dataset.rows(members)
        truth = frames_of(self.family, dataset, rows)
        grid = grid_of(self.family, dataset)
        if not _same(grid, self.request["grid"]):
            raise ValueError(
                f"{dataset.path} has the grid {grid}, and the surrogate is for {self.request['grid']}; refined(2) is for twice "
                "as many places"
            )
        return self.rollout(truth[:, 0], rows["inputs"], truth.shape[1] - 1), truth, rows["inputs"]

    def errors(
        self, data: "Dataset | str | Path", part: str | None = "test"
    ) -> dict[str, dict[str, float]]:
        """`pinops.metrics.rollout_metrics` of whole rollouts, means over the trajectories of each value of the parameters.

        ``{"viscosity=0.02": {"nrmse": ..., ...}, ...}``, where there are no more than 32 values, and "all" of them.
        """
        predicted, truth, parameters = self.predicted(data, part)
        metrics = rollout_metrics(predicted, truth)
        names = self.request["parameters"]["names"]
        groups: dict[str, Any] = {"all": np.ones(len(truth), bool)}
        values = np.unique(parameters, axis=0)
        for row in values if len(values) <= _VALUES else []:
            label = ", ".join(f"{name}={value:.6g}" for name, value in zip(names, row, strict=True))
            groups[label] = (parameters == row).all(1)
        return {
            label: {name: float(np.mean(m[chosen])) for name, m in metrics.items()}
            for label, chosen in groups.items()
        }

    def residual(self, frames: Float[Any, "t *grid c"], member: Problem) -> float:
        """The root mean square of a member's equation at a trajectory: how wrong it is where no truth is known.

        **Raises** ValueError where space is not periodic.
        """
        check_periodic(member, self.request["grid"])
        with jax.enable_x64(True):
            vectors = grid_residuals(
                member, jnp.asarray(frames), self.model.grid, owner=name_of(member)
            )
            return float(jnp.sqrt(sum(jnp.mean(jnp.square(v)) for v in vectors.values())))

    def refined(self, times: int) -> "TrainedSurrogate":
        """The same surrogate on ``times`` as many places along every axis.

        An FNO is an operator between functions, and hardly notices. Convolutions over neighbours (a U-Net's, message passing and
        those of CAPE) reach less far there than in the training: `errors` of data on such a grid tells what that costs.

        **Raises** ValueError for a surrogate with numbers of its own for every place, ``CAPE(norm="spatial")``.
        """
        if not isinstance(times, int) or times < 1:
            raise ValueError(f"times must be a whole number of at least 1, got {times!r}")
        surrogate = self.model.surrogate(self.params)
        if isinstance(surrogate, CAPESurrogate) and surrogate.embedding.norm == "spatial":
            raise ValueError(
                "norm='spatial' has a scale for every place of one grid; train with norm='channel' or 'none'"
            )
        grid, at = (
            self.request["grid"],
            [c != self.family.domain.time for c in self.family.domain.coordinates],
        )
        low = [self.family.domain.bounds[c][0] for c in self.family.domain.coordinates]
        steps = [
            step / times if space else step for step, space in zip(grid["steps"], at, strict=True)
        ]
        # Places that are in the middle of their cells stay so.
        first = [
            b + (f - b) * new / old
            for f, b, new, old in zip(grid["first"], low, steps, grid["steps"], strict=True)
        ]
        finer = grid | {
            "first": first,
            "steps": steps,
            "places": [times * n for n in grid["places"]],
        }
        model = replace(self.model, grid=tuple(zip(first, steps, strict=True)))
        return replace(self, request=self.request | {"grid": finer}, model=model, state=None)

    def finetuned(
        self,
        first: Float[Any, "n *grid c"],
        members: Sequence[Problem],
        count: int,
        *,
        steps: int = 100,
        learning_rate: float = 1e-3,
        anchor: float = 1.0,
    ) -> "TrainedSurrogate":
        """A surrogate for these trajectories alone, from their equations: no truth is needed.

        As physics-informed neural operators at test time (Li et al. 2024, arXiv:2111.03794, section 3.2): Adam, its learning rate
        falling to zero by a cosine, lowers the mean square residual of the ``members`` at the rollouts of ``count`` frames from
        ``first``, in units of what it is before, plus ``anchor`` times the mean square distance to the rollouts before, relative
        to these. The equation cannot tell what frames are too far apart to show: see whether the `residual` of a true trajectory
        is far below that of a prediction, and the error may grow where it is not.

        **Raises** ValueError for wrong shapes, members of another family, and where space is not periodic.
        """
        for name, value, least in (("learning_rate", learning_rate, 0), ("anchor", anchor, -1)):
            if not least < value < float("inf"):
                raise ValueError(
                    f"{name} must be finite and {'zero or more' if least else 'greater than zero'}, got {value}"
                )
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be a whole number of at least 1, got {steps!r}")
        if not members:
            raise ValueError(
                "members must be the problems of the trajectories, one for each of the first frames, got none"
            )
        for member in members:
            if type(member) is not type(self.family):
                raise ValueError(
                    f"this surrogate is of {type(self.family).__name__}, not of {type(member).__name__}"
                )
            check_periodic(member, self.request["grid"])
        with jax.enable_x64(self.request["dtype"] == "float64"):
            parameters = np.stack([np.asarray(inputs_of(member)) for member in members])
            before = jnp.asarray(
                self.rollout(first, parameters, count)[:, 1:], jnp.result_type(float)
            )
            stacked = jax.tree.map(
                lambda *leaves: jnp.stack(leaves), *[cast(member) for member in members]
            )
            at = (
                jnp.asarray(first, jnp.result_type(float)),
                jnp.asarray(parameters, jnp.result_type(float)),
            )
            descent: Any = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

            def square(params: Params) -> tuple[Array, Array]:
                rolled = self.model.rollout(params, *at, count)
                whole = jnp.concatenate([at[0][:, None], rolled], 1)
                of = lambda problem, frames: grid_residuals(
                    problem,
                    frames,
                    self.model.grid,
                    owner=self.model.owner,
                    sizes=self.model.sizes,
                )
                vectors = eqx.filter_vmap(of)(stacked, whole)
                # Each unknown in its own units.
                far, size = (
                    jnp.mean(jnp.square(x / jnp.broadcast_to(self.model.scale, x.shape)))
                    for x in (rolled - before, before)
                )
                moved = far / size
                return sum(
                    (jnp.mean(jnp.square(v)) for v in vectors.values()), start=jnp.zeros(())
                ), moved

            unit = jax.jit(square)(self.params)[0]

            @jax.jit
            def step(params: Params, state: Any) -> tuple[Params, Any, Array]:
                def loss(params: Params) -> Array:
                    residual, moved = square(params)
                    return residual / unit + anchor * moved

                value, gradient = jax.value_and_grad(loss)(params)
                updates, state = descent.update(gradient, state)
                return eqx.apply_updates(params, updates), state, value

            params, state, value = self.params, descent.init(self.params), unit
            for _ in range(steps):
                new, state, value = step(params, state)
                if not np.isfinite(value):
                    break
                params = new
        return replace(
            self,
            params=params,
            state=None,
            status="finetuned" if np.isfinite(value) else "diverged",
        )

    def plot(self, path: str | Path | None = None) -> Any:
        """A figure of rollouts of new members beside their references, and of the training; written to ``path`` where given."""
        from pinops.plotting import plot_rollouts

        with jax.enable_x64(True):
            members = unstacked(sample_members(self.family, jax.random.key(_SHOWN), range(64)), 64)
            parameters = np.stack([np.asarray(inputs_of(member)) for member in members])
        _, firsts = np.unique(
            parameters, axis=0, return_index=True
        )  # of five values, from the smallest to the largest
        chosen = firsts[np.unique(np.linspace(0, len(firsts) - 1, 5).round().astype(int))]
        members, parameters = [members[k] for k in chosen], parameters[chosen]
        references = [member.reference() for member in members]
        if any(reference is None for reference in references):
            raise ValueError(
                f"{self.request['problem']} has no reference to show; give the family one"
            )
        rows = {
            f"values/{name}": np.stack([r.values[name] for r in references if r])
            for name in self.family.unknowns
        }
        truth = as_frames(self.family, rows)
        predicted = self.rollout(truth[:, 0], parameters, truth.shape[1] - 1)
        names = self.request["parameters"]["names"]
        label = lambda row: ", ".join(
            f"{name} {value:g}" for name, value in zip(names, row, strict=True)
        )
        return plot_rollouts(self, predicted, truth, [label(row) for row in parameters], path)

    def summary(self, data: "Dataset | str | Path | None" = None) -> dict[str, Any]:
        """What a run was and what came out, on the test part of a data set where one is given.

        The contents of ``run.json`` and of ``--json``.
        """
        return {
            "problem": self.request["problem"],
            "rollout": {} if data is None else self.errors(data),
            **training_summary(
                self.request,
                self.history,
                self.compile_seconds,
                count_parameters(self.params),
                self.status,
            ),
        }

    def save(self, folder: str | Path, data: "Dataset | None" = None) -> Path:
        """Write a run directory: ``run.json, history.h5, checkpoint/``. Loading it executes no code.

        ``data``: what the summary in it is made from.

        **Raises** OSError when it cannot be written.
        """
        folder = Path(folder)
        if self.state is not None or not (folder / CHECKPOINT).exists():
            save_checkpoint(
                folder / CHECKPOINT, self.state or self.params, self.history, self.request
            )
        write_arrays(folder / "history.h5", "history", history_arrays(self.history))
        write_run(folder, self.request, self.summary(data))
        return folder
