"""Equations written for one point, called at all points."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pinops._numbers import real
from pinops.derivatives._guard import guarded, signature_of

T = TypeVar("T")


def number(value: T, *, owner: str, what: str, remedy: str) -> T:
    """What a user's function gives at one point, checked to be one real number.

    Args:
        value: What it returned.
        owner: Whose function it is.
        what: The name of the value in the sentence.
        remedy: What to return instead.

    Returns:
        The value itself.

    Raises:
        ValueError: For anything else: None, a string, an array with axes, a complex number.
    """
    if not isinstance(value, Array | np.ndarray | np.generic | float | int | complex):
        shown = f"{value}, of type {type(value).__name__},"
        if value is None or isinstance(value, tuple | list):
            shown = "None" if value is None else f"a {type(value).__name__} of {len(value)}"
        raise ValueError(f"{owner}: {what} returned {shown} at one point; {remedy}")
    if np.shape(value) != ():
        raise ValueError(
            f"{owner}: {what} returned an array of shape {np.shape(value)} at one point; {remedy}"
        )
    return real(value, f"{owner}: {what}")


def apply_pointwise(
    function: Callable[..., Any], values: Mapping[str, Array], *, owner: str
) -> dict[str, Array]:
    """Evaluate an equation written for one point at all points.

    Args:
        function: The equation, of the values at one point.
        values: By name of the argument, ``(n, ...)``.
        owner: Whose equation it is, the beginning of every sentence.

    Returns:
        ``{equation name: (n,)}``, "" for a single scalar.

    Raises:
        ValueError: When it does not return one scalar, or a dict of named scalars, and with what
            it raised.
    """
    remedy = "return one scalar, or a dict of named scalars for a system"
    if not values:
        raise ValueError(f"{owner}: it takes no arguments; name the quantities that it relates")
    by_position = [
        name
        for name, parameter in signature_of(function, owner=owner).parameters.items()
        if parameter.kind is parameter.POSITIONAL_ONLY
    ]

    def at_point(values: Mapping[str, Array]) -> dict[str, Array]:
        named = {name: value for name, value in values.items() if name not in by_position}
        out = guarded(function, *(values[name] for name in by_position), owner=owner, named=named)
        out = dict(out) if isinstance(out, Mapping) else {"": out}
        if not out:
            raise ValueError(f"{owner}: it returned no equation, an empty dict; {remedy}")
        arrays: dict[str, Array] = {}
        for name, value in out.items():
            if not isinstance(name, str):
                raise ValueError(f"{owner}: equations are named by texts, got {name!r}; {remedy}")
            what = f"equation {name!r}" if name else "the equation"
            array = jnp.asarray(number(value, owner=owner, what=what, remedy=remedy))
            if array.dtype == bool:
                raise ValueError(
                    f"{owner}: {what} returned a truth value at one point, such as u == 0 gives; "
                    "return what must vanish, left minus right side"
                )
            inexact = jnp.issubdtype(array.dtype, jnp.inexact)
            arrays[name] = array if inexact else array.astype(jnp.result_type(float))
        return arrays

    return jax.vmap(at_point)(dict(values))
