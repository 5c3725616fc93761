"""The best linear map from inputs to coefficients, in closed form."""

import numpy as np
from jaxtyping import Float

_HELD_OUT = 5  # one sample in so many chooses the strength of the regularisation
_STRENGTHS = 10.0 ** np.arange(-12, 1)  # of the largest singular value squared
_LEAST = 1e-6  # of a coefficient: what single precision cannot tell


def linear_fit(
    inputs: Float[np.ndarray, "n m"], wanted: Float[np.ndarray, "n p"]
) -> tuple[Float[np.ndarray, "m p"], Float[np.ndarray, " p"]]:
    """Ridge regression (Hoerl & Kennard 1970, doi:10.1080/00401706.1970.10488634).

    Args:
        inputs: Of n samples, each entry with mean 0.
        wanted: Coefficients, each with mean 0.

    Returns:
        The matrix, and the root mean square of what it misses of each coefficient, on samples that
        chose how strongly it is regularised but took no part in the fit.
    """
    held = np.arange(len(inputs)) % _HELD_OUT == 0
    if held.all() or not held.any():
        return np.zeros((inputs.shape[1], wanted.shape[1])), np.sqrt(np.mean(wanted**2, 0))
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
    return matrix, np.maximum(np.where(helps, missed[best], size), _LEAST * np.max(size))
