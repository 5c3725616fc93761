"""The Laplacian estimated from second derivatives along a few random directions, for problems of many dimensions."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.settings import check_settings, one_of, whole


class STDE(eqx.Module):
    """Stochastic Taylor derivative estimator of ``lap_u``: ``sum_k v_k' H v_k``, whose mean over the v is the Laplacian.

    Shi, Hu, Lin & Kawaguchi 2024 (arXiv:2412.00088), sections 4.2 and 4.3; the dense kind is that of Hutchinson (1989). The same
    directions serve all points of one evaluation; every step of a training has new ones.

    **Arguments:** ``directions``: how many, m; ``kind``: "sparse", different unit vectors times ``sqrt(s / m)`` for s spatial
    coordinates, or "dense", random signs times ``sqrt(1 / m)``.

    **Raises** ValueError for another kind, and no direction.
    """

    directions: int = whole(16, most=100_000)
    kind: str = one_of("sparse", ("sparse", "dense"))

    def __check_init__(self):
        check_settings(self)

    def draw(self, key: PRNGKeyArray, axes: Sequence[int], dimension: int) -> Float[Array, "m d"]:
        """Random directions along the spatial ``axes`` of ``dimension`` coordinates.

        **Raises** ValueError for more sparse directions than there are axes.
        """
        space, m = jnp.asarray(axes), self.directions
        if self.kind == "dense":
            signs = jax.random.rademacher(key, (m, len(axes)), jnp.result_type(float))
            return jnp.zeros((m, dimension)).at[:, space].set(signs * m**-0.5)
        if m > len(axes):
            raise ValueError(
                f"STDE: {m} sparse directions need as many spatial coordinates, got {len(axes)}"
            )
        chosen = jax.random.choice(key, space, (m,), replace=False)
        return jnp.zeros((m, dimension)).at[jnp.arange(m), chosen].set((len(axes) / m) ** 0.5)
