"""The contents of a data set: named arrays of samples, from a user or a file reader."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contents:
    """Arrays of n samples; the leading axis of each is the sample.

    Arrays may be lazy: anything with ``shape``, ``dtype`` and slices along the first axis that give
    a NumPy array, such as a part of a file that is read on demand.

    Attributes:
        outputs: By name ``(n, *grid)`` on a grid, ``(n, l)`` at l shared points, or n arrays
            ``(m_k,)`` at the points of each sample. An axis at the end makes several unknowns.
        coordinates: The axes of a grid by name, in the order of the arrays' axes (with a time, that
            comes first); or points ``(l, d)`` that all samples share; or n arrays ``(m_k, d)``.
        inputs: By name ``(n,)``, ``(n, m)``, a field ``(n, *grid[, c])``, or n arrays
            ``(m_k[, c])`` at the points of each sample.
        parameters: By name one number for each sample, ``(n,)``; a single number is that of all.
        time: The coordinate that is time.
        units: Of coordinates, inputs, outputs and parameters, by name.
        cells: Of a mesh: corners ``(k, corners)`` by their number, shared or one array for each.
        history: How many snapshots a stepper sees, >= 1.
        source: Where the arrays come from, for messages.
    """

    outputs: Mapping[str, Any]
    coordinates: Any
    inputs: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    time: str | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    cells: Any = None
    history: int = 1
    source: str = "the arrays"
