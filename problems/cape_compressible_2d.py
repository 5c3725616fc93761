"""Compressible flow of random Mach number and viscosity in two dimensions.

A family for surrogates.
"""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pinops as po
from pinops.functions import RandomGas, gas
from pinops.reference import Reference, periodic_compressible

HEAT_RATIO = 5 / 3
MACH = (0.1, 1.0)
VISCOSITIES = {
    "training": (1e-8, 1e-3, 4e-3, 1e-2, 4e-2, 1e-1),
    "interpolation": (2e-3, 7e-3, 7e-2),
    "extrapolation": (2e-1,),
}


@po.register("cape_compressible_2d")
class CapeCompressible2D(po.Problem):
    """ρ_t + ∇·(ρv) = 0, ρ(v_t + v·∇v) + ∇p = η Δv + (ζ + η/3) ∇(∇·v),
    p_t + v·∇p + Γ p ∇·v = (Γ - 1) σ:∇v on (0, 1)² x (0, 1], periodic, with ζ = η and Γ = 5/3.

    The compressible Navier-Stokes equations without heat conduction. Source: Takamoto, Alesiani &
    Niepert (ICML 2023), with the equations and initial states of PDEBench (Takamoto et al.,
    NeurIPS 2022), made smooth (`pinops.functions.RandomGas`).

    A family for surrogates: they see the Mach number and η, a vector of two numbers, and the first
    snapshot instead of the coefficients of the initial waves. The reference has at most twice as
    many cells along each axis: vortices and shocks of small viscosities are thinner, as its error
    bar shows. One sample takes seconds, eight times as many with twice the cells.

    Args:
        initial: ``(4, 4, n)``, coefficients of the fields at t = 0 for `pinops.functions.gas`
            (default: a calm gas with a wave along each axis).
        mach: > 0, the Mach number of ``initial`` as a surrogate sees it (default 0.05, that of the
            default); samples have 0.1 or 1.
        viscosity: η > 0 (default 0.1).
        parameters: the sampled viscosities: "training" (1e-8, 1e-3, 4e-3, 1e-2, 4e-2, 1e-1;
            default), "interpolation" (2e-3, 7e-3, 7e-2) or "extrapolation" (2e-1).
        cells: the solution is known at the centres of ``cells`` x ``cells`` cells, >= 2 (default
            32; the source's surrogates have 64).
        frames: the number of snapshots from t = 0 to 1, >= 2 (default 21).
    """

    domain = po.Box(x=(0, 1), y=(0, 1), t=(0, 1))
    unknowns = ("rho", "u", "v", "p")
    initial: Float[Array | np.ndarray, "4 4 n"] = eqx.field(
        default_factory=lambda: np.array(
            [
                [[0.1], [0], [1], [0]],
                [[0.1], [0], [0], [1]],
                [[0.1], [0], [1], [0]],
                [[0.1], [0], [0], [1]],
            ]
        )
    )
    mach: float = po.positive(0.05)
    viscosity: float = po.positive(0.1)
    parameters: str = po.one_of("training", VISCOSITIES)
    cells: int = po.whole(32, least=2, most=4096)
    frames: int = po.whole(21, least=2, most=10_000)

    def __check_init__(self):
        if np.shape(self.initial)[-3:-1] != (4, 4):
            raise ValueError(
                "CapeCompressible2D: initial must have shape (4, 4, n), "
                f"got {np.shape(self.initial)}"
            )

    # fmt: off
    def residual(
        self, rho, rho_t, rho_x, rho_y, u, u_t, u_x, u_y, u_xy, lap_u,
        v, v_t, v_x, v_y, v_xy, lap_v, u_xx, v_yy, p, p_t, p_x, p_y,
    ):
    # fmt: on
        spread, friction = u_x + v_y, self.viscosity
        stress_x = friction * (lap_u + 4 / 3 * (u_xx + v_xy))
        stress_y = friction * (lap_v + 4 / 3 * (u_xy + v_yy))
        # The last term has the factor ζ - 2η/3 = η/3.
        heat = friction * (2 * u_x**2 + 2 * v_y**2 + (u_y + v_x) ** 2 + spread**2 / 3)
        return {
            "continuity": rho_t + u * rho_x + v * rho_y + rho * spread,
            "momentum_x": rho * (u_t + u * u_x + v * u_y) + p_x - stress_x,
            "momentum_y": rho * (v_t + u * v_x + v * v_y) + p_y - stress_y,
            "pressure": p_t + u * p_x + v * p_y + HEAT_RATIO * p * spread - (HEAT_RATIO - 1) * heat,
        }

    def conditions(self):
        def field(k):
            return lambda x, y: gas(self.initial, x, y)[k]

        return (
            po.Periodic(("x", "y")),
            po.Initial({name: field(k) for k, name in enumerate(self.unknowns)}),
        )

    def sample(self, key):
        shapes, value, speed = jax.random.split(key, 3)
        mach = jax.random.choice(speed, jnp.asarray(MACH))
        viscosity = jax.random.choice(value, jnp.asarray(VISCOSITIES[self.parameters]))
        return replace(
            self,
            initial=RandomGas(2, HEAT_RATIO).sample(shapes, mach),
            mach=mach,
            viscosity=viscosity,
        )

    def inputs(self):
        return {"mach": self.mach, "viscosity": self.viscosity}

    def reference(self) -> Reference:
        coefficients = np.asarray(self.initial, np.float64)
        return periodic_compressible(
            2,
            self.cells,
            np.linspace(0, 1, self.frames),
            float(self.viscosity),
            float(self.viscosity),
            initial=lambda x, y: gas(coefficients, x, y),
            heat_ratio=HEAT_RATIO,
            max_cells=2 * self.cells,
        )
