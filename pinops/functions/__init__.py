"""Random input functions, and functions that are known by numbers: values on a grid, coefficients of a series.

A random function is an array that a key determines; what it is at a point is computed by the function of the same kind.  Two
instances: `GaussianProcess(length=0.2).sample(key, nodes)` gives values that `interpolate` reads between the nodes, and
`PeriodicGaussianField(amplitudes).sample(key)` gives coefficients that `fourier_series` sums.
"""

from pinops.functions._gas import RandomGas as RandomGas
from pinops.functions._gas import gas as gas
from pinops.functions._gaussian_process import GaussianProcess as GaussianProcess
from pinops.functions._grid import interpolate as interpolate
from pinops.functions._grid import interpolate_plane as interpolate_plane
from pinops.functions._series import PeriodicGaussianField as PeriodicGaussianField
from pinops.functions._series import fourier_series as fourier_series
from pinops.functions._waves import RandomPlaneWaves as RandomPlaneWaves
from pinops.functions._waves import RandomWaves as RandomWaves
from pinops.functions._waves import plane_waves as plane_waves
from pinops.functions._waves import waves as waves
