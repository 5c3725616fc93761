"""Smooth random functions of one coordinate."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


class GaussianProcess(eqx.Module):
    """A Gaussian process of mean 0 and covariance ``deviation^2 exp(-(x - y)^2 / (2 length^2))``.

    **Arguments:** ``length`` > 0: the correlation length; ``deviation`` > 0: the standard deviation at each point.
    """

    length: float = eqx.field(static=True, default=0.2)
    deviation: float = eqx.field(static=True, default=1.0)

    def __check_init__(self):
        for name in ("length", "deviation"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"GaussianProcess: {name} must be greater than zero and finite, got {getattr(self, name)}")

    def sample(self, key: PRNGKeyArray, nodes: Float[np.ndarray, " m"]) -> Float[Array, " m"]:
        """Values at the nodes, from the eigenvectors of the covariance (Karhunen-Loève)."""
        nodes = np.asarray(nodes, np.float64)
        covariance = self.deviation**2 * np.exp(-0.5 * ((nodes[:, None] - nodes) / self.length) ** 2)
        eigenvalues, vectors = np.linalg.eigh(covariance)
        modes = vectors * np.sqrt(np.maximum(eigenvalues, 0.0))
        return jnp.asarray(modes, jnp.result_type(float)) @ jax.random.normal(key, (len(nodes),))
