"""Networks on grids for fields on meshes: every mesh is mapped to the unit square, which has one.

The map is that of mesh-morphing Gaussian processes (`MMGP`); what is trained is a network on a grid
of the square, which sees where each grid point came from.
"""

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from pinops.geometry import MAPS, Mesh, Target, interpolation, morphed
from pinops.operators._points import (
    Links,
    PointArchitecture,
    PointNetwork,
    boundary_setting,
)
from pinops.operators._surrogate import GRID_NETWORK, GridArchitecture, GridNetwork
from pinops.settings import Several, Whole, check_settings, instance, one_of, setting, whole

_SHAPES = ("disc", "square", "annulus")
_RADIUS = 1 / 3  # of the hole of the annulus that meshes are brought to
_LEAST = 4  # grid points along an axis


class Morphing(Links):
    """Between the points of a mesh and a grid of the unit square, on which the mesh lies.

    Attributes:
        corners: ``(g, 3)``, the points whose values make that at each grid point.
        shares: ``(g, 3)``, how much each of them counts.
        places: ``(m, 2)``, of the points in the square.
    """

    corners: Int[Array | np.ndarray, "g 3"]
    shares: Float[Array | np.ndarray, "g 3"]
    places: Float[Array | np.ndarray, "m 2"]

    @property
    def widths(self) -> tuple[int, int]:
        return self.corners.shape[1], self.places.shape[1]


class MorphedGridNetwork(PointNetwork):
    """A network on the grid of the square that meshes are mapped to.

    Attributes:
        network: From coordinates and features at the grid points to outputs there.
        grid: The grid points of each axis.
        periodic: Whether the square is closed along each axis.
    """

    network: GridNetwork
    grid: tuple[int, int] = eqx.field(static=True)
    periodic: tuple[bool, bool] = eqx.field(static=True)

    def __call__(
        self,
        points: Float[Array, "m d"],
        features: Float[Array, "m i"],
        present: Bool[Array, " m"],
        links: Links | None = None,
    ) -> Float[Array, "m o"]:
        assert isinstance(links, Morphing), "MorphedGrid.links makes one"
        seen = gridded(jnp.concatenate([points, features], 1), links)
        values = self.network(seen.reshape(1, *self.grid, -1))[0]
        axes = zip(jnp.asarray(links.places).T, self.grid, self.periodic, strict=True)
        first, second = (hats(at, count, closed) for at, count, closed in axes)
        return jnp.sum(jnp.tensordot(first, values, axes=1) * second[:, :, None], axis=1)


def gridded(values: Float[Array, "m c"], links: Morphing) -> Float[Array, "g c"]:
    """Values at the points of a mesh, interpolated to the grid points: linear in each triangle.

    Args:
        values: At the points.
        links: How the mesh lies on the square.
    """
    shares = jnp.asarray(links.shares)
    return jnp.sum(values[links.corners] * shares[:, :, None], axis=1)


def hats(at: Float[Array, " m"], count: int, closed: bool) -> Float[Array, "m count"]:
    """How much the value at each grid point of an axis counts at some places: linear between them.

    Products with such matrices, and their gradients, are faster on CPUs than looking values up.

    Args:
        at: From 0 to 1.
        count: The grid points, the last of them at 1, or one step before it on a closed axis.
        closed: Whether the axis goes on at 0 where it ends.
    """
    off = at[:, None] * (count if closed else count - 1) - jnp.arange(count, dtype=at.dtype)[None]
    if closed:
        off = jnp.minimum(jnp.abs(off), count - jnp.abs(off))
    return jnp.maximum(1 - jnp.abs(off), 0)


