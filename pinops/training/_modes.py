"""The principal modes of the solutions in a data set, as the basis of an operator."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.data import Dataset
from pinops.networks import field_of
from pinops.operators import PODDeepONetwork
from pinops.problem import Problem, unstacked
from pinops.training._model import Params, cast
from pinops.training._operator import OperatorModel

_MISSED = 0.01  # of the data: more is worth a warning
_NEGLIGIBLE = 1e-6  # combinations of polynomials that hardly change the solution
_MEMBERS, _POINTS = 256, 2048  # at once


def with_modes(model: OperatorModel, params: Params, dataset: Dataset | None) -> Params:
    """Parameters whose basis are the mean and the first modes of the training data, where the operator has such a basis.

    A solution is affine in the coefficients of its network, ``u = lift + A c`` at the points of the data, with the same A for
    all members; modes are orthogonal in the space of A, as solutions and not as coefficients.

    **Raises** ValueError without data, for data with gaps, for more polynomials than the data have points, and where A is not
    the same.
    """
    operator = model.operator(params)
    if not isinstance(operator, PODDeepONetwork):
        return params
    owner = model.owner
    if dataset is None:
        raise ValueError(
            f"PODDeepONet takes its modes from solutions; make some with pinops data {owner}, and give data="
        )
    polynomials, outputs = operator.trunk.coefficients.shape
    unknowns, points = operator.unknowns, jnp.asarray(dataset.points, jnp.result_type(float))
    if polynomials > len(points):
        raise ValueError(
            f"PODDeepONet has {polynomials} products of polynomials and {dataset.path} only {len(points)} points; choose lower "
            "degrees, such as (24, 1, 24) for the cosine, the sine and the time of a periodic problem"
        )

    def solution(
        coefficients: Array, problem: Problem, at: Float[Array, " d"]
    ) -> Float[Array, " c"]:
        network = eqx.tree_at(lambda trunk: trunk.coefficients, operator.trunk, coefficients)
        return field_of(problem, model.imposition, network, model.scales)(at) / model.scale

    zero = jnp.zeros((polynomials, unknowns))
    lifts = eqx.filter_jit(
        eqx.filter_vmap(
            lambda problem: jax.vmap(lambda at: solution(zero, problem, at))(points).ravel(),
            in_axes=0,
        )
    )
    rows_of = eqx.filter_jit(
        lambda problem, some: jax.vmap(lambda at: jax.jacrev(solution)(zero, problem, at))(some)
    )

    def columns(problem: Problem) -> Float[np.ndarray, "lc kc"]:
        slices = [
            np.asarray(rows_of(problem, points[k : k + _POINTS]))
            for k in range(0, len(points), _POINTS)
        ]
        return np.concatenate(slices).reshape(len(points) * unknowns, -1).astype(float)

    training = dataset.splits["training"]
    member = lambda k: cast(
        unstacked(dataset.problems(model.problem, dataset.rows(range(k, k + 1))), 1)[0]
    )
    first = columns(member(training.start))
    if not np.allclose(
        first, columns(member(training.stop - 1)), atol=1e-5 * np.max(np.abs(first))
    ):
        raise ValueError(
            f"PODDeepONet: members of {owner} meet their conditions in different ways, and have no modes in common"
        )
    squares, directions = np.linalg.eigh(first.T @ first)
    kept = squares > _NEGLIGIBLE**2 * squares[-1]
    back = directions[:, kept] / np.sqrt(squares[kept])
    left = first @ back  # an orthonormal basis of all that the polynomials can be

    found, total, missed = [], 0.0, 0.0
    for start in range(training.start, training.stop, _MEMBERS):
        rows = dataset.rows(range(start, min(start + _MEMBERS, training.stop)))
        values = np.stack(
            [
                rows[f"values/{name}"].reshape(len(rows["inputs"]), -1)
                for name in model.problem.unknowns
            ],
            -1,
        )
        if not np.all(np.isfinite(values)):
            raise ValueError(
                f"PODDeepONet: {dataset.path} has places without values, and modes need all; choose DeepONet"
            )
        values = (values / np.asarray(model.scale)).reshape(len(values), -1)
        rest = values - np.asarray(lifts(cast(dataset.problems(model.problem, rows))))
        found.append(rest @ left)
        total += np.sum(values**2)
        missed += np.sum(rest**2) - np.sum(found[-1] ** 2)
    projected = np.concatenate(found)
    mean = np.mean(projected, 0)
    _, spreads, modes = np.linalg.svd(projected - mean, full_matrices=False)
    latent = outputs // unknowns - 1
    missed += np.sum(spreads[latent:] ** 2)
    if missed > _MISSED**2 * total:
        warnings.warn(
            f"{min(latent, len(spreads))} modes of {polynomials} products of polynomials miss {np.sqrt(missed / total):.1%} of "
            f"the data of {owner}; raise latent or degrees",
            stacklevel=2,
        )
    basis = np.zeros((1 + latent, len(mean)))
    basis[0] = mean
    basis[1 : 1 + len(modes)] = (spreads[:, None] * modes)[:latent] / np.sqrt(len(projected))
    coefficients = (
        (back @ basis.T)
        .reshape(polynomials, unknowns, 1 + latent)
        .swapaxes(1, 2)
        .reshape(polynomials, outputs)
    )
    new = jnp.asarray(coefficients, operator.trunk.coefficients.dtype)
    return eqx.tree_at(lambda params: params.network.trunk.coefficients, params, new)
