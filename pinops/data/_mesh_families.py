"""Data on meshes that pinops makes itself: random shapes, each with its own mesh and solution.

Solutions are those of `pinops.reference` with quadratic elements. Sample k depends on the seed and
on k alone, and its shape not on the number of points, so that the same shapes can be meshed finer.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from threadpoolctl import threadpool_limits

from pinops.data._contents import Contents
from pinops.geometry import Mesh, nearest_on_edges, triangulated
from pinops.reference import heat_on_mesh, plane_stress, poisson_on_mesh

NODES = (500, 1500)  # of the meshes of a family, where nothing else is asked for
_DRAWS = 50  # shapes that are drawn before a family gives up; about one in a hundred does not mesh
_MOST_NODES = 1_000_000
_TIMES = np.linspace(0, 1, 11)  # of the family in time
Outline = Float[np.ndarray, "v 2"]


class Sample(NamedTuple):
    """A mesh, what is known at its points, the solution there, ``(m,)`` or at all times ``(t, m)``,
    and numbers of the whole sample, given and sought.
    """

    mesh: Mesh
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]
    parameters: Mapping[str, float] = {}
    scalars: Mapping[str, float] = {}
    times: Float[np.ndarray, " t"] | None = None


def mesh_contents(
    family: str,
    count: int = 1000,
    *,
    seed: int = 0,
    nodes: tuple[int, int] = NODES,
    workers: int = 1,
    report: Callable[[int, int], None] = lambda done, count: None,
) -> Contents:
    """Random shapes, with a mesh and a solution for each.

    Args:
        family: "elasticity_hole", a plate with a random hole on rollers, pulled at the top;
            "heat_polygons", heat of a random source in a random polygon that is cold outside;
            "heat_in_time", how it comes to that from the heat of another source, with a random
            diffusivity; "flow_bodies", potential flow past a random body; "poisson_stars",
            Poisson's equation in random smooth shapes; "notched_plate" and "elliptical_hole",
            plates that are pulled at the top, with the largest stress; or "heat_sink", the
            temperature of a comb of three fins.
        count: How many samples, >= 1.
        seed: From 0 to 2^32 - 1.
        nodes: The range of the number of points, which is hit up to a few percent; at least 50.
        workers: Processes that share the work.
        report: ``report(done, count)`` is called after every sample.

    Raises:
        ValueError: For another family, and for numbers out of range.
        ImportError: Without scikit-fem.
    """
    if family not in MESH_FAMILIES:
        raise ValueError(
            f"there is no family on meshes {family!r}; choose {', '.join(MESH_FAMILIES)}"
        )
    for name, value, least in (("count", count, 1), ("workers", workers, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**32:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if not 50 <= nodes[0] <= nodes[1] <= _MOST_NODES:
        raise ValueError(
            f"nodes must be two numbers from 50 to {_MOST_NODES}, the smaller first, got {nodes}"
        )
    solve, units = partial(_sample, family, seed, nodes), {"x": "1", "y": "1"}
    samples: list[Sample] = []
    if workers == 1:
        for k in range(count):
            samples.append(solve(k))
            report(k + 1, count)
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for sample in pool.map(solve, range(count), chunksize=4):
                samples.append(sample)
                report(len(samples), count)
    first, points = samples[0], [sample.mesh.points for sample in samples]
    return Contents(
        outputs={name: [s.outputs[name] for s in samples] for name in first.outputs}
        | {name: np.array([s.scalars[name] for s in samples]) for name in first.scalars},
        coordinates=points if first.times is None else {"t": first.times, "points": points},
        inputs={name: [s.inputs[name] for s in samples] for name in first.inputs},
        parameters={n: np.array([s.parameters[n] for s in samples]) for n in first.parameters},
        time=None if first.times is None else "t",
        units=units,
        cells=[sample.mesh.cells for sample in samples],
        source=f"{count} samples of {family}, seed {seed}",
    )


# Rounding depends on the number of threads; data do not depend on the cores.
@threadpool_limits.wrap(limits=1, user_api="blas")
def _sample(family: str, seed: int, nodes: tuple[int, int], number: int) -> Sample:
    """One sample of a family; shapes that do not mesh at its size are left out.

    Raises:
        ValueError: Where none of many shapes can be meshed.
    """
    rng = np.random.default_rng([seed, number])
    for _ in range(_DRAWS):
        share = rng.uniform()
        shape = MESH_FAMILIES[family](rng)
        points = nodes[0] + share * (nodes[1] - nodes[0])
        try:
            mesh = triangulated(shape.outlines, _size(shape.outlines, points), seed=number)
        except ValueError:
            continue
        return shape.solved(mesh)
    raise ValueError(
        f"{family}: no shape could be meshed with {nodes[0]} to {nodes[1]} points; take more"
    )


class Shape(NamedTuple):
    """The outlines of a sample, and how it is solved on a mesh of them."""

    outlines: Sequence[Outline]
    solved: Callable[[Mesh], Sample]


def _size(outlines: Sequence[Outline], points: float) -> float:
    """The distance between points at which a region has a given number of them.

    Each inner point has two triangles of its own, and each point of the boundary one of half a
    side: n = A / (√3/2 h²) + L / (2h).
    """
    areas = [abs(_area(outline)) for outline in outlines]
    inside = 2 * max(areas) - sum(areas)
    length = sum(np.linalg.norm(o - np.roll(o, 1, 0), axis=1).sum() for o in outlines)
    linear = 0.25 * length / points
    return linear + math.sqrt(linear**2 + 2 * inside / (math.sqrt(3) * points))


def _area(outline: Outline) -> float:
    x, y = outline.T
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def _onto(outlines: Sequence[Outline]) -> Callable[[np.ndarray], np.ndarray]:
    """Moves points to the nearest ones on some outlines."""
    starts = np.concatenate(list(outlines))
    ends = np.concatenate([np.roll(outline, -1, 0) for outline in outlines])

    def moved(at: np.ndarray) -> np.ndarray:
        _, edge, share = nearest_on_edges(starts, ends, at)
        return starts[edge] + share[:, None] * (ends - starts)[edge]

    return moved


def _blob(rng: np.random.Generator, radius: float, roughness: float, terms: int) -> Outline:
    """A smooth closed curve about 0: the logarithm of its radius is a random Fourier series, whose
    k-th term has the size ``roughness / k``.
    """
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    order = np.arange(2, 2 + terms)
    size = roughness * rng.normal(size=(2, terms)) / order
    waves = np.stack([np.cos(np.outer(order, angle)), np.sin(np.outer(order, angle))])
    distance = radius * np.exp(np.einsum("pk,pka->a", size, waves))
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], 1)


def _box(low: tuple[float, float], high: tuple[float, float]) -> Outline:
    return np.array([low, (high[0], low[1]), high, (low[0], high[1])], np.float64)


def _elasticity_hole(rng: np.random.Generator) -> Shape:
    """The unit square with a hole, of mean radius 0.12 to 0.25, at least 0.15 from every side."""
    hole = _blob(rng, rng.uniform(0.12, 0.25), 0.3, 4)
    hole *= min(1.0, 0.65 / np.ptp(hole, axis=0).max())
    centre = rng.uniform(0.15 - hole.min(0), 0.85 - hole.max(0))
    outlines = [_box((0.0, 0.0), (1.0, 1.0)), hole + centre]

    def solved(mesh: Mesh) -> Sample:
        assert mesh.cells is not None
        found = plane_stress(mesh.points, mesh.cells, bottom=0.0, top=1.0, onto=_onto(outlines))
        return Sample(mesh, {}, {name: found[name] for name in ("ux", "uy", "stress")})

    return Shape(outlines, solved)


def _heat_polygons(rng: np.random.Generator) -> Shape:
    """Polygons of 5 to 8 vertices with -Δu = f, u = 0 on the boundary; f is a sum of five Gaussians
    of random sign, centre and width.
    """
    outline, source = _polygon(rng), _gaussians(rng)

    def solved(mesh: Mesh) -> Sample:
        assert mesh.cells is not None
        found = poisson_on_mesh(
            mesh.points,
            mesh.cells,
            source=source,
            given=lambda x, y: np.zeros_like(x),
            where=lambda x, y: np.ones_like(x, bool),
        )
        return Sample(mesh, {"source": source(*mesh.points.T)}, {"u": found["u"]})

    return Shape([outline], solved)


def _heat_in_time(rng: np.random.Generator) -> Shape:
    """The same polygons with ∂u/∂t = κ (Δu + f), u = 0 on the boundary, from the steady temperature
    of another source; κ from 0.02 to 0.2, its logarithm uniform, t from 0 to 1.
    """
    outline, source, before = _polygon(rng), _gaussians(rng), _gaussians(rng)
    diffusivity = math.exp(rng.uniform(math.log(0.02), math.log(0.2)))

    def solved(mesh: Mesh) -> Sample:
        assert mesh.cells is not None
        u = heat_on_mesh(
            mesh.points,
            mesh.cells,
            before=before,
            source=source,
            diffusivity=diffusivity,
            times=_TIMES,
        )
        known = {"source": source(*mesh.points.T)}
        return Sample(mesh, known, {"u": u}, {"diffusivity": diffusivity}, times=_TIMES)

    return Shape([outline], solved)


def _polygon(rng: np.random.Generator) -> Outline:
    count = int(rng.integers(5, 9))
    angle = 2 * np.pi * (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count
    distance = rng.uniform(0.5, 1.0, count)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle)], 1)


def _gaussians(rng: np.random.Generator) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A sum of five, of random sign, centre and width."""
    centre, width = rng.uniform(-0.7, 0.7, (5, 2)), rng.uniform(0.15, 0.5, 5)
    height = rng.normal(size=5)

    def source(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        total = np.zeros_like(x)
        for (a, b), w, h in zip(centre, width, height, strict=True):
            total += h * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * w**2))
        return total

    return source


