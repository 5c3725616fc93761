"""How the terms of a loss are balanced."""

import abc
from collections.abc import Collection, Mapping

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Weighting(eqx.Module):
    """Abstract: how much every residual counts in the loss."""

    @abc.abstractmethod
    def __call__(self, residuals: Mapping[str, Float[Array, " n"]], conditions: Collection[str]) -> dict[str, Float[Array, "#n"]]:
        """The weight w of every term, ``(1,)`` or one for each point ``(n,)``; the loss is the sum of ``mean(w r^2)``.

        ``conditions`` are the names that are not interior equations. Weights are constants of the gradient.
        """

    @abc.abstractmethod
    def check(self, terms: Collection[str]) -> None:
        """Raises ValueError where the weighting names a term that the loss does not have."""


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

    def __call__(self, residuals: Mapping[str, Float[Array, " n"]], conditions: Collection[str]) -> dict[str, Float[Array, "#n"]]:
        default = lambda name: self.observed if name.startswith("observed ") else self.condition if name in conditions else 1.0
        return {name: jnp.full(1, self.weights.get(name, default(name)), r.dtype) for name, r in residuals.items()}

    def check(self, terms: Collection[str]) -> None:
        for name in self.weights:
            if name not in terms:
                raise ValueError(f"Fixed: there is no term {name!r}; the terms are {', '.join(terms)}")
