"""What is put about the methods of a user's problem, once, where its class is made.

Two instances: ``exact`` called with numbers computes in double precision, and what ``conditions``
raises becomes one sentence.
"""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from pinops._numbers import real
from pinops.derivatives import guarded
from pinops.problem._condition import Condition
from pinops.problem._conditions import conditions_of

if TYPE_CHECKING:
    from pinops.problem._problem import Problem


def in_double(function: Callable[..., Any], *, skip: int = 0, owner: str) -> Callable[..., Any]:
    """A function of coordinates that computes in double precision where it is given numbers.

    Args:
        function: Written for JAX, which computes in single precision by default.
        skip: How many arguments in front are no coordinates (``self``).
        owner: What the sentence about a complex number begins with.

    Returns:
        The same function. Inside a transformation of JAX (a traced argument) nothing changes;
        otherwise the result is float64 of NumPy.
    """

    @functools.wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((arguments, named))):
            return function(*arguments, **named)
        with jax.ensure_compile_time_eval(), jax.enable_x64(True):
            given = [_coordinate(value, owner) for value in arguments[skip:]]
            by_name = {name: _coordinate(value, owner) for name, value in named.items()}
            out = function(*arguments[:skip], *given, **by_name)
            return jax.tree.map(lambda value: np.asarray(real(value, owner), np.float64), out)

    return called


def _coordinate(value: Any, owner: str) -> Any:
    return jnp.asarray(real(value, owner), np.float64)


def checked_conditions(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method ``conditions``, with `conditions_of` about every call."""

    @functools.wraps(method)
    def conditions(self: "Problem") -> tuple[Condition, ...]:
        return conditions_of(self, lambda: method(self))

    return conditions


def guarded_method(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a problem whose errors are one sentence and whose numbers are real."""

    @functools.wraps(method)
    def called(self: "Problem", *arguments: Any, **named: Any) -> Any:
        owner = f"{type(self).__name__}.{method.__name__}"
        out = guarded(method, self, *arguments, owner=owner, named=named)
        for leaf in jax.tree.leaves(out):
            real(leaf, owner)
        return out

    return called


def checked_coefficient(owner: str, value: Any, *, positive: bool) -> np.ndarray | None:
    """A coefficient in double precision; None for what is no number (a function) or traced.

    Raises:
        ValueError: For what is no finite real number, or not positive where it is declared so.
    """
    if isinstance(value, str):
        raise ValueError(f"{owner} must be a number, got {value!r}")
    real(value, owner)
    numbers = int | float | np.ndarray | np.generic | jax.Array | list | tuple
    if isinstance(value, Tracer | bool) or not isinstance(value, numbers):
        return None
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value)):
            return None
        raise ValueError(
            f"{owner} must be a number or an array of numbers, got {value!r}"
        ) from None
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{owner} must be finite, got {array}")
    if positive and not np.all(array > 0):
        raise ValueError(f"{owner} must be greater than zero, got {array}")
    return array
