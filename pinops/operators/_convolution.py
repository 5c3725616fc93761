"""Convolutions on grids with a choice of what lies outside."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.operators._pointwise import Affine
from pinops.settings import one_of

PADDINGS = {"circular": "wrap", "zeros": "constant", "reflect": "reflect"}


def padding_setting() -> Any:
    """A setting: what lies outside of a grid, circular where nothing is given."""
    return one_of("circular", PADDINGS)


def surrounded(
    x: Float[Array, "b *grid i"], reach: int, padding: str
) -> Float[Array, "b *_wider i"]:
    """The field, padded by a given number of grid points on every side."""
    return jnp.pad(x, [(0, 0), *[(reach, reach)] * (x.ndim - 2), (0, 0)], mode=PADDINGS[padding])


def shifts(
    x: Float[Array, "b *grid i"], kernel: int, padding: str
) -> list[Float[Array, "b *grid i"]]:
    """The field as seen from every place of an odd kernel, row by row."""
    grid, wide = x.shape[1:-1], surrounded(x, kernel // 2, padding)

    def window(start: tuple[int, ...]) -> Array:
        return wide[(slice(None), *(slice(k, k + n) for k, n in zip(start, grid, strict=True)))]

    return [window(start) for start in product(range(kernel), repeat=len(grid))]


def pooled(
    x: Float[Array, "b *grid i"], size: int, reduce: Callable[..., Array]
) -> Float[Array, "b *_coarser i"]:
    """``reduce`` (`jnp.mean`, `jnp.max`) of every ``size`` neighbours along each axis."""
    b, *grid, i = x.shape
    blocks = x.reshape(b, *(part for n in grid for part in (n // size, size)), i)
    return reduce(blocks, axis=tuple(range(2, 2 + 2 * len(grid), 2)))


class Convolution(eqx.Module):
    """A convolution of all channels, of an odd kernel."""

    affine: Affine  # rows: place in the kernel, then channel
    kernel: int = eqx.field(static=True)
    padding: str = eqx.field(static=True)

    @classmethod
    def drawn(
        cls,
        in_size: int,
        out_size: int,
        kernel: int,
        axes: int,
        padding: str,
        *,
        key: PRNGKeyArray,
        bias: bool = False,
    ) -> "Convolution":
        return cls(
            Affine.drawn(in_size * kernel**axes, out_size, key=key, bias=bias), kernel, padding
        )

    def __call__(self, x: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        if jax.default_backend() == "cpu":
            # XLA's convolutions are several times slower inside a loop on a CPU.
            seen = jnp.concatenate(shifts(x, self.kernel, self.padding), -1)
            out = (seen.reshape(-1, seen.shape[-1]) @ self.affine.weight).reshape(*x.shape[:-1], -1)
        else:
            out = self._by_xla(x)
        return (
            out if self.affine.bias is None else out + jnp.broadcast_to(self.affine.bias, out.shape)
        )

    def _by_xla(self, x: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        """The same without an array for each place of the kernel, and without the bias."""
        axes = x.ndim - 2
        matrices = self.affine.weight.reshape(*[self.kernel] * axes, x.shape[-1], -1)
        letters = "XYZ"[:axes]
        layout = (f"N{letters}C", f"{letters}IO", f"N{letters}C")
        wide = surrounded(x, self.kernel // 2, self.padding)
        return jax.lax.conv_general_dilated(
            wide, matrices, (1,) * axes, "VALID", dimension_numbers=layout
        )


class ScaledConvolution(eqx.Module):
    """A convolution, and a scale and offset for each channel in place of a normalisation."""

    convolution: Convolution
    scale: Float[Array, " o"]
    offset: Float[Array, " o"]

    @classmethod
    def drawn(
        cls, in_size: int, out_size: int, axes: int, padding: str, *, key: PRNGKeyArray
    ) -> "ScaledConvolution":
        """Of a kernel of three; what comes out is as large as what goes in."""
        convolution = Convolution.drawn(in_size, out_size, 3, axes, padding, key=key)
        return cls(convolution, jnp.full(out_size, 3**0.5), jnp.zeros(out_size))

    def __call__(self, x: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        y = self.convolution(x)
        return y * jnp.broadcast_to(self.scale, y.shape) + jnp.broadcast_to(self.offset, y.shape)


class Depthwise(eqx.Module):
    """A convolution of every channel with kernels of its own, ``multiplier`` for each."""

    weight: Float[Array, "k i multiplier"]
    kernel: int = eqx.field(static=True)
    padding: str = eqx.field(static=True)

    @classmethod
    def drawn(
        cls,
        in_size: int,
        multiplier: int,
        kernel: int,
        axes: int,
        padding: str,
        *,
        key: PRNGKeyArray,
    ) -> "Depthwise":
        count = kernel**axes
        weight = jax.random.uniform(
            key, (count, in_size, multiplier), minval=-1, maxval=1
        ) / math.sqrt(count)
        return cls(weight, kernel, padding)

    def __call__(self, x: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        seen = zip(shifts(x, self.kernel, self.padding), self.weight, strict=True)
        terms = [
            one[..., None] * jnp.broadcast_to(weight, (*one.shape, weight.shape[-1]))
            for one, weight in seen
        ]
        return sum(terms[1:], terms[0]).reshape(*x.shape[:-1], -1)
