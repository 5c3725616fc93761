"""What a family shows of its members, by name: arrays whose shapes all members share, and functions
at sensors that differ from member to member.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

ANY = -1  # of a shape: any number of sensors
Shapes = dict[str, tuple[int, ...]]


class Sensors(eqx.Module):
    """A function that is known at sensors of its own, filled up to a number of them.

    Of many members each array has a leading axis. Means and deviations are kept as one such sensor,
    so that a function is standardised as any other array is, leaf by leaf.

    Args:
        at: Where the sensors are, in d dimensions.
        values: What they measure, c numbers each.
        present: 1 for a sensor, 0 for what fills up behind them.
    """

    at: Float[Array | np.ndarray, "*n k d"]
    values: Float[Array | np.ndarray, "*n k c"]
    present: Float[Array | np.ndarray, "*n k"]

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(ANY, d, c)``: that of one member, whatever the number of its sensors."""
        return ANY, int(self.at.shape[-1]), int(self.values.shape[-1])


Input = Float[Array, "..."] | Sensors
Inputs = Mapping[str, Input]


def shapes_of(inputs: Mapping[str, Any]) -> Shapes:
    """The shape of every input, in the order of the names."""
    return {name: tuple(np.shape(inputs[name])) for name in sorted(inputs)}


def at_sensors(shape: tuple[int, ...]) -> bool:
    """Whether an input of this shape is a function at sensors of its own."""
    return shape[:1] == (ANY,)


def zeros_of(shape: tuple[int, ...]) -> Any:
    """An input of this shape, of zeros; a function has one sensor."""
    if not at_sensors(shape):
        return np.zeros(shape)
    _, dimensions, channels = shape
    return Sensors(np.zeros((1, dimensions)), np.zeros((1, channels)), np.ones(1))


def in_words(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """Names and shapes for a message: ``medium (33, 33, 2), viscosity (), force at sensors (1 +
    1)`` for a function of one coordinate and one value.
    """
    words = []
    for name, shape in sorted(shapes.items()):
        text = f"at sensors ({shape[1]} + {shape[2]})" if at_sensors(shape) else f"{shape}"
        words.append(f"{name} {text}")
    return ", ".join(words)


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
