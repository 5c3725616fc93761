"""Random keys on the host, of few programs."""

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pinops.settings import quick


def key_of(seed: int, purpose: int) -> PRNGKeyArray:
    """``fold_in(key(seed), purpose)``, for a seed from 0 to 2^32 - 1."""
    return _key_of(np.uint32(seed), np.uint32(purpose))


def folded(key: PRNGKeyArray, number: int) -> PRNGKeyArray:
    """``jax.random.fold_in(key, number)``."""
    return _folded(key, np.uint32(number))


@quick
def _key_of(seed: Array | np.uint32, purpose: Array | np.uint32) -> PRNGKeyArray:
    return jax.random.fold_in(jax.random.key(seed), purpose)


@quick
def _folded(key: PRNGKeyArray, number: Array | np.uint32) -> PRNGKeyArray:
    return jax.random.fold_in(key, number)
