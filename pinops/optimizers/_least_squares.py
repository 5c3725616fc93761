"""Methods that use the Jacobian J of the residual vector: Gauss-Newton (energy natural gradient)
and Levenberg-Marquardt.

Both solve ``(J'J + mu I) d = J'r``, for p parameters and n residuals either as it stands (p x p,
primal) or as ``d = J'(JJ' + mu I)^-1 r`` (n x n, dual, Woodbury), whichever is smaller.
"""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pinops.optimizers._optimizer import LeastSquares, Objective, Optimizer, Step
from pinops.settings import flag, number, whole

_MAX_HALVINGS = 25


class Normal(NamedTuple):
    """The normal equations at one point: the Jacobian, and the smaller of J'J and JJ'."""

    jacobian: Float[Array, "n p"]
    gram: Float[Array, "m m"]

    @property
    def scale(self) -> Array:
        """The mean squared length of the Jacobian's columns: what damping is relative to."""
        return jnp.trace(self.gram) / self.jacobian.shape[1]

    def solver(self, damping: Array | float) -> Callable[[Float[Array, " n"]], Float[Array, " p"]]:
        """``y -> (J'J + damping I)^-1 J'y``."""
        jacobian = self.jacobian
        factor = jax.scipy.linalg.cho_factor(
            self.gram + damping * jnp.eye(len(self.gram), dtype=self.gram.dtype)
        )
        in_parameters = len(self.gram) == jacobian.shape[1]

        def solve(y: Float[Array, " n"]) -> Float[Array, " p"]:
            if in_parameters:
                return jax.scipy.linalg.cho_solve(factor, jacobian.T @ y)
            return jacobian.T @ jax.scipy.linalg.cho_solve(factor, y)

        return solve


def normal_equations(jacobian: Float[Array, "n p"]) -> Normal:
    """In parameter space or in sample space, whichever is smaller.

    Args:
        jacobian: J, of n residuals and p parameters.

    Returns:
        J and J'J or JJ'.
    """
    n, p = jacobian.shape
    return Normal(jacobian, jacobian.T @ jacobian if p <= n else jacobian @ jacobian.T)


def jacobian_and_gram(parameters: int, residuals: int) -> int:
    """How many numbers `Normal` holds."""
    return parameters * residuals + min(parameters, residuals) ** 2


def least_squares(objective: Objective, optimizer: Optimizer) -> LeastSquares:
    """The objective as one with a residual vector. Raises TypeError for one without."""
    if not isinstance(objective, LeastSquares):
        raise TypeError(
            f"{type(optimizer).__name__} needs the residual vector; give it a LeastSquares "
            "objective"
        )
    return objective


def backtracked(
    residuals: Callable[[Float[Array, " p"]], Float[Array, " n"]],
    x: Float[Array, " p"],
    direction: Float[Array, " p"],
    value: Array,
) -> tuple[Float[Array, " p"], Array]:
    """The first of ``direction, direction / 2, direction / 4, ...`` whose subtraction decreases
    ``|r|^2``; zero for none.
    """

    def at(length: Array) -> Array:
        return jnp.sum(jnp.square(residuals(x - length * direction)))

    def shorter(search):
        length, _, halvings = search
        return length / 2, at(length / 2), halvings + 1

    def worse(search):
        return ~(search[1] < value) & (search[2] < _MAX_HALVINGS)

    one = jnp.ones((), x.dtype)
    length, found, _ = jax.lax.while_loop(worse, shorter, (one, at(one), jnp.zeros((), jnp.int32)))
    better = found < value
    return jnp.where(better, length * direction, 0.0), better


class GaussNewtonState(NamedTuple):
    direction: Float[Array, " p"]  # the last one, for the momentum


class GaussNewton(Optimizer):
    """Gauss-Newton with damping, momentum and a backtracking line search.

    On the residual of a PDE it is the energy natural gradient (Müller & Zeinhofer 2023,
    arXiv:2302.13163); its dual form is that of arXiv:2505.12149, as is the momentum: ``d = argmin
    |J d - r|^2 + mu |d - momentum d_last|^2`` (SPRING).

    Args:
        damping: mu, greater than 0, relative to the mean squared length of the Jacobian's columns.
        momentum: from 0 to below 1.
    """

    steps_per_dispatch: ClassVar[int] = 5
    damping: float = number(1e-10, above=0)
    momentum: float = number(0.0, least=0, below=1)

    def workspace(self, parameters: int, residuals: int) -> int:
        return jacobian_and_gram(parameters, residuals)

    def init(self, params: PyTree) -> GaussNewtonState:
        return GaussNewtonState(jnp.zeros_like(ravel_pytree(params)[0]))

    def start(
        self, objective: Objective, params: PyTree, state: GaussNewtonState
    ) -> GaussNewtonState:
        return state

    def update(self, objective: Objective, params: PyTree, state: GaussNewtonState) -> Step:
        objective = least_squares(objective, self)
        x, unravel = ravel_pytree(params)
        r, jacobian = objective.jacobian(params)
        value = r @ r
        normal = normal_equations(jacobian)
        solve = normal.solver(self.damping * normal.scale)
        carried = self.momentum * state.direction
        direction = carried + solve(r - jacobian @ carried)
        # Momentum may point uphill, and a singular system gives no direction at all: then without
        # momentum, or the gradient.
        gradient = jacobian.T @ r

        def downhill(d: Array) -> Array:
            return jnp.all(jnp.isfinite(d)) & (d @ gradient > 0)

        plain = solve(r)
        direction = jnp.where(
            downhill(direction),
            direction,
            jnp.where(downhill(plain), plain, gradient / normal.scale),
        )
        step, better = backtracked(
            lambda flat: objective.residuals(unravel(flat)), x, direction, value
        )
        return Step(unravel(x - step), GaussNewtonState(step), value, ~better)

    def recover(self, params: PyTree, state: GaussNewtonState) -> GaussNewtonState:
        return self.init(params)


