"""Viscous Burgers equation from random initial values."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pinops as po
from pinops.functions import PeriodicGaussianField, fourier_series
from pinops.reference import Reference, periodic_etdrk4

MODES = np.arange(1, 33)
AMPLITUDES = np.sqrt(2) * 625 / ((2 * np.pi * MODES) ** 2 + 25) ** 2
SENSORS = np.linspace(0, 1, 101)


@po.register("burgers_family")
class BurgersFamily(po.Problem):
    """u_t + u u_x = ν u_xx on (0, 1) x (0, 1], periodic in x, u(x, 0) = g(x), smooth random g.

    Source: Wang, Wang & Perdikaris (2021), section 4.3.

    A family: the Fourier coefficients of g are normal with standard deviations
    √2 625 ((2πk)² + 25)^-2, as in the authors' program, so that g is about 0.2; it is seen by its
    values at 101 sensors. Waves steepen to fronts of width ~ν.

    Args:
        initial: ``(2, 32)``, the cosine and sine coefficients of g (default: 0.2 sin 2πx).
        viscosity: ν > 0 (default 0.01).
    """

    domain = po.Box(x=(0, 1), t=(0, 1))
    initial: Float[Array | np.ndarray, "2 k"] = eqx.field(
        default_factory=lambda: 0.2 * np.eye(2, 32, -1)
    )
    viscosity: float = po.positive(0.01)

    def __check_init__(self):
        if np.shape(self.initial)[-2:] != (2, MODES.size):
            raise ValueError(
                f"BurgersFamily: initial must have shape (2, {MODES.size}), "
                f"got {np.shape(self.initial)}"
            )

    def residual(self, u, u_t, u_x, u_xx):
        return u_t + u * u_x - self.viscosity * u_xx

    def conditions(self):
        return (
            po.Periodic("x"),
            po.Initial(lambda x: fourier_series(jnp.asarray(self.initial), x, (0.0, 1.0))),
        )

    def sample(self, key):
        return replace(self, initial=PeriodicGaussianField(AMPLITUDES).sample(key))

    def inputs(self):
        coefficients = jnp.asarray(self.initial)
        at = jnp.asarray(SENSORS, coefficients.dtype)
        series = jax.vmap(lambda x: fourier_series(coefficients, x, (0.0, 1.0)))
        return {"initial": series(at)}

    def reference(self) -> Reference:
        a, b = np.asarray(self.initial, np.float64)
        viscosity = float(self.viscosity)

        def initial(x: np.ndarray) -> np.ndarray:
            waves = 2 * np.pi * MODES * np.asarray(x)[..., None]
            return np.cos(waves) @ a + np.sin(waves) @ b

        return periodic_etdrk4(
            np.linspace(0, 1, 101),
            np.linspace(0, 1, 101),
            interval=(0, 1),
            symbol=lambda k: -viscosity * k**2,
            flux=lambda u: u**2 / 2,
            initial=initial,
            modes=512,
            max_step=2.5e-3,
        )
