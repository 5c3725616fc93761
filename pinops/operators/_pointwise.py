"""Layers that act on the channels of every point alike."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class Uniform:
    """Numbers of one draw, which layers take one after the other: a program that draws for each
    layer takes minutes to compile.
    """

    def __init__(self, numbers: Float[Array, " n"] | None):
        """Of numbers in (-1, 1); None: zeros, to find out how many are taken."""
        self._numbers, self.count = numbers, 0

    @classmethod
    def drawn(cls, build: Callable[["Uniform"], Any], key: PRNGKeyArray) -> Any:
        """What ``build`` makes of as many numbers as it takes."""
        counted = cls(None)
        jax.eval_shape(lambda: eqx.filter(build(counted), eqx.is_array))
        return build(cls(jax.random.uniform(key, (counted.count,), minval=-1.0)))

    def take(self, bound: float, *shape: int) -> Array:
        """The next numbers, in (-bound, bound)."""
        start = self.count
        self.count += math.prod(shape)
        if self._numbers is None:
            return jnp.zeros(shape)
        return bound * self._numbers[start : self.count].reshape(shape)


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

    @classmethod
    def taken(cls, numbers: "Uniform", in_size: int, out_size: int, bias: bool = True) -> "Affine":
        """The same from numbers that are drawn at once."""
        bound = 1 / math.sqrt(in_size)
        weight = numbers.take(bound, in_size, out_size)
        return cls(weight, numbers.take(bound, out_size) if bias else None)

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


class Normalised(eqx.Module):
    """Layer normalisation of the features of every point."""

    scale: Float[Array, " w"]
    offset: Float[Array, " w"]

    @classmethod
    def fresh(cls, width: int) -> "Normalised":
        return cls(jnp.ones(width), jnp.zeros(width))

    def __call__(self, x: Float[Array, "*b w"]) -> Float[Array, "*b w"]:
        centred = x - x.mean(-1, keepdims=True)
        unit = centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
        return unit * jnp.broadcast_to(self.scale, x.shape) + jnp.broadcast_to(self.offset, x.shape)
