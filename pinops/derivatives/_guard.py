"""Calling a user's function: what it raises becomes one sentence with owner, line and remedy.

Equations, data and conditions are ordinary Python that JAX traces.  Two instances of what users
meet: ``if u > 0`` has no answer for a traced value (``jnp.where`` has), and ``np.sin(u)`` asks for
numbers that are not there yet (``jnp.sin`` does not).
"""

import inspect
import linecache
import os
import traceback
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import jax
import numpy as np

# Whose lines are not the user's: what these packages raise is shown at the line that called them.
_LIBRARIES = {
    *("jax", "jaxlib", "numpy", "equinox", "jaxtyping", "beartype", "optax", "flax", "scipy"),
    *("functools", "contextlib", "typing", "inspect", "dataclasses", "math", "abc"),
}

_BRANCH = (
    "a value that JAX traces decides an if, and, or, not, min, max or a loop; "
    "use jnp.where(condition, a, b) or jax.lax.cond"
)
_NUMPY = "NumPy is called with a value that JAX traces; use jax.numpy, such as jnp.sin for np.sin"
_PYTHON = (
    "a Python number (float, int, round, math.sin, np.array) is made of a value that JAX traces; "
    "leave the value as it is, or use jax.numpy, such as jnp.sin for math.sin"
)
_INDEX = (
    "a value that JAX traces is an index, a length or a count; use jnp.take or jnp.where, or make "
    "a setting of it (po.whole) that is known beforehand"
)
_IN_PLACE = "an array of JAX is changed in place; use x = x.at[index].set(value)"
_SHAPE = "a selection by a condition has a length that is not known; use jnp.where(condition, a, b)"
_LEAK = (
    "a value that JAX traced was kept (in an attribute, a global or a cache) and used later; "
    "compute it anew in each call"
)


def signature_of(function: Callable[..., Any], *, owner: str) -> inspect.Signature:
    """The arguments of a user's function.

    Raises:
        ValueError: For what is no function, or does not say its arguments (those of NumPy).
    """
    if isinstance(function, np.ufunc):
        name = function.__name__
        raise ValueError(f"{owner}: np.{name} is a function of NumPy; use jnp.{name} of jax.numpy")
    if not callable(function):
        raise ValueError(f"{owner}: it must be a function, got {function!r}")
    try:
        return inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{owner}: {function!r} does not say its arguments; wrap it, such as lambda x: f(x)"
        ) from error


def guarded(
    function: Callable[..., Any],
    *arguments: Any,
    owner: str,
    named: Mapping[str, Any] | None = None,
) -> Any:
    """What a user's function returns.

    Args:
        function: The user's function.
        *arguments: By position.
        owner: Whose function it is, the beginning of the sentence.
        named: Arguments by name.

    Raises:
        ValueError: With what the function raised, its line, and the remedy where there is one. A
            sentence of this package passes as it is.
    """
    try:
        return function(*arguments, **(named or {}))
    except Exception as error:
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        if isinstance(error, ValueError) and _module(frames[-1]) == "pinops":
            raise
        raise ValueError(f"{owner}: {_reason(error)}{_place(frames)}") from error


def _reason(error: Exception) -> str:
    """What was wrong and what to write instead, without the vocabulary of JAX."""
    errors, text = jax.errors, str(error)
    # The more special classes first: most of these are ConcretizationTypeErrors too.
    for kind, sentence in (
        (errors.TracerBoolConversionError, _BRANCH),
        (errors.TracerArrayConversionError, _NUMPY),
        (errors.TracerIntegerConversionError, _INDEX),
        (errors.NonConcreteBooleanIndexError, _SHAPE),
        (errors.ConcretizationTypeError, _PYTHON),
        (errors.UnexpectedTracerError, _LEAK),
    ):
        if isinstance(error, kind):
            return sentence
    if isinstance(error, TypeError) and "item assignment" in text:
        return _IN_PLACE
    if isinstance(error, TypeError) and "ufunc" in text and "Tracer" in text:
        return _NUMPY
    first = (text.splitlines() or [""])[0]
    return f"it raised {type(error).__name__}: {first}"


def _place(frames: list[FrameType]) -> str:
    """The last line of the user's own code, nothing where there is none."""
    for frame in reversed(frames):
        file = frame.f_code.co_filename
        if _module(frame) in _LIBRARIES | {"pinops"} or file.startswith("<frozen"):
            continue
        source = linecache.getline(file, frame.f_lineno).strip()
        near = os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file
        return f" ({near}:{frame.f_lineno}{f': {source}' if source else ''})"
    return ""


def _module(frame: FrameType) -> str:
    """The package of a frame; problem files, the catalogue too, are a user's code."""
    name = str(frame.f_globals.get("__name__", ""))
    return name if name.startswith("pinops.problems") else name.split(".")[0]
