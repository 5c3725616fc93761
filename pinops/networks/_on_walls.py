"""What a field has on walls that are no faces of a box: values, and a factor that vanishes."""

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
    weights = [jnp.ones((), point.dtype)] * len(pairs)
    for k in range(len(pairs)):
        for j, other in enumerate(barriers):
            weights[k] = weights[k] * other if j != k else weights[k]
    total = sum(weights[1:], weights[0])
    values = [
        weight / total * one.data(point) for weight, (one, _) in zip(weights, pairs, strict=True)
    ]
    return sum(values[1:], values[0])
