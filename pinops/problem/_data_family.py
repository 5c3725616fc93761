"""Families of which only data are known: samples of inputs and outputs, without an equation."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from pinops.geometry import Box
from pinops.problem._inputs import Sensors, shapes_of, zeros_of
from pinops.problem._problem import Problem


class DataFamily(Problem):
    """A family without an equation and without conditions.

    Args:
        given: The inputs of a member, by name.
        box: Where the data lie.
        outputs: Names of the unknowns.
    """

    given: Mapping[str, Float[Array | np.ndarray, "..."] | Sensors]
    box: Box = eqx.field(static=True)
    outputs: tuple[str, ...] = eqx.field(static=True)

    @property
    def domain(self) -> Box:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.box

    @property
    def unknowns(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.outputs

    def inputs(self) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What is given."""
        return dict(self.given)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs."""
        return {
            "bounds": {name: list(pair) for name, pair in self.box.bounds.items()},
            "unknowns": list(self.outputs),
            "inputs": {name: list(shape) for name, shape in shapes_of(self.given).items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "DataFamily":
        """The inverse of `to_json`; the inputs of the member are zeros."""
        return cls.of(content["bounds"], content["unknowns"], content["inputs"])

    @classmethod
    def of(
        cls,
        bounds: Mapping[str, Sequence[float]],
        unknowns: Sequence[str],
        inputs: Mapping[str, Sequence[int]],
    ) -> "DataFamily":
        """The family of some data.

        Args:
            bounds: Of the coordinates, by name; ``t`` is the time.
            unknowns: Names of the outputs.
            inputs: The shape of every input by name, ``(-1, d, c)`` of a function at sensors.
        """
        box = Box(**{name: (float(low), float(high)) for name, (low, high) in bounds.items()})
        given = {name: zeros_of(tuple(inputs[name])) for name in sorted(inputs)}
        return cls(given, box, tuple(unknowns))
