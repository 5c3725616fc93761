"""PDEBench's Darcy flow: from a field ``nu (n, x, y)`` to the pressure ``tensor (n, 1, x, y)``.

Its force ``beta`` is an attribute; the coordinates are the centres of the cells of the unit square.
"""

from pinops.data._contents import Contents
from pinops.data.readers._found import Found, changed
from pinops.data.readers._layout_pdebench import axes_of, parameters


def matches(found: Found) -> bool:
    """Whether its names are those of Darcy flow."""
    return found.has("tensor", "nu", "x-coordinate", "y-coordinate") and (
        "t-coordinate" not in found.arrays
    )


def read(found: Found) -> Contents:
    """Coefficients and solutions."""
    axes = axes_of(found)
    shape = found.shape("tensor")
    if len(shape) != 2 + len(axes) or shape[1] != 1:
        raise found.error(f"tensor has the shape {shape}, and must be (samples, 1, x, y)")
    found.check_shape("nu", axes, count=shape[0])
    if shape[2:] != found.shape("nu")[1:]:
        raise found.error(f"tensor has the shape {shape}, and nu has {found.shape('nu')}")
    pressure = changed(found.array("tensor"), (shape[0], *shape[2:]), lambda rows: rows[:, 0])
    names = {"tensor": "u", "nu": "nu", "x-coordinate": "x", "y-coordinate": "y"}
    return Contents(
        outputs={"u": pressure},
        inputs={"nu": found.array("nu")},
        coordinates=axes,
        parameters=parameters(found, ("beta",)),
        units=found.units(names),
        source=str(found.path),
    )
