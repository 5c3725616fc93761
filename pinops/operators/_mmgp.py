"""Mesh-morphing Gaussian processes: fields on shapes of any mesh, with error bars, in closed form.

Meshes are brought to one shape, where coordinates and fields of all samples are values at the
points of one mesh; a few modes of each then turn the map from shapes to fields into one between
short vectors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pinops.geometry import (
    MAPS,
    TARGETS,
    Mesh,
    Target,
    all_morphed,
    interpolation,
    mass,
    quartered,
    target_of,
)
from pinops.operators._processes import Hyperparameters, Posterior, Processes
from pinops.settings import check_settings, number, one_of, whole

LEAST = 8  # samples for training, below which there is nothing to fit lengths to
_ROUNDING = 1e-13  # of the largest variance of a mode: the least that is not rounding
_SAME = 1e-9  # of its mean: the deviation of a number that is the same in all samples


class MeshSamples(NamedTuple):
    """Samples on meshes of their own.

    Attributes:
        meshes: Of triangles.
        fields: Inputs at the points, by name, ``(m_k, c)`` of each sample.
        numbers: Inputs that are the same at all points, a row for each sample.
        values: Outputs at the points, ``(m_k, c)`` of each sample; None where they are sought.
        scalars: Outputs that are numbers of whole samples.
    """

    meshes: Sequence[Mesh]
    fields: Mapping[str, Sequence[Float[np.ndarray, "m c"]]]
    numbers: Float[np.ndarray, "n p"]
    values: Sequence[Float[np.ndarray, "m c"]] | None = None
    scalars: Float[np.ndarray, "n s"] | None = None


class Basis(eqx.Module):
    """A mean and modes at the points of the common mesh, orthonormal in the mean square over it."""

    mean: Float[Array | np.ndarray, "m c"]
    modes: Float[Array | np.ndarray, "k m c"]


class Answer(NamedTuple):
    """What is predicted of a sample.

    Attributes:
        mean: Of the fields, at the points or the places that were asked for.
        spread: Their standard deviations.
        scalars: Of the numbers.
        scalar_spreads: Their standard deviations.
    """

    mean: Float[np.ndarray, "m c"]
    spread: Float[np.ndarray, "m c"]
    scalars: Float[np.ndarray, " s"]
    scalar_spreads: Float[np.ndarray, " s"]


class MorphedProcesses(eqx.Module):
    """What `MMGP` fits: the common mesh, the modes there, and a process for each amplitude.

    Attributes:
        points: Of the common mesh.
        cells: Its triangles.
        shares: The parts of the boundary between landmarks.
        radius: Of the inner circle of an annulus; else 0.
        shape: Modes of the coordinates.
        fields: Modes of each input at points, by name.
        outputs: Modes of each output.
        missed: The variance at the points that modes and interpolation leave out.
        centre: Of the inputs of the processes, amplitudes first, and numbers.
        deviation: Of them, > 0.
        middle: Of what they predict, amplitudes first, and scalars.
        scale: Of that, > 0.
        processes: In standard units.
    """

    points: Float[Array | np.ndarray, "m 2"]
    cells: Int[Array | np.ndarray, "t 3"]
    shares: Float[Array | np.ndarray, " l"]
    radius: Float[Array | np.ndarray, ""]
    shape: Basis
    fields: dict[str, Basis]
    outputs: list[Basis]
    missed: Float[Array | np.ndarray, "m c"]
    centre: Float[Array | np.ndarray, " q"]
    deviation: Float[Array | np.ndarray, " q"]
    middle: Float[Array | np.ndarray, " k"]
    scale: Float[Array | np.ndarray, " k"]
    processes: Processes

    @property
    def mesh(self) -> Mesh:
        """The common mesh."""
        return Mesh(np.asarray(self.points), np.asarray(self.cells))

    def answers(
        self,
        architecture: "MMGP",
        posterior: Posterior,
        samples: MeshSamples,
        at: Float[np.ndarray, "q d"] | None = None,
    ) -> list[Answer]:
        """The fields of some samples, and their standard deviations.

        Those are exact, since the fields are linear in the amplitudes: no samples are drawn.

        Args:
            architecture: Which maps it takes.
            posterior: Of the processes.
            samples: Meshes and inputs.
            at: Other places of each sample, where fields are wanted; None: at its points.
        """
        common = self.mesh
        shares = tuple(np.asarray(self.shares).tolist())
        target = Target(architecture.target, shares, float(self.radius))
        there = all_morphed(samples.meshes, target, architecture.by)
        bases = [self.shape, *(self.fields[name] for name in sorted(self.fields))]
        into = [interpolation(own, common.points) for own in there]
        seen = _seen(bases, _pulled(samples, into), mass(common))
        known = np.concatenate([seen, samples.numbers], 1)
        z = (known - np.asarray(self.centre)) / np.asarray(self.deviation)
        mean, variance = (np.asarray(part) for part in posterior(jnp.asarray(z)))
        mean = np.asarray(self.middle) + np.asarray(self.scale) * mean
        variance = np.square(np.asarray(self.scale)) * variance
        found = []
        for k, own in enumerate(there):
            places = own.points
            if at is not None:
                places = interpolation(samples.meshes[k], at) @ places
            back = interpolation(common, places)
            found.append(self._answer(back, mean[k], variance[k]))
        return found

    def _answer(self, back: Any, mean: np.ndarray, variance: np.ndarray) -> Answer:
        """From amplitudes to values; ``back`` goes from the common mesh to the places."""
        columns, squares, start = [], [], 0
        for basis in self.outputs:
            count = len(basis.modes)
            modes = back @ np.asarray(basis.modes)[:, :, 0].T
            own = slice(start, start + count)
            columns.append(back @ np.asarray(basis.mean)[:, 0] + modes @ mean[own])
            squares.append(np.square(modes) @ variance[own])
            start += count
        missed = back @ np.asarray(self.missed)
        return Answer(
            mean=np.stack(columns, 1),
            spread=np.sqrt(np.stack(squares, 1) + missed),
            scalars=mean[start:],
            scalar_spreads=np.sqrt(variance[start:]),
        )


class MMGP(eqx.Module):
    """A Gaussian process for each amplitude of the fields, on meshes brought to one shape.

    For samples with meshes of triangles that have the same topology and smooth fields: a hundred of
    them are enough, and the fit takes seconds. It computes in float64, whatever is asked for.

    Source: Casenave et al. 2023, arXiv 2305.12871. Departures, each for a smaller error: a harmonic
    map, which does not depend on the mesh, in place of equal weights; a common mesh that is finer
    than those of the samples; centred modes, and a process with lengths of its own for each;
    spreads in closed form, with what modes and interpolation leave out.

    Args:
        target: What meshes are brought to: "disc"; "polygon", the one between the landmarks; or
            "annulus", for meshes with one hole.
        landmarks: How many corners the outer boundary of every shape has, such as 4 for a plate;
            0: the boundary is smooth, or its corners differ.
        by: How points inside follow the boundary: "harmonic", "mean_value", "uniform", or "rbf".
        shape_modes: The most modes of the shape, and of each input at the points.
        modes: The most modes of each output.
        missed: The share of the variance that modes of the outputs may leave out; a hundredth of it
            for those of the shape.
        refined: How often the triangles of the common mesh are divided into four; each halves what
            interpolation loses.
        restarts: How often the fit of each process starts.
        most: Samples that the lengths of the processes are fitted to; the predictions use all.
    """

    target: str = one_of("disc", TARGETS)
    landmarks: int = whole(0, least=0, most=1000)
    by: str = one_of("harmonic", MAPS)
    shape_modes: int = whole(16, most=1000)
    modes: int = whole(24, most=1000)
    missed: float = number(1e-5, least=0, below=1)
    refined: int = whole(1, least=0, most=3)
    restarts: int = whole(3, most=100)
    most: int = whole(300, least=LEAST)

    def __check_init__(self):
        check_settings(self)
        if self.target == "polygon" and self.landmarks < 3:
            raise ValueError(
                "MMGP: a polygon has at least 3 landmarks, the corners of the shapes, got "
                f"landmarks={self.landmarks}"
            )

    def fitted(self, samples: MeshSamples, *, seed: int = 0) -> MorphedProcesses:
        """The modes and processes of some samples.

        Args:
            samples: With values, at least eight.
            seed: Of the restarts.

        Raises:
            ValueError: For too few samples, and for meshes that are not of the topology of the
                target.
        """
        values, scalars = samples.values, samples.scalars
        assert values is not None and scalars is not None
        if len(values) < LEAST:
            raise ValueError(
                f"MMGP: {LEAST} samples for training are the least, got {len(values)}; give more"
            )
        target = target_of(samples.meshes, self.target, self.landmarks)
        there = all_morphed(samples.meshes, target, self.by)
        common = self._common(there, target)
        weight = mass(common)
        into = [interpolation(own, common.points) for own in there]
        pulled = _pulled(samples, into)
        bases = [_basis(one, weight, self.shape_modes, self.missed / 100) for one in pulled]
        inputs = np.concatenate([_seen(bases, pulled, weight), samples.numbers], 1)

        fields = np.stack([matrix @ one for matrix, one in zip(into, values, strict=True)])
        outputs = [
            _basis(fields[:, :, k : k + 1], weight, self.modes, self.missed)
            for k in range(fields.shape[2])
        ]
        amplitudes = [_seen([b], [fields[:, :, k : k + 1]], weight) for k, b in enumerate(outputs)]
        lost = _truncated(fields, outputs, amplitudes)
        for own, matrix, one in zip(there, into, values, strict=True):
            off = interpolation(common, own.points) @ (matrix @ one) - one
            lost += matrix @ np.square(off) / len(values)
        z, centre, deviation = _standard(inputs)
        y, middle, scale = _standard(np.concatenate([*amplitudes, scalars], 1))
        with jax.enable_x64(True):
            processes = Processes.fitted(z, y, restarts=self.restarts, most=self.most, seed=seed)
            found = MorphedProcesses(
                points=common.points,
                cells=np.asarray(common.cells, np.int32),
                shares=np.asarray(target.shares),
                radius=np.asarray(target.radius),
                shape=bases[0],
                fields=dict(zip(sorted(samples.fields), bases[1:], strict=True)),
                outputs=outputs,
                missed=lost,
                centre=centre,
                deviation=deviation,
                middle=middle,
                scale=scale,
                processes=processes,
            )
            return jax.tree.map(jnp.asarray, found)

    def _common(self, there: Sequence[Mesh], target: Target) -> Mesh:
        """The mesh of median size, with its triangles divided."""
        order = np.argsort([len(mesh.points) for mesh in there], kind="stable")
        mesh = there[order[len(there) // 2]]
        for _ in range(self.refined):
            before = len(mesh.points)
            finer, edges = quartered(mesh)
            rim = set(map(tuple, np.sort(mesh.boundary, axis=1).tolist()))
            on_rim = np.array([tuple(edge) in rim for edge in edges.tolist()])
            points = np.array(finer.points)
            if target.kind != "polygon":  # a middle is inside of the circle of its ends
                ends = np.linalg.norm(mesh.points[edges[on_rim]], axis=2).mean(1)
                middle = points[before:][on_rim]
                middle *= (ends / np.linalg.norm(middle, axis=1))[:, None]
                points[before:][on_rim] = middle
            mesh = Mesh(points, finer.cells)
        return mesh


def _pulled(samples: MeshSamples, into: Sequence[Any]) -> list[Float[np.ndarray, "n m c"]]:
    """Coordinates, and inputs at points in the order of their names, at those of the common mesh.

    Args:
        samples: Meshes and inputs.
        into: From the points of each sample to those of the common mesh.
    """
    groups = [[mesh.points for mesh in samples.meshes]]
    groups += [list(samples.fields[name]) for name in sorted(samples.fields)]
    return [
        np.stack([matrix @ one for matrix, one in zip(into, group, strict=True)])
        for group in groups
    ]


def _basis(pulled: Float[np.ndarray, "n m c"], weight: Any, most: int, missed: float) -> Basis:
    """The mean of some fields and their modes in the mean square: as few as miss only a given
    share of the variance.

    Source: Sirovich 1987, Q. Appl. Math. 45, the method of snapshots.
    """
    mean = pulled.mean(0)
    off = pulled - mean
    products = sum(off[:, :, k] @ (weight @ off[:, :, k].T) for k in range(off.shape[2]))
    values, vectors = np.linalg.eigh(np.asarray(products))
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    left = values.sum() - np.cumsum(values)
    count = int(np.sum(left > missed * values.sum())) + 1
    # Behind the last ones, and where all samples are the same, there is rounding alone.
    whole = float(np.sum(np.square(pulled) * weight.sum(1)[None, :, None]))
    least = max(_ROUNDING * values[0], _ROUNDING**2 * whole)
    count = min(count, most, len(pulled) - 1, int(np.sum(values > least)))
    modes = np.einsum("nk,nmc->kmc", vectors[:, :count], off)
    return Basis(mean, modes / np.sqrt(values[:count])[:, None, None])


def _seen(
    bases: Sequence[Basis], pulled: Sequence[Float[np.ndarray, "n m c"]], weight: Any
) -> Float[np.ndarray, "n k"]:
    """The amplitudes of modes in some fields."""
    columns = []
    for basis, one in zip(bases, pulled, strict=True):
        off, modes = one - np.asarray(basis.mean), np.asarray(basis.modes)
        weighted = [weight @ modes[:, :, k].T for k in range(modes.shape[2])]
        columns.append(sum(off[:, :, k] @ column for k, column in enumerate(weighted)))
    return np.concatenate(columns, 1)


def _truncated(
    fields: Float[np.ndarray, "n m c"],
    outputs: Sequence[Basis],
    amplitudes: Sequence[Float[np.ndarray, "n k"]],
) -> Float[np.ndarray, "m c"]:
    """The variance at each point that the modes leave out, of samples that are new to them."""
    columns = []
    for k, (basis, amplitude) in enumerate(zip(outputs, amplitudes, strict=True)):
        modes, mean = np.asarray(basis.modes)[:, :, 0], np.asarray(basis.mean)[:, 0]
        off = fields[:, :, k] - mean - amplitude @ modes
        free = max(len(fields) - 1 - len(modes), 1)
        columns.append(np.sum(np.square(off), 0) / free)
    return np.stack(columns, 1)


def _standard(
    rows: Float[np.ndarray, "n k"],
) -> tuple[Float[np.ndarray, "n k"], Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Rows without their mean, divided by their deviation; both."""
    mean, deviation = rows.mean(0), rows.std(0)
    varies = deviation > _SAME * np.abs(mean)
    deviation = np.where(varies & (deviation > 0), deviation, 1.0)
    return (rows - mean) / deviation, mean, deviation


