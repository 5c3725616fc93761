"""HyPINO: a hypernetwork from the images of a linear problem to a network of its coordinates.

Bischof et al. 2025, arXiv:2509.05117. It sees which conditions hold where, their values, the
source, and the coefficients of the operator; an encoder in stages makes tokens of them, learned
queries read the tokens, and a head for each tensor makes of what one query has read a weight matrix
or a bias. Where the paper and the published code differ, it follows the code. No block is left out
at random in training, and what heads give is divided by the root of the inputs of the tensor, so
that generated networks start neither constant nor saturated.
"""

import math
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks import (
    MAX_WIDTH,
    GatedFourier,
    GatedFourierNetwork,
    computed_in,
    frequencies,
)
from pinops.operators._convolution import shifts
from pinops.operators._operator import Operator
from pinops.operators._pointwise import Affine, Uniform, gelu
from pinops.operators._swin import Blocks, Stage, Swin, stages
from pinops.problem import Inputs
from pinops.settings import Several, Whole, check_settings, flag, instance, setting, whole

_DIMENSION = 2
_BANDS = 5  # frequencies of what the encoder sees
_COEFFICIENTS, _CHANNELS = 5, 5  # of the operator; masks, values, fluxes and source
_FROM_COEFFICIENTS, _FROM_STATISTICS = 96, 32  # parts of the conditioning vector


def wavy(z: Float[Array, "... c"], plain: bool = True) -> Float[Array, "... k"]:
    """Sines and cosines of every channel at five frequencies, and with ``plain`` itself."""
    scale = frequencies(_BANDS).astype(z.dtype)
    angles = (z[..., None] * jnp.broadcast_to(scale, (*z.shape, _BANDS))).reshape(*z.shape[:-1], -1)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles), *([z] if plain else [])], -1)


class Seen(eqx.Module):
    """What an encoder sees of a batch of problems.

    Attributes:
        masks: ``(b, N, N, 2)``.
        values: ``(b, N, N, 22)``, of Dirichlet and Neumann conditions.
        source: ``(b, N, N, 11)``.
        coefficients: ``(b, 55)``.
        statistics: ``(b, 120)``, of values and source over the image.
    """

    masks: Float[Array, "b N N 2"]
    values: Float[Array, "b N N v"]
    source: Float[Array, "b N N f"]
    coefficients: Float[Array, "b c"]
    statistics: Float[Array, "b s"]

    @classmethod
    def of(cls, coefficients: Float[Array, "b 5"], images: Float[Array, "b N N 5"]) -> "Seen":
        """Of the arrays of `LinearSamples`."""
        source = images[..., 4:]
        source = jnp.sign(source) * jnp.log1p(jnp.abs(source))
        numbers = jnp.concatenate([images[..., 2:4], source], -1)
        kinds = [jnp.mean, jnp.max, jnp.min, jnp.std]
        statistics = jnp.concatenate([kind(numbers, axis=(1, 2)) for kind in kinds], -1)
        return cls(
            masks=images[..., :2],
            values=wavy(images[..., 2:4]),
            source=wavy(source),
            coefficients=wavy(coefficients),
            statistics=wavy(statistics, plain=False),
        )


class Halvings(eqx.Module):
    """Two convolutions, of which one or both take every second grid point."""

    first: Affine
    second: Affine
    strides: tuple[int, int] = eqx.field(static=True)

    @classmethod
    def taken(
        cls, numbers: Uniform, in_size: int, width: int, strides: tuple[int, int]
    ) -> "Halvings":
        first = Affine.taken(numbers, 9 * in_size, width)
        return cls(first, Affine.taken(numbers, 9 * width, width), strides)

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b _h _w o"]:
        for affine, stride, last in zip(
            (self.first, self.second), self.strides, (False, True), strict=True
        ):
            seen = [one[:, ::stride, ::stride] for one in shifts(x, 3, "zeros")]
            x = affine(jnp.concatenate(seen, -1))
            x = x if last else gelu(x)
        return x


