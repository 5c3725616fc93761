"""Compressible flow of random Mach number and viscosity in one dimension.

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


@po.register("cape_compressible_1d")
class CapeCompressible1D(po.Problem):
    """ρ_t + (ρu)_x = 0, ρ(u_t + u u_x) + p_x = μ u_xx, p_t + u p_x + Γ p u_x = (Γ - 1) μ u_x²
    on (0, 1) x (0, 1], periodic, with μ = 4η/3 + ζ, ζ = η and Γ = 5/3.

    The compressible Navier-Stokes equations without heat conduction. Source: the family of
    Takamoto, Alesiani & Niepert (ICML 2023) along a line, with the equations and initial states
    of PDEBench (Takamoto et al., NeurIPS 2022), made smooth (`pinops.functions.RandomGas`).

    A family for surrogates: they see the Mach number and η, a vector of two numbers, and the first
    snapshot instead of the coefficients of the initial waves. The reference has at most 8 times
    as many cells: shocks of small viscosities are thinner, as its error bar shows.

    Args:
        initial: ``(3, 4, n)``, coefficients of the fields at t = 0 for `pinops.functions.gas`
            (default: a calm gas with one wave).
        mach: > 0, the Mach number of ``initial`` as a surrogate sees it (default 0.05, that of the
            default); samples have 0.1 or 1.
        viscosity: η > 0 (default 0.1).
        parameters: the sampled viscosities: "training" (1e-8, 1e-3, 4e-3, 1e-2, 4e-2, 1e-1;
            default), "interpolation" (2e-3, 7e-3, 7e-2) or "extrapolation" (2e-1).
        cells: the solution is known at the centres of as many cells, >= 2 (default 64).
        frames: the number of snapshots from t = 0 to 1, >= 2 (default 21).
    """

    domain = po.Box(x=(0, 1), t=(0, 1))
    unknowns = ("rho", "u", "p")
    initial: Float[Array | np.ndarray, "3 4 n"] = eqx.field(
        default_factory=lambda: np.array(
            [
                [[0.1], [0], [1], [0]],
                [[0.1], [0], [1], [0]],
                [[0.1], [0], [1], [0]],
            ]
        )
    )
    mach: float = po.positive(0.05)
    viscosity: float = po.positive(0.1)
    parameters: str = po.one_of("training", VISCOSITIES)
    cells: int = po.whole(64, least=2, most=65_536)
    frames: int = po.whole(21, least=2, most=10_000)

    def __check_init__(self):
        if np.shape(self.initial)[-3:-1] != (3, 4):
            raise ValueError(
                "CapeCompressible1D: initial must have shape (3, 4, n), "
                f"got {np.shape(self.initial)}"
            )

    def residual(self, rho, rho_t, rho_x, u, u_t, u_x, u_xx, p, p_t, p_x):
        friction = 7 / 3 * self.viscosity
        return {
            "continuity": rho_t + u * rho_x + rho * u_x,
            "momentum": rho * (u_t + u * u_x) + p_x - friction * u_xx,
            "pressure": p_t + u * p_x + HEAT_RATIO * p * u_x - (HEAT_RATIO - 1) * friction * u_x**2,
        }

    def conditions(self):
        def field(k):
            return lambda x: gas(self.initial, x)[k]

        return (
            po.Periodic("x"),
            po.Initial({name: field(k) for k, name in enumerate(self.unknowns)}),
        )

    def sample(self, key):
        shapes, value, speed = jax.random.split(key, 3)
        mach = jax.random.choice(speed, jnp.asarray(MACH))
        viscosity = jax.random.choice(value, jnp.asarray(VISCOSITIES[self.parameters]))
        return replace(
            self,
            initial=RandomGas(1, HEAT_RATIO).sample(shapes, mach),
            mach=mach,
            viscosity=viscosity,
        )

    def inputs(self):
        return {"mach": self.mach, "viscosity": self.viscosity}

    def reference(self) -> Reference:
        coefficients = np.asarray(self.initial, np.float64)
        return periodic_compressible(
            1,
            self.cells,
            np.linspace(0, 1, self.frames),
            float(self.viscosity),
            float(self.viscosity),
            initial=lambda x: gas(coefficients, x),
            heat_ratio=HEAT_RATIO,
            max_cells=8 * self.cells,
        )
