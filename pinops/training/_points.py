"""Where the equations are enforced: collocation points of each region, refined by residual."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pinops.derivatives import STDE
from pinops.losses import Weights
from pinops.problem import (
    INITIAL,
    INTERIOR,
    Observed,
    Points,
    Problem,
    Region,
    constraints,
    pairs,
)
from pinops.sampling import RAD, Refinement, Sampler, Sobol
from pinops.settings import check_settings, instance, whole
from pinops.training._bootstrap import Bootstrap
from pinops.training._contracts import Params, Source
from pinops.training._keys import folded
from pinops.training._model import Model, interior_score, prepare


class Collocation(Source[dict[Region, Points]]):
    """How many points, spread how, and refined how.

    Args:
        interior: The number of interior points, at least 1.
        boundary: The number of points for each condition that becomes a term, at least 1.
        initial: The number of points at the initial time, at least 1.
        sampler: One of `pinops.sampling`.
        every: Steps between two sets of points; 0: never others.
        refinement: `RAD`, `RAR` or `R3` of `pinops.sampling`; None: points ignore the residual.
            With RAD's weights the loss stays the mean square over the domain; with the others it is
            the mean over the points, which gather where the residual is large.
        batch: A step takes a given number of the interior points, a divisor of their number, and
            the same share of the others; None: all.
        laplacian: `pinops.STDE` estimates ``lap_u`` along new random directions in every step, for
            many dimensions; None: it is exact.

    Raises:
        ValueError: For a setting out of range, and a batch that does not divide the points.
    """

    interior: int = whole(4096, most=10**9)
    boundary: int = whole(512, most=10**9)
    initial: int = whole(512, most=10**9)
    sampler: Sampler = instance(Sampler, Sobol(), what="a sampler such as Sobol()")
    every: int = whole(250, least=0, most=10**9)
    refinement: Refinement | None = instance(
        Refinement, RAD(), what="a refinement such as RAD()", optional=True
    )
    batch: int | None = whole(None, most=10**9, optional=True)
    laplacian: STDE | None = instance(STDE, None, what="an STDE", optional=True)

    @property
    def stochastic(self) -> bool:
        """Whether every step has a loss of its own."""
        return self.batch is not None or self.laplacian is not None

    def drawn(
        self, model: Model, params: Params, key: PRNGKeyArray, present: dict[Region, Points] | None
    ) -> dict[Region, Points]:
        """`refine`."""
        return refine(model, params, self, key, None if present is None else present[INTERIOR])

    def sampled(
        self, model: Model, points: Mapping[Region, Points], weights: Weights, key: PRNGKeyArray
    ) -> tuple[dict[Region, Points], Weights]:
        """`sampled`."""
        return sampled(model.problem, self, points, weights, key)

    def divided(self, points: dict[Region, Any]) -> Any:
        """Those of which each device keeps its share; also of a tree of the same shape."""
        return points[INTERIOR]

    def representative(self, points: dict[Region, Points]) -> dict[Region, Points]:
        """What the loss is reported for, and weights follow from: all points."""
        return points

    def __check_init__(self):
        check_settings(self)
        if self.batch is not None and not (
            1 <= self.batch <= self.interior and self.interior % self.batch == 0
        ):
            raise ValueError(
                f"Collocation: batch must divide the {self.interior} interior points, "
                f"got {self.batch}"
            )


def draw(
    problem: Problem, soft: tuple[int, ...], collocation: Collocation, key: PRNGKeyArray
) -> dict[Region, Points]:
    """Fresh points for every region that a constraint names."""
    domain, sampler = problem.domain, collocation.sampler
    out: dict[Region, Points] = {}
    data: dict[str, Any]
    dtype = jnp.result_type(float)
    for number, region in enumerate(dict.fromkeys(c.region for c in constraints(problem, soft))):
        cube = partial(sampler.points, folded(key, number))
        normals, across, data = None, None, {}
        if region == INTERIOR:
            at = domain.sample_interior(cube, collocation.interior)
        elif region == INITIAL:
            at = domain.sample_initial(cube, collocation.initial)
        elif region.kind == "boundary":
            at, normals = domain.sample_boundary(region.parts, cube, collocation.boundary)
        elif region.kind == "interface":
            at, across, normals = pairs(problem, region.parts, cube, collocation.boundary, dtype)
        else:
            condition = problem.conditions()[region.condition]
            assert isinstance(condition, Observed)
            at = np.stack([condition.coordinates[name] for name in domain.coordinates], -1)
            data = {
                f"observed_{name}": jnp.asarray(value, dtype)
                for name, value in condition.values.items()
            } | {
                f"noise_{name}": jnp.asarray(level, dtype)
                for name, level in condition.noise.items()
            }
        normals, across = (
            None if one is None else jnp.asarray(one, dtype) for one in (normals, across)
        )
        out[region] = Points(jnp.asarray(at, dtype), normals, data, across=across)
    return out


def sampled(
    problem: Problem,
    collocation: Collocation,
    points: Mapping[Region, Points],
    weights: Weights,
    key: PRNGKeyArray,
) -> tuple[dict[Region, Points], Weights]:
    """The points and weights of one step: a batch of them, and directions for the Laplacian."""
    points, weights = dict(points), dict(weights)
    if collocation.batch is not None:
        parts = collocation.interior // collocation.batch
        part = jax.random.randint(jax.random.fold_in(key, 0), (), 0, parts)
        counts = {len(here.at) for here in points.values()}

        def some(leaf: Array) -> Array:
            """A block of rows, if the array has one per point; blocks are evenly spread, too."""
            n = leaf.shape[0] if jnp.ndim(leaf) else 0
            if n not in counts or n % parts or n == parts:
                return leaf
            return jax.lax.dynamic_slice_in_dim(leaf, part * (n // parts), n // parts)

        points, weights = jax.tree.map(some, points), jax.tree.map(some, weights)
    return directed(problem, collocation, points, jax.random.fold_in(key, 1)), weights


def directed(
    problem: Problem, collocation: Collocation, points: Mapping[Region, Points], key: PRNGKeyArray
) -> dict[Region, Points]:
    """The points with directions for the Laplacian, where it is estimated."""
    if collocation.laplacian is None:
        return dict(points)
    names = problem.domain.coordinates
    directions = collocation.laplacian.draw(
        key, [names.index(name) for name in problem.domain.space], len(names)
    )
    return {
        region: dataclasses.replace(here, directions=directions) for region, here in points.items()
    }


def refine(
    model: Model,
    params: Params,
    collocation: Collocation,
    key: PRNGKeyArray,
    present: Points | None = None,
) -> dict[Region, Points]:
    """Fresh points; interior ones are chosen by residual among new and present candidates."""
    points = draw(model.problem, model.imposition.soft, collocation, key)
    if model.bootstrap is not None:
        points = _some_observed(model.bootstrap, points)
    refinement, n = collocation.refinement, collocation.interior
    if collocation.laplacian is not None:  # an estimate does not tell where the residual is large
        return directed(model.problem, collocation, points, folded(key, 1_000_005))
    if refinement is None:
        return prepare(model, params, points)
    more = dataclasses.replace(collocation, interior=n * refinement.candidates)
    new = draw(model.problem, (), more, folded(key, 1_000_003))[INTERIOR].at
    none = np.zeros((0, new.shape[1]))
    old = none if present is None or not refinement.compares else present.at
    scores = [
        _scores(model, params, jnp.asarray(at)) if len(at) else np.zeros(0) for at in (old, new)
    ]
    chosen, weights = refinement.select(folded(key, 1_000_004), scores[0], scores[1], n)
    at = np.concatenate([np.asarray(old), np.asarray(new)])[chosen]
    interior = Points(jnp.asarray(at, new.dtype), weights=jnp.asarray(weights, new.dtype))
    return prepare(model, params, points | {INTERIOR: interior})


def _some_observed(bootstrap: Bootstrap, points: Mapping[Region, Points]) -> dict[Region, Points]:
    """The points with weights of the observations, of which a member learns from some."""
    out, number = dict(points), 0
    for region, here in points.items():
        if region.kind == "observed":
            roots = bootstrap.roots(jnp.arange(number, number + len(here.at)))
            weights = jnp.square(roots).astype(here.at.dtype)
            out[region] = dataclasses.replace(here, weights=weights)
            number += len(here.at)
    return out


def _scores(model: Model, params: Params, at: Array) -> np.ndarray:
    """The size of the residual at each point; zero where it is not finite."""
    scores = np.asarray(interior_score(model, params, {INTERIOR: Points(at)}), np.float64)
    return np.where(np.isfinite(scores), scores, 0.0)
