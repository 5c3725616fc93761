"""Smooth random functions of one coordinate."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.settings import check_settings, number


class GaussianProcess(eqx.Module):
    """A Gaussian process of mean 0 and covariance ``deviation^2 exp(-(x - y)^2 / (2 length^2))``.

    Args:
        length: > 0, the correlation length, in the unit of x.
        deviation: > 0, the standard deviation at each point.

    Raises:
        ValueError: for a setting that is not a positive, finite number.

    Example:
        >>> process = po.functions.GaussianProcess(length=0.2)
        >>> process.sample(jax.random.key(0), np.linspace(0, 1, 100)).shape
        (100,)
    """

    length: float = number(0.2, above=0)
    deviation: float = number(1.0, above=0)

    def __check_init__(self):
        check_settings(self)

    def sample(self, key: PRNGKeyArray, nodes: Float[np.ndarray, " m"]) -> Float[Array, " m"]:
        """Values at the nodes: normal numbers times the symmetric root of the covariance.

        That root is unique, unlike a triangular one or eigenvectors: a key gives the same function
        on every machine.

        Args:
            key: determines the function.
            nodes: ``(m,)``, in any order.

        Returns:
            ``(m,)``.
        """
        nodes = np.asarray(nodes, np.float64)
        covariance = self.deviation**2 * np.exp(
            -0.5 * ((nodes[:, None] - nodes) / self.length) ** 2
        )
        eigenvalues, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(eigenvalues, 0.0)) @ vectors.T
        return jnp.asarray(root, jnp.result_type(float)) @ jax.random.normal(key, (len(nodes),))