class TruncatedGaussNewton(Optimizer):
    """Gauss-Newton by the singular value decomposition of the Jacobian, with a line search.

    For networks of which only a last layer is trained (`pinops.networks.RandomFeatures`): their
    Jacobians are so nearly singular that normal equations lose half of the digits.  A linear
    problem takes one step.

    Args:
        cutoff: from 0 to below 1; singular values below this part of the largest are dropped.
    """

    steps_per_dispatch: ClassVar[int] = 1
    cutoff: float = number(1e-15, least=0, below=1)

    def workspace(self, parameters: int, residuals: int) -> int:
        return 2 * parameters * residuals  # the Jacobian and its singular vectors

    def init(self, params: PyTree) -> None:
        return None

    def start(self, objective: Objective, params: PyTree, state: None) -> None:
        return None

    def update(self, objective: Objective, params: PyTree, state: None) -> Step:
        objective = least_squares(objective, self)
        x, unravel = ravel_pytree(params)
        r, jacobian = objective.jacobian(params)
        direction = jnp.linalg.lstsq(jacobian, r, rcond=self.cutoff)[0]
        step, better = backtracked(
            lambda flat: objective.residuals(unravel(flat)), x, direction, r @ r
        )
        return Step(unravel(x - step), None, r @ r, ~better)

    def recover(self, params: PyTree, state: None) -> None:
        return None


class DampedState(NamedTuple):
    damping: Array  # mu; zero before the first objective is known
    growth: Array  # by how much the next failure raises it


class LevenbergMarquardt(Optimizer):
    """Levenberg-Marquardt with geodesic acceleration (Transtrum & Sethna 2012, arXiv:1201.5885).

    The damping follows the ratio of actual to predicted decrease (Nielsen 1999). The step is ``d +
    a/2``, where ``a`` is the second-order correction for the curvature of the residual along d, as
    long as it is short.

    Args:
        damping: the first mu, greater than 0, relative to the mean squared length of the Jacobian's
            columns.
        acceleration: whether steps are corrected for the curvature of the residual.
        max_tries: dampings that are tried in one step.
    """

    steps_per_dispatch: ClassVar[int] = 5
    damping: float = number(1e-2, above=0)
    acceleration: bool = flag(True)
    max_tries: int = whole(10, most=1000)

    def workspace(self, parameters: int, residuals: int) -> int:
        return jacobian_and_gram(parameters, residuals)

    def init(self, params: PyTree) -> DampedState:
        x, _ = ravel_pytree(params)
        return DampedState(jnp.zeros((), x.dtype), jnp.full((), 2.0, x.dtype))

    def start(self, objective: Objective, params: PyTree, state: DampedState) -> DampedState:
        return state

    def update(self, objective: Objective, params: PyTree, state: DampedState) -> Step:
        objective = least_squares(objective, self)
        x, unravel = ravel_pytree(params)
        r, jacobian = objective.jacobian(params)
        value = r @ r
        normal = normal_equations(jacobian)

        def residuals(flat: Array) -> Array:
            return objective.residuals(unravel(flat))

        def attempt(trial):
            _, _, damping, growth, tries = trial
            solve = normal.solver(damping)
            d = -solve(r)
            step = d
            if self.acceleration:
                a = -solve(
                    jax.jvp(lambda flat: jax.jvp(residuals, (flat,), (d,))[1], (x,), (d,))[1]
                )
                step = jnp.where(2 * jnp.linalg.norm(a) <= 0.75 * jnp.linalg.norm(d), d + a / 2, d)
            found = jnp.sum(jnp.square(residuals(x + step)))
            linear = r + jacobian @ d
            gain = (value - found) / (value - linear @ linear)
            better = found < value
            growth_next = jnp.where(better, 2.0, 2 * growth)
            factor = jnp.where(better, jnp.maximum(1 / 3, 1 - (2 * gain - 1) ** 3), growth)
            tiny = jnp.finfo(x.dtype).eps ** 2 * normal.scale
            return (
                jnp.where(better, step, 0.0),
                better,
                jnp.maximum(damping * factor, tiny),
                growth_next,
                tries + 1,
            )

        damping = jnp.where(state.damping > 0, state.damping, self.damping * normal.scale)
        first = (
            jnp.zeros_like(x),
            jnp.zeros((), bool),
            damping,
            state.growth,
            jnp.zeros((), jnp.int32),
        )
        step, better, damping, growth, _ = jax.lax.while_loop(
            lambda trial: ~trial[1] & (trial[4] < self.max_tries), attempt, first
        )
        return Step(unravel(x + step), DampedState(damping, growth), value, ~better)

    def recover(self, params: PyTree, state: DampedState) -> DampedState:
        return DampedState(100 * state.damping, state.growth)
