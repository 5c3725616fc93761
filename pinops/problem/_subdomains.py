"""Parts of the domain by name, and what a network sees of them.

A network of smooth functions cannot turn sharply where the material changes. So it also sees a
*fold* for each subdomain that has an `Interface`: its level set inside, zero outside. What it makes
of that is continuous, with a kink at the interface and smooth on either side.
"""

import functools
import keyword
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import Names, parse_name
from pinops.geometry import Domain
from pinops.problem._conditions import Interface, On

if TYPE_CHECKING:
    from pinops.problem._problem import Problem


@dataclass(frozen=True)
class Subdomain:
    """A shape within a domain.

    Args:
        name: How equations call it.
        shape: In some of the spatial coordinates of the domain.
        axes: The numbers of these among all coordinates.
    """

    name: str
    shape: Domain
    axes: tuple[int, ...]

    def level(self, point: Float[Array, " d"]) -> Float[Array, ""]:
        """Negative inside, zero where it ends."""
        return self.shape.level(jnp.stack([point[axis] for axis in self.axes]))

    def indicator(self, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """1 inside, 0 elsewhere."""
        inside = jax.vmap(self.level)(jnp.asarray(points)) < 0
        return inside.astype(jnp.result_type(float))

    def fold(self, point: Float[Array, " d"]) -> Float[Array, ""]:
        """The level set inside, about -1 at the deepest place, and zero outside."""
        depth = min(high - low for low, high in self.shape.bounds.values()) / 4
        return jnp.minimum(self.level(point), 0.0) / depth


def subdomains_of(problem: "Problem") -> tuple[Subdomain, ...]:
    """The parts that a problem declares.

    Raises:
        ValueError: For what is no dict of shapes in the problem's spatial coordinates, a name that
            means something already, and a shape without a level set.
    """
    given = problem.subdomains
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{type(problem).__name__}: subdomains must be a dict of shapes by name, got {given!r}"
        )
    return tuple(_subdomain(problem, name, shape) for name, shape in given.items())


def chosen(problem: "Problem", on: On) -> tuple[Subdomain, ...]:
    """The subdomains that an `Interface` is about.

    Raises:
        ValueError: For a name that is none, and without any.
    """
    found = {one.name: one for one in subdomains_of(problem)}
    names = tuple(found) if on is None else (on,) if not isinstance(on, tuple | list) else on
    owner = f"{type(problem).__name__}: Interface"
    for name in names:
        if name not in found:
            declared = ", ".join(found) or "none"
            raise ValueError(f"{owner}: there is no subdomain {name!r}; declared are {declared}")
    if not names:
        raise ValueError(f"{owner} needs subdomains, such as subdomains = {{'core': Disk(...)}}")
    return tuple(found[name] for name in dict.fromkeys(names))


def check_periodic(problem: "Problem", part: Subdomain, coordinate: str) -> None:
    """Raises ValueError for an interface at the ends of a periodic coordinate: the fold would not
    be periodic, and there are no points of it.
    """
    if coordinate not in part.shape.coordinates:
        return
    (low, high), (first, last) = (
        shape.bounds[coordinate] for shape in (problem.domain, part.shape)
    )
    if not low < first < last < high:
        raise ValueError(
            f"{type(problem).__name__}: subdomain {part.name!r} reaches the ends of {coordinate}, "
            f"which is periodic; begin the period elsewhere, or leave {coordinate} out of the shape"
        )


def interface_features(problem: "Problem", point: Float[Array, " d"]) -> list[Array]:
    """What networks see of interfaces: folds and, where the solution jumps, the side."""
    if not problem.subdomains:
        return []
    out: dict[str, Array] = {}
    for condition in problem.conditions():
        if isinstance(condition, Interface):
            for part in chosen(problem, condition.on):
                out[f"fold {part.name}"] = part.fold(point)
                if condition.jump is not None:
                    out[f"side {part.name}"] = part.indicator(point[None])[0].astype(point.dtype)
    return list(out.values())


def _subdomain(problem: "Problem", name: str, shape: Domain) -> Subdomain:
    domain, owner = problem.domain, f"{type(problem).__name__}: subdomain {name!r}"
    names = Names(domain.coordinates, domain.space, tuple(problem.unknowns))
    word = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
    if not word or parse_name(name, names, boundary=True) is not None:
        raise ValueError(
            f"{owner} has no name for an argument, or one that means something already; choose "
            "another"
        )
    if not isinstance(shape, Domain):
        raise ValueError(f"{owner} must be a shape, such as Interval(x=(0, 1)), got {shape!r}")
    for coordinate in shape.coordinates:
        if coordinate not in domain.space:
            raise ValueError(
                f"{owner} has the coordinate {coordinate!r}, which is not in space; there are "
                f"{', '.join(domain.space)}"
            )
    if fault := _fault(shape):
        raise ValueError(f"{owner}: {fault}")
    return Subdomain(name, shape, tuple(domain.coordinates.index(c) for c in shape.coordinates))


@functools.cache
def _fault(shape: Domain) -> str:
    """Why a shape has no level set; empty where it has one."""
    try:
        jax.eval_shape(shape.level, jax.ShapeDtypeStruct((len(shape.coordinates),), np.float32))
    except ValueError as error:
        return str(error)
    return ""
