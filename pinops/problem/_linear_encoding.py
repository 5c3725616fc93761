"""A problem of the user as a `LinearSamples`: what a network that reads linear problems is given.

Everything comes from the same objects as in a training: the coefficients from the residual, the
data from the conditions as `constraints` writes them, points and normals from the domain.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from pinops.derivatives import (
    LAPLACIAN,
    Index,
    Integrated,
    Jet,
    Partial,
    Plan,
    apply_pointwise,
    nested,
)
from pinops.geometry import TERMINAL, Box, Difference, Domain
from pinops.problem._conditions import Dirichlet, Initial, Neumann, sentence
from pinops.problem._constraints import INITIAL, constraints
from pinops.problem._linear_samples import LinearSamples, pixels
from pinops.problem._problem import Problem, residual_signature, values_at
from pinops.sampling import Sobol
from pinops.settings import Number, Whole, require

LARGEST, SMALLEST = 2.0, 0.5  # the largest coefficient of an equation
DENSE = 8192  # points of each part, of which a pixel shows the nearest one
PROBES = 64  # points at which the equation is looked at
ROUNDING = 1e-9  # relative, of what should be equal
CLASS = "c0 u + c1 u_x + c2 u_y + c3 u_xx + c4 u_yy = f with constant coefficients"
STREAMS: tuple[Index, ...] = ((), (0,), (1,), (0, 0), (1, 1))
FIRST = "first instant"  # beside the parts of the boundary
PointFunction = Callable[[Any], Any]


class SquareMap(eqx.Module):
    """How the bounding box of a domain lies on [-1, 1]^2, space before time.

    Args:
        centre: ``(2,)``, the middle of the box.
        half: ``(2,)``, half of the lengths of its sides.
        axes: Which column of the domain's points each coordinate of the square is.
    """

    centre: Float[np.ndarray, "2"]
    half: Float[np.ndarray, "2"]
    axes: tuple[int, int] = eqx.field(static=True)

    def to_square(self, points: Float[Any, "n 2"]) -> Float[Any, "n 2"]:
        """Points of the domain, columns as its coordinates, as points of the square."""
        return (points[:, self.axes] - self.centre[None]) / self.half[None]

    def from_square(self, points: Float[Any, "n 2"]) -> Float[Any, "n 2"]:
        """Points of the square as points of the domain, columns as its coordinates."""
        # Two axes that are exchanged are exchanged back by the same numbers.
        return (points * self.half[None] + self.centre[None])[:, self.axes]


class EncodedProblem(eqx.Module):
    """A linear problem on the square, and where it came from, made by `encoded`.

    Args:
        samples: One problem, without leading axes, in NumPy float64.
        square: The map between the domain and the square.
        factor: By which the equation of the problem was multiplied.
    """

    samples: LinearSamples
    square: SquareMap
    factor: float


def encoded(
    problem: Problem, *, size: int = 32, points: int = 256, boundary: int = 128, width: float = 1.25
) -> EncodedProblem:
    """A linear problem of two coordinates as images and points on [-1, 1]^2.

    The domain is moved and stretched to the square, whose second coordinate is time where there is
    time. The equation is multiplied by a number where its largest coefficient on the square is
    above 2 or below 1/2.

    Args:
        problem: ``c0 u + c1 u_x + c2 u_y + c3 u_xx + c4 u_yy = f`` with constant coefficients, on a
            `Box`, or on one minus other shapes, with `Dirichlet`, `Neumann` and `Initial`.
        size: N, rows of an image, from 8 to 1024.
        points: n, interior points.
        boundary: m, boundary points, about as many on each part.
        width: How far from the boundary a pixel shows it, in pixels, from 0 to 10.

    Returns:
        The sample and the map; the exact solution is known where the problem has it.

    Raises:
        ValueError: For any other problem, in one sentence that says what it has and what can be
            encoded.

    Example:
        >>> problem = po.load_problem("wave")
        >>> encoded(problem).samples.coefficients.round(6).tolist()  # u_tt - 4 u_xx on (0, 1)²
        [0.0, 0.0, 0.0, -2.0, 0.5]
    """
    require("encoded", "size", size, Whole(8, 1024))
    require("encoded", "points", points, Whole())
    require("encoded", "boundary", boundary, Whole())
    require("encoded", "width", width, Number(above=0, most=10))
    square = _square(problem)
    with jax.ensure_compile_time_eval(), jax.enable_x64(True):
        coefficients, factor = _coefficients(problem, square)
        parts = _parts(problem)
        grid = pixels(size).reshape(-1, 2)
        physical = square.from_square(grid)
        inside = problem.domain.contains(physical, slack=1e-12)
        dense = _given(problem, parts, square, DENSE)
        nearest, distance = _nearest(dense.at, grid)
        shown = dense.taken(nearest).masked(distance < width * 2 / (size - 1))
        few = _given(problem, parts, square, -(-boundary // len(parts)))
        few = few.taken(np.arange(boundary) * len(few.at) // boundary)
        at = problem.domain.sample_interior(_cube, points)
        source = factor * _source(problem, physical, inside)
        images = [shown.dirichlet, shown.neumann, shown.values, shown.fluxes, source]
        streams = _exact(problem, at, square)
        return EncodedProblem(
            LinearSamples(
                coefficients=factor * coefficients,
                images=np.stack(images, -1, dtype=np.float64).reshape(size, size, 5),
                inside=inside.astype(np.float64).reshape(size, size),
                nearest=shown.at.reshape(size, size, 2),
                nearest_normals=shown.normals.reshape(size, size, 2),
                points=square.to_square(at),
                source=factor * _source(problem, at, np.ones(points, bool)),
                streams=np.zeros((points, 5)) if streams is None else streams,
                known=np.asarray(streams is not None),
                boundary=few.at,
                normals=few.normals,
                dirichlet=few.dirichlet,
                neumann=few.neumann,
                values=few.values,
                fluxes=few.fluxes,
            ),
            square,
            factor,
        )


def _square(problem: Problem) -> SquareMap:
    """The map of the domain. Raises ValueError for a problem of another kind."""
    domain, owner = problem.domain, type(problem).__name__
    if len(problem.unknowns) != 1:
        raise ValueError(
            f"{owner} has the unknowns {', '.join(problem.unknowns)}, but only one can be encoded"
        )
    if len(domain.coordinates) != 2:
        raise ValueError(
            f"{owner} has {len(domain.coordinates)} coordinates "
            f"({', '.join(domain.coordinates)}), but only two can be encoded"
        )
    whole: Domain = domain
    while isinstance(whole, Difference):
        whole = whole.left
    if not isinstance(whole, Box):
        raise ValueError(
            f"{owner}: the domain is made of a {type(whole).__name__}, but only a Box, or a Box "
            "minus other shapes, can be encoded"
        )
    if problem.factor is not None and not problem.conditions():
        raise ValueError(
            f"{owner} has no condition but its factor, which cannot be encoded: declare conditions"
        )
    axes = (1, 0) if domain.coordinates[0] == domain.time else (0, 1)
    low, high = np.array([domain.bounds[domain.coordinates[axis]] for axis in axes]).T
    return SquareMap((low + high) / 2, (high - low) / 2, axes)


def _residual(problem: Problem, streams: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The equation with numbers ``(n, 5)`` for u and its derivatives, at points ``(n, 2)``."""
    owner, signature = f"{type(problem).__name__}.residual", residual_signature(problem)
    for name, argument in signature.arguments:
        if isinstance(argument, Integrated):
            raise ValueError(f"{owner} has the integral {name}; only {CLASS} can be encoded")
        if isinstance(argument, Partial) and argument.index not in STREAMS:
            raise ValueError(f"{owner} has the derivative {name}; only {CLASS} can be encoded")
    jet: Jet = {index: jnp.asarray(streams[:, k, None]) for k, index in enumerate(STREAMS)}
    jet[LAPLACIAN] = sum((jet[axis, axis] for axis in signature.names.space_axes), 0 * jet[()])
    values = signature.gather(jet, jnp.asarray(points))
    out = apply_pointwise(problem.residual, values, owner=owner)
    if len(out) != 1:
        raise ValueError(f"{owner} has {len(out)} equations, but only one can be encoded")
    return np.asarray(next(iter(out.values())), np.float64)


