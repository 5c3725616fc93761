"""Darcy flow through random media of several shapes: a multi-task family."""

from dataclasses import replace
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pinops as po
from pinops.functions import interpolate_plane
from pinops.reference import Reference, darcy, grid_values

NODES = 33  # grid points along each axis, where an operator sees the medium
GRID = np.linspace(0, 1, NODES)
UNIT = ((0.0, 1.0), (0.0, 1.0))
SHAPES = ("square", "disc", "triangle", "right_triangle")
SPREAD = 0.58  # standard deviation of the logarithm of the permeability


@po.register("darcy_family")
class DarcyFamily(po.Problem):
    """∇·(K ∇u) + 1 = 0 on a shape within (0, 1)², u = 0 on its boundary, random shape and K > 0.

    Source: the second problem of the multi-task DeepONet.

    A family: the shapes are the square, the disc of diameter 1, the equilateral triangle of side 1
    on the lower side of the square, and its left half. ln K is 0.58 times a Gaussian process of
    unit variance: the 100 leading modes of the covariance
    1 - 2(|Δx| + |Δy|) + 2/27 (|Δx|³ + |Δy|³), 0 where that is below 0.01. This covariance is not
    quite positive: modes enter with the absolute values of their variances.

    An operator sees ln K on a grid of 33 x 33 points, and 1 inside or 0 outside at each. Solutions
    are a polynomial that vanishes on the boundary of the shape, times a network; the residual
    outside is zero.

    Args:
        medium: ``(33, 33)``, ln K at the grid points (default 0).
        shape: ``(4,)``, the share of each shape, one and zeros for samples (default: the square).
        task: the sampled shapes, "all" for the first three, or one by name.
    """

    domain = po.Box(x=(0, 1), y=(0, 1))
    medium: Float[Array | np.ndarray, "n n"] = eqx.field(
        default_factory=lambda: np.zeros((NODES, NODES))
    )
    shape: Float[Array | np.ndarray, " s"] = eqx.field(
        default_factory=lambda: np.eye(len(SHAPES))[0]
    )
    task: str = po.one_of("all", ("all", *SHAPES))

    def __check_init__(self):
        if np.shape(self.medium)[-2:] != (NODES, NODES):
            raise ValueError(
                f"DarcyFamily: medium must have {NODES} x {NODES} values, "
                f"got shape {np.shape(self.medium)}"
            )
        if np.shape(self.shape)[-1:] != (len(SHAPES),):
            raise ValueError(
                f"DarcyFamily: shape must have {len(SHAPES)} values, "
                f"got shape {np.shape(self.shape)}"
            )

    def residual(self, x, y, u_x, u_y, lap_u):
        def log_permeability(at):
            return interpolate_plane(jnp.asarray(self.medium), at, UNIT)

        # Divided by K: Δu + ∇z·∇u + exp(-z) = 0 with z = ln K.
        z, slope = jax.value_and_grad(log_permeability)(jnp.stack([x, y]))
        inside = lap_u + slope[0] * u_x + slope[1] * u_y + jnp.exp(-z)
        return jnp.where(self.level(x, y) > 0, inside, 0.0)

    def level(self, x, y, xp=jnp):
        """Positive inside the shape, negative outside."""
        return sum(self.shape[k] * _smallest(part, xp) for k, part in enumerate(sides(x, y)))

    def factor(self, x, y):
        return sum(
            self.shape[k] * jnp.prod(jnp.stack(part), axis=0) for k, part in enumerate(sides(x, y))
        )

    def sample(self, key):
        which, field = jax.random.split(key)
        kind = (
            jax.random.randint(which, (), 0, 3) if self.task == "all" else SHAPES.index(self.task)
        )
        strengths = jax.random.normal(field, (len(modes()),))
        return replace(
            self,
            medium=(strengths @ jnp.asarray(modes(), strengths.dtype)).reshape(NODES, NODES),
            shape=jnp.eye(len(SHAPES), dtype=strengths.dtype)[kind],
        )

    def inputs(self):
        inside = self.level(jnp.asarray(GRID)[:, None], jnp.asarray(GRID)[None, :]) >= -1e-6
        medium = jnp.asarray(self.medium)
        return {"medium": jnp.stack([medium, jnp.asarray(inside, medium.dtype)], -1)}

    def reference(self) -> Reference:
        member = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), self)

        def log_permeability(x, y):
            # The points lie on a few lines of constant x: each line is interpolated along x once.
            lines, back = np.unique(x, return_inverse=True)
            along = np.stack(
                [grid_values(column, lines, UNIT[0]) for column in member.medium.T], -1
            )
            out = np.empty(len(x))
            for k, values in enumerate(along):
                out[back == k] = grid_values(values, y[back == k], UNIT[1])
            return out

        return darcy(log_permeability, lambda x, y: member.level(x, y, np), nodes=NODES)


def sides(x, y):
    """Functions that are positive inside, one for each part of the boundary of each shape.

    They are at most about 1.
    """
    slope = 3**0.5
    return (
        (4 * x * (1 - x), 4 * y * (1 - y)),
        (1 - 4 * ((x - 0.5) ** 2 + (y - 0.5) ** 2),),
        (2 * y, 3 * (x - y / slope), 3 * (1 - x - y / slope)),
        (4 * y, 4 * (x - y / slope), 4 * (0.5 - x)),
    )


def _smallest(part, xp):
    smallest = part[0]
    for other in part[1:]:
        smallest = xp.minimum(smallest, other)
    return smallest


@lru_cache(maxsize=1)
def modes() -> np.ndarray:
    """The leading modes of the process on the grid, ``(100, n²)``.

    They are scaled so that the process has deviation 0.58 at every point.
    """
    points = np.stack([grid.ravel() for grid in np.meshgrid(GRID, GRID, indexing="ij")], -1)
    apart = np.abs(points[:, None] - points[None])
    covariance = 1 - 2 * apart.sum(-1) + 2 / 27 * (apart**3).sum(-1)
    values, vectors = np.linalg.eigh(np.where(covariance < 0.01, 0.0, covariance))
    # The covariance is not quite positive: modes are taken by the size of their variance.
    leading = np.argsort(-np.abs(values))[:100]
    scaled = vectors[:, leading] * np.sqrt(np.abs(values[leading]))
    # The sign of an eigenvector is arbitrary: the first entry that is not small is positive.
    for column in scaled.T:
        column *= np.sign(column[np.flatnonzero(np.abs(column) > 1e-3 * np.abs(column).max())[0]])
    return np.ascontiguousarray((SPREAD * scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).T)
