"""Members of a family as named arrays, which are all that an exported program can be given, and
members of data alone from such arrays.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from pinops._numbers import real
from pinops.data import as_sensors, readings
from pinops.problem import (
    DataFamily,
    Problem,
    at_sensors,
    in_words,
    sample_members,
    shapes_of,
    unstacked,
)
from pinops.training import SMALLEST, cast, named_leaves, size_of

_COMPARED = 8  # members that show which of their arrays differ


def as_arrays(
    family: Problem,
) -> tuple[dict[str, tuple[int, ...]], Callable[[Mapping[str, Array]], Problem]]:
    """The shape of every array in which members differ, and the member of such arrays.

    Raises:
        ValueError: For functions at sensors of their own, which have no fixed shape.
    """
    if isinstance(family, DataFamily):
        return _of_data(family)
    members = cast(sample_members(family, jax.random.key(0), range(_COMPARED)))
    leaves, structure = jax.tree.flatten(members)
    names = [name.removeprefix(".") for name in named_leaves(members)]
    shapes = {
        name: np.shape(leaf)[1:]
        for name, leaf in zip(names, leaves, strict=True)
        if np.any(np.asarray(leaf) != np.asarray(leaf)[:1])
    }

    def member(arrays: Mapping[str, Array]) -> Problem:
        each = [arrays.get(name, leaf[0]) for name, leaf in zip(names, leaves, strict=True)]
        return jax.tree.unflatten(structure, each)

    return shapes, member


def _of_data(
    family: DataFamily,
) -> tuple[dict[str, tuple[int, ...]], Callable[[Mapping[str, Array]], Problem]]:
    shapes = shapes_of(family.given)
    for name, shape in shapes.items():
        if -1 in shape:
            raise ValueError(
                f"{name} has sensors of its own in every sample, which no program takes; export "
                "the operator as .safetensors"
            )

    def member(arrays: Mapping[str, Array]) -> Problem:
        return replace(family, given={name: arrays[name] for name in shapes})

    return shapes, member


def members_of(family: DataFamily, inputs: Any, sensors: Mapping[str, Any]) -> list[Problem]:
    """Members of data alone, from inputs with a sample in each row; sensors as in the data.

    Raises:
        ValueError: For inputs of other names and shapes, and for values that are not finite.
    """
    shapes = shapes_of(family.given)
    if not isinstance(inputs, Mapping):
        if len(shapes) > 1:
            raise ValueError(
                f"the operator sees {in_words(shapes)}; give them by name, as a dict of arrays"
            )
        inputs = {next(iter(shapes)): inputs}
    wanted = {name for name, shape in shapes.items() if at_sensors(shape)}
    if set(sensors) != wanted:
        raise ValueError(
            f"sensors must be given for {', '.join(sorted(wanted)) or 'no input'}, as in the data, "
            f"got {', '.join(sensors) or 'none'}"
        )
    given: dict[str, Any] = {}
    for name in sorted(inputs):
        if name in wanted:
            rows, dimensions = readings(name, inputs[name], sensors[name], "the operator")
            size = size_of((SMALLEST,), max(len(own) for own in rows))
            given[name] = as_sensors(rows, dimensions, size)
        else:
            given[name] = real(np.asarray(inputs[name]), name)
    leaves = jax.tree.leaves(given)
    counts = {len(leaf) if leaf.ndim else 0 for leaf in leaves}
    there = shapes_of(given)
    found = {name: shape if name in wanted else shape[1:] for name, shape in there.items()}
    if found != shapes or len(counts) != 1:
        raise ValueError(
            f"inputs need a sample in each row, of the shapes {in_words(shapes)}; got the arrays "
            f"{in_words(there)}"
        )
    if not all(np.isfinite(leaf).all() for leaf in leaves):
        raise ValueError("inputs must be finite; one has a NaN or an infinite value")
    return unstacked(replace(family, given=given), counts.pop())
