"""Observations: numbers that were measured at points, and how far to trust each of them.

Two instances: a temperature, ``Observed({"x": x}, {"T": measured}, noise=0.1)``, and a heat flux,
``Observed({"x": x}, {"flux": measured}, quantities={"flux": lambda k, T_x: -k * T_x})``.
"""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from pinops._numbers import real
from pinops.problem._condition import Condition
from pinops.reference import Reference


class Observed(Condition):
    """Scattered observations: ``quantity(point) = value`` in the least-squares sense. Always soft.

    Args:
        coordinates: One array ``(n,)`` per coordinate, points of the domain.
        values: One array ``(n,)`` per observed quantity: an unknown, a derivative by its name in
            residuals (``"u_x"``, ``"lap_u"``), or one of ``quantities``.
        quantities: What other names of values mean: functions whose arguments are named as those
            of a residual.
        noise: The standard deviation of the noise, in the units of the values: a number, an array
            ``(n,)`` with one for each observation, or a dict of them by the names of values. The
            equation is then taken for right, and the noise is left in the observations: a misfit
            of one standard deviation counts as much as an equation missed by a thousandth of its
            size. None: a misfit of the size of the unknown counts as much as an equation missed by
            its own.

    Raises:
        ValueError: When lengths differ, nothing is given, something is not a finite real number,
            or noise is not greater than zero.

    Example:
        >>> flux = po.Observed({"x": [0.2, 0.7]}, {"u_x": [1.1, 0.4]}, noise=[0.1, 0.05])
    """

    coordinates: dict[str, Float[np.ndarray, " n"]]
    values: dict[str, Float[np.ndarray, " n"]]
    quantities: dict[str, Callable[..., Any]]
    noise: dict[str, Float[np.ndarray, " n"]]
    soft: bool = eqx.field(static=True, default=True, init=False)

    def __init__(
        self,
        coordinates: Mapping[str, Any],
        values: Mapping[str, Any],
        *,
        quantities: Mapping[str, Callable[..., Any]] | None = None,
        noise: Any = None,
    ):
        for what, given in (("coordinates", coordinates), ("values", values)):
            if not isinstance(given, Mapping):
                raise ValueError(
                    f"Observed: {what} must be a dict of arrays by name, such as "
                    f"Observed({{'x': x}}, {{'u': u}}), got {type(given).__name__}"
                )
        self.coordinates = {name: _column(name, array) for name, array in coordinates.items()}
        self.values = {name: _column(name, array) for name, array in values.items()}
        self.quantities = _functions({} if quantities is None else quantities, self.values)
        self.noise = _levels(noise, self.values)
        self.soft = True

    def __check_init__(self):
        arrays = self.arrays
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
                    f"Observed: {name} has {bad.size} value(s) that are not finite (the first is "
                    f"{array[bad[0]]} at row {bad[0]}); drop those rows"
                )
        for name, array in self.noise.items():
            bad = np.flatnonzero(array <= 0)
            if bad.size:
                raise ValueError(
                    f"Observed: the noise of {name} must be greater than zero, got "
                    f"{array[bad[0]]:g} at row {bad[0]}; leave noise out where it is not known"
                )

    @property
    def arrays(self) -> dict[str, Float[np.ndarray, " n"]]:
        """All that was measured, by name: coordinates, values and ``"noise of u"``."""
        levels = {f"noise of {name}": array for name, array in self.noise.items()}
        return self.coordinates | self.values | levels


def _functions(given: Any, values: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
    """The functions of quantities, checked."""
    if not isinstance(given, Mapping) or not all(callable(function) for function in given.values()):
        raise ValueError(
            "Observed: quantities must be a dict of functions by the names of values, such as "
            f"quantities={{'flux': lambda k, u_x: -k * u_x}}, got {given!r}"
        )
    _check_named("quantities", given, values)
    return dict(given)


def _levels(noise: Any, values: Mapping[str, np.ndarray]) -> dict[str, Float[np.ndarray, " n"]]:
    """The noise of every observation, by the names of those values that have one."""
    if noise is None:
        return {}
    given: Any = noise if isinstance(noise, Mapping) else dict.fromkeys(values, noise)
    _check_named("noise", given, values)
    columns = {name: _column(f"noise of {name}", array) for name, array in given.items()}
    return {
        name: np.full(values[name].size, array[0]) if np.ndim(given[name]) == 0 else array
        for name, array in columns.items()
    }


def _check_named(what: str, given: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    for name in given:
        if name not in values:
            raise ValueError(
                f"Observed: {what} has {name!r}, of which there are no values; there are values of "
                f"{', '.join(values)}"
            )


def _column(name: str, array: Any) -> Float[np.ndarray, " n"]:
    """The numbers of one column of observations."""
    real(array, f"Observed: {name}")
    if isinstance(array, Tracer):
        raise ValueError(
            f"Observed: {name} is traced by JAX; observations are numbers: make them outside of "
            "jit, grad and vmap, from NumPy arrays"
        )
    try:
        return np.asarray(array, np.float64).ravel()
    except (TypeError, ValueError) as error:
        raise ValueError(f"Observed: {name} must be an array of numbers ({error})") from error


def observe(reference: Reference, count: int, *, noise: float = 0.0, seed: int = 0) -> Observed:
    """Values of a reference at random nodes of its grid inside the domain.

    Args:
        reference: Where the values come from.
        count: Of nodes, from 1 to all of them.
        noise: Its standard deviation relative to that of the values, at least 0; it is normal, and
            becomes the noise of the observations.
        seed: Of nodes and noise, at least 0.

    Raises:
        ValueError: For a count, noise or seed out of its range.
    """
    arrays = np.broadcast_arrays(*reference.coordinates.values(), *reference.values.values())
    inside = np.flatnonzero(np.all([np.isfinite(array).ravel() for array in arrays], axis=0))
    if not isinstance(count, int) or not 1 <= count <= inside.size:
        raise ValueError(
            f"num_observations must be a whole number from 1 to {inside.size}, the nodes of the "
            f"grid, got {count}"
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
    levels = {name: noise * np.std(taken[name]) for name in reference.values}
    for name, level in levels.items():
        taken[name] = taken[name] + level * rng.standard_normal(count)
    return Observed(
        {name: taken[name] for name in reference.coordinates},
        {name: taken[name] for name in reference.values},
        noise={name: level for name, level in levels.items() if level > 0},
    )
