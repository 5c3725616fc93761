"""Advection at a random constant speed from random initial values: a family for surrogates."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pinops as po
from pinops.functions import RandomWaves, waves
from pinops.reference import Reference

SPEEDS = {
    "training": (0.2, 0.4, 0.7, 2.0, 4.0),
    "interpolation": (1.0,),
    "extrapolation": (0.1, 7.0),
}


@po.register("cape_advection")
class CapeAdvection(po.Problem):
    """u_t + β u_x = 0 on (0, 1) x (0, 2], periodic in x, u(x, 0) = g(x), random sums of sines g.

    Source: Takamoto, Alesiani & Niepert (ICML 2023), with the data of PDEBench (Takamoto et al.,
    NeurIPS 2022), made exactly periodic.

    A family for surrogates: they see β, a vector of one number, and the first snapshot instead of
    g. Waves keep their shape and cross the domain 2β times. A tenth of all g have kinks, and a
    tenth are steep at the edges of a window (`pinops.functions.RandomWaves`).

    Args:
        initial: ``(4, 4)``, coefficients of g for `pinops.functions.waves` (default: 0.5 sin 2πx).
        speed: β (default 0.4).
        parameters: the sampled speeds: "training" (0.2, 0.4, 0.7, 2, 4; default), "interpolation"
            (1) or "extrapolation" (0.1, 7).
        cells: the solution is known at the centres of as many cells, >= 2 (default 64).
        frames: the number of snapshots from t = 0 to 2, >= 2 (default 21).
    """

    domain = po.Box(x=(0, 1), t=(0, 2))
    initial: Float[Array | np.ndarray, "4 4"] = eqx.field(
        default_factory=lambda: np.array([[0.5, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]])
    )
    speed: float = 0.4
    parameters: str = po.one_of("training", SPEEDS)
    cells: int = po.whole(64, least=2, most=65_536)
    frames: int = po.whole(21, least=2, most=10_000)

    def __check_init__(self):
        if np.shape(self.initial)[-2:] != (4, 4):
            raise ValueError(
                f"CapeAdvection: initial must have shape (4, 4), got {np.shape(self.initial)}"
            )

    def residual(self, u_t, u_x):
        return u_t + self.speed * u_x

    def conditions(self):
        return (po.Periodic("x"), po.Initial(lambda x: waves(self.initial, x)))

    def sample(self, key):
        shape, value = jax.random.split(key)
        speed = jax.random.choice(value, jnp.asarray(SPEEDS[self.parameters]))
        return replace(self, initial=RandomWaves().sample(shape), speed=speed)

    def inputs(self):
        return {"speed": self.speed}

    def reference(self) -> Reference:
        x = (np.arange(self.cells)[:, None] + 0.5) / self.cells
        t = np.linspace(0, 2, self.frames)[None, :]
        u = waves(np.asarray(self.initial, np.float64), x - float(self.speed) * t)
        # x - βt is rounded to 1e-15, and slopes at a window of width 0.01 are of order 100.
        return Reference(
            coordinates={"x": x, "t": t},
            values={"u": u},
            error_bar={"u": 1e-12},
            kind="closed form",
            source="u(x, t) = g(x - βt)",
        )
