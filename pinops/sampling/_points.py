"""Point sets in the unit cube, drawn on the host in NumPy float64."""

import abc
import math

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key, UInt32

PRNGKey = Key[Array, ""] | UInt32[Array, " words"]

_SOBOL_DIMENSIONS = 21201  # direction numbers of Joe & Kuo (2008), as shipped with SciPy


class Sampler(eqx.Module):
    """A rule that spreads points over the unit cube."""

    def points(self, key: PRNGKey, n: int, d: int) -> Float[np.ndarray, "n d"]:
        """n points of [0, 1)^d, float64; the same key, n and d give the same points.

        `key` is a JAX key of either kind (`jax.random.key` or `jax.random.PRNGKey`).
        """
        if n < 0 or d < 1:
            raise ValueError(
                f"{type(self).__name__}: it needs n >= 0 points in d >= 1 dimensions, got n={n} "
                f"and d={d}."
            )
        if n == 0:
            return np.empty((0, d))
        # Rounding may carry a point onto the far face, which belongs to the next cube.
        return np.minimum(self._draw(generator(key), n, d), np.nextafter(1.0, 0.0))

    @abc.abstractmethod
    def _draw(self, rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        """n >= 1 points of the closed cube."""


class Uniform(Sampler):
    """Independent uniform points (Monte Carlo); discrepancy O(n^-1/2)."""

    def _draw(self, rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        return rng.random((n, d))


class Sobol(Sampler):
    """Scrambled Sobol sequence (Owen 1998; Joe & Kuo 2008), best when n is a power of two.

    More points with the same key continue the same sequence.  At most 21201 dimensions.
    """

    def _draw(self, rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        from scipy.stats import qmc

        if d > _SOBOL_DIMENSIONS:
            raise ValueError(
                f"Sobol: at most {_SOBOL_DIMENSIONS} dimensions, got {d}; use LatinHypercube or "
                "Uniform."
            )
        # SciPy warns unless a power of two is drawn.
        return qmc.Sobol(d, rng=rng).random_base2((n - 1).bit_length())[:n]


class Arcsine(Sampler):
    """Sobol points that crowd towards the ends of every axis as Chebyshev nodes do, with density
    ``1 / (π sqrt(s (1 - s)))``.

    For solutions whose layers and singularities are at the boundary. The mean over such points, and
    so the loss, counts the neighbourhood of the boundary more, as the norm does in which Chebyshev
    series converge (Cohen & Migliorati 2017).
    """

    def _draw(self, rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        return (1 - np.cos(np.pi * Sobol()._draw(rng, n, d))) / 2


class Halton(Sampler):
    """Scrambled Halton sequence (Owen 2017), good for any n in few dimensions.

    More points with the same key continue the same sequence.
    """

    def _draw(self, rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        from scipy.stats import qmc

        return qmc.Halton(d, rng=rng).random(n)


class LatinHypercube(Sampler):
    """One point in each of n equal slices of every axis (McKay, Beckman & Conover 1979)."""

    def _draw(self, rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        from scipy.stats import qmc

        return qmc.LatinHypercube(d, rng=rng).random(n)


class Grid(Sampler):
    """The cell centres of a regular grid, in random order: all of them if n is m^d.

    Otherwise n random ones of the smallest nearly cubic grid that has n.
    """

    def _draw(self, rng: np.random.Generator, n: int, d: int) -> np.ndarray:
        shape = [math.ceil(round(n ** (1 / d), 9))] * d
        for axis in reversed(range(d)):
            if math.prod(shape) // shape[axis] * (shape[axis] - 1) >= n:
                shape[axis] -= 1
        cells, points = rng.permutation(math.prod(shape))[:n], np.empty((n, d))
        for axis, m in enumerate(shape):
            cells, place = np.divmod(cells, m)
            points[:, axis] = (place + 0.5) / m
        return points


def generator(key: PRNGKey) -> np.random.Generator:
    """A NumPy generator seeded by all the words of a JAX key."""
    words = np.asarray(jax.random.key_data(key))
    if words.ndim != 1:
        raise ValueError(
            f"key: one key is needed, got an array of keys of shape {words.shape[:-1]}; split it "
            "first."
        )
    return np.random.default_rng(words.tolist())
