"""What a family shows of its members: named arrays, whose names and shapes every member shares."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

Shapes = dict[str, tuple[int, ...]]


def shapes_of(inputs: Mapping[str, Any]) -> Shapes:
    """The shape of every input, in the order of the names."""
    return {name: tuple(np.shape(inputs[name])) for name in sorted(inputs)}


def in_words(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Names and shapes for a message: ``medium (33, 33, 2), viscosity ()``."""
    return ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))


def check_inputs(given: Any, owner: str) -> None:
    """Check what ``inputs()`` of a family returns.

    Raises:
        ValueError: For anything but a dict of named arrays of real numbers, each a number ``()``, a
            vector ``(m,)`` or an image ``(h, w)`` or ``(h, w, c)``, or an array of more axes for an
            encoder of the user's own.
    """
    if not isinstance(given, Mapping) or not given:
        what = "an empty dict" if isinstance(given, Mapping) else f"a {type(given).__name__}"
        raise ValueError(
            f"{owner}.inputs must return a dict of named arrays, such as "
            f'{{"source": self.source}}, got {what}'
        )
    for name, value in given.items():
        # A name is a group of a file and a label in tables.
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(
                f"{owner}.inputs: an input needs a name like a variable, such as source, got "
                f"{name!r}"
            )
        try:
            dtype, shape = jnp.result_type(value), np.shape(value)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{owner}.inputs: {name} must be an array of numbers, got {value!r}"
            ) from error
        if jnp.issubdtype(dtype, jnp.complexfloating):
            raise ValueError(
                f"{owner}.inputs: {name} is complex; give its real and imaginary part as two inputs"
            )
        if 0 in shape:
            raise ValueError(f"{owner}.inputs: {name} has no numbers, its shape is {shape}")
