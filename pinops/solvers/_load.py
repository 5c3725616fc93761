"""Run directories read again. No code from them is executed."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pinops.data import DataFileError, read_run
from pinops.networks import Architecture, embedding_of
from pinops.operators import OperatorArchitecture
from pinops.problem import Problem, TimeWindows, difference, holder, impose, in_window
from pinops.solvers._rebuild import architecture_of, check_fits, problem_of, rebuilding
from pinops.solvers._runs import as_drawn
from pinops.solvers._solution import CHECKPOINT, Solution
from pinops.solvers._train_operator import TrainedOperator, built_operator
from pinops.solvers._train_surrogate import TrainedSurrogate, built_surrogate
from pinops.solvers._windows import WindowedSolution, window_of
from pinops.training import Params, load_params, split

_HANDED = 10_000_000  # numbers that a window hands to the next


def load(
    folder: str | Path,
    *,
    problem: Problem | None = None,
    network: Any = None,
    changed: bool = False,
) -> Any:
    """The solution (or the trained operator or surrogate) in a run directory. Executes no code from it.

    Args:
        folder: the run directory.
        problem: that of the run; needed only where it was not a registered one.
        network: that of the run; needed only where it was not one of our own architectures.
        changed: whether problem and network may differ from those of the run.

    Raises:
        FileNotFoundError: for a folder that holds no run.
        DataFileError: (a ValueError) for one that is damaged or not as written by pinops.
        ValueError: for another problem or network, with the first thing that differs.
    """
    folder = Path(folder)
    content = read_run(folder)
    with rebuilding(folder):
        return _loaded(folder, content, problem, network, changed)


def _loaded(
    folder: Path, content: dict[str, Any], problem: Problem | None, network: Any, changed: bool
) -> Any:
    request = content["request"]
    with jax.enable_x64(request["dtype"] == "float64"):
        problem = problem_of(folder, request, problem, changed)
        if "windows" in request:
            return _load_windows(folder, request, problem, network)
        if "operator" in request or "surrogate" in request:
            return _load_trained(folder, content, problem, network, changed)
        return _load_solution(folder, content, problem, network, changed)


def _load_solution(
    folder: Path, content: dict[str, Any], problem: Problem, network: Any, changed: bool
) -> Solution:
    request, count = content["request"], len(problem.unknowns)
    network = architecture_of(request["network"], folder, network, changed)
    imposition = impose(problem)
    embedding = embedding_of(problem, imposition, network)
    built = network
    if isinstance(network, Architecture):

        def build(key: Any) -> Any:
            return network.build(embedding.size, count, key=key)

        check_fits(build, folder / CHECKPOINT, request)
        built = as_drawn(request, build)
    elif isinstance(network, OperatorArchitecture):
        raise ValueError(
            f"the network of the run in {folder} is that of an operator for one problem, which is not kept with it; give it "
            "again, load(..., network=trained(member).network)"
        )
    centre, spread = request.get("units") or ([0.0] * count, [1.0] * count)
    if len(centre) != count or len(spread) != count:
        raise DataFileError(
            f"{folder}: run.json has units for {len(centre)} and {len(spread)} unknowns, "
            f"and {request['problem'][:40]} has {count}; restore a copy"
        )
    units = (np.asarray(centre), np.asarray(spread))
    model, params = split(problem, built, imposition, units, request["problem"])
    coefficients = {name for name in vars(holder(problem))}
    for name in request["trainable"]:
        if name not in coefficients:
            raise DataFileError(
                f"{folder}: run.json has the trainable coefficient {name[:40]!r}, "
                f"which {request['problem'][:40]} does not have; restore a copy"
            )
    # Observations are not kept: the coefficients that were to be found from them are trainable all the same.
    shifts = {
        name: jnp.zeros(np.shape(getattr(holder(problem), name))) for name in request["trainable"]
    }
    params, history = load_params(folder / CHECKPOINT, Params(params.network, shifts), request)
    return Solution(problem, request, model, params, history, *_outcome(content))


def _outcome(content: dict[str, Any]) -> tuple[str, float]:
    """Status and time of compilation."""
    result = content["result"] or {"status": "unfinished", "compile_seconds": 0.0}
    return result["status"], result["compile_seconds"]


def _load_windows(
    folder: Path, request: dict[str, Any], problem: Problem, network: Any
) -> WindowedSolution:
    windows = TimeWindows(**request["windows"])
    if windows.nodes ** max(1, len(problem.domain.space)) > _HANDED:
        raise DataFileError(
            f"{folder}: run.json has windows.nodes = {windows.nodes}, more than {_HANDED} numbers "
            "for each window; restore a copy"
        )
    parts: list[Solution] = []
    while len(parts) < windows.count:
        inner = folder / f"window_{len(parts)}"
        if not (inner / "run.json").exists():
            break
        window = window_of(problem, windows, len(parts), parts[-1] if parts else None)
        content = read_run(inner)
        own = content["request"]
        # What a window begins with follows from those before it: only the whole is compared.
        if "fingerprint" in own and "fingerprint" in request:
            words = difference(own["fingerprint"], in_window(request["fingerprint"], window))
            if words is not None:
                raise DataFileError(f"{inner} is no part of the run in {folder}: {words}")
        if "network" not in own or "windows" in own:
            raise DataFileError(f"{inner} is no part of the run in {folder}; restore a copy")
        parts.append(_load_solution(inner, content, window, network, False))
    if not parts:
        raise DataFileError(f"{folder} is incomplete: there is no window_0; restore a copy")
    return WindowedSolution(problem, request, tuple(parts))


def _load_trained(
    folder: Path, content: dict[str, Any], problem: Problem, architecture: Any, changed: bool
) -> Any:
    """An operator or a surrogate: what was trained on a family."""
    request = content["request"]
    kind = "operator" if "operator" in request else "surrogate"
    fresh: Any = built_operator if kind == "operator" else built_surrogate
    trained: Any = TrainedOperator if kind == "operator" else TrainedSurrogate
    architecture = architecture_of(request[kind], folder, architecture, changed)
    _check_sizes(folder, request, problem)
    count = len(problem.unknowns)

    def build(key: Any) -> Any:
        if kind == "surrogate":
            sizes = (len(request["parameters"]["names"]), tuple(request["grid"]["places"]))
            return architecture.build(count, *sizes, key=key)
        inputs = (np.asarray(request["inputs"][name]) for name in ("mean", "deviation"))
        return architecture.build(*inputs, features, count, key=key)

    features = embedding_of(problem, impose(problem)).size
    check_fits(build, folder / CHECKPOINT, request)
    # Only the shape: what the inputs were divided by is kept with the parameters.
    model, params = fresh(problem, architecture, request)
    params, history = load_params(folder / CHECKPOINT, params, request)
    return trained(problem, request, model, params, history, *_outcome(content))


def _check_sizes(folder: Path, request: dict[str, Any], problem: Problem) -> None:
    """Raises DataFileError where the lists of a request do not have the lengths that belong together."""
    wrong = None
    if set(request["scale"]) != set(problem.unknowns):
        wrong = f"scale is not for the unknowns {', '.join(problem.unknowns)}"
    if "inputs" in request:
        mean, deviation = (np.shape(request["inputs"][name]) for name in ("mean", "deviation"))
        if mean != deviation:
            wrong = f"inputs.mean has the shape {mean} and inputs.deviation {deviation}"
    if "grid" in request:
        grid, seen = request["grid"], request["parameters"]
        axes = len(problem.domain.coordinates)
        if {len(grid["first"]), len(grid["steps"]), len(grid["places"]) + 1} != {axes}:
            wrong = f"grid is not for {axes} coordinates"
        if len({len(values) for values in seen.values()}) > 1:
            wrong = "the lists of parameters are not of one length"
    if wrong is not None:
        raise DataFileError(f"{folder}: run.json: {wrong}; restore a copy")
