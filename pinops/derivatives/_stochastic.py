"""The Laplacian in many dimensions, estimated from second derivatives along random directions."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.settings import check_settings, one_of, whole


class STDE(eqx.Module):
    """Stochastic Taylor derivative estimator of ``lap_u``: ``sum_k v_k' H v_k``.

    Its mean over the random directions v is the Laplacian. All points of one evaluation share
    their directions; every training step draws new ones. Source: Shi, Hu, Lin & Kawaguchi 2024
    (arXiv:2412.00088), sections 4.2 and 4.3; the dense kind is Hutchinson's (1989).

    Args:
        directions: the number m >= 1 of directions.
        kind: "sparse", different unit vectors times ``sqrt(s / m)`` for s spatial coordinates,
            or "dense", random signs times ``sqrt(1 / m)``.

    Raises:
        ValueError: for another kind, or without any direction.

    Example:
        For ``po.solve("poisson_nd", points=points)``:

        >>> points = po.Collocation(laplacian=po.STDE(directions=16))
    """

    directions: int = whole(16, most=100_000)
    kind: str = one_of("sparse", ("sparse", "dense"))

    def __check_init__(self):
        check_settings(self)

    def draw(self, key: PRNGKeyArray, axes: Sequence[int], dimension: int) -> Float[Array, "m d"]:
        """Random directions along some of the coordinates.

        Args:
            key: determines the directions.
            axes: the numbers of the spatial coordinates.
            dimension: the number d of all coordinates.

        Returns:
            ``(m, d)``, zero along all other coordinates.

        Raises:
            ValueError: for more sparse directions than axes.
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
