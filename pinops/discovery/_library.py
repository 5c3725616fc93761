"""The library that is searched where none is given."""

from collections import Counter
from itertools import combinations_with_replacement
from typing import Any

from pinops.derivatives import taking
from pinops.problem import TermLibrary

from ._trajectories import Trajectories

_DEGREE = 3  # of products of unknowns
_ON_A_LINE, _ELSEWHERE = 4, 2  # highest derivatives in space


def library_for(data: Trajectories) -> TermLibrary:
    """That of `TermLibrary.of` for u of x and t, otherwise one of products of unknowns.

    Its columns are derivatives in time up to the second; products of unknowns up to the third
    degree; derivatives of each unknown, up to the fourth on a line and the second elsewhere; and
    products of one unknown with each first derivative.
    """
    space = tuple(axis.name for axis in data.space)
    coordinates = (*space, data.time.name)
    if data.unknowns == ("u",) and coordinates == ("x", "t"):
        return TermLibrary.of()
    products = [
        names
        for degree in range(_DEGREE + 1)
        for names in combinations_with_replacement(data.unknowns, degree)
    ]
    highest = _ON_A_LINE if len(space) == 1 else _ELSEWHERE
    first = [f"{u}_{x}" for u in data.unknowns for x in space]
    others = [
        f"{u}_{_suffix(axes)}"
        for u in data.unknowns
        for order in range(2, highest + 1)
        for axes in combinations_with_replacement(space, order)
    ]
    rates = [f"{u}_{_suffix((data.time.name,) * order)}" for u in data.unknowns for order in (1, 2)]
    pairs = [(u, one) for u in data.unknowns for one in first]
    columns = [(name,) for name in (*rates, *first, *others)] + pairs + products
    arguments = [*data.unknowns, *rates, *first, *others]

    def terms(**values: Any) -> dict[str, Any]:
        out = {}
        for names in columns:
            value = 1.0
            for name in names:
                value = value * values[name]
            powers = {name: f"**{k}" * (k > 1) for name, k in Counter(names).items()}
            out["*".join(name + power for name, power in powers.items()) or "1"] = value
        return out

    return TermLibrary.of(
        taking(terms, arguments), coordinates=coordinates, space=space, unknowns=data.unknowns
    )


def _suffix(axes: tuple[str, ...]) -> str:
    """The coordinates of a derivative: letters one after the other, longer names separated."""
    return "".join(axes) if all(len(axis) == 1 for axis in axes) else "_".join(axes)
