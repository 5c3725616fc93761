"""What a steady map sees: fields as channels on the grid of its outputs, numbers and vectors as
constant channels, all of them scaled. Of a surrogate of time steps these are the input fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.operators import constant_channels
from pinops.training._scaling import MAPS, ParameterScaling

# In one dimension, a vector with at least this many entries counts as a field on its own grid.
_LINE = 8
_MOST = 256  # constant channels
_SHAPES = "(n,), a vector (n, m) or a field (n, *grid[, c])"


@dataclass(frozen=True)
class MapInputs:
    """Which inputs are fields, which are constant, and how each channel is scaled.

    Attributes:
        fields: The grid of each input that is a field, by name.
        constants: How many numbers each other input has, by name.
        of_fields: The scaling of the channels of the fields, in the order of the names.
        of_constants: That of the numbers.
    """

    fields: tuple[tuple[str, tuple[int, ...]], ...]
    constants: tuple[tuple[str, int], ...]
    of_fields: ParameterScaling
    of_constants: ParameterScaling

    @classmethod
    def of(cls, inputs: Mapping[str, np.ndarray], grid: tuple[int, ...]) -> "MapInputs":
        """From the inputs of samples for training.

        Channels of fields keep their values, less their mean and divided by their deviation; of
        numbers the logarithm is taken where they are positive and the largest is more than ten
        times the smallest.

        Args:
            inputs: By name, a sample in each row.
            grid: Of the outputs.

        Raises:
            ValueError: For an input that is neither a field on such a grid nor numbers, and without
                any input.
        """
        if not inputs:
            raise ValueError("a map needs inputs, and the data have none; give inputs={'a': a}")
        fields, constants = [], []
        for name, array in inputs.items():
            own = _grid_of(name, np.shape(array)[1:], grid)
            if own is None:
                constants.append((name, int(np.prod(np.shape(array)[1:], dtype=int))))
            else:
                fields.append((name, own))
        if (count := sum(size for _, size in constants)) > _MOST:
            names = ", ".join(name for name, _ in constants)
            raise ValueError(
                f"{names} are {count} numbers, more than {_MOST} constant channels; train a "
                "DeepONet, or give a field on a grid"
            )
        columns = [_channels_of(inputs[name], own) for name, own in fields]
        names = [
            label
            for (name, _), column in zip(fields, columns, strict=True)
            for label in _labels(name, column.shape[-1])
        ]
        numbers = [np.reshape(inputs[name], (len(inputs[name]), -1)) for name, _ in constants]
        labels = [label for name, size in constants for label in _labels(name, size)]
        return cls(
            fields=tuple(fields),
            constants=tuple(constants),
            of_fields=_scaling_of_fields(names, columns),
            of_constants=ParameterScaling.of(labels, _row(numbers), "auto"),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Of all inputs."""
        return tuple(name for name, _ in (*self.fields, *self.constants))

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of one sample of every input, as in the training."""
        widths = {name: _width(self.of_fields, name) for name, _ in self.fields}
        fields = {n: (*own, *([widths[n]] if widths[n] > 1 else [])) for n, own in self.fields}
        return fields | {name: (size,) if size > 1 else () for name, size in self.constants}

    @property
    def count(self) -> int:
        """How many channels there are."""
        return len(self.of_fields.names) + len(self.of_constants.names)

    def channels(
        self, inputs: Mapping[str, Array], grid: tuple[int, ...]
    ) -> Float[Array, "n *grid i"]:
        """All inputs as channels on a grid.

        A field on another grid is interpolated linearly, from where `places_on` has its points.

        Args:
            inputs: By name, a sample in each row.
            grid: The points of each axis.
        """
        out = []
        if self.fields:
            columns = [_on_grid(inputs[n], own, grid) for n, own in self.fields]
            out.append(_scaled(jnp.concatenate(columns, -1), self.of_fields))
        if self.constants:
            # A program for any number of samples knows the number by its shape only.
            rows = [jnp.reshape(inputs[n], (inputs[n].shape[0], m)) for n, m in self.constants]
            seen = _scaled(jnp.concatenate(rows, -1), self.of_constants)
            out.append(constant_channels(seen, grid))
        return jnp.concatenate(out, -1)

    def grid_for(self, inputs: Mapping[str, Any], grid: tuple[int, ...]) -> tuple[int, ...]:
        """The grid of the outputs that belong to some inputs: finer as those are finer.

        Args:
            inputs: By name, a sample in each row.
            grid: Of the outputs in the training.

        Raises:
            ValueError: For fields that ask for different grids.
        """
        found = {}
        for name, own in self.fields:
            given = np.shape(inputs[name])[1 : 1 + len(grid)]
            triples = zip(grid, given, own, strict=True)
            found[name] = tuple(max(1, round(n * new / old)) for n, new, old in triples)
        if len(set(found.values())) > 1:
            words = ", ".join(f"{name} for {own}" for name, own in found.items())
            raise ValueError(f"the input fields ask for different grids: {words}; give one grid")
        return next(iter(found.values()), grid)

    def checked(self, inputs: Mapping[str, Any], grid: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Inputs as arrays of the right shapes.

        Args:
            inputs: By name, a sample in each row.
            grid: Of the outputs in the training.

        Raises:
            ValueError: For missing and unknown names, wrong shapes and values that are not finite.
        """
        if set(inputs) != set(self.names):
            raise ValueError(
                f"a prediction needs the inputs {', '.join(self.names)}, got "
                f"{', '.join(inputs) or 'none'}"
            )
        out = {name: np.asarray(array) for name, array in inputs.items()}
        sizes = {name: _width(self.of_fields, name) for name, _ in self.fields}
        for name, array in out.items():
            if array.dtype.kind not in "fiub":
                raise ValueError(f"the input {name} holds {array.dtype}; give real numbers")
            if name in sizes:
                wanted = f"(n, *grid{f', {sizes[name]}' if sizes[name] > 1 else ''})"
                axes = array.ndim - 1 - len(grid)
                last = array.shape[-1] if axes == 1 else 1
                fits = array.ndim > len(grid) and axes in (0, 1) and last == sizes[name]
            else:
                count = dict(self.constants)[name]
                wanted = f"(n, {count})" if count > 1 else "(n,)"
                fits = array.ndim >= 1 and array[:1].size == count * len(array[:1])
            if not fits:
                raise ValueError(
                    f"the input {name} needs the shape {wanted}, got {array.shape}; the first "
                    "axis is the sample"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"the input {name} has a value that is not finite; give numbers")
        counts = {name: len(array) for name, array in out.items()}
        if len(set(counts.values())) > 1:
            words = ", ".join(f"{count} of {name}" for name, count in counts.items())
            raise ValueError(f"inputs need as many samples of each, got {words}")
        if 0 in counts.values():
            raise ValueError("the inputs hold no sample; give one at least")
        return out

    def to_json(self) -> dict[str, Any]:
        """As in ``run.json``."""
        return {
            "fields": {name: list(own) for name, own in self.fields},
            "constants": dict(self.constants),
            "of_fields": self.of_fields.to_json(),
            "of_constants": self.of_constants.to_json(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "MapInputs":
        """The inverse of `to_json`."""
        return cls(
            fields=tuple((name, tuple(own)) for name, own in content["fields"].items()),
            constants=tuple(content["constants"].items()),
            of_fields=ParameterScaling.from_json(content["of_fields"]),
            of_constants=ParameterScaling.from_json(content["of_constants"]),
        )


def fields_in(inputs: Mapping[str, np.ndarray], grid: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The inputs that are fields, by name.

    Args:
        inputs: By name, a sample in each row.
        grid: Of the outputs.

    Raises:
        ValueError: For an input that is neither a field on such a grid nor numbers.
    """
    shapes = {name: np.shape(array)[1:] for name, array in inputs.items()}
    return {n: inputs[n] for n, shape in shapes.items() if _grid_of(n, shape, grid) is not None}


def _grid_of(name: str, shape: tuple[int, ...], grid: tuple[int, ...]) -> tuple[int, ...] | None:
    """The grid of an input that is a field; None for numbers and vectors.

    Raises:
        ValueError: For what is neither.
    """
    axes = len(grid)
    if len(shape) == 0:
        return None
    line = axes > 1 or shape[0] >= _LINE or shape[0] == grid[0]
    if len(shape) == axes and line or len(shape) == axes + 1:
        return shape[:axes]
    if len(shape) == 1:
        return None
    raise ValueError(
        f"the input {name} has the shape {('n', *shape)}, and the outputs lie on a grid of "
        f"{grid}; give {_SHAPES}".replace("'", "")
    )


def _labels(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name} {k}" for k in range(count)]


def _width(scaling: ParameterScaling, name: str) -> int:
    """How many channels a field has."""
    return sum(label == name or label.rpartition(" ")[0] == name for label in scaling.names)


def _channels_of(array: Any, own: tuple[int, ...]) -> Any:
    """The channels of a field in the last axis."""
    return array if array.ndim > len(own) + 1 else array[..., None]


def _row(columns: list[np.ndarray]) -> Float[np.ndarray, "n p"]:
    return np.concatenate([np.zeros((len(columns[0]) if columns else 1, 0)), *columns], 1)


def _scaling_of_fields(names: list[str], columns: list[np.ndarray]) -> ParameterScaling:
    """Channels may lie on different grids: each has statistics of its own."""
    each = [
        ParameterScaling.of(["one"], np.reshape(column[..., k], (-1, 1)).astype(float), "identity")
        for column in columns
        for k in range(column.shape[-1])
    ]
    parts = ("low", "high", "maps", "mean", "deviation")
    joined = {part: tuple(getattr(one, part)[0] for one in each) for part in parts}
    return ParameterScaling(names=tuple(names), **joined)


def _on_grid(
    array: Array, own: tuple[int, ...], grid: tuple[int, ...]
) -> Float[Array, "n *grid c"]:
    """The channels of a field on another grid."""
    x = _channels_of(jnp.asarray(array), own)
    for axis, n in enumerate(grid, start=1):
        if (there := x.shape[axis]) != n:
            places = np.minimum(places_on(there, n), there - 1)
            weights = jnp.asarray(interpolation(there, places), x.dtype)
            x = jnp.moveaxis(jnp.tensordot(weights, x, axes=((1,), (axis,))), 0, axis)
    return x


def places_on(n: int, m: int) -> Float[np.ndarray, " m"]:
    """Where m points of an axis lie among n others, counted in steps of these.

    Grids share their first and last points where the intervals of one divide those of the other
    (33 and 17 points); else they share the first point, and each covers the same length (32 and 16
    points ``k h``).
    """
    fine, coarse = max(n, m) - 1, min(n, m) - 1
    ends = coarse > 0 and fine % coarse == 0
    return np.arange(m) * ((n - 1) / (m - 1) if ends and m > 1 else n / m)


def interpolation(n: int, places: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m n"]:
    """From values at 0, ..., n - 1 to those at other places: linear, also beyond the ends."""
    left = np.clip(np.floor(places).astype(int), 0, max(n - 2, 0))
    share = places - left
    out = np.zeros((len(places), n))
    out[np.arange(len(places)), left] += 1 - share
    out[np.arange(len(places)), np.minimum(left + 1, n - 1)] += share
    return out


def _scaled(x: Float[Array, "*n p"], scaling: ParameterScaling) -> Float[Array, "*n p"]:
    columns = [MAPS[name](x[..., k]) for k, name in enumerate(scaling.maps)]
    mapped = jnp.stack(columns, -1)
    mean, deviation = (
        jnp.broadcast_to(jnp.asarray(part, x.dtype), x.shape)
        for part in (scaling.mean, scaling.deviation)
    )
    return (mapped - mean) / deviation
