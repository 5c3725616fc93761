"""Where the equations are enforced: collocation points of every region, and their refinement where the residual is large."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pinops.problem import INITIAL, INTERIOR, Observed, Points, Problem, constraints, region_parts
from pinops.sampling import RAD, Refinement, Sampler, Sobol
from pinops.training._model import Model, Params, interior_score, prepare


class Collocation(eqx.Module):
    """How many points, spread how, and refined how.

    **Arguments:** ``interior``, ``boundary``, ``initial``: numbers of points (boundary: per soft condition); ``sampler``:
    one of `pinops.sampling`; ``every``: steps between new point sets (0: never); ``refinement``: `RAD`, `RAR` or `R3` of
    `pinops.sampling`, None for points that ignore the residual. With RAD's weights the loss stays the mean square over
    the domain; with the others it is the mean over the points, which gather where the residual is large.
    """

    interior: int = eqx.field(static=True, default=4096)
    boundary: int = eqx.field(static=True, default=512)
    initial: int = eqx.field(static=True, default=512)
    sampler: Sampler = Sobol()
    every: int = eqx.field(static=True, default=250)
    refinement: Refinement | None = RAD()

    def __check_init__(self):
        for name in ("interior", "boundary", "initial"):
            if getattr(self, name) < 1:
                raise ValueError(f"Collocation: {name} must be at least 1, got {getattr(self, name)}")
        if self.every < 0:
            raise ValueError(f"Collocation: every must be zero (never) or more, got {self.every}")


def draw(problem: Problem, soft: tuple[int, ...], collocation: Collocation, key: PRNGKeyArray) -> dict[str, Points]:
    """Fresh points for every region that a constraint names."""
    domain, sampler = problem.domain, collocation.sampler
    out: dict[str, Points] = {}
    data: dict[str, Any]
    dtype = jnp.result_type(float)
    for number, region in enumerate(dict.fromkeys(c.region for c in constraints(problem, soft))):
        region_key = jax.random.fold_in(key, number)
        cube = lambda m, d, region_key=region_key: sampler.points(region_key, m, d)
        normals, data = None, {}
        if region == INTERIOR:
            at = domain.sample_interior(cube, collocation.interior)
        elif region == INITIAL:
            at = domain.sample_initial(cube, collocation.initial)
        elif (parts := region_parts(region)) is not None:
            at, normals = domain.sample_boundary(parts, cube, collocation.boundary)
        else:
            condition = problem.conditions()[int(region.removeprefix("observed "))]
            assert isinstance(condition, Observed)
            at = np.stack([condition.coordinates[name] for name in domain.coordinates], -1)
            data = {f"observed_{name}": jnp.asarray(value, dtype) for name, value in condition.values.items()}
        out[region] = Points(jnp.asarray(at, dtype), None if normals is None else jnp.asarray(normals, dtype), data)
    return out


def refine(
    model: Model, params: Params, collocation: Collocation, key: PRNGKeyArray, present: Points | None = None
) -> dict[str, Points]:
    """Fresh points everywhere; the interior ones chosen by the residual there and at the present ones."""
    points = draw(model.problem, model.imposition.soft, collocation, key)
    refinement, n = collocation.refinement, collocation.interior
    if refinement is None:
        return prepare(model, params, points)
    more = dataclasses.replace(collocation, interior=n * refinement.candidates)
    new = draw(model.problem, (), more, jax.random.fold_in(key, 1_000_003))[INTERIOR].at
    old = np.zeros((0, new.shape[1])) if present is None else present.at
    scores = [_scores(model, params, jnp.asarray(at)) if len(at) else np.zeros(0) for at in (old, new)]
    chosen, weights = refinement.select(jax.random.fold_in(key, 1_000_004), scores[0], scores[1], n)
    at = np.concatenate([np.asarray(old), np.asarray(new)])[chosen]
    interior = Points(jnp.asarray(at, new.dtype), weights=jnp.asarray(weights, new.dtype))
    return prepare(model, params, points | {INTERIOR: interior})


def _scores(model: Model, params: Params, at: Array) -> np.ndarray:
    """The size of the residual at each point; zero where it is not finite."""
    points = prepare(model, params, {INTERIOR: Points(at)})
    scores = np.asarray(interior_score(model, params, points), np.float64)
    return np.where(np.isfinite(scores), scores, 0.0)
