"""Run directories and files of weights read again. No code from them is executed."""

import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pinops.data import DataFileError, read_run
from pinops.networks import Architecture, embedding_of, is_plain, placed
from pinops.operators import (
    Direct,
    GridArchitecture,
    OperatorArchitecture,
    PointArchitecture,
    SurrogateArchitecture,
)
from pinops.problem import (
    DataFamily,
    Problem,
    Scales,
    TimeWindows,
    difference,
    holder,
    impose,
    in_window,
    shapes_of,
)
from pinops.solvers._ensemble import Ensemble, Several
from pinops.solvers._hypernetwork_plan import load_hypernetwork
from pinops.solvers._map_plan import built_map
from pinops.solvers._mmgp_plan import load_mmgp
from pinops.solvers._operator_plan import built_operator, operator_drawing
from pinops.solvers._point_plan import built_point_map
from pinops.solvers._point_step_plan import built_point_steps, step_network
from pinops.solvers._rebuild import (
    ARCHITECTURES,
    architecture_of,
    of_another_kind,
    problem_of,
    rebuilding,
)
from pinops.solvers._request import Drawing, as_drawn
from pinops.solvers._solution import Solution
from pinops.solvers._stored import RunFolder, Stored, of_stored, stored_at
from pinops.solvers._surrogate_plan import built_surrogate, surrogate_sizes
from pinops.solvers._trained import Trained
from pinops.solvers._trained_map import TrainedMap
from pinops.solvers._trained_multifidelity import HIGH, LOW, TrainedMultiFidelity
from pinops.solvers._trained_operator import TrainedOperator
from pinops.solvers._trained_point_map import TrainedPointMap
from pinops.solvers._trained_point_surrogate import TrainedPointSurrogate
from pinops.solvers._trained_surrogate import TrainedSurrogate
from pinops.solvers._trained_uncertain import TrainedUncertain
from pinops.solvers._windows import WindowedSolution, window_of
from pinops.training import (
    MapInputs,
    Params,
    PointInputs,
    difference_of_problems,
    numbers_of,
    split,
)

# Keys of a request.
_KINDS = ("windows", "operator", "surrogate", "map", "point_map", "mmgp", "hypernetwork")
_HANDED = 10_000_000  # numbers that a window hands to the next


def load(
    path: str | Path,
    *,
    problem: Problem | None = None,
    network: Any = None,
    changed: bool = False,
) -> Any:
    """Read a training: whatever `solve`, `invert` or `train` returned.

    No code from its files is executed.

    Args:
        path: The run directory, or a ``.safetensors`` file with its description ``FILE.json`` (see
            `Trained.export`), which holds the end of the history alone.
        problem: That of the run; only needed where it was not registered under a name.
        network: The network or architecture of the run; only needed where it was not one of pinops.
        changed: Whether problem and network may differ from those of the run.

    Raises:
        FileNotFoundError: Where there is no run.
        DataFileError: A ValueError, for a run that is damaged or not as pinops writes it.
        ValueError: For another problem or network than that of the run; the sentence names the
            first difference. For a file that holds a program.
    """
    path = Path(path)
    stored = stored_at(path)
    request = stored.request
    with rebuilding(path), jax.enable_x64(request["dtype"] == "float64"):
        problem = problem_of(path, request, problem, changed)
        if "multi_fidelity" in request:
            return _load_two_levels(path, request, problem, network, changed)
        if "ensemble" in request:
            return _load_ensemble(path, request, problem, network, changed)
        return _load_one(stored, problem, network, changed)


def _load_one(stored: Stored, problem: Problem, network: Any, changed: bool) -> Trained:
    """What one training has left; the precision of the run is in force."""
    request = stored.request
    if "windows" in request:
        return _load_windows(stored.where, request, problem, network, changed)
    if "map" in request:
        return _load_map(stored, problem, network, changed)
    if "surrogate" in request and "points" in request:
        return _load_point_surrogate(stored, problem, network, changed)
    if "operator" in request or "surrogate" in request:
        return _load_family(stored, problem, network, changed)
    if "point_map" in request:
        return _load_point_map(stored, problem, network, changed)
    if "mmgp" in request:
        return load_mmgp(stored, problem, network, changed)
    if "hypernetwork" in request:
        return load_hypernetwork(stored, problem, network, changed)
    return _load_solution(stored, problem, network, changed)


