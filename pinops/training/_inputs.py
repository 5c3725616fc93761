"""What operators and surrogates see of problems: named inputs, their mean and deviation."""

from collections.abc import Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.problem import Problem, Sensors

_DIGITS = 6  # of what is kept in a request: equal runs on other machines differ by round-off


def inputs_of(problem: Problem) -> dict[str, Any]:
    """What an operator sees of a problem, by name.

    Arrays are in the precision that is in force, in the order of the names.
    """
    given = problem.inputs()

    def number(leaf: Any) -> Array:
        return jnp.asarray(leaf, jnp.result_type(float))

    return jax.tree.map(number, {name: given[name] for name in sorted(given)})


def statistics_of(inputs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The mean and standard deviation of every entry of every input over members, as JSON has them:
    ``{"mean": {name: numbers}, "deviation": {name: numbers}}``.

    Of a function at sensors of its own those of its positions and values over all sensors.

    Args:
        inputs: By name, members in the leading axis.
    """
    found: dict[str, dict[str, Any]] = {"mean": {}, "deviation": {}}
    for name in sorted(inputs):
        value = inputs[name]
        if isinstance(value, Sensors):
            there = np.asarray(value.present) > 0
            parts = {"at": value.at, "values": value.values}
            pairs = {p: mean_and_deviation(np.asarray(a)[there]) for p, a in parts.items()}
            found["mean"][name] = {part: mean for part, (mean, _) in pairs.items()}
            found["deviation"][name] = {part: deviation for part, (_, deviation) in pairs.items()}
        else:
            found["mean"][name], found["deviation"][name] = mean_and_deviation(np.asarray(value))
    return found


def numbers_of(statistics: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The means or deviations of `statistics_of` as arrays, of a function at sensors one sensor.

    Args:
        statistics: As JSON has them.
        part: "mean" or "deviation".
    """
    found: dict[str, Any] = {}
    for name, numbers in statistics[part].items():
        if isinstance(numbers, Mapping):
            at, values = (np.asarray([numbers[key]], float) for key in ("at", "values"))
            # Neither shifted nor scaled: what is present stays 1 and what is not stays 0.
            found[name] = Sensors(at, values, np.asarray([0.0 if part == "mean" else 1.0]))
        else:
            found[name] = np.asarray(numbers)
    return found


def mean_and_deviation(values: Float[np.ndarray, "n ..."]) -> tuple[Any, Any]:
    """The mean and standard deviation of every entry of an input over members, rounded.

    An entry that is the same for all members has the deviation 1, or its size where that is larger.
    What "the same" means is relative to this input alone, so that a modulus of 2e11 and a ratio of
    0.3 both count.
    """
    precision = np.finfo(values.dtype).eps if np.issubdtype(values.dtype, np.floating) else 0.0
    values = np.asarray(values, np.float64)
    # Of plain numbers the mean is no array.
    mean, deviation = np.asarray(np.mean(values, axis=0)), np.asarray(np.std(values, axis=0))
    round_off = 8 * precision * np.abs(mean)
    varies = deviation > np.maximum(1e-6 * np.max(deviation), round_off)
    deviation = np.where(varies, deviation, np.maximum(1.0, np.abs(mean)))
    # Six digits of a mean of 300 are too few where the deviation is 1e-3: what is rounded away
    # stays below 1e-4 of the deviation.
    more = np.log10(np.maximum(np.abs(mean), 1e-300) / deviation) - 2
    digits = np.asarray(_DIGITS + np.clip(np.ceil(more), 0, 10)).astype(int)
    return _rounded(mean, digits), _rounded(deviation, np.full_like(digits, _DIGITS))


def _rounded(numbers: np.ndarray, digits: np.ndarray) -> Any:
    each = np.vectorize(lambda number, digits: float(f"{number:.{digits}g}"), otypes=[np.float64])
    return each(numbers, digits).tolist()


def in_a_row(inputs: Mapping[str, Float[Any, "n ..."]], count: int) -> Float[np.ndarray, "n p"]:
    """The parameters that a surrogate sees: numbers and vectors of ``count`` members, in the order
    of their names; nothing of data without parameters.
    """
    columns = [np.asarray(inputs[name]).reshape(count, -1) for name in sorted(inputs)]
    return np.concatenate([np.zeros((count, 0)), *columns], 1)


def names_in_a_row(problem: Problem, fields: Collection[str] = ()) -> list[str]:
    """The name of every parameter that a surrogate sees of a family.

    Such as ``viscosity``, or ``force 0``, ``force 1`` of a vector.

    Args:
        problem: The family.
        fields: Those of its inputs that are fields on a grid.
    """
    names: list[str] = []
    for name, value in inputs_of(problem).items():
        if name not in fields:
            names += [name] if value.ndim == 0 else [f"{name} {k}" for k in range(value.size)]
    return names
