"""Allen-Cahn equation with unknown reaction rate."""

import functools

import equinox as eqx
import jax.numpy as jnp
import numpy as np

import pinops as po
from pinops.reference import Reference


@functools.cache  # `conditions` and `reference` are called often
def solution(true_rate: float, diffusivity: float) -> Reference:
    """The observed solution."""
    reference = po.load_problem("allen_cahn", rate=true_rate, diffusivity=diffusivity).reference()
    assert reference is not None
    return reference


@functools.cache
def observations(
    true_rate: float, diffusivity: float, count: int, noise: float, seed: int
) -> po.Observed:
    """Some values of the observed solution."""
    return po.observe(solution(true_rate, diffusivity), count, noise=noise, seed=seed)


@po.register("allen_cahn_inverse")
class AllenCahnInverse(po.Problem):
    """u_t = D u_xx + r (u - u³) on (-1, 1) x (0, 1], periodic in x, u(x, 0) = x² cos πx, unknown r.

    Source: the inverse problem of Kang et al. (2025), arXiv:2412.05994.

    The rate r is to be found from observations of u: values of the reference of `allen_cahn` at
    random points of its grid, with noise.

    Args:
        rate: r > 0, the unknown; the value is the first guess (default 1).
        diffusivity: D > 0, known (default 1e-4).
        true_rate: > 0, the rate behind the observations (default 5).
        num_observations: their number, >= 1 (default 200).
        noise: >= 0, its standard deviation relative to that of the values (default 0).
        data_seed: >= 0, determines grid points and noise (default 0).
    """

    domain = po.Box(x=(-1, 1), t=(0, 1))
    trainable = ("rate",)
    rate: float = po.positive(1.0)
    diffusivity: float = eqx.field(static=True, default=1e-4)
    true_rate: float = eqx.field(static=True, default=5.0)
    num_observations: int = po.whole(200, least=1)
    noise: float = eqx.field(static=True, default=0.0)
    data_seed: int = po.whole(0, least=0, most=2**32 - 1)

    def __check_init__(self):
        for name in ("diffusivity", "true_rate"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(
                    f"AllenCahnInverse: {name} must be greater than zero and finite, "
                    f"got {getattr(self, name)}"
                )

    def residual(self, u, u_t, u_xx):
        return u_t - self.diffusivity * u_xx - self.rate * (u - u**3)

    def conditions(self):
        observed = observations(
            self.true_rate, self.diffusivity, self.num_observations, self.noise, self.data_seed
        )
        return (
            po.Periodic("x", even=True),
            po.Initial(lambda x: x**2 * jnp.cos(jnp.pi * x)),
            observed,
        )

    def reference(self) -> Reference:
        return solution(self.true_rate, self.diffusivity)
