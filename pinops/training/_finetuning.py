"""A surrogate trained further on the equations of some trajectories alone.

Li et al. 2024, arXiv:2111.03794, section 3.2.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Float, PRNGKeyArray

from pinops.losses import Snapshot, Term, Weights
from pinops.optimizers import Objective
from pinops.problem import INTERIOR, Problem
from pinops.training._contracts import Params, Source, Trainable
from pinops.training._linearised import gradient_norms
from pinops.training._surrogate import AUXILIARY, SurrogateModel, grid_residuals


class Unsolved(eqx.Module):
    """Trajectories whose beginning and equations are known, and earlier predictions of them."""

    first: Float[Array, "n k *grid c"]
    parameters: Float[Array, "n p"]
    fields: dict[str, Array]
    problems: Problem
    before: Float[Array, "n t *grid c"]


class FineTuning(Trainable[Unsolved]):
    """A surrogate and the equations of some trajectories.

    Terms: the equations at the rollouts, in units of their size before; and ``anchor``, the
        distance to the rollouts before,
    relative to these.
    """

    surrogate: SurrogateModel
    unit: Float[Array, ""]
    mesh: Mesh | None = eqx.field(static=True, default=None)

    @property
    def owner(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.surrogate.owner

    @classmethod
    def of(cls, surrogate: SurrogateModel, params: Params, points: Unsolved) -> "FineTuning":
        """With the size of the equations at the present parameters as their unit."""
        raw = eqx.filter_jit(cls.residuals)(cls(surrogate, jnp.ones(())), params, points)
        squares = [term.mean_square() for term in raw.values() if term.region == INTERIOR]
        return cls(surrogate, jnp.sqrt(sum(squares, start=jnp.zeros(()))))

    def at(self, stage: Mapping[str, float]) -> "FineTuning":
        return self

    def coefficients(self, params: Params) -> dict[str, Array]:
        return {}

    def residuals(self, params: Params, points: Unsolved) -> dict[str, Term]:
        model, count = self.surrogate, points.before.shape[1]
        rolled = model.rollout(params, points.first, points.parameters, points.fields, count)
        whole = jnp.concatenate([points.first, rolled], 1)

        def of(problem: Problem, snapshots: Array) -> dict[str, Array]:
            return grid_residuals(
                problem, snapshots, model.grid, owner=model.owner, sizes=model.sizes
            )

        vectors = eqx.filter_vmap(of)(points.problems, whole)
        terms = {name: Term(v.ravel() / self.unit, INTERIOR) for name, v in vectors.items()}
        # Each unknown in its own units.
        scale = jnp.broadcast_to(model.scale, rolled.shape)
        moved, before = (rolled - points.before) / scale, points.before / scale
        size = jnp.sqrt(jnp.mean(jnp.square(before)))
        return {**terms, "anchor": Term(moved.ravel() / size, AUXILIARY)}

    def terms(self, params: Params, points: Unsolved, weights: Weights) -> dict[str, Array]:
        terms = self.residuals(params, points)
        return {name: term.mean_square(weights[name]) for name, term in terms.items()}

    def objective(self, points: Unsolved, weights: Weights) -> Objective:
        def loss(params: Params) -> Array:
            return sum(self.terms(params, points, weights).values(), start=jnp.zeros(()))

        return jax.value_and_grad(loss)

    def snapshot(self, params: Params, points: Unsolved, key: PRNGKeyArray) -> Snapshot:
        def norms() -> dict[str, Array]:
            return gradient_norms(lambda params: self.residuals(params, points), params)

        return Snapshot(self.residuals(params, points), {}, norms, dict, key)


class Given(Source[Unsolved]):
    """The same trajectories in every step."""

    points: Unsolved
    every: int = eqx.field(static=True, default=0, init=False)
    stochastic: bool = eqx.field(static=True, default=False, init=False)

    def drawn(
        self, model: FineTuning, params: Params, key: PRNGKeyArray, present: Unsolved | None
    ) -> Unsolved:
        return self.points

    def sampled(
        self, model: FineTuning, points: Unsolved, weights: Weights, key: PRNGKeyArray
    ) -> tuple[Unsolved, Weights]:
        return points, weights

    def representative(self, points: Unsolved) -> Unsolved:
        return points

    def divided(self, points: Unsolved) -> None:
        return None
