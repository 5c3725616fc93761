"""Message passing on regular grids (Brandstetter, Worrall & Welling 2022, arXiv:2202.03376)."""

from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pinops.networks import MAX_DEPTH, MAX_WIDTH
from pinops.operators._convolution import padding_setting, surrounded
from pinops.operators._pointwise import Affine, Perceptron
from pinops.operators._surrogate import GridArchitecture, GridNetwork
from pinops.settings import whole


class MessageLayer(eqx.Module):
    """``f_i + psi(f_i, mean over j of m_ij)`` (equations 8 and 9).

    Here ``m_ij = swish(f_i A + f_j B + (u_i - u_j) D + p_ij)``.

    Linear in what the nodes know, the argument of swish is a sum of one product for the receiver
    and one for the sender, whatever the number of neighbours; p_ij is a vector for each offset. A
    second, linear layer of the messages would commute with the mean and be one with the first layer
    of psi.
    """

    receiver: Affine
    sender: Affine
    difference: Affine
    positions: Float[Array, "neighbours w"]
    update: Perceptron
    radius: int = eqx.field(static=True)
    padding: str = eqx.field(static=True)

    def __call__(
        self, f: Float[Array, "b *grid w"], states: Float[Array, "b *grid i"]
    ) -> Float[Array, "b *grid w"]:
        own = self.difference(states)
        mean = self._mean(self.receiver(f) + own, self.sender(f) - own)
        return f + self.update(jnp.concatenate([f, mean], -1))

    def _mean(
        self, receiver: Float[Array, "b *grid w"], sender: Float[Array, "b *grid w"]
    ) -> Float[Array, "b *grid w"]:
        """Neighbours in turn, and once more for the gradient: messages are many, and cheaper to
        compute again than to keep.
        """
        starts = np.pad(self.radius + neighbours(self.radius, receiver.ndim - 2), [(0, 0), (1, 1)])
        wide = surrounded(sender, self.radius, self.padding)

        @jax.checkpoint
        def add(total, neighbour):
            start, position = neighbour
            seen = jax.lax.dynamic_slice(wide, tuple(start), receiver.shape)
            return total + jax.nn.silu(
                receiver + seen + jnp.broadcast_to(position, seen.shape)
            ), None

        total, _ = jax.lax.scan(
            add, jnp.zeros_like(receiver), (jnp.asarray(starts), self.positions)
        )
        return total / len(starts)


def neighbours(radius: int, axes: int) -> Int[np.ndarray, "k axes"]:
    """The offsets of all places within a radius, other than the middle."""
    offsets = np.array(list(product(range(-radius, radius + 1), repeat=axes)), np.int32)
    squares = np.sum(offsets**2, 1)
    return offsets[(squares > 0) & (squares <= radius**2)]


class MessagePassingNetwork(GridNetwork):
    """Encoder, layers of messages, decoder.

    Attributes:
        encoder: From the inputs at a grid point to channels.
        layers: Of messages between neighbours.
        decoder: From channels to outputs.
    """

    encoder: Perceptron
    layers: list[MessageLayer]
    decoder: Perceptron

    def __call__(self, states: Float[Array, "b *grid i"]) -> Float[Array, "b *grid o"]:
        f = self.encoder(states)
        for layer in self.layers:
            f = layer(f, states)
        return self.decoder(f)


class MessagePassing(GridArchitecture):
    """A message-passing network whose nodes are the points of a grid.

    It does not see where they are: with circular padding it commutes with translations.

    As published but for: no normalisation over the grid, so that amplitudes are kept; and one frame
    in and one out, where there the decoder makes a bundle of changes.

    Args:
        width: features of a node (128 in the paper).
        depth: layers of messages (6 there).
        radius: largest distance of neighbours in steps of the grid (3 there, in one dimension; in
            two, 1, 2 and 3 make 4, 12 and 28 neighbours).
        padding: what lies outside, circular, zeros or reflect.
    """

    width: int = whole(64, most=MAX_WIDTH)
    depth: int = whole(6, most=MAX_DEPTH)
    radius: int = whole(2, most=32)
    padding: str = padding_setting()

    def build(
        self, in_size: int, out_size: int, grid: tuple[int, ...], *, key: PRNGKeyArray
    ) -> MessagePassingNetwork:
        if any(n <= self.radius for n in grid):
            raise ValueError(
                f"MessagePassing: every axis needs more points than radius={self.radius}, got a "
                f"grid of {grid}"
            )
        w, count = self.width, len(neighbours(self.radius, len(grid)))

        def layer(key: PRNGKeyArray) -> MessageLayer:
            receiver, sender, difference, position, update = jax.random.split(key, 5)
            return MessageLayer(
                Affine.drawn(w, w, key=receiver, bias=False),
                Affine.drawn(w, w, key=sender, bias=False),
                Affine.drawn(in_size, w, key=difference, bias=False),
                Affine.drawn(count, w, key=position, bias=False).weight,
                Perceptron.drawn(2 * w, w, w, key=update),
                self.radius,
                self.padding,
            )

        first, last, *keys = jax.random.split(key, 2 + self.depth)
        encoder, decoder = (
            Perceptron.drawn(in_size, w, w, key=first),
            Perceptron.drawn(w, w, out_size, key=last),
        )
        return MessagePassingNetwork(encoder, [layer(k) for k in keys], decoder)
