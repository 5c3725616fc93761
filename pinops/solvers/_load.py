"""Run directories read again. No code from them is executed."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pinops import networks, operators
from pinops.networks import Architecture, Convolutional, activations, embedding_of
from pinops.operators import GridArchitecture, OperatorArchitecture, SurrogateArchitecture
from pinops.problem import Problem, TimeWindows, holder, impose, load_problem
from pinops.solvers._runs import as_drawn
from pinops.solvers._solution import CHECKPOINT, Solution
from pinops.solvers._train_operator import TrainedOperator, built_operator
from pinops.solvers._train_surrogate import TrainedSurrogate, built_surrogate
from pinops.solvers._windows import WindowedSolution, window_of
from pinops.training import Params, load_params, split

_ARCHITECTURES = (
    Architecture,
    Convolutional,
    OperatorArchitecture,
    GridArchitecture,
    SurrogateArchitecture,
)


def load(folder: str | Path, *, problem: Problem | None = None, network: Any = None) -> Any:
    """The solution (or the trained operator or surrogate) in a run directory. Executes no code from it.

    ``problem`` and ``network`` are needed only where they were not a registered name and one of our own architectures.

    **Raises** FileNotFoundError or DataFileError (a ValueError) for a folder that holds no readable run.
    """
    folder = Path(folder)
    request = read_run(folder)["request"]
    if "windows" in request:
        return _load_windows(folder, request, problem, network)
    if "operator" in request or "surrogate" in request:
        return _load_trained(folder, request, problem, network)
    result = read_run(folder).get("result") or {}
    with jax.enable_x64(request["dtype"] == "float64"):
        problem = _problem_of(folder, request) if problem is None else problem
        if network is None:
            network = _architecture(request["network"], folder)
        imposition = impose(problem)
        embedding = embedding_of(problem, imposition, network)
        built = network
        if isinstance(network, Architecture):
            built = as_drawn(
                request, lambda key: network.build(embedding.size, len(problem.unknowns), key=key)
            )
        elif isinstance(network, OperatorArchitecture):
            raise ValueError(
                f"the network of the run in {folder} is that of an operator for one problem, which is not kept with it; give it "
                "again, load(..., network=trained(member).network)"
            )
        count = len(problem.unknowns)
        centre, spread = request.get("units") or (
            [0.0] * count,
            [1.0] * count,
        )  # runs of before have none
        model, params = split(
            problem, built, imposition, (np.asarray(centre), np.asarray(spread)), request["problem"]
        )
        # Observations are not kept: the coefficients that were to be found from them are trainable all the same.
        shifts = {
            name: jnp.zeros(np.shape(getattr(holder(problem), name)))
            for name in request["trainable"]
        }
        params, history = load_params(folder / CHECKPOINT, Params(params.network, shifts), request)
    status, compiling = result.get("status", "unfinished"), result.get("compile_seconds", 0.0)
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


def _load_trained(
    folder: Path, request: dict[str, Any], problem: Problem | None, architecture: Any
) -> Any:
    """An operator or a surrogate: what was trained on a family."""
    kind = "operator" if "operator" in request else "surrogate"
    build: Any = built_operator if kind == "operator" else built_surrogate
    trained: Any = TrainedOperator if kind == "operator" else TrainedSurrogate
    with jax.enable_x64(request["dtype"] == "float64"):
        problem = _problem_of(folder, request) if problem is None else problem
        architecture = (
            _architecture(request[kind], folder) if architecture is None else architecture
        )
        # Only the shape: what the inputs were divided by is kept with the parameters.
        model, params = build(problem, architecture, request)
        params, history = load_params(folder / CHECKPOINT, params, request)
    result = read_run(folder).get("result") or {}
    status, compiling = result.get("status", "unfinished"), result.get("compile_seconds", 0.0)
    return trained(problem, request, model, params, history, status, compiling)


def _architecture(description: Any, folder: Path) -> Any:
    """One of our own architectures, of a network or an operator, from its description. Raises ValueError for any other."""
    if isinstance(description, dict) and len(description) == 1:
        ((name, content),) = description.items()
        known = name.isidentifier() and not name.startswith("From")
        cls = getattr(networks, name, None) or getattr(operators, name, None) if known else None
        if isinstance(cls, type) and issubclass(cls, _ARCHITECTURES):
            return cls(**{name: _setting(name, value, folder) for name, value in content.items()})
    raise ValueError(
        f"the network of the run in {folder} is not one of pinops; give the same one again, load(..., network=...)"
    )


def _setting(name: str, value: Any, folder: Path) -> Any:
    """A setting of an architecture from its description: a number, an activation, several numbers, or an architecture."""
    if name == "activation":
        if value not in activations:
            raise ValueError(
                f"the activation {value} of the run in {folder} is not one of {', '.join(activations)}; give the network again, "
                "load(..., network=...)"
            )
        return activations[value]
    if isinstance(value, list):
        return tuple(value)
    return _architecture(value, folder) if isinstance(value, dict) else value
