"""What a network on points sees of a sample, and to which size each sample is filled up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt32

from pinops.geometry import Mesh
from pinops.operators import Links, PointArchitecture
from pinops.training._scaling import MAPS
from pinops.training._sizes import by_size, size_of

_CLASSES = 3  # sizes that samples are filled up to: each is a part of the program
_EIGHTH = 8  # sizes are multiples of it


class Clouds(eqx.Module):
    """Samples that are filled up to one size.

    Args:
        points: Scaled coordinates.
        features: Standardised.
        present: Which points belong to each sample.
        links: What connects the points; None: nothing does.
        values: The outputs in their units, NaN where one is missing, ``(n, m, t, c)`` of
            trajectories; None where they are sought.
        seeds: Of the noise that a step adds; None: there is none.
        numbers: Of the samples in their data set; None: they are of none.
    """

    points: Float[Array | np.ndarray, "n m d"]
    features: Float[Array | np.ndarray, "n m i"]
    present: Bool[Array | np.ndarray, "n m"]
    links: Links | None
    values: Float[Array | np.ndarray, "n m *t c"] | None
    seeds: UInt32[Array, " n"] | None = None
    numbers: Int[Array | np.ndarray, " n"] | None = None


@dataclass(frozen=True)
class PointInputs:
    """From samples as a data set has them to what a network sees, in numbers of the training part.

    Attributes:
        names: Of the inputs, in the order of their features.
        shapes: Of each input at one point, or of the whole sample: () or (k,).
        local: Whether each has values at the points; the others are the same at all of them.
        maps: Of each feature of an input, before it is standardised: "identity", "log" or
            "sigmoid_log".
        middle: Of the points.
        radius: What coordinates are divided by: half of the longest side of their bounds.
        centre: What is taken from each feature, those of the shape included.
        deviation: What each is divided by, > 0.
        sizes: What samples are filled up to, rising.
        tables: The widths of the tables of links; (0, 0) without them.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    local: tuple[bool, ...]
    maps: tuple[str, ...]
    middle: tuple[float, ...]
    radius: float
    centre: tuple[float, ...]
    deviation: tuple[float, ...]
    sizes: tuple[int, ...]
    tables: tuple[int, int]

    @property
    def features(self) -> int:
        """How many features a point has."""
        return len(self.centre)

    @property
    def dimension(self) -> int:
        """Of the coordinates."""
        return len(self.middle)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "PointInputs":
        """The inverse of `to_json`."""
        parts: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list | tuple) else v for k, v in content.items()
        }
        parts["shapes"] = tuple(tuple(shape) for shape in content["shapes"])
        return cls(**parts)

    def size_of(self, count: int) -> int:
        """The size that a sample with this number of points is padded to: one of the sizes, or
        twice the largest, four times it, and so on.
        """
        return size_of(self.sizes, count)

    def by_size(self, counts: Iterable[int]) -> list[tuple[int, list[int]]]:
        """The padded sizes of samples with these counts, and the places of the samples of each."""
        return by_size(self.sizes, counts)

    def clouds(
        self,
        architecture: PointArchitecture,
        samples: Sequence["PointSample"],
        size: int,
        queries: Float[np.ndarray, "q d"] | None = None,
    ) -> Clouds:
        """Samples of at most ``size`` points, in arrays.

        Args:
            architecture: Which features of the shape it sees, and which messages it sends.
            samples: Each with its mesh, inputs, and outputs where they are known.
            size: What they are filled up to.
            queries: Further places, which are read out and not present: rows behind those of the
                points.
        """
        rows = [self._row(architecture, sample, size, queries) for sample in samples]
        points, features, present, links = zip(*rows, strict=True)
        known = [_filled(s.values, size) for s in samples if s.values is not None]
        values = np.stack(known) if len(known) == len(samples) else None
        joined = None if links[0] is None else _stacked(links)
        return Clouds(np.stack(points), np.stack(features), np.stack(present), joined, values)

    def scaled(self, points: Any, features: Any) -> tuple[Any, Any]:
        """Coordinates and features as a network sees them, in arrays of NumPy or JAX.

        Args:
            points: ``(..., d)``.
            features: ``(..., i)``.
        """

        def along(numbers: Sequence[float]) -> np.ndarray:
            return np.reshape(numbers, (1,) * (points.ndim - 1) + (-1,))

        mapped = _mapped(features, self.maps)
        standard = (mapped - along(self.centre)) / along(self.deviation)
        return (points - along(self.middle)) / self.radius, standard

    def _row(
        self,
        architecture: PointArchitecture,
        sample: "PointSample",
        size: int,
        queries: np.ndarray | None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, Links | None]:
        mesh = sample.mesh
        places = mesh.points if queries is None else np.concatenate([mesh.points, queries])
        known = features_of(sample, self.names, self.local)
        if queries is not None:
            known = np.concatenate([known, mesh.interpolated(known, queries)])
        known = np.concatenate([known, architecture.channels(mesh, queries)], 1)
        scaled, standard = self.scaled(places, known)
        links = architecture.links(mesh, size, queries, self.tables)
        present = np.arange(size) < len(mesh.points)
        return _filled(scaled, size, 0.0), _filled(standard, size, 0.0), present, links