def _flow_bodies(rng: np.random.Generator) -> Shape:
    """Potential flow without circulation past a body in a box of 4 x 2: φ = x on the left and on
    the right, no flow through the body and the walls. Outputs are φ and its gradient, the velocity.
    """
    body = _blob(rng, rng.uniform(0.2, 0.45), 0.4, 4)
    body *= min(1.0, 1.4 / np.ptp(body, axis=0).max())
    edge = np.array([1.2, 0.8])
    outlines = [
        _box((-2.0, -1.0), (2.0, 1.0)),
        body + rng.uniform(-edge - body.min(0), edge - body.max(0)),
    ]

    def solved(mesh: Mesh) -> Sample:
        assert mesh.cells is not None
        found = poisson_on_mesh(
            mesh.points,
            mesh.cells,
            source=lambda x, y: np.zeros_like(x),
            given=lambda x, y: x,
            where=lambda x, y: np.abs(x) > 2 - 1e-9,
            onto=_onto(outlines),
        )
        names = {"potential": "u", "velocity_x": "u_x", "velocity_y": "u_y"}
        return Sample(mesh, {}, {name: found[key] for name, key in names.items()})

    return Shape(outlines, solved)


def _poisson_stars(rng: np.random.Generator) -> Shape:
    """Shapes of radius 1 + Σ aₖ cos kφ + bₖ sin kφ, k from 1 to 4, with normal coefficients of
    deviation 0.135 / √k, and -Δu = 1 + μ x, u = 0 on the boundary, μ from -1 to 1.
    """
    angle, order = np.linspace(0, 2 * np.pi, 400, endpoint=False), np.arange(1, 5)
    waves = np.stack([np.cos(np.outer(order, angle)), np.sin(np.outer(order, angle))])
    radius = np.zeros_like(angle)
    while radius.min() < 0.4:  # of a few in a hundred
        size = 0.135 * rng.normal(size=(2, 4)) / np.sqrt(order)
        radius = 1 + np.einsum("pk,pka->a", size, waves)
    outlines = [np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)]
    tilt = rng.uniform(-1.0, 1.0)

    def solved(mesh: Mesh) -> Sample:
        assert mesh.cells is not None
        found = poisson_on_mesh(
            mesh.points,
            mesh.cells,
            source=lambda x, y: 1 + tilt * x,
            given=lambda x, y: np.zeros_like(x),
            where=lambda x, y: np.ones_like(x, bool),
            onto=_onto(outlines),
        )
        return Sample(mesh, {}, {"u": found["u"]}, {"tilt": tilt})

    return Shape(outlines, solved)


