"""Self-scaled quasi-Newton methods: the inverse Hessian is kept dense, and its latest corrections
beside it.

Al-Baali (1998) and Al-Baali & Khalfan (2005) for the scaling; Urban, Stefanou & Pons (2025,
arXiv:2405.04230) for its use with physics-informed networks.  ``H (g+ - g) = H g+ + p`` with ``p =
-H g`` the old direction: one product with H suffices. Memory is P^2 numbers for P parameters, and
reading them is what a step costs besides the objective.
"""

import abc
from collections.abc import Callable
from functools import partial
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from pinops.optimizers._optimizer import Objective, Optimizer, Step
from pinops.optimizers._wolfe import strong_wolfe
from pinops.settings import whole

MOST_PARAMETERS = 30_000
# Steps between two updates of the matrix; their corrections wait, so that it is written once.
_PENDING = 16
_BLOCKS = 8  # of rows of the matrix: several devices share them
_ROWS = 16  # of each block that are written at once


# Accelerators would round the factors of a product in single precision to a dozen bits, and
# corrections cancel.
_times = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def _by_blocks(function: Callable[..., Array], *, whole: bool = False) -> Callable[..., Array]:
    """A function of blocks of rows and of other arrays that gives blocks of rows, where devices
    share the blocks.

    ``whole``: whether each device gets the whole result.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or _BLOCKS % mesh.size:
        return function
    blocks, everywhere = PartitionSpec(mesh.axis_names), PartitionSpec()

    def on_devices(rows: PyTree, *others: Array) -> Array:
        def own(rows: PyTree, *others: Array) -> Array:
            return jax.lax.all_gather(function(rows, *others), mesh.axis_names, tiled=True)

        specs = (blocks, *[everywhere for _ in others])
        out = everywhere if whole else blocks
        return jax.shard_map(
            own if whole else function, in_specs=specs, out_specs=out, check_vma=False
        )(rows, *others)

    return on_devices


class InverseHessian(NamedTuple):
    """``H = scale * matrix + vectors' middle vectors``: a dense matrix and up to 16 corrections of
    rank two.

    The matrix is kept as 8 blocks of its rows, with rows of zeros at the end where they do not
    divide.
    """

    matrix: Float[Array, "8 r p"]
    scale: Array
    vectors: Float[Array, "m p"]
    middle: Float[Array, "m m"]
    pending: Int[Array, ""]

    @classmethod
    def identity(cls, like: Float[Array, " p"]) -> "InverseHessian":
        size, m = like.size, 2 * _PENDING
        one = jnp.ones((), like.dtype)
        matrix = jnp.eye(-(-size // _BLOCKS) * _BLOCKS, size, dtype=like.dtype).reshape(
            _BLOCKS, -1, size
        )
        vectors, middle = jnp.zeros((m, size), like.dtype), jnp.zeros((m, m), like.dtype)
        return cls(matrix, one, vectors, middle, jnp.zeros((), jnp.int32))

    def __matmul__(self, g: Float[Array, " p"]) -> Float[Array, " p"]:
        latest = _times(_times(self.middle, _times(self.vectors, g)), self.vectors)
        return (
            self.scale * _by_blocks(_times, whole=True)(self.matrix, g).ravel()[: g.size] + latest
        )

    def dense(self) -> Float[Array, "p p"]:
        """The whole matrix that this stands for."""
        size = self.matrix.shape[2]
        return self._written().reshape(-1, size)[:size]

    def _written(self) -> Float[Array, "8 r p"]:
        """The blocks of the whole matrix, written over the old ones in slabs of rows that stay in
        the cache.
        """
        blocks, rows, size = self.matrix.shape
        left = jnp.pad(self.vectors, ((0, 0), (0, blocks * rows - size))).T.reshape(
            blocks, rows, -1
        )
        slab = min(_ROWS, rows)

        def write(own: tuple[Array, Array], left: Array, right: Array, scale: Array) -> Array:
            def lines(start: Array | int, count: int, matrix: Array) -> Array:
                old, factor = (
                    jax.lax.dynamic_slice_in_dim(x, start, count, 1) for x in (matrix, left[own[1]])
                )
                return jax.lax.dynamic_update_slice_in_dim(
                    matrix, scale * old + _times(factor, right), start, 1
                )

            matrix = jax.lax.fori_loop(
                0, rows // slab, lambda k, matrix: lines(k * slab, slab, matrix), own[0]
            )
            return lines(rows - rows % slab, rows % slab, matrix) if rows % slab else matrix

        return _by_blocks(write)(
            (self.matrix, jnp.arange(blocks)), left, _times(self.middle, self.vectors), self.scale
        )

    def corrected(
        self, tau: Array, pair: Float[Array, "2 p"], middle: Float[Array, "2 2"], restart: Array
    ) -> "InverseHessian":
        """``H / tau + pair' middle pair``; the identity for a restart."""
        at = 2 * self.pending
        new = InverseHessian(
            self.matrix,
            self.scale / tau,
            jax.lax.dynamic_update_slice_in_dim(self.vectors, pair, at, 0),
            jax.lax.dynamic_update_slice(self.middle / tau, middle, (at, at)),
            self.pending + 1,
        )
        renewed = restart | (new.pending == _PENDING)
        fresh = InverseHessian.identity(pair[0])
        matrix = jax.lax.cond(
            renewed,
            lambda: jax.lax.cond(restart, lambda: fresh.matrix, new._written),
            lambda: self.matrix,
        )
        return InverseHessian(
            matrix, *(jnp.where(renewed, a, b) for a, b in zip(fresh[1:], new[1:], strict=True))
        )


