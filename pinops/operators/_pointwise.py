"""Layers that act on the channels of every point alike."""

import math

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray


class Affine(eqx.Module):
    """``x W + b`` in the last axis, or without b."""

    weight: Float[Array, "i o"]
    bias: Float[Array, " o"] | None

    @classmethod
    def drawn(
        cls, in_size: int, out_size: int, *, key: PRNGKeyArray, bias: bool = True
    ) -> "Affine":
        """Uniform in ``+-1 / sqrt(in_size)``."""
        one, two = jax.random.split(key)

        def uniform(key: PRNGKeyArray, *shape: int) -> Array:
            return jax.random.uniform(key, shape, minval=-1, maxval=1) / math.sqrt(in_size)

        return cls(uniform(one, in_size, out_size), uniform(two, out_size) if bias else None)

    def __call__(self, x: Float[Array, "... i"]) -> Float[Array, "... o"]:
        # As a product of two matrices: the gradients of products of more axes are slower.
        out = x.reshape(-1, x.shape[-1]) @ self.weight
        out = out if self.bias is None else out + self.bias[None]
        return out.reshape(*x.shape[:-1], -1)


def gelu(x: Array) -> Array:
    """With the error function, as published operators have it; by erf: `jax.nn.gelu` takes erfc,
    which is slower.
    """
    return x * (1 + jax.lax.erf(x * math.sqrt(0.5))) / 2


class Perceptron(eqx.Module):
    """``swish(x W_1 + b_1) W_2 + b_2`` at every point."""

    hidden: Affine
    out: Affine

    @classmethod
    def drawn(cls, in_size: int, width: int, out_size: int, *, key: PRNGKeyArray) -> "Perceptron":
        first, second = jax.random.split(key)
        return cls(
            Affine.drawn(in_size, width, key=first), Affine.drawn(width, out_size, key=second)
        )

    def __call__(self, x: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        return self.out(jax.nn.silu(self.hidden(x)))
