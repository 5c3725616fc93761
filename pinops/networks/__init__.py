"""Networks and fields: architectures, embeddings, and exactly imposed conditions.

**Factors of one-sided conditions level off**: ``s / (s + 0.1)`` instead of ``s``. With ``s^2``,
an initial velocity would leave the network a function that is far larger near the start than
at the end. This choice rests on single tuning runs that are not recorded.

**Random features are the baseline.** For a linear problem with a smooth solution they reach
round-off in seconds. The benchmarks therefore use them for linear equations, and name them in
their tables.

**A spectral expansion is a network** (`Spectral`); its cosines and sines of a periodic
coordinate make it a Fourier series. It needs no solver of its own: windows, conditions and
Gauss-Newton serve it as they serve other networks. Where waves break, it takes wave numbers
that random features do not reach.

**Derivatives of Gaussians are Gaussians times polynomials of the point.** The coefficients of all
these polynomials are one matrix, so that one exponential and one matrix product make every
derivative of every order, and general covariances need no code of their own.
"""

from typing import TYPE_CHECKING, Any

from pinops.networks._chebyshev import ChebyshevKAN as ChebyshevKAN
from pinops.networks._constrained import ConstrainedField as ConstrainedField
from pinops.networks._constrained import constrained_by as constrained_by
from pinops.networks._constrained import field_of as field_of
from pinops.networks._constrained import is_constrained as is_constrained
from pinops.networks._constrained_grid import ConstrainedGrid as ConstrainedGrid
from pinops.networks._constrained_grid import boundary_shares as boundary_shares
from pinops.networks._constrained_grid import regular as regular
from pinops.networks._convolutional import Convolutional as Convolutional
from pinops.networks._convolutional import ConvolutionalNetwork as ConvolutionalNetwork
from pinops.networks._convolutional import ImageEncoder as ImageEncoder
from pinops.networks._decomposed import Decomposed as Decomposed
from pinops.networks._decomposed import placed as placed
from pinops.networks._encoded import FourierFeatures as FourierFeatures
from pinops.networks._encoded import WeightFactorised as WeightFactorised
from pinops.networks._encoder import Encoder as Encoder
from pinops.networks._encoder import EncoderArchitecture as EncoderArchitecture
from pinops.networks._encoder import VectorEncoder as VectorEncoder
from pinops.networks._encoder import Vectors as Vectors
from pinops.networks._field import Embedding as Embedding
from pinops.networks._field import Field as Field
from pinops.networks._field import NetworkField as NetworkField
from pinops.networks._field import check_network as check_network
from pinops.networks._field import embedding_of as embedding_of
from pinops.networks._gated import ModifiedMLP as ModifiedMLP
from pinops.networks._gated import PirateNet as PirateNet
from pinops.networks._gated_fourier import GatedFourier as GatedFourier
from pinops.networks._gated_fourier import GatedFourierNetwork as GatedFourierNetwork
from pinops.networks._gated_fourier import Superposition as Superposition
from pinops.networks._gated_fourier import frequencies as frequencies
from pinops.networks._gaussians import PIG as PIG
from pinops.networks._gaussians import GaussianNetwork as GaussianNetwork
from pinops.networks._grid import GridField as GridField
from pinops.networks._kriging import Kriging as Kriging
from pinops.networks._kriging import KrigingEncoder as KrigingEncoder
from pinops.networks._network import MAX_DEPTH as MAX_DEPTH
from pinops.networks._network import MAX_WIDTH as MAX_WIDTH
from pinops.networks._network import MLP as MLP
from pinops.networks._network import NETWORK as NETWORK
from pinops.networks._network import SIREN as SIREN
from pinops.networks._network import Architecture as Architecture
from pinops.networks._network import Frozen as Frozen
from pinops.networks._network import JetNetwork as JetNetwork
from pinops.networks._network import MLPNetwork as MLPNetwork
from pinops.networks._network import activations as activations
from pinops.networks._network import is_plain as is_plain
from pinops.networks._network import trainable as trainable
from pinops.networks._precision import COMPUTE_DTYPES as COMPUTE_DTYPES
from pinops.networks._precision import computed_in as computed_in
from pinops.networks._precision import narrowed as narrowed
from pinops.networks._prior import Prior as Prior
from pinops.networks._prior import RandomisedPrior as RandomisedPrior
from pinops.networks._product import Product as Product
from pinops.networks._product import ProductEncoder as ProductEncoder
from pinops.networks._product import Selected as Selected
from pinops.networks._product import SelectedEncoder as SelectedEncoder
from pinops.networks._product import encoder_for as encoder_for
from pinops.networks._product import encoder_setting as encoder_setting
from pinops.networks._random_features import RandomFeatures as RandomFeatures
from pinops.networks._separable import Separable as Separable
from pinops.networks._sets import Attention as Attention
from pinops.networks._sets import AttentionEncoder as AttentionEncoder
from pinops.networks._sets import DeepSet as DeepSet
from pinops.networks._sets import MeanEncoder as MeanEncoder
from pinops.networks._spectral import Spectral as Spectral
from pinops.networks._spectral import SpectralNetwork as SpectralNetwork
from pinops.networks._stacked import Stacked as Stacked
from pinops.networks._symmetric import Symmetric as Symmetric
from pinops.networks._symmetric import SymmetricNetwork as SymmetricNetwork

if TYPE_CHECKING:
    from pinops.networks._flax import FromLinen as FromLinen
    from pinops.networks._flax import FromNNX as FromNNX


def __getattr__(name: str) -> Any:
    # Flax costs half a second to import: only those who bring a Flax network pay for it.
    if name in ("FromLinen", "FromNNX"):
        from pinops.networks import _flax

        return getattr(_flax, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