@dataclass(frozen=True)
class Sizes:
    """How many of everything `MorphedProcesses` have, so that a file can be read into them.

    Attributes:
        samples: For training.
        points: Of the common mesh.
        cells: Its triangles.
        landmarks: Of the boundary.
        dimension: Of the coordinates of the samples.
        shape: Modes of the shape.
        fields: Channels and modes of each input at points, by name.
        numbers: Inputs that are numbers.
        outputs: Modes of each output.
        scalars: Outputs that are numbers.
    """

    samples: int
    points: int
    cells: int
    landmarks: int
    dimension: int
    shape: int
    fields: Mapping[str, tuple[int, int]]
    numbers: int
    outputs: tuple[int, ...]
    scalars: int

    @classmethod
    def of(cls, fitted: MorphedProcesses, scalars: int) -> "Sizes":
        """Those of fitted processes, of which the last ``scalars`` are of numbers."""
        fields = {name: basis.modes.shape for name, basis in fitted.fields.items()}
        modes = len(fitted.shape.modes) + sum(shape[0] for shape in fields.values())
        return cls(
            samples=len(fitted.processes.inputs),
            points=len(fitted.points),
            cells=len(fitted.cells),
            landmarks=len(fitted.shares),
            dimension=fitted.shape.mean.shape[1],
            shape=len(fitted.shape.modes),
            fields={name: (shape[2], shape[0]) for name, shape in fields.items()},
            numbers=len(fitted.centre) - modes,
            outputs=tuple(len(basis.modes) for basis in fitted.outputs),
            scalars=scalars,
        )

    def empty(self) -> MorphedProcesses:
        """Processes of these sizes, all zeros."""
        m, n = self.points, self.samples
        q = self.shape + sum(modes for _, modes in self.fields.values()) + self.numbers
        k = sum(self.outputs) + self.scalars

        def basis(channels: int, modes: int) -> Basis:
            return Basis(jnp.zeros((m, channels)), jnp.zeros((modes, m, channels)))

        chosen = Hyperparameters(jnp.zeros((k, q)), jnp.zeros(k), jnp.zeros(k))
        return MorphedProcesses(
            points=jnp.zeros((m, 2)),
            cells=jnp.zeros((self.cells, 3), jnp.int32),
            shares=jnp.zeros(self.landmarks),
            radius=jnp.zeros(()),
            shape=basis(self.dimension, self.shape),
            fields={name: basis(*pair) for name, pair in sorted(self.fields.items())},
            outputs=[basis(1, modes) for modes in self.outputs],
            missed=jnp.zeros((m, len(self.outputs))),
            centre=jnp.zeros(q),
            deviation=jnp.zeros(q),
            middle=jnp.zeros(k),
            scale=jnp.zeros(k),
            processes=Processes(jnp.zeros((n, q)), jnp.zeros((n, k)), chosen),
        )