class QuasiNewtonState(NamedTuple):
    inverse_hessian: InverseHessian
    direction: Float[Array, " p"]
    value: Array
    gradient: Float[Array, " p"]
    decrease: Array  # of the value in the last step; infinite where there is none
    # The inverse Hessian is the identity: a failed search along -g means that nothing decreases.
    fresh: Array


class _QuasiNewton(Optimizer):
    """Abstract: a self-scaled method of the Broyden family with a strong-Wolfe line search inside
    the program.

    ``H`` is carried over to new collocation points.  The update is skipped where the curvature
    ``y's`` is not positive; a search that finds no decrease starts again from the identity.
    """

    remembers: ClassVar[bool] = True
    max_evaluations: eqx.AbstractVar[int]

    @abc.abstractmethod
    def _rule(
        self, length: Array, sy: Array, sg: Array, yhy: Array, size: int
    ) -> tuple[Array, Array, Array]:
        """Scaling tau and Broyden parameter phi (1: BFGS), and whether they are usable."""

    def init(self, params: PyTree) -> QuasiNewtonState:
        x, _ = ravel_pytree(params)
        if x.size > MOST_PARAMETERS:
            raise ValueError(
                f"{type(self).__name__} keeps a matrix of {x.size} x {x.size} numbers, "
                f"{x.size**2 * x.dtype.itemsize / 2**30:.0f} GiB; "
                f"above {MOST_PARAMETERS} parameters take a smaller network, or Adam or L-BFGS"
            )
        zero = jnp.zeros((), x.dtype)
        nothing = jnp.zeros_like(x)
        return QuasiNewtonState(
            InverseHessian.identity(x), nothing, zero, nothing, zero + jnp.inf, zero == 0
        )

    def start(
        self, objective: Objective, params: PyTree, state: QuasiNewtonState
    ) -> QuasiNewtonState:
        value, gradient = objective(params)
        gradient, _ = ravel_pytree(gradient)
        direction = -(state.inverse_hessian @ gradient)
        # Round-off can make the direction useless after many steps: fall back to steepest descent.
        downhill = direction @ gradient < 0
        hessian = jax.tree.map(
            lambda a, b: jnp.where(downhill, a, b),
            state.inverse_hessian,
            InverseHessian.identity(gradient),
        )
        direction = jnp.where(downhill, direction, -gradient)
        return QuasiNewtonState(
            hessian,
            direction,
            value,
            gradient,
            jnp.full_like(value, jnp.inf),
            state.fresh | ~downhill,
        )

    def update(self, objective: Objective, params: PyTree, state: QuasiNewtonState) -> Step:
        x, unravel = ravel_pytree(params)
        hessian, p, value, g, decrease, fresh = state

        def flat(x):
            value, gradient = objective(unravel(x))
            return value, ravel_pytree(gradient)[0]

        # Along -g nothing is known of the length of a step: try one of unit 1-norm first. Later the
        # one that gains as much as the last did, on a parabola (Nocedal & Wright, eq. 3.60): where
        # H is scaled, full steps are often too long.
        parabola = jnp.where(decrease > 0, jnp.maximum(1.01 * 2 * decrease / -(p @ g), 1e-4), 1.0)
        first = jnp.minimum(1.0, jnp.where(fresh, 1.0 / jnp.sum(jnp.abs(g)), parabola))
        found = strong_wolfe(
            flat, x, p, value, g, first=first, max_evaluations=self.max_evaluations
        )
        g_new = found.gradient
        s, y = found.length * p, g_new - g
        hg = hessian @ g_new
        hy = hg + p
        sy, yhy = s @ y, y @ hy
        tau, phi, good = self._rule(found.length, sy, s @ g, yhy, x.size)
        # A step that is lost in round-off is none: the gradient vanishes, or the minimum is as
        # close as floats come.
        progress = found.decreased & jnp.any(x + s != x)
        good = good & progress
        # (H - Hy Hy'/y'Hy + phi v v') / tau + s s'/s'y with v = sqrt(y'Hy) (s/s'y - Hy/y'Hy), in
        # terms of the pair Hy, s.
        cross = -phi / sy / tau
        last = phi * (yhy / sy) / sy / tau + 1 / sy
        middle = jnp.stack([jnp.stack([(phi - 1) / yhy / tau, cross]), jnp.stack([cross, last])])
        good &= jnp.all(jnp.isfinite(middle))
        tau, middle = jnp.where(good, tau, 1.0), jnp.where(good, middle, 0.0)
        pair = jnp.where(good, jnp.stack([hy, s]), 0.0)
        direction = -(hg / tau + _times(_times(middle, _times(pair, g_new)), pair))
        # The next update takes the direction for -H g: where it is useless both are given up.
        restart = ~progress | ~(direction @ g_new < 0)
        hessian = hessian.corrected(tau, pair, middle, restart)
        direction = jnp.where(restart, -g_new, direction)
        gained = jnp.where(progress, value - found.value, jnp.inf)
        new = QuasiNewtonState(hessian, direction, found.value, g_new, gained, restart)
        return Step(unravel(x + s), new, value, ~progress & fresh)

    def recover(self, params: PyTree, state: QuasiNewtonState) -> QuasiNewtonState:
        return self.init(params)

    def divisible(self, state: QuasiNewtonState) -> list[Array]:
        return [state.inverse_hessian.matrix]


