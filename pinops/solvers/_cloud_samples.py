"""Samples on points as users give them, and as arrays of an exported program: the checks."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops._numbers import real
from pinops.data import BLOCK, Dataset, as_dataset
from pinops.geometry import Mesh
from pinops.metrics import ratio
from pinops.operators import PointArchitecture
from pinops.problem import DataFamily
from pinops.solvers._export import Shape
from pinops.solvers._trained import Errors, error_statistics
from pinops.training import Clouds, PointInputs, PointSample, samples_in

Data = Dataset | str | Path


def numbers(given: Any, name: str) -> Float[np.ndarray, "..."]:
    """An array in double precision. Raises ValueError for what is no array of real numbers."""
    array = real(np.asarray(given), name)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold numbers, got {array.dtype}")
    return array.astype(np.float64)


class Seen(Protocol):
    """What was seen of samples in the training; see `PointInputs`."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]: ...
    @property
    def local(self) -> tuple[bool, ...]: ...
    @property
    def maps(self) -> tuple[str, ...]: ...
    @property
    def dimension(self) -> int: ...


def checked_sample(seen: Seen, points: Any, cells: Any, given: Mapping[str, Any]) -> PointSample:
    """One sample with its inputs.

    Args:
        seen: What was seen in the training.
        points: ``(m, d)``.
        cells: ``(k, corners)``, or None.
        given: The inputs by name.

    Raises:
        ValueError: For points or inputs of other shapes or names than in the training.
    """
    corners = None if cells is None else np.asarray(cells)
    mesh = Mesh(numbers(points, "points"), corners)
    count, dimension = mesh.points.shape
    if dimension != seen.dimension:
        raise ValueError(
            f"the training had points of {seen.dimension} coordinates, got {dimension}"
        )
    if set(given) != set(seen.names):
        wanted = ", ".join(seen.names) or "none"
        raise ValueError(f"the inputs are {wanted}, got {', '.join(map(str, given)) or 'none'}")
    found, maps = {}, list(seen.maps)
    for name, shape, local in zip(seen.names, seen.shapes, seen.local, strict=True):
        found[name] = array = numbers(given[name], name)
        wanted = (count, *shape) if local else shape
        if array.shape != wanted:
            raise ValueError(f"{name} needs the shape {wanted}, got {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite; one is a NaN or infinite")
        own, maps = maps[: np.prod(shape, dtype=int)], maps[np.prod(shape, dtype=int) :]
        used = next((each for each in own if each != "identity"), None)
        if used is not None and not (array > 0).all():
            raise ValueError(f"{name} must be positive, as the network sees its {used}")
    return PointSample(mesh, found)


def check_names(dataset: Dataset, seen: Seen, family: DataFamily) -> None:
    """Raises ValueError for data with other names than those of the training."""
    layout = dataset.layout
    pairs = {
        "unknowns": (layout.unknowns, family.unknowns),
        "inputs": (tuple(n for n in seen.names if n in layout.inputs), seen.names),
        "coordinates": (layout.names, family.domain.coordinates),
    }
    for what, (there, here) in pairs.items():
        if tuple(there) != tuple(here):
            raise ValueError(
                f"{dataset.path} has the {what} {', '.join(there) or 'none'}, and the training "
                f"had {', '.join(here) or 'none'}"
            )


def unseen_samples(
    data: Data, part: str | None, seen: Seen, family: DataFamily, request: Mapping[str, Any]
) -> Iterator[list[PointSample]]:
    """Samples that a training has not seen, some at a time.

    Args:
        data: A data set, of which the part is taken, or all of one that is not that of the
            training.
        part: Of the data set; None: all of it.
        seen: What was seen in the training.
        family: Of the training.
        request: Of the training.

    Raises:
        ValueError: For data of other names, and where the training has seen them.
    """
    dataset = as_dataset(data)
    check_names(dataset, seen, family)
    members = dataset.unseen(request["data_members"], part)
    local = dict(zip(seen.names, seen.local, strict=True))
    for start in range(0, len(members), BLOCK):
        rows = dataset.rows(members[start : start + BLOCK])
        yield samples_in(rows, dataset.unknowns, local)


def errors_at_points(
    pairs: Iterable[tuple[PointSample, Float[np.ndarray, "m c"]]], unknowns: Sequence[str]
) -> Errors:
    """Statistics of the relative L2 errors over the points of samples with their truth, each beside
    what is predicted of it.
    """
    relative: list[list[float]] = [[] for _ in unknowns]
    largest = np.zeros(len(relative))
    for sample, values in pairs:
        assert sample.values is not None
        known = np.isfinite(sample.values)
        truth = np.where(known, sample.values, 0.0).astype(np.float64)
        off = np.where(known, values - truth, 0.0)
        size = np.linalg.norm(truth, axis=0)
        for k, row in enumerate(relative):
            if known[:, k].any():
                row.append(float(ratio(np.linalg.norm(off[:, k : k + 1], axis=0), size[k])[0]))
        largest = np.maximum(largest, np.abs(off).max(0))
    return {name: error_statistics(relative[k], largest[k]) for k, name in enumerate(unknowns)}


def check_exportable(seen: PointInputs, architecture: PointArchitecture) -> None:
    """Raises ValueError for a network that sees what no program finds."""
    if seen.tables != (0, 0) or architecture.boundary:
        raise ValueError(
            "a program cannot find the edges, the map to a square or the distance from the "
            f"boundary, which {type(architecture).__name__} sees of a mesh; export it as "
            ".safetensors"
        )


def shapes_of_cloud(seen: PointInputs) -> dict[str, Shape]:
    """What an exported program takes of n samples of m points each."""
    inputs: dict[str, Shape] = {"points": ("n", "m", len(seen.middle))}
    for name, shape, local in zip(seen.names, seen.shapes, seen.local, strict=True):
        inputs[name] = ("n", *(("m",) if local else ()), *shape)
    return inputs


def traced_clouds(seen: PointInputs, inputs: Mapping[str, Array]) -> Clouds:
    """Those arrays as a network sees them."""
    points = inputs["points"]
    n, m = points.shape[:2]
    known = [jnp.zeros((n, m, 0), points.dtype)]
    for name, local in zip(seen.names, seen.local, strict=True):
        rows = inputs[name].reshape(n, m if local else 1, -1)
        known.append(jnp.broadcast_to(rows, (n, m, rows.shape[2])))
    places, features = seen.scaled(points, jnp.concatenate(known, 2))
    return Clouds(places, features, jnp.ones((n, m), bool), None, None)