def _load_ensemble(
    folder: Path, request: dict[str, Any], problem: Problem, network: Any, changed: bool
) -> Several:
    seeds = request["ensemble"]
    if len(set(seeds)) < len(seeds):
        raise DataFileError(f"{folder}: run.json has the same seed twice; restore a copy")
    members = []
    for seed in seeds:
        inner = RunFolder(folder / f"seed_{seed}")
        own = inner.request
        pairs = [(own.get(name), request.get(name)) for name in ("problem", "dtype", "uncertain")]
        same = [one == other for one, other in pairs]
        kinds = [name for name in _KINDS if name in own]
        wanted = [name for name in _KINDS if name in request]
        if "ensemble" in own or own["seed"] != seed or not all(same) or kinds != wanted:
            raise DataFileError(
                f"{inner.where} is no member of the run in {folder}; restore a copy"
            )
        words = difference_of_problems(request, own)
        if words is not None:
            raise DataFileError(f"{inner.where} is no member of the run in {folder}: {words}")
        members.append(_load_one(inner, problem, network, changed))
    if "uncertain" in request:
        return TrainedUncertain.read(members, folder)
    return Ensemble(tuple(members))


def _load_two_levels(
    folder: Path, request: dict[str, Any], problem: Any, network: Any, changed: bool
) -> TrainedMultiFidelity:
    low = None
    if request["multi_fidelity"]["low"] == "trained":
        low = load(folder / LOW, network=network, changed=changed)
    high = load(folder / HIGH, network=network, changed=changed)
    return TrainedMultiFidelity(low=low, high=high, family=problem, request=request)


def _load_solution(stored: Stored, problem: Problem, network: Any, changed: bool) -> Solution:
    folder, request, owner = stored.where, stored.request, stored.request["problem"]
    network = architecture_of(request["network"], folder, network, changed)
    imposition = impose(problem, request.get("exact", True), is_plain(network))
    embedding = embedding_of(problem, imposition, network)
    built = network
    if isinstance(network, Architecture):
        known = placed(network, problem.domain.coordinates, embedding)
        build = Drawing(known, (embedding.size, len(problem.unknowns)))
        stored.check(build)
        built = as_drawn(request, build)
    elif isinstance(network, OperatorArchitecture):
        raise ValueError(
            f"the network of the run in {folder} was made by an operator and is not kept with it; "
            "give it again, load(..., network=trained(member).network)"
        )
    _check_scales(folder, request, problem)
    scales = Scales.from_json(request["scales"])
    model, params = split(problem, built, imposition, scales, owner)
    known = vars(holder(problem))
    for name in request["trainable"]:
        if name not in known:
            raise DataFileError(
                f"{folder}: run.json has the trainable coefficient {name[:40]!r}, which "
                f"{owner[:40]} does not have; restore a copy"
            )
    # Observations are not kept, but the coefficients found from them remain trainable.
    shifts = {name: jnp.zeros(np.shape(known[name])) for name in request["trainable"]}
    params, history = stored.params(Params(params.network, shifts))
    return Solution(
        problem=problem,
        request=request,
        **of_stored(model, params, history, stored.content),
    )


def _load_windows(
    folder: Path, request: dict[str, Any], problem: Problem, network: Any, changed: bool
) -> WindowedSolution:
    windows = TimeWindows(**request["windows"])
    if windows.nodes ** max(1, len(problem.domain.space)) > _HANDED:
        raise DataFileError(
            f"{folder}: run.json has windows.nodes = {windows.nodes}, more than {_HANDED} numbers "
            "for each window; restore a copy"
        )
    parts: list[Solution] = []
    low, high = problem.domain.bounds[problem.domain.time or ""]
    passed = Fraction(0)
    while passed < 1 and ((inner := folder / f"window_{len(parts)}") / "run.json").exists():
        kept = RunFolder(inner)
        own = kept.request
        if "network" not in own or "windows" in own or "ensemble" in own or not own.get("window"):
            raise DataFileError(f"{inner} is no part of the run in {folder}; restore a copy")
        # One that did not converge was halved.
        length = own["window"]["length"]
        if not 1e-9 * (high - low) <= length <= high - low:
            raise DataFileError(f"{inner}: run.json has window.length = {length}; restore a copy")
        share = Fraction(1, max(1, round((high - low) / length)))
        window = window_of(problem, windows, share, passed, parts[-1] if parts else None)
        # What a window begins with follows from those before it: only the whole is compared.
        if "fingerprint" in own and "fingerprint" in request:
            words = difference(own["fingerprint"], in_window(request["fingerprint"], window))
            if words is not None:
                raise DataFileError(f"{inner} is no part of the run in {folder}: {words}")
        parts.append(_load_solution(kept, window, network, changed))
        passed += share
    if not parts:
        raise DataFileError(f"{folder} is incomplete: there is no window_0; restore a copy")
    status = (read_run(folder).get("result") or {}).get("status", "unfinished")
    ended = "" if status == "unfinished" else status
    return WindowedSolution(problem, request, tuple(parts), ended)


