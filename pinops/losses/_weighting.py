"""How the terms of a loss are balanced."""

import abc
from collections.abc import Collection, Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Weighting(eqx.Module):
    """Abstract: residual vectors by name -> the weighted mean square of each term."""

    @abc.abstractmethod
    def __call__(self, residuals: Mapping[str, Float[Array, " n"]], conditions: Collection[str]) -> dict[str, Array]:
        """Weighted terms by name; the loss is their sum. ``conditions`` are the names that are not interior equations."""


class Fixed(Weighting):
    """Constant weights: ``weight * mean(r^2)`` for every term.

    **Arguments:** ``weights``: by term name, as the log shows them; ``condition``: the weight of soft conditions that are
    not named; ``observed``: that of observations, small enough that noise in them is not followed; equations that are not
    named weigh 1.

    **Raises** ValueError for a name that is no term, and a weight that is negative or not finite.
    """

    weights: dict[str, float] = eqx.field(default_factory=dict)
    condition: float = 1000.0
    observed: float = 1.0

    def __check_init__(self):
        for name, weight in (self.weights | {"condition": self.condition, "observed": self.observed}).items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"Fixed: the weight of {name!r} must be zero or more and finite, got {weight}")

    def __call__(self, residuals: Mapping[str, Float[Array, " n"]], conditions: Collection[str]) -> dict[str, Array]:
        for name in self.weights:
            if name not in residuals:
                raise ValueError(f"Fixed: there is no term {name!r}; the terms are {', '.join(residuals)}")
        default = lambda name: self.observed if name.startswith("observed ") else self.condition if name in conditions else 1.0
        return {name: self.weights.get(name, default(name)) * jnp.mean(jnp.square(r)) for name, r in residuals.items()}
