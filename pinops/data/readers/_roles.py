"""Names by which the field calls what goes into an operator, what comes out of it, and the axes."""

import re

INPUTS = frozenset(
    "a a0 u0 coeff coeffs coefficient coefficients k kappa permeability f force forcing rhs source "
    "input inputs initial initial_condition sensors branch".split()
)
OUTPUTS = frozenset(
    "u v w p h s sol solution solutions output outputs target targets pressure velocity vorticity "
    "temperature density displacement stress".split()
)
SAMPLES = frozenset(
    "sample samples n batch member number realization ensemble trajectory run case".split()
)
TIMES = frozenset({"t", "time"})
POINTS = frozenset({"points", "nodes", "coordinates", "positions", "pos"})
_AXIS = re.compile(
    r"^(?:(?:coordinates?|coords?|grid|axes|axis|dimensions)[/_.-])?(x|y|z|t|time)"
    r"(?:[_-](?:coordinates?|coords?|axis|grid))?$"
)


def axis_of(name: str) -> str | None:
    """ "x", "y", "z" or "t" for names such as x, x-coordinate, grid/x and time; otherwise None."""
    match = _AXIS.match(name.lower())
    return None if match is None else match[1][0]