class SSBroyden(_QuasiNewton):
    """Self-scaled Broyden method: the member of the family that its bounds allow.

    Version 2 of Urban, Stefanou & Pons 2025 (arXiv:2405.04230), section 2.

    Args:
        max_evaluations: of the objective in one line search.
    """

    max_evaluations: int = whole(25, most=1000)

    def _rule(
        self, length: Array, sy: Array, sg: Array, yhy: Array, size: int
    ) -> tuple[Array, Array, Array]:
        rho = 1 / sy
        h = yhy * rho
        b = -length * rho * sg
        a = h * b - 1
        c = jnp.sqrt(jnp.abs(a) / (1 + jnp.abs(a)))
        rho_minus = jnp.minimum(1.0, h * (1 - c))
        theta_minus, theta_plus = (rho_minus - 1) / a, 1 / rho_minus
        theta = jnp.maximum(theta_minus, jnp.minimum(theta_plus, (1 - b) / b))
        sigma = 1 + theta * a
        sigma_hat = jnp.abs(sigma) ** (1.0 / (1 - max(size, 2)))
        rho_k = jnp.minimum(1.0, 1 / b)
        large = rho_k * jnp.minimum(sigma_hat, 1 / jnp.where(theta <= 0, 1.0, theta))
        tau = jnp.where(theta <= 0, jnp.minimum(rho_k * sigma_hat, sigma), large)
        phi = (1 - theta) / (1 + a * theta)
        good = (sy > 0) & (yhy > 0) & (tau > 0) & jnp.isfinite(tau) & jnp.isfinite(phi)
        return tau, phi, good


class SSBFGS(_QuasiNewton):
    """Self-scaled BFGS with ``tau = min(1, y's / s'H^-1 s)`` (Al-Baali 1998).

    Curvature is only ever scaled down.

    Args:
        max_evaluations: of the objective in one line search.
    """

    max_evaluations: int = whole(25, most=1000)

    def _rule(
        self, length: Array, sy: Array, sg: Array, yhy: Array, size: int
    ) -> tuple[Array, Array, Array]:
        tau = jnp.minimum(1.0, -sy / (length * sg))
        return tau, jnp.ones_like(tau), (sy > 0) & (yhy > 0) & (tau > 0) & jnp.isfinite(tau)
