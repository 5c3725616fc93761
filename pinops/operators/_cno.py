"""Convolutional neural operators (Raonic et al. 2023, arXiv:2302.01178)."""

from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks import MAX_DEPTH
from pinops.operators._convolution import ScaledConvolution, padding_setting
from pinops.operators._pointwise import Affine, gelu
from pinops.operators._spectral import along
from pinops.operators._surrogate import GridArchitecture, GridNetwork
from pinops.settings import whole

_FINER = 2  # how many times as many points an activation sees along each axis


class CNONetwork(GridNetwork):
    """Convolutions on grids of half the size, and back, with activations that keep the band.

    A field on another grid than that of the training is resampled to that and back, so that the
    network is the same operator on every grid (section 2 of the paper).

    Attributes:
        lift: From the inputs to channels.
        down: To the next coarser grid.
        bottom: Residual blocks of two convolutions on the coarsest grid.
        across: A residual block of two convolutions on each finer grid.
        up: To the next finer grid.
        merge: Of what came up and what was there before.
        last: From channels to outputs.
        grids: The sizes, from fine to coarse.
        periodic: Whether the ends of an axis are neighbours.
    """

    lift: ScaledConvolution
    down: list[ScaledConvolution]  # to the next coarser grid
    bottom: list[list[ScaledConvolution]]  # residual blocks of two on the coarsest grid
    across: list[list[ScaledConvolution]]  # a residual block of two on each finer grid
    up: list[ScaledConvolution]  # to the next finer grid
    merge: list[ScaledConvolution]  # of what came up and what was there before
    last: Affine
    grids: tuple[tuple[int, ...], ...] = eqx.field(static=True)  # from fine to coarse
    periodic: bool = eqx.field(static=True)

    def __call__(self, states: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        x = self._activated(self.lift(self._resampled(states, self.grids[0])), self.grids[0])
        seen = []
        for convolution, block, coarser in zip(self.down, self.across, self.grids[1:], strict=True):
            seen.append(self._with_residual(block, x))
            x = self._activated(convolution(x), coarser)
        for block in self.bottom:
            x = self._with_residual(block, x)
        for rise, merge, before, finer in zip(
            self.up, self.merge, reversed(seen), self.grids[-2::-1], strict=True
        ):
            x = self._activated(rise(x), finer)
            x = self._activated(merge(jnp.concatenate([x, before], -1)), finer)
        return self._resampled(self.last(x), states.shape[1:-1])

    def _with_residual(
        self, block: list[ScaledConvolution], x: Float[Array, "b *grid w"]
    ) -> Float[Array, "b *grid w"]:
        first, second = block
        return x + second(self._activated(first(x), x.shape[1:-1]))

    def _activated(
        self, x: Float[Array, "b *grid w"], grid: tuple[int, ...]
    ) -> Float[Array, "b *_other w"]:
        """The activation on a grid that is finer than what comes in and what goes out.

        Higher wave numbers, which it makes and the grid does not carry, are removed instead of
        appearing as lower ones (equation 2.3 of the paper).
        """
        finer = tuple(_FINER * max(sizes) for sizes in zip(x.shape[1:-1], grid, strict=True))
        return self._resampled(gelu(self._resampled(x, finer)), grid)

    def _resampled(
        self, x: Float[Array, "b *grid w"], grid: tuple[int, ...]
    ) -> Float[Array, "b *_other w"]:
        for axis, (n, m) in enumerate(zip(x.shape[1:-1], grid, strict=True), start=1):
            x = x if n == m else along(_resampling(n, m, self.periodic), x, axis)
        return x


@lru_cache(maxsize=256)
def _resampling(n: int, m: int, periodic: bool) -> Float[np.ndarray, "m n"]:
    """From n equally spaced points of an axis to m: the band that both carry.

    Fourier series of a periodic axis; else cosine series of cell centres, which continue a field
    as its mirror image.
    """
    common = min(n, m)
    out = np.ones((m, n)) / n
    if periodic:
        apart = np.arange(m)[:, None] / m - np.arange(n)[None] / n
        for k in range(1, (common - 1) // 2 + 1):
            out += 2 / n * np.cos(2 * np.pi * k * apart)
        if common % 2 == 0:  # of the highest wave number the points carry the cosine alone
            out += (2 if m < n else 1) / n * np.cos(np.pi * common * apart)
        return out
    for k in range(1, common):
        there = np.cos(np.pi * k * (np.arange(m) + 0.5) / m)
        here = np.cos(np.pi * k * (np.arange(n) + 0.5) / n)
        out += 2 / n * np.outer(there, here)
    return out


class CNO(GridArchitecture):
    """A convolutional neural operator (Raonic et al. 2023), on grids of any size.

    It has a scale and an offset for each channel in place of batch normalisation, and band-limited
    interpolation by Fourier (for walls cosine) series in place of windowed sinc filters.

    Args:
        width: Channels of the finest grid, twice as many on each coarser one.
        levels: How often the grid is halved.
        depth: Residual blocks on the coarsest grid.
        padding: What lies outside of a grid: circular for periodic fields, zeros or reflect for
            others.
    """

    width: int = whole(16, most=10_000)
    levels: int = whole(3, most=10)
    depth: int = whole(4, least=0, most=MAX_DEPTH)
    padding: str = padding_setting()

    def build(
        self, in_size: int, out_size: int, grid: tuple[int, ...], *, key: PRNGKeyArray
    ) -> CNONetwork:
        if min(grid) < 2 ** (self.levels + 1):
            raise ValueError(
                f"CNO: levels={self.levels} need at least {2 ** (self.levels + 1)} points on every "
                f"axis, got a grid of {grid}; choose fewer levels"
            )
        grids = [grid]
        for _ in range(self.levels):
            grids.append(tuple(-(-n // 2) for n in grids[-1]))
        sizes = [self.width * 2**level for level in range(self.levels + 1)]
        keys = iter(jax.random.split(key, 2 + 5 * self.levels + 2 * self.depth))

        def convolution(i: int, o: int) -> ScaledConvolution:
            return ScaledConvolution.drawn(i, o, len(grid), self.padding, key=next(keys))

        def block(size: int) -> list[ScaledConvolution]:
            return [convolution(size, size), convolution(size, size)]

        steps: list[Any] = list(zip(sizes, sizes[1:], strict=False))
        return CNONetwork(
            lift=convolution(in_size, sizes[0]),
            down=[convolution(i, o) for i, o in steps],
            bottom=[block(sizes[-1]) for _ in range(self.depth)],
            across=[block(i) for i, _ in steps],
            up=[convolution(o, i) for i, o in reversed(steps)],
            merge=[convolution(2 * i, i) for i, _ in reversed(steps)],
            last=Affine.drawn(sizes[0], out_size, key=next(keys)),
            grids=tuple(grids),
            periodic=self.padding == "circular",
        )
