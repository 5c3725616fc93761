"""How points are spread: point sets in the unit cube, and the choice of points by their residual.

Sobol().points(key, 1024, 2)                            # (1024, 2) in [0, 1), float64, the same for
the same key residual_adaptive(key, abs(residual), 500)              # which 500 of the candidates
to train on
"""

from ._adaptive import R3 as R3
from ._adaptive import RAD as RAD
from ._adaptive import RAR as RAR
from ._adaptive import Refinement as Refinement
from ._adaptive import residual_adaptive as residual_adaptive
from ._points import Arcsine as Arcsine
from ._points import Grid as Grid
from ._points import Halton as Halton
from ._points import LatinHypercube as LatinHypercube
from ._points import Sampler as Sampler
from ._points import Sobol as Sobol
from ._points import Uniform as Uniform
