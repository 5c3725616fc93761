"""Everything that must vanish, in one form: an equation by names, and the points where it holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import (
    Laplacian,
    Names,
    Partial,
    Signature,
    call_by_name,
    number,
    parse_name,
    parse_names,
    parse_signature,
)
from pinops.geometry import TERMINAL, Domain
from pinops.problem._conditions import (
    Dirichlet,
    Equation,
    Initial,
    Interface,
    Neumann,
    Periodic,
    Robin,
)
from pinops.problem._interface import across
from pinops.problem._observed import Observed
from pinops.problem._problem import Problem, by_unknown, names_of, residual_signature
from pinops.problem._subdomains import chosen


@dataclass(frozen=True, order=True, repr=False)
class Region:
    """Where a term must vanish, and so what it is.

    Args:
        kind: "interior", "initial", "boundary", "interface", "observed" (points of an `Observed`),
            "data" (samples of a data set) or "auxiliary" (what a network's own loss asks for).
        parts: The boundary parts, or the subdomains that end there.
        condition: The number of the condition whose points they are; -1 for other kinds.
    """

    kind: str
    parts: tuple[str, ...] = ()
    condition: int = -1

    def __str__(self) -> str:
        number = [str(self.condition)] if self.condition >= 0 else []
        return " ".join([self.kind, *(["+".join(self.parts)] if self.parts else []), *number])

    def __repr__(self) -> str:
        return repr(str(self))  # the names of arrays in a checkpoint are made of it


INTERIOR = Region("interior")
INITIAL = Region("initial")


class Points(eqx.Module):
    """The points of one region.

    Args:
        at: Where they are.
        normals: Outward unit normals, on a boundary.
        data: What is given with them, by name.
        weights: How much each counts in a mean over the region, of mean 1; None: all the same.
        fixed: What a field has computed for them beforehand.
        directions: Along these the Laplacian is estimated; None: it is exact.
        across: The same points on the outer side of an interface, where ``at`` are on the inner.
    """

    at: Float[Array | np.ndarray, "n d"]
    normals: Float[Array | np.ndarray, "n s"] | None = None
    data: dict[str, Float[Array | np.ndarray, " n"]] = eqx.field(default_factory=dict)
    weights: Float[Array | np.ndarray, " n"] | None = None
    fixed: Any = None
    directions: Float[Array, "m d"] | None = None
    across: Float[Array | np.ndarray, "n d"] | None = None

    @property
    def sides(self) -> list[Float[Array, "n d"]]:
        """Where the field is evaluated: at the points, or on both sides of them."""
        return [jnp.asarray(one) for one in (self.at, self.across) if one is not None]


@dataclass(frozen=True)
class Constraint:
    """An equation that must vanish in a region.

    ``name`` is its key in logs; "" where the function names several. ``linear`` holds the factors
    of a sum of named quantities minus data; None where the function is any other. At an interface
    a function gets the pair of values on both sides of each quantity. ``observed`` is the name of
    the values that were observed; "" for all others.
    """

    name: str
    region: Region
    signature: Signature
    function: Callable[..., Any]
    linear: dict[str, Any] | None = None
    observed: str = ""


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
                for name in condition.values:
                    signature, quantity = observed_quantity(names, condition, name, owner=owner)
                    out.append(
                        Constraint(
                            name=f"observed {name}",
                            region=Region("observed", condition=k),
                            signature=signature,
                            function=_misfit(name, quantity, name in condition.noise),
                            linear=None if name in condition.quantities else {name: 1.0},
                            observed=name,
                        )
                    )
            case Equation():
                for parts, on in _pieces(problem.domain, condition.on):
                    signature = parse_signature(
                        condition.residual, names, owner=owner, boundary=parts != (TERMINAL,)
                    )
                    label, region = f"equation {k} on {on}", Region("boundary", parts)
                    out.append(Constraint(label, region, signature, condition.residual))
            case Interface():
                parts = tuple(part.name for part in chosen(problem, condition.on))
                region, on = Region("interface", parts), "+".join(parts)
                out += [
                    Constraint(f"{what} on {on}", region, signature, function, weights)
                    for what, signature, function, weights in across(problem, condition, owner)
                ]
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
                data_of = by_unknown(problem, condition.value, condition.unknown, owner=owner)
                for parts, on in _pieces(problem.domain, condition.on):
                    # At an instant the normal derivative is the one along time.
                    slope = "t" if parts == (TERMINAL,) else "n"
                    for unknown, data in data_of.items():
                        match condition:
                            case Dirichlet():
                                weights = {unknown: 1.0}
                            case Neumann():
                                weights = {f"{unknown}_{slope}": 1.0}
                            case Robin():
                                weights = {unknown: condition.alpha}
                                weights[f"{unknown}_{slope}"] = condition.beta
                        label = f"{type(condition).__name__.lower()} {unknown} on {on}"
                        region = Region("boundary", parts)
                        out.append(_difference(names, label, region, weights, data))
            case Periodic():
                raise AssertionError("a periodic condition is embedded, never soft")
    labels = [constraint.name for constraint in out]
    return [
        replace(c, name=f"{c.name} ({k})" if labels.count(c.name) > 1 else c.name)
        for k, c in enumerate(out)
    ]


def _pieces(domain: Domain, on: Any) -> list[tuple[tuple[str, ...], str]]:
    """What `on` selects, with its label: parts in space together, the last instant by itself."""
    parts = domain.select(on)
    surface = tuple(part for part in parts if part != TERMINAL)
    if surface == parts:
        return [(parts, _label(on))]
    return [(piece, "+".join(piece)) for piece in (surface, (TERMINAL,)) if piece]


def _label(on: Any) -> str:
    return "boundary" if on is None else on if isinstance(on, str) else "+".join(on)


def observed_quantity(
    names: Names, condition: Observed, name: str, *, owner: str
) -> tuple[Signature, Callable[[Mapping[str, Any]], Any]]:
    """What the values of a name are of: what it needs, and the number at one point.

    Args:
        names: The vocabulary of the problem.
        condition: The observations.
        name: Of the values.
        owner: The beginning of every sentence.

    Raises:
        ValueError: For a name that means nothing, or something else already.
    """
    meaning = parse_name(name, names)
    own = condition.quantities.get(name)
    if own is not None and meaning is not None:
        raise ValueError(
            f"{owner}: the quantity {name!r} is a name of the problem already; give its function "
            "another name"
        )
    if own is None and not isinstance(meaning, Partial | Laplacian):
        u, c = names.unknowns[0], names.coordinates[0]
        raise ValueError(
            f"{owner}: {name!r} is no unknown ({', '.join(names.unknowns)}), no partial derivative "
            f"such as {u}_{c}, and not lap_{u}; say what it is, quantities={{{name!r}: "
            f"lambda {u}: ...}}"
        )
    owner = f"{owner}, {name}"
    if own is None:
        return parse_names((name,), names, owner=owner), itemgetter(name)
    signature = parse_signature(own, names, owner=owner)
    remedy = "return one number"

    def quantity(values: Mapping[str, Any]) -> Any:
        given = call_by_name(own, values, owner=owner)
        return number(given, owner=owner, what="the quantity", remedy=remedy)

    return signature, quantity


def _misfit(
    name: str, quantity: Callable[[Mapping[str, Any]], Any], noisy: bool
) -> Callable[..., Any]:
    """The misfit of an observation, in standard deviations where the noise is known."""

    def misfit(**values: Any) -> Any:
        difference = quantity(values) - values[f"observed_{name}"]
        return difference / values[f"noise_{name}"] if noisy else difference

    return misfit


def _difference(
    names, label: str, region: Region, weights: dict[str, Any], data: Callable[[Any], Any]
) -> Constraint:
    """``sum of weight * quantity - data(point)``."""

    def function(point, **quantities):
        return sum(weights[name] * value for name, value in quantities.items()) - data(point)

    signature = parse_names(("point", *weights), names, owner=label, boundary=True)
    return Constraint(label, region, signature, function, weights)
