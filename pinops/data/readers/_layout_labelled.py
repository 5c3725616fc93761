"""Arrays whose axes have names, as NetCDF, xarray and zarr have them.

The sample is the axis ``sample`` (or ``n``, ``member``, ``realization``, ...), time the axis ``t``
or ``time``; the others are space, in their order. Without an axis of samples there is one sample.
Variables over all axes are outputs, those over space alone are inputs of trajectories; names such
as ``a`` and ``coeff`` are inputs of steady maps; one number for each sample, or a real number among
the attributes of the file, is a parameter.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pinops.data._contents import Contents
from pinops.data.readers._found import (
    Entry,
    Found,
    fields_of,
    moved,
    number_of,
    plain,
    repeated,
    rising,
    unit_cells,
)
from pinops.data.readers._roles import INPUTS, SAMPLES, TIMES


def matches(found: Found) -> bool:
    """Whether arrays have named axes, and one of them is more than a coordinate."""
    return any(entry.dimensions for entry in _variables(found).values())


def _variables(found: Found) -> dict[str, Entry]:
    """Arrays of numbers that are no coordinates."""
    axes = {name for entry in found.arrays.values() for name in entry.dimensions}
    return {name: entry for name, entry in found.arrays.items() if name not in axes}


def read(found: Found) -> Contents:
    """Samples of what is a function of space and time."""
    variables = _variables(found)
    sizes = {d: s for e in variables.values() for d, s in zip(e.dimensions, e.shape, strict=True)}
    sample = next((name for name in sizes if name.lower() in SAMPLES), None)
    count = sizes[sample] if sample else 1
    widest = max(variables.values(), key=lambda entry: len(entry.dimensions)).dimensions
    time = next((name for name in widest if name.lower() in TIMES), None)
    space = [name for name in widest if name not in (sample, time)]
    if not 1 <= len(space) <= 3:
        raise found.error(
            f"the axes of its arrays are {', '.join(sizes)}, of which 1 to 3 must be space"
        )
    order = [*([time] if time else []), *space]
    names = {name: "t" if name == time else plain(name) for name in order}
    axes = {names[name]: _axis(found, name, sizes[name], time=name == time) for name in order}
    outputs: dict[str, Any] = {}
    inputs: dict[str, Any] = {}
    parameters = _constants(found)
    for name, entry in variables.items():
        own = [dimension for dimension in entry.dimensions if dimension != sample]
        steady_input = not time and name.lower() in INPUTS
        if not own:
            values = np.asarray(found.array(name))
            parameters[plain(name)] = values if values.ndim else float(values)
        elif set(own) == set(order) and not steady_input:
            outputs[plain(name)] = _ordered(found, name, sample, order, count)
        elif set(own) == set(space):
            inputs[plain(name)] = _ordered(found, name, sample, space, count)
        elif len(own) == 1 and sample in entry.dimensions:
            inputs[plain(name)] = _ordered(found, name, sample, own, count)
        else:
            raise found.error(
                f"{name} has the axes {', '.join(entry.dimensions)}, and must have all of "
                f"{', '.join(order)}, or those of space"
            )
    if not outputs:
        raise found.error(f"none of its arrays is an output over the axes {', '.join(order)}")
    steady = {names[name]: axes[names[name]] for name in space}
    inputs |= rising(steady, fields_of(inputs, steady))[1]
    axes, outputs = rising(axes, outputs)
    return Contents(
        outputs=outputs,
        inputs=inputs,
        coordinates=axes,
        parameters=parameters,
        time="t" if time else None,
        units=found.units({name: plain(name) for name in variables} | names),
        source=str(found.path),
    )


def _constants(found: Found) -> dict[str, Any]:
    """Real numbers among the attributes of a file; whole ones are versions and counts."""
    numbers = {
        name: number_of(value)
        for name, value in found.attributes.items()
        if np.asarray(value).dtype.kind == "f"
    }
    return {plain(name): value for name, value in numbers.items() if value is not None}


def _axis(found: Found, name: str, size: int, *, time: bool) -> np.ndarray:
    if name in found.arrays:
        axis = found.axis(name)
        if axis.size != size:
            raise found.error(f"{name} has {axis.size} points, and its arrays have {size}")
        return axis
    return np.arange(float(size)) if time else unit_cells(size)


def _ordered(found: Found, name: str, sample: str | None, order: Sequence[str], count: int) -> Any:
    """An array with its axes in an order, the sample first; one without it is that of all."""
    own, array = found.arrays[name].dimensions, found.array(name)
    if sample not in own:
        whole = np.transpose(np.asarray(array), [own.index(dimension) for dimension in order])
        return repeated(whole, count)
    if own[0] != sample:  # rows cannot be read on their own
        array = np.asarray(array)
    return moved(array, [own.index(dimension) for dimension in (sample, *order)])
