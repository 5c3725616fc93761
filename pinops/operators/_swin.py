"""Encoders of images in stages: tokens on a grid, which is halved from stage to stage.

Two kinds of blocks, of nearly equal cost: attention in shifted windows (Liu et al. 2021,
arXiv:2103.14030, Swin transformer), and convolutions as the control. Between stages four
neighbours become one token of twice the width. A vector that holds for the whole image acts on the
tokens behind every stage, as a scale and an offset of each channel (Perez et al. 2018,
arXiv:1709.07871, FiLM).
"""

import abc
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pinops.operators._convolution import shifts
from pinops.operators._pointwise import Affine, Normalised, Uniform, gelu
from pinops.settings import check_settings, one_of, whole

_BIAS = 0.035  # largest of the first biases, whose deviation is 0.02
_MASKED = -100.0  # added to scores of pairs that do not see each other, as published


class Mlp(eqx.Module):
    """``gelu(x W_1 + b_1) W_2 + b_2`` for every token."""

    first: Affine
    second: Affine

    @classmethod
    def taken(cls, numbers: Uniform, width: int, ratio: int) -> "Mlp":
        hidden = ratio * width
        return cls(Affine.taken(numbers, width, hidden), Affine.taken(numbers, hidden, width))

    def __call__(self, x: Float[Array, "*b c"]) -> Float[Array, "*b c"]:
        return self.second(gelu(self.first(x)))


