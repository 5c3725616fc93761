"""A perceptron that sees all points of a grid at once."""

import math

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.networks import MAX_DEPTH, MAX_WIDTH
from pinops.operators._pointwise import Affine
from pinops.operators._surrogate import GridArchitecture, GridNetwork
from pinops.settings import whole


class GridMLPNetwork(GridNetwork):
    """A multilayer perceptron between the values at all grid points.

    Attributes:
        layers: Affine ones, with swish between them.
        shape: Of an output, ``(*grid, o)``.
    """

    layers: list[Affine]
    shape: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, states: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        x = states.reshape(states.shape[0], -1)
        for layer in self.layers[:-1]:
            x = jax.nn.silu(layer(x))
        return self.layers[-1](x).reshape(states.shape[0], *self.shape)


class GridMLP(GridArchitecture):
    """A multilayer perceptron from all values on a grid to all outputs.

    It knows no distances, so that it is for small grids alone, such as profiles of a few dozen
    levels.

    Args:
        width: Of the hidden layers, >= 1.
        depth: The number of hidden layers, >= 1.
    """

    width: int = whole(128, most=MAX_WIDTH)
    depth: int = whole(3, most=MAX_DEPTH)

    def build(
        self, in_size: int, out_size: int, grid: tuple[int, ...], *, key: PRNGKeyArray
    ) -> GridMLPNetwork:
        points = math.prod(grid)
        sizes = [points * in_size, *[self.width] * self.depth, points * out_size]
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = zip(sizes[:-1], sizes[1:], keys, strict=True)
        return GridMLPNetwork(
            [Affine.drawn(low, high, key=own) for low, high, own in pairs], (*grid, out_size)
        )
