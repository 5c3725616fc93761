"""PDEBench's inhomogeneous incompressible flow: ``velocity (n, t, x, y, 2)``, ``particles
(n, t, x, y, 1)``, the constant ``force (n, x, y, 2)`` and the times ``t (n, t)``.

The file has no coordinates of space: they are the centres of the cells of the unit square, which is
the domain of the paper.
"""

import numpy as np

from pinops.data._contents import Contents
from pinops.data._lazy import columns
from pinops.data.readers._found import Found, components, unit_cells


def matches(found: Found) -> bool:
    """Whether its names and axes are those of an incompressible flow."""
    return found.has("velocity", "t") and len(found.shape("velocity")) in (5, 6)


def read(found: Found) -> Contents:
    """Its trajectories."""
    (count, frames, *grid, channels) = found.shape("velocity")
    names = ("x", "y", "z")[: len(grid)]
    if channels != len(grid):
        raise found.error(
            f"velocity has the shape {found.shape('velocity')}, and must be (samples, t, "
            f"{', '.join(names)}, {len(grid)})"
        )
    axes = {"t": _times(found, count, frames)}
    axes |= {name: unit_cells(length) for name, length in zip(names, grid, strict=True)}
    outputs = columns(found.array("velocity"), components("velocity", names, channels))
    if "particles" in found.arrays:
        _check(found, "particles", (count, frames, *grid, 1))
        outputs |= columns(found.array("particles"), ["particles"])
    inputs = {}
    if "force" in found.arrays:
        _check(found, "force", (count, *grid, channels))
        inputs["force"] = found.array("force")
    return Contents(
        outputs=outputs, inputs=inputs, coordinates=axes, time="t", source=str(found.path)
    )


def _times(found: Found, count: int, frames: int) -> np.ndarray:
    """The times, which the file has for each sample: they must be the same."""
    if found.shape("t") == (frames,):
        return found.times("t", frames)
    times = np.asarray(found.array("t", ndim=2), np.float64)
    if times.shape != (count, frames) or not np.isfinite(times).all():
        raise found.error(
            f"t has the shape {times.shape}, and must have finite numbers ({count}, {frames})"
        )
    if not np.allclose(times, times[0], rtol=1e-5, atol=0) or (np.diff(times[0]) <= 0).any():
        raise found.error("its times fall, or differ from sample to sample; read samples apart")
    return times[0]


def _check(found: Found, name: str, wanted: tuple[int, ...]) -> None:
    if found.shape(name) != wanted:
        raise found.error(f"{name} has the shape {found.shape(name)}, and must have {wanted}")
