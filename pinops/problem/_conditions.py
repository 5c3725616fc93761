"""Conditions: what a solution must satisfy besides its equation.

Each is declared once and says only mathematics; whether it is imposed exactly (hard) or becomes a loss term (soft) is decided
by :func:`pinops.problem.impose`.  Data are constants or functions of the coordinates that they name: ``lambda x, t: ...``.
Two instances: ``Initial(lambda x: -jnp.sin(jnp.pi * x))`` and ``Dirichlet(0.0, on="x")``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Float

from pinops.reference import Reference

Data = float | Any | Callable[..., Any]
On = str | tuple[str, ...] | None


class Condition(eqx.Module):
    """Abstract: something that must hold on a part of the boundary, at the initial time, or at given points."""

    soft: eqx.AbstractVar[bool]


class Dirichlet(Condition):
    """``u = value`` on boundary parts.

    **Arguments:** ``value``: a constant, a function of coordinates, or a dict of them by unknown; ``on``: a coordinate (both
    of its faces), a part such as ``"x_min"``, a tuple of these, or None for the whole spatial boundary; ``unknown``: which
    one (None: all, or those that ``value`` names); ``soft``: make it a loss term even where it could be imposed exactly.
    """

    value: Data | dict[str, Data]
    on: On = eqx.field(static=True, default=None)
    unknown: str | None = eqx.field(static=True, default=None, kw_only=True)
    soft: bool = eqx.field(static=True, default=False, kw_only=True)


class Neumann(Condition):
    """``u_n = value`` on boundary parts, n the outward unit normal. Arguments as for `Dirichlet`."""

    value: Data | dict[str, Data]
    on: On = eqx.field(static=True, default=None)
    unknown: str | None = eqx.field(static=True, default=None, kw_only=True)
    soft: bool = eqx.field(static=True, default=False, kw_only=True)


class Robin(Condition):
    """``alpha u + beta u_n = value`` on boundary parts; ``alpha`` and ``beta`` are numbers, beta not zero."""

    value: Data | dict[str, Data]
    on: On = eqx.field(static=True, default=None)
    alpha: Any = eqx.field(default=1.0, kw_only=True)
    beta: Any = eqx.field(default=1.0, kw_only=True)
    unknown: str | None = eqx.field(static=True, default=None, kw_only=True)
    soft: bool = eqx.field(static=True, default=False, kw_only=True)


class Periodic(Condition):
    """All unknowns are periodic along a coordinate (imposed exactly, by an embedding of that coordinate).

    ``even``: they are also the same on both sides of the middle of the interval, because the equation and all data are.
    """

    on: str | tuple[str, ...] = eqx.field(static=True)
    even: bool = eqx.field(static=True, default=False, kw_only=True)
    soft: bool = eqx.field(static=True, default=False, init=False)


class Initial(Condition):
    """``u = value`` at the initial time and, for second order in time, ``u_t = derivative`` there.

    ``value`` and ``derivative`` are data as for `Dirichlet`; functions of the spatial coordinates. A derivative that is no
    dict is that of the unknowns which ``value`` names.
    """

    value: Data | dict[str, Data]
    derivative: Data | dict[str, Data] | None = None
    unknown: str | None = eqx.field(static=True, default=None, kw_only=True)
    soft: bool = eqx.field(static=True, default=False, kw_only=True)

    def rates(self) -> Data | dict[str, Data] | None:
        """The derivative, by unknown where the value is."""
        if (
            isinstance(self.value, dict)
            and self.derivative is not None
            and not isinstance(self.derivative, dict)
        ):
            return dict.fromkeys(self.value, self.derivative)
        return self.derivative


class Equation(Condition):
    """Any equation on boundary parts, by the names of its arguments: ``Equation(lambda u_xx: u_xx, on="x")``. Always soft."""

    residual: Callable[..., Any]
    on: On = eqx.field(static=True, default=None)
    soft: bool = eqx.field(static=True, default=True, init=False)


class Observed(Condition):
    """Scattered observations: ``u(point) = value`` in the least-squares sense. Always soft.

    **Arguments:** ``coordinates``: one array ``(n,)`` per coordinate; ``values``: one array ``(n,)`` per observed unknown.

    **Raises** ValueError when lengths differ, nothing is given, or a number is not finite.
    """

    coordinates: dict[str, Float[np.ndarray, " n"]]
    values: dict[str, Float[np.ndarray, " n"]]
    soft: bool = eqx.field(static=True, default=True, init=False)

    def __init__(self, coordinates: Mapping[str, Any], values: Mapping[str, Any]):
        self.coordinates = {
            name: np.asarray(array, np.float64).ravel() for name, array in coordinates.items()
        }
        self.values = {
            name: np.asarray(array, np.float64).ravel() for name, array in values.items()
        }
        self.soft = True

    def __check_init__(self):
        arrays = self.coordinates | self.values
        sizes = {name: array.size for name, array in arrays.items()}
        if not self.values or not self.coordinates or 0 in sizes.values():
            raise ValueError(
                "Observed: there are no observations; give coordinates and values, one array each"
            )
        if len(set(sizes.values())) > 1:
            raise ValueError(f"Observed: all arrays must have one length, got {sizes}")
        for name, array in arrays.items():
            bad = np.flatnonzero(~np.isfinite(array))
            if bad.size:
                raise ValueError(
                    f"Observed: {name} has {bad.size} value(s) that are not finite (the first is {array[bad[0]]} at row "
                    f"{bad[0]}); drop those rows"
                )


def observe(reference: Reference, count: int, *, noise: float = 0.0, seed: int = 0) -> Observed:
    """Values of a reference at ``count`` random nodes of its grid inside the domain.

    ``noise`` >= 0: normal, its standard deviation relative to that of the values; ``seed`` of nodes and noise.

    **Raises** ValueError for a count below 1 or above the number of nodes, negative noise, or a seed that is no whole number.
    """
    arrays = np.broadcast_arrays(*reference.coordinates.values(), *reference.values.values())
    inside = np.flatnonzero(np.all([np.isfinite(array).ravel() for array in arrays], axis=0))
    if not isinstance(count, int) or not 1 <= count <= inside.size:
        raise ValueError(
            f"num_observations must be a whole number from 1 to {inside.size}, the nodes of the grid, got {count}"
        )
    if not 0 <= noise < np.inf:
        raise ValueError(f"noise must be zero or more and finite, got {noise}")
    if not isinstance(seed, int) or seed < 0:
        raise ValueError(f"data_seed must be a whole number of at least 0, got {seed}")
    rng = np.random.default_rng(seed)
    rows = rng.choice(inside, count, replace=False)
    taken = dict(
        zip(
            (*reference.coordinates, *reference.values),
            (array.ravel()[rows] for array in arrays),
            strict=True,
        )
    )
    for name in reference.values:
        taken[name] = taken[name] + noise * np.std(taken[name]) * rng.standard_normal(count)
    return Observed(
        *(
            {name: taken[name] for name in part}
            for part in (reference.coordinates, reference.values)
        )
    )
