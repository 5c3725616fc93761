"""From residual vectors to one number: the terms of a problem at its points, and their weights.

**Weightings keep weights, not terms**: one number for each residual, kept in the training state
and renewed at regular intervals inside the compiled program. Between two updates the loss is one
function, so that line searches and quasi-Newton methods work with every weighting (causal ones
too), and the same weights serve the loss, its chunks and the scaled residual vector.
"""

from pinops.losses._terms import Term as Term
from pinops.losses._terms import plans as plans
from pinops.losses._terms import residuals as residuals
from pinops.losses._weighting import NTK as NTK
from pinops.losses._weighting import Causal as Causal
from pinops.losses._weighting import Fixed as Fixed
from pinops.losses._weighting import GradientNorm as GradientNorm
from pinops.losses._weighting import PointWeighting as PointWeighting
from pinops.losses._weighting import ReLoBRaLo as ReLoBRaLo
from pinops.losses._weighting import ResidualAttention as ResidualAttention
from pinops.losses._weighting import SelfAdaptive as SelfAdaptive
from pinops.losses._weighting import Snapshot as Snapshot
from pinops.losses._weighting import Weighting as Weighting
from pinops.losses._weighting import WeightingState as WeightingState
from pinops.losses._weighting import Weights as Weights
