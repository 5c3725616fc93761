"""Advection with a random speed."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import pinops as po
from pinops.functions import GaussianProcess, interpolate
from pinops.reference import Reference, characteristics

SENSORS = np.linspace(0, 1, 100)


@po.register("advection_family")
class AdvectionFamily(po.Problem):
    """u_t + a(x) u_x = 0 on (0, 1) x (0, 1], u(x, 0) = sin πx, u(0, t) = sin πt/2, random a >= 1.

    Source: Wang, Wang & Perdikaris (2021), section 4.4.

    A family: a = V - min V + 1 for a Gaussian process V, smooth, seen by its values at 100 sensors
    and the cubic interpolation between them. The slope of the solution jumps along the
    characteristic from the corner.

    Args:
        speed: ``(100,)``, a at the sensors (default 1.5 + 0.5 sin 2πx).
        length: > 0, the correlation length of V (default 0.2).
    """

    domain = po.Box(x=(0, 1), t=(0, 1))
    speed: Float[Array | np.ndarray, " m"] = eqx.field(
        default_factory=lambda: 1.5 + 0.5 * np.sin(2 * np.pi * SENSORS)
    )
    length: float = eqx.field(static=True, default=0.2)

    def __check_init__(self):
        GaussianProcess(self.length)
        if np.shape(self.speed)[-1:] != SENSORS.shape:
            raise ValueError(
                f"{type(self).__name__}: speed must have {SENSORS.size} values, "
                f"got shape {np.shape(self.speed)}"
            )

    def residual(self, u_t, u_x, x):
        return u_t + interpolate(jnp.asarray(self.speed), x, (0.0, 1.0)) * u_x

    def conditions(self):
        return (
            po.Initial(lambda x: jnp.sin(jnp.pi * x)),
            po.Dirichlet(lambda t: jnp.sin(jnp.pi * t / 2), on="x_min"),
        )

    def sample(self, key):
        values = GaussianProcess(self.length).sample(key, SENSORS)
        return replace(self, speed=values - jnp.min(values) + 1)

    def inputs(self):
        return {"speed": self.speed}

    def reference(self) -> Reference:
        return characteristics(
            np.asarray(self.speed, np.float64),
            (0.0, 1.0),
            np.linspace(0, 1, 101),
            initial=lambda x: np.sin(np.pi * x),
            inflow=lambda t: np.sin(np.pi * t / 2),
        )