@dataclass(frozen=True)
class PointSample:
    """One sample of a data set on points of its own.

    Attributes:
        mesh: Its points, and cells where they are known.
        inputs: By name ``(m[, k])`` at its points, or () or ``(k,)``.
        values: The outputs ``(m, c)``, of a trajectory ``(m, t, c)``; None where they are sought.
        scalars: Outputs that are numbers of the whole sample, by name.
    """

    mesh: Mesh
    inputs: Mapping[str, np.ndarray]
    values: Float[np.ndarray, "m *t c"] | None = None
    scalars: Mapping[str, float] = field(default_factory=dict)


def samples_in(
    rows: Mapping[str, Any], unknowns: Sequence[str], local: Mapping[str, bool]
) -> list[PointSample]:
    """The samples among the rows of a data set on meshes.

    Args:
        rows: What `Dataset.rows` gives.
        unknowns: Names of the outputs.
        local: Of every input, whether it has values at the points.
    """
    found = []
    numbers = [key.removeprefix("scalars/") for key in rows if key.startswith("scalars/")]
    for k, present in enumerate(rows["present"]):
        count = int(present.sum())
        cells = rows["cells"][k] if "cells" in rows else None
        inputs = {}
        for name, at_points in local.items():
            value = np.asarray(rows[f"inputs/{name}"][k])
            inputs[name] = value[:count] if at_points else value
        values = np.stack([rows[f"values/{name}"][k][:count] for name in unknowns], -1)
        mesh = Mesh(rows["points"][k][:count], cells)
        scalars = {name: float(rows[f"scalars/{name}"][k]) for name in numbers}
        found.append(PointSample(mesh, inputs, values, scalars))
    return found


def features_of(
    sample: PointSample, names: Sequence[str], local: Sequence[bool]
) -> Float[np.ndarray, "m i"]:
    """The inputs of a sample at its points, those without points the same at all of them."""
    count = len(sample.mesh.points)
    columns = [np.zeros((count, 0))]
    for name, at_points in zip(names, local, strict=True):
        value = np.asarray(sample.inputs[name], np.float64)
        if at_points:
            columns.append(value.reshape(count, -1))
        else:
            columns.append(np.broadcast_to(value.reshape(1, -1), (count, value.size)))
    return np.concatenate(columns, 1)


def _mapped(features: Any, maps: Sequence[str]) -> Any:
    """Features of which the first are mapped, in an array of NumPy or JAX."""
    if all(name == "identity" for name in maps):
        return features
    numbers = np if isinstance(features, np.ndarray) else jnp
    columns = [MAPS[name](features[..., k : k + 1]) for k, name in enumerate(maps)]
    return numbers.concatenate([*columns, features[..., len(maps) :]], -1)


