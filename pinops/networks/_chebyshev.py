"""Kolmogorov-Arnold networks: functions on the edges, sums in the nodes (Liu et al. 2024)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.derivatives import Jet, Plan, add, concatenate, elementwise, linear, product, tanh
from pinops.networks._network import MAX_DEPTH, MAX_WIDTH, Architecture, JetNetwork
from pinops.settings import whole


class ChebyshevNetwork(JetNetwork):
    """Layers ``y_o = b_o + sum_ik c_iko T_k(tanh(x_i))``, k = 1, ..., degree."""

    coefficients: list[Float[Array, "_k _o"]]  # rows by degree, then input
    biases: list[Float[Array, " _o"]]
    degree: int = eqx.field(static=True)

    def jet(self, features: Jet, plan: Plan) -> Jet:
        for coefficients, bias in zip(self.coefficients, self.biases, strict=True):
            x = elementwise(tanh, features, plan)
            polynomials = [{(): jnp.ones_like(x[()])}, x]
            for _ in range(self.degree - 1):
                twice = {
                    index: 2 * stream for index, stream in product(x, polynomials[-1], plan).items()
                }
                polynomials.append(
                    add(twice, {index: -stream for index, stream in polynomials[-2].items()})
                )
            features = linear(concatenate(polynomials[1:]), coefficients, bias)
        return features


class ChebyshevKAN(Architecture):
    """A Kolmogorov-Arnold network of Chebyshev polynomials.

    Liu et al. 2024 (arXiv:2404.19756); the basis is that of SS et al. 2024 (arXiv:2405.07200).

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        degree: largest degree of the polynomials.
    """

    width: int = whole(10, most=MAX_WIDTH)
    depth: int = whole(2, most=MAX_DEPTH)
    degree: int = whole(5, most=100)

    def build(self, in_size: int, out_size: int, *, key: PRNGKeyArray) -> ChebyshevNetwork:
        sizes = [in_size, *[self.width] * self.depth, out_size]
        shapes = [(i * self.degree, o) for i, o in zip(sizes, sizes[1:], strict=False)]
        keys = jax.random.split(key, len(shapes))
        coefficients = [
            jax.random.normal(k, (i, o)) / jnp.sqrt(i)
            for k, (i, o) in zip(keys, shapes, strict=True)
        ]
        return ChebyshevNetwork(coefficients, [jnp.zeros(o) for o in sizes[1:]], self.degree)