def _coefficients(problem: Problem, square: SquareMap) -> tuple[Float[np.ndarray, "5"], float]:
    """Those of the equation on the square, and the number by which it should be multiplied."""
    owner = f"{type(problem).__name__}.residual"
    points = problem.domain.sample_interior(_cube, PROBES)
    zero = -_source(problem, points, np.ones(PROBES, bool))
    units = [_residual(problem, np.tile(row, (PROBES, 1)), points) - zero for row in np.eye(5)]
    columns = np.stack(units, 1)  # by the columns of the points, not yet by the axes of the square
    # What is linear doubles with its arguments, up to the round-off of what it is added to.
    streams = 2 * np.random.default_rng(0).standard_normal((PROBES, 5))
    there = _residual(problem, streams, points) - zero
    terms = np.abs(streams * columns).sum(1) + np.abs(zero)
    if not np.all(np.abs(there - (streams * columns).sum(1)) <= ROUNDING * terms):
        raise ValueError(f"{owner} is not linear; only {CLASS} can be encoded")
    spread = np.ptp(columns, axis=0)
    if np.any(spread > ROUNDING * (np.abs(columns).max() + np.abs(zero).max())):
        name = ("u", "u_x", "u_y", "u_xx", "u_yy")[int(spread.argmax())]
        raise ValueError(
            f"{owner}: the coefficient of {name} varies over the domain; only {CLASS} can be "
            "encoded"
        )
    if not np.any(columns) or not np.all(np.isfinite(columns)):
        raise ValueError(
            f"{owner}: the coefficients of u and its derivatives are {columns[0]}; they must be "
            "finite and not all of them 0"
        )
    first, second = square.axes
    order = [0, 1 + first, 1 + second, 3 + first, 3 + second]
    scaled = columns.mean(0)[order] / np.array([1.0, *square.half, *square.half**2])
    scaled[np.abs(scaled) < ROUNDING * np.abs(scaled).max()] = 0.0
    largest = np.abs(scaled).max()
    return scaled, float(np.clip(largest, SMALLEST, LARGEST) / largest)


