"""The principal modes of the solutions of a family, as the basis of an operator."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.networks import SpectralNetwork
from pinops.operators._operator import Solutions
from pinops.problem import Problem, unstacked

_MISSED = 0.01  # of the data: more is worth a warning
_NEGLIGIBLE = 1e-6  # combinations of polynomials that hardly change the solution
_MEMBERS, _POINTS = 256, 2048  # at once


def with_modes(
    trunk: SpectralNetwork, unknowns: int, solutions: Solutions
) -> tuple[SpectralNetwork, Float[np.ndarray, "n p"]]:
    """A trunk of products of polynomials whose outputs are the mean and the first modes of the
    solutions.

    A solution is affine in the coefficients of its network, ``u = lift + A c`` at the points of the
    data, with the same A for all members; modes are orthogonal in the space of A, as solutions and
    not as coefficients.

    Returns:
        The trunk, and how much of each mode the solutions have, with mean 0 and variance 1.

    Raises:
        ValueError: For data with gaps, for more polynomials than the data have points, and where A
            differs from member to member.
    """
    polynomials, outputs = trunk.coefficients.shape
    points = jnp.asarray(solutions.points, jnp.result_type(float))
    if polynomials > len(points):
        raise ValueError(
            f"PODDeepONet has {polynomials} products of polynomials and {solutions.source} only "
            f"{len(points)} points; "
            "choose lower degrees, such as (24, 1, 24) for the cosine, the sine and the time of a "
            "periodic problem"
        )
    space = _Space(trunk, unknowns, solutions, points)
    first = space.columns(space.member(0))
    last = space.columns(space.member(solutions.count - 1))
    if not np.allclose(first, last, atol=1e-5 * np.max(np.abs(first))):
        raise ValueError(
            f"PODDeepONet: members of {solutions.owner} meet their conditions in different ways, "
            "and have no modes in common"
        )
    squares, directions = np.linalg.eigh(first.T @ first)
    kept = squares > _NEGLIGIBLE**2 * squares[-1]
    back = directions[:, kept] / np.sqrt(squares[kept])
    projected, total, missed = space.projected(first @ back)
    latent = outputs // unknowns - 1
    mean = np.mean(projected, 0)
    shares, spreads, modes = np.linalg.svd(projected - mean, full_matrices=False)
    missed += np.sum(spreads[latent:] ** 2)
    if missed > _MISSED**2 * total:
        warnings.warn(
            f"{min(latent, len(spreads))} modes of {polynomials} products of polynomials miss "
            f"{np.sqrt(missed / total):.1%} of the data of {solutions.owner}; raise latent or "
            "degrees",
            stacklevel=2,
        )
    basis = np.zeros((1 + latent, len(mean)))
    basis[0] = mean
    basis[1 : 1 + len(modes)] = (spreads[:, None] * modes)[:latent] / np.sqrt(len(projected))
    by_unknown = (back @ basis.T).reshape(polynomials, unknowns, 1 + latent)
    coefficients = by_unknown.swapaxes(1, 2).reshape(polynomials, outputs)
    new = jnp.asarray(coefficients, trunk.coefficients.dtype)
    amounts = np.zeros((len(projected), latent))
    amounts[:, : len(modes)] = (np.sqrt(len(projected)) * shares)[:, :latent]
    return eqx.tree_at(lambda trunk: trunk.coefficients, trunk, new), amounts


class _Space:
    """Solutions as functions of the coefficients of the polynomials, at the points of the data."""

    def __init__(self, trunk: SpectralNetwork, unknowns: int, solutions: Solutions, points: Array):
        self._solutions, self._points = solutions, points
        zero = jnp.zeros((len(trunk.coefficients), unknowns))

        def solution(
            coefficients: Array, problem: Problem, at: Float[Array, " d"]
        ) -> Float[Array, " c"]:
            network = eqx.tree_at(lambda trunk: trunk.coefficients, trunk, coefficients)
            return solutions.field(network, problem)(at)

        def lift(problem: Problem) -> Array:
            return jax.vmap(lambda at: solution(zero, problem, at))(points).ravel()

        def rows(problem: Problem, some: Array) -> Array:
            return jax.vmap(lambda at: jax.jacrev(solution)(zero, problem, at))(some)

        self._lifts = eqx.filter_jit(eqx.filter_vmap(lift))
        self._rows = eqx.filter_jit(rows)

    def member(self, number: int) -> Problem:
        """One member of the data."""
        return unstacked(self._solutions.members(range(number, number + 1)), 1)[0]

    def columns(self, problem: Problem) -> Float[np.ndarray, "lc kc"]:
        """What each coefficient adds to the solution of a member."""
        starts = range(0, len(self._points), _POINTS)
        slices = [np.asarray(self._rows(problem, self._points[k : k + _POINTS])) for k in starts]
        whole = np.concatenate(slices)
        return whole.reshape(whole.shape[0] * whole.shape[1], -1).astype(float)

    def projected(
        self, left: Float[np.ndarray, "lc r"]
    ) -> tuple[Float[np.ndarray, "n r"], float, float]:
        """All solutions in an orthonormal basis; the sum of their squares, and of what the basis
        misses.
        """
        found, total, missed = [], 0.0, 0.0
        for start in range(0, self._solutions.count, _MEMBERS):
            numbers = range(start, min(start + _MEMBERS, self._solutions.count))
            values = self._solutions.values(numbers).reshape(len(numbers), -1)
            if not np.all(np.isfinite(values)):
                raise ValueError(
                    f"PODDeepONet: {self._solutions.source} has missing values, and modes need "
                    "all; choose DeepONet"
                )
            rest = values - np.asarray(self._lifts(self._solutions.members(numbers)))
            found.append(rest @ left)
            total += float(np.sum(values**2))
            missed += float(np.sum(rest**2) - np.sum(found[-1] ** 2))
        return np.concatenate(found), total, missed
