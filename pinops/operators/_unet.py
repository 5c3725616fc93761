"""U-shaped convolutional networks on grids (Ronneberger, Fischer & Brox 2015, arXiv:1505.04597)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.operators._convolution import PADDINGS, ScaledConvolution, padding_setting, pooled
from pinops.operators._pointwise import Affine
from pinops.operators._surrogate import GridArchitecture, GridNetwork
from pinops.settings import whole

LEVELS = 4


class _Block(eqx.Module):
    """Twice a convolution of three, a scale and offset for each channel, and tanh."""

    convolutions: list[ScaledConvolution]

    @classmethod
    def drawn(
        cls, in_size: int, out_size: int, axes: int, padding: str, *, key: PRNGKeyArray
    ) -> "_Block":
        sizes = zip((in_size, out_size), jax.random.split(key), strict=True)
        return cls(
            [ScaledConvolution.drawn(size, out_size, axes, padding, key=k) for size, k in sizes]
        )

    def __call__(self, x: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        for convolution in self.convolutions:
            x = jnp.tanh(convolution(x))
        return x


class UNetNetwork(GridNetwork):
    """Blocks on grids of half the size, four times, and back, with what was there before
    beside it.

    A grid whose sizes are not multiples of 16 is extended on both sides, and cropped at the end.

    Attributes:
        down: The blocks on the way to the coarsest grid.
        up: The blocks on the way back.
        rise: From a grid point to the two (four) points of the finer grid.
        last: From channels to outputs.
        padding: How a grid is continued beyond its ends.
    """

    down: list[_Block]
    up: list[_Block]
    rise: list[Affine]  # from a place to the two (four) places of the finer grid
    last: Affine
    padding: str = eqx.field(static=True)

    def __call__(self, states: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        seen = []
        x, inside = _extended(states, self.padding)
        for block in self.down[:-1]:
            x = block(x)
            seen.append(x)
            x = pooled(x, 2, jnp.max)
        x = self.down[-1](x)
        for block, rise, before in zip(self.up, self.rise, reversed(seen), strict=True):
            x = block(jnp.concatenate([_risen(rise, x), before], -1))
        return self.last(x[inside])


def _extended(
    x: Float[Array, "b *grid i"], padding: str
) -> tuple[Float[Array, "b *_wider i"], tuple[slice, ...]]:
    """The field on a grid that can be halved four times, and where it lies in that."""
    # A reflection at the coarsest level needs a second point there.
    step, least = 2**LEVELS, 2 ** (LEVELS + 1) if padding == "reflect" else 1
    grid = x.shape[1:-1]
    missing = [max(-(-n // step) * step, least) - n for n in grid]
    inside = tuple(slice(more // 2, more // 2 + n) for n, more in zip(grid, missing, strict=True))
    if not any(missing):
        return x, (slice(None), *inside)
    edges = [(more // 2, more - more // 2) for more in missing]
    wide = jnp.pad(x, [(0, 0), *edges, (0, 0)], mode=PADDINGS[padding])
    return wide, (slice(None), *inside)


def _risen(rise: Affine, x: Float[Array, "b *grid i"]) -> Float[Array, "b *_finer o"]:
    """A transposed convolution of two with stride two."""
    b, *grid, _ = x.shape
    axes = len(grid)
    assert rise.bias is not None
    parts = (x.reshape(-1, x.shape[-1]) @ rise.weight).reshape(b, *grid, *[2] * axes, -1)
    order = [0, *(k for axis in range(axes) for k in (1 + axis, 1 + axes + axis)), 1 + 2 * axes]
    out = parts.transpose(order).reshape(b, *(2 * n for n in grid), -1)
    return out + jnp.broadcast_to(rise.bias, out.shape)


class UNet(GridArchitecture):
    """A U-Net of four levels.

    A scale and offset of each channel stand where others normalise over the batch: members of a
    batch do not see each other, and amplitudes are kept.

    Args:
        width: channels of the first level, twice as many in each further one.
        padding: circular, zeros or reflect: what lies outside of a grid; grids whose sizes are not
            multiples of 16 are extended by it, so that a periodic field is then periodic on the
            finest level alone.
    """

    width: int = whole(32, most=10_000)
    padding: str = padding_setting()

    def build(
        self, in_size: int, out_size: int, grid: tuple[int, ...], *, key: PRNGKeyArray
    ) -> UNetNetwork:
        if self.padding == "reflect" and min(grid) < 2:
            raise ValueError(
                f"UNet: padding='reflect' needs at least 2 points on every axis, got a grid of "
                f"{grid}"
            )
        axes, sizes = len(grid), [self.width * 2**k for k in range(LEVELS + 1)]
        first, second, third, last = jax.random.split(key, 4)

        def block(i: int, o: int, key: PRNGKeyArray) -> _Block:
            return _Block.drawn(i, o, axes, self.padding, key=key)

        keys = jax.random.split(first, LEVELS + 1)
        down = [block(i, o, k) for i, o, k in zip([in_size, *sizes], sizes, keys, strict=False)]
        pairs = list(zip(sizes[:0:-1], sizes[-2::-1], strict=True))
        up = [
            block(2 * o, o, k)
            for (_, o), k in zip(pairs, jax.random.split(second, LEVELS), strict=True)
        ]
        rise = []
        for (i, o), k in zip(pairs, jax.random.split(third, LEVELS), strict=True):
            every = Affine.drawn(i, o * 2**axes, key=k)
            rise.append(Affine(every.weight, jnp.zeros(o)))
        return UNetNetwork(down, up, rise, Affine.drawn(sizes[0], out_size, key=last), self.padding)