def _source(
    problem: Problem, points: Float[np.ndarray, "n 2"], inside: Bool[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """f of the problem's own equation; what is not finite in holes is 0."""
    source = -_residual(problem, np.zeros((len(points), 5)), points)
    good = np.isfinite(source)
    if not np.all(good[inside]):
        at = points[inside & ~good][0]
        raise ValueError(
            f"{type(problem).__name__}.residual is not finite at {tuple(map(float, at))}, where "
            "the source is needed"
        )
    return np.where(good, source, 0.0)


def _parts(problem: Problem) -> dict[str, dict[str, PointFunction]]:
    """What is given on each part of the boundary and at the first instant: "value", "slope"."""
    owner, out = type(problem).__name__, {}
    for condition in problem.conditions():
        if not isinstance(condition, Dirichlet | Neumann | Initial):
            raise ValueError(
                f"{owner}: {sentence(problem, condition)}, a {type(condition).__name__}, cannot be "
                "encoded; only Dirichlet, Neumann and Initial can"
            )
    everything = constraints(problem, tuple(range(len(problem.conditions()))))
    for constraint in everything[1:]:
        ((quantity, _),) = (constraint.linear or {}).items()
        kind = "value" if quantity == problem.unknowns[0] else "slope"

        def data(point: Any, function: Any = constraint.function, name: str = quantity) -> Any:
            return -function(point=point, **{name: jnp.zeros((), point.dtype)})

        for part in (FIRST,) if constraint.region == INITIAL else constraint.region.parts:
            out.setdefault(part, {})[kind] = data
    if not out:
        raise ValueError(f"{owner} has no boundary condition; add one, such as Dirichlet(0.0)")
    return out


class _Given(NamedTuple):
    """Points on the boundary of the square, and what is given there."""

    at: Float[np.ndarray, "n 2"]
    normals: Float[np.ndarray, "n 2"]
    dirichlet: Bool[np.ndarray, " n"]
    neumann: Bool[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]
    fluxes: Float[np.ndarray, " n"]

    def taken(self, numbers: Int[np.ndarray, " m"]) -> "_Given":
        """The points with these numbers."""
        return _Given(*(array[numbers] for array in self))

    def masked(self, shown: Bool[np.ndarray, " n"]) -> "_Given":
        """The same points, some of which show nothing."""
        return _Given(self.at, self.normals, *(array * shown for array in self[2:]))


def _given(
    problem: Problem, parts: dict[str, dict[str, PointFunction]], square: SquareMap, count: int
) -> _Given:
    """Points of every part, as many on each."""
    pieces = [_given_on(problem, part, data, square, count) for part, data in parts.items()]
    return _Given(*(np.concatenate(arrays) for arrays in zip(*pieces, strict=True)))


def _given_on(
    problem: Problem,
    part: str,
    data: dict[str, PointFunction],
    square: SquareMap,
    count: int,
) -> _Given:
    domain = problem.domain
    if part in (FIRST, TERMINAL):
        first, last = domain.sample_initial, domain.sample_boundary
        points = first(_cube, count) if part == FIRST else last(part, _cube, count)[0]
        normals = np.tile([0.0, 1.0], (count, 1))  # a rate is the derivative along time
    else:
        points, outward = domain.sample_boundary(part, _cube, count)
        timeless = domain.time is None
        normals = outward[:, square.axes] if timeless else np.pad(outward, ((0, 0), (0, 1)))
    at = square.to_square(points)
    # Slopes along a normal keep their direction on the square where it is along an axis, or where
    # both axes are stretched alike.
    stretched = normals * square.half[None]
    lengths = np.linalg.norm(stretched, axis=1)
    on_square = stretched / lengths[:, None]
    if "slope" in data and np.abs(on_square - normals).max() > ROUNDING:
        raise ValueError(
            f"{type(problem).__name__}: u_n is given on {part}, which is not along the axes, and "
            f"the sides of the domain are {2 * square.half[0]:g} and {2 * square.half[1]:g}; it "
            "can be encoded only where they are equal"
        )
    # Normals of a hole point out of its shape, those of this package out of the domain.
    hole = np.abs(at).max(1) < 1 - ROUNDING
    sign = np.where(hole, -1.0, 1.0)
    columns = {}
    for kind in ("value", "slope"):
        columns[kind] = np.zeros(count)
        if kind in data:
            columns[kind] = np.asarray(jax.vmap(data[kind])(jnp.asarray(points)), np.float64)
    return _Given(
        at=at,
        normals=sign[:, None] * on_square,
        dirichlet=np.full(count, "value" in data),
        neumann=np.full(count, "slope" in data),
        values=columns["value"],
        fluxes=sign * lengths * columns["slope"],
    )


def _nearest(
    boundary: Float[np.ndarray, "m 2"], grid: Float[np.ndarray, "q 2"]
) -> tuple[Int[np.ndarray, " q"], Float[np.ndarray, " q"]]:
    """The numbers and distances of the nearest boundary points."""
    from scipy.spatial import KDTree

    distances, numbers = KDTree(boundary).query(grid)
    return np.asarray(numbers), np.asarray(distances)


def _exact(
    problem: Problem, points: Float[np.ndarray, "n 2"], square: SquareMap
) -> Float[np.ndarray, "n 5"] | None:
    """u, u_x, u_y, u_xx, u_yy of the exact solution on the square; None where it is not known."""
    if problem.exact is None or problem.trainable:
        return None

    def u(at: Any) -> Any:
        return values_at(problem, "exact", square.from_square(at[None])[0])[problem.unknowns[0]]

    at = jnp.asarray(square.to_square(points))
    jet = nested(lambda at: u(at)[None], at, Plan(STREAMS))
    return np.concatenate(
        [np.broadcast_to(jet.get(index, 0.0), (len(points), 1)) for index in STREAMS], 1
    )


def _cube(count: int, dimensions: int) -> Float[np.ndarray, "n d"]:
    return Sobol().points(jax.random.key(0), count, dimensions)