class GroupNormalised(eqx.Module):
    """Normalisation of groups of channels of each sample, over all tokens."""

    scale: Float[Array, " c"]
    offset: Float[Array, " c"]
    groups: int = eqx.field(static=True)

    @classmethod
    def fresh(cls, width: int, groups: int) -> "GroupNormalised":
        return cls(jnp.ones(width), jnp.zeros(width), groups)

    def __call__(self, x: Float[Array, "b *grid c"]) -> Float[Array, "b *grid c"]:
        parts = x.reshape(x.shape[0], -1, self.groups, x.shape[-1] // self.groups)
        centred = parts - parts.mean((1, 3), keepdims=True)
        unit = centred * jax.lax.rsqrt((centred**2).mean((1, 3), keepdims=True) + 1e-5)
        scale, offset = (jnp.broadcast_to(part, x.shape) for part in (self.scale, self.offset))
        return unit.reshape(x.shape) * scale + offset


class Stem(eqx.Module):
    """Images to tokens: values enter where masks let them, the source beside them."""

    masks: Halvings
    gate: Halvings
    values: Halvings
    source: Halvings
    mixing: Affine
    normalised: GroupNormalised

    @classmethod
    def taken(cls, numbers: Uniform, width: int, strides: tuple[int, int]) -> "Stem":
        sizes = (2, 2, 2 * (2 * _BANDS + 1), 2 * _BANDS + 1)
        parts = [Halvings.taken(numbers, size, width // 2, strides) for size in sizes]
        mixing = Affine.taken(numbers, width, width)
        return cls(*parts, mixing=mixing, normalised=GroupNormalised.fresh(width, 4))

    def __call__(self, seen: Seen) -> Float[Array, "b h w c"]:
        gate = jnp.tanh(self.gate(seen.masks))
        conditions = gelu(self.masks(seen.masks)) + gate * gelu(self.values(seen.values))
        tokens = jnp.concatenate([conditions, gelu(self.source(seen.source))], -1)
        places = jnp.asarray(place_code(tokens.shape[1], tokens.shape[-1]), tokens.dtype)
        return self.normalised(self.mixing(tokens + jnp.broadcast_to(places, tokens.shape)))


@cache
def place_code(size: int, width: int) -> Float[np.ndarray, "h w c"]:
    """Sines and cosines of row and column, a quarter of the channels each (Vaswani et al. 2017)."""
    quarter = width // 4
    angles = np.arange(size)[:, None] / 10_000.0 ** (np.arange(quarter) / quarter)
    row = np.concatenate([np.sin(angles), np.cos(angles)], 1)
    shape = (size, size, 2 * quarter)
    both = [np.broadcast_to(row[:, None], shape), np.broadcast_to(row[None], shape)]
    return np.concatenate(both, 2)


class Pooling(eqx.Module):
    """Learned queries, one for each tensor, that read the tokens of a stage."""

    queries: Float[Array, "t c"]
    query: Affine
    key: Affine
    value: Affine
    out: Affine
    heads: int = eqx.field(static=True)

    @classmethod
    def taken(cls, numbers: Uniform, count: int, width: int, heads: int) -> "Pooling":
        """Queries of variance 1."""
        queries = numbers.take(3**0.5, count, width)
        parts = [Affine.taken(numbers, width, width) for _ in range(4)]
        return cls(queries, *parts, heads=heads)

    def __call__(self, tokens: Float[Array, "b h w c"]) -> Float[Array, "b t c"]:
        b, c = tokens.shape[0], tokens.shape[-1]
        rows = tokens.reshape(b, -1, c)
        depth = c // self.heads
        query = self.query(self.queries).reshape(-1, self.heads, depth)
        key, value = (
            part(rows).reshape(b, -1, self.heads, depth) for part in (self.key, self.value)
        )
        scores = jnp.einsum("thd,bnhd->bhtn", query, key) * depth**-0.5
        read = jnp.einsum("bhtn,bnhd->bthd", jax.nn.softmax(scores, -1), value)
        return self.out(read.reshape(b, -1, c))


class ImageEncoder(eqx.Module):
    """All that is between what is seen of a problem and what each query has read of it."""

    coefficients: Affine
    statistics: Affine
    stem: Stem
    stages: list[Stage]
    poolings: list[Pooling]

    def __call__(self, seen: Seen) -> Float[Array, "b t r"]:
        parts = [self.coefficients(seen.coefficients), self.statistics(seen.statistics)]
        condition = gelu(jnp.concatenate(parts, -1))
        tokens, read = self.stem(seen), []
        for stage, pooling in zip(self.stages, self.poolings, strict=True):
            tokens = stage(tokens, condition)
            read.append(pooling(tokens))
        return jnp.concatenate(read, -1)


class Head(eqx.Module):
    """From what one query has read to one tensor."""

    first: Affine
    normalised: GroupNormalised
    second: Affine
    shape: tuple[int, ...] = eqx.field(static=True)
    scale: float = eqx.field(static=True)

    @classmethod
    def taken(
        cls,
        numbers: Uniform,
        in_size: int,
        shape: tuple[int, ...],
        inputs: int,
        hidden: int,
        groups: int,
    ) -> "Head":
        """One for a tensor of a layer with a given number of inputs."""
        return cls(
            first=Affine.taken(numbers, in_size, hidden),
            normalised=GroupNormalised.fresh(hidden, groups),
            second=Affine.taken(numbers, hidden, math.prod(shape)),
            shape=shape,
            scale=inputs**-0.5,
        )

    def __call__(self, read: Float[Array, "b r"]) -> Float[Array, "b ..."]:
        numbers = self.second(self.normalised(gelu(self.first(read))))
        return self.scale * numbers.reshape(-1, *self.shape)


class Hypernetwork(Operator):
    """From coefficients and images of linear problems to networks of the coordinates.

    Attributes:
        encoder: From images to what each query has read.
        heads: Of each tensor of a generated network: all matrices, and then all biases.
        bands: Frequencies of generated networks.
    """

    encoder: ImageEncoder
    heads: list[Head]
    bands: int = eqx.field(static=True)

    def __call__(self, inputs: Inputs) -> GatedFourierNetwork:
        """The network of one problem, from its ``coefficients`` and ``images``."""
        coefficients, images = (jnp.asarray(inputs[k])[None] for k in ("coefficients", "images"))
        return jax.tree.map(lambda leaf: leaf[0], self.networks(coefficients, images))

    def networks(
        self,
        coefficients: Float[Array, "b 5"],
        images: Float[Array, "b N N 5"],
        compute_dtype: str | None = None,
    ) -> GatedFourierNetwork:
        """The networks of a batch of problems, in the leading axis of every array.

        Args:
            coefficients: Of `LinearSamples`.
            images: Of `LinearSamples`.
            compute_dtype: The type that the encoder computes in; None: that of its parameters.
        """
        # Features before the encoder, since a narrow type has no digits for their angles.
        read = computed_in(compute_dtype, self.encoder, Seen.of(coefficients, images))
        tensors = [head(read[:, k]) for k, head in enumerate(self.heads)]
        half = len(tensors) // 2
        return GatedFourierNetwork(tensors[:half], tensors[half:], self.bands)


class HyPINO(eqx.Module):
    """A hypernetwork for linear problems of second order on the square.

    Bischof et al. 2025, arXiv:2509.05117. `HyPINO.paper` and `HyPINO.medium` are larger ones.

    Args:
        grid: Grid points of an image along each axis.
        width: Channels of a token in the first stage; each other has twice as many.
        depths: The number of blocks of each stage.
        heads: Of attention in each stage.
        blocks: What stages consist of, `Swin` or `ResidualConvolutions`.
        halvings: How often the image is halved before the first stage.
        hidden: The most units of the hidden layer of a head.
        target: What is generated, with one member.
        scaled: Whether the data of a problem are divided by their size, and the solution
            multiplied by it, so that solutions are in proportion to data; not so in the paper.

    Raises:
        ValueError: For sizes that do not fit each other.
    """

    grid: int = whole(32, least=4, most=4096)
    width: int = whole(64, least=4, most=MAX_WIDTH)
    depths: tuple[int, ...] = setting(Several(Whole(1, 100)), (2, 2))
    heads: tuple[int, ...] = setting(Several(Whole(1, 1000)), (2, 4))
    blocks: Blocks = instance(Blocks, Swin(4), what="Swin() or ResidualConvolutions()")
    halvings: int = whole(2, most=2)
    hidden: int = whole(512, least=64, most=MAX_WIDTH)
    target: GatedFourier = instance(
        GatedFourier, GatedFourier(24, 3, 4), what="a network such as GatedFourier(24, 3, 4)"
    )
    scaled: bool = flag(True)

    def __check_init__(self):
        check_settings(self)
        if len(self.depths) != len(self.heads):
            raise ValueError(
                f"HyPINO: every stage needs depths and heads, got depths={self.depths} and "
                f"heads={self.heads}"
            )
        coarsest = 2 ** (self.halvings + len(self.depths) - 1)
        for name, factor in (("grid", coarsest), ("width", 4), ("hidden", 64)):
            if getattr(self, name) % factor:
                raise ValueError(
                    f"HyPINO: {name} must be a multiple of {factor}, got {getattr(self, name)}"
                )
        if self.target.width % 4 or self.target.members > 1:
            raise ValueError(
                "HyPINO: target must have a width that is a multiple of 4, and one member, got "
                f"{self.target}"
            )
        for k, heads in enumerate(self.heads):
            if self.width * 2**k % heads:
                raise ValueError(
                    f"HyPINO: {heads} heads do not divide the {self.width * 2**k} channels of "
                    f"stage {k + 1}; choose other heads"
                )

    @classmethod
    def medium(cls) -> "HyPINO":
        """Meant for 25 minutes of one large GPU: a grid of 128, 46.5 million parameters."""
        return cls(
            grid=128,
            width=96,
            depths=(2, 2, 6, 2),
            heads=(3, 6, 12, 24),
            blocks=Swin(8),
            hidden=1920,
            target=GatedFourier(32, 3, 5),
        )

    @classmethod
    def paper(cls) -> "HyPINO":
        """That of the paper: a grid of 224, 77.2 million parameters."""
        return cls(
            grid=224,
            width=128,
            depths=(2, 2, 10, 2),
            heads=(4, 8, 8, 16),
            blocks=Swin(7),
            hidden=1920,
            target=GatedFourier(32, 3, 5),
            scaled=False,
        )

    def build(self, *, key: PRNGKeyArray) -> Hypernetwork:
        """A hypernetwork with fresh parameters."""
        return Uniform.drawn(self._built, key)

    def _built(self, numbers: Uniform) -> Hypernetwork:
        waves, count = 2 * _BANDS, 2 * len(self.target.matrices(_DIMENSION, 1))
        widths = [self.width * 2**k for k in range(len(self.depths))]
        encoder = ImageEncoder(
            coefficients=Affine.taken(numbers, _COEFFICIENTS * (waves + 1), _FROM_COEFFICIENTS),
            statistics=Affine.taken(numbers, 12 * waves, _FROM_STATISTICS),
            stem=Stem.taken(numbers, self.width, (2, self.halvings)),
            stages=stages(
                numbers,
                self.blocks,
                self.grid // 2**self.halvings,
                self.width,
                self.depths,
                self.heads,
                _FROM_COEFFICIENTS + _FROM_STATISTICS,
            ),
            poolings=[
                Pooling.taken(numbers, count, width, heads)
                for width, heads in zip(widths, self.heads, strict=True)
            ],
        )
        return Hypernetwork(encoder, self._heads(numbers, sum(widths)), self.target.bands)

    def _heads(self, numbers: Uniform, read: int) -> list[Head]:
        """One for each tensor, in groups as published."""
        matrices, width = self.target.matrices(_DIMENSION, 1), self.target.width
        tensors = [*matrices, *((out,) for _, out in matrices)]
        inputs = [i for i, _ in matrices]
        heads = []
        for tensor, count in zip(tensors, [*inputs, *inputs], strict=True):
            hidden = min(max(2 * math.prod(tensor), 32), self.hidden)
            groups = 16 if tensor == (width, width) else 1 if tensor in ((width, 1), (1,)) else 4
            heads.append(Head.taken(numbers, read, tensor, count, hidden, groups))
        return heads
