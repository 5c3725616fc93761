"""A trained network on a grid trained further on the equations of some samples alone.

Li et al. 2024, arXiv:2111.03794, section 3.2.
"""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.losses import Snapshot, Term, Weights
from pinops.optimizers import Objective
from pinops.problem import INTERIOR
from pinops.settings import quick
from pinops.training._contracts import Params, Source, Trainable
from pinops.training._linearised import gradient_norms
from pinops.training._map import MapModel
from pinops.training._surrogate import AUXILIARY, SurrogateModel

P = TypeVar("P")


# What can be trained further, on trajectories and on samples.
Tunable = SurrogateModel | MapModel


class FineTuning(Trainable[P], Generic[P]):
    """A model and the equations of some samples.

    Terms: the equations at the predictions, in units of their size before; and ``anchor``, the
    distance to the predictions before, relative to these.

    Args:
        tuned: What is trained further.
        before: Its predictions before.
        unit: The size of the equations before.
        mesh: None: one device does the work.
    """

    tuned: Tunable
    before: Float[Array, "n ..."]
    unit: Float[Array, ""]
    mesh: Mesh | None = eqx.field(static=True, default=None)

    @property
    def owner(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.tuned.owner

    @classmethod
    def of(cls, tuned: Tunable, params: Params, points: P) -> "FineTuning[P]":
        """What the present parameters give is the unit, and the anchor."""
        unsolved: Any = type(tuned).unsolved  # each takes points of its own kind
        before, vectors = quick(unsolved)(tuned, params, points)
        squares = [jnp.mean(jnp.square(vector)) for vector in vectors.values()]
        return cls(tuned, before, jnp.sqrt(sum(squares, start=jnp.zeros(()))))

    def at(self, stage: Mapping[str, float]) -> "FineTuning[P]":
        return self

    def coefficients(self, params: Params) -> dict[str, Array]:
        return {}

    def residuals(self, params: Params, points: P) -> dict[str, Term]:
        unsolved: Any = self.tuned.unsolved
        predicted, vectors = unsolved(params, points)
        terms = {name: Term(v.ravel() / self.unit, INTERIOR) for name, v in vectors.items()}
        size = jnp.sqrt(jnp.mean(jnp.square(self.before)))
        moved = (predicted - self.before).ravel() / size
        return {**terms, "anchor": Term(moved, AUXILIARY)}

    def terms(self, params: Params, points: P, weights: Weights) -> dict[str, Array]:
        terms = self.residuals(params, points)
        return {name: term.mean_square(weights[name]) for name, term in terms.items()}

    def objective(self, points: P, weights: Weights) -> Objective:
        def loss(params: Params) -> Array:
            return sum(self.terms(params, points, weights).values(), start=jnp.zeros(()))

        return jax.value_and_grad(loss)

    def snapshot(self, params: Params, points: P, key: PRNGKeyArray) -> Snapshot:
        def norms() -> dict[str, Array]:
            return gradient_norms(lambda params: self.residuals(params, points), params)

        return Snapshot(self.residuals(params, points), {}, norms, dict, key)


class Given(Source[P], Generic[P]):
    """The same samples in every step."""

    points: P
    every: int = eqx.field(static=True, default=0, init=False)
    stochastic: bool = eqx.field(static=True, default=False, init=False)

    def drawn(
        self, model: FineTuning[P], params: Params, key: PRNGKeyArray, present: P | None
    ) -> P:
        return self.points

    def sampled(
        self, model: FineTuning[P], points: P, weights: Weights, key: PRNGKeyArray
    ) -> tuple[P, Weights]:
        return points, weights

    def representative(self, points: P) -> P:
        return points

    def divided(self, points: P) -> None:
        return None