def _load_family(stored: Stored, problem: Problem, architecture: Any, changed: bool) -> Trained:
    """An operator or a surrogate: what was trained on a family."""
    folder, request = stored.where, stored.request
    kind = "operator" if "operator" in request else "surrogate"
    fresh: Any = built_operator if kind == "operator" else built_surrogate
    make: Any = TrainedOperator if kind == "operator" else TrainedSurrogate
    architecture = architecture_of(request[kind], folder, architecture, changed)
    _check_kind(folder, kind, architecture)
    _check_scales(folder, request, problem)
    _check_sizes(folder, request, problem)
    if isinstance(architecture, OperatorArchitecture):
        stored.check(operator_drawing(problem, architecture, request))
    elif isinstance(architecture, SurrogateArchitecture):
        sizes = surrogate_sizes(problem, architecture.history, request)
        stored.check(Drawing(architecture, sizes))
    # Only the shape: what the inputs were divided by is kept with the parameters.
    model, params = fresh(problem, architecture, request)
    params, history = stored.params(params)
    return make(
        family=problem,
        request=request,
        **of_stored(model, params, history, stored.content),
    )


def _load_point_map(
    stored: Stored, problem: Problem, architecture: Any, changed: bool
) -> TrainedPointMap:
    folder, request = stored.where, stored.request
    architecture = architecture_of(request["point_map"], folder, architecture, changed)
    if not isinstance(architecture, PointArchitecture) or not isinstance(problem, DataFamily):
        raise of_another_kind(folder, architecture, "a map on points of data")
    seen = _points_of(folder, request, problem)
    build = Drawing(architecture, (seen.features, len(problem.unknowns), len(seen.middle)))
    stored.check(build)
    model, params = built_point_map(problem, architecture, request)
    params, history = stored.params(params)
    return TrainedPointMap(
        family=problem,
        request=request,
        architecture=architecture,
        **of_stored(model, params, history, stored.content),
    )


def _load_point_surrogate(
    stored: Stored, problem: Problem, architecture: Any, changed: bool
) -> TrainedPointSurrogate:
    folder, request = stored.where, stored.request
    architecture = architecture_of(request["surrogate"], folder, architecture, changed)
    fits = isinstance(architecture, Direct) and architecture.on_points is not None
    if not fits or not isinstance(problem, DataFamily):
        raise of_another_kind(folder, architecture, "a surrogate on points of data")
    seen = _points_of(folder, request, problem)
    stored.check(step_network(architecture, seen, len(problem.unknowns)))
    model, params = built_point_steps(problem, architecture, request)
    params, history = stored.params(params)
    return TrainedPointSurrogate(
        family=problem,
        request=request,
        architecture=architecture,
        **of_stored(model, params, history, stored.content),
    )


def _points_of(folder: Path, request: Mapping[str, Any], problem: Problem) -> PointInputs:
    """What a network on points saw of samples.

    Raises:
        DataFileError: Where the parts of its request do not belong together.
    """
    seen = PointInputs.from_json(request["points"])
    for part in ("mean", "scale"):
        if set(request[part]) != set(problem.unknowns):
            raise DataFileError(
                f"{folder}: run.json: {part} is not for the unknowns "
                f"{', '.join(problem.unknowns)}; restore a copy"
            )
    wide = sum(math.prod(shape) for shape in seen.shapes)
    if not len(seen.names) == len(seen.shapes) == len(seen.local) or not (
        wide == len(seen.maps) <= seen.features == len(seen.deviation)
        and len(seen.middle) == len(problem.domain.coordinates)
    ):
        raise DataFileError(
            f"{folder}: run.json: the lists of points are not of one length; restore a copy"
        )
    return seen


def _load_map(stored: Stored, problem: Problem, architecture: Any, changed: bool) -> TrainedMap:
    """A steady map on a grid."""
    folder, request = stored.where, stored.request
    architecture = architecture_of(request["map"], folder, architecture, changed)
    _check_kind(folder, "map", architecture)
    inputs, grid = _check_map(folder, request, problem)
    if request["scales"] is not None:
        _check_scales(folder, request, problem)
    file, scaling = stored.scaling()
    parts = scaling.get("mean", np.zeros(0)), scaling.get("scale", np.zeros(0))
    if any(part.shape != (*grid, len(problem.unknowns)) for part in parts):
        raise DataFileError(f"{file} is not for a grid of {grid}; restore a copy")
    if isinstance(architecture, GridArchitecture):
        build = Drawing(architecture, (inputs.count, len(problem.unknowns), grid))
        stored.check(build)
    model, params = built_map(problem, architecture, request, parts)
    params, history = stored.params(params)
    return TrainedMap(
        family=problem,
        request=request,
        **of_stored(model, params, history, stored.content),
    )


