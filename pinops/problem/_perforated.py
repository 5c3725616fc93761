"""Squares with random holes as arrays of one shape, for programs that draw geometries themselves.

The domains of `pinops.geometry` are static data of a problem; here a geometry is a sample. It is
[-1, 1]^2 minus disks and convex polygons, which may overlap and stick out. Its boundary has pieces:
the four sides of the square, then four sides and a circle for each hole, of which those that a hole
does not have are absent. Two instances of what is asked of it: is a point inside, and which
boundary point is the nearest one.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

SHAPES = ("disk", "rectangle", "triangle")
SIDES = 4  # of the square and, at most, of a hole
CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])  # counter-clockwise, side k begins at k
Y_MIN, X_MAX, Y_MAX, X_MIN = range(SIDES)


class Perforated(eqx.Module):
    """[-1, 1]^2 without k holes, each of which is a disk or a convex polygon, or absent.

    The coordinates of points are the first axis, and many points the last one, which a compiler
    vectorises.

    Args:
        vertices: ``(1 + k, 4, 2)``, corners of the square and of each polygon, counter-clockwise; a
            triangle repeats one.
        centres: ``(k, 2)``, of the disks.
        radii: ``(k,)``, > 0.
        polygonal: ``(k,)``, whether the hole is a polygon.
        present: ``(k,)``, whether there is such a hole.
    """

    vertices: Float[Array, "_ 4 2"]
    centres: Float[Array, "k 2"]
    radii: Float[Array, " k"]
    polygonal: Bool[Array, " k"]
    present: Bool[Array, " k"]

    @property
    def owners(self) -> Int[np.ndarray, " pieces"]:
        """The hole of each piece of the boundary, -1 for the square."""
        count = len(self.radii)
        return np.concatenate(
            [np.full(SIDES, -1), np.repeat(np.arange(count), SIDES), np.arange(count)]
        )

    @property
    def lengths(self) -> Float[Array, " pieces"]:
        """Of the pieces; 0 for those that are absent."""
        sides = jnp.linalg.norm(self._edges(), axis=-1)
        polygons = jnp.where((self.present & self.polygonal)[:, None], sides[1:], 0.0)
        circles = jnp.where(self.present & ~self.polygonal, 2 * jnp.pi * self.radii, 0.0)
        return jnp.concatenate([sides[0], polygons.ravel(), circles])

    def inside(
        self, at: Float[Array, "2 p q"], besides: Int[Array | np.ndarray, "#p #q"] | None = None
    ) -> Bool[Array, "p q"]:
        """Whether points are in the closed square, and in no hole but, perhaps, one of a number."""
        good = jnp.max(jnp.abs(at), 0) <= 1
        normals = self._normals()
        for hole in range(len(self.radii)):
            x, y = at[0] - self.centres[hole, 0], at[1] - self.centres[hole, 1]
            deepest = jnp.full(x.shape, -jnp.inf)
            for side in range(SIDES):
                n, start = normals[1 + hole, side], self.vertices[1 + hole, side]
                # The repeated vertex of a triangle is a side without a normal.
                beyond = n[0] * (at[0] - start[0]) + n[1] * (at[1] - start[1])
                deepest = jnp.maximum(deepest, jnp.where(jnp.any(n != 0), beyond, -jnp.inf))
            within = jnp.where(
                self.polygonal[hole], deepest < 0, x * x + y * y < self.radii[hole] ** 2
            )
            within &= self.present[hole]
            good &= ~within if besides is None else ~(within & (besides != hole))
        return good

    def along(
        self, piece: Int[Array, " q"], part: Float[Array, " q"]
    ) -> tuple[Float[Array, "2 q"], Float[Array, "2 q"]]:
        """Points after a part, from 0 to 1, of the length of a piece, and the normals there."""
        starts, edges, normals = self._sides()
        side = jnp.minimum(piece, len(starts) - 1)
        straight = starts[side].T + part[None] * edges[side].T
        if not len(self.radii):
            return straight, normals[side].T
        disk = jnp.maximum(piece - len(starts), 0)
        radial = jnp.stack([jnp.cos(2 * jnp.pi * part), jnp.sin(2 * jnp.pi * part)])
        curved = self.centres[disk].T + self.radii[disk][None] * radial
        circle = (piece >= len(starts))[None]
        return jnp.where(circle, curved, straight), jnp.where(circle, radial, normals[side].T)

    def nearest(
        self, at: Float[Array, "2 q"]
    ) -> tuple[Float[Array, "2 pieces q"], Float[Array, "2 pieces q"]]:
        """The nearest point of each piece, and the normals there."""
        starts, edges, normals = (part.T[..., None] for part in self._sides())
        squares = jnp.sum(edges**2, 0)
        part = jnp.sum((at[:, None] - starts) * edges, 0) / jnp.where(squares > 0, squares, 1.0)
        feet = starts + jnp.clip(part, 0.0, 1.0)[None] * edges
        centres = self.centres.T[..., None]
        away = at[:, None] - centres
        distance = jnp.sqrt(jnp.sum(away**2, 0))[None]
        # From the centre all points of the circle are equally near.
        radial = jnp.where(distance > 0, away, 1.0) / jnp.where(distance > 0, distance, 2**0.5)
        curved = centres + self.radii[None, :, None] * radial
        straight = jnp.broadcast_to(normals, feet.shape)
        return jnp.concatenate([feet, curved], 1), jnp.concatenate([straight, radial], 1)

    def _edges(self) -> Float[Array, "_ 4 2"]:
        return jnp.roll(self.vertices, -1, 1) - self.vertices

    def _normals(self) -> Float[Array, "_ 4 2"]:
        """Unit vectors out of the square and out of the polygons; 0 for a side without length."""
        edges = self._edges()
        lengths = jnp.linalg.norm(edges, axis=-1, keepdims=True)
        turned = jnp.stack([edges[..., 1], -edges[..., 0]], -1)
        return jnp.where(lengths > 0, turned / jnp.where(lengths > 0, lengths, 1.0), 0.0)

    def _sides(self) -> list[Float[Array, "sides 2"]]:
        """Where straight pieces begin, their edges and their normals."""
        return [part.reshape(-1, 2) for part in (self.vertices, self._edges(), self._normals())]


def random_holes(key: PRNGKeyArray, most: int, shapes: tuple[str, ...]) -> Perforated:
    """A square with 0 to ``most`` holes, all numbers and shapes equally often.

    The centre of a disk is anywhere in the square and its radius from 0.25 to 0.5; a rectangle has
    one corner anywhere and sides of up to 0.5; a triangle has three vertices within 0.5 of a point
    along both coordinates (Bischof et al., arXiv 2509.05117).

    Args:
        key: Determines the holes.
        most: >= 0.
        shapes: Some of `SHAPES`.
    """
    # One draw for all numbers compiles in a fraction of the time of one for each.
    uniform = jax.random.uniform(key, (most * 10 + 1,))
    count = jnp.floor((most + 1) * uniform[-1])
    rows = uniform[:-1].reshape(most, 10)
    allowed = jnp.asarray([SHAPES.index(shape) for shape in shapes])
    shape = allowed[jnp.floor(len(shapes) * rows[:, 0]).astype(jnp.int32)]
    centres, radii = 2 * rows[:, 1:3] - 1, 0.25 + 0.25 * rows[:, 3]
    box = (
        centres[:, None]
        + 0.5 * rows[:, None, 4:6] * jnp.asarray((CORNERS + 1) / 2, uniform.dtype)[None]
    )
    spread = centres[:, None] + (rows[:, 4:].reshape(most, 3, 2) - 0.5)
    u, v = spread[:, 1] - spread[:, 0], spread[:, 2] - spread[:, 0]
    clockwise = (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0] < 0)[:, None, None]
    spread = jnp.where(clockwise, spread[:, ::-1], spread)
    triangle = jnp.concatenate([spread, spread[:, 2:]], 1)
    square = jnp.asarray(CORNERS, uniform.dtype)[None]
    return Perforated(
        vertices=jnp.concatenate(
            [square, jnp.where((shape == SHAPES.index("triangle"))[:, None, None], triangle, box)]
        ),
        centres=centres,
        radii=radii,
        polygonal=shape != SHAPES.index("disk"),
        present=jnp.arange(most) < count,
    )
