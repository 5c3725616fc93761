"""Self-scaled quasi-Newton methods: the inverse Hessian is kept dense and corrected by one rank-2 pass per step.

Al-Baali (1998) and Al-Baali & Khalfan (2005) for the scaling; Urban, Stefanou & Pons (2025, arXiv:2405.04230) for its use
with physics-informed networks.  ``H (g+ - g) = H g+ + p`` with ``p = -H g`` the old direction: one product with H suffices.
Memory is P^2 numbers for P parameters.
"""

import abc
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pinops.optimizers._optimizer import Objective, Optimizer, Step
from pinops.optimizers._wolfe import strong_wolfe

_MAX_PARAMETERS = 30_000


class QuasiNewtonState(NamedTuple):
    inverse_hessian: Float[Array, "p p"]
    direction: Float[Array, " p"]
    value: Array
    gradient: Float[Array, " p"]
    fresh: Array  # the inverse Hessian is the identity: a failed search along -g means that nothing decreases


class _QuasiNewton(Optimizer):
    """Abstract: a self-scaled method of the Broyden family with a strong-Wolfe line search inside the program.

    ``H`` is carried over to new collocation points.  The update is skipped where the curvature ``y's`` is not positive; a
    search that finds no decrease starts again from the identity.
    """

    remembers: ClassVar[bool] = True
    max_evaluations: eqx.AbstractVar[int]

    @abc.abstractmethod
    def _rule(self, length: Array, sy: Array, sg: Array, yhy: Array, size: int) -> tuple[Array, Array, Array]:
        """Scaling tau and Broyden parameter phi (1: BFGS), and whether they are usable."""

    def __check_init__(self):
        if self.max_evaluations < 1:
            raise ValueError(f"{type(self).__name__}: max_evaluations must be at least 1, got {self.max_evaluations}")

    def init(self, params: PyTree) -> QuasiNewtonState:
        x, _ = ravel_pytree(params)
        if x.size > _MAX_PARAMETERS:
            raise ValueError(
                f"{type(self).__name__} keeps a matrix of {x.size} x {x.size} numbers, "
                f"{x.size**2 * x.dtype.itemsize / 2**30:.0f} GiB; "
                f"above {_MAX_PARAMETERS} parameters take a smaller network, or Adam or L-BFGS"
            )
        zero = jnp.zeros((), x.dtype)
        return QuasiNewtonState(jnp.eye(x.size, dtype=x.dtype), jnp.zeros_like(x), zero, jnp.zeros_like(x), zero == 0)

    def start(self, objective: Objective, params: PyTree, state: QuasiNewtonState) -> QuasiNewtonState:
        value, gradient = objective(params)
        gradient, _ = ravel_pytree(gradient)
        direction = -(state.inverse_hessian @ gradient)
        # Round-off can make the direction useless after many steps: fall back to steepest descent.
        downhill = direction @ gradient < 0
        hessian = jnp.where(downhill, state.inverse_hessian, jnp.eye(gradient.size, dtype=gradient.dtype))
        direction = jnp.where(downhill, direction, -gradient)
        return QuasiNewtonState(hessian, direction, value, gradient, state.fresh | ~downhill)

    def update(self, objective: Objective, params: PyTree, state: QuasiNewtonState) -> Step:
        x, unravel = ravel_pytree(params)
        hessian, p, value, g, fresh = state

        def flat(x):
            value, gradient = objective(unravel(x))
            return value, ravel_pytree(gradient)[0]

        # Along -g nothing is known of the length of a step: try one of unit 1-norm first.
        first = jnp.where(fresh, jnp.minimum(1.0, 1.0 / jnp.sum(jnp.abs(g))), 1.0)
        found = strong_wolfe(flat, x, p, value, g, first=first, max_evaluations=self.max_evaluations)
        g_new = found.gradient
        s, y = found.length * p, g_new - g
        hg = hessian @ g_new
        hy = hg + p
        sy, yhy = s @ y, y @ hy
        tau, phi, good = self._rule(found.length, sy, s @ g, yhy, x.size)
        # A step that is lost in round-off is none: the gradient vanishes, or the minimum is as close as floats come.
        progress = found.decreased & jnp.any(x + s != x)
        good = good & progress
        v = jnp.sqrt(jnp.where(good, yhy, 1.0)) * (s / sy - hy / yhy)

        def corrected(h, ky, kv, ks):
            """``(H - Hy Hy'/y'Hy + phi v v') / tau + s s'/s'y`` applied to something, given the three inner products."""
            return (h - ky * hy + phi * kv * v) / tau + ks * s

        updated = (hessian - jnp.outer(hy, hy / yhy) + phi * jnp.outer(v, v)) / tau + jnp.outer(s, s / sy)
        direction = -corrected(hg, hy @ g_new / yhy, v @ g_new, s @ g_new / sy)
        direction = jnp.where(good, direction, -hg)
        # The next update takes the direction for -H g: where it is useless both are given up.
        restart = ~progress | ~(direction @ g_new < 0)
        identity = jnp.eye(x.size, dtype=x.dtype)
        hessian = jnp.where(restart, identity, jnp.where(good, updated, hessian))
        direction = jnp.where(restart, -g_new, direction)
        new = QuasiNewtonState(hessian, direction, found.value, g_new, restart)
        return Step(unravel(x + s), new, value, ~progress & fresh)

    def recover(self, params: PyTree, state: QuasiNewtonState) -> QuasiNewtonState:
        return self.init(params)


class SSBroyden(_QuasiNewton):
    """Self-scaled Broyden method, version 2 of arXiv:2405.04230, section 2: the member of the family that its bounds allow.

    ``max_evaluations`` >= 1 of the objective in one line search.
    """

    max_evaluations: int = eqx.field(static=True, default=25)

    def _rule(self, length: Array, sy: Array, sg: Array, yhy: Array, size: int) -> tuple[Array, Array, Array]:
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
    """Self-scaled BFGS with ``tau = min(1, y's / s'H^-1 s)`` (Al-Baali 1998): curvature is only ever scaled down.

    ``max_evaluations`` >= 1 of the objective in one line search.
    """

    max_evaluations: int = eqx.field(static=True, default=25)

    def _rule(self, length: Array, sy: Array, sg: Array, yhy: Array, size: int) -> tuple[Array, Array, Array]:
        tau = jnp.minimum(1.0, -sy / (length * sg))
        return tau, jnp.ones_like(tau), (sy > 0) & (yhy > 0) & (tau > 0) & jnp.isfinite(tau)
