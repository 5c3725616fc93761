"""From a request to Gaussian processes on morphed meshes: a fit, without a training loop."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from pinops.data import BLOCK, DataFileError, Dataset, check_values
from pinops.operators import LEAST, MMGP, Sizes
from pinops.problem import (
    DataFamily,
    Problem,
    coefficients_as_json,
    coefficients_of,
    fingerprint,
    name_of,
)
from pinops.solvers._door import Options, made_folders, prepare
from pinops.solvers._point_plan import local_of
from pinops.solvers._rebuild import architecture_of, of_another_kind
from pinops.solvers._request import describe
from pinops.solvers._stored import Stored, of_stored
from pinops.solvers._trained_mmgp import MeshInputs, TrainedMMGP, errors_of
from pinops.training import Params, PointSample, Report, compiled, samples_in


def fitted_mmgp(
    architecture: MMGP, options: Options, dataset: Dataset | None, given: Mapping[str, Any]
) -> TrainedMMGP:
    """The processes fitted to the training part of some data.

    Args:
        architecture: What is fitted.
        options: Those of all doors.
        dataset: Samples on meshes of triangles.
        given: Options of trainings by steps, by name; None: not given.

    Raises:
        ValueError: For data of another layout, and for options of trainings by steps.
    """
    dataset = _checked(options, dataset, given)
    training = dataset.splits["training"]
    if len(training) < LEAST:
        raise ValueError(
            f"{dataset.path} has {len(training)} samples for training, and MMGP() needs at least "
            f"{LEAST}; give more"
        )
    with made_folders() as made, jax.enable_x64(True):
        if options.out is not None:
            made += [path for path in (options.out, *options.out.parents) if not path.exists()]
            prepare(options.out, {}, False)
        result = _fitted(architecture, options, dataset)
        for callback in options.callbacks:
            callback(result.history[-1])
        if options.out is not None:
            tested = dataset if len(dataset.splits["test"]) else None
            result.save(options.out, tested)
    return result


def _checked(options: Options, dataset: Dataset | None, given: Mapping[str, Any]) -> Dataset:
    """The data of a request. Raises ValueError for what the processes do not take."""
    more = {name: getattr(options, name) for name in ("minutes", "ensemble", "devices")}
    more |= {"compute_dtype": options.compute_dtype, "resume": options.resume or None}
    for name, value in {**given, **more}.items():
        if value is not None:
            raise ValueError(
                f"{name} is not for MMGP, which is fitted to data in closed form; leave it out"
            )
    if dataset is None:
        raise ValueError("MMGP is fitted to data; give data=")
    layout = dataset.layout
    if layout.kind != "meshes" or not layout.cells or layout.time is not None:
        found = layout.shape(dataset.coordinates)
        found = "clouds without cells" if found == "meshes" else found
        raise ValueError(
            f"MMGP learns from steady fields on meshes of triangles, and {dataset.path} has "
            f"{found}; give coordinates=[points, ...] and cells=[...]"
        )
    check_values(dataset, *dataset.splits, gaps=False, coefficients=False)
    return dataset


def _fitted(architecture: MMGP, options: Options, dataset: Dataset) -> TrainedMMGP:
    """The result, with the errors of the validation part in its history."""
    before, local = compiled(), local_of(dataset)
    training = _samples(dataset, "training", local)
    first, names = training[0], tuple(sorted(local))
    seen = MeshInputs(
        names=names,
        shapes=tuple(np.shape(first.inputs[name])[local[name] :] for name in names),
        local=tuple(local[name] for name in names),
        dimension=first.mesh.points.shape[1],
        scalars=dataset.layout.scalars,
    )
    try:
        fitted = architecture.fitted(seen.samples(training), seed=options.seed)
    except ValueError as error:
        raise ValueError(f"{dataset.path}: of the samples for training {error}") from error
    result = TrainedMMGP(
        family=_family(dataset, training, seen),
        request={},
        architecture=architecture,
        model=seen,
        params=Params(fitted, {}),
        history=[],
        status="finished",
        compile_seconds=compiled() - before,
    )
    request = _request(architecture, options, dataset, result)
    result = replace(result, request=request)
    found = []
    if len(dataset.splits["validation"]):
        found = result.answers(dataset, "validation")
    errors = errors_of(found, dataset.unknowns, seen.scalars) if found else {}
    report = Report(
        step=0,
        total_steps=0,
        phase="",
        loss=float(np.mean(fitted.processes.misfits())),
        terms={},
        errors={name: error["mean"] for name, error in errors.items()},
        coefficients={},
        seconds=time.monotonic() - options.began,
    )
    return replace(result, history=[report])


def _samples(dataset: Dataset, part: str, local: Mapping[str, bool]) -> list[PointSample]:
    """All samples of a part."""
    members, found = dataset.splits[part], []
    for start in range(0, len(members), BLOCK):
        rows = dataset.rows(members[start : start + BLOCK])
        found += samples_in(rows, dataset.unknowns, local)
    return found


def _family(dataset: Dataset, samples: Sequence[PointSample], seen: MeshInputs) -> DataFamily:
    """The family of the data, within the bounds of the samples for training."""
    low = np.min([sample.mesh.points.min(0) for sample in samples], axis=0)
    high = np.max([sample.mesh.points.max(0) for sample in samples], axis=0)
    pairs = zip(dataset.layout.names, low, high, strict=True)
    bounds = {name: (float(a), float(b)) for name, a, b in pairs}
    shapes = dict(zip(seen.names, seen.shapes, strict=True))
    return DataFamily.of(bounds, dataset.unknowns, shapes)


def _request(
    architecture: MMGP, options: Options, dataset: Dataset, result: TrainedMMGP
) -> dict[str, Any]:
    """What was asked for, and the sizes of what came out, as ``run.json`` keeps them."""
    family, sizes = result.family, Sizes.of(result.fitted, len(result.model.scalars))
    request = {
        "problem": name_of(family),
        "coefficients": describe(coefficients_of(family)) | coefficients_as_json(family),
        "data": dataset.digest,
        "data_members": dataset.seen("training"),
        "mmgp": describe(architecture),
        "points": describe(asdict(result.model)),
        "sizes": describe(asdict(sizes)),
        "fingerprint": fingerprint(family),
        "family": family.to_json(),
        "seed": options.seed,
        "dtype": "float64",
    }
    return request | ({"units": dict(dataset.layout.units)} if dataset.layout.units else {})


def load_mmgp(stored: Stored, problem: Problem, architecture: Any, changed: bool) -> TrainedMMGP:
    """What a fit has left; arguments as in `load`."""
    folder, request = stored.where, stored.request
    architecture = architecture_of(request["mmgp"], folder, architecture, changed)
    if not isinstance(architecture, MMGP) or not isinstance(problem, DataFamily):
        raise of_another_kind(folder, architecture, "of Gaussian processes on meshes")
    seen, sizes = _inputs_of(request["points"]), _sizes_of(request["sizes"])
    _check_parts(stored, problem, seen, sizes)

    def build(key: PRNGKeyArray) -> Any:
        return sizes.empty()

    stored.check(build)
    params, history = stored.params(Params(sizes.empty(), {}))
    return TrainedMMGP(
        family=problem,
        request=request,
        architecture=architecture,
        **of_stored(seen, params, history, stored.content),
    )


def _inputs_of(content: Mapping[str, Any]) -> MeshInputs:
    """From the request."""
    lists: dict[str, Any] = {name: tuple(content[name]) for name in ("names", "local", "scalars")}
    shapes = tuple(tuple(shape) for shape in content["shapes"])
    return MeshInputs(shapes=shapes, dimension=content["dimension"], **lists)


def _sizes_of(content: Mapping[str, Any]) -> Sizes:
    """From the request."""
    fields = {name: tuple(pair) for name, pair in content["fields"].items()}
    parts: dict[str, Any] = {"fields": fields, "outputs": tuple(content["outputs"])}
    return Sizes(**{**content, **parts})


def _check_parts(stored: Stored, family: DataFamily, seen: MeshInputs, sizes: Sizes) -> None:
    """Raises DataFileError where the parts of a request do not belong together."""
    shapes = list(zip(seen.names, seen.shapes, seen.local, strict=False))
    numbers = sum(math.prod(shape) for _, shape, local in shapes if not local)
    fields = {name: math.prod(shape) for name, shape, local in shapes if local}
    if not (
        len(seen.names) == len(seen.shapes) == len(seen.local)
        and fields == {name: channels for name, (channels, _) in sizes.fields.items()}
        and (numbers, len(seen.scalars)) == (sizes.numbers, sizes.scalars)
        and (seen.dimension, len(family.unknowns)) == (sizes.dimension, len(sizes.outputs))
        and seen.dimension == len(family.domain.coordinates)
    ):
        raise DataFileError(
            f"{stored.where}: run.json: points and sizes do not belong together; restore a copy"
        )
