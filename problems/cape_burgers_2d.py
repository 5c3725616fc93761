"""The viscous Burgers system of random viscosity in two dimensions: a family for surrogates."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pinops as po
from pinops.functions import RandomPlaneWaves, plane_waves
from pinops.reference import Reference, periodic_burgers_2d

VISCOSITIES = {
    "training": (0.015, 0.02, 0.04, 0.1),
    "interpolation": (0.03, 0.07),
    "extrapolation": (0.01, 0.2),
}


@po.register("cape_burgers_2d")
class CapeBurgers2D(po.Problem):
    """u_t + u u_x + v u_y = ν Δu, v_t + u v_x + v v_y = ν Δv on (0, 1)² x (0, 1], periodic.

    Source: ours, in place of the compressible flow on the same square and with the same 21
    snapshots of Takamoto, Alesiani & Niepert (ICML 2023). Of its viscosities 0.01, 0.04 and 0.1
    are among ours; fronts of smaller ones would take thousands of waves along each axis.

    A family for surrogates: they see ν, a vector of one number, and the first snapshot instead of
    the coefficients of the initial plane waves. Waves are advected by the mean and by each other,
    and steepen to fronts of width ~ν. Both unknowns stay within their initial range; their means
    are conserved only where the vorticity v_x - u_y vanishes.

    Args:
        initial: ``(2, 4, 3)``, coefficients of u and v at t = 0 for `pinops.functions.plane_waves`
            (default: u = 0.5 sin 2π(x + y), v = 0.5 cos 2πx).
        viscosity: ν > 0 (default 0.1).
        parameters: the sampled viscosities: "training" (0.015, 0.02, 0.04, 0.1; default),
            "interpolation" (0.03, 0.07) or "extrapolation" (0.01, 0.2).
        cells: the solution is known at the centres of ``cells`` x ``cells`` cells, >= 2 (default
            64).
        frames: the number of snapshots from t = 0 to 1, >= 2 (default 21).
    """

    domain = po.Box(x=(0, 1), y=(0, 1), t=(0, 1))
    unknowns = ("u", "v")
    initial: Float[Array | np.ndarray, "2 4 3"] = eqx.field(
        default_factory=lambda: np.array(
            [
                [[0, 0.5, 0], [0, 0, 0], [0, 1, 0], [0, 1, 0]],
                [[0, 0.5, 0], [0, np.pi / 2, 0], [0, 1, 0], [0, 0, 0]],
            ]
        )
    )
    viscosity: float = po.positive(0.1)
    parameters: str = po.one_of("training", VISCOSITIES)
    cells: int = po.whole(64, least=2, most=4096)
    frames: int = po.whole(21, least=2, most=10_000)

    def __check_init__(self):
        if np.shape(self.initial)[-3:] != (2, 4, 3):
            raise ValueError(
                f"CapeBurgers2D: initial must have shape (2, 4, 3), got {np.shape(self.initial)}"
            )

    def residual(self, u, u_t, u_x, u_y, lap_u, v, v_t, v_x, v_y, lap_v):
        return {
            "momentum_x": u_t + u * u_x + v * u_y - self.viscosity * lap_u,
            "momentum_y": v_t + u * v_x + v * v_y - self.viscosity * lap_v,
        }

    def conditions(self):
        u, v = self.initial
        start = {"u": lambda x, y: plane_waves(u, x, y), "v": lambda x, y: plane_waves(v, x, y)}
        return (po.Periodic(("x", "y")), po.Initial(start))

    def sample(self, key):
        shapes, value = jax.random.split(key)
        initial = jax.vmap(RandomPlaneWaves().sample)(jax.random.split(shapes))
        viscosity = jax.random.choice(value, jnp.asarray(VISCOSITIES[self.parameters]))
        return replace(self, initial=initial, viscosity=viscosity)

    def inputs(self):
        return {"viscosity": self.viscosity}

    def reference(self) -> Reference:
        u, v = np.asarray(self.initial, np.float64)
        centres = (np.arange(self.cells) + 0.5) / self.cells
        return periodic_burgers_2d(
            centres,
            centres,
            np.linspace(0, 1, self.frames),
            float(self.viscosity),
            initial=lambda x, y: (plane_waves(u, x, y), plane_waves(v, x, y)),
        )
