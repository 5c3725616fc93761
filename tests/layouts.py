"""Small files in the layouts of public data sets, with made-up smooth values: no test needs a
download.
"""

from pathlib import Path

import h5py
import numpy as np


def waves(count: int, cells: int, seed: int = 0) -> np.ndarray:
    """Sums of three periodic waves, (count, cells)."""
    rng, x = np.random.default_rng(seed), (np.arange(cells) + 0.5) / cells
    wave, phase = rng.integers(1, 4, (count, 3, 1)), rng.random((count, 3, 1))
    return (rng.standard_normal((count, 3, 1)) * np.sin(2 * np.pi * (wave * x + phase))).sum(1)


def pdebench_burgers(folder: Path, viscosity: float, count: int, cells: int, frames: int) -> Path:
    """A file named and laid out like ``1D_Burgers_Sols_Nu0.01.hdf5`` of PDEBench
    (arXiv:2210.07182).

    As in the originals there is one more time than there are time steps.
    """
    path = folder / f"1D_Burgers_Sols_Nu{viscosity}.hdf5"
    decay = np.exp(-0.1 * np.arange(frames))[:, None]
    with h5py.File(path, "w") as file:
        file["tensor"] = (waves(count, cells)[:, None] * decay).astype(np.float32)
        file["x-coordinate"] = ((np.arange(cells) + 0.5) / cells).astype(np.float32)
        file["t-coordinate"] = np.linspace(0, 2, frames + 1, dtype=np.float32)
        file.attrs["Nu"] = viscosity
    return path
