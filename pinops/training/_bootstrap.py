"""Which samples each member of an ensemble learns from."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray


class Bootstrap(eqx.Module):
    """Weights of samples, 0 or ``1 / share``, which are those of a sample in every step.

    Members that differ in their keys learn from different samples of the same data: nothing is
    copied, and no shape depends on what is drawn.

    Args:
        key: Of one member.
        share: The probability that a sample counts, above 0 and below 1.
    """

    key: PRNGKeyArray
    share: float = eqx.field(static=True)

    def roots(self, numbers: Int[Array, " n"]) -> Float[Array, " n"]:
        """The roots of the weights of samples, for residuals, which are squared.

        Args:
            numbers: Of the samples in their data set.
        """

        def counts(number: Int[Array, ""]) -> Array:
            return jax.random.bernoulli(jax.random.fold_in(self.key, number), self.share)

        return jnp.where(jax.vmap(counts)(numbers), self.share**-0.5, 0.0)


def bootstrapped(
    vector: Float[Array, "n ..."],
    bootstrap: Bootstrap | None,
    numbers: Int[Array | np.ndarray, " n"] | None,
) -> Float[Array, "n ..."]:
    """Residuals of samples, each times the root of its weight.

    Args:
        vector: A sample in each row.
        bootstrap: Of the member that is trained; None: every sample counts.
        numbers: Of the samples; None: they are of no data set.
    """
    if bootstrap is None or numbers is None:
        return vector
    roots = bootstrap.roots(jnp.asarray(numbers)).astype(vector.dtype)
    return vector * jnp.broadcast_to(roots.reshape(-1, *[1] * (vector.ndim - 1)), vector.shape)
