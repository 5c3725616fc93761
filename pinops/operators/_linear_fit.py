"""The best affine map from inputs to coefficients, in closed form."""

import numpy as np
from jaxtyping import Float

_HELD_OUT = 5  # every fifth sample is held out, to choose the strength of the regularisation
_STRENGTHS = 10.0 ** np.arange(-12, 1)  # of the largest singular value squared
_LEAST = 1e-6  # of a coefficient: what single precision cannot tell


def linear_fit(
    inputs: Float[np.ndarray, "n m"], wanted: Float[np.ndarray, "n p"]
) -> tuple[Float[np.ndarray, "m p"], Float[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Ridge regression (Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634).

    Args:
        inputs: Of n samples.
        wanted: Coefficients of these samples.

    Returns:
        The matrix, what is added, and the root mean square of what both miss of each coefficient,
        on samples that chose how strongly they are regularised but took no part in the fit.
    """
    held = np.arange(len(inputs)) % _HELD_OUT == 0
    if held.all() or not held.any():
        nothing = np.zeros((inputs.shape[1], wanted.shape[1]))
        return nothing, np.mean(wanted, 0), np.std(wanted, axis=0)
    means = np.mean(inputs[~held], 0), np.mean(wanted[~held], 0)
    inputs, wanted = inputs - means[0], wanted - means[1]
    left, sizes, right = np.linalg.svd(inputs[~held], full_matrices=False)
    projected = left.T @ wanted[~held]

    def fitted(strength: float) -> Float[np.ndarray, "m p"]:
        damped = sizes / (sizes**2 + strength * max(sizes[0] ** 2, np.finfo(float).tiny))
        return right.T @ (damped[:, None] * projected)

    missed = [
        np.sqrt(np.mean((inputs[held] @ fitted(s) - wanted[held]) ** 2, 0)) for s in _STRENGTHS
    ]
    best = int(np.argmin([np.sum(m**2) for m in missed]))
    size = np.sqrt(np.mean(wanted**2, 0))
    # Where nothing is gained by a linear map the coefficients are left to the network alone.
    helps = missed[best] < size
    matrix = np.where(helps, fitted(_STRENGTHS[best]), 0.0)
    missed_most = np.maximum(np.where(helps, missed[best], size), _LEAST * np.max(size))
    return matrix, means[1] - means[0] @ matrix, missed_most
