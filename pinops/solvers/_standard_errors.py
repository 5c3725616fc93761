"""Standard errors of coefficients that were found from noisy observations.

The Laplace approximation of a least-squares estimate (Seber & Wild 2003, Nonlinear Regression,
section 2.1): near the minimum an estimate depends linearly on the noise of the observations. With
the rows J of all weighted residuals, the equation's among them, noise e in the rows D of the
observations moves the parameters by ``(J'J)^-1 D'e``. The variance of the noise is the one that was
given with the observations; without, it is the square of the misfit over the degrees of freedom
that the fit has left.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from pinops.problem import Points, Region
from pinops.settings import reused
from pinops.solvers._measures import known_noise, weights_of
from pinops.training import Collocation, Model, Params, TrainState, draw

_POINTS = Collocation(interior=1024, boundary=256, initial=256)
_MOST = 4000  # parameters: a matrix with a column for each is decomposed
_SMALLEST = 1e-6  # of the largest singular value: directions that no training finds


def standard_errors(
    model: Model, params: Params, state: TrainState | None
) -> dict[str, Float[np.ndarray, "..."]]:
    """The standard error of every coefficient that was to be found, in its units, by name.

    Args:
        model: What was trained.
        params: At the minimum of the loss.
        state: Of the training, for the weights of the terms; None: the default ones.

    Raises:
        ValueError: Where no coefficient was to be found, or there are no observations; for a large
            network, and for as many free parameters as observations of unknown noise.
    """
    owner = f"standard_errors({model.owner})"
    if not params.coefficients:
        raise ValueError(f"{owner}: no coefficient was to be found; solve it with po.invert")
    count = ravel_pytree(params)[0].size
    if count > _MOST:
        raise ValueError(
            f"{owner}: the network may have {_MOST} parameters at most, and it has {count}; take a "
            "smaller one, or repeat the search with po.uncertain(network, bootstrap=0.5)"
        )
    points = draw(model.problem, model.imposition.soft, _POINTS, jax.random.key(0))
    weights = weights_of(model, params, state, points)
    known = known_noise(model)
    terms = [
        (name, region, float(weights[name][0]), np.asarray(r, float), np.asarray(rows, float))
        for region, found in _linearised(model, params, points).items()
        for name, (r, rows) in found.items()
    ]
    roots = [np.sqrt(weight / len(r)) for *_, weight, r, _ in terms]
    whole = np.concatenate([root * rows for root, (*_, rows) in zip(roots, terms, strict=True)])
    left, sizes, right = np.linalg.svd(whole, full_matrices=False)
    kept = sizes > _SMALLEST * sizes[0]
    left, inverse = left[:, kept], right[kept].T / sizes[kept]
    variance, end = np.zeros(count), 0
    for root, (name, region, _, r, _) in zip(roots, terms, strict=True):
        end += len(r)
        if region.kind != "observed":
            continue
        own = left[end - len(r) : end]
        noise = known.get(name) or _estimated_noise(owner, r, float(np.sum(np.square(own))))
        variance += noise * root**2 * np.sum(np.square(inverse @ own.T), 1)
    if not np.any(variance):
        raise ValueError(f"{owner}: there are no observations whose noise could count")
    return _in_units(model, params, np.sqrt(variance))


def _estimated_noise(owner: str, misfit: Float[np.ndarray, " n"], followed: float) -> float:
    """The variance of the noise from the misfits of a fit that follows some of them."""
    free = len(misfit) - followed
    if free < 1:
        raise ValueError(
            f"{owner}: the observations, {len(misfit)}, are as few as the parameters that follow "
            "them; give more, their noise, or a greater weight to the equation"
        )
    return float(np.sum(np.square(misfit)) / free)


@reused
def _linearised(
    model: Model, params: Params, points: dict[Region, Points]
) -> dict[Region, dict[str, tuple[Array, Array]]]:
    return {region: model.linearised(params, region, here) for region, here in points.items()}


def _in_units(
    model: Model, params: Params, errors: Float[np.ndarray, " p"]
) -> dict[str, Float[np.ndarray, "..."]]:
    """Errors of flattened parameters as those of coefficients, which depend on one each."""
    flat, unravel = ravel_pytree(params)
    moved = unravel(jnp.asarray(errors, flat.dtype))
    _, slopes = jax.jvp(model.coefficients, (params,), (moved,))
    return {name: np.abs(np.asarray(slope)) for name, slope in slopes.items()}
