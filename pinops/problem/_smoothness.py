"""How smooth the data of conditions are: a lift keeps every kink that it is given.

Jumps are measured, for the value and as many derivatives as the equation takes.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pinops.problem._faces import PointFunction
from pinops.problem._problem import Problem, residual_signature

Pair = tuple[Any, Any]
# Data that vary over less than about a thousandth of the domain count as not smooth.
CELLS = 2000


def _order(problem: Problem, axis: int) -> int:
    """The highest derivative along an axis that the equation takes."""
    plan = residual_signature(problem).plan
    return max([index.count(axis) for index in plan.indices] + [2 if axis in plan.laplacian else 0])


def jumps_across(problem: Problem, data: PointFunction, name: str, points: Any) -> list[Pair]:
    """The jump of each derivative of data across a periodic boundary, and its size."""
    axis, (low, high) = problem.domain.coordinates.index(name), problem.domain.bounds[name]
    function, out = data, []
    for _ in range(_order(problem, axis) + 1):
        values = [jax.vmap(function)(points.at[:, axis].set(end)) for end in (low, high)]
        # A derivative may vanish at the ends, and be round-off there: its size anywhere counts.
        everywhere = jnp.stack([*values, jax.vmap(function)(points)])
        out.append((jnp.max(jnp.abs(values[0] - values[1])), jnp.max(jnp.abs(everywhere))))
        function = _along(function, axis)
    return out


def periodic_jump(
    problem: Problem, periodic: tuple[str, ...], across: dict[str, list[Pair]]
) -> str:
    """Lifted data must be as smooth across the periodic boundary as the equation is of order."""
    for name in periodic:
        low, high = problem.domain.bounds[name]
        size = across[name][0][1]
        for k, (gap, scale) in enumerate(across[name]):
            if not gap <= 1e-8 * max(scale, size / (high - low) ** k):
                where = f"across the periodic boundary of {name}"
                what = f"its {_derivative_name(k)} jumps by {gap:.2g} {where}"
                return f"{what}, and a lift would keep that for all times"
    return ""


def jumps_inside(problem: Problem, data: PointFunction, axis: int, points: Any) -> list[Pair]:
    """The jump of each derivative that the equation takes along lines, and its scale.

    Derivatives at points do not see a jump, their integral along a line does.
    """
    low, high = problem.domain.bounds[problem.domain.coordinates[axis]]
    cells = low + (high - low) * (np.arange(CELLS) + 0.5) / CELLS

    def on_lines(at):
        return jnp.repeat(points[:2], len(at), 0).at[:, axis].set(np.tile(at, 2))

    lower, function = data, _along(data, axis)
    out = []
    for _ in range(_order(problem, axis)):
        slope = jax.vmap(function)(on_lines(cells)).reshape(2, -1) * ((high - low) / CELLS)
        ends = jax.vmap(lower)(on_lines(np.asarray([low, high]))).reshape(2, 2)
        gap = jnp.abs(ends[:, 1] - ends[:, 0] - jnp.sum(slope, 1))
        # A constant has no part in it, but for its rounding.
        varying = jnp.sum(jnp.abs(slope), 1) + jnp.abs(ends[:, 1] - ends[:, 0])
        out.append((gap, varying + 1e-10 * jnp.sum(jnp.abs(ends), 1)))
        lower, function = function, _along(function, axis)
    return out


def jumps_between(
    problem: Problem, data: PointFunction, axis: int, line: Any, within: Any
) -> list[Pair]:
    """The largest jump of each derivative between neighbours on lines, and its scale.

    Args:
        problem: Whose data they are.
        data: A function of the point.
        axis: The one of the lines.
        line: Equally spaced points, one line after the other.
        within: ``(lines, points - 1)``, whether two neighbours count.
    """
    step = line[1, axis] - line[0, axis]
    lower, function, out = data, _along(data, axis), []
    for _ in range(_order(problem, axis)):
        values, slopes = (jax.vmap(one)(line).reshape(len(within), -1) for one in (lower, function))
        change = jnp.diff(values) * within
        expected = step * (slopes[:, 1:] + slopes[:, :-1]) / 2 * within
        # A constant has no part in it, but for its rounding.
        varying = jnp.sum(jnp.abs(change), 1) + 1e-10 * jnp.max(jnp.abs(values[:, 1:] * within), 1)
        out.append((jnp.max(jnp.abs(change - expected), 1), varying))
        lower, function = function, _along(function, axis)
    return out


def kink(names: tuple[str, ...], inside: dict[int, list[Pair]]) -> str:
    """Lifted data must be as smooth inside, too."""
    for axis, pairs in inside.items():
        for k, (gap, scale) in enumerate(pairs):
            if not bool(np.all(gap <= 1e-2 * scale)):
                what = f"its {_derivative_name(k)} jumps by about {np.max(gap):.2g}"
                return f"{what} along {names[axis]}, and a lift would keep that for all times"
    return ""


def _derivative_name(k: int) -> str:
    return ("value", "slope")[k] if k < 2 else f"derivative of order {k}"


def _along(function: PointFunction, axis: int) -> PointFunction:
    return lambda point: jax.jvp(function, (point,), (jnp.zeros_like(point).at[axis].set(1),))[1]
