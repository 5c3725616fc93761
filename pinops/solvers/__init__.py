"""The front doors: solve, invert, train, load; and what they return."""

from pinops.solvers._allowed import allowed as allowed
from pinops.solvers._answer import Answer as Answer
from pinops.solvers._ensemble import Ensemble as Ensemble
from pinops.solvers._load import load as load
from pinops.solvers._recipe import default_collocation as default_collocation
from pinops.solvers._run_file import read_run as read_run
from pinops.solvers._solution import Solution as Solution
from pinops.solvers._solve import invert as invert
from pinops.solvers._solve import solve as solve
from pinops.solvers._train import train as train
from pinops.solvers._trained import Trained as Trained
from pinops.solvers._trained_operator import TrainedOperator as TrainedOperator
from pinops.solvers._trained_surrogate import TrainedSurrogate as TrainedSurrogate
from pinops.solvers._windows import WindowedSolution as WindowedSolution
