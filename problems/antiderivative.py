"""The antiderivative of a random function."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pinops as po
from pinops.functions import GaussianProcess, interpolate
from pinops.reference import Reference, antiderivative

SENSORS = np.linspace(0, 1, 100)


@po.register("antiderivative")
class Antiderivative(po.Problem):
    """u_x = f(x) on (0, 1], u(0) = 0, for smooth random f.

    Source: Wang, Wang & Perdikaris (2021), section 4.1.

    A family: f is a Gaussian process, seen by its values at 100 sensors and the cubic
    interpolation between them.

    Args:
        source: ``(100,)``, f at the sensors (default cos 2πx).
        length: > 0, the correlation length of f (default 0.2).
    """

    domain = po.Box(x=(0, 1))
    source: Float[Array | np.ndarray, " m"] = eqx.field(
        default_factory=lambda: np.cos(2 * np.pi * SENSORS)
    )
    length: float = eqx.field(static=True, default=0.2)

    def __check_init__(self):
        GaussianProcess(self.length)
        if np.shape(self.source)[-1:] != SENSORS.shape:
            raise ValueError(
                f"{type(self).__name__}: source must have {SENSORS.size} values, "
                f"got shape {np.shape(self.source)}"
            )

    def residual(self, u_x, x):
        return u_x - interpolate(jnp.asarray(self.source), x, (0.0, 1.0))

    def conditions(self):
        return (po.Dirichlet(0.0, on="x_min"),)

    def sample(self, key):
        return replace(self, source=GaussianProcess(self.length).sample(key, SENSORS))

    def inputs(self):
        return {"source": self.source}

    def reference(self) -> Reference:
        return antiderivative(np.asarray(self.source, np.float64), (0.0, 1.0))
