"""Parts of the domain by name, and what a network sees of them.

A network of smooth functions cannot turn sharply where the material changes. So it also sees a
*fold* for each subdomain that has an `Interface`: its level set inside, zero outside. What it makes
of that is continuous, with a kink at the interface and smooth on either side.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
        ValueError: For a name that is one of something else, and for what is no shape in the
            problem's spatial coordinates.
    """
    return tuple(_subdomain(problem, name, shape) for name, shape in problem.subdomains.items())


def chosen(problem: "Problem", on: On) -> tuple[Subdomain, ...]:
    """The subdomains that an `Interface` is about.

    Raises:
        ValueError: For a name that is none.
    """
    found = {one.name: one for one in subdomains_of(problem)}
    names = tuple(found) if on is None else (on,) if isinstance(on, str) else on
    owner = f"{type(problem).__name__}: Interface"
    for name in names:
        if name not in found:
            declared = ", ".join(found) or "none"
            raise ValueError(f"{owner}: there is no subdomain {name!r}; declared are {declared}")
    if not names:
        raise ValueError(f"{owner} needs subdomains, such as subdomains = {{'core': Disk(...)}}")
    return tuple(found[name] for name in names)


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
    if name in (*domain.coordinates, *problem.unknowns, "point", "normal"):
        raise ValueError(f"{owner} has the name of something else; choose another")
    if not isinstance(shape, Domain):
        raise ValueError(
            f"{owner} must be a shape, such as Disk(x=0, y=0, radius=1), got {shape!r}"
        )
    for coordinate in shape.coordinates:
        if coordinate not in domain.space:
            raise ValueError(
                f"{owner} has the coordinate {coordinate!r}, which is not in space; there are "
                f"{', '.join(domain.space)}"
            )
    return Subdomain(name, shape, tuple(domain.coordinates.index(c) for c in shape.coordinates))