def _pulled(
    mesh: Mesh, outlines: Sequence[Outline], height: float, traction: float, poisson: float
) -> Sample:
    """A plate of that height in plane stress, with its largest stress and displacement."""
    assert mesh.cells is not None
    found = plane_stress(
        mesh.points,
        mesh.cells,
        bottom=0.0,
        top=height,
        traction=traction,
        poisson=poisson,
        onto=_onto(outlines),
    )
    scalars = {"stress_max": found["stress"].max(), "uy_max": found["uy"].max()}
    return Sample(mesh, {}, found, {"traction": traction, "poisson": poisson}, scalars)


def _notched_plate(rng: np.random.Generator) -> Shape:
    """A plate of 1 x 2 with a notch on each side, half of a disc of radius 0.1 to 0.3, centred
    within 0.3 of the middle; the traction is from 0.5 to 1.5, Poisson's ratio from 0.2 to 0.4.
    """
    turn = np.linspace(-np.pi / 2, np.pi / 2, 61)
    (left, right), (low, high) = rng.uniform(0.1, 0.3, 2), rng.uniform(0.7, 1.3, 2)
    arc = np.stack([np.cos(turn), np.sin(turn)], 1)
    corners = _box((0.0, 0.0), (1.0, 2.0))
    # Counter-clockwise: up along the right notch, down along the left one.
    on_right = np.array([1.0, high]) + right * arc * [-1, 1]
    on_left = np.array([0.0, low]) + left * arc[::-1]
    outlines = [np.concatenate([corners[:2], on_right, corners[2:], on_left])]
    traction, poisson = rng.uniform(0.5, 1.5), rng.uniform(0.2, 0.4)

    def solved(mesh: Mesh) -> Sample:
        return _pulled(mesh, outlines, 2.0, traction, poisson)

    return Shape(outlines, solved)


