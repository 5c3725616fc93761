"""Diffusion and reaction with a random source."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pinops as po
from pinops.functions import GaussianProcess, interpolate
from pinops.reference import Reference, grid_values, reaction_diffusion

SENSORS = np.linspace(0, 1, 100)


@po.register("diffusion_reaction")
class DiffusionReaction(po.Problem):
    """u_t = D u_xx + k u² + f(x) on (0, 1) x (0, 1], u = 0 at t = 0 and at both ends, random f.

    Source: Wang, Wang & Perdikaris (2021), section 4.2.

    A family: f is a smooth Gaussian process, seen by its values at 100 sensors and the cubic
    interpolation between them. Diffusion is weak: there are layers of width √(Dt) at both ends.

    Args:
        source: ``(100,)``, f at the sensors (default cos 2πx).
        diffusivity: D > 0 (default 0.01).
        rate: k, of the reaction (default 0.01).
        length: > 0, the correlation length of f (default 0.2).
    """

    domain = po.Box(x=(0, 1), t=(0, 1))
    source: Float[Array | np.ndarray, " m"] = eqx.field(
        default_factory=lambda: np.cos(2 * np.pi * SENSORS)
    )
    diffusivity: float = po.positive(0.01)
    rate: float = 0.01
    length: float = eqx.field(static=True, default=0.2)

    def __check_init__(self):
        GaussianProcess(self.length)
        if np.shape(self.source)[-1:] != SENSORS.shape:
            raise ValueError(
                f"{type(self).__name__}: source must have {SENSORS.size} values, "
                f"got shape {np.shape(self.source)}"
            )

    def residual(self, u, u_t, u_xx, x):
        source = interpolate(jnp.asarray(self.source), x, (0.0, 1.0))
        return u_t - self.diffusivity * u_xx - self.rate * u**2 - source

    def conditions(self):
        return (po.Initial(0.0), po.Dirichlet(0.0, on="x"))

    def sample(self, key):
        return replace(self, source=GaussianProcess(self.length).sample(key, SENSORS))

    def inputs(self):
        return {"source": self.source}

    def reference(self) -> Reference:
        source, rate = np.asarray(self.source, np.float64), float(self.rate)
        return reaction_diffusion(
            np.linspace(0, 1, 101),
            np.linspace(0, 1, 101),
            diffusivity=float(self.diffusivity),
            reaction=lambda u: rate * u**2,
            source=lambda x: grid_values(source, x, (0.0, 1.0)),
            initial=np.zeros_like,
            max_step=5e-3,
        )
