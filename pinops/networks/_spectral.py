"""Spectral expansions: sums of products of Chebyshev polynomials of the features."""

import math
from functools import reduce
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import LAPLACIAN, Jet, Plan, feature, linear, product
from pinops.networks._network import Architecture, JetNetwork
from pinops.settings import Several, Whole, setting


def chebyshev(x: Jet, degree: int, plan: Plan) -> Jet:
    """T_0, ..., T_degree of one feature: streams (n, degree + 1)."""
    value = jnp.asarray(x[()])
    zero: Jet = {
        index: jnp.zeros_like(value)
        for index in (*plan.indices, *([LAPLACIAN] if plan.laplacian else []))
    }
    first: Jet = zero | {
        index: jnp.broadcast_to(stream, value.shape) for index, stream in x.items()
    }
    twice_x: Jet = {index: 2 * stream for index, stream in first.items()}

    def next_one(pair: tuple[Jet, Jet], _):
        before, last = pair
        after: Jet = {
            index: stream - before[index] for index, stream in product(twice_x, last, plan).items()
        }
        return (last, after), before

    one: Jet = zero | {(): jnp.ones_like(value)}
    # A loop: unrolled, a high degree takes long to compile.
    _, polynomials = jax.lax.scan(next_one, (one, first), length=degree + 1)
    return {index: stream[:, :, 0].T for index, stream in polynomials.items()}


class SpectralNetwork(JetNetwork):
    """``u_c(x) = sum_ij... a_ij...c T_i(x_1) T_j(x_2) ...``.

    Attributes:
        coefficients: a, by degree and unknown.
        degrees: The largest degree of each feature.

    Raises:
        ValueError: When called with another number of features.
    """

    plain: ClassVar[bool] = True
    coefficients: Float[Array, "_m _o"]  # the degree of the last feature runs fastest
    degrees: tuple[int, ...] = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        if features[()].shape[1] != len(self.degrees):
            raise ValueError(
                f"this spectral network has {len(self.degrees)} features, not "
                f"{features[()].shape[1]}"
            )

        def outer(a: Jet, b: Jet) -> Jet:
            each: Jet = {
                index: jnp.repeat(stream, b[()].shape[1], axis=1) for index, stream in a.items()
            }
            every: Jet = {index: jnp.tile(stream, a[()].shape[1]) for index, stream in b.items()}
            return product(each, every, plan)

        basis = [
            chebyshev(feature(features, k), degree, plan) for k, degree in enumerate(self.degrees)
        ]
        return linear(reduce(outer, basis), self.coefficients)


DEGREES = Several(Whole(1, 10_000), single=True)


class Spectral(Architecture):
    """A spectral expansion: products of Chebyshev polynomials, one factor for each feature.

    It is linear in its parameters.

    Features are the plain coordinates, mapped to (-1, 1), then the cosines and then the sines of
    periodic ones: degrees K and 1 of cos x and sin x are the Fourier series up to wave number K.
    For smooth solutions on boxes in few dimensions, with `pinops.optimizers.GaussNewton`:
    least-squares collocation (Boyd, Chebyshev and Fourier Spectral Methods, 2001).

    Args:
        degrees: largest degree in every feature, or a tuple, one for each feature.
    """

    plain: ClassVar[bool] = True
    degrees: int | tuple[int, ...] = setting(DEGREES, 12)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> SpectralNetwork:
        if isinstance(self.degrees, tuple) and len(self.degrees) != in_size:
            raise ValueError(
                f"Spectral: degrees must be a number, or one for each of the {in_size} features, "
                f"got {self.degrees}"
            )
        degrees = tuple(int(degree) for degree in np.broadcast_to(self.degrees, in_size))
        size = math.prod(degree + 1 for degree in degrees)
        if size >= 2**62:
            raise ValueError(
                f"Spectral: the products of {in_size} polynomials of degrees up to {max(degrees)} "
                "are more than any array can hold; give smaller degrees, or another network"
            )
        return SpectralNetwork(jax.random.normal(key, (size, out_size)) / float(size), degrees)
