"""How partial derivatives are computed: the plan read from names, Taylor propagation, nested forward mode."""

from pinops.derivatives._names import Names as Names
from pinops.derivatives._names import Normal as Normal
from pinops.derivatives._names import Signature as Signature
from pinops.derivatives._names import apply_pointwise as apply_pointwise
from pinops.derivatives._names import call_by_name as call_by_name
from pinops.derivatives._names import parse_name as parse_name
from pinops.derivatives._names import parse_names as parse_names
from pinops.derivatives._names import parse_signature as parse_signature
from pinops.derivatives._stochastic import STDE as STDE
from pinops.derivatives._taylor import LAPLACIAN as LAPLACIAN
from pinops.derivatives._taylor import Index as Index
from pinops.derivatives._taylor import Jet as Jet
from pinops.derivatives._taylor import Plan as Plan
from pinops.derivatives._taylor import add as add
from pinops.derivatives._taylor import concatenate as concatenate
from pinops.derivatives._taylor import coordinates as coordinates
from pinops.derivatives._taylor import derivatives_of as derivatives_of
from pinops.derivatives._taylor import elementwise as elementwise
from pinops.derivatives._taylor import linear as linear
from pinops.derivatives._taylor import nested as nested
from pinops.derivatives._taylor import product as product
from pinops.derivatives._taylor import sine_and_cosine as sine_and_cosine