def _elliptical_hole(rng: np.random.Generator) -> Shape:
    """The unit square with an ellipse of half axes 0.08 to 0.25 at any angle, at least 0.15 from
    every side; traction and Poisson's ratio as of the notched plate.
    """
    angle, turn = np.linspace(0, 2 * np.pi, 400, endpoint=False), rng.uniform(0, np.pi)
    a, b = rng.uniform(0.08, 0.25, 2)
    x, y = a * np.cos(angle), b * np.sin(angle)
    c, s = math.cos(turn), math.sin(turn)
    hole = np.stack([c * x - s * y, s * x + c * y], 1)
    centre = rng.uniform(0.15 - hole.min(0), 0.85 - hole.max(0))
    outlines = [_box((0.0, 0.0), (1.0, 1.0)), hole + centre]
    traction, poisson = rng.uniform(0.5, 1.5), rng.uniform(0.2, 0.4)

    def solved(mesh: Mesh) -> Sample:
        return _pulled(mesh, outlines, 1.0, traction, poisson)

    return Shape(outlines, solved)


def _heat_sink(rng: np.random.Generator) -> Shape:
    """A base of width 1 with three fins: Δu = 0, the flux 1 from below, and ∂u/∂n = -h u on the
    rest of the boundary, h from 0.5 to 2, its logarithm uniform; with the largest u.
    """
    base, widths, heights = (
        rng.uniform(0.1, 0.2),
        rng.uniform(0.12, 0.22, 3),
        rng.uniform(0.4, 0.9, 3),
    )
    gap = (1 - widths.sum()) / 2
    left = np.array([0.0, widths[0] + gap, 1 - widths[2]])
    transfer = math.exp(rng.uniform(math.log(0.5), math.log(2.0)))
    corners = [(0.0, 0.0), (1.0, 0.0)]
    for start, width, height in zip(left[::-1], widths[::-1], heights[::-1], strict=True):
        sides = [(start + width, base), (start + width, base + height)]
        sides += [(start, base + height), (start, base)]
        # The sides of the outer fins go on along those of the base.
        corners += [at for at in sides if at[1] > base or 1e-9 < at[0] < 1 - 1e-9]
    outlines = [np.array(corners)]

    def solved(mesh: Mesh) -> Sample:
        assert mesh.cells is not None
        found = poisson_on_mesh(
            mesh.points,
            mesh.cells,
            source=lambda x, y: np.zeros_like(x),
            given=lambda x, y: np.zeros_like(x),
            where=lambda x, y: np.zeros_like(x, bool),
            flux=lambda x, y: 1.0 * (y < 1e-9),
            transfer=lambda x, y: transfer * (y >= 1e-9),
        )
        scalars = {"u_max": found["u"].max()}
        return Sample(mesh, {}, {"u": found["u"]}, {"transfer": transfer}, scalars)

    return Shape(outlines, solved)


MESH_FAMILIES: Mapping[str, Callable[[np.random.Generator], Any]] = {
    "elasticity_hole": _elasticity_hole,
    "heat_polygons": _heat_polygons,
    "heat_in_time": _heat_in_time,
    "flow_bodies": _flow_bodies,
    "poisson_stars": _poisson_stars,
    "notched_plate": _notched_plate,
    "elliptical_hole": _elliptical_hole,
    "heat_sink": _heat_sink,
}
