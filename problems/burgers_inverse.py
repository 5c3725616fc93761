"""Viscous Burgers equation with unknown viscosity."""

import functools

import equinox as eqx
import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.reference import Reference, cole_hopf


@functools.cache  # `conditions` is called often
def observations(viscosity: float, count: int, noise: float, seed: int) -> po.Observed:
    """Values of the solution at random points."""
    rng = np.random.default_rng(seed)
    points = rng.uniform((-1.0, 0.0), (1.0, 1.0), (count, 2))
    references = [cole_hopf(point[:1], point[1:], viscosity) for point in points]
    u = np.array([reference.values["u"].item() for reference in references])
    level = noise * np.std(u)
    u = u + level * rng.standard_normal(count)
    at = {"x": points[:, 0], "t": points[:, 1]}
    return po.Observed(at, {"u": u}, noise=level if level > 0 else None)


@po.register("burgers_inverse")
class BurgersInverse(po.Problem):
    """u_t + u u_x = ν u_xx on (-1, 1) x (0, 1], u(x, 0) = -sin πx, u(±1, t) = 0, unknown ν.

    Source: Raissi et al. (2019).

    The viscosity ν is to be found from observations of u: values of the solution (Cole-Hopf) at
    random points, with noise.

    Args:
        viscosity: ν > 0, the unknown; the value is the first guess (default 0.02).
        true_viscosity: > 0, the viscosity behind the observations (default 0.01/π).
        num_observations: their number, >= 1 (default 200).
        noise: >= 0, its standard deviation relative to that of the values (default 0).
        data_seed: >= 0, determines points and noise (default 0).
    """

    domain = po.Box(x=(-1, 1), t=(0, 1))
    trainable = ("viscosity",)
    viscosity: float = po.positive(0.02)
    true_viscosity: float = eqx.field(static=True, default=0.01 / np.pi)
    num_observations: int = po.whole(200, least=1)
    noise: float = eqx.field(static=True, default=0.0)
    data_seed: int = po.whole(0, least=0, most=2**32 - 1)

    def __check_init__(self):
        if not (0 < self.true_viscosity < np.inf):
            raise ValueError(
                "BurgersInverse: true_viscosity must be greater than zero, "
                f"got {self.true_viscosity}"
            )
        if not (0 <= self.noise < np.inf):
            raise ValueError(f"BurgersInverse: noise must not be negative, got {self.noise}")

    def residual(self, u, u_t, u_x, u_xx):
        return u_t + u * u_x - self.viscosity * u_xx

    def conditions(self):
        observed = observations(
            self.true_viscosity, self.num_observations, self.noise, self.data_seed
        )
        return (po.Initial(lambda x: -jnp.sin(jnp.pi * x)), po.Dirichlet(0.0, on="x"), observed)

    def reference(self) -> Reference:
        x, t = np.linspace(-1, 1, 256), np.linspace(0, 1, 101)
        return cole_hopf(x, t, self.true_viscosity)
