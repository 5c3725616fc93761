"""Figures of a solution: what a paper shows of it, from the names and the geometry of its problem.

A figure is rows of panels, a panel a function that draws into given axes. Two instances: a map of
the solution over the true geometry, and the history of the loss. One row (two in three dimensions)
per unknown, the history below. An animation is a figure whose panels know how to show another time.
"""

from pinops.plotting._animations import MOVING as MOVING
from pinops.plotting._animations import animate_rollouts as animate_rollouts
from pinops.plotting._animations import animate_solution as animate_solution
from pinops.plotting._calibration import plot_bands as plot_bands
from pinops.plotting._calibration import plot_calibration as plot_calibration
from pinops.plotting._domains import plot_domain as plot_domain
from pinops.plotting._drawing import Drawable as Drawable
from pinops.plotting._drawing import Rollouts as Rollouts
from pinops.plotting._drawing import as_png as as_png
from pinops.plotting._drawing import write_figure as write_figure
from pinops.plotting._gaussians import plot_gaussians as plot_gaussians
from pinops.plotting._maps import plot_maps as plot_maps
from pinops.plotting._points import animate_point_rollouts as animate_point_rollouts
from pinops.plotting._points import plot_point_rollouts as plot_point_rollouts
from pinops.plotting._points import plot_points as plot_points
from pinops.plotting._reference import plot_reference as plot_reference
from pinops.plotting._rollouts import plot_rollouts as plot_rollouts
from pinops.plotting._solution import plot_history as plot_history
from pinops.plotting._solution import plot_solution as plot_solution
