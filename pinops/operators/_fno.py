"""Fourier neural operators (Li et al. 2021, arXiv:2010.08895)."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks import MAX_DEPTH, MAX_WIDTH
from pinops.operators._pointwise import Affine, gelu
from pinops.operators._surrogate import GridArchitecture, GridNetwork
from pinops.settings import flag, number, whole


class SpectralConvolution(eqx.Module):
    """A linear map of the lowest Fourier modes, a matrix for each, in real arithmetic.

    Transforms are products with a few columns of the Fourier matrix: for grids of thousands of
    points and few modes faster than the fast one.

    Attributes:
        weight: Real and imaginary part, by wave number in the order of the axes.
        modes: How many wave numbers m of each axis: 0, ..., m - 1, and on all axes but the last -m,
            ..., -1 too.
    """

    weight: Float[Array, "2 k i o"]
    modes: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def drawn(
        cls, in_size: int, out_size: int, modes: tuple[int, ...], *, key: PRNGKeyArray
    ) -> "SpectralConvolution":
        """Uniform in ``(0, 1) / (i o)``, both parts."""
        count = math.prod(modes) * 2 ** (len(modes) - 1)
        return cls(
            jax.random.uniform(key, (2, count, in_size, out_size)) / (in_size * out_size), modes
        )

    def __call__(self, x: Float[Array, "*grid b i"]) -> Float[Array, "*grid b o"]:
        *signed, last = range(len(self.modes))
        sizes = x.shape[: len(self.modes)]
        both = [
            fourier(m, n, axis != last)
            for axis, (m, n) in enumerate(zip(self.modes, sizes, strict=True))
        ]
        cosines, sines = [c for c, _ in both], [s for _, s in both]
        real, imaginary = _along(cosines[last], x, last), -_along(sines[last], x, last)
        for axis in signed:
            c, s = cosines[axis], sines[axis]
            real, imaginary = (
                _along(c, real, axis) + _along(s, imaginary, axis),
                _along(c, imaginary, axis) - _along(s, real, axis),
            )
        shape = real.shape[:-1]
        # One product of real matrices for each mode.
        parts = jnp.concatenate([real, imaginary], -1).reshape(-1, shape[-1], 2 * real.shape[-1])
        wr, wi = self.weight
        matrix = jnp.concatenate(
            [jnp.concatenate([wr, wi], -1), jnp.concatenate([-wi, wr], -1)], -2
        )
        real, imaginary = jnp.split(jnp.matmul(parts, matrix).reshape(*shape, -1), 2, -1)
        for axis in signed:
            c, s = cosines[axis].T / sizes[axis], sines[axis].T / sizes[axis]
            real, imaginary = (
                _along(c, real, axis) - _along(s, imaginary, axis),
                _along(c, imaginary, axis) + _along(s, real, axis),
            )
        # Of a real function the negative wave numbers are the conjugates of the positive ones.
        k = np.arange(self.modes[last])
        count = np.where((k == 0) | (2 * k == sizes[last]), 1.0, 2.0)[:, None] / sizes[last]
        return _along((count * cosines[last]).T, real, last) - _along(
            (count * sines[last]).T, imaginary, last
        )


class FactorisedSpectralConvolution(eqx.Module):
    """The sum over the axes of a spectral convolution along each.

    These are ``d m`` matrices instead of ``(2 m)^(d-1) m``. Factorised weights (Tran et al. 2023,
    arXiv:2111.13802); on one axis it is the ordinary convolution.
    """

    along: list[SpectralConvolution]

    @classmethod
    def drawn(
        cls, in_size: int, out_size: int, modes: tuple[int, ...], *, key: PRNGKeyArray
    ) -> "FactorisedSpectralConvolution":
        keys = jax.random.split(key, len(modes))
        return cls(
            [
                SpectralConvolution.drawn(in_size, out_size, (m,), key=k)
                for m, k in zip(modes, keys, strict=True)
            ]
        )

    def __call__(self, x: Float[Array, "*grid b i"]) -> Float[Array, "*grid b o"]:
        def convolved(axis: int, convolution: SpectralConvolution) -> Float[Array, "*grid b o"]:
            lines = jnp.moveaxis(x, axis, 0)
            out = convolution(lines.reshape(len(lines), -1, lines.shape[-1]))
            return jnp.moveaxis(out.reshape(*lines.shape[:-1], -1), 0, axis)

        first, *others = [
            convolved(axis, convolution) for axis, convolution in enumerate(self.along)
        ]
        return sum(others, first)


def fourier(
    modes: int, size: int, signed: bool
) -> tuple[Float[np.ndarray, "k n"], Float[np.ndarray, "k n"]]:
    """cos kx and sin kx at ``size`` equal steps of a period."""
    k = np.concatenate([np.arange(modes), np.arange(-modes, 0)]) if signed else np.arange(modes)
    angles = 2 * np.pi * np.outer(k, np.arange(size)) / size
    return np.cos(angles), np.sin(angles)


def _along(
    matrix: Float[np.ndarray, "k n"], x: Float[Array, "..."], axis: int
) -> Float[Array, "..."]:
    """A matrix applied to one axis."""
    x = jnp.moveaxis(x, axis, 0)
    out = jnp.asarray(matrix, x.dtype) @ x.reshape(len(x), -1)
    return jnp.moveaxis(out.reshape(len(matrix), *x.shape[1:]), 0, axis)


class FNONetwork(GridNetwork):
    """Lift, Fourier layers ``gelu(K v + W v)``, the last without gelu, and two pointwise layers."""

    lift: Affine
    spectral: list[SpectralConvolution | FactorisedSpectralConvolution]
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
        modes: Wave numbers of each axis, >= 1.
        depth: Fourier layers, >= 1.
        padding: What zeros are added to each axis, as a fraction of its length from 0 to 1, for
            states that are not periodic. It is the same length on a finer grid, so that the
            operator does not depend on the resolution; at the grid that it is built for it is
            rounded to whole points, one at least.
        factorised: Whether spectral weights are those of convolutions along each axis alone, whose
            sum is taken (of F-FNO, Tran et al. 2023, this alone): far fewer in two and three
            dimensions, and the same network in one.
    """

    width: int = whole(36, most=MAX_WIDTH)
    modes: int = whole(12, most=10_000)
    depth: int = whole(4, most=MAX_DEPTH)
    padding: float = number(0.0, least=0, most=1)
    factorised: bool = flag(False)

    def build(
        self, in_size: int, out_size: int, grid: tuple[int, ...], *, key: PRNGKeyArray
    ) -> FNONetwork:
        added = [max(1, round(self.padding * n)) if self.padding else 0 for n in grid]
        check_modes("FNO", self.modes, tuple(n + more for n, more in zip(grid, added, strict=True)))
        first, second, third, *keys = jax.random.split(key, 3 + 2 * self.depth)
        modes = (self.modes,) * len(grid)
        convolution = FactorisedSpectralConvolution if self.factorised else SpectralConvolution
        return FNONetwork(
            Affine.drawn(in_size + len(grid), self.width, key=first),
            [convolution.drawn(self.width, self.width, modes, key=k) for k in keys[::2]],
            [Affine.drawn(self.width, self.width, key=k) for k in keys[1::2]],
            [Affine.drawn(self.width, 128, key=second), Affine.drawn(128, out_size, key=third)],
            tuple(more / n for more, n in zip(added, grid, strict=True)),
        )


def check_modes(name: str, modes: int, grid: tuple[int, ...]) -> None:
    """Raises ValueError where a grid does not carry so many wave numbers."""
    for n in grid:
        if modes > n // 2 + 1:
            raise ValueError(
                f"{name}: {n} points carry at most {n // 2 + 1} modes, got {modes}; give fewer, or "
                "a finer grid"
            )
