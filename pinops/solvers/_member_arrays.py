"""Members of a family as named arrays, which is all that an exported program can be given."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import jax
import numpy as np
from jaxtyping import Array

from pinops.problem import DataFamily, Problem, sample_members, shapes_of
from pinops.training import cast, named_leaves

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
