"""The viscous Burgers equation of random viscosity from random initial values.

A family for surrogates.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pinops as po
from pinops.functions import RandomWaves, waves
from pinops.reference import Reference, periodic_cole_hopf

VISCOSITIES = {
    "training": (0.002, 0.007, 0.02, 0.04, 0.2, 0.4, 2.0),
    "interpolation": (0.004, 0.01, 0.1, 1.0),
    "extrapolation": (0.001, 4.0),
}


@po.register("cape_burgers")
class CapeBurgers(po.Problem):
    """u_t + (u²/2)_x = (ν/π) u_xx on (0, 1) x (0, 2], periodic in x, u(x, 0) = g(x), random g.

    Source: Takamoto, Alesiani & Niepert (ICML 2023), with the data of PDEBench (Takamoto et al.,
    NeurIPS 2022), made exactly periodic.

    A family for surrogates: they see ν, a vector of one number, and the first snapshot instead of
    g, a random sum of sine waves. The mean is conserved and advects the waves, which steepen to
    shocks of width ~ν for small ν and decay within one snapshot for large ν. A tenth of all g
    have kinks, and a tenth are steep at the edges of a window (`pinops.functions.RandomWaves`).

    Args:
        initial: ``(4, 4)``, coefficients of g for `pinops.functions.waves` (default: 0.5 sin 2πx).
        viscosity: ν > 0 (default 0.2).
        parameters: the sampled viscosities: "training" (0.002, 0.007, 0.02, 0.04, 0.2, 0.4, 2;
            default), "interpolation" (0.004, 0.01, 0.1, 1) or "extrapolation" (0.001, 4).
        cells: the solution is known at the centres of as many cells, >= 2 (default 64).
        frames: the number of snapshots from t = 0 to 2, >= 2 (default 21).
    """

    domain = po.Box(x=(0, 1), t=(0, 2))
    initial: Float[Array | np.ndarray, "4 4"] = eqx.field(
        default_factory=lambda: np.array([[0.5, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
    )
    viscosity: float = po.positive(0.2)
    parameters: str = po.one_of("training", VISCOSITIES)
    cells: int = po.whole(64, least=2, most=65_536)
    frames: int = po.whole(21, least=2, most=10_000)

    def __check_init__(self):
        if np.shape(self.initial)[-2:] != (4, 4):
            raise ValueError(
                f"CapeBurgers: initial must have shape (4, 4), got {np.shape(self.initial)}"
            )

    def residual(self, u, u_t, u_x, u_xx):
        return u_t + u * u_x - self.viscosity / np.pi * u_xx

    def conditions(self):
        return (po.Periodic("x"), po.Initial(lambda x: waves(self.initial, x)))

    def sample(self, key):
        shape, value = jax.random.split(key)
        viscosity = jax.random.choice(value, jnp.asarray(VISCOSITIES[self.parameters]))
        return replace(self, initial=RandomWaves().sample(shape), viscosity=viscosity)

    def inputs(self):
        return {"viscosity": self.viscosity}

    def reference(self) -> Reference:
        coefficients = np.asarray(self.initial, np.float64)
        return periodic_cole_hopf(
            (np.arange(self.cells) + 0.5) / self.cells,
            np.linspace(0, 2, self.frames),
            float(self.viscosity) / np.pi,
            initial=lambda x: waves(coefficients, x),
        )
