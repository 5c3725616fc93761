"""From the argument names of a residual to the partial derivatives that it needs.

``def residual(self, u, u_t, u_xx, x)`` asks for the value of ``u``, two of its partial derivatives
and the coordinate ``x``.  Two more instances: ``lap_u`` is the Laplacian over the spatial
coordinates, ``u_n`` on a boundary the outward normal derivative.
Names are parsed once, from the signature; nothing is inferred by running the function.
"""

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from pinops.derivatives._guard import guarded, signature_of
from pinops.derivatives._integrated import Elsewhere, Integrated
from pinops.derivatives._taylor import LAPLACIAN, Index, Jet, Plan

T = TypeVar("T")

MAX_ORDER = 4


@runtime_checkable
class Part(Protocol):
    """A part of the domain."""

    @property
    def name(self) -> str:
        """How equations call it."""
        ...

    def indicator(self, points: Float[Array, "n d"]) -> Float[Array, " n"]:
        """1 at points inside, 0 elsewhere."""
        ...


@dataclass(frozen=True)
class Names:
    """What may be named: coordinates in order, those that are space, unknowns in order, parts of
    the domain, and integrals.
    """

    coordinates: tuple[str, ...]
    space: tuple[str, ...]
    unknowns: tuple[str, ...]
    subdomains: tuple["Part", ...] = ()
    integrals: Mapping[str, Integrated] = field(default_factory=dict, compare=False, kw_only=True)

    @property
    def space_axes(self) -> tuple[int, ...]:
        numbers = {name: axis for axis, name in enumerate(self.coordinates)}
        return tuple(numbers[name] for name in self.space)

    def available(self, *, boundary: bool) -> str:
        """The sentence that an error shows."""
        u, c = self.unknowns[0], self.coordinates[0]
        normal = f", {u}_n (outward normal derivative), normal" if boundary else ""
        second = c + c if len(c) == 1 else c + "_" + c
        others = [
            f"the {what} {_listed(names)}; "
            for what, names in (
                ("integrals", list(self.integrals)),
                ("subdomains", [part.name for part in self.subdomains]),
            )
            if names
        ]
        return (
            f"available are the unknowns {', '.join(self.unknowns)}; their partial derivatives up "
            f"to order {MAX_ORDER} such as {u}_{c}, {u}_{second}{normal}, lap_{u}, grad_{u}; "
            f"{''.join(others)}the coordinates {_listed(self.coordinates)}; and point"
        )


def _listed(names: Sequence[str]) -> str:
    """All of them, or of very many the ends."""
    return ", ".join(names if len(names) <= 12 else (*names[:3], "...", names[-1]))


@dataclass(frozen=True)
class Partial:
    """A partial derivative of one unknown (or its value, for the empty index)."""

    component: int
    index: Index


@dataclass(frozen=True)
class Laplacian:
    component: int


@dataclass(frozen=True)
class Gradient:
    component: int


@dataclass(frozen=True)
class Normal:
    component: int


@dataclass(frozen=True)
class Coordinate:
    axis: int


@dataclass(frozen=True)
class Point:
    pass


@dataclass(frozen=True)
class NormalVector:
    pass


@dataclass(frozen=True)
class Indicator:
    """1 in a subdomain, 0 elsewhere."""

    number: int


Argument = (
    Partial
    | Laplacian
    | Gradient
    | Normal
    | Coordinate
    | Point
    | NormalVector
    | Indicator
    | Integrated
)


def _derivative_index(suffix: str, coordinates: Sequence[str]) -> Index | None:
    """``"xx"`` -> (0, 0); longer coordinate names are separated: ``"r_theta"`` -> (0, 1)."""
    index: list[int] = []
    for token in suffix.split("_"):
        letters = [token] if token in coordinates else list(token)
        if not letters or any(letter not in coordinates for letter in letters):
            return None
        index += [coordinates.index(letter) for letter in letters]
    return tuple(sorted(index))


def parse_name(name: str, names: Names, *, boundary: bool = False) -> Argument | None:
    """What one argument name means, or None when it means nothing here."""
    if name in names.unknowns:
        return Partial(names.unknowns.index(name), ())
    if name in names.integrals:
        return names.integrals[name]
    if name in names.coordinates:
        return Coordinate(names.coordinates.index(name))
    for number, part in enumerate(names.subdomains):
        if name == part.name:
            return Indicator(number)
    if name == "point":
        return Point()
    if name == "normal" and boundary:
        return NormalVector()
    for prefix, kind in (("lap_", Laplacian), ("grad_", Gradient)):
        if name.startswith(prefix) and name[len(prefix) :] in names.unknowns:
            return kind(names.unknowns.index(name[len(prefix) :]))
    for unknown in sorted(names.unknowns, key=len, reverse=True):
        if name.startswith(unknown + "_"):
            suffix = name[len(unknown) + 1 :]
            component = names.unknowns.index(unknown)
            if suffix == "n" and boundary and "n" not in names.coordinates:
                return Normal(component)
            index = _derivative_index(suffix, names.coordinates)
            if index is not None and len(index) <= MAX_ORDER:
                return Partial(component, index)
    return None


