"""The MATLAB files of the Fourier neural operator paper (Li et al. 2021).

* ``burgers_data_R10.mat``: from ``a (n, x)`` to ``u (n, x)``, on the periodic unit interval;
* ``piececonst_r421.mat``: from ``coeff (n, x, y)`` to ``sol (n, x, y)``, on the closed unit square;
* ``NavierStokes_V1e-5.mat``: the vorticity ``u (n, x, y, t)`` that follows from ``a (n, x, y)``, on
  the periodic unit square, at the times ``t``; its viscosity stands in the name of the file only.
"""

import re

import numpy as np

from pinops.data._contents import Contents
from pinops.data.readers._found import Found, moved

_VISCOSITY = re.compile(r"_V([0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?)", re.ASCII)
_PAIRS = (("coeff", "sol"), ("a", "u"))


def matches(found: Found) -> bool:
    """Whether it is a MATLAB file with one of the pairs of names."""
    return found.format.startswith("MATLAB") and any(found.has(*pair) for pair in _PAIRS)


def read(found: Found) -> Contents:
    """Inputs and solutions."""
    given, solved = next(pair for pair in _PAIRS if found.has(*pair))
    shape, grid = found.shape(solved), found.shape(given)[1:]
    spaces = ("x", "y", "z")[: len(grid)]
    if not 1 <= len(grid) <= 3 or shape[: len(grid) + 1] != found.shape(given):
        raise found.error(
            f"{given} has the shape {found.shape(given)}, and {solved} has {shape}; they must have "
            "the same samples and grid"
        )
    moving = len(shape) == len(grid) + 2
    if not moving and len(shape) != len(grid) + 1:
        raise found.error(f"{solved} has the shape {shape}, and {given} has {found.shape(given)}")
    closed = solved == "sol"
    axes: dict[str, np.ndarray] = {}
    array = found.array(solved)
    if moving:  # time is the last axis of MATLAB's array
        frames = shape[-1]
        axes["t"] = found.times("t", frames) if "t" in found.arrays else 1.0 + np.arange(frames)
        array = moved(array, (0, len(shape) - 1, *range(1, len(shape) - 1)))
    for name, length in zip(spaces, grid, strict=True):
        axes[name] = np.linspace(0, 1, length, endpoint=closed)
    viscosity = _VISCOSITY.search(found.path.name) if moving else None
    return Contents(
        outputs={solved: array},
        inputs={given: found.array(given)},
        coordinates=axes,
        parameters={"viscosity": float(viscosity[1])} if viscosity else {},
        time="t" if moving else None,
        source=str(found.path),
    )
