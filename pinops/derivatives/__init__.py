"""How partial derivatives are computed: the plan read from names, and Taylor propagation.

**Multi-indices, not directions.** The fast path carries exactly the partial derivatives that
a residual names, closed downward, by the rules of Faa di Bruno and Leibniz. Mixed
derivatives need no polarisation identities, so nothing cancels, and imposing a condition
exactly is the same algebra: a product and a sum of jets.

**Directions are pseudo-coordinates.** An estimated Laplacian (`STDE`) is the forward
Laplacian over random directions, which are numbered after the coordinates and propagated
by the same rules.

Functions without propagation rules are differentiated by nested forward mode (`nested`).
"""

from pinops.derivatives._guard import guarded as guarded
from pinops.derivatives._integrated import Elsewhere as Elsewhere
from pinops.derivatives._integrated import Integrated as Integrated
from pinops.derivatives._names import Coordinate as Coordinate
from pinops.derivatives._names import Gradient as Gradient
from pinops.derivatives._names import Indicator as Indicator
from pinops.derivatives._names import Laplacian as Laplacian
from pinops.derivatives._names import Names as Names
from pinops.derivatives._names import Normal as Normal
from pinops.derivatives._names import NormalVector as NormalVector
from pinops.derivatives._names import Partial as Partial
from pinops.derivatives._names import Point as Point
from pinops.derivatives._names import Signature as Signature
from pinops.derivatives._names import arguments_of as arguments_of
from pinops.derivatives._names import call_by_name as call_by_name
from pinops.derivatives._names import parse_name as parse_name
from pinops.derivatives._names import parse_names as parse_names
from pinops.derivatives._names import parse_signature as parse_signature
from pinops.derivatives._names import taking as taking
from pinops.derivatives._pointwise import apply_pointwise as apply_pointwise
from pinops.derivatives._pointwise import number as number
from pinops.derivatives._stochastic import STDE as STDE
from pinops.derivatives._taylor import LAPLACIAN as LAPLACIAN
from pinops.derivatives._taylor import Index as Index
from pinops.derivatives._taylor import Jet as Jet
from pinops.derivatives._taylor import Plan as Plan
from pinops.derivatives._taylor import add as add
from pinops.derivatives._taylor import concatenate as concatenate
from pinops.derivatives._taylor import coordinates as coordinates
from pinops.derivatives._taylor import cosine as cosine
from pinops.derivatives._taylor import derivatives_of as derivatives_of
from pinops.derivatives._taylor import elementwise as elementwise
from pinops.derivatives._taylor import feature as feature
from pinops.derivatives._taylor import linear as linear
from pinops.derivatives._taylor import nested as nested
from pinops.derivatives._taylor import partitions as partitions
from pinops.derivatives._taylor import product as product
from pinops.derivatives._taylor import sine as sine
from pinops.derivatives._taylor import sine_and_cosine as sine_and_cosine
from pinops.derivatives._taylor import tanh as tanh
