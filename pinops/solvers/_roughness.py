"""Where a problem is not smooth: jumps of coefficients and sources, kinks and jumps of data.

Differences along a line tell: on a finer grid a jump stays as large as it is, a kink shrinks like
the spacing, and what is smooth like its square. So a line is looked at twice, the second time
closely.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import Coordinate, Point, apply_pointwise
from pinops.problem import (
    INTERIOR,
    Face,
    Problem,
    Region,
    constraints,
    faces,
    residual_signature,
)
from pinops.settings import quick
from pinops.training import Model, Params

LINES = 16  # through the domain, along which a jump is looked for
CELLS = 256  # of a line of data
MAX_NAMED = 8  # coordinates in an equation: along more of them no jump is looked for
MAX_LINED = 4  # coordinates: in more dimensions there are too many faces to look at
ZOOM = 128  # how much closer a line of data is looked at the second time
NEAR = 0.05  # of the length of the domain
LASTING = 0.5  # what keeps more than this share of its height is a jump
SMALLEST = 1e-3  # of the size of an equation, or of data
SMOOTH = 1.5  # the power of the distance above which data have no kink

Near = Callable[[Region, Float[np.ndarray, "n d"]], np.ndarray]


@dataclass(frozen=True)
class Spot:
    """Where a problem is not smooth.

    Args:
        what: In words, with the location: "the equation jumps at x = 0.5".
        near: Which points of a region are close to it.
        remedy: What helps, in words; empty where that is not known.
        share: Of the loss that is found there.
        volume: The share that would be there if it were spread evenly.
    """

    what: str
    near: Near
    remedy: str = ""
    share: float = 0.0
    volume: float = 1.0

    @property
    def gathers(self) -> bool:
        """Whether much more of the loss is there than its size explains."""
        return self.share > max(0.3, 2 * self.volume)

    def measured(self, squares: dict[str, tuple[Region, np.ndarray, np.ndarray]]) -> "Spot":
        """With the share of the loss that is near.

        ``squares``: by term its region, its points, and what each of them adds to the loss.
        """
        total = sum(float(part.sum()) for _, _, part in squares.values())
        here = even = 0.0
        for region, at, part in squares.values():
            close = self.near(region, at)
            here += float(part[close].sum())
            even += float(part.sum()) * float(np.mean(close))
        tiny = np.finfo(float).tiny
        return replace(self, share=here / max(total, tiny), volume=even / max(total, tiny))


def jump_of(model: Model, params: Params, points: Float[np.ndarray, "n d"]) -> Spot | None:
    """The largest jump of the interior equations along a coordinate that they name.

    The solution is that of one point everywhere, so that coefficients and sources alone vary.

    Args:
        model: The problem.
        params: Of the solution.
        points: In the domain, a multiple of `LINES`.
    """
    names, arguments = model.problem.domain.coordinates, residual_signature(model.problem).arguments
    whole = any(isinstance(argument, Point) for _, argument in arguments)
    named = {argument.axis for _, argument in arguments if isinstance(argument, Coordinate)}
    axes = [axis for axis in range(len(names)) if whole or axis in named]
    if len(axes) > MAX_NAMED:
        return None
    bounds = np.asarray([model.problem.domain.bounds[name] for name in names])
    count = len(points) // LINES
    best, found = 0.0, None
    for axis in axes:
        base = np.repeat(points[:LINES], count, 0)
        low, high = bounds[axis]
        lines = np.array(base)
        lines[:, axis] = np.tile(np.linspace(low, high, count), LINES)
        heights = _heights(_frozen(model, params, base, lines).reshape(-1, LINES, count))
        line, cell = np.unravel_index(np.argmax(heights.max(0)), heights.shape[1:])
        height = float(heights[:, line, cell].max())
        if height < SMALLEST or height <= best:
            continue
        base = np.repeat(points[line : line + 1], len(points), 0)
        close = np.array(base)
        at = lines[line * count + cell, axis], lines[line * count + cell + 1, axis]
        close[:, axis] = np.linspace(*at, len(points))
        again = _heights(_frozen(model, params, base, close))
        if float(again.max()) > LASTING * height:
            where = float(close[int(np.argmax(again.max(0))), axis])
            best, found = height, (points[line], f"{names[axis]} = {where:.4g}")
    if found is None:
        return None
    point, where = found

    def near(region: Region, at: Float[np.ndarray, "n d"]) -> np.ndarray:
        """Where the equations change by about as much within a small distance."""
        if region != INTERIOR:
            return np.zeros(len(at), bool)
        base = np.repeat(point[None], len(at), 0)
        out = np.zeros(len(at), bool)
        for axis in axes:
            ends = []
            for sign in (-1, 1):
                moved = np.array(at)
                step = sign * NEAR * (bounds[axis, 1] - bounds[axis, 0])
                moved[:, axis] = np.clip(moved[:, axis] + step, *bounds[axis])
                ends.append(_frozen(model, params, base, moved))
            out |= np.nanmax(np.nan_to_num(np.abs(ends[1] - ends[0])), 0) > LASTING * best
        return out

    return Spot(f"the equation jumps at {where}", near)


def _heights(values: Float[np.ndarray, "*e n"]) -> Float[np.ndarray, "*e m"]:
    """How much neighbours differ; zero where one is not finite."""
    with np.errstate(invalid="ignore"):
        gaps = np.abs(np.diff(values, axis=-1))
    return np.where(np.isfinite(gaps), gaps, 0.0)


def _frozen(model: Model, params: Params, base: np.ndarray, at: np.ndarray) -> np.ndarray:
    """`_equations` in NumPy."""
    dtype = jnp.result_type(float)
    return np.asarray(_equations(model, params, jnp.asarray(base, dtype), jnp.asarray(at, dtype)))


@quick
def _equations(
    model: Model, params: Params, base: Float[Array, "n d"], at: Float[Array, "n d"]
) -> Float[Array, "e n"]:
    """The interior equations, over their sizes, with other coordinates than the solution."""
    (inside,) = constraints(model.problem_at(params), ())
    field = model.field(params)
    jet = field.jet(base, inside.signature.plan)
    values = inside.signature.gather(jet, at, elsewhere=field.jet)
    found = apply_pointwise(inside.function, values, owner=model.owner)
    sizes = model.scales.terms
    return jnp.stack([value / sizes[name or "residual"] for name, value in found.items()])


def kinks_of(problem: Problem) -> list[Spot]:
    """Kinks and jumps of the data on faces."""
    out, values = [], _values(problem)
    if len(problem.domain.coordinates) > MAX_LINED:
        return []
    with jax.enable_x64(True):
        for number, face in enumerate(values):
            for axis in range(len(problem.domain.coordinates)):
                if axis != face.axis:
                    out += _along_a_line(problem, number, axis)
    return out


def _values(problem: Problem) -> list[Face]:
    """The faces on which values are given."""
    return [face for face in faces(problem) if face.is_value]


def on_face(problem: Problem, face: Face) -> tuple[str, float]:
    """A face in words, and its coordinate."""
    name = problem.domain.coordinates[face.axis]
    at = problem.domain.bounds[name][face.upper]
    return f"{name} = {at:.4g}", float(at)


def _along_a_line(problem: Problem, number: int, axis: int) -> list[Spot]:
    """The sharpest bend of the data of a face along a line through its middle."""
    face = _values(problem)[number]
    names, bounds = problem.domain.coordinates, problem.domain.bounds
    middle = np.asarray([sum(bounds[name]) / 2 for name in names])
    low, high = bounds[names[axis]]

    def bends(grid: np.ndarray) -> np.ndarray:
        line = np.repeat(middle[None], len(grid), 0)
        line[:, axis] = grid
        values = np.asarray(_data(problem, jnp.asarray(line))[number], np.float64)
        size = np.abs(values).max(initial=0.0)
        return np.abs(np.diff(values, 2)) / (size or 1.0)

    grid = np.linspace(low, high, CELLS + 1)
    first = bends(grid)
    k = int(np.argmax(first))
    if first[k] < SMALLEST / CELLS:
        return []
    # As many points, closer together by the factor.
    width = (grid[1] - grid[0]) / ZOOM
    again = bends(np.linspace(grid[k], grid[k + 2], 2 * ZOOM + 1))
    power = np.log(first[k] / max(again.max(), np.finfo(float).tiny)) / np.log(ZOOM)
    if not power < SMOOTH:
        return []
    where = grid[k] + width * (int(np.argmax(again)) + 1)
    face_name, face_at = on_face(problem, face)
    what = "jump" if power < LASTING else "have a kink"
    lengths = {name: end - start for name, (start, end) in bounds.items()}

    def near(region: Region, at: Float[np.ndarray, "n d"]) -> np.ndarray:
        beside = np.abs(at[:, axis] - where) < NEAR * lengths[names[axis]]
        behind = np.abs(at[:, face.axis] - face_at) < 4 * NEAR * lengths[names[face.axis]]
        return beside & behind

    unknown = problem.unknowns[face.component]
    return [
        Spot(f"the data of {unknown} on {face_name} {what} at {names[axis]} = {where:.4g}", near)
    ]


@quick
def _data(problem: Problem, points: Float[Array, "n d"]) -> Float[Array, "f n"]:
    """The data of every face of `_values` at points: one program for all of them."""
    return jnp.stack([jax.vmap(face.data)(points) for face in _values(problem)])
