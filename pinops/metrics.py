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
    """``{unknown: {"relative_l2": ||u - u_ref|| / ||u_ref||, "max_abs": max |u - u_ref|}}`` over the whole grid.

    Points where the reference is NaN (outside the domain) do not count. Unknowns in ``gauge`` are compared after removing
    the mean (at each time, where there is time).
    """
    out = {}
    for name, (difference, truth) in deviations(values, reference, gauge=gauge, time=time).items():
        inside = np.isfinite(truth)
        scale = float(np.linalg.norm(truth[inside]))
        out[name] = {
            "relative_l2": float(np.linalg.norm(difference[inside])) / scale
            if scale > 0
            else float("nan"),
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
    """``{unknown: (u - u_ref, u_ref)}`` on the whole grid, as `errors` compares them; NaN outside the domain."""
    out = {}
    for name, truth in reference.values.items():
        if name not in values:
            continue
        inside = np.isfinite(truth)
        u, v = np.where(inside, values[name], np.nan), np.where(inside, truth, np.nan)
        if name in gauge:
            axes = _axes_of_a_mean(reference, time)
            u, v = (
                u - np.nanmean(u, axis=axes, keepdims=True),
                v - np.nanmean(v, axis=axes, keepdims=True),
            )
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


BANDS = {"low": (0, 4), "middle": (4, 12), "high": (12, np.inf)}
CORRELATED = 0.8
FLAT = 1e-3  # of the size of a trajectory: what is smaller counts as zero


def rollout_metrics(
    predicted: Float[np.ndarray, "n t *grid c"], truth: Float[np.ndarray, "n t *grid c"]
) -> dict[str, Float[np.ndarray, " n"]]:
    """How far trajectories on a grid are from the true ones: for each the mean over its unknowns, without the first frame.

    ``nrmse``: mean over time of RMSE / RMS of the truth (PDEBench; Takamoto et al. 2022); ``fluctuation``: relative L2 error of
    what differs from the mean over the grid; ``rmse`` (what is relative to the truth: at least to a thousandth of its size);
    ``max_abs``; ``conserved``: RMS over time of the error of the mean; ``boundary``: RMSE of the first and last places;
    ``low``, ``middle``, ``high``: RMSE of wave numbers below 4, below 12 and beyond; ``correlated``: the part of the time until
    the correlation with the truth is below 0.8 for the first time.
    """
    p, u = (np.asarray(x, np.float64)[:, 1:] for x in (predicted, truth))
    grid = tuple(range(2, p.ndim - 1))
    rms = lambda x, axes: np.sqrt(np.mean(np.square(x), axes))
    difference = p - u
    p0, u0 = (x - x.mean(grid, keepdims=True) for x in (p, u))
    whole = (1, *grid)
    size = np.maximum(rms(u, whole), np.finfo(np.float64).tiny)  # (n, c)
    edges = [np.square(np.take(difference, [0, -1], axis)).mean(whole) for axis in grid]
    out = {
        "nrmse": (rms(difference, grid) / np.maximum(rms(u, grid), FLAT * size[:, None])).mean(1),
        "fluctuation": rms(p0 - u0, whole) / np.maximum(rms(u0, whole), FLAT * size),
        "rmse": rms(difference, whole),
        "max_abs": np.abs(difference).max(whole),
        "conserved": rms(difference.mean(grid), 1),
        "boundary": np.sqrt(sum(edges) / len(edges)),
    }
    sizes = [p.shape[axis] for axis in grid]
    power = np.square(np.abs(np.fft.fftn(difference, axes=grid))) / np.prod(sizes) ** 2
    waves = np.meshgrid(*(np.abs(np.fft.fftfreq(n, 1 / n)) for n in sizes), indexing="ij")
    wave = np.sqrt(sum(np.square(k) for k in waves))[..., None]
    for name, (low, high) in BANDS.items():
        inside = (wave >= low) & (wave < high)
        out[name] = np.sqrt(np.where(inside, power, 0.0).sum(grid).mean(1))
    scale = np.sqrt(np.sum(p0**2, grid) * np.sum(u0**2, grid))
    product = np.sum(p0 * u0, grid) / np.maximum(scale, np.finfo(np.float64).tiny)
    flat = rms(u0, grid) < FLAT * size[:, None]
    lost: np.ndarray = ~(
        np.where(flat & np.isfinite(product), 1.0, product) >= CORRELATED
    )  # what is not finite is lost
    out["correlated"] = (
        np.where(np.any(lost, axis=1), np.argmax(lost, axis=1), lost.shape[1]) / lost.shape[1]
    )
    return {name: values.mean(-1) for name, values in out.items()}
