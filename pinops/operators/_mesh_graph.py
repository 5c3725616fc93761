"""Message passing between the points of a mesh or a cloud."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from pinops.geometry import Mesh
from pinops.networks import MAX_DEPTH, MAX_WIDTH
from pinops.operators._points import (
    Graph,
    LayeredPointNetwork,
    Links,
    PointArchitecture,
    boundary_setting,
)
from pinops.operators._pointwise import Affine, Normalised, Perceptron
from pinops.settings import number, whole


@jax.custom_vjp
def gathered(f: Float[Array, "m w"], graph: Graph) -> Float[Array, "m k w"]:
    """What the senders of every point know; zero where there is none."""
    return _rows(f, graph.senders)


def _rows(f: Float[Array, "n w"], table: Int[Array | np.ndarray, "m k"]) -> Float[Array, "m k w"]:
    return jnp.where(table[:, :, None] >= 0, f[jnp.maximum(table, 0)], 0)


def _forward(f: Float[Array, "m w"], graph: Graph) -> tuple[Array, Graph]:
    return gathered(f, graph), graph


def _backward(graph: Graph, slope: Float[Array, "m k w"]) -> tuple[Array, None]:
    return _rows(slope.reshape(-1, slope.shape[2]), graph.readers).sum(1), None


gathered.defvjp(_forward, _backward)


class EdgeLayer(eqx.Module):
    """``f_i + psi(normalised f_i, mean over j of m_ij)`` with
    ``m_ij = swish(f_i A + f_j B + e_ij D)``, as on a grid (`MessageLayer`).
    """

    before: Normalised
    receiver: Affine
    sender: Affine
    edge: Affine
    update: Perceptron

    def __call__(
        self, f: Float[Array, "m w"], graph: Graph, edges: Float[Array, "m k e"]
    ) -> Float[Array, "m w"]:
        known = self.before(f)
        there = graph.senders >= 0
        argument = gathered(self.sender(known), graph) + self.edge(edges)
        messages = jax.nn.silu(argument + self.receiver(known)[:, None])
        total = jnp.sum(messages * there[:, :, None], axis=1)
        mean = total / jnp.maximum(there.sum(1), 1)[:, None]
        return f + self.update(jnp.concatenate([known, mean], 1))


class MeshGraphNetwork(LayeredPointNetwork):
    """Encoder, layers of messages, decoder.

    Attributes:
        encoder: From the inputs at a point to channels.
        layers: Of messages along edges.
        last: The normalisation before the decoder.
        decoder: From channels to outputs.
    """

    def seen(
        self, points: Float[Array, "m d"], present: Bool[Array, " m"], links: Links | None
    ) -> tuple[Graph, Float[Array, "m k e"]]:
        """The graph of what is present, and the features of its edges."""
        assert isinstance(links, Graph), "MeshGraphNet.links makes one"
        graph = _from_present(links, present)
        return graph, _relative(points, graph, present)


def _from_present(graph: Graph, present: Bool[Array, " m"]) -> Graph:
    """The graph without messages of points that are not present."""
    speaks = (graph.senders >= 0) & present[jnp.maximum(graph.senders, 0)]
    heard = (graph.readers >= 0) & present[:, None]
    return Graph(jnp.where(speaks, graph.senders, -1), jnp.where(heard, graph.readers, -1))


def _relative(
    points: Float[Array, "m d"], graph: Graph, present: Bool[Array, " m"]
) -> Float[Array, "m k e"]:
    """Vector and distance from every point to its senders, in units of the mean distance between
    present points: a finer mesh of the same shape looks alike, and further points change nothing.
    """
    there = graph.senders >= 0
    offset = jnp.where(there[:, :, None], gathered(points, graph) - points[:, None], 0)
    # The square root of an offset of zero has no derivative, and needs none.
    distance = jnp.sqrt(jnp.maximum(jnp.sum(offset**2, 2, keepdims=True), 1e-20))
    distance = jnp.where(there[:, :, None], distance, 0)
    own = there & present[:, None]
    mean = jnp.where(own[:, :, None], distance, 0).sum() / jnp.maximum(own.sum(), 1)
    return jnp.concatenate([offset, distance], 2) / jnp.maximum(mean, 1e-12)


class MeshGraphNet(PointArchitecture):
    """Message passing on the edges of a mesh, or between the near points of a cloud: encode,
    process, decode.

    Source: Pfaff, Fortunato, Sanchez-Gonzalez & Battaglia 2021, arXiv:2010.03409. As there but for:
    a message has one layer, whose argument is linear in both points and in the edge, so that it
    costs one product for each point (see `MessagePassing`); edges keep what they know, the vector
    between the points; points know where they are, since boundary conditions depend on that; and
    messages are averaged.

    Each layer carries a message over one edge, so that a solution that depends on the whole shape
    needs a radius of several edges, or many layers.

    Args:
        width: Features of a point (128 in the paper).
        depth: Layers of messages (15 there).
        radius: The distance within which points send messages, in the units of the coordinates;
            None: along the edges of cells, or from the nearest points where there are none.
        neighbours: The number of nearest points, without radius and cells.
        boundary: Whether it sees the signed distance from the boundary and its gradient, which
            needs cells.
    """

    width: int = whole(64, most=MAX_WIDTH)
    depth: int = whole(8, most=MAX_DEPTH)
    radius: float | None = number(None, above=0, optional=True)
    neighbours: int = whole(8, most=1000)
    boundary: bool = boundary_setting()

    def build(
        self, in_size: int, out_size: int, dimension: int, *, key: PRNGKeyArray
    ) -> MeshGraphNetwork:
        first, last, *keys = jax.random.split(key, 2 + self.depth)
        w = self.width

        def layer(key: PRNGKeyArray) -> EdgeLayer:
            receiver, sender, edge, update = jax.random.split(key, 4)
            return EdgeLayer(
                before=Normalised.fresh(w),
                receiver=Affine.drawn(w, w, key=receiver),
                sender=Affine.drawn(w, w, key=sender, bias=False),
                edge=Affine.drawn(dimension + 1, w, key=edge, bias=False),
                update=Perceptron.drawn(2 * w, w, w, key=update),
            )

        return MeshGraphNetwork(
            encoder=Perceptron.drawn(dimension + in_size, w, w, key=first),
            layers=[layer(k) for k in keys],
            last=Normalised.fresh(w),
            decoder=Affine.drawn(w, out_size, key=last),
        )

    def links(
        self,
        mesh: Mesh,
        size: int,
        queries: Float[np.ndarray, "q d"] | None = None,
        widths: tuple[int, int] | None = None,
    ) -> Graph:
        return Graph.of(self.edges(mesh, queries), size, widths)

    def edges(
        self, mesh: Mesh, queries: Float[np.ndarray, "q d"] | None = None
    ) -> Int[np.ndarray, "e 2"]:
        """Sender and receiver of every message: both directions of every edge; a further point
        hears the points within the radius, or the nearest ones.

        Args:
            mesh: The points of a sample.
            queries: Further points, numbered after those.
        """
        if self.radius is not None:
            own = mesh.within(self.radius)
        elif mesh.cells is not None:
            own = np.concatenate([mesh.edges, mesh.edges[:, ::-1]])
        else:
            own = _from_nearest(mesh, self.neighbours, None)
        if queries is None:
            return own
        if self.radius is not None:
            heard = mesh.within(self.radius, queries)
        else:
            count = 3 if mesh.cells is not None else self.neighbours
            heard = _from_nearest(mesh, count, queries)
        return np.concatenate([own, heard + np.array([0, len(mesh.points)])])


def _from_nearest(
    mesh: Mesh, count: int, at: Float[np.ndarray, "q d"] | None
) -> Int[np.ndarray, "e 2"]:
    """Edges from the nearest points to each of some places."""
    numbers = mesh.nearest(count, at)[1]
    return np.stack([numbers.ravel(), np.repeat(np.arange(len(numbers)), numbers.shape[1])], 1)