class MorphedGrid(PointArchitecture):
    """A network on grids, such as an `FNO`, for fields on meshes of shapes that differ: each mesh
    is mapped to the unit square, where a regular grid is laid.

    As Geo-FNO (Li, Huang, Liu & Anandkumar 2023, arXiv:2207.05209), with the harmonic map of
    `MMGP` in place of a deformation that is learned. Inputs and the coordinates of the points are
    interpolated to the grid, the outputs back to the points, where they are compared with the data;
    the solution can be asked for at any mesh of a shape.

    Args:
        network: On the grid.
        grid: How many grid points there are along each axis, one number or one for each.
        target: What meshes are brought to: "disc", one outline, which then fills the square;
            "square", one outline, whose points farthest towards the corners of its bounds become
            those of the square; or "annulus", an outline and one hole, with the angle along the
            first axis of the grid.
        landmarks: How many corners the outer boundary of every shape has, which are brought to
            equal distances on the circle; 0: the boundary is smooth, or its corners differ. Not for
            "square", which has four.
        by: How points inside follow the boundary, as of `MMGP`.
        boundary: Whether it sees the signed distance from the boundary and its gradient.

    Raises:
        ValueError: For a grid of other than two axes, or with fewer than four points along one, and
            for landmarks of the square.
    """

    network: GridArchitecture = instance(GridArchitecture, what=GRID_NETWORK)
    grid: int | tuple[int, ...] = setting(Several(Whole(_LEAST, 10_000), single=True), 48)
    target: str = one_of("disc", _SHAPES)
    landmarks: int = whole(0, least=0, most=1000)
    by: str = one_of("harmonic", MAPS)
    boundary: bool = boundary_setting()

    def __check_init__(self):
        check_settings(self)
        if not isinstance(self.grid, int) and len(self.grid) != 2:
            raise ValueError(f"MorphedGrid: grid has two axes, got {self.grid}")
        if self.target == "square" and self.landmarks:
            raise ValueError(
                f"MorphedGrid: a square has four corners; leave landmarks={self.landmarks} out"
            )

    @property
    def axes(self) -> tuple[int, int]:
        """The grid points of each axis."""
        first, second = (self.grid,) * 2 if isinstance(self.grid, int) else self.grid
        return first, second

    @property
    def periodic(self) -> tuple[bool, bool]:
        """Whether the square is closed along each axis."""
        return self.target == "annulus", False

    @property
    def on_grid(self) -> bool:
        return True

    def build(
        self, in_size: int, out_size: int, dimension: int, *, key: PRNGKeyArray
    ) -> MorphedGridNetwork:
        network = self.network.build(dimension + in_size, out_size, self.axes, key=key)
        return MorphedGridNetwork(network, self.axes, self.periodic)

    def links(
        self,
        mesh: Mesh,
        size: int,
        queries: Float[np.ndarray, "q d"] | None = None,
        widths: tuple[int, int] | None = None,
    ) -> Morphing:
        """Where the mesh and further places lie on the square.

        Raises:
            ValueError: For a cloud, for cells that are no triangles or are flipped, for a mesh with
                other holes than the target, and for further places on a surface in space.
        """
        if queries is not None and mesh.points.shape[1] != 2:
            raise ValueError("MorphedGrid: other places are for meshes of the plane; leave at out")
        there = morphed(mesh, self._target(), self.by).mesh
        found = there.points
        if queries is not None:
            found = np.concatenate([found, interpolation(mesh, queries) @ found])
        places = np.zeros((size, 2))
        places[: len(found)] = self._in_square(found)
        matrix = interpolation(there, self._grid_points())
        # Each row has three entries, zeros included.
        corners = matrix.indices.reshape(-1, 3).astype(np.int32)
        return Morphing(corners, matrix.data.reshape(-1, 3), places)

    def _target(self) -> Target:
        if self.target == "square":
            return Target("polygon", (0.25,) * 4, outermost=True)
        shares = (1 / self.landmarks,) * self.landmarks if self.landmarks else ()
        return Target(self.target, shares, _RADIUS if self.target == "annulus" else 0.0)

    def _in_square(self, at: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "m 2"]:
        """From the target to the unit square."""
        x, y = at.T
        if self.target == "annulus":
            inward = np.log(np.hypot(x, y)) / math.log(_RADIUS)
            found = np.arctan2(y, x) / (2 * math.pi) % 1.0, inward
        elif self.target == "square":  # whose corners are on the unit circle
            found = 0.5 + x / math.sqrt(2), 0.5 + y / math.sqrt(2)
        else:
            found = _squared(x, y), _squared(y, x)
        return np.clip(np.stack(found, 1), 0.0, 1.0)

    def _grid_points(self) -> Float[np.ndarray, "g 2"]:
        """Where the grid points lie on the target."""
        pairs = zip(self.axes, self.periodic, strict=True)
        lines = [np.linspace(0.0, 1.0, count, endpoint=not closed) for count, closed in pairs]
        a, b = np.stack(np.meshgrid(*lines, indexing="ij"), -1).reshape(-1, 2).T
        if self.target == "annulus":
            found = _RADIUS**b * np.cos(2 * math.pi * a), _RADIUS**b * np.sin(2 * math.pi * a)
        elif self.target == "square":
            found = math.sqrt(2) * (a - 0.5), math.sqrt(2) * (b - 0.5)
        else:
            x, y = 2 * a - 1, 2 * b - 1
            found = x * np.sqrt(1 - y**2 / 2), y * np.sqrt(1 - x**2 / 2)
        return np.stack(found, 1)


def _squared(x: Float[np.ndarray, " m"], y: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """The first coordinate in the unit square of places on the disc: the inverse of the elliptical
    map.

    Source: Fong 2015, arXiv:1509.06344, section 3.
    """
    total, twice = 2 + x**2 - y**2, 2 * math.sqrt(2) * x
    # Rounding on the circle must not make a root of a negative number.
    right, left = (np.sqrt(np.maximum(total + sign * twice, 0.0)) for sign in (1, -1))
    return 0.5 + (right - left) / 4
