"""Linear maps of the lowest Fourier modes of a field, in real arithmetic.

Transforms are products with a few columns of the Fourier matrix: for grids of thousands of points
and few modes faster than the fast one. The weights are a matrix for each mode; three instances
say how many numbers describe these: `SpectralConvolution` all of them,
`FactorisedSpectralConvolution` those along each axis alone, `TuckerSpectralConvolution` a
decomposition of low rank.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray


class SpectralConvolution(eqx.Module):
    """A matrix for each mode.

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
        return _convolved(x, self.weight, self.modes)


class TuckerSpectralConvolution(eqx.Module):
    """A matrix for each mode, of a low-rank decomposition (Tucker 1966; for Fourier neural
    operators Kossaifi et al. 2023, arXiv:2310.00120): ``W[k, l, i, o] = sum core[a, b, c, d]
    K[k, a] L[l, b] I[i, c] O[o, d]``.

    Attributes:
        core: Real and imaginary part, by the ranks.
        factors: A real matrix for each axis of wave numbers, then for the input and the output
            channels.
        modes: As of `SpectralConvolution`.
    """

    core: Float[Array, "2 ..."]
    factors: list[Float[Array, "n r"]]
    modes: tuple[int, ...] = eqx.field(static=True)

    @classmethod
    def drawn(
        cls,
        in_size: int,
        out_size: int,
        modes: tuple[int, ...],
        *,
        rank: float,
        key: PRNGKeyArray,
    ) -> "TuckerSpectralConvolution":
        """Normal, with weights as large as those of `SpectralConvolution`.

        Args:
            in_size: Channels that come in.
            out_size: Channels that go out.
            modes: Of each axis.
            rank: The share of the parameters that is left, from 0 to 1; every axis keeps about the
                same share of its length.
            key: Of the random numbers.
        """
        sizes = (*(2 * m for m in modes[:-1]), modes[-1], in_size, out_size)
        ranks = _ranks(sizes, rank)
        first, *keys = jax.random.split(key, 1 + len(sizes))
        size = 1 / (math.sqrt(3) * in_size * out_size)  # the root mean square of (0, 1) / (i o)
        factors = [
            jax.random.normal(k, (n, r)) / math.sqrt(r)
            for k, n, r in zip(keys, sizes, ranks, strict=True)
        ]
        return cls(size * jax.random.normal(first, (2, *ranks)), factors, modes)

    def weight(self) -> Float[Array, "2 k i o"]:
        """The matrix of each mode."""
        out = self.core
        for factor in self.factors:  # the first axis of the core becomes the last of the weights
            out = jnp.tensordot(out, factor, axes=((1,), (1,)))
        return out.reshape(2, -1, *out.shape[-2:])

    def __call__(self, x: Float[Array, "*grid b i"]) -> Float[Array, "*grid b o"]:
        return _convolved(x, self.weight(), self.modes)


class FactorisedSpectralConvolution(eqx.Module):
    """The sum over the axes of a spectral convolution along each.

    These are ``d m`` matrices instead of ``(2 m)^(d-1) m``. Factorised weights (Tran et al. 2023,
    arXiv:2111.13802); on one axis it is the ordinary convolution.

    Attributes:
        along: A convolution for each axis.
    """

    along: list[SpectralConvolution | TuckerSpectralConvolution]

    @classmethod
    def drawn(
        cls,
        in_size: int,
        out_size: int,
        modes: tuple[int, ...],
        *,
        rank: float | None = None,
        key: PRNGKeyArray,
    ) -> "FactorisedSpectralConvolution":
        """One convolution for each axis; ``rank``: as of `TuckerSpectralConvolution`."""
        keys = jax.random.split(key, len(modes))
        one = _whole_or_tucker(rank)
        return cls([one(in_size, out_size, (m,), key=k) for m, k in zip(modes, keys, strict=True)])

    def __call__(self, x: Float[Array, "*grid b i"]) -> Float[Array, "*grid b o"]:
        def convolved(axis: int, convolution: Any) -> Float[Array, "*grid b o"]:
            lines = jnp.moveaxis(x, axis, 0)
            out = convolution(lines.reshape(len(lines), -1, lines.shape[-1]))
            return jnp.moveaxis(out.reshape(*lines.shape[:-1], -1), 0, axis)

        first, *others = [
            convolved(axis, convolution) for axis, convolution in enumerate(self.along)
        ]
        return sum(others, first)


AnySpectral = SpectralConvolution | TuckerSpectralConvolution | FactorisedSpectralConvolution


def spectral_drawn(
    in_size: int,
    out_size: int,
    modes: tuple[int, ...],
    *,
    factorised: bool,
    rank: float | None,
    key: PRNGKeyArray,
) -> AnySpectral:
    """A fresh spectral convolution, with the weights that are asked for."""
    if factorised:
        return FactorisedSpectralConvolution.drawn(in_size, out_size, modes, rank=rank, key=key)
    return _whole_or_tucker(rank)(in_size, out_size, modes, key=key)


