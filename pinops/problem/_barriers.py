"""Functions that vanish on boundary parts and nowhere else in a domain.

They are products of one smooth function for each wall, which must not vanish elsewhere. Two
instances: x² + y² - a² around a hole, and five functions for the walls of a square with a hole. A
smooth function that vanishes on smooth curves which cross at an angle is such a product times a
smooth function (Hadamard's lemma), so that what is left for a network is smooth.

A straight wall on which the kind of the condition changes has a function of its own, `stretch`.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.geometry import Domain, Ends, Wall, stretch
from pinops.problem._cube import cube

InSpace = Callable[[Float[Array, " space"]], Float[Array, ""]]

POINTS = 1024  # inside, and on the boundary
_ON = 1e-9  # of the longest side: nearer to a wall a point lies on it
_CROSSINGS = 3  # points of other parts on a wall: fewer are where two parts meet
_MOST = 16  # walls; a product of more vanishes nearly everywhere
_ALIKE = 1e-9  # the functions of one surface differ by less, but for a factor
_ROUGH = "not all of its boundary has smooth functions that vanish there"


@dataclass(frozen=True)
class Barrier:
    """Functions of which each vanishes on some walls, and all are positive elsewhere.

    Attributes:
        levels: Functions ``(space,) -> ()``, about 1 in the middle of the domain.
        tips: Where the kind of the condition changes on a straight wall.
    """

    levels: tuple[InSpace, ...]
    tips: tuple[tuple[float, float], ...]

    def __call__(self, point: Float[Array, " space"]) -> Float[Array, ""]:
        """The product of the functions."""
        return functools.reduce(jnp.multiply, [level(point) for level in self.levels])


def points_on(domain: Domain, parts: Sequence[str]) -> Float[np.ndarray, "n d"]:
    """Points on boundary parts; none where the rest of the domain has cut all of them away."""
    try:
        return domain.sample_boundary(tuple(parts), cube, POINTS)[0]
    except ValueError:
        return np.zeros((0, len(domain.coordinates)))


@functools.cache
def barrier(domain: Domain, parts: tuple[str, ...], valued: frozenset[str]) -> Barrier | str:
    """The functions for some boundary parts, or why there are none.

    Args:
        domain: Whose parts they are.
        parts: On which they vanish.
        valued: All parts on which the values of the unknown are given.
    """
    walls = [wall for wall in domain.walls() if wall.name in parts]
    if not walls:
        return _ROUGH
    if len(walls) > _MOST:
        return f"it has {len(walls)} walls, and an exact factor at most {_MOST}"
    columns = [domain.coordinates.index(name) for name in domain.space]
    longest = max(domain.bounds[name][1] - domain.bounds[name][0] for name in domain.space)
    near = _ON * longest
    inside = domain.sample_interior(cube, POINTS)[:, columns]
    own = points_on(domain, parts)[:, columns]
    others = {p: points_on(domain, (p,))[:, columns] for p in domain.parts if p not in parts}
    whole: list[tuple[Wall, np.ndarray]] = []
    pieces: list[tuple[Ends, np.ndarray]] = []
    nearest = np.full(len(own), np.inf)
    for wall in walls:
        here, values, *elsewhere = _values(wall.level, [own, inside, *others.values()])
        if not np.any(np.abs(here) < near):
            continue
        nearest = np.minimum(nearest, np.abs(here))
        if np.min(np.sign(np.median(values)) * values) < -near:
            return "its walls go on inside of the domain"
        spilled = {
            part: at[np.abs(found) < near]
            for (part, at), found in zip(others.items(), elsewhere, strict=True)
        }
        spilled = {p: at for p, at in spilled.items() if len(at) >= _CROSSINGS}
        if not spilled:
            whole.append((wall, values))
        elif wall.ends is None or valued & spilled.keys():
            return "its walls go on as other parts"
        else:
            pieces.append((_turned(wall.ends, inside), np.concatenate([*spilled.values()])))
    if not len(own) or not np.all(nearest < near):
        return _ROUGH
    levels = [_scaled(wall.level, inside) for wall in _distinct(whole)]
    tips: list[tuple[float, float]] = []
    for ends, beyond in _joined(pieces, near):
        is_tip = _tips(ends, beyond)
        levels.append(_scaled(functools.partial(stretch, ends=ends, tips=is_tip), inside))
        tips += [end for end, tip in zip(ends, is_tip, strict=True) if tip]
    return Barrier(tuple(levels), tuple(tips))


def _values(level: InSpace, sets: Sequence[Float[np.ndarray, "_ space"]]) -> list[np.ndarray]:
    """Of a function, at several sets of points."""
    with jax.enable_x64(True), jax.ensure_compile_time_eval():
        values = np.asarray(jax.vmap(level)(jnp.asarray(np.concatenate(sets))))
    return np.split(values, np.cumsum([len(one) for one in sets])[:-1])


def _scaled(level: InSpace, inside: Float[np.ndarray, "n space"]) -> InSpace:
    """Positive inside, 1 where half of the domain is nearer to the wall, at most 1.4 beyond."""
    (values,) = _values(level, [inside])
    middle = float(np.median(values))

    def scaled(point: Float[Array, " space"]) -> Float[Array, ""]:
        share = level(point) / middle
        # Of the square, which of a `stretch` is as smooth as the distances from its tips.
        return share * jnp.sqrt(2 / (1 + share**2))

    return scaled


def _distinct(walls: list[tuple[Wall, np.ndarray]]) -> list[Wall]:
    """One wall of each surface."""
    kept: dict[int, np.ndarray] = {}
    for k, (_, values) in enumerate(walls):
        unit = values / values[np.argmax(np.abs(values))]
        if all(np.max(np.abs(unit - other)) > _ALIKE for other in kept.values()):
            kept[k] = unit
    return [walls[k][0] for k in kept]


def _turned(ends: Ends, inside: Float[np.ndarray, "n 2"]) -> Ends:
    """The ends in the order that has the inside on the left."""
    first, last = np.array(ends)
    (a, b), away = last - first, inside - first
    return ends if np.median(a * away[:, 1] - b * away[:, 0]) > 0 else (ends[1], ends[0])


def _joined(
    pieces: list[tuple[Ends, np.ndarray]], near: float
) -> list[tuple[Ends, Float[np.ndarray, "k 2"]]]:
    """Pieces that go on as each other are one."""
    out: list[tuple[Ends, np.ndarray]] = []
    for (first, last), beyond in sorted(pieces, key=lambda piece: piece[0]):
        for k, (other, _) in enumerate(out):
            along = np.subtract(last, first), np.subtract(other[1], other[0])
            straight = abs(np.linalg.det(np.array(along))) < near * np.linalg.norm(along[0])
            if straight and np.allclose(other[1], first, rtol=0, atol=near):
                first, beyond = other[0], out.pop(k)[1]
                break
            if straight and np.allclose(other[0], last, rtol=0, atol=near):
                last, beyond = other[1], out.pop(k)[1]
                break
        out.append(((first, last), beyond))
    return out


def _tips(ends: Ends, beyond: Float[np.ndarray, "k 2"]) -> tuple[bool, bool]:
    """At which ends the line goes on as other parts."""
    first, last = np.array(ends)
    share = (beyond - first) @ (last - first) / np.sum((last - first) ** 2)
    return bool(np.any(share < 0)), bool(np.any(share > 1))
