"""Meshes of different shapes brought to one: a disc, a polygon in it, or an annulus.

The boundary goes to the target by its length, and what is inside follows: each point becomes a mean
of its neighbours. Where the weights are those of the stiffness matrix this is a harmonic map, which
does not depend on how a shape is meshed up to the error of its elements.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Int

from pinops.geometry._edges import between_edges, nearest_on_edges
from pinops.geometry._mesh import Mesh
from pinops.geometry._triangles import (
    boundary_loops,
    corners_of,
    mean_values,
    oriented_triangles,
    outermost_of,
    stiffness,
)
from pinops.settings import OneOf, require

TARGETS = ("disc", "polygon", "annulus")
# A map that turns a triangle over gives way to the next one; the last never does on a convex
# target (Tutte 1963).
MAPS = ("rbf", "harmonic", "mean_value", "uniform")
_LOOPS = {"disc": 1, "polygon": 1, "annulus": 2}
_FIRST = -0.75 * math.pi  # the angle of the first corner, which is the lowest left
T = TypeVar("T")
_FLIPPED = -1e-9  # of the mean area of a triangle


@dataclass(frozen=True)
class Target:
    """What meshes are brought to.

    Attributes:
        kind: "disc", the unit disc; "polygon", the one between the landmarks on its circle; or
            "annulus", the unit disc without a smaller one.
        shares: The parts of the circle between landmarks, which sum to 1; empty without landmarks.
        radius: Of the inner circle of an annulus.
        outermost: Whether the four landmarks are the points of a boundary that lie farthest towards
            the corners of its bounds, instead of those where it turns the most.
    """

    kind: str
    shares: tuple[float, ...] = ()
    radius: float = 0.0
    outermost: bool = False


class Morphed(NamedTuple):
    """A mesh on its target.

    Attributes:
        mesh: Its triangles are counter-clockwise.
        used: The name of the map that has led there.
    """

    mesh: Mesh
    used: str


def target_of(meshes: Sequence[Mesh], kind: str, landmarks: int = 0) -> Target:
    """The target that suits some meshes: the mean shares of the boundary between their landmarks,
    and the mean of the radii at which they would be conformal to an annulus.

    Args:
        meshes: At least one, each a sheet of triangles.
        kind: "disc", "polygon" or "annulus".
        landmarks: How many corners the outer boundary of each has; 0: they do not count.

    Raises:
        ValueError: For another kind, and for meshes that have other boundaries than the target, or
            fewer corners.
    """
    require("target_of", "kind", kind, OneOf(TARGETS))
    if kind == "polygon" and landmarks < 3:
        raise ValueError(f"a polygon has at least 3 landmarks, got {landmarks}")

    def arcs(mesh: Mesh) -> np.ndarray:
        outer = _checked_loops(mesh, kind)[0]
        return _arcs(mesh, outer, corners_of(mesh, outer, landmarks)) if landmarks else np.zeros(0)

    def radius(mesh: Mesh) -> float:
        return _around(mesh, _checked_loops(mesh, kind), mean, "harmonic").radius

    shares = _of_each(meshes, arcs)
    mean = tuple(float(s) for s in np.mean(shares, axis=0)) if landmarks else ()
    radii = _of_each(meshes, radius) if kind == "annulus" else []
    return Target(kind, mean, float(np.mean(radii)) if radii else 0.0)


def morphed(mesh: Mesh, target: Target, by: str = "harmonic") -> Morphed:
    """A mesh on its target.

    A map that turns a triangle over is replaced by the next of "rbf", "harmonic", "mean_value" and
    "uniform"; the result names the one that was used.

    Sources: Eck et al. 1995, doi:10.1145/218380.218440 (harmonic); Floater 2003,
    doi:10.1016/S0167-8396(03)00002-5 (mean_value); Tutte 1963, doi:10.1112/plms/s3-13.1.743
    (uniform).

    Args:
        mesh: A sheet of triangles, in the plane or in space.
        target: See `target_of`.
        by: How the inside follows the boundary: one of the four; "rbf" are thin plate splines
            through the points of the boundary.

    Raises:
        ValueError: For a mesh that has other boundaries than the target, or fewer corners, or whose
            triangles turn over with each of the maps.
    """
    require("morphed", "by", by, OneOf(MAPS))
    cells, flipped = oriented_triangles(mesh), 0
    for name in MAPS[MAPS.index(by) :]:
        found = Mesh(_mapped(mesh, target, name), cells)
        flipped = _flipped(found)
        if not flipped:
            return Morphed(found, name)
    raise ValueError(
        f"a mesh of {len(mesh.points)} points cannot be brought to the {target.kind}: "
        f"{flipped} of its triangles turn over with each of the maps; take a finer mesh or "
        "another target"
    )


def all_morphed(meshes: Sequence[Mesh], target: Target, by: str = "harmonic") -> list[Mesh]:
    """Meshes on one target; a warning says how many took another map than they were asked to.

    Args:
        meshes: Sheets of triangles.
        target: See `target_of`.
        by: How the inside follows the boundary, as for `morphed`.

    Raises:
        ValueError: As `morphed` does, with the place of the mesh in the list.
    """

    def one(mesh: Mesh) -> Morphed:
        return morphed(mesh, target, by)

    found = _of_each(meshes, one)
    others = [each.used for each in found if each.used != by]
    if others:
        warnings.warn(
            f"the map {by!r} turns triangles of {len(others)} of {len(found)} meshes over; they "
            f"took {' or '.join(map(repr, sorted(set(others))))}",
            stacklevel=2,
        )
    return [each.mesh for each in found]


def _of_each(meshes: Sequence[Mesh], what: Callable[[Mesh], T]) -> list[T]:
    """Something of each mesh; an error says of which it is, where there are several."""
    found = []
    for number, mesh in enumerate(meshes):
        try:
            found.append(what(mesh))
        except ValueError as error:
            if len(meshes) == 1:
                raise
            raise ValueError(f"mesh {number}: {error}") from error
    return found


def _flipped(mesh: Mesh) -> int:
    """How many triangles of the plane turn clockwise."""
    assert mesh.cells is not None
    a, b, c = (mesh.points[mesh.cells[:, k]] for k in range(3))
    twice = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    return int(np.sum(twice < _FLIPPED * np.mean(np.abs(twice))))


def _checked_loops(mesh: Mesh, kind: str) -> list[Int[np.ndarray, " l"]]:
    """The loops of a mesh. Raises ValueError where they are not those of the target."""
    loops, wanted = boundary_loops(mesh), _LOOPS[kind]
    if len(loops) != wanted:
        holes = len(loops) - 1
        fitting = {0: "take a disc", 1: "take an annulus"}.get(holes, "fill holes up")
        raise ValueError(
            f"a mesh with {holes} hole{'s' * (holes != 1)}, whose boundary has {len(loops)} "
            f"loop{'s' * (len(loops) != 1)}, cannot be brought "
            f"to the {kind}, which has {wanted}; {fitting}"
        )
    return loops


def _arcs(
    mesh: Mesh, loop: Int[np.ndarray, " l"], corners: Int[np.ndarray, " c"]
) -> Float[np.ndarray, " c"]:
    """The share of the length of a loop from each corner to the next."""
    along = _along(mesh, loop)
    stops = along[corners]
    return np.diff(np.append(stops, stops[0] + along[-1])) % along[-1] / along[-1]


def _along(mesh: Mesh, loop: Int[np.ndarray, " l"]) -> Float[np.ndarray, " l+1"]:
    """The length of a loop before each of its points, and of the whole."""
    sides = np.roll(mesh.points[loop], -1, 0) - mesh.points[loop]
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(sides, axis=1))])


def _start(mesh: Mesh, loop: Int[np.ndarray, " l"]) -> float:
    """Where on a loop its angle is 0, as a length: in the plane where a ray from the middle towards
    +x leaves it for good, else its point of the least coordinates.

    It moves smoothly with the shape, and not from point to point.
    """
    along, points = _along(mesh, loop), mesh.points[loop]
    if points.shape[1] == 2:
        after = np.roll(points, -1, 0)
        cross = points[:, 0] * after[:, 1] - points[:, 1] * after[:, 0]
        middle = ((points + after) * cross[:, None]).sum(0) / (3 * cross.sum())
        (x, y), (ex, ey) = (points - middle).T, (after - points).T
        crossing = (y < 0) != (y + ey < 0)
        share = np.where(crossing, -y / np.where(crossing, ey, 1.0), 0.0)
        there = np.where(crossing, x + share * ex, -np.inf)
        last = int(np.argmax(there))
        if there[last] > 0:
            return float(along[last] + share[last] * (along[last + 1] - along[last]))
    return float(along[np.lexsort(points.T[::-1])[0]])


def _angles(
    mesh: Mesh,
    loop: Int[np.ndarray, " l"],
    shares: tuple[float, ...],
    outermost: bool = False,
) -> Float[np.ndarray, " l"]:
    """Of each point of a loop its angle on the circle: by length, between landmarks by the length
    between these.
    """
    along = _along(mesh, loop)
    if not shares:
        return 2 * math.pi * (along[:-1] - _start(mesh, loop)) / along[-1]
    if outermost:
        corners = outermost_of(mesh, loop)
    else:
        corners = corners_of(mesh, loop, len(shares))
    stops = along[corners]
    ahead = (along[:-1] - stops[0]) % along[-1]
    known = np.append((stops - stops[0]) % along[-1], along[-1])
    return _FIRST + 2 * math.pi * np.interp(ahead, known, np.append(0, np.cumsum(shares)))


def _on_circle(angles: Float[np.ndarray, " l"]) -> Float[np.ndarray, "l 2"]:
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def _on_target(mesh: Mesh, loop: Int[np.ndarray, " l"], target: Target) -> Float[np.ndarray, "l 2"]:
    """Where the outer loop goes."""
    angles = _angles(mesh, loop, target.shares, target.outermost)
    if target.kind != "polygon":
        return _on_circle(angles)
    stops = _FIRST + 2 * math.pi * np.append(0, np.cumsum(target.shares))
    corners = _on_circle(stops)
    side = np.clip(np.searchsorted(stops, angles + 1e-12) - 1, 0, len(stops) - 2)
    share = (angles - stops[side]) / (stops[side + 1] - stops[side])
    return corners[side] + share[:, None] * (corners[side + 1] - corners[side])


def _mapped(mesh: Mesh, target: Target, by: str) -> Float[np.ndarray, "m 2"]:
    """The points of a mesh on its target."""
    loops = _checked_loops(mesh, target.kind)
    if target.kind != "annulus":
        return _extended(mesh, loops[0], _on_target(mesh, loops[0], target), by)
    # Thin plate splines follow a boundary that harmonic maps have turned.
    around = _around(mesh, loops, target.shares, "harmonic" if by == "rbf" else by)
    found = target.radius ** around.inward[:, None] * _on_circle(around.angle)
    rim = np.concatenate(loops)
    return _extended(mesh, rim, found[rim], by) if by == "rbf" else found


class _Around(NamedTuple):
    """Coordinates of a ring: how far inward each point is, from 0 to 1, and its angle."""

    inward: Float[np.ndarray, " m"]
    angle: Float[np.ndarray, " m"]
    radius: float  # at which the map would be conformal


def _around(
    mesh: Mesh, loops: Sequence[Int[np.ndarray, " l"]], shares: tuple[float, ...], by: str
) -> _Around:
    """A ring as a cylinder, which is flat, so that positive weights turn no triangle over.

    The inner boundary turns to where the energy of the angles is the least. The height of the
    cylinder is that of a conformal map where 2π over the energy of `inward` is.

    Source: Gortler, Gotsman & Thurston 2006, doi:10.1016/j.cagd.2005.05.002.
    """
    outer, inner = loops
    if mesh.points.shape[1] != 2:
        raise ValueError("Mesh: the annulus is for meshes of the plane; cut the surface open")
    x, y = (mesh.points - _inside_of(mesh.points[inner])).T
    first = np.arctan2(y, x)  # an angle whose differences along edges are known, but no turns
    energy = stiffness(mesh)
    known = [_angles(mesh, outer, shares), -_angles(mesh, inner, ())]
    rim = np.concatenate(loops)
    given = np.zeros((len(rim), 2))
    given[:, 0] = np.concatenate(
        [np.unwrap(a - first[loop]) for a, loop in zip(known, loops, strict=True)]
    )
    given[len(outer) :, 1] = 1.0
    more, inward = _extended(mesh, rim, given, by, first).T
    height = inward if by == "harmonic" else _extended(mesh, rim, given, "harmonic", first)[:, 1]
    off = energy @ more - _turns(_weights(mesh, "harmonic"), first)
    dirichlet = float(height @ (energy @ height))
    angle = first + more - (height @ off) / dirichlet * inward
    return _Around(inward, angle, math.exp(-2 * math.pi / dirichlet))


def _inside_of(outline: Float[np.ndarray, "l 2"]) -> Float[np.ndarray, " 2"]:
    """A point inside of a closed polygon: its middle, or of the middles between two of its points
    the one farthest from it.
    """
    starts, ends = outline, np.roll(outline, -1, 0)
    places = np.concatenate(
        [outline.mean(0)[None], (outline[:, None] + outline).reshape(-1, 2) / 2]
    )
    inside = between_edges(starts, ends, places)
    if inside[0]:
        return places[0]
    squared, _, _ = nearest_on_edges(starts, ends, places)
    return places[int(np.argmax(np.where(inside, squared, -1.0)))]


def _turns(weights: Any, first: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Of each point the weighted sum of the angles to its neighbours, none of them a whole turn."""
    entries = weights.tocoo()
    steps = first[entries.col] - first[entries.row]
    steps -= 2 * math.pi * np.round(steps / (2 * math.pi))
    return np.bincount(entries.row, entries.data * steps, minlength=len(first))


