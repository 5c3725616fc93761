"""Evolution on a periodic interval from random smooth initial values: what such families share.

Two instances: `problems/advection_waves.py` and `problems/burgers_waves.py`. They have the same
initial values, inputs and grid, so that they can be members of one `Mixture`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.functions import BoundedSeries, fourier_series
from pinops.geometry import Box
from pinops.problem._condition import Condition
from pinops.problem._conditions import Initial, Periodic
from pinops.problem._problem import Problem
from pinops.reference import Reference, periodic_etdrk4

MODES = 4
SENSORS = np.arange(64) / 64
_LARGEST = 0.4


class PeriodicFamily(Problem):
    """Abstract: ``u(x, 0) = g(x) = 1/2 + 2/5 s(x)`` on (0, 1) x (0, 1], periodic in x.

    s is a random series of four wave numbers with |s| <= 1, so that 0.1 <= g <= 0.9. An operator
    sees g at 64 sensors. A subclass declares coefficients, how far they are spread by ``sample``,
    and its residual.

    Args:
        initial: ``(2, 4)``, the cosine and sine coefficients of s (default: sin 2πx).
    """

    mean: ClassVar[float] = 0.5
    # From the lowest to the highest value of each coefficient that `sample` draws.
    spread: ClassVar[Mapping[str, tuple[float, float]]]
    domain = Box(x=(0, 1), t=(0, 1))
    initial: Float[Array | np.ndarray, "2 k"] = eqx.field(
        default_factory=lambda: np.eye(2, MODES, -1)
    )

    def __check_init__(self):
        if np.shape(self.initial)[-2:] != (2, MODES):
            raise ValueError(
                f"{type(self).__name__}: initial must have shape (2, {MODES}), "
                f"got {np.shape(self.initial)}"
            )

    def start(self, x: Any) -> Any:
        """g at one point."""
        return self.mean + self.waves(x)

    def waves(self, x: Any, gain: Float[Any, " k"] | None = None) -> Any:
        """What g has besides its mean at one point, each wave number times its ``gain``."""
        coefficients = jnp.asarray(self.initial)
        if gain is not None:
            coefficients = coefficients * gain[None]
        return _LARGEST * fourier_series(coefficients, x, (0.0, 1.0))

    def wavenumbers(self, dtype: Any) -> Float[Array, " k"]:
        """2π times 1, 2, ..., of the waves."""
        return 2 * jnp.pi * jnp.arange(1, self.initial.shape[-1] + 1, dtype=dtype)

    def start_on(self, x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
        """g at any points in NumPy, for references."""
        a, b = np.asarray(self.initial, np.float64)
        waves = 2 * np.pi * np.arange(1, MODES + 1) * np.asarray(x)[..., None]
        return self.mean + _LARGEST * (np.cos(waves) @ a + np.sin(waves) @ b)

    def conditions(self) -> tuple[Condition, ...]:
        return (Periodic("x"), Initial(self.start))

    def sample(self, key: PRNGKeyArray) -> Problem:
        """Another member: random initial values and coefficients."""
        first, second = jax.random.split(key)
        uniform = jax.random.uniform(second, (len(self.spread),))
        drawn = {
            name: low + (high - low) * uniform[k]
            for k, (name, (low, high)) in enumerate(self.spread.items())
        }
        return replace(self, initial=BoundedSeries(MODES).sample(first), **drawn)

    def inputs(self) -> dict[str, Any]:
        """g at the sensors."""
        at = jnp.asarray(SENSORS, jnp.asarray(self.initial).dtype)
        return {"initial": jax.vmap(self.start)(at)}

    def grid(self) -> tuple[Float[np.ndarray, " nx"], Float[np.ndarray, " nt"]]:
        """The points and times of references."""
        x, t = self.domain.evaluation_coordinates().values()
        return np.ravel(x), np.ravel(t)

    def diffused(self, diffusivity: float, **terms: Any) -> Reference:
        """The reference of u_t = D u_xx and other terms.

        Args:
            diffusivity: D > 0.
            terms: ``flux``, ``reaction`` or ``potential`` of `periodic_etdrk4`.
        """
        return periodic_etdrk4(
            *self.grid(),
            interval=(0, 1),
            symbol=lambda k: -diffusivity * k**2,
            initial=self.start_on,
            modes=256,
            max_step=0.01,
            **terms,
        )
