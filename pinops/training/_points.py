"""Where the equations are enforced: collocation points of every region, and their refinement where the residual is large."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from pinops.problem import INITIAL, INTERIOR, Observed, Points, Problem, constraints, region_parts
from pinops.sampling import Sampler, Sobol, residual_adaptive
from pinops.training._model import Model, Params, interior_score, prepare


class Collocation(eqx.Module):
    """How many points, spread how, and refined how.

    **Arguments:** ``interior``, ``boundary``, ``initial``: numbers of points (boundary: per soft condition); ``sampler``:
    one of `pinops.sampling`; ``every``: steps between new point sets (0: never); ``candidates``: how many candidates there
    are for each interior point; they are drawn with probability proportional to ``|r| / mean|r| + 1`` (RAD; Wu et al. 2023)
    and weighted so that the loss stays the mean square over the domain; 1 for no refinement.
    """

    interior: int = eqx.field(static=True, default=4096)
    boundary: int = eqx.field(static=True, default=512)
    initial: int = eqx.field(static=True, default=512)
    sampler: Sampler = Sobol()
    every: int = eqx.field(static=True, default=250)
    candidates: int = eqx.field(static=True, default=4)

    def __check_init__(self):
        for name in ("interior", "boundary", "initial", "candidates"):
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


def refine(model: Model, params: Params, collocation: Collocation, key: PRNGKeyArray) -> dict[str, Points]:
    """Fresh points everywhere; the interior ones drawn where the present residual is large."""
    points = draw(model.problem, model.imposition.soft, collocation, key)
    if collocation.candidates == 1:
        return prepare(model, params, points)
    more = dataclasses.replace(collocation, interior=collocation.interior * collocation.candidates)
    pool = prepare(model, params, draw(model.problem, (), more, jax.random.fold_in(key, 1_000_003)))
    scores = np.asarray(interior_score(model, params, pool), np.float64)
    scores = np.where(np.isfinite(scores), scores, 0.0)
    chosen, weights = residual_adaptive(jax.random.fold_in(key, 1_000_004), scores, collocation.interior)
    at, fixed = pool[INTERIOR].at, pool[INTERIOR].fixed
    fixed = jax.tree.map(lambda stream: stream[chosen] if len(stream) == len(at) else stream, fixed)
    others = {region: here for region, here in points.items() if region != INTERIOR}
    interior = Points(at[chosen], weights=jnp.asarray(weights, at.dtype), fixed=fixed)
    return {INTERIOR: interior} | (prepare(model, params, others) if others else {})