def fitted_inputs(
    architecture: PointArchitecture,
    blocks: Iterable[Sequence[PointSample]],
    local: Mapping[str, bool],
    maps: Mapping[str, Sequence[str]],
) -> tuple[PointInputs, list[int]]:
    """What the training samples say about sizes and features, and how many points each has.

    Args:
        architecture: Which features and messages there are.
        blocks: The samples for training, some at a time.
        local: Of every input, whether it has values at the points.
        maps: Of every number of the inputs that have none.
    """
    names, counts, tables = tuple(sorted(local)), [], (0, 0)
    total, squares, seen = 0.0, 0.0, 0
    low, high = np.inf, -np.inf
    first: PointSample | None = None
    for block in blocks:
        for sample in block:
            first = first or sample
            known = features_of(sample, names, [local[name] for name in names])
            known = _mapped(known, _maps_of(sample, names, maps))
            known = np.concatenate([known, architecture.channels(sample.mesh)], 1)
            total, squares = total + known.sum(0), squares + (known**2).sum(0)
            seen += len(known)
            low = np.minimum(low, sample.mesh.points.min(0))
            high = np.maximum(high, sample.mesh.points.max(0))
            counts.append(len(known))
            if (widths := _widths(architecture, sample.mesh, len(counts) - 1)) is not None:
                tables = (max(tables[0], widths[0]), max(tables[1], widths[1]))
    assert first is not None, "a data set has samples for training"
    mean = total / seen
    deviation = np.sqrt(np.maximum(squares / seen - mean**2, 0))
    deviation = np.where(deviation > 1e-9 * np.maximum(np.abs(mean), 1e-300), deviation, 1.0)
    shapes = [np.shape(first.inputs[name])[local[name] :] for name in names]
    inputs = PointInputs(
        names=names,
        shapes=tuple(shapes),
        local=tuple(local[name] for name in names),
        maps=_maps_of(first, names, maps),
        middle=_numbers((low + high) / 2),
        radius=_numbers([np.max(high - low) / 2 or 1.0])[0],
        centre=_numbers(mean),
        deviation=_numbers(deviation),
        sizes=_sizes(counts, 1 if architecture.on_grid else _CLASSES),
        tables=tables,
    )
    return inputs, counts


def _widths(architecture: PointArchitecture, mesh: Mesh, number: int) -> tuple[int, int] | None:
    """Those of the tables of a sample for training; None: it has none.

    Raises:
        ValueError: For a mesh that the architecture does not take, with the number of the sample.
    """
    try:
        links = architecture.links(mesh, len(mesh.points))
    except ValueError as error:
        raise ValueError(f"sample {number} of those for training: {error}") from error
    return None if links is None else links.widths


def _maps_of(
    sample: PointSample, names: Sequence[str], maps: Mapping[str, Sequence[str]]
) -> tuple[str, ...]:
    """Of every feature of the inputs; values at points are left as they are."""
    count = len(sample.mesh.points)
    found: list[str] = []
    for name in names:
        found += maps.get(name) or ["identity"] * (np.size(sample.inputs[name]) // count)
    return tuple(found)


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(f"{value:.9g}") for value in np.asarray(values, np.float64))


def _sizes(counts: Sequence[int], classes: int) -> tuple[int, ...]:
    """At most so many sizes, each for as many samples."""
    most = np.quantile(counts, np.arange(1, classes + 1) / classes, method="higher")
    return tuple(sorted({int(-(-n // _EIGHTH) * _EIGHTH) for n in most}))


def _filled(values: np.ndarray, size: int, filler: float = np.nan) -> np.ndarray:
    """Values with rows of one number behind them."""
    out = np.full((size, *values.shape[1:]), filler)
    out[: len(values)] = values
    return out


def _stacked(links: Sequence[Links | None]) -> Links:
    """Links of samples in one, their tables of the width of the widest."""

    def wide(tables: Sequence[np.ndarray]) -> np.ndarray:
        most = max(table.shape[1] for table in tables)
        return np.stack(
            [np.pad(t, [(0, 0), (0, most - t.shape[1])], constant_values=-1) for t in tables]
        )

    return jax.tree.map(lambda *tables: wide(tables), *links)
