"""How far a solution is from its reference."""

from collections.abc import Collection, Mapping

import numpy as np
from jaxtyping import Float

from pinops.reference import Reference


def errors(
    values: Mapping[str, np.ndarray],
    reference: Reference,
    *,
    gauge: Collection[str] = (),
    time: str | None = None,
) -> dict[str, dict[str, float]]:
    """The errors of all unknowns over the whole grid.

    Args:
        values: unknown -> array in the shape of the reference.
        reference: where it is NaN (outside the domain), points do not count.
        gauge: unknowns determined up to a constant, compared without their mean (of each time,
            where there is time).
        time: the name of the time coordinate, if there is one.

    Returns:
        ``{unknown: {"relative_l2": ||u - u_ref|| / ||u_ref||, "max_abs": max |u - u_ref|}}``; the
        relative error is NaN where the reference is zero.
    """
    out = {}
    for name, (difference, truth) in deviations(values, reference, gauge=gauge, time=time).items():
        inside = np.isfinite(truth)
        scale = float(np.linalg.norm(truth[inside]))
        distance = float(np.linalg.norm(difference[inside]))
        out[name] = {
            "relative_l2": distance / scale if scale > 0 else float("nan"),
            "max_abs": float(np.max(np.abs(difference[inside]))),
        }
    return out


def deviations(
    values: Mapping[str, np.ndarray],
    reference: Reference,
    *,
    gauge: Collection[str] = (),
    time: str | None = None,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """``{unknown: (u - u_ref, u_ref)}`` on the whole grid, NaN outside the domain.

    Args:
        values: By unknown, on the grid of the reference.
        reference: What they are compared with.
        gauge: The unknowns whose mean is removed first.
        time: The name of the time coordinate; the mean is taken at each time. None: without time.
    """
    out = {}
    for name, truth in reference.values.items():
        if name not in values:
            continue
        inside = np.isfinite(truth)
        u, v = np.where(inside, values[name], np.nan), np.where(inside, truth, np.nan)
        if name in gauge:
            axes = _axes_of_a_mean(reference, time)
            u = u - np.nanmean(u, axis=axes, keepdims=True)
            v = v - np.nanmean(v, axis=axes, keepdims=True)
        out[name] = u - v, v
    return out


def _axes_of_a_mean(reference: Reference, time: str | None) -> tuple[int, ...]:
    """All axes of the grid but time."""
    shape = np.broadcast_shapes(*(array.shape for array in reference.coordinates.values()))
    if time is None:
        return tuple(range(len(shape)))
    own = reference.coordinates[time].shape
    own = (1,) * (len(shape) - len(own)) + own
    # Scattered points share one axis with time: one mean over all of them.
    return tuple(axis for axis in range(len(shape)) if own[axis] == 1) or tuple(range(len(shape)))


def ratio(
    error: Float[np.ndarray, "..."] | float, size: Float[np.ndarray, "..."] | float
) -> Float[np.ndarray, "..."]:
    """A relative error: the norm of an error over that of the truth.

    Args:
        error: Norms of errors.
        size: Norms of the truth.

    Returns:
        The ratios: 0 where the truth is zero and met, infinite where it is zero and missed, and
        where the error is not finite.
    """
    error, size = np.asarray(error, np.float64), np.asarray(size, np.float64)
    missed = ~np.isfinite(error) | ((size == 0) & (error > 0))
    return np.where(missed, np.inf, error / np.where(missed | (size == 0), 1.0, size))
