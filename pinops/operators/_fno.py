"""Fourier neural operators (Li et al. 2021, arXiv:2010.08895)."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks import MAX_DEPTH, MAX_WIDTH
from pinops.operators._pointwise import Affine, gelu
from pinops.operators._spectral import AnySpectral, modes_on, spectral_drawn
from pinops.operators._surrogate import GridArchitecture, GridNetwork
from pinops.settings import Several, Whole, flag, number, setting, whole


class FNONetwork(GridNetwork):
    """Lift, Fourier layers ``gelu(K v + W v)``, the last without gelu, and two pointwise layers.

    Attributes:
        lift: From the inputs to channels.
        spectral: K of each layer.
        pointwise: W of each layer.
        project: The two layers from channels to outputs.
        padding: Of each axis, the fraction by which it is extended with zeros.
    """

    lift: Affine
    spectral: list[AnySpectral]
    pointwise: list[Affine]
    project: list[Affine]
    # A fraction of each axis, a whole number of points where it was built.
    padding: tuple[float, ...] = eqx.field(static=True)

    def __call__(self, states: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        grid = states.shape[1:-1]
        # Batch and channels last: every transform and every pointwise layer is then one matrix
        # product.
        v = jnp.moveaxis(states, 0, -2)

        def along(axis: int, n: int) -> Float[Array, "*grid b 1"]:
            """Where the grid points are along an axis, as a channel."""
            line = np.linspace(0, 1, n, endpoint=False).reshape(-1, *[1] * (len(grid) - axis))
            return jnp.broadcast_to(jnp.asarray(line, v.dtype), v.shape[:-1])[..., None]

        positions = [along(axis, n) for axis, n in enumerate(grid)]
        v = self.lift(jnp.concatenate([v, *positions], -1))
        # The same length on every grid, so that a finer one is the same function at more points.
        added = [round(part * n) for part, n in zip(self.padding, grid, strict=True)]
        v = jnp.pad(v, [(0, n) for n in added] + [(0, 0)] * 2)
        for layer, (spectral, pointwise) in enumerate(
            zip(self.spectral, self.pointwise, strict=True)
        ):
            v = spectral(v) + pointwise(v)
            v = gelu(v) if layer + 1 < len(self.spectral) else v
        v = v[tuple(slice(n) for n in grid)]
        first, last = self.project
        return jnp.moveaxis(last(gelu(first(v))), -2, 0)


class FNO(GridArchitecture):
    """A Fourier neural operator (Li et al. 2021), which sees the grid points too.

    Args:
        width: Channels of the layers, >= 1.
        modes: Wave numbers of each axis, >= 1: one number for all axes, or one for each.
        depth: Fourier layers, >= 1.
        padding: What zeros are added to each axis, as a fraction of its length from 0 to 1, for
            states that are not periodic. It is the same length on a finer grid, so that the
            operator does not depend on the resolution; at the grid that it is built for it is
            rounded to whole points, one at least.
        factorised: Whether spectral weights are those of convolutions along each axis alone, whose
            sum is taken (of F-FNO, Tran et al. 2023, this alone): far fewer in two and three
            dimensions, and the same network in one.
        rank: The share of the spectral weights, from 0 to 1, that a Tucker decomposition of them
            keeps (Kossaifi et al. 2023, arXiv:2310.00120); None: all of them.
    """

    width: int = whole(36, most=MAX_WIDTH)
    modes: int | tuple[int, ...] = setting(Several(Whole(1, 10_000), single=True), 12)
    depth: int = whole(4, most=MAX_DEPTH)
    padding: float = number(0.0, least=0, most=1)
    factorised: bool = flag(False)
    rank: float | None = number(None, above=0, most=1, optional=True)

    def build(
        self, in_size: int, out_size: int, grid: tuple[int, ...], *, key: PRNGKeyArray
    ) -> FNONetwork:
        added = [max(1, round(self.padding * n)) if self.padding else 0 for n in grid]
        padded = tuple(n + more for n, more in zip(grid, added, strict=True))
        modes = modes_on("FNO", self.modes, padded)
        first, second, third, *keys = jax.random.split(key, 3 + 2 * self.depth)

        def spectral(key: PRNGKeyArray) -> AnySpectral:
            w = self.width
            return spectral_drawn(w, w, modes, factorised=self.factorised, rank=self.rank, key=key)

        return FNONetwork(
            Affine.drawn(in_size + len(grid), self.width, key=first),
            [spectral(k) for k in keys[::2]],
            [Affine.drawn(self.width, self.width, key=k) for k in keys[1::2]],
            [Affine.drawn(self.width, 128, key=second), Affine.drawn(128, out_size, key=third)],
            tuple(more / n for more, n in zip(added, grid, strict=True)),
        )