class SwinBlock(eqx.Module):
    """``x + attention in windows``, and then ``x + perceptron``, both of normalised tokens.

    Attributes:
        window: Tokens of a window along each axis.
        shift: By how many tokens the windows are shifted; the grid is cyclic, and tokens that
            meet across its edge do not see each other.
    """

    before: Normalised
    mixed: Affine  # queries, keys and values
    out: Affine
    bias: Float[Array, "places heads"]  # by relative position
    between: Normalised
    perceptron: Mlp
    window: int = eqx.field(static=True)
    shift: int = eqx.field(static=True)

    @classmethod
    def taken(
        cls, numbers: Uniform, width: int, heads: int, window: int, shift: int
    ) -> "SwinBlock":
        return cls(
            before=Normalised.fresh(width),
            mixed=Affine.taken(numbers, width, 3 * width),
            out=Affine.taken(numbers, width, width),
            bias=numbers.take(_BIAS, (2 * window - 1) ** 2, heads),
            between=Normalised.fresh(width),
            perceptron=Mlp.taken(numbers, width, 2),
            window=window,
            shift=shift,
        )

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        x = x + self._attention(self.before(x))
        return x + self.perceptron(self.between(x))

    def _attention(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        b, h, w, c = x.shape
        size, heads = self.window, self.bias.shape[1]
        if self.shift:
            x = jnp.roll(x, (-self.shift, -self.shift), (1, 2))
        tokens = windows(x, size)  # (b, windows, size^2, c)
        count, area = tokens.shape[1:3]
        mixed = self.mixed(tokens).reshape(b, count, area, 3, heads, c // heads)
        query, key, value = jnp.moveaxis(mixed, (3, 4), (0, 3))  # (b, windows, heads, size^2, d)
        scores = jnp.einsum("bnhqd,bnhkd->bnhqk", query, key) * (c // heads) ** -0.5
        bias = jnp.moveaxis(self.bias[relative_places(size)], 2, 0)
        scores = scores + jnp.broadcast_to(bias, scores.shape)
        if self.shift:
            apart = np.where(separated(h, w, size, self.shift), _MASKED, 0.0)
            scores = scores + jnp.broadcast_to(
                jnp.asarray(apart, scores.dtype)[None, :, None], scores.shape
            )
        seen = jnp.einsum("bnhqk,bnhkd->bnqhd", jax.nn.softmax(scores, -1), value)
        found = together(self.out(seen.reshape(b, count, area, c)), h, w)
        return jnp.roll(found, (self.shift, self.shift), (1, 2)) if self.shift else found


def windows(x: Float[Array, "b h w c"], size: int) -> Float[Array, "b windows area c"]:
    """The tokens of every window, windows row by row."""
    b, h, w, c = x.shape
    parts = x.reshape(b, h // size, size, w // size, size, c)
    return jnp.moveaxis(parts, 3, 2).reshape(b, -1, size**2, c)


def together(tokens: Float[Array, "b windows area c"], h: int, w: int) -> Float[Array, "b h w c"]:
    """The grid of which these are the windows."""
    b, _, area, c = tokens.shape
    size = round(area**0.5)
    parts = tokens.reshape(b, h // size, w // size, size, size, c)
    return jnp.moveaxis(parts, 2, 3).reshape(b, h, w, c)


@cache
def relative_places(size: int) -> Int[np.ndarray, "area area"]:
    """Of every pair of tokens of a window, the row of the table of biases."""
    at = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1).reshape(-1, 2)
    apart = at[:, None] - at[None] + size - 1
    return apart[..., 0] * (2 * size - 1) + apart[..., 1]


@cache
def separated(h: int, w: int, size: int, shift: int) -> Bool[np.ndarray, "windows area area"]:
    """Which pairs of a shifted window were not neighbours before the shift."""

    def part(n: int) -> Int[np.ndarray, " n"]:
        at = np.arange(n)
        return (at >= n - size).astype(int) + (at >= n - shift)

    number = 3 * part(h)[:, None] + part(w)[None]
    parts = number.reshape(h // size, size, w // size, size).swapaxes(1, 2).reshape(-1, size**2)
    return parts[:, :, None] != parts[:, None]


class ConvolutionalBlock(eqx.Module):
    """``x + convolution of normalised tokens``, whose kernel has the cost of a `SwinBlock`."""

    before: Normalised
    affine: Affine  # rows: place in the kernel, then channel

    @classmethod
    def taken(cls, numbers: Uniform, width: int, kernel: int) -> "ConvolutionalBlock":
        return cls(Normalised.fresh(width), Affine.taken(numbers, kernel**2 * width, width))

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        kernel = round((self.affine.weight.shape[0] // x.shape[-1]) ** 0.5)
        seen = shifts(self.before(x), kernel, "zeros")
        return x + gelu(self.affine(jnp.concatenate(seen, -1)))


class Merging(eqx.Module):
    """Four neighbours become one token of twice the width."""

    before: Normalised
    affine: Affine

    @classmethod
    def taken(cls, numbers: Uniform, width: int) -> "Merging":
        affine = Affine.taken(numbers, 4 * width, 2 * width, bias=False)
        return cls(Normalised.fresh(4 * width), affine)

    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b _h _w _c"]:
        four = [x[:, i::2, j::2] for j in range(2) for i in range(2)]
        return self.affine(self.before(jnp.concatenate(four, -1)))


class Stage(eqx.Module):
    """Blocks of one width, then the scale and offset that follow from the conditioning vector."""

    merging: Merging | None
    blocks: list[Any]
    scale: Affine
    offset: Affine

    def __call__(
        self, x: Float[Array, "b h w c"], condition: Float[Array, "b k"]
    ) -> Float[Array, "b _h _w _c"]:
        x = x if self.merging is None else self.merging(x)
        for block in self.blocks:
            x = block(x)
        scale, offset = self.scale(condition), self.offset(condition)
        return x * (1 + scale)[:, None, None] + offset[:, None, None]


class Blocks(eqx.Module):
    """Abstract: what the blocks of a staged encoder are."""

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def taken(self, numbers: Uniform, width: int, heads: int, size: int, place: int) -> Any:
        """One block, a function of ``(b, size, size, width)``.

        Args:
            numbers: Its random parameters.
            width: Channels of a token.
            heads: Of an attention.
            size: Tokens along each axis.
            place: The number of the block in its stage, from 0.

        Raises:
            ValueError: For tokens that it does not divide.
        """


class Swin(Blocks):
    """Attention in windows, of which those of every second block are shifted by half a window.

    Liu et al. 2021, arXiv:2103.14030; perceptrons are twice as wide as tokens, and no block is left
    out at random.

    Args:
        window: Tokens of a window along each axis; where there are not more, the window is all of
            them, and is not shifted.
    """

    window: int = whole(4, most=1000)

    def taken(self, numbers: Uniform, width: int, heads: int, size: int, place: int) -> SwinBlock:
        window = min(self.window, size)
        if size % window:
            raise ValueError(
                f"Swin: windows of {window} x {window} do not divide {size} x {size} tokens; "
                "choose another window or another grid"
            )
        shift = window // 2 if place % 2 and window < size else 0
        return SwinBlock.taken(numbers, width, heads, window, shift)


class ResidualConvolutions(Blocks):
    """Convolutions, one for each block of a Swin transformer.

    Args:
        kernel: Tokens of a kernel along each axis: three have the cost of a block of `Swin`.
    """

    kernel: int = one_of(3, (1, 3, 5, 7))

    def taken(
        self, numbers: Uniform, width: int, heads: int, size: int, place: int
    ) -> ConvolutionalBlock:
        return ConvolutionalBlock.taken(numbers, width, self.kernel)


def stages(
    numbers: Uniform,
    blocks: Blocks,
    size: int,
    width: int,
    depths: tuple[int, ...],
    heads: tuple[int, ...],
    conditions: int,
) -> list[Stage]:
    """The stages of an encoder with fresh parameters.

    Args:
        numbers: The random parameters.
        blocks: What they consist of.
        size: Tokens along each axis in the first stage; each other has half as many.
        width: Channels in the first stage; each other has twice as many.
        depths: The number of blocks of each stage.
        heads: Of the attention in each stage.
        conditions: The length of the conditioning vector.
    """
    found = []
    for k, (depth, count) in enumerate(zip(depths, heads, strict=True)):
        own, here = width * 2**k, size // 2**k
        stage = Stage(
            merging=Merging.taken(numbers, own // 2) if k else None,
            blocks=[blocks.taken(numbers, own, count, here, n) for n in range(depth)],
            scale=Affine.taken(numbers, conditions, own),
            offset=Affine.taken(numbers, conditions, own),
        )
        found.append(stage)
    return found
