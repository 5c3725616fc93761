"""Everything that must vanish, in one form: an equation by names, and the region of points where it holds."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import Signature, parse_names, parse_signature
from pinops.problem._conditions import (
    Dirichlet,
    Equation,
    Initial,
    Neumann,
    Observed,
    Periodic,
    Robin,
)
from pinops.problem._problem import Problem, by_unknown, names_of, residual_signature

INTERIOR = "interior"
INITIAL = "initial"


class Points(eqx.Module):
    """The points of one region: where they are, outward normals on a boundary, data given with them, and how much each
    counts in a mean over the region (weights of mean 1; None: all the same). ``fixed`` is what a field has computed for
    them beforehand; along ``directions`` the Laplacian is estimated (None: it is exact)."""

    at: Float[Array | np.ndarray, "n d"]
    normals: Float[Array | np.ndarray, "n s"] | None = None
    data: dict[str, Float[Array | np.ndarray, " n"]] = eqx.field(default_factory=dict)
    weights: Float[Array | np.ndarray, " n"] | None = None
    fixed: Any = None
    directions: Float[Array, "m d"] | None = None


@dataclass(frozen=True)
class Constraint:
    """An equation that must vanish in a region: ``name`` is its key in logs; "" where the function names several.

    ``linear``: the factors of a sum of named quantities minus data; None where the function is any other.
    """

    name: str
    region: str
    signature: Signature
    function: Callable[..., Any]
    linear: dict[str, Any] | None = None


def boundary_region(parts: tuple[str, ...]) -> str:
    """The name of a region of boundary parts."""
    return "boundary " + "+".join(parts)


def region_parts(region: str) -> tuple[str, ...] | None:
    """The boundary parts of a region, None for another kind of region."""
    return (
        tuple(region.removeprefix("boundary ").split("+"))
        if region.startswith("boundary ")
        else None
    )


def constraints(problem: Problem, soft: tuple[int, ...]) -> list[Constraint]:
    """The interior equation and the conditions numbered in ``soft``, each as a `Constraint`."""
    names = names_of(problem)
    out = [Constraint("", INTERIOR, residual_signature(problem), problem.residual)]
    everything = problem.conditions()
    for k in soft:
        condition = everything[k]
        owner = f"{type(problem).__name__}: {type(condition).__name__}"
        match condition:
            case Observed():
                for unknown in condition.values:
                    if unknown not in names.unknowns:
                        raise ValueError(
                            f"{owner}: there is no unknown {unknown!r}; the unknowns are {', '.join(names.unknowns)}"
                        )
                    signature = parse_names((unknown,), names, owner=owner)
                    function = _misfit(unknown)
                    out.append(
                        Constraint(
                            name=f"observed {unknown}",
                            region=f"observed {k}",
                            signature=signature,
                            function=function,
                            linear={unknown: 1.0},
                        )
                    )
            case Equation():
                region = boundary_region(problem.domain.select(condition.on))
                signature = parse_signature(condition.residual, names, owner=owner, boundary=True)
                label = f"equation {k} on {_label(condition.on)}"
                out.append(Constraint(label, region, signature, condition.residual))
            case Initial():
                assert problem.domain.time is not None
                pairs = [
                    (condition.value, "{0}"),
                    (condition.rates(), "{0}_" + problem.domain.time),
                ]
                for value, pattern in pairs:
                    if value is None:
                        continue
                    for unknown, data in by_unknown(
                        problem, value, condition.unknown, owner=owner
                    ).items():
                        quantity = pattern.format(unknown)
                        out.append(
                            _difference(
                                names, f"initial {quantity}", INITIAL, {quantity: 1.0}, data
                            )
                        )
            case Dirichlet() | Neumann() | Robin():
                region = boundary_region(problem.domain.select(condition.on))
                for unknown, data in by_unknown(
                    problem, condition.value, condition.unknown, owner=owner
                ).items():
                    weights = (
                        {unknown: 1.0}
                        if isinstance(condition, Dirichlet)
                        else {f"{unknown}_n": 1.0}
                    )
                    if isinstance(condition, Robin):
                        weights = {unknown: condition.alpha, f"{unknown}_n": condition.beta}
                    label = (
                        f"{type(condition).__name__.lower()} {unknown} on {_label(condition.on)}"
                    )
                    out.append(_difference(names, label, region, weights, data))
            case Periodic():
                raise AssertionError("a periodic condition is embedded, never soft")
    labels = [constraint.name for constraint in out]
    return [
        replace(c, name=f"{c.name} ({k})" if labels.count(c.name) > 1 else c.name)
        for k, c in enumerate(out)
    ]


def _label(on: Any) -> str:
    return "boundary" if on is None else on if isinstance(on, str) else "+".join(on)


def _misfit(unknown: str) -> Callable[..., Any]:
    return lambda **values: values[unknown] - values[f"observed_{unknown}"]


def _difference(
    names, label: str, region: str, weights: dict[str, Any], data: Callable[[Any], Any]
) -> Constraint:
    """``sum of weight * quantity - data(point)``."""

    def function(point, **quantities):
        return sum(weights[name] * value for name, value in quantities.items()) - data(point)

    signature = parse_names(("point", *weights), names, owner=label, boundary=True)
    return Constraint(label, region, signature, function, weights)
