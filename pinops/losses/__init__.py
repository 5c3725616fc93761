"""From residual vectors to one number: the terms of a problem at its points, and how they are weighted."""

from pinops.losses._terms import plans as plans
from pinops.losses._terms import residuals as residuals
from pinops.losses._weighting import Fixed as Fixed
from pinops.losses._weighting import Weighting as Weighting
