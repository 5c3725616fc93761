"""Figures of a solution: what a paper shows of it, from the names and the geometry of its problem.

A figure is rows of panels, a panel a function that draws into given axes. Two instances: a map of
the solution over the true geometry, and the history of the loss. One row (two in three dimensions)
per unknown, the history below.
"""

from pinops.plotting._drawing import Drawable as Drawable
from pinops.plotting._drawing import Rollouts as Rollouts
from pinops.plotting._drawing import as_png as as_png
from pinops.plotting._drawing import write_figure as write_figure
from pinops.plotting._gaussians import plot_gaussians as plot_gaussians
from pinops.plotting._maps import plot_maps as plot_maps
from pinops.plotting._points import plot_points as plot_points
from pinops.plotting._rollouts import plot_rollouts as plot_rollouts
from pinops.plotting._solution import plot_history as plot_history
from pinops.plotting._solution import plot_solution as plot_solution
