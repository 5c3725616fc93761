"""The figure of a domain: the parts of its boundary by name, with their normals."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from pinops.geometry import Domain
from pinops.plotting._drawing import COLORS, drawn
from pinops.sampling import Sobol

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS, _NORMALS = 512, 12  # of each part
_GRID = 200  # points along each coordinate, to show the inside
_LEGEND = 20  # names
_SIZE = (5.0, 4.5)  # inches


def plot_domain(domain: Domain, path: str | Path | None = None) -> "Figure":
    """The boundary of a domain: points of each part in a colour of its own, with some of the
    outward normals; in the plane also the inside.

    Args:
        domain: Of two or three coordinates of space, with or without time.
        path: A .png, .pdf or .svg file; None: nowhere.

    Returns:
        The Matplotlib figure.

    Raises:
        ValueError: For a domain of another number of coordinates of space.

    Example:
        >>> figure = po.plotting.plot_domain(po.Disk(x=0, y=0, radius=1))
    """
    d = len(domain.space)
    if d not in (2, 3):
        raise ValueError(
            f"a figure of a domain shows two or three coordinates of space, got {d}: "
            f"{', '.join(domain.space) or 'none'}"
        )
    parts = {name: _part(domain, name) for name in domain.parts}
    length = 0.08 * max(high - low for low, high in (domain.bounds[c] for c in domain.space))

    def panel(ax: "Axes") -> None:
        box: Any = ax if d == 2 else _in_space(ax)
        if d == 2:
            _show_inside(box, domain)
        for k, (name, (points, normals)) in enumerate(parts.items()):
            color = COLORS[k % len(COLORS)]
            if not len(points):  # cut away by the other members
                continue
            label = name if k < _LEGEND else None
            box.scatter(*points.T, s=2, color=color, label=label)
            some = slice(None, None, max(1, len(points) // _NORMALS))
            ends = np.stack([points[some], points[some] + length * normals[some]])
            for start, end in np.moveaxis(ends, 1, 0):
                box.plot(*np.stack([start, end], 1), color=color, linewidth=0.8)
        labels = ("xlabel", "ylabel", "zlabel")
        box.set(**dict(zip(labels, domain.space, strict=False)), aspect="equal")
        box.locator_params(nbins=5)
        box.legend(markerscale=4, loc="upper left", bbox_to_anchor=(1, 1))

    return drawn(type(domain).__name__, [[panel]], [], path, _SIZE)


def _part(domain: Domain, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Points of a part in space and the normals there; none where nothing is left of it."""
    columns = [domain.coordinates.index(c) for c in domain.space]
    cube = partial(Sobol().points, jax.random.key(0))
    try:
        points, normals = domain.sample_boundary(name, cube, _POINTS)
    except ValueError:
        return np.empty((0, len(columns))), np.empty((0, len(columns)))
    return points[:, columns], normals


def _in_space(ax: "Axes") -> Any:
    """Axes of three dimensions in place of those of two."""
    spec = ax.get_subplotspec()
    assert spec is not None and ax.figure is not None
    box = ax.figure.add_subplot(spec, projection="3d")
    ax.remove()
    return box


def _show_inside(ax: "Axes", domain: Domain) -> None:
    axes = [np.linspace(*domain.bounds[c], _GRID) for c in domain.space]
    across, up = np.meshgrid(*axes)
    points = np.zeros((across.size, len(domain.coordinates)))
    for c, values in zip(domain.space, (across, up), strict=True):
        points[:, domain.coordinates.index(c)] = values.ravel()
    distance = domain.signed_distance(points).reshape(across.shape)
    ax.contourf(across, up, distance, levels=[-np.inf, 0.0], colors=["#eeeeee"])
