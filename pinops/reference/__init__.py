"""Trusted numerical solvers: each returns a `Reference`, a solution with an error bar.

These are short solvers of our own on NumPy and SciPy, which bring the linear algebra, the FFT
and the integrators. Each solves its problem twice at different resolutions, so that its error
bar is measured; and no other library becomes a dependency of every user. Solutions on meshes come
from scikit-fem, an extra; tests compare them with exact ones and with finer meshes.

Each method follows the difficulty of its equation. The stresses of a viscous gas, for
example, take Runge-Kutta-Legendre steps between the steps of the flow: where the gas is thin,
explicit steps would have to be tens of times shorter than those of sound.
"""

from ._along_a_line import antiderivative as antiderivative
from ._along_a_line import characteristics as characteristics
from ._along_a_line import grid_values as grid_values
from ._burgers_2d import periodic_burgers_2d as periodic_burgers_2d
from ._cole_hopf import cole_hopf as cole_hopf
from ._cole_hopf import periodic_cole_hopf as periodic_cole_hopf
from ._compressible import periodic_compressible as periodic_compressible
from ._darcy import darcy as darcy
from ._etdrk4 import integrate_etdrk4 as integrate_etdrk4
from ._etdrk4 import periodic_etdrk4 as periodic_etdrk4
from ._etdrk4 import periodic_wave as periodic_wave
from ._heated_plate import heated_plate as heated_plate
from ._lid_driven_cavity import lid_driven_cavity as lid_driven_cavity
from ._no_flux import no_flux_reaction as no_flux_reaction
from ._nonlinear_diffusion import nonlinear_diffusion as nonlinear_diffusion
from ._on_meshes import heat_on_mesh as heat_on_mesh
from ._on_meshes import plane_stress as plane_stress
from ._on_meshes import poisson_on_mesh as poisson_on_mesh
from ._poisson_disks import poisson_disks as poisson_disks
from ._reaction_diffusion import reaction_diffusion as reaction_diffusion
from ._reference import Reference as Reference
