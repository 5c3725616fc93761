"""Networks on the points of one sample: a cloud, or the nodes of a mesh.

Samples have different numbers of points, and are filled up to a few sizes, so that few programs
are compiled. What fills them up is not *present*: such a point reads what the present ones say, and
none reads it. Two uses follow: a sample has the same values whatever it is filled up to, and the
values anywhere else are those of further points that are not present.
"""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from pinops.geometry import Mesh
from pinops.operators._pointwise import Affine, Normalised, Perceptron
from pinops.settings import check_settings, flag

POINT_NETWORK = "a network on points such as Transolver()"


class Links(eqx.Module):
    """Abstract: what connects the points of one sample, in tables."""

    @property
    @abc.abstractmethod
    def widths(self) -> tuple[int, int]:
        """How many columns its tables have."""


class Graph(Links):
    """Which points send messages to which: a table of the senders of each, and the same turned
    round.

    Gathering rows of tables is ten times as fast on a CPU as adding to rows that a list of edges
    names; turned round, the table makes of the gradient a gathering, too.

    Attributes:
        senders: ``(m, k)``, the points that each one reads; -1 where it reads fewer.
        readers: ``(m, r)``, the places in the flattened table where each one stands; -1 likewise.
    """

    senders: Int[Array | np.ndarray, "m k"]
    readers: Int[Array | np.ndarray, "m r"]

    @property
    def widths(self) -> tuple[int, int]:
        return self.senders.shape[1], self.readers.shape[1]

    @classmethod
    def of(
        cls, edges: Int[np.ndarray, "e 2"], size: int, widths: tuple[int, int] | None = None
    ) -> "Graph":
        """The tables of a list of edges, each of a sender and a receiver.

        Args:
            edges: Numbers of points, from 0 to ``size - 1``.
            size: How many points there are, those included that fill a sample up.
            widths: The least k and r, so that samples have tables of one shape.
        """
        least = widths or (1, 1)
        edges = edges[np.argsort(edges[:, 1], kind="stable")]
        column = _place_in_group(edges[:, 1], size)
        senders = np.full((size, max(least[0], column.max(initial=0) + 1)), -1, np.int32)
        senders[edges[:, 1], column] = edges[:, 0]
        place = edges[:, 1] * senders.shape[1] + column
        order = np.argsort(edges[:, 0], kind="stable")
        row = _place_in_group(edges[order, 0], size)
        readers = np.full((size, max(least[1], row.max(initial=0) + 1)), -1, np.int32)
        readers[edges[order, 0], row] = place[order]
        return cls(senders, readers)


def _place_in_group(sorted_numbers: Int[np.ndarray, " e"], size: int) -> Int[np.ndarray, " e"]:
    """Of every entry of a sorted list: how many equal ones stand before it."""
    counts = np.bincount(sorted_numbers, minlength=size)
    return np.arange(len(sorted_numbers)) - (np.cumsum(counts) - counts)[sorted_numbers]


class PointNetwork(eqx.Module):
    """Abstract: a function of the points of one sample and of what is known there; batches are
    `jax.vmap`.
    """

    @abc.abstractmethod
    def __call__(
        self,
        points: Float[Array, "m d"],
        features: Float[Array, "m i"],
        present: Bool[Array, " m"],
        links: Links | None = None,
    ) -> Float[Array, "m o"]:
        """The values at all points.

        Args:
            points: Coordinates, scaled to about -1 to 1.
            features: What is known at each point, standardised.
            present: Whether a point belongs to the sample. The others are read only: they have
                values, and change nothing.
            links: What `PointArchitecture.links` makes of the sample.
        """


class LayeredPointNetwork(PointNetwork):
    """Abstract: an encoder, layers of channels at every point, and a decoder.

    Attributes:
        encoder: From what is known at a point to channels.
        layers: From channels, and what `seen` gives, to channels.
        last: The normalisation before the decoder.
        decoder: From channels to outputs.
    """

    encoder: Perceptron
    layers: list[Any]
    last: Normalised
    decoder: Affine

    @abc.abstractmethod
    def seen(
        self, points: Float[Array, "m d"], present: Bool[Array, " m"], links: Links | None
    ) -> tuple[Any, ...]:
        """What every layer sees of the sample besides its channels; arguments as for a call."""

    def __call__(
        self,
        points: Float[Array, "m d"],
        features: Float[Array, "m i"],
        present: Bool[Array, " m"],
        links: Links | None = None,
    ) -> Float[Array, "m o"]:
        seen = self.seen(points, present, links)
        x = self.encoder(jnp.concatenate([points, features], 1))
        for layer in self.layers:
            x = layer(x, *seen)
        return self.decoder(self.last(x))


class PointArchitecture(eqx.Module):
    """Abstract: a description that builds networks on points.

    ``boundary``: whether a network sees the signed distance from the boundary and its gradient, as
    features besides those that are given.
    """

    if TYPE_CHECKING:  # a field would come first where a subclass is made

        @property
        def boundary(self) -> bool: ...

    else:
        boundary: eqx.AbstractVar[bool]

    def __check_init__(self):
        check_settings(self)

    @abc.abstractmethod
    def build(
        self, in_size: int, out_size: int, dimension: int, *, key: PRNGKeyArray
    ) -> PointNetwork:
        """A network with fresh parameters.

        Args:
            in_size: Features of a point, 0 where only its place is known.
            out_size: Values at a point.
            dimension: Coordinates of a point.
            key: Of the random parameters.
        """

    def links(
        self,
        mesh: Mesh,
        size: int,
        queries: Float[np.ndarray, "q d"] | None = None,
        widths: tuple[int, int] | None = None,
    ) -> Links | None:
        """What connects the points, found on the host; None: nothing does.

        Args:
            mesh: The points of a sample, with cells where they are known.
            size: How many points there are, those included that fill the sample up.
            queries: Further points, which are only read out. They are numbered after those of the
                sample.
            widths: The least widths of the tables, so that samples have tables of one shape.

        Raises:
            ValueError: For a sample without cells where they are needed.
        """
        return None

    @property
    def on_grid(self) -> bool:
        """Whether a network on a grid does the work: it is trained as such, and samples are filled
        up to one size, since points cost little.
        """
        return False

    def channels(
        self, mesh: Mesh, queries: Float[np.ndarray, "q d"] | None = None
    ) -> Float[np.ndarray, "n g"]:
        """Features that follow from the shape, of the points and then of further ones: the signed
        distance from the boundary and its gradient, or none.

        Raises:
            ValueError: For a sample without a boundary where it is needed.
        """
        parts = [mesh.points] if queries is None else [mesh.points, queries]
        if not self.boundary:
            return np.zeros((sum(map(len, parts)), 0))
        places = [None, *parts[1:]]
        return np.concatenate(
            [np.column_stack([mesh.signed_distance(at), mesh.normals(at)]) for at in places]
        )


def boundary_setting() -> Any:
    """Whether a network sees the distance from the boundary; False by default."""
    return flag(False)
