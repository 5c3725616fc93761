"""Compressible flow of random Mach number and viscosity in one dimension: a family for surrogates that see both."""

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
    """The compressible Navier-Stokes equations on (0, 1) x (0, 1], periodic, from random waves of all fields at t = 0.

        ρ_t + (ρu)_x = 0,   ρ(u_t + u u_x) + p_x = (4η/3 + ζ) u_xx,   p_t + u p_x + Γ p u_x = (Γ - 1) (4η/3 + ζ) u_x²,

    with Γ = 5/3, no conduction of heat and ζ = η. Source: the family of Takamoto, Alesiani & Niepert (ICML 2023) along a line,
    with the equations and initial states of PDEBench (Takamoto et al., NeurIPS 2022), made smooth (`pinops.functions.RandomGas`).
    A family: Mach number and η are seen, as a vector of two numbers; the state at the start is not (the first frame is).

    The solution is known at the centres of ``cells`` cells (default 64) and in ``frames`` frames from 0 to 1 (default 21), from
    at most 8 times as many cells: shocks of small viscosities are thinner, and the error bar says so.

    ``initial``: the coefficients of the fields at t = 0 for `pinops.functions.gas` (default: a calm gas with a wave);
    ``mach`` > 0 (default 0.05, that of the default): what a surrogate is told of ``initial``; members are drawn with 0.1 and 1;
    ``viscosity`` η > 0 (default 0.1); ``parameters``: the viscosities that are sampled, "training" (1e-8, 1e-3, 4e-3, 1e-2, 4e-2,
    1e-1; default), "interpolation" (2e-3, 7e-3, 7e-2) or "extrapolation" (2e-1).
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
    cells: int = po.whole(64, least=2)
    frames: int = po.whole(21, least=2)

    def __check_init__(self):
        if np.shape(self.initial)[-3:-1] != (3, 4):
            raise ValueError(
                f"CapeCompressible1D: initial must have shape (3, 4, n), got {np.shape(self.initial)}"
            )

    def residual(self, rho, rho_t, rho_x, u, u_t, u_x, u_xx, p, p_t, p_x):
        friction = 7 / 3 * self.viscosity
        return {
            "continuity": rho_t + u * rho_x + rho * u_x,
            "momentum": rho * (u_t + u * u_x) + p_x - friction * u_xx,
            "pressure": p_t + u * p_x + HEAT_RATIO * p * u_x - (HEAT_RATIO - 1) * friction * u_x**2,
        }

    def conditions(self):
        field = lambda k: lambda x: gas(self.initial, x)[k]
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
