"""How far predicted trajectories are from the true ones."""

import numpy as np
from jaxtyping import Float

BANDS = {"low": (0, 4), "middle": (4, 12), "high": (12, np.inf)}  # wave numbers
CORRELATED = 0.8
FLAT = 1e-3  # smaller parts of the size of a trajectory count as zero


def rollout_metrics(
    predicted: Float[np.ndarray, "n t *grid c"],
    truth: Float[np.ndarray, "n t *grid c"],
    given: int = 1,
) -> dict[str, Float[np.ndarray, " n"]]:
    """How far trajectories on a grid are from the true ones, without the snapshots that they begin
    with.

    Args:
        predicted: ``(n, t, *grid, c)``, n trajectories of t snapshots and c unknowns.
        truth: the same shape.
        given: how many snapshots they begin with.

    Returns:
        For each metric the mean over unknowns, ``(n,)``. Relative metrics divide by at least a
        thousandth of the size of a trajectory.

        * ``nrmse``: the mean over time of RMSE / RMS of the truth (PDEBench; Takamoto et al. 2022).
        * ``fluctuation``: the relative L2 error of the difference from the mean over the grid.
        * ``rmse`` and ``max_abs``.
        * ``conserved``: the RMS over time of the error of the mean over the grid.
        * ``boundary``: the RMSE of the first and last grid points of each axis.
        * ``low``, ``middle``, ``high``: the RMSE of wave numbers below 4, below 12, and above.
        * ``correlated``: the part of the time before the correlation with the truth first falls
          below 0.8.
    """
    p, u = (np.asarray(x, np.float64)[:, given:] for x in (predicted, truth))
    grid = tuple(range(2, p.ndim - 1))
    difference = p - u
    p0, u0 = (x - x.mean(grid, keepdims=True) for x in (p, u))
    whole = (1, *grid)
    size = np.maximum(_rms(u, whole), np.finfo(np.float64).tiny)  # (n, c)
    edges = [np.square(np.take(difference, [0, -1], axis)).mean(whole) for axis in grid]
    out = {
        "nrmse": snapshot_errors(predicted, truth)[:, given:].mean(1),
        "fluctuation": _rms(p0 - u0, whole) / np.maximum(_rms(u0, whole), FLAT * size),
        "rmse": _rms(difference, whole),
        "max_abs": np.abs(difference).max(whole),
        "conserved": _rms(difference.mean(grid), 1),
        "boundary": np.sqrt(sum(edges) / len(edges)),
    }
    power, wave = _power(difference)
    for name, (low, high) in BANDS.items():
        inside = (wave >= low) & (wave < high)
        out[name] = np.sqrt(np.where(inside, power, 0.0).sum(grid).mean(1))
    scale = np.sqrt(np.sum(p0**2, grid) * np.sum(u0**2, grid))
    product = np.sum(p0 * u0, grid) / np.maximum(scale, np.finfo(np.float64).tiny)
    flat = _rms(u0, grid) < FLAT * size[:, None]
    # Written as "not >=", so that a correlation that is not finite counts as lost.
    lost: np.ndarray = ~(np.where(flat & np.isfinite(product), 1.0, product) >= CORRELATED)
    steps = lost.shape[1]
    out["correlated"] = np.where(lost.any(1), np.argmax(lost, axis=1), steps) / steps
    return {name: values.mean(-1) for name, values in out.items()}


def snapshot_errors(
    predicted: Float[np.ndarray, "n t *grid c"], truth: Float[np.ndarray, "n t *grid c"]
) -> Float[np.ndarray, "n t c"]:
    """RMSE / RMS of the truth of every snapshot and unknown.

    The RMS of a snapshot counts for at least a thousandth of that of its trajectory.

    Args:
        predicted: Trajectories, a channel for each unknown.
        truth: What they should be.

    Returns:
        The error of each trajectory, snapshot and unknown.
    """
    p, u = (np.asarray(x, np.float64) for x in (predicted, truth))
    grid = tuple(range(2, u.ndim - 1))
    size = np.maximum(_rms(u, (1, *grid)), np.finfo(np.float64).tiny)[:, None]
    with np.errstate(over="ignore"):  # of what should be zero all the time: infinite
        return _rms(p - u, grid) / np.maximum(_rms(u, grid), FLAT * size)


def spectrum(x: Float[np.ndarray, "n t *grid c"]) -> Float[np.ndarray, "k c"]:
    """The root mean square, over trajectories and snapshots, of the waves of each whole wave
    number.

    Wave vectors count by their length, rounded, in waves per extent of the grid; the numbers go
    from 0 to half of the points of the shortest axis.

    Args:
        x: Trajectories, a channel for each unknown.

    Returns:
        By wave number and unknown.
    """
    power, wave = _power(np.asarray(x, np.float64))
    number = np.round(wave[..., 0]).astype(int)
    mean = power.mean((0, 1)).reshape(-1, x.shape[-1])
    count = min(x.shape[2:-1]) // 2 + 1
    columns = [np.bincount(number.ravel(), column)[:count] for column in mean.T]
    return np.sqrt(np.stack(columns, -1))


def _power(x: Float[np.ndarray, "n t *grid c"]) -> tuple[np.ndarray, np.ndarray]:
    """The mean square of every wave over the grid, and its wave number ``(*grid, 1)``.

    By Parseval's identity the power of a band of wave numbers is its part of the mean square.
    """
    grid = tuple(range(2, x.ndim - 1))
    sizes = [x.shape[axis] for axis in grid]
    power = np.square(np.abs(np.fft.fftn(x, axes=grid))) / np.prod(sizes) ** 2
    waves = np.meshgrid(*(np.abs(np.fft.fftfreq(n, 1 / n)) for n in sizes), indexing="ij")
    return power, np.sqrt(sum(np.square(k) for k in waves))[..., None]


def _rms(x: np.ndarray, axes: int | tuple[int, ...]) -> np.ndarray:
    return np.sqrt(np.mean(np.square(x), axes))
