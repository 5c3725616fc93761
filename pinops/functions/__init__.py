"""Random input functions, and functions known by numbers.

The numbers are values on a grid or coefficients of a series. A random function is an array
that a key determines; the function of the same kind evaluates it at a point. Two instances:

* `GaussianProcess(length=0.2).sample(key, nodes)` gives values that `interpolate` reads
  between the nodes;
* `PeriodicGaussianField(amplitudes).sample(key)` gives coefficients that `fourier_series` sums.
"""

from pinops.functions._compositions import Pool as Pool
from pinops.functions._compositions import RandomCompositions as RandomCompositions
from pinops.functions._compositions import composition as composition
from pinops.functions._compositions import composition_streams as composition_streams
from pinops.functions._compositions import manufactured as manufactured
from pinops.functions._gas import RandomGas as RandomGas
from pinops.functions._gas import gas as gas
from pinops.functions._gaussian_process import GaussianProcess as GaussianProcess
from pinops.functions._grid import interpolate as interpolate
from pinops.functions._grid import interpolate_plane as interpolate_plane
from pinops.functions._series import BoundedSeries as BoundedSeries
from pinops.functions._series import PeriodicGaussianField as PeriodicGaussianField
from pinops.functions._series import fourier_series as fourier_series
from pinops.functions._waves import RandomPlaneWaves as RandomPlaneWaves
from pinops.functions._waves import RandomWaves as RandomWaves
from pinops.functions._waves import plane_waves as plane_waves
from pinops.functions._waves import waves as waves
