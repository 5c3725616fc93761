"""Fields that are known on a curved grid, such as that of a square which a shape is mapped to:
derivatives along the coordinates of the shape, by the chain rule.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import LAPLACIAN, Jet, Plan
from pinops.networks._field import Field

_NEIGHBOURS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
# First differences along both axes of the grid, second ones along each, and the mixed one: what
# each neighbour counts, less the value at the point itself.
_DIFFERENCES = np.array(
    [
        [0.5, -0.5, 0, 0, 0, 0, 0, 0],
        [0, 0, 0.5, -0.5, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [0, 0, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0.25, -0.25, -0.25, 0.25],
    ]
)
_ROWS = {(0,): 0, (1,): 1, (0, 0): 2, (0, 1): 3, (1, 1): 4}


@dataclass(frozen=True)
class CurvedGridField(Field):
    """Values at the points of a curved grid of the plane, ``(a, b, c)``.

    Differences along the grid are to derivatives as those of 1, x, y, x²/2, xy and y²/2 are. On a
    smooth grid that is the chain rule with the Jacobian of the map; unlike with differences of the
    Jacobian, derivatives of quadratic functions are exact on any grid, also on one whose map is
    linear in each triangle of a mesh, and has no second derivatives.

    Args:
        values: At all points.
        places: The coordinates of all points.
        periodic: Whether the first point follows the last along each axis.
    """

    values: Float[Array, "a b c"]
    places: Float[Array, "a b 2"]
    periodic: tuple[bool, bool]

    @property
    def points(self) -> Float[Array, "n 2"]:
        """Those that have neighbours on all sides, in the order of the axes."""
        return self._shifted(self.places, (0, 0)).reshape(-1, 2)

    @property
    def shares(self) -> Float[Array, " n"]:
        """How much of the shape belongs to each of the `points`, of mean 1."""
        to = self._slopes
        area = jnp.abs(to[:, 0, 0] * to[:, 1, 1] - to[:, 0, 1] * to[:, 1, 0])
        return area / jnp.mean(area)

    def jet(
        self,
        points: Float[Array, "n d"],
        plan: Plan,
        fixed: Any = None,
        directions: Float[Array, "m d"] | None = None,
    ) -> Jet:
        """At the `points`; ``points`` must be these."""
        found = self._derivatives
        out = {index: found[:, _ROWS[index]] for index in plan.indices if index}
        out[()] = self._shifted(self.values, (0, 0)).reshape(len(found), -1)
        if plan.laplacian:
            seconds = [found[:, _ROWS[axis, axis]] for axis in plan.laplacian]
            out[LAPLACIAN] = sum(seconds[1:], seconds[0])
        return out

    @cached_property
    def _derivatives(self) -> Float[Array, "n 5 c"]:
        """All first and second derivatives: by blocks, since explicit inverses of matrices of two
        and three rows are many times as fast as a factorisation for each point.
        """
        a = self._slopes
        known = self._differences(self._off(self.values))
        by_first = _inverse_of_two(a[:, :2, :2])
        crossed = _product(a[:, 2:, :2], by_first)
        rest = a[:, 2:, 2:] - _product(crossed, a[:, :2, 2:])
        second = _product(_inverse_of_three(rest), known[:, 2:] - _product(crossed, known[:, :2]))
        first = _product(by_first, known[:, :2] - _product(a[:, :2, 2:], second))
        return jnp.concatenate([first / self._size, second / self._size**2], 1)

    @cached_property
    def _size(self) -> Float[Array, ""]:
        """Of a step of the grid, so that no product of lengths is too small for a number."""
        return jnp.sqrt(jnp.mean(jnp.square(self._off(self.places))))

    @cached_property
    def _slopes(self) -> Float[Array, "n 5 5"]:
        """The differences of x, y, x²/2, xy and y²/2 about each point, lengths in steps."""
        x, y = jnp.moveaxis(self._off(self.places) / self._size, -1, 0)
        return self._differences(jnp.stack([x, y, x**2 / 2, x * y, y**2 / 2], -1))

    def _off(self, f: Float[Array, "a b k"]) -> Float[Array, "8 n k"]:
        """What each neighbour of the points has, less what they have."""
        here = self._shifted(f, (0, 0))
        all_of = [self._shifted(f, step) - here for step in _NEIGHBOURS]
        return jnp.stack(all_of).reshape(len(_NEIGHBOURS), -1, f.shape[-1])

    def _shifted(self, f: Float[Array, "a b k"], step: tuple[int, int]) -> Array:
        """The values at the neighbours in one direction of the inner points."""
        wrap = [(int(closed), int(closed)) for closed in self.periodic]
        wide = jnp.pad(f, [*wrap, (0, 0)], mode="wrap")
        a, b = (slice(1 + k, n - 1 + k) for k, n in zip(step, wide.shape[:2], strict=True))
        return wide[a, b]

    def _differences(self, off: Float[Array, "8 n k"]) -> Float[Array, "n 5 k"]:
        weights = jnp.asarray(_DIFFERENCES, off.dtype)
        return jnp.moveaxis(jnp.tensordot(weights, off, axes=1), 0, 1)


def _product(a: Float[Array, "n i k"], b: Float[Array, "n k j"]) -> Float[Array, "n i j"]:
    return jnp.sum(a[:, :, :, None] * b[:, None], axis=2)


def _inverse_of_two(a: Float[Array, "n 2 2"]) -> Float[Array, "n 2 2"]:
    (p, q), (r, s) = jnp.moveaxis(a, 0, -1)
    turned = jnp.stack([jnp.stack([s, -q], -1), jnp.stack([-r, p], -1)], 1)
    return turned / (p * s - q * r)[:, None, None]


def _inverse_of_three(a: Float[Array, "n 3 3"]) -> Float[Array, "n 3 3"]:
    first, second, third = a[:, 0], a[:, 1], a[:, 2]
    pairs = [(second, third), (third, first), (first, second)]
    columns = jnp.stack([jnp.cross(*pair) for pair in pairs], 2)
    return columns / jnp.sum(first * columns[:, :, 0], 1)[:, None, None]
