"""The figure of the Gaussians of a network."""

from pathlib import Path
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from pinops.networks import GaussianNetwork
from pinops.plotting._drawing import Drawable, Panel, drawn
from pinops.plotting._grids import display_axes, evaluated
from pinops.plotting._panels import colours_of_solution, label_of, map_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_gaussians(solution: Drawable, path: str | Path | None = None) -> "Figure":
    """The Gaussians of a `PIG` network over its solution, one panel for each unknown.

    Half an ellipse is one standard deviation wide; the darker, the larger the weight. Without a
    head an unknown has its own Gaussians, and its panel shows these.

    Args:
        solution: A solution in two coordinates.
        path: Where the figure is written; None: nowhere.

    Raises:
        ValueError: For another network, and for other than two coordinates, periodic or stretched
            ones.
    """
    network, domain = getattr(solution, "network", None), solution.problem.domain
    if not isinstance(network, GaussianNetwork):
        raise ValueError(
            f"plot_gaussians needs a solution with a PIG network, got {type(network).__name__}"
        )
    if len(domain.coordinates) != 2 or network.means.shape[-1] != 2 or solution.problem.stretched:
        raise ValueError(
            "plot_gaussians needs two coordinates, neither of them periodic or stretched"
        )
    low, high = np.array([domain.bounds[name] for name in domain.coordinates]).T
    half = (high - low) / 2
    with jax.enable_x64(network.weights.dtype == jnp.float64):
        means, scales, axes, weights = (
            np.asarray(x) for x in (network.means, network.scales, network.axes, network.weights)
        )
    centres = (means * half + (low + high) / 2).reshape(-1, 2)
    spans = (half[:, None] * axes * scales[..., None, :]).reshape(
        -1, 2, 2
    )  # one standard deviation along each axis, in columns
    strength = np.abs(weights).ravel() / max(np.abs(weights).max(), np.finfo(weights.dtype).tiny)
    grid = display_axes(solution.problem)
    values = evaluated(solution, grid)
    circle = np.stack([np.cos(angle := np.linspace(0, 2 * np.pi, 40)), np.sin(angle)])

    def over(map_: Panel, own: slice) -> Panel:
        def panel(ax: "Axes") -> None:
            map_(ax)
            for centre, span, alpha in zip(centres[own], spans[own], strength[own], strict=True):
                ax.plot(
                    *(centre[:, None] + span @ circle),
                    color="black",
                    linewidth=0.5,
                    alpha=0.1 + 0.6 * alpha,
                )

        return panel

    part = len(centres) // len(solution.problem.unknowns) if network.head is None else None
    shares = [
        slice(None) if part is None else slice(k * part, (k + 1) * part)
        for k in range(len(solution.problem.unknowns))
    ]
    colours = colours_of_solution(solution, values, None)
    maps = [
        map_panel(
            u, label_of(solution.problem, u), grid, domain.coordinates, values[u].T, colours[u]
        )
        for u in solution.problem.unknowns
    ]
    return drawn(
        f"{len(centres)} Gaussians, step {solution.steps}",
        [[over(*pair) for pair in zip(maps, shares, strict=True)]],
        [],
        path,
    )
