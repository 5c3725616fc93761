"""Integrals of the unknowns: over the domain, a part of it, or up to the point.

A problem declares them by name, and its equations name them like any other quantity. Two instances:
``po.Integral(lambda u: u, over="x")`` is the mass at every instant, and
``po.Integral(lambda u, t, at_t: jnp.exp(t - at_t) * u, over="t", upper=lambda t: t)`` the memory of
a Volterra equation. The nodes of the quadrature follow from the point where the equation holds, so
that nothing has to be carried along with collocation points.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives import (
    Coordinate,
    Elsewhere,
    Integrated,
    Jet,
    Names,
    Plan,
    Point,
    Signature,
    apply_pointwise,
    arguments_of,
    call_by_name,
    guarded,
    number,
    parse_name,
    parse_names,
)
from pinops.problem._conditions import listed
from pinops.settings import Whole, require

if TYPE_CHECKING:
    from pinops.problem._problem import Problem

AT = "at_"  # before the name of a quantity at the point where the equation holds


class Integral(eqx.Module):
    """An integral over coordinates, at every point of an equation, by Gauss-Legendre quadrature.

    At a point (x, t) an integral over x runs along x at the same t.

    Args:
        integrand: A function of quantities by name, those of a residual, where it is integrated;
            with ``at_`` before the name, as in ``at_x`` and ``at_u``, a quantity at the point where
            the equation holds. It returns one number.
        over: A coordinate that is an interval of the domain, or several.
        lower: Where it begins: a number, or a function of the coordinates of the point, of whose
            values only the part within the domain counts; None: where the interval does. Over
            several coordinates it is a dict by coordinate.
        upper: Where it ends, as ``lower``: ``lambda t: t`` integrates up to the point.
        breaks: Where the integrand has a kink or a jump, as ``lower``, or a tuple of these:
            ``lambda x: x`` for a kernel with a kink at the point. The quadrature is composed of the
            parts between.
        nodes: The number of quadrature points of each part and coordinate, 1 to 1000: polynomials
            of degree ``2 nodes - 1`` are integrated exactly. Each costs as much as a collocation
            point, unless the integral is over all coordinates between numbers, which is at the same
            places for all points.

    Raises:
        ValueError: For a number of nodes out of range.

    Example:
        >>> mass = po.Integral(lambda u: u, over="x")
    """

    integrand: Callable[..., Any]
    over: str | tuple[str, ...] = eqx.field(static=True)
    lower: Any = eqx.field(default=None, kw_only=True)
    upper: Any = eqx.field(default=None, kw_only=True)
    breaks: Any = eqx.field(default=None, kw_only=True)
    nodes: int = eqx.field(static=True, default=32, kw_only=True)

    def __check_init__(self):
        require("Integral", "nodes", self.nodes, Whole(1, 1000))
        names = (self.over,) if isinstance(self.over, str) else self.over
        if not isinstance(names, tuple | list) or not all(isinstance(n, str) for n in names):
            raise ValueError(
                f"Integral: over must be the name of a coordinate, or a tuple of them, got "
                f"{self.over!r}"
            )

    @property
    def axes(self) -> tuple[str, ...]:
        """The coordinates over which it is."""
        return (self.over,) if isinstance(self.over, str) else tuple(self.over)


def integrals_of(problem: "Problem", names: Names) -> dict[str, "Quadrature"]:
    """The integrals that a problem declares, by name.

    Args:
        problem: Whose they are.
        names: What their integrands may name.

    Raises:
        ValueError: For what is no dict of integrals, a name that means something already, and a
            coordinate, limit or argument that the domain does not have.
    """
    owner = f"{type(problem).__name__}.integrals"
    declared = guarded(problem.integrals, owner=owner)
    if not isinstance(declared, Mapping):
        raise ValueError(
            f"{owner} must return a dict of integrals by name, got one {type(declared).__name__}"
        )
    for name, one in declared.items():
        if not isinstance(one, Integral):
            raise ValueError(f"{owner}: {name} must be a po.Integral, got {one!r}")
        if not str(name).isidentifier() or parse_name(name, names, boundary=True) is not None:
            raise ValueError(
                f"{owner}: {name!r} is no name for an integral, because it is no word of Python or "
                "means something already; choose another one"
            )
    bounds = {n: tuple(map(float, ends)) for n, ends in problem.domain.intervals.items()}
    return {name: _bound(one, names, bounds, f"{owner}: {name}") for name, one in declared.items()}


def _bound(integral: Integral, names: Names, bounds: Mapping[str, Any], owner: str) -> "Quadrature":
    for axis in integral.axes:
        if axis not in bounds:
            raise ValueError(
                f"{owner}: {axis!r} is no coordinate that is an interval of the domain; these are "
                f"{', '.join(bounds) or 'none'}"
            )
    if not integral.axes or len(set(integral.axes)) < len(integral.axes):
        raise ValueError(f"{owner}: over must name each coordinate once, got {integral.over!r}")
    arguments = arguments_of(integral.integrand, owner=owner)
    if not arguments:
        raise ValueError(f"{owner}: the integrand names nothing; {names.available(boundary=False)}")
    inner = [name for name in arguments if not name.startswith(AT)]
    outer = [name.removeprefix(AT) for name in arguments if name.startswith(AT)]
    out = Quadrature(
        integral=integral,
        owner=owner,
        bounds={axis: bounds[axis] for axis in integral.axes},
        inner=parse_names(inner, names, owner=owner),
        outer=parse_names(outer, names, owner=f"{owner}, {AT}"),
    )
    out.check()
    return out


def expanded(signature: Signature) -> list[tuple[str, Any]]:
    """The arguments of an equation, and in the place of an integral what its integrand names.

    Their names begin with that of the integral and a space, as `with_integrals` reads them.
    """
    out: list[tuple[str, Any]] = []
    for name, argument in signature.arguments:
        if isinstance(argument, Quadrature):
            out.append((f"{name} point", Point()))
            out += [(f"{name} {quantity}", what) for quantity, what in argument.quantities]
        else:
            out.append((name, argument))
    return out


def with_integrals(values: Mapping[str, Array], names: Names) -> dict[str, Array]:
    """The arguments of an equation, from the values at every point of those that are `expanded`.

    What an integrand names is the same along all its nodes.
    """
    out = {name: value for name, value in values.items() if " " not in name}
    for name, integral in names.integrals.items():
        given = {
            key.removeprefix(f"{name} "): value
            for key, value in values.items()
            if key.startswith(f"{name} ")
        }
        if given:
            assert isinstance(integral, Quadrature)
            out[name] = integral.along(given.pop("point"), given)
    return out


@dataclass(frozen=True, eq=False)
class Quadrature(Integrated):
    """An integral of a problem.

    Args:
        integral: What is declared.
        owner: Whose it is, the beginning of every sentence.
        bounds: The interval of each coordinate over which it is.
        inner: What the integrand names where it is integrated.
        outer: What it names at the point where the equation holds, without ``at_``.
    """

    integral: Integral
    owner: str
    bounds: Mapping[str, tuple[float, float]]
    inner: Signature
    outer: Signature

    def __str__(self) -> str:
        """``"over x from 0 to a function of t, of u, x and at_x"``."""
        over = []
        for axis, ends in self.bounds.items():
            limits = (
                next(iter(self._given(what, axis)), end)
                for what, end in zip(("lower", "upper"), ends, strict=True)
            )
            over.append(f"{axis} from {' to '.join(map(_limit, limits))}")
        return f"over {listed(over)}, of {listed(arguments_of(self.integral.integrand, owner=''))}"

    @property
    def plan(self) -> Plan:
        return self.outer.plan

    @property
    def count(self) -> int:
        parts = [len(self._given("breaks", axis)) + 1 for axis in self.bounds]
        return math.prod(self.integral.nodes * part for part in parts)

    @property
    def quantities(self) -> Iterator[tuple[str, Any]]:
        """What the integrand names of the unknowns, and what each is."""
        for prefix, signature in (("", self.inner), (AT, self.outer)):
            for name, argument in signature.arguments:
                if not isinstance(argument, Coordinate | Point):
                    yield prefix + name, argument

    def check(self) -> None:
        """Raises ValueError for limits and breaks that are not of the coordinates."""
        for what in ("lower", "upper", "breaks"):
            given = getattr(self.integral, what)
            if len(self.bounds) > 1 and not isinstance(given, dict | None):
                raise ValueError(
                    f"{self.owner}: over several coordinates {what} is a dict by coordinate, got "
                    f"{given!r}"
                )
            for axis in given if isinstance(given, dict) else ():
                if axis not in self.bounds:
                    raise ValueError(
                        f"{self.owner}: {what} is given for {axis!r}, but the integral is over "
                        f"{', '.join(self.bounds)}"
                    )
            for axis in self.bounds:
                for place in self._given(what, axis):
                    self._check_place(what, axis, place)

    def _check_place(self, what: str, axis: str, place: Any) -> None:
        a_number = isinstance(place, int | float | np.ndarray | np.number | Array)
        if not callable(place) and (not a_number or isinstance(place, bool) or np.ndim(place) > 0):
            raise ValueError(
                f"{self.owner}: {what} must be a number or a function of the coordinates, such as "
                f"lambda {axis}: {axis}, got {place!r}"
            )
        low, high = self.bounds[axis]
        # A coefficient may take any value in a training.
        if what != "breaks" and isinstance(place, int | float) and not low <= place <= high:
            raise ValueError(
                f"{self.owner}: the limit {place} is not within {axis} from {low:g} to {high:g}; "
                "leave it out for the end of the interval"
            )

    def _given(self, what: str, axis: str) -> tuple[Any, ...]:
        """The limits, or breaks, along a coordinate that are not those of the domain."""
        given = getattr(self.integral, what)
        given = given.get(axis) if isinstance(given, dict) else given
        if given is None:
            return ()
        several = isinstance(given, tuple | list) or np.ndim(given) == 1
        return tuple(given) if what == "breaks" and several else (given,)

    def _edges(self, axis: str, points: Float[Array, "n d"]) -> Float[Array, "m k"]:
        """Where the parts along a coordinate begin and end; one row if it is so for all points."""
        low, high = self.bounds[axis]
        names = self.inner.names.coordinates
        remedy = "return one number"

        def at(place: Any) -> Float[Array, " m"]:
            if not callable(place):
                return jnp.clip(jnp.asarray(place, points.dtype), low, high)[None]

            def of(point: Array) -> Array:
                known = {**dict(zip(names, point, strict=True)), "point": point}
                value = call_by_name(place, known, owner=self.owner)
                number(value, owner=self.owner, what="a limit", remedy=remedy)
                return jnp.asarray(value, points.dtype)

            return jnp.clip(jax.vmap(of)(points), low, high)

        first, last = (
            at(next(iter(self._given(what, axis)), end))
            for what, end in (("lower", low), ("upper", high))
        )
        between = [at(place) for place in self._given("breaks", axis)]
        rows = max(len(each) for each in (first, last, *between))
        first, last, *between = (
            jnp.broadcast_to(each, (rows,)) for each in (first, last, *between)
        )
        if between:
            least, most = jnp.minimum(first, last), jnp.maximum(first, last)
            inside = [jnp.clip(each, least, most) for each in between]
            between = [*jnp.sort(jnp.stack(inside), axis=0)]
        return jnp.stack([first, *between, last], -1)

    def nodes(
        self, points: Float[Array, "n d"]
    ) -> tuple[Float[Array, "m q d"], Float[Array, "m q"]]:
        """The quadrature points of each point and their weights; m is 1 if all have the same."""
        places, weights = np.polynomial.legendre.leggauss(self.integral.nodes)
        places, weights = (jnp.asarray(each, points.dtype) for each in (places, weights))
        lines: dict[str, Array] = {}
        factors = jnp.ones((1, 1), points.dtype)
        for axis in self.bounds:
            edges = self._edges(axis, points)
            half, middle = jnp.diff(edges) / 2, (edges[:, 1:] + edges[:, :-1]) / 2
            along = middle[..., None] + half[..., None] * places[None, None]
            along, factor = (
                each.reshape(len(edges), -1)
                for each in (along, half[..., None] * weights[None, None])
            )
            before, more = factors.shape[1], factor.shape[1]
            lines = {name: jnp.repeat(line, more, 1) for name, line in lines.items()}
            lines[axis] = jnp.tile(along, (1, before))
            factors = _times(jnp.repeat(factors, more, 1), jnp.tile(factor, (1, before)))
        names = self.inner.names.coordinates
        same = set(names) == set(lines)
        shape = (len(factors) if same else len(points), factors.shape[1])
        columns = [
            jnp.broadcast_to(lines[name] if name in lines else points[:, k, None], shape)
            for k, name in enumerate(names)
        ]
        return jnp.stack(columns, -1), jnp.broadcast_to(factors, shape)

    def values(
        self, jet: Jet, points: Float[Array, "n d"], elsewhere: Elsewhere
    ) -> Float[Array, " n"]:
        nodes, weights = self.nodes(points)
        at = nodes.reshape(-1, nodes.shape[-1])
        inner = self.inner.gather(elsewhere(at, self.inner.plan), at)
        outer = self.outer.gather(jet, points)
        return self._sum(
            {name: value.reshape(*weights.shape, *value.shape[1:]) for name, value in inner.items()}
            | {AT + name: value[:, None] for name, value in outer.items()},
            weights,
            len(points),
        )

    def along(
        self, points: Float[Array, "n d"], given: Mapping[str, Float[Array, "..."]]
    ) -> Float[Array, " n"]:
        """The integral at every point for `quantities`, ``(n, ...)``, the same along all nodes."""
        nodes, weights = self.nodes(points)
        values = {name: array[:, None] for name, array in given.items()}
        for prefix, signature, at in ((AT, self.outer, points[:, None]), ("", self.inner, nodes)):
            for name, argument in signature.arguments:
                if isinstance(argument, Coordinate):
                    values[prefix + name] = at[..., argument.axis]
                elif isinstance(argument, Point):
                    values[prefix + name] = at
        return self._sum(values, weights, len(points))

    def _sum(
        self, values: Mapping[str, Float[Array, "..."]], weights: Float[Array, "m q"], count: int
    ) -> Float[Array, " n"]:
        """The weighted sum of the integrand over the nodes, for ``count`` points."""
        rows = max(len(weights), *(len(value) for value in values.values()))
        shape = (rows, weights.shape[1])
        flat = {
            name: jnp.broadcast_to(value, (*shape, *value.shape[2:])).reshape(-1, *value.shape[2:])
            for name, value in values.items()
        }
        found = apply_pointwise(self.integral.integrand, flat, owner=self.owner)
        if found.keys() != {""}:
            raise ValueError(
                f"{self.owner}: the integrand returned a dict of {', '.join(found)}; an integral "
                "is one number, so declare one for each"
            )
        terms = found[""].reshape(shape) * jnp.broadcast_to(weights, shape)
        return jnp.broadcast_to(jnp.sum(terms, 1), (count,))


def _limit(place: Any) -> str:
    """A limit in words."""
    if callable(place):
        return f"a function of {listed(arguments_of(place, owner=''))}"
    return f"{place:g}" if isinstance(place, int | float) else "a coefficient"


def _times(a: Float[Array, "m q"], b: Float[Array, "n q"]) -> Float[Array, "k q"]:
    """The product, of which either may have one row for all."""
    rows = max(len(a), len(b))
    return jnp.broadcast_to(a, (rows, a.shape[1])) * jnp.broadcast_to(b, (rows, b.shape[1]))
