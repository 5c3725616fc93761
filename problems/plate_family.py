"""Heat conduction in a plate with a random number of holes: a multi-task family."""

from dataclasses import replace
from functools import lru_cache

import jax
import jax.numpy as jnp

import pinops as po
from pinops.reference import Reference, heated_plate

HOLES = range(2, 10)
POSITIONS = {
    "table": (0.9, 1.2, 1.6),
    "unseen": (1.0, 1.1, 1.3, 1.4, 1.5),
    "any": tuple(k / 10 for k in range(9, 17)),
}


@po.register("plate_family")
class PlateFamily(po.Problem):
    """Δu = 0 in a plate with holes and a boss on (-2, 2)² x (-0.25, 1), u_n given on all walls.

    Source: the third problem of the multi-task DeepONet: 64 designs of 2 to 9 holes at 8 positions,
    24 for training and 40 new ones.

    The walls of the holes are heated, all others are cooled. The plate is round; unpublished
    numbers (radius of the holes, flux, cooling) are those of `pinops.reference.heated_plate`.

    A family: an operator sees the number of holes and the distance of their centres from the axis.
    It learns from data; the residual of the equation is taken inside the plate only.

    Args:
        holes: their number, > 0 (default 5).
        position: > 0, the distance of their centres from the axis (default 1.2).
        designs: the sampled positions, "table" (0.9, 1.2, 1.6: those of the published training),
            "unseen" (the others) or "any" (default).
    """

    domain = po.Box(x=(-2, 2), y=(-2, 2), z=(-0.25, 1))
    holes: float = po.positive(5.0)
    position: float = po.positive(1.2)
    designs: str = po.one_of("any", POSITIONS)

    def inside(self, x, y, z):
        """Whether a point is in the plate."""
        turn = 2 * jnp.pi / self.holes
        nearest = jnp.pi + turn * jnp.round((jnp.arctan2(y, x) - jnp.pi) / turn)
        from_x = x - self.position * jnp.cos(nearest)
        from_y = y - self.position * jnp.sin(nearest)
        hole = from_x**2 + from_y**2 < 0.15**2
        squared = x**2 + y**2
        return jnp.where(z < 0, squared < 0.75**2, (squared < 4) & ~hole)

    def residual(self, x, y, z, lap_u):
        return jnp.where(self.inside(x, y, z), lap_u, 0.0)

    def sample(self, key):
        number, distance = jax.random.split(key)
        return replace(
            self,
            holes=jax.random.randint(number, (), HOLES[0], HOLES[-1] + 1).astype(float),
            position=jax.random.choice(distance, jnp.asarray(POSITIONS[self.designs])),
        )

    def inputs(self):
        return {"holes": self.holes, "position": self.position}

    def reference(self) -> Reference:
        holes = float(self.holes)
        return solved(int(holes) if holes.is_integer() else holes, float(self.position))


solved = lru_cache(heated_plate)  # there are few designs
