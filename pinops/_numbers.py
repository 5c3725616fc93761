"""Numbers in and out: complex ones are refused wherever numbers are accepted, and JSON that others
read gets finite ones only.

Three instances: ``real(1 + 2j, "Heat: the coefficient k")`` is refused with the remedy,
``real(u, "Observed: u")`` is ``u``, and ``as_json({"loss": nan})`` is ``{"loss": null}``.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")

REMEDY = (
    "write the real and the imaginary part as two real ones (of a solution: two unknowns), "
    "or take np.real of what is real"
)


def is_complex(value: object) -> bool:
    """Whether a number, an array (traced or not) or a list of numbers is complex."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None:
        return np.issubdtype(dtype, np.complexfloating) if isinstance(dtype, np.dtype) else False
    if isinstance(value, list | tuple):
        return any(is_complex(one) for one in value)
    return isinstance(value, complex)


def real(value: T, owner: str) -> T:
    """The value itself, where it is not complex.

    Args:
        value: A number, an array or a list of numbers; anything else passes.
        owner: What the value is, the beginning of the sentence.

    Returns:
        ``value``, unchanged.

    Raises:
        ValueError: For complex numbers, also those whose imaginary part is zero: dropping it is
            the user's decision.
    """
    if is_complex(value):
        raise ValueError(
            f"{owner}: complex numbers are not supported, got {_shown(value)}; {REMEDY}"
        )
    return value


def as_json(value: Any) -> str:
    """JSON that every reader takes: null in place of numbers that are not finite.

    Args:
        value: Dictionaries, lists, strings and numbers.
    """
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _shown(value: object) -> str:
    """The number, the first one of an array, or what is known of a traced one."""
    try:
        array = np.asarray(value, complex)
    except Exception:  # a traced array has no values
        return f"an array of {getattr(value, 'dtype', 'complex numbers')}"
    shape, array = array.shape, array.ravel()
    if array.size == 1:
        return f"{array[0]:g}"
    first = f", the first {array[0]:g}" if array.size else ""
    return f"an array of shape {shape}{first}"
