"""What an `Interface` asks for, as functions of the pairs of values on its two sides."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from pinops.derivatives import Signature, call_by_name, number, parse_names, parse_signature
from pinops.geometry import Cube, sample_interface
from pinops.problem._conditions import Interface
from pinops.problem._problem import Problem, at_point, names_of
from pinops.problem._subdomains import chosen

FLUX = "flux"  # what a single one is called
_ROUNDING = 100.0  # a point is so many roundings off the interface, on the side that is meant

Across = tuple[str, Signature, Callable[..., Any], dict[str, Any] | None]


def across(problem: Problem, condition: Interface, owner: str) -> Iterator[Across]:
    """The balance of fluxes and, where the solution jumps, that of every unknown: what each is
    called, its signature and function, and its factors where it is linear.
    """
    names = names_of(problem)
    signature = parse_signature(condition.flux, names, owner=owner, boundary=True)
    wanted = [name for name, _ in signature.arguments]

    def sides(values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The fluxes on the inner and on the outer side, a single one without a name."""
        found = []
        for side in (0, 1):
            here = {name: values[name][side] for name in wanted}
            out = call_by_name(condition.flux, here, owner=owner)
            found.append(dict(out) if isinstance(out, Mapping) else {"": out})
        if shared := [name for name in found[0] if name in names.coordinates]:
            raise ValueError(
                f"{owner}: a flux is called {shared[0]!r} like a coordinate; choose another name"
            )
        return found

    def balance(**values: Any) -> Any:
        inner, outer = sides(values)
        source = condition.source
        if isinstance(source, dict) and (strange := [name for name in source if name not in inner]):
            there = ", ".join(inner) or "one without a name"
            raise ValueError(f"{owner}: source has no flux {strange[0]!r}; there are {there}")
        parts = {
            name: source.get(name, 0.0) if isinstance(source, dict) else source for name in inner
        }
        point = values["point"][0]
        return {
            name: outer[name] - inner[name] - at_point(problem, parts[name], owner=owner)(point)
            for name in inner
        }

    def also(*more: str) -> Signature:
        every = tuple(dict.fromkeys([*more, *wanted]))
        return parse_names(every, names, owner=owner, boundary=True)

    yield FLUX, also("point"), balance, None
    if condition.jump is None:
        return
    jumps = condition.jump
    if isinstance(jumps, dict) and (strange := [u for u in jumps if u not in names.unknowns]):
        raise ValueError(
            f"{owner}: there is no unknown {strange[0]!r}; the unknowns are "
            f"{', '.join(names.unknowns)}"
        )
    for unknown in names.unknowns:
        given = jumps.get(unknown, 0.0) if isinstance(jumps, dict) else jumps

        def jump(unknown: str = unknown, given: Any = given, **values: Any) -> Any:
            size = given
            if callable(given):
                at = dict(zip(names.coordinates, values["point"][0], strict=True))
                fluxes = {name or FLUX: value for name, value in sides(values)[0].items()}
                size = call_by_name(given, at | fluxes, owner=owner)
            number(size, owner=owner, what="the jump", remedy="return one number")
            return values[unknown][1] - values[unknown][0] - size

        yield f"jump {unknown}", also("point", unknown), jump, {unknown: 1.0}


def pairs(
    problem: Problem, parts: tuple[str, ...], cube: Cube, count: int, dtype: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points beside the surfaces of subdomains.

    Args:
        problem: Whose subdomains they are.
        parts: Their names.
        cube: Points of the unit cube.
        count: How many points, for all surfaces together.
        dtype: The type in which equations are evaluated: both sides must differ in it.

    Returns:
        The points on the inner sides, those on the outer sides, and the normals.
    """
    domain = problem.domain
    axes = [domain.coordinates.index(name) for name in domain.space]
    ends = np.array([domain.bounds[name] for name in domain.space])
    step = _ROUNDING * np.finfo(dtype).eps * (np.abs(ends).max() + np.ptp(ends, 1).max())
    inner, outer, normals = [], [], []
    for part in chosen(problem, parts):
        owner = f"{type(problem).__name__}: subdomain {part.name!r}"
        number = max(1, count // len(parts))
        at, normal = sample_interface(domain, part.shape, cube, number, owner=owner)
        for side, found in ((-step, inner), (step, outer)):
            moved = at.copy()
            moved[:, axes] += side * normal
            found.append(moved)
        normals.append(normal)
    return np.concatenate(inner), np.concatenate(outer), np.concatenate(normals)
