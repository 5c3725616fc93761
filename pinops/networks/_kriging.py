"""An encoder of functions at sensors of their own: interpolated to the same points, then a network.

The values at a set of sensors, seen as those of a Gaussian process, give values at points that are
the same for all samples. An operator then has what fixed sensors would have given it.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks._encoder import Encoder, EncoderArchitecture, Shapes
from pinops.networks._gated import ModifiedMLP
from pinops.networks._network import NETWORK, Architecture, Frozen
from pinops.networks._sets import one_function, sensors_of
from pinops.problem import Inputs
from pinops.settings import instance, number, whole

_HALF = 3**0.5  # of an interval, in standard deviations of uniform positions


class KrigingEncoder(Encoder):
    """The mean of a Gaussian process through the sensors, at fixed points, through a network.

    Attributes:
        name: Of the input.
        noise: The variance of a measurement, as a part of the variance of the process.
        points: Where the process is asked, in standard deviations of the positions of sensors.
        log_length: The logarithms of the lengths over which functions vary, by dimension.
        network: From the values at these points to coefficients.
    """

    name: str = eqx.field(static=True)
    noise: float = eqx.field(static=True)
    points: Frozen
    log_length: Float[Array, " d"]
    network: Callable[[Array], Array]

    def __call__(self, inputs: Inputs) -> Float[Array, " o"]:
        sensors = sensors_of(inputs, self.name)
        at, present = jnp.asarray(sensors.at), jnp.asarray(sensors.present)
        # What fills up behind the sensors is far from everything, and measures 0.
        among = jnp.outer(present, present) * self._covariance(at, at)
        # Where sensors coincide, or nearly, the matrix is singular up to rounding.
        noise = max(self.noise, 2 * len(at) * float(jnp.finfo(among.dtype).eps))
        factor = cho_factor(among + noise * jnp.eye(len(at)), lower=True)
        weights = cho_solve(factor, present[:, None] * jnp.asarray(sensors.values))
        # The weights of what fills up are 0.
        values = self._covariance(jnp.asarray(self.points.tree), at) @ weights
        return self.network(values.ravel())

    def _covariance(self, x: Float[Array, "m d"], y: Float[Array, "k d"]) -> Float[Array, "m k"]:
        x, y = (points * jnp.exp(-self.log_length)[None] for points in (x, y))
        return jnp.exp(-0.5 * jnp.sum(jnp.square(x[:, None] - y[None]), -1))


class Kriging(EncoderArchitecture):
    """A Gaussian process through the sensors, asked at the same points for all samples; the default
    for sensors that differ.

    Its cost grows with the cube of the number of sensors: choose `Attention` for more than about a
    thousand.

    Source: Rasmussen & Williams 2006, equation 2.23, with a squared exponential covariance whose
    lengths are trained.

    Args:
        network: The network of the values at the points.
        points: How many points there are, from a Halton sequence over the box of the sensors.
        length: Where the lengths begin, in standard deviations of the positions of sensors, above
            0; 0.5 is about a seventh of an interval.
        noise: The variance of a measurement, as a part of that of the input, above 0. It also
            bounds how badly conditioned the interpolation is; the least is twice the precision
            times the number of sensors, 2.4e-5 for 100 sensors in float32.
    """

    network: Architecture = instance(Architecture, ModifiedMLP(100, 4), what=NETWORK)
    points: int = whole(64, most=100_000)
    length: float = number(0.5, above=0)
    noise: float = number(1e-4, above=0)

    def build(self, shapes: Shapes, out_size: int, *, key: PRNGKeyArray) -> KrigingEncoder:
        from scipy.stats import qmc

        name, (dimensions, channels) = one_function(self, shapes)
        unit = qmc.Halton(dimensions, scramble=False).random(self.points)
        return KrigingEncoder(
            name=name,
            noise=self.noise,
            points=Frozen(jnp.asarray(_HALF * (2 * unit - 1), float)),
            log_length=jnp.full(dimensions, np.log(self.length)),
            network=self.network.build(self.points * channels, out_size, key=key),
        )
