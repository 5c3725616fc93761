"""What a field has on walls that are no faces of a box: values, and a factor that vanishes."""

import functools
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinops.problem import Barrier, Held, Problem, held

Values = Callable[[Float[Array, " d"]], Float[Array, " c"]]


def on_walls(
    problem: Problem, conditions: Sequence[int], elsewhere: Float[Array, " c"]
) -> tuple[Values, Values] | None:
    """The lift and the factor of the conditions that are imposed on walls; None without any.

    Args:
        problem: The problem, whose coefficients may be traced.
        conditions: The numbers of those that are imposed exactly.
        elsewhere: The lift of unknowns without values on walls.
    """
    everything = held(problem, conditions)
    if not everything:
        return None
    count, domain = len(problem.unknowns), problem.domain
    space = [domain.coordinates.index(name) for name in domain.space]
    by_component: list[list[tuple[Held, Barrier]]] = [[] for _ in range(count)]
    for one in everything:
        barrier = one.barrier(problem)
        assert isinstance(barrier, Barrier)
        by_component[one.component].append((one, barrier))

    def lift(point: Float[Array, " d"]) -> Float[Array, " c"]:
        return jnp.stack(
            [
                _interpolated(pairs, point, jnp.stack([point[axis] for axis in space]))
                if pairs
                else elsewhere[component].astype(point.dtype)
                for component, pairs in enumerate(by_component)
            ]
        )

    def factor(point: Float[Array, " d"]) -> Float[Array, " c"]:
        at = jnp.stack([point[axis] for axis in space])
        out = [jnp.ones((), point.dtype)] * count
        for component, pairs in enumerate(by_component):
            for _, barrier in pairs:
                out[component] = out[component] * barrier(at)
        return jnp.stack(out)

    return lift, factor


def _interpolated(
    pairs: Sequence[tuple[Held, Barrier]], point: Float[Array, " d"], at: Float[Array, " space"]
) -> Float[Array, ""]:
    """The values, each weighted by the barriers of all others."""
    barriers = [barrier(at) for _, barrier in pairs]
    others = [[other for j, other in enumerate(barriers) if j != k] for k in range(len(pairs))]
    one = jnp.ones((), point.dtype)
    weights = jnp.stack([functools.reduce(jnp.multiply, each, one) for each in others])
    given = jnp.stack([values.data(point) for values, _ in pairs])
    return jnp.sum(weights * given) / jnp.sum(weights)
