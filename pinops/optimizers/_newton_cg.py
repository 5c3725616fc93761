"""Gauss-Newton without a matrix: conjugate gradients with a randomised Nyström preconditioner, for
large networks.

Rathore, Lei, Frangella, Lu & Udell 2024 (arXiv:2402.01868, NNCG) with the Gauss-Newton matrix J'J
in place of the Hessian: it is positive semidefinite, so that every direction is downhill, and its
products need one pass forward and one back. Memory is p x rank numbers for p parameters.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from pinops.optimizers._least_squares import backtracked, least_squares
from pinops.optimizers._optimizer import Objective, Optimizer, Step
from pinops.settings import number, whole

Product = Callable[[Float[Array, " p"]], Float[Array, " p"]]


class Nystrom(NamedTuple):
    """A matrix of low rank, ``U diag(values) U'``, and the mean of the diagonal of the matrix that
    it approximates.
    """

    vectors: Float[Array, "p rank"]
    values: Float[Array, " rank"]
    scale: Array

    def preconditioner(self, damping: Array) -> Product:
        """``(A + damping I)^-1`` nearly, up to a factor (Frangella, Tropp & Udell 2023,
        arXiv:2110.02820, eq. 1.3).
        """

        def apply(v: Float[Array, " p"]) -> Float[Array, " p"]:
            along = self.vectors.T @ v
            return (
                self.vectors
                @ ((self.values[-1] + damping) / (self.values + damping) * along - along)
                + v
            )

        return apply


def nystrom(product: Product, like: Float[Array, " p"], rank: int, key: PRNGKeyArray) -> Nystrom:
    """A randomised approximation of a positive semidefinite matrix from ``rank`` products
    (arXiv:2110.02820, Algorithm 2.1).

    ``like``: a vector of the size and precision of those that the matrix is multiplied with.
    """
    test, _ = jnp.linalg.qr(jax.random.normal(key, (like.size, rank), like.dtype))
    image = jax.lax.map(product, test.T).T
    limits = jnp.finfo(like.dtype)
    shift = jnp.maximum(like.size**0.5 * limits.eps * jnp.linalg.norm(image), limits.tiny)
    shifted = image + shift * test
    core = test.T @ shifted
    factor = jnp.linalg.cholesky((core + core.T) / 2)
    root = jax.scipy.linalg.solve_triangular(factor, shifted.T, lower=True).T
    vectors, values, _ = jnp.linalg.svd(root, full_matrices=False)
    return Nystrom(vectors, jnp.maximum(values**2 - shift, 0.0), jnp.trace(core) / rank)


def conjugate_gradients(
    product: Product, b: Array, preconditioner: Product, tolerance: float, limit: int
) -> tuple[Array, Array]:
    """The solution of ``A x = b`` to ``|A x - b| <= tolerance |b|``, and the number of products
    that it took.
    """

    def advance(search):
        x, r, z, p, rz, k = search
        q = product(p)
        length = rz / (p @ q)
        x, r = x + length * p, r - length * q
        z = preconditioner(r)
        new = r @ z
        return x, r, z, z + new / rz * p, new, k + 1

    z = preconditioner(b)
    first = (jnp.zeros_like(b), b, z, z, b @ z, jnp.zeros((), jnp.int32))

    def far(s):
        return (jnp.linalg.norm(s[1]) > tolerance * jnp.linalg.norm(b)) & (s[5] < limit)

    x, *_, count = jax.lax.while_loop(far, advance, first)
    return x, count


class NewtonCGState(NamedTuple):
    sketch: Nystrom
    steps: Array


class NystromNewtonCG(Optimizer):
    """Damped Gauss-Newton by preconditioned conjugate gradients, with a backtracking line search.

    Args:
        rank: of the preconditioner.
        every: steps after which the preconditioner is made anew.
        damping: greater than 0, relative to the mean squared length of the Jacobian's columns.
        tolerance: of the linear system, relative, greater than 0.
        max_products: products with J'J for one system.
        seed: of the random matrix that the preconditioner is made with.
    """

    steps_per_dispatch: ClassVar[int] = 5
    rank: int = whole(50, most=100_000)
    every: int = whole(20)
    damping: float = number(1e-4, above=0)
    tolerance: float = number(1e-3, above=0)
    max_products: int = whole(200)
    seed: int = whole(0, least=0, most=2**32 - 1)

    def workspace(self, parameters: int, residuals: int) -> int:
        return 3 * parameters * min(self.rank, parameters)  # the sketch, its image and its factors

    def init(self, params: PyTree) -> NewtonCGState:
        x, _ = ravel_pytree(params)
        rank = min(self.rank, x.size)
        empty = Nystrom(
            jnp.zeros((x.size, rank), x.dtype), jnp.zeros(rank, x.dtype), jnp.ones((), x.dtype)
        )
        return NewtonCGState(empty, jnp.zeros((), jnp.int32))

    def start(self, objective: Objective, params: PyTree, state: NewtonCGState) -> NewtonCGState:
        return state

    def update(self, objective: Objective, params: PyTree, state: NewtonCGState) -> Step:
        objective = least_squares(objective, self)
        x, unravel = ravel_pytree(params)

        def residuals(flat: Array) -> Array:
            return objective.residuals(unravel(flat))

        r, forward = jax.linearize(residuals, x)
        back = jax.linear_transpose(forward, x)

        def product(v: Array) -> Array:
            return back(forward(v))[0]

        key = jax.random.fold_in(jax.random.key(self.seed), state.steps)
        rank = state.sketch.values.size
        sketch = jax.lax.cond(
            state.steps % self.every == 0,
            lambda _: nystrom(product, x, rank, key),
            lambda sketch: sketch,
            state.sketch,
        )
        damping = self.damping * sketch.scale
        gradient = back(r)[0]
        direction, _ = conjugate_gradients(
            lambda v: product(v) + damping * v,
            gradient,
            sketch.preconditioner(damping),
            self.tolerance,
            self.max_products,
        )
        downhill = jnp.all(jnp.isfinite(direction)) & (direction @ gradient > 0)
        direction = jnp.where(downhill, direction, gradient / sketch.scale)
        value = r @ r
        step, better = backtracked(residuals, x, direction, value)
        return Step(unravel(x - step), NewtonCGState(sketch, state.steps + 1), value, ~better)

    def recover(self, params: PyTree, state: NewtonCGState) -> NewtonCGState:
        return self.init(params)
