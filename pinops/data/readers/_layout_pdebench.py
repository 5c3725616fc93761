"""PDEBench (Takamoto et al. 2022): advection, Burgers, reaction-diffusion and compressible flows.

``tensor (n, t, x)``, or for flows ``density``, ``pressure``, ``Vx``, ``Vy``, ``Vz`` of shape
``(n, t, x[, y[, z]])``, beside ``x-coordinate``, ..., and ``t-coordinate``, which has one time more
than there are snapshots.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pinops.data._contents import Contents
from pinops.data.readers._found import Found, number_of, shown

# The parameters of its equations: beta (speed; force of Darcy), Nu (viscosity, diffusion), rho
# (reaction), eta and zeta (viscosities of a gas), M (Mach number).
_SYMBOLS = ("beta", "nu", "rho", "eta", "zeta", "m")
_IN_NAMES = re.compile(r"_(beta|Nu|Rho|Eta|Zeta|M)([0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?)")
_SPELLED = {"Rho": "rho", "Eta": "eta", "Zeta": "zeta"}  # as the attributes have them
_GAS = ("density", "pressure", "Vx", "Vy", "Vz")


def matches(found: Found) -> bool:
    """Whether its names are those of a scalar or of a gas, on a grid with a time."""
    scalar = found.has("tensor") and "nu" not in found.arrays
    gas = found.has("density", "pressure", "Vx")
    return found.has("x-coordinate", "t-coordinate") and (scalar or gas)


def read(found: Found) -> Contents:
    """Its trajectories."""
    if found.has("tensor"):
        names = {"tensor": "u"}
    else:
        names = {name: name for name in _GAS if name in found.arrays}
    space = axes_of(found)
    first = next(iter(names))
    shape = found.shape(first)
    if len(shape) != 2 + len(space):
        raise found.error(
            f"{first} has the shape {shape}, and with the coordinates t, {', '.join(space)} it "
            f"must have {2 + len(space)} axes"
        )
    axes = {"t": found.times("t-coordinate", shape[1]), **space}
    for name in names:
        found.check_shape(name, axes, count=shape[0])
    units = {name: new for name, new in names.items()}
    units |= {f"{axis}-coordinate": axis for axis in axes}
    return Contents(
        outputs={new: found.array(name) for name, new in names.items()},
        coordinates=axes,
        parameters=parameters(found),
        time="t",
        units=found.units(units),
        source=str(found.path),
    )


def axes_of(found: Found) -> dict[str, np.ndarray]:
    """The axes of space that a file has, rising."""
    out = {}
    for axis in ("x", "y", "z"):
        if f"{axis}-coordinate" in found.arrays:
            out[axis] = found.axis(f"{axis}-coordinate")
            if out[axis][0] > out[axis][-1]:
                raise found.error(f"{axis}-coordinate falls; get the file again")
    return out


def parameters(found: Found, symbols: Sequence[str] = _SYMBOLS) -> dict[str, Any]:
    """The numbers of an equation, from the attributes, or else from the name of the file.

    Raises:
        DataFileError: Where an attribute is not one number.
    """
    stated = {name: value for name, value in found.attributes.items() if name.lower() in symbols}
    for name, value in stated.items():
        if number_of(value) is None:
            raise found.error(f"its attribute {name} must be one number, got {shown(repr(value))}")
    if stated:
        return {name: number_of(value) for name, value in stated.items()}
    named = {_SPELLED.get(m[1], m[1]): float(m[2]) for m in _IN_NAMES.finditer(found.path.name)}
    return {name: value for name, value in named.items() if name.lower() in symbols}
