"""What rollouts begin with: the checks of first snapshots, parameters and input fields."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from pinops.training import ParameterScaling, SurrogateModel, as_real


def whole_count(name: str, count: Any) -> int:
    """A number of snapshots, of Python or NumPy. Raises ValueError for one below 1, and others."""
    whole = isinstance(count, int | np.integer) and not isinstance(count, bool)
    if not whole or count < 1:
        raise ValueError(f"{name} must be a whole number of snapshots of at least 1, got {count!r}")
    return int(count)


def check_first(model: SurrogateModel, points: tuple[int, ...], first: np.ndarray) -> None:
    """Check the snapshots that rollouts begin with.

    Args:
        model: The surrogate.
        points: Of each axis of its grid.
        first: ``(n, k, *grid, c)``.

    Raises:
        ValueError: For a wrong shape, and values that are not finite.
    """
    unknowns, given = model.problem.unknowns, model.history
    channels = len(unknowns)
    if not len(first):
        raise ValueError("first snapshots are of no trajectory; give one at least")
    if first.ndim != len(points) + 3:
        many = f"{given}, " if given > 1 else ""
        raise ValueError(
            f"first snapshots have shape (n, {many}*grid, {channels}), got {first.shape}"
        )
    if first.shape[1] != given:
        raise ValueError(
            f"a rollout begins with {given} snapshots, as many as a step sees, got "
            f"{first.shape[1]} in shape {first.shape}"
        )
    if first.shape[-1] != channels:
        raise ValueError(
            f"first snapshots need {channels} channels ({', '.join(unknowns)}), got "
            f"{first.shape[-1]} in shape {first.shape}"
        )
    if first.shape[2:-1] != points:
        raise ValueError(
            f"the surrogate was trained on a grid of {points}, got snapshots of {first.shape[2:-1]}"
        )
    if not np.isfinite(first).all():
        raise ValueError("first snapshots must be finite; one has a NaN or infinite value")


def check_parameters(scaling: ParameterScaling, parameters: np.ndarray, count: int) -> None:
    """Check the parameters of ``count`` trajectories.

    Warns where they are outside the range of the training.

    Raises:
        ValueError: For a wrong shape, values that are not finite, and a logarithm that there is
            not.
    """
    names = scaling.names
    if parameters.shape != (count, len(names)):
        raise ValueError(
            f"parameters need shape ({count}, {len(names)}), {', '.join(names)} of each "
            f"trajectory, got {parameters.shape}"
        )
    if not np.isfinite(parameters).all():
        raise ValueError("parameters must be finite; one is a NaN or infinite")
    for k, (name, used) in enumerate(zip(names, scaling.maps, strict=True)):
        if used != "identity" and not (parameters[:, k] > 0).all():
            raise ValueError(f"{name} must be positive, as the surrogate sees its {used}")
    for sentence in scaling.outside(parameters).values():
        warnings.warn(sentence, stacklevel=4)


def checked_fields(
    model: SurrogateModel, points: tuple[int, ...], fields: Mapping[str, Any], count: int
) -> dict[str, np.ndarray]:
    """The input fields of ``count`` trajectories as arrays of the right shapes.

    Raises:
        ValueError: For missing and unknown names, wrong shapes and values that are not finite.
    """
    if model.fields is None:
        if fields:
            raise ValueError(
                f"the surrogate sees no input fields, got {', '.join(fields)}; leave fields out"
            )
        return {}
    out = {name: as_real(array) for name, array in model.fields.checked(fields, points).items()}
    if (given := len(next(iter(out.values())))) != count:
        raise ValueError(
            f"fields need one sample for each of the {count} trajectories, got {given}"
        )
    return out


def in_figures(names: Sequence[str], values: Float[np.ndarray, " p"]) -> str:
    """The parameters of a trajectory in a figure."""
    return ", ".join(f"{name} {value:g}" for name, value in zip(names, values, strict=True))
