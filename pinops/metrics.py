"""How far a solution is from its reference."""

from collections.abc import Collection, Mapping

import numpy as np

from pinops.reference import Reference


def errors(
    values: Mapping[str, np.ndarray], reference: Reference, *, gauge: Collection[str] = (), time: str | None = None
) -> dict[str, dict[str, float]]:
    """``{unknown: {"relative_l2": ||u - u_ref|| / ||u_ref||, "max_abs": max |u - u_ref|}}`` over the whole grid.

    Points where the reference is NaN (outside the domain) do not count. Unknowns in ``gauge`` are compared after removing
    the mean (at each time, where there is time).
    """
    out = {}
    for name, (difference, truth) in deviations(values, reference, gauge=gauge, time=time).items():
        inside = np.isfinite(truth)
        scale = float(np.linalg.norm(truth[inside]))
        out[name] = {
            "relative_l2": float(np.linalg.norm(difference[inside])) / scale if scale > 0 else float("nan"),
            "max_abs": float(np.max(np.abs(difference[inside]))),
        }
    return out


def deviations(
    values: Mapping[str, np.ndarray], reference: Reference, *, gauge: Collection[str] = (), time: str | None = None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """``{unknown: (u - u_ref, u_ref)}`` on the whole grid, as `errors` compares them; NaN outside the domain."""
    out = {}
    for name, truth in reference.values.items():
        if name not in values:
            continue
        inside = np.isfinite(truth)
        u, v = np.where(inside, values[name], np.nan), np.where(inside, truth, np.nan)
        if name in gauge:
            axes = _axes_of_a_mean(reference, time)
            u, v = u - np.nanmean(u, axis=axes, keepdims=True), v - np.nanmean(v, axis=axes, keepdims=True)
        out[name] = u - v, v
    return out


def _axes_of_a_mean(reference: Reference, time: str | None) -> tuple[int, ...]:
    """The axes of the grid that are not time."""
    shape = np.broadcast_shapes(*(array.shape for array in reference.coordinates.values()))
    if time is None:
        return tuple(range(len(shape)))
    own = reference.coordinates[time].shape
    own = (1,) * (len(shape) - len(own)) + own
    # Scattered points have no axis apart from time: one mean over all of them.
    return tuple(axis for axis in range(len(shape)) if own[axis] == 1) or tuple(range(len(shape)))
