"""From residual vectors to one number: the terms of a problem at its points, and how they are
weighted.
"""

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
