"""How points are spread: point sets in the unit cube, and the choice of points by their residual.

    Sobol().points(key, 1024, 2)                 # (1024, 2) in [0, 1), float64, set by the key
    residual_adaptive(key, abs(residual), 500)   # which 500 of the candidates to train on

**Refinement keeps the loss what it is.** Residual-adaptive points carry Horvitz-Thompson
weights, so that the loss remains the mean square of the residual over the domain while the
points move, and the objective is the same from one point set to the next. This choice rests on
single tuning runs that are not recorded.

**RAR has a fixed capacity.** A compiled program has a fixed number of points; a share of them
lies where the residual of old and new points is largest.

**Candidates are taken in bit-reversed order.** Where residuals are equal, systematic sampling in
the order of a Sobol sequence would take every m-th of its points, and these fill only a part of
the domain.
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
