"""Run directories read again. No code from them is executed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pinops.networks import Architecture, EncoderArchitecture, embedding_of
from pinops.operators import GridArchitecture, OperatorArchitecture, SurrogateArchitecture
from pinops.problem import Problem, Scales, TimeWindows, holder, impose, load_problem
from pinops.settings import from_description
from pinops.solvers._allowed import allowed
from pinops.solvers._ensemble import Ensemble
from pinops.solvers._operator_plan import built_operator
from pinops.solvers._request import as_drawn
from pinops.solvers._run_file import read_run
from pinops.solvers._solution import Solution
from pinops.solvers._surrogate_plan import built_surrogate
from pinops.solvers._trained import CHECKPOINT, Trained
from pinops.solvers._trained_operator import TrainedOperator
from pinops.solvers._trained_surrogate import TrainedSurrogate
from pinops.solvers._windows import WindowedSolution, window_of
from pinops.training import Params, load_params, split

_ARCHITECTURES = (
    Architecture,
    EncoderArchitecture,
    OperatorArchitecture,
    GridArchitecture,
    SurrogateArchitecture,
)


def load(folder: str | Path, *, problem: Problem | None = None, network: Any = None) -> Any:
    """What was trained in a run directory: a solution, an operator, a surrogate, windows or an ensemble.

    Executes no code from it.

    Args:
        folder: The run directory.
        problem: Only needed where it was not registered under a name.
        network: The network or architecture; only needed where it was not one of pinops.

    Raises:
        FileNotFoundError: Where there is no run.
        DataFileError: A ValueError, for a run that cannot be read.
    """
    folder = Path(folder)
    request = read_run(folder)["request"]
    if "ensemble" in request:
        seeds = request["ensemble"]
        folders = [folder / f"seed_{seed}" for seed in seeds]
        members = [load(one, problem=problem, network=network) for one in folders]
        return Ensemble(tuple(members))
    if "windows" in request:
        return _load_windows(folder, request, problem, network)
    if "operator" in request or "surrogate" in request:
        return _load_family(folder, request, problem, network)
    return _load_solution(folder, request, problem, network)


def _result(folder: Path) -> tuple[str, float]:
    """The status and the seconds of compilation of a run."""
    result: Mapping[str, Any] = read_run(folder).get("result") or {}
    return result.get("status", "unfinished"), result.get("compile_seconds", 0.0)


def _load_solution(
    folder: Path, request: dict[str, Any], problem: Problem | None, network: Any
) -> Solution:
    with jax.enable_x64(request["dtype"] == "float64"):
        problem = _problem_of(folder, request) if problem is None else problem
        if network is None:
            network = _architecture(request["network"], folder)
        imposition = impose(problem)
        embedding = embedding_of(problem, imposition, network)
        built = network
        if isinstance(network, Architecture):

            def build(key: Array) -> Any:
                return network.build(embedding.size, len(problem.unknowns), key=key)

            built = as_drawn(request, build)
        elif isinstance(network, OperatorArchitecture):
            raise ValueError(
                f"the network of the run in {folder} is that of an operator for one problem, which is not kept with it; give it "
                "again, load(..., network=trained(member).network)"
            )
        scales = Scales.from_json(request["scales"])
        model, params = split(problem, built, imposition, scales, request["problem"])
        # Observations are not kept: the coefficients that were to be found from them are trainable all the same.
        shifts = {
            name: jnp.zeros(np.shape(getattr(holder(problem), name)))
            for name in request["trainable"]
        }
        params, history = load_params(folder / CHECKPOINT, Params(params.network, shifts), request)
    status, compiling = _result(folder)
    return Solution(problem, request, model, params, history, status, compiling)


def _problem_of(folder: Path, request: dict[str, Any]) -> Problem:
    # JSON has no tuples; a static coefficient must be hashable.
    coefficients = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in request["coefficients"].items()
    }
    try:
        return load_problem(request["problem"], **coefficients)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"the problem of the run in {folder} must be given, load(..., problem=...): {error}"
        ) from error


def _load_windows(
    folder: Path, request: dict[str, Any], problem: Problem | None, network: Any
) -> WindowedSolution:
    problem = _problem_of(folder, request) if problem is None else problem
    windows = TimeWindows(**request["windows"])
    parts: list[Solution] = []
    while len(parts) < windows.count and (folder / f"window_{len(parts)}" / "run.json").exists():
        window = window_of(problem, windows, len(parts), parts[-1] if parts else None)
        part = load(folder / f"window_{len(parts)}", problem=window, network=network)
        assert isinstance(part, Solution)
        parts.append(part)
    return WindowedSolution(problem, request, tuple(parts))


def _load_family(
    folder: Path, request: dict[str, Any], problem: Problem | None, architecture: Any
) -> Trained:
    """An operator or a surrogate: what was trained on a family."""
    kind = "operator" if "operator" in request else "surrogate"
    build: Any = built_operator if kind == "operator" else built_surrogate
    make: Any = TrainedOperator if kind == "operator" else TrainedSurrogate
    with jax.enable_x64(request["dtype"] == "float64"):
        problem = _problem_of(folder, request) if problem is None else problem
        if architecture is None:
            architecture = _architecture(request[kind], folder)
        model, params = build(problem, architecture, request)
        params, history = load_params(folder / CHECKPOINT, params, request)
    status, compiling = _result(folder)
    return make(problem, request, model, params, history, status, compiling)


def _architecture(description: Any, folder: Path) -> Any:
    """One of our own architectures from its description. Raises ValueError for any other."""
    try:
        return from_description(description, allowed(*_ARCHITECTURES))
    except ValueError as error:
        raise ValueError(
            f"the network of the run in {folder} cannot be made again ({error}); give the same one, "
            "load(..., network=...)"
        ) from error
