"""Gaussian processes in closed form: one for each number that is predicted, all from the same
inputs.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

_ROOT = math.sqrt(5.0)
_LEAST_NOISE = 1e-8  # of the variance of a target: below, matrices are singular up to rounding
_FIRST_STEPS, _MOST_STEPS = 12, 200  # of L-BFGS: from every start, and from the best of their ends
_FLAT = 0.05  # by a logarithm: about a thousandth of the logarithm of the likelihood is left
_RANGE, _NOISES = (-4.0, 9.0), (-20.0, 3.0)  # of logarithms: of lengths and signals, of noises
_SINGULAR = 1e15  # what stands for the value where there is none
# The prior on logarithms of lengths: one over which functions of standardised inputs vary. Its
# spread leaves an input that does not matter a hundred times as long.
_LENGTH, _SPREAD = 10.0, 2.0


class Hyperparameters(NamedTuple):
    """Logarithms, of one process or, with an axis in front, of several."""

    lengths: Float[Array, "*k q"]
    signal: Float[Array, "*k"]
    noise: Float[Array, "*k"]


class Processes(eqx.Module):
    """Processes with a Matérn-5/2 covariance and a length for each input.

    Source: Rasmussen & Williams 2006, equations 2.25, 2.26, 4.17 and 5.8.

    Attributes:
        inputs: Those of the training, standardised.
        targets: A column for each process, standardised.
        chosen: The hyperparameters of each process.
    """

    inputs: Float[Array, "n q"]
    targets: Float[Array, "n k"]
    chosen: Hyperparameters

    @classmethod
    def fitted(
        cls,
        inputs: Float[np.ndarray, "n q"],
        targets: Float[np.ndarray, "n k"],
        *,
        restarts: int,
        most: int,
        seed: int,
    ) -> "Processes":
        """The processes of the largest marginal likelihood, with a prior on their lengths.

        Args:
            inputs: Standardised.
            targets: Standardised.
            restarts: How often L-BFGS starts, each time elsewhere; the best end counts.
            most: Samples that hyperparameters are fitted to; all of them are then conditioned on.
            seed: Of the starts, and of the choice of these samples.
        """
        rng = np.random.default_rng(seed)
        some = np.sort(rng.permutation(len(inputs))[:most])
        squares = _squares(jnp.asarray(inputs[some]), jnp.asarray(inputs[some]))
        ends = []
        for y in targets[some].T:
            starts = _starts(rng, restarts, inputs.shape[1])
            ends.append(_best(starts, squares, jnp.asarray(y)))
        found = jnp.asarray(np.stack(ends))
        chosen = Hyperparameters(found[:, :-2], found[:, -2], found[:, -1])
        return cls(jnp.asarray(inputs), jnp.asarray(targets), chosen)

    def misfits(self) -> Float[Array, " k"]:
        """Of each process the negative logarithm of its likelihood and prior by sample, but for a
        constant.
        """
        squares = _squares(self.inputs, self.inputs)

        def one(pair: tuple[Array, Hyperparameters]) -> Array:
            return _objective(pair[1], squares, pair[0])

        return jax.lax.map(one, (self.targets.T, self.chosen)) / len(self.inputs)

    def posterior(self) -> "Posterior":
        """What every prediction needs; the cost is that of a factor of each covariance."""
        factors, weights = _factored(self.inputs, self.targets.T, self.chosen)
        return Posterior(self.inputs, self.chosen, factors, weights)


class Posterior(NamedTuple):
    """Processes conditioned on the training.

    Attributes:
        inputs: Those of the training.
        chosen: The hyperparameters of each process.
        factors: Of the covariances, lower triangular.
        weights: Of the samples in the means.
    """

    inputs: Float[Array, "n q"]
    chosen: Hyperparameters
    factors: Float[Array, "k n n"]
    weights: Float[Array, "k n"]

    def __call__(self, at: Float[Array, "m q"]) -> tuple[Float[Array, "m k"], Float[Array, "m k"]]:
        """Means and variances at other inputs, the noise included."""
        return _predicted(self, at)


def _covariance(squares: Float[Array, "m n q"], chosen: Hyperparameters) -> Float[Array, "m n"]:
    """Matérn 5/2.

    Args:
        squares: Of the differences between two inputs.
        chosen: Hyperparameters of one process.
    """
    return jnp.exp(chosen.signal) * _matern(squares @ jnp.exp(-2 * chosen.lengths))


def _squares(x: Float[Array, "m q"], y: Float[Array, "n q"]) -> Float[Array, "m n q"]:
    return jnp.square(x[:, None] - y[None])


def _matern(squared: Float[Array, "m n"]) -> Float[Array, "m n"]:
    """Of squared distances; the root has no derivative where points coincide."""
    distance = _ROOT * jnp.sqrt(jnp.where(squared > 0, squared, 1.0))
    values = (1 + distance + jnp.square(distance) / 3) * jnp.exp(-distance)
    return jnp.where(squared > 0, values, 1.0)


def _among(squares: Float[Array, "n n q"], chosen: Hyperparameters) -> Float[Array, "n n"]:
    """The covariance of what is observed."""
    noise = _LEAST_NOISE + jnp.exp(chosen.noise)
    return _covariance(squares, chosen) + noise * jnp.eye(len(squares))


@jax.custom_vjp
def _likelihood(matrix: Float[Array, "n n"], y: Float[Array, " n"]) -> Float[Array, ""]:
    """The negative logarithm of the marginal likelihood, but for a constant."""
    return _likelihood_forward(matrix, y)[0]


def _likelihood_forward(matrix: Array, y: Array) -> tuple[Array, tuple[Array, Array]]:
    factor = jnp.linalg.cholesky(matrix)
    weights = cho_solve((factor, True), y)
    value = 0.5 * jnp.dot(y, weights) + jnp.sum(jnp.log(jnp.diagonal(factor)))
    return value, (factor, weights)


def _likelihood_backward(kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    # In closed form, as the gradient through a factorisation costs several times as much.
    factor, weights = kept
    inverse = cho_solve((factor, True), jnp.eye(len(factor)))
    return 0.5 * g * (inverse - jnp.outer(weights, weights)), g * weights


_likelihood.defvjp(_likelihood_forward, _likelihood_backward)


def _objective(chosen: Hyperparameters, squares: Array, y: Array) -> Array:
    off = (chosen.lengths - math.log(_LENGTH)) / _SPREAD
    return _likelihood(_among(squares, chosen), y) + 0.5 * jnp.sum(jnp.square(off))


def _starts(rng: np.random.Generator, count: int, q: int) -> Float[np.ndarray, "r p"]:
    """Where L-BFGS begins: at long lengths and little noise first, then at random."""
    rows = [np.append(np.full(q, math.log(10.0)), [2.0, math.log(1e-3)])]
    for _ in range(count - 1):
        lengths = rng.uniform(math.log(1.0), math.log(30.0), q)
        rows.append(np.append(lengths, [0.0, rng.uniform(math.log(1e-5), math.log(0.1))]))
    return np.stack(rows)


@jax.jit
def _value_and_slope(parts: Float[Array, " p"], squares: Array, y: Array) -> tuple[Array, Array]:
    """Of the objective, by all logarithms in one vector."""

    def value_of(parts: Array) -> Array:
        return _objective(Hyperparameters(parts[:-2], parts[-2], parts[-1]), squares, y)

    return jax.value_and_grad(value_of)(parts)


def _best(starts: np.ndarray, squares: Array, y: Array) -> Float[np.ndarray, " p"]:
    """The best end of L-BFGS: a few steps from every start, and more from the best of their ends.

    The loop is that of SciPy. In a compiled program, vectorised over processes, all of them wait
    for the slowest line search, which takes five times as long.
    """
    from scipy.optimize import minimize

    def value_and_slope(parts: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = (np.asarray(part) for part in _value_and_slope(parts, squares, y))
        # Where a matrix is singular up to rounding, which a shorter step avoids.
        return (float(value), slope) if np.isfinite(value) else (_SINGULAR, np.zeros_like(slope))

    def end(start: np.ndarray, steps: int) -> Any:
        return minimize(
            value_and_slope,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[_RANGE] * (len(start) - 1) + [_NOISES],
            options={"maxiter": steps, "gtol": _FLAT},
        )

    first = min((end(start, _FIRST_STEPS) for start in starts), key=lambda found: found.fun)
    return end(first.x, _MOST_STEPS).x


@jax.jit
def _factored(x: Array, targets: Array, chosen: Hyperparameters) -> tuple[Array, Array]:
    squares = _squares(x, x)

    def one(pair: tuple[Array, Hyperparameters]) -> tuple[Array, Array]:
        y, own = pair
        factor = jnp.linalg.cholesky(_among(squares, own))
        return factor, cho_solve((factor, True), y)

    return jax.lax.map(one, (targets, chosen))


@jax.jit
def _predicted(posterior: Posterior, at: Array) -> tuple[Array, Array]:
    squares = _squares(at, posterior.inputs)

    def one(parts: tuple[Hyperparameters, Array, Array]) -> tuple[Array, Array]:
        own, factor, weights = parts
        across = _covariance(squares, own)
        known = jnp.sum(jnp.square(solve_triangular(factor, across.T, lower=True)), 0)
        prior = jnp.exp(own.signal) + jnp.exp(own.noise)
        return across @ weights, jnp.maximum(prior - known, 0)

    mean, variance = jax.lax.map(one, (posterior.chosen, posterior.factors, posterior.weights))
    return mean.T, variance.T