def _whole_or_tucker(rank: float | None) -> Any:
    """What draws a convolution: of all weights, or of low rank."""
    if rank is None:
        return SpectralConvolution.drawn
    return partial(TuckerSpectralConvolution.drawn, rank=rank)


def _ranks(sizes: Sequence[int], share: float) -> list[int]:
    """The rank of every axis, so that core and factors are about this share of all weights."""
    wanted = share * 2 * math.prod(sizes)

    def ranks(part: float) -> list[int]:
        return [max(1, round(part * n)) for n in sizes]

    def numbers(part: float) -> int:
        chosen = ranks(part)
        return 2 * math.prod(chosen) + sum(n * r for n, r in zip(sizes, chosen, strict=True))

    low, high = 0.0, 1.0
    for _ in range(40):  # halves until no rank changes any more
        middle = (low + high) / 2
        low, high = (middle, high) if numbers(middle) <= wanted else (low, middle)
    return ranks(low)


def _convolved(
    x: Float[Array, "*grid b i"], weight: Float[Array, "2 k i o"], modes: tuple[int, ...]
) -> Float[Array, "*grid b o"]:
    """The transform of the lowest modes, a product with a matrix for each, and the way back.

    Transforms are computed in float32 where the field is narrower: they add up all grid points.
    """
    narrow = x.dtype
    x = x.astype(jnp.promote_types(narrow, jnp.float32))
    *signed, last = range(len(modes))
    sizes = x.shape[: len(modes)]
    both = [
        fourier(m, n, axis != last) for axis, (m, n) in enumerate(zip(modes, sizes, strict=True))
    ]
    cosines, sines = [c for c, _ in both], [s for _, s in both]
    real, imaginary = along(cosines[last], x, last), -along(sines[last], x, last)
    for axis in signed:
        c, s = cosines[axis], sines[axis]
        real, imaginary = (
            along(c, real, axis) + along(s, imaginary, axis),
            along(c, imaginary, axis) - along(s, real, axis),
        )
    shape = real.shape[:-1]
    # One product of real matrices for each mode.
    parts = jnp.concatenate([real, imaginary], -1).reshape(-1, shape[-1], 2 * real.shape[-1])
    wr, wi = weight
    matrix = jnp.concatenate([jnp.concatenate([wr, wi], -1), jnp.concatenate([-wi, wr], -1)], -2)
    both_parts = jnp.matmul(parts.astype(narrow), matrix).astype(x.dtype)
    real, imaginary = jnp.split(both_parts.reshape(*shape, -1), 2, -1)
    for axis in signed:
        c, s = cosines[axis].T / sizes[axis], sines[axis].T / sizes[axis]
        real, imaginary = (
            along(c, real, axis) - along(s, imaginary, axis),
            along(c, imaginary, axis) + along(s, real, axis),
        )
    # Of a real function the negative wave numbers are the conjugates of the positive ones.
    k = np.arange(modes[last])
    count = np.where((k == 0) | (2 * k == sizes[last]), 1.0, 2.0)[:, None] / sizes[last]
    out = along((count * cosines[last]).T, real, last)
    return (out - along((count * sines[last]).T, imaginary, last)).astype(narrow)


def fourier(
    modes: int, size: int, signed: bool
) -> tuple[Float[np.ndarray, "k n"], Float[np.ndarray, "k n"]]:
    """cos kx and sin kx at ``size`` equal steps of a period."""
    k = np.concatenate([np.arange(modes), np.arange(-modes, 0)]) if signed else np.arange(modes)
    angles = 2 * np.pi * np.outer(k, np.arange(size)) / size
    return np.cos(angles), np.sin(angles)


def along(
    matrix: Float[np.ndarray, "k n"], x: Float[Array, "..."], axis: int
) -> Float[Array, "..."]:
    """A matrix applied to one axis."""
    x = jnp.moveaxis(x, axis, 0)
    out = jnp.asarray(matrix, x.dtype) @ x.reshape(len(x), -1)
    return jnp.moveaxis(out.reshape(len(matrix), *x.shape[1:]), 0, axis)


def modes_on(name: str, modes: int | tuple[int, ...], grid: tuple[int, ...]) -> tuple[int, ...]:
    """The wave numbers of each axis of a grid.

    Raises:
        ValueError: Where a grid does not carry that many, and for a tuple of another length.
    """
    each = modes if isinstance(modes, tuple) else (modes,) * len(grid)
    if len(each) != len(grid):
        raise ValueError(
            f"{name}: modes={modes} are for {len(each)} axes, and the grid of {grid} has "
            f"{len(grid)}; give one number for all, or one for each"
        )
    for m, n in zip(each, grid, strict=True):
        if m > n // 2 + 1:
            raise ValueError(
                f"{name}: {n} points carry at most {n // 2 + 1} modes, got {m}; give fewer, or "
                "a finer grid"
            )
    return each