def _extended(
    mesh: Mesh,
    rim: Int[np.ndarray, " b"],
    given: Float[np.ndarray, "b c"],
    by: str,
    first: Float[np.ndarray, " m"] | None = None,
) -> Float[np.ndarray, "m c"]:
    """Values at all points, from those on the boundary; with ``first`` the first column is what is
    added to these angles.
    """
    from scipy.interpolate import RBFInterpolator
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import splu

    inside = np.setdiff1d(np.arange(len(mesh.points)), rim)
    found = np.zeros((len(mesh.points), given.shape[1]))
    found[rim] = given
    if not len(inside):
        return found
    if by == "rbf":
        found[inside] = RBFInterpolator(mesh.points[rim], given)(mesh.points[inside])
        return found
    weights = _weights(mesh, by)
    rows = weights[inside]
    right = rows[:, rim] @ given
    if first is not None:
        right[:, 0] += _turns(weights, first)[inside]
    total: Any = rows.sum(1)
    found[inside] = splu((diags_array(total) - rows[:, inside]).tocsc()).solve(right)
    return found


def _weights(mesh: Mesh, by: str) -> Any:
    """Of the neighbours in the mean that a point is, with nothing of the point itself."""
    from scipy.sparse import coo_array

    if by == "mean_value":
        return mean_values(mesh)
    if by == "uniform":
        ones, ends = np.ones(len(mesh.edges)), mesh.edges.T
        one_way = coo_array((ones, ends), (len(mesh.points),) * 2).tocsr()
        return (one_way + one_way.T).tocsr()
    matrix = -stiffness(mesh)
    matrix.setdiag(0)
    return matrix
