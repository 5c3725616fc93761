"""Operators: from what is known of a problem (functions, parameters) to its solution.

An operator maps the inputs of a problem to a network of the coordinates, which is then a field like any other: it knows its
derivatives, and conditions are imposed on it exactly.  Operators are written for one problem; batches are `jax.vmap`.
"""

from pinops.operators._cape import CAPE as CAPE
from pinops.operators._cape import CAPESurrogate as CAPESurrogate
from pinops.operators._deeponet import DeepONet as DeepONet
from pinops.operators._deeponet import DeepONetwork as DeepONetwork
from pinops.operators._deeponet import PODDeepONet as PODDeepONet
from pinops.operators._deeponet import PODDeepONetwork as PODDeepONetwork
from pinops.operators._fno import FNO as FNO
from pinops.operators._fno import FactorisedSpectralConvolution as FactorisedSpectralConvolution
from pinops.operators._fno import FNONetwork as FNONetwork
from pinops.operators._fno import SpectralConvolution as SpectralConvolution
from pinops.operators._message_passing import MessagePassing as MessagePassing
from pinops.operators._message_passing import MessagePassingNetwork as MessagePassingNetwork
from pinops.operators._operator import Inputs as Inputs
from pinops.operators._operator import Operator as Operator
from pinops.operators._operator import OperatorArchitecture as OperatorArchitecture
from pinops.operators._surrogate import Direct as Direct
from pinops.operators._surrogate import DirectSurrogate as DirectSurrogate
from pinops.operators._surrogate import GridArchitecture as GridArchitecture
from pinops.operators._surrogate import GridNetwork as GridNetwork
from pinops.operators._surrogate import Surrogate as Surrogate
from pinops.operators._surrogate import SurrogateArchitecture as SurrogateArchitecture
from pinops.operators._unet import UNet as UNet
from pinops.operators._unet import UNetNetwork as UNetNetwork