@dataclass(frozen=True)
class Signature:
    """The parsed argument names of an equation, in order."""

    names: Names
    arguments: tuple[tuple[str, Argument], ...]

    @property
    def plan(self) -> Plan:
        """All partial derivatives that the arguments need."""
        indices: list[Index] = [()]
        laplacian: tuple[int, ...] = ()
        for _, argument in self.arguments:
            if isinstance(argument, Partial):
                indices.append(argument.index)
            elif isinstance(argument, Laplacian):
                laplacian = self.names.space_axes
            elif isinstance(argument, Gradient | Normal):
                indices += [(axis,) for axis in self.names.space_axes]
        out = Plan(indices, laplacian)
        for _, argument in self.arguments:
            out = out.union(argument.plan) if isinstance(argument, Integrated) else out
        return out

    @property
    def count(self) -> int:
        """At how many points the solution is evaluated for each point of the equation."""
        return 1 + sum(a.count for _, a in self.arguments if isinstance(a, Integrated))

    def gather(
        self,
        jet: Jet,
        points: Float[Array, "n d"],
        normals: Float[Array, "n s"] | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> dict[str, Array]:
        """The value of every argument at every point.

        Args:
            jet: The solution at the points.
            points: Where they are.
            normals: Outward unit normals, which arguments on a boundary may need.
            elsewhere: The solution at other points, which integrals need.

        Returns:
            By name ``(n,)``; ``(n, s)`` for gradients and normals, ``(n, d)`` for ``point``.
        """
        n = points.shape[0]
        components = jet[()].shape[-1]

        def stream(index: Index, component: int) -> Array:
            if index not in jet:
                return jnp.zeros(n, points.dtype)
            return jnp.broadcast_to(jet[index], (n, components))[:, component]

        def gradient(component: int) -> Array:
            return jnp.stack([stream((axis,), component) for axis in self.names.space_axes], -1)

        values: dict[str, Array] = {}
        for name, argument in self.arguments:
            match argument:
                case Partial(component, index):
                    values[name] = stream(index, component)
                case Laplacian(component):
                    values[name] = stream(LAPLACIAN, component)
                case Gradient(component):
                    values[name] = gradient(component)
                case Normal(component):
                    assert normals is not None
                    values[name] = jnp.sum(gradient(component) * normals, -1)
                case Coordinate(axis):
                    values[name] = points[:, axis]
                case Point():
                    values[name] = points
                case NormalVector():
                    assert normals is not None
                    values[name] = normals
                case Indicator(number):
                    values[name] = self.names.subdomains[number].indicator(points)
                case Integrated():
                    assert elsewhere is not None
                    values[name] = argument.values(jet, points, elsewhere)
        return values


def arguments_of(function: Callable[..., Any], *, owner: str) -> list[str]:
    """The argument names of an equation, in order.

    Args:
        function: An equation, whose argument names are quantities.
        owner: Whose equation it is, the beginning of every sentence.

    Raises:
        ValueError: For ``*args`` or ``**kwargs``, and if it is not a function.
    """
    parameters = signature_of(function, owner=owner).parameters.values()
    _check_kinds(parameters, owner)
    return [parameter.name for parameter in parameters]


def parse_signature(
    function: Callable[..., Any], names: Names, *, owner: str, boundary: bool = False
) -> Signature:
    """Read the plan from the argument names of a function.

    Args:
        function: An equation, whose argument names are quantities.
        names: What may be named.
        owner: Whose equation it is, the beginning of every sentence.
        boundary: Whether the normal, and derivatives along it, may be named too.

    Raises:
        ValueError: For an argument that names nothing (listing what is available), for ``*args``
            or ``**kwargs``, and if it is not a function.
    """
    arguments = arguments_of(function, owner=owner)
    return parse_names(arguments, names, owner=owner, boundary=boundary)


def _check_kinds(parameters: Iterable[inspect.Parameter], owner: str) -> None:
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(
                f"{owner}: the argument *{parameter.name} has no meaning; name the quantities one "
                "by one"
            )


def parse_names(
    arguments: Sequence[str], names: Names, *, owner: str, boundary: bool = False
) -> Signature:
    """What a list of argument names means.

    Raises:
        ValueError: For a name that means nothing, listing what is available.
    """
    parsed: list[tuple[str, Argument]] = []
    for name in arguments:
        argument = parse_name(name, names, boundary=boundary)
        if argument is None:
            near = difflib.get_close_matches(
                name,
                [
                    *names.unknowns,
                    *names.integrals,
                    *names.coordinates,
                    *(part.name for part in names.subdomains),
                    "point",
                ],
                1,
            )
            hint = f" (did you mean {near[0]}?)" if near else ""
            available = names.available(boundary=boundary)
            raise ValueError(f"{owner}: the argument {name!r} names nothing{hint}; {available}")
        parsed.append((name, argument))
    return Signature(names, tuple(parsed))


def call_by_name(function: Callable[..., Any], values: Mapping[str, Any], *, owner: str) -> Any:
    """Call a function, ``lambda x, t: ...`` or ``jnp.sin``, with the quantities that it names.

    Args:
        function: The user's function.
        values: What may be named; only what is named is looked up.
        owner: Whose function it is, the beginning of every sentence.

    Returns:
        What the function returns.

    Raises:
        ValueError: For an argument that names nothing, and with what the function itself raised.
    """
    wanted = signature_of(function, owner=owner).parameters
    _check_kinds(wanted.values(), owner)
    missing = [name for name in wanted if name not in values]
    if missing:
        raise ValueError(
            f"{owner}: the argument {missing[0]!r} names nothing; available are "
            f"{_listed(tuple(values))}"
        )
    by_position = [
        name for name, parameter in wanted.items() if parameter.kind is parameter.POSITIONAL_ONLY
    ]
    by_name = {name: values[name] for name in wanted if name not in by_position}
    return guarded(function, *(values[name] for name in by_position), owner=owner, named=by_name)


def taking(function: Callable[..., T], names: Iterable[str]) -> Callable[..., T]:
    """A function of ``**values`` whose signature says which names it takes.

    Args:
        function: Takes keywords; its signature is set.
        names: Of them, in order.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature([inspect.Parameter(name, keyword) for name in names])
    function.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    return function