def _check_map(
    folder: Path, request: Mapping[str, Any], problem: Problem
) -> tuple[MapInputs, tuple[int, ...]]:
    """What a map sees, and its grid.

    Raises:
        DataFileError: Where the parts of its request do not belong together.
    """
    wrong = None
    inputs = MapInputs.from_json(request["inputs"])
    for part in ("centre", "scale"):
        if set(request[part]) != set(problem.unknowns):
            wrong = f"{part} is not for the unknowns {', '.join(problem.unknowns)}"
    axes = list(request["axes"].values())
    if set(request["axes"]) != set(problem.domain.coordinates) or not all(axes):
        wrong = f"axes is not for the coordinates {', '.join(problem.domain.coordinates)}"
    wrong = _fault_of(inputs, len(axes)) or wrong
    if wrong is not None:
        raise DataFileError(f"{folder}: run.json: {wrong}; restore a copy")
    return inputs, tuple(len(line) for line in axes)


def _fault_of(inputs: MapInputs, axes: int) -> str | None:
    """What does not belong together in the inputs of a request; None where all does.

    Args:
        inputs: Of a map, or the input fields of a surrogate.
        axes: How many the grid of the outputs has.
    """
    if any(len(own) != axes for _, own in inputs.fields):
        return "the grids of the input fields have not the axes of the outputs"
    if sum(size for _, size in inputs.constants) != len(inputs.of_constants.names):
        return "the inputs that are constants are not those of of_constants"
    for scaling in (inputs.of_fields, inputs.of_constants):
        if len({len(values) for values in scaling.to_json().values()}) > 1:
            return "the lists of inputs are not of one length"
    return None


def _check_kind(folder: Path, kind: str, architecture: Any) -> None:
    """Raises ValueError for the architecture of something else than was trained."""
    kinds = {"operator": OperatorArchitecture, "surrogate": SurrogateArchitecture}
    own = kinds.get(kind, GridArchitecture)
    if isinstance(architecture, ARCHITECTURES) and not isinstance(architecture, own):
        raise ValueError(
            f"the {kind} of the run in {folder} cannot be a {type(architecture).__name__}; "
            "give the same one again, load(..., network=...)"
        )


def _check_scales(folder: Path, request: dict[str, Any], problem: Problem) -> None:
    """Raises DataFileError where the sizes of a request are not those of the unknowns."""
    for part in ("centre", "spread", "sizes"):
        if set(request["scales"][part]) != set(problem.unknowns):
            raise DataFileError(
                f"{folder}: run.json: scales.{part} is not for the unknowns "
                f"{', '.join(problem.unknowns)}; restore a copy"
            )


def _check_sizes(folder: Path, request: dict[str, Any], problem: Problem) -> None:
    """Raises DataFileError where the parts of the request of an operator do not belong together."""
    wrong = None
    for part in ("scale", "centre"):
        if part in request and set(request[part]) != set(problem.unknowns):
            wrong = f"{part} is not for the unknowns {', '.join(problem.unknowns)}"
    if "operator" in request:
        parts = [numbers_of(request["inputs"], part) for part in ("mean", "deviation")]
        shapes = [shapes_of(part) for part in parts]
        if shapes[0] != shapes[1]:
            wrong = "inputs.mean and inputs.deviation are not of the same shapes"
    if "surrogate" in request:
        grid, seen = request["grid"], request["parameters"]
        axes = len(problem.domain.coordinates)
        named = (tuple(grid["coordinates"]), grid["time"])
        lengths = {len(grid["first"]), len(grid["steps"]), len(grid["points"]) + 1}
        if named != (problem.domain.coordinates, problem.domain.time) or lengths != {axes}:
            wrong = f"grid is not for the coordinates {', '.join(problem.domain.coordinates)}"
        if len({len(values) for values in seen.values()}) > 1:
            wrong = "the lists of parameters are not of one length"
        if request["fields"] is not None:
            wrong = _fault_of(MapInputs.from_json(request["fields"]), len(grid["points"])) or wrong
    if wrong is not None:
        raise DataFileError(f"{folder}: run.json: {wrong}; restore a copy")
