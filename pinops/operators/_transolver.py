"""Transolver: a transformer whose attention is between slices of a shape."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from pinops.networks import MAX_DEPTH, MAX_WIDTH
from pinops.operators._points import (
    LayeredPointNetwork,
    Links,
    PointArchitecture,
    boundary_setting,
)
from pinops.operators._pointwise import Affine, Normalised, Perceptron
from pinops.settings import check_settings, whole


class SliceAttention(eqx.Module):
    """Points are softly assigned to slices, slices attend to each other, points read them.

    With ``w = softmax(x W_s)`` for each head (equation 1), a token is the mean of the values of all
    points with the weights w of its slice (equation 2); tokens attend to each other (equation 3),
    and each point takes their sum with its own weights w (equation 4). The cost is linear in the
    number of points.
    """

    assignment: Affine
    value: Affine
    query: Float[Array, "h c c"]
    key: Float[Array, "h c c"]
    token: Float[Array, "h c c"]
    out: Affine

    def __call__(self, x: Float[Array, "m w"], present: Bool[Array, " m"]) -> Float[Array, "m w"]:
        heads, channels, _ = self.query.shape
        weights = jax.nn.softmax(self.assignment(x).reshape(x.shape[0], heads, -1), axis=2)
        # Only present points write: a token is a mean over the sample, whatever fills it up.
        written = weights * present[:, None, None]
        values = self.value(x).reshape(x.shape[0], heads, channels)
        total = jnp.einsum("mhs,mhc->hsc", written, values)
        tokens = total / (written.sum(0)[:, :, None] + 1e-5)
        asked, known = tokens @ self.query, tokens @ self.key
        scores = jnp.einsum("hsc,htc->hst", asked, known) / jnp.sqrt(jnp.asarray(channels, x.dtype))
        mixed = jax.nn.softmax(scores, axis=2) @ (tokens @ self.token)
        return self.out(jnp.einsum("mhs,hsc->mhc", weights, mixed).reshape(x.shape[0], -1))


class TransolverLayer(eqx.Module):
    """``x + attention(normalised x)``, and then ``x + perceptron(normalised x)``."""

    before: Normalised
    attention: SliceAttention
    between: Normalised
    perceptron: Perceptron

    def __call__(self, x: Float[Array, "m w"], present: Bool[Array, " m"]) -> Float[Array, "m w"]:
        x = x + self.attention(self.before(x), present)
        return x + self.perceptron(self.between(x))


class TransolverNetwork(LayeredPointNetwork):
    """Encoder, layers of slice attention, decoder.

    Attributes:
        encoder: From the inputs at a point to channels.
        layers: Of attention between slices.
        last: The normalisation before the decoder.
        decoder: From channels to outputs.
    """

    def seen(
        self, points: Float[Array, "m d"], present: Bool[Array, " m"], links: Links | None
    ) -> tuple[Bool[Array, " m"]]:
        """The points that belong to the sample."""
        return (present,)


class Transolver(PointArchitecture):
    """A transformer on point clouds and meshes, whose attention is between slices of the sample.

    Source: Wu, Luo, Wang, Wang & Long 2024, arXiv:2402.02366; section 3.2. Here slices are assigned
    by one linear map of the features, and tokens have a projection of their own for each head.

    It sees where points are and not how they are connected, so that it takes any mesh or cloud, and
    gives values at any other points of the shape.

    Args:
        width: Features of a point, a multiple of ``heads``.
        depth: Layers of attention.
        heads: Of the attention.
        slices: Of each head (64 in the paper for clouds, 32 for structured meshes).
        boundary: Whether it sees the signed distance from the boundary and its gradient, which
            needs cells.

    Raises:
        ValueError: For a width that heads do not divide.
    """

    width: int = whole(64, most=MAX_WIDTH)
    depth: int = whole(4, most=MAX_DEPTH)
    heads: int = whole(4, most=1000)
    slices: int = whole(32, most=MAX_WIDTH)
    boundary: bool = boundary_setting()

    def __check_init__(self):
        check_settings(self)
        if self.width % self.heads:
            raise ValueError(
                f"Transolver: width must be a multiple of heads={self.heads}, got {self.width}"
            )

    def build(
        self, in_size: int, out_size: int, dimension: int, *, key: PRNGKeyArray
    ) -> TransolverNetwork:
        first, last, *keys = jax.random.split(key, 2 + self.depth)
        w = self.width
        return TransolverNetwork(
            encoder=Perceptron.drawn(dimension + in_size, 2 * w, w, key=first),
            layers=[self._layer(k) for k in keys],
            last=Normalised.fresh(w),
            decoder=Affine.drawn(w, out_size, key=last),
        )

    def _layer(self, key: PRNGKeyArray) -> TransolverLayer:
        w, channels = self.width, self.width // self.heads
        one, two, three, four, *others = jax.random.split(key, 7)

        def square(key: PRNGKeyArray) -> Array:
            shape = (self.heads, channels, channels)
            bound = channels**-0.5
            return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

        attention = SliceAttention(
            assignment=Affine.drawn(w, self.heads * self.slices, key=one),
            value=Affine.drawn(w, w, key=two),
            query=square(others[0]),
            key=square(others[1]),
            token=square(others[2]),
            out=Affine.drawn(w, w, key=three),
        )
        return TransolverLayer(
            before=Normalised.fresh(w),
            attention=attention,
            between=Normalised.fresh(w),
            perceptron=Perceptron.drawn(w, 2 * w, w, key=four),
        )
