"""What operators and surrogates see of problems: named inputs, their mean and deviation."""

from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pinops.problem import Problem

_DIGITS = 6  # of what is kept in a request: equal runs on other machines differ by round-off


def inputs_of(problem: Problem) -> dict[str, Float[Array, "..."]]:
    """What an operator sees of a problem, by name.

    Arrays are in the precision that is in force, in the order of the names.
    """
    given = problem.inputs()
    return {name: jnp.asarray(given[name], jnp.result_type(float)) for name in sorted(given)}


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
