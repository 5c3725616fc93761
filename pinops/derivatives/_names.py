"""From the argument names of a residual to the partial derivatives that it needs.

``def residual(self, u, u_t, u_xx, x)`` asks for the value of ``u``, two of its partial derivatives and the coordinate ``x``.
Two more instances: ``lap_u`` is the Laplacian over the spatial coordinates, ``u_n`` on a boundary the outward normal derivative.
Names are parsed once, from the signature; nothing is inferred by running the function.
"""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.derivatives._taylor import LAPLACIAN, Index, Jet, Plan

MAX_ORDER = 4


@dataclass(frozen=True)
class Names:
    """What may be named: the coordinates in order, those of them that are space, and the unknowns in order."""

    coordinates: tuple[str, ...]
    space: tuple[str, ...]
    unknowns: tuple[str, ...]

    @property
    def space_axes(self) -> tuple[int, ...]:
        numbers = {name: axis for axis, name in enumerate(self.coordinates)}
        return tuple(numbers[name] for name in self.space)

    def available(self, *, boundary: bool) -> str:
        """The sentence that an error shows."""
        u, c = self.unknowns[0], self.coordinates[0]
        normal = f", {u}_n (outward normal derivative), normal" if boundary else ""
        return (
            f"available are the unknowns {', '.join(self.unknowns)}; their partial derivatives up to order {MAX_ORDER} such as "
            f"{u}_{c}, {u}_{c + c if len(c) == 1 else c + '_' + c}{normal}, lap_{u}, grad_{u}; "
            f"the coordinates {_listed(self.coordinates)}; and point"
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


Argument = Partial | Laplacian | Gradient | Normal | Coordinate | Point | NormalVector


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
    if name in names.coordinates:
        return Coordinate(names.coordinates.index(name))
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
        return Plan(indices, laplacian)

    def gather(
        self, jet: Jet, points: Float[Array, "n d"], normals: Float[Array, "n s"] | None = None
    ) -> dict[str, Array]:
        """The value of every argument at every point, ``(n,)`` each (``(n, s)`` for gradients, ``(n, d)`` for ``point``)."""
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
        return values


def parse_signature(
    function: Callable[..., Any], names: Names, *, owner: str, boundary: bool = False
) -> Signature:
    """Read the plan from the argument names of ``function``; ``owner`` names it in errors.

    Raises ValueError for an argument that names nothing (listing what is available) and for ``*args`` or ``**kwargs``.
    """
    parameters = inspect.signature(function).parameters.values()
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ValueError(
                f"{owner}: the argument *{parameter.name} has no meaning; name the quantities one by one"
            )
    return parse_names(
        [parameter.name for parameter in parameters], names, owner=owner, boundary=boundary
    )


def parse_names(
    arguments: Sequence[str], names: Names, *, owner: str, boundary: bool = False
) -> Signature:
    """What a list of argument names means. Raises ValueError for one that names nothing."""
    parsed: list[tuple[str, Argument]] = []
    for name in arguments:
        argument = parse_name(name, names, boundary=boundary)
        if argument is None:
            near = difflib.get_close_matches(
                name, [*names.unknowns, *names.coordinates, "point"], 1
            )
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(
                f"{owner}: the argument {name!r} names nothing{hint}; {names.available(boundary=boundary)}"
            )
        parsed.append((name, argument))
    return Signature(names, tuple(parsed))


def call_by_name(function: Callable[..., Any], values: Mapping[str, Any], *, owner: str) -> Any:
    """Call a function of coordinates, ``lambda x, t: ...`` or ``jnp.sin``, with those that it names.

    Raises ValueError for an argument that is no coordinate, and with what the function itself raised.
    """
    wanted = inspect.signature(function).parameters
    missing = [name for name in wanted if name not in values]
    if missing:
        raise ValueError(
            f"{owner}: the argument {missing[0]!r} names nothing; available are {_listed(tuple(values))}"
        )
    by_position = [
        name for name, parameter in wanted.items() if parameter.kind is parameter.POSITIONAL_ONLY
    ]
    by_name = {name: values[name] for name in wanted if name not in by_position}
    return _called(function, [values[name] for name in by_position], by_name, owner)


def _called(
    function: Callable[..., Any], arguments: Sequence[Any], named: Mapping[str, Any], owner: str
) -> Any:
    """What the user's function returns. Raises ValueError with what it raised, so that its owner is named."""
    try:
        return function(*arguments, **named)
    except ValueError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(f"{owner}: it raised {type(error).__name__}: {reason}") from error


def apply_pointwise(
    function: Callable[..., Any], values: Mapping[str, Array], *, owner: str
) -> dict[str, Array]:
    """Evaluate an equation written for one point at all points: ``{equation name: (n,)}``, "" for a single scalar.

    Raises ValueError when it does not return one scalar, or a dict of named scalars.
    """
    remedy = "return one scalar, or a dict of named scalars for a system"

    def at_point(values: Mapping[str, Array]) -> dict[str, Array]:
        out = _called(function, (), values, owner)
        out = dict(out) if isinstance(out, Mapping) else {"": out}
        if not out:
            raise ValueError(f"{owner}: it returned no equation, an empty dict; {remedy}")
        for name, value in out.items():
            what = f"equation {name!r}" if name else "the equation"
            if not isinstance(value, Array | np.ndarray | np.generic | float | int):
                kind = f"{value}, of type {type(value).__name__},"
                raise ValueError(f"{owner}: {what} returned {kind} at one point; {remedy}")
            shape = jnp.shape(value)
            if shape != ():
                raise ValueError(
                    f"{owner}: {what} returned an array of shape {shape} at one point; {remedy}"
                )
        return {name: jnp.asarray(value) for name, value in out.items()}

    return jax.vmap(at_point)(dict(values))
