"""pinops: physics-informed networks and neural operators in JAX.

Solve a registered PDE, or one of your own (`register`, `Problem`)::

    import pinops as po

    solution = po.solve("burgers")
    solution(x=0.3, t=0.5)
    solution.error()

Find its coefficients from measured values with `invert`. Train an operator on a family of PDEs, a
surrogate of time steps on data, or an ensemble of either::

    trained = po.train("burgers_family", po.operators.DeepONet())

Whatever a training leaves is a `Trained`, which `save` writes and `load` reads.
"""

from pinops import discovery as discovery
from pinops import features as features
from pinops import functions as functions
from pinops import geometry as geometry
from pinops import losses as losses
from pinops import metrics as metrics
from pinops import networks as networks
from pinops import operators as operators
from pinops import optimizers as optimizers
from pinops import reference as reference
from pinops import sampling as sampling
from pinops.data import Dataset as Dataset
from pinops.derivatives import STDE as STDE
from pinops.discovery import discover as discover
from pinops.geometry import Ball as Ball
from pinops.geometry import Box as Box
from pinops.geometry import Disk as Disk
from pinops.geometry import Domain as Domain
from pinops.geometry import Ellipse as Ellipse
from pinops.geometry import Interval as Interval
from pinops.geometry import Polygon as Polygon
from pinops.geometry import Revolution as Revolution
from pinops.geometry import RoundedRectangle as RoundedRectangle
from pinops.geometry import Spline as Spline
from pinops.geometry import Surface as Surface
from pinops.geometry import Time as Time
from pinops.operators import uncertain as uncertain
from pinops.problem import Dirichlet as Dirichlet
from pinops.problem import Equation as Equation
from pinops.problem import Expression as Expression
from pinops.problem import Initial as Initial
from pinops.problem import Integral as Integral
from pinops.problem import Interface as Interface
from pinops.problem import Mixture as Mixture
from pinops.problem import Neumann as Neumann
from pinops.problem import Observed as Observed
from pinops.problem import Periodic as Periodic
from pinops.problem import Problem as Problem
from pinops.problem import Robin as Robin
from pinops.problem import TermLibrary as TermLibrary
from pinops.problem import TimeWindows as TimeWindows
from pinops.problem import Tokens as Tokens
from pinops.problem import available as available
from pinops.problem import latex as latex
from pinops.problem import load_folder as load_folder
from pinops.problem import load_problem as load_problem
from pinops.problem import manufacture as manufacture
from pinops.problem import observe as observe
from pinops.problem import positive as positive
from pinops.problem import register as register
from pinops.problem import tokens as tokens
from pinops.settings import one_of as one_of
from pinops.settings import whole as whole
from pinops.solvers import Ensemble as Ensemble
from pinops.solvers import MultiFidelity as MultiFidelity
from pinops.solvers import Prediction as Prediction
from pinops.solvers import Solution as Solution
from pinops.solvers import Trained as Trained
from pinops.solvers import TrainedHypernetwork as TrainedHypernetwork
from pinops.solvers import TrainedMap as TrainedMap
from pinops.solvers import TrainedMMGP as TrainedMMGP
from pinops.solvers import TrainedMultiFidelity as TrainedMultiFidelity
from pinops.solvers import TrainedOperator as TrainedOperator
from pinops.solvers import TrainedPointMap as TrainedPointMap
from pinops.solvers import TrainedPointSurrogate as TrainedPointSurrogate
from pinops.solvers import TrainedSurrogate as TrainedSurrogate
from pinops.solvers import TrainedUncertain as TrainedUncertain
from pinops.solvers import WindowedSolution as WindowedSolution
from pinops.solvers import acquire as acquire
from pinops.solvers import distill as distill
from pinops.solvers import invert as invert
from pinops.solvers import load as load
from pinops.solvers import pretrained as pretrained
from pinops.solvers import solve as solve
from pinops.solvers import train as train
from pinops.training import Collocation as Collocation
from pinops.training import Continuation as Continuation
from pinops.training import Curriculum as Curriculum
from pinops.training import Functions as Functions
from pinops.training import JSONLines as JSONLines
from pinops.training import MLflow as MLflow
from pinops.training import Phase as Phase
from pinops.training import Report as Report
from pinops.training import StopAt as StopAt
from pinops.training import TensorBoard as TensorBoard
from pinops.training import WeightsAndBiases as WeightsAndBiases
