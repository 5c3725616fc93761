"""Operators: from the data of a problem (functions, parameters) to its solution.

An operator maps the inputs of a problem to a network of the coordinates, which is then a field
like any other: it knows its derivatives, and conditions are imposed on it exactly.

**An operator is written for one sample.** `jax.vmap` over samples leaves whatever they share
(the trunk, its derivatives, the factors of conditions) unbatched, so there is no second code for
batches; and the solution of a sample is a `Solution`, from which `solve` can start.

**A surrogate of time steps is not such an operator.** An operator makes a field, which knows its
derivatives anywhere. A surrogate knows snapshots on a grid, and the residual on the grid only.

**Fourier layers multiply by a few columns of the Fourier matrix**, in real arithmetic, batch and
channels last: one product for each transform and each pointwise layer. Arrays of more than two
axes are flattened before a product, which makes gradients faster on CPUs.

**Convolutions are matrix products of shifted images**: XLA's own are slow inside a loop on a CPU.

**A U-Net has a scale and an offset for each channel instead of batch normalisation**: the samples
of a batch do not see each other, there is no state, amplitudes are kept, and the number of
parameters is the published one.

**Messages on a grid have one layer.** It is linear in what two grid points know, hence one
product for the receiver and one for the sender, for any number of neighbours. A second, linear
layer would commute with the mean over neighbours. Neighbours are visited in turn and computed
again for the gradient, so that memory does not grow with their number.

**Points that fill a sample up are read only.** They read from the points of the sample and nothing
reads from them, so that they are also how a network on points is asked for values anywhere else.

**A grid for meshes is laid on the square that they are mapped to.** The maps are found once, on the
host, as the edges of graphs are; the network on points that results gathers from the points of a
mesh, acts on the grid, and is read at the points by products with two small matrices.

**Cross-attention of a point is a layer of a network**, ``softmax(h A) B`` with matrices that the
tokens of the problem make, so that PROSE propagates derivatives as a multilayer perceptron does.

**Gaussian processes on morphed meshes are fitted, not trained.** `MMGP.fitted` takes modes and
processes from samples in closed form; what it leaves is a pytree of arrays like any other.
"""

from pinops.operators._cape import CAPE as CAPE
from pinops.operators._cape import CAPESurrogate as CAPESurrogate
from pinops.operators._cno import CNO as CNO
from pinops.operators._cno import CNONetwork as CNONetwork
from pinops.operators._deeponet import DeepONet as DeepONet
from pinops.operators._deeponet import DeepONetwork as DeepONetwork
from pinops.operators._deeponet import PODDeepONet as PODDeepONet
from pinops.operators._deeponet import PODDeepONetwork as PODDeepONetwork
from pinops.operators._fno import FNO as FNO
from pinops.operators._fno import FNONetwork as FNONetwork
from pinops.operators._grid_mlp import GridMLP as GridMLP
from pinops.operators._grid_mlp import GridMLPNetwork as GridMLPNetwork
from pinops.operators._hypernetwork import Hypernetwork as Hypernetwork
from pinops.operators._hypernetwork import HyPINO as HyPINO
from pinops.operators._mesh_graph import MeshGraphNet as MeshGraphNet
from pinops.operators._mesh_graph import MeshGraphNetwork as MeshGraphNetwork
from pinops.operators._message_passing import MessagePassing as MessagePassing
from pinops.operators._message_passing import MessagePassingNetwork as MessagePassingNetwork
from pinops.operators._mmgp import LEAST as LEAST
from pinops.operators._mmgp import MMGP as MMGP
from pinops.operators._mmgp import Answer as Answer
from pinops.operators._mmgp import MeshSamples as MeshSamples
from pinops.operators._mmgp import MorphedProcesses as MorphedProcesses
from pinops.operators._mmgp import Sizes as Sizes
from pinops.operators._morphed_grid import MorphedGrid as MorphedGrid
from pinops.operators._morphed_grid import MorphedGridNetwork as MorphedGridNetwork
from pinops.operators._morphed_grid import Morphing as Morphing
from pinops.operators._operator import Numbers as Numbers
from pinops.operators._operator import Operator as Operator
from pinops.operators._operator import OperatorArchitecture as OperatorArchitecture
from pinops.operators._operator import Solutions as Solutions
from pinops.operators._points import POINT_NETWORK as POINT_NETWORK
from pinops.operators._points import Graph as Graph
from pinops.operators._points import Links as Links
from pinops.operators._points import PointArchitecture as PointArchitecture
from pinops.operators._points import PointNetwork as PointNetwork
from pinops.operators._prior import with_prior as with_prior
from pinops.operators._prose import PROSE as PROSE
from pinops.operators._prose import PROSENetwork as PROSENetwork
from pinops.operators._spectral import (
    FactorisedSpectralConvolution as FactorisedSpectralConvolution,
)
from pinops.operators._spectral import SpectralConvolution as SpectralConvolution
from pinops.operators._spectral import TuckerSpectralConvolution as TuckerSpectralConvolution
from pinops.operators._surrogate import Direct as Direct
from pinops.operators._surrogate import DirectSurrogate as DirectSurrogate
from pinops.operators._surrogate import GridArchitecture as GridArchitecture
from pinops.operators._surrogate import GridNetwork as GridNetwork
from pinops.operators._surrogate import Surrogate as Surrogate
from pinops.operators._surrogate import SurrogateArchitecture as SurrogateArchitecture
from pinops.operators._surrogate import check_architecture as check_architecture
from pinops.operators._surrogate import constant_channels as constant_channels
from pinops.operators._swin import Blocks as Blocks
from pinops.operators._swin import ResidualConvolutions as ResidualConvolutions
from pinops.operators._swin import Swin as Swin
from pinops.operators._transolver import Transolver as Transolver
from pinops.operators._transolver import TransolverNetwork as TransolverNetwork
from pinops.operators._uncertain import Uncertain as Uncertain
from pinops.operators._uncertain import uncertain as uncertain
from pinops.operators._unet import UNet as UNet
from pinops.operators._unet import UNetNetwork as UNetNetwork
