"""PDE problems: equations by names, coefficients, conditions, exact solutions, the registry.

**Conditions on boxes are face functionals**, ``alpha u + slope du/d(axis) = data``. A lift carries
their data. A value (or a value with a slope) is imposed by a factor that vanishes on the face; a
flux by a network that sees the coordinate through two functions without slope on the face, times a
factor that has the ratio of slope and value of a Robin condition. That costs no more than a value;
subtracting the flux of a network would cost evaluating it on every face, with one more derivative.
Before anything is imposed it is checked numerically that the data agree where faces meet.

**On other walls values are imposed**, by a lift with the values and a factor, the product of one
smooth function for each wall (`_walls.py`); fluxes are not. A wall whose function vanishes inside
of the domain as well, as beside a corner that points inwards, has no such factor.

**Some conditions become soft**, that is, terms of the loss, and the solution says why. Where
the data of two faces disagree, it is the later one, and the solution says by how much. A flux
needs one of every unknown on its face, because all see the same functions of the coordinate. A lift
over more than three coordinates is never built: it evaluates the data 3^d times.

**Knowledge of a solution belongs to the problem**: `lift`, `factor`, `features`, `sampler`, and
weights within the residual. It is mathematics of the solution, from which every network and
optimizer profits, and not a setting of a run. The lid-driven cavity is the example: its residual
is scaled near the corners of the lid, where its terms grow like 1/r². Without that, a handful of
points there would be most of the loss, and none of 4096 points may lie there.

**Three declarations name unknowns and coefficients.** `gauge` names unknowns that are determined
up to a constant (pressures); errors remove their mean. `trainable` names coefficients to be
found; positive ones are trained through their logarithm. `Equation` is the general boundary
condition, written by names, for what Dirichlet, Neumann and Robin do not cover (``u_xx = 0``).

**An integral is a function of the point.** Its nodes follow from the point where the equation
holds, so that a residual still depends on one point and the parameters only: nothing is carried
with collocation points, and chunks, refinement and Gauss-Newton are what they are without it.

**Equations are data too.** A residual is a pure function of named derivatives, so that its traced
program is the tree of the equation: nobody writes it a second time. `Expression` is that tree as a
sum of products, with coefficients by name; tokens for a transformer, LaTeX, JSON and rows of a
`TermLibrary` are made from it. What no symbol describes has a name and no value.

**A mixture is a family like any other.** Each of its families keeps arrays of its own, and a member
chooses one; so members of different equations stack, and drawing, data, training, resuming and
loading need nothing new. Initial values are in its lift, because the order in time differs.

**Time windows hand over a series**, the Fourier or Chebyshev coefficients of every unknown, not a
network. The initial condition of a window is then data, all windows are one program, and the
cost does not grow with their number. Windows need a box.
"""

from pinops.problem._barriers import Barrier as Barrier
from pinops.problem._condition import Condition as Condition
from pinops.problem._conditions import Dirichlet as Dirichlet
from pinops.problem._conditions import Equation as Equation
from pinops.problem._conditions import Initial as Initial
from pinops.problem._conditions import Interface as Interface
from pinops.problem._conditions import Neumann as Neumann
from pinops.problem._conditions import Periodic as Periodic
from pinops.problem._conditions import Robin as Robin
from pinops.problem._conditions import sentence as sentence
from pinops.problem._constraints import INITIAL as INITIAL
from pinops.problem._constraints import INTERIOR as INTERIOR
from pinops.problem._constraints import Constraint as Constraint
from pinops.problem._constraints import Points as Points
from pinops.problem._constraints import Region as Region
from pinops.problem._constraints import constraints as constraints
from pinops.problem._data_family import DataFamily as DataFamily
from pinops.problem._dependence import missing_axes as missing_axes
from pinops.problem._described import described as described
from pinops.problem._described import heading_of as heading_of
from pinops.problem._described import residual_source as residual_source
from pinops.problem._described import written_equation as written_equation
from pinops.problem._difference import difference as difference
from pinops.problem._expression import Expression as Expression
from pinops.problem._expression import latex as latex
from pinops.problem._faces import Face as Face
from pinops.problem._faces import faces as faces
from pinops.problem._faces import flat_ends as flat_ends
from pinops.problem._faces import inside as inside
from pinops.problem._faces import is_valued as is_valued
from pinops.problem._faces import onto_face as onto_face
from pinops.problem._faces import remaining as remaining
from pinops.problem._fingerprint import fingerprint as fingerprint
from pinops.problem._fingerprint import in_window as in_window
from pinops.problem._imposition import Imposition as Imposition
from pinops.problem._imposition import impose as impose
from pinops.problem._inputs import ANY as ANY
from pinops.problem._inputs import Input as Input
from pinops.problem._inputs import Inputs as Inputs
from pinops.problem._inputs import Sensors as Sensors
from pinops.problem._inputs import at_sensors as at_sensors
from pinops.problem._inputs import check_inputs as check_inputs
from pinops.problem._inputs import in_words as in_words
from pinops.problem._inputs import shapes_of as shapes_of
from pinops.problem._inputs import zeros_of as zeros_of
from pinops.problem._inside import outside as outside
from pinops.problem._inside import warn_outside as warn_outside
from pinops.problem._integrals import Integral as Integral
from pinops.problem._interface import pairs as pairs
from pinops.problem._inverse import InverseProblem as InverseProblem
from pinops.problem._inverse import coefficients_as_json as coefficients_as_json
from pinops.problem._inverse import coefficients_of as coefficients_of
from pinops.problem._inverse import holder as holder
from pinops.problem._linear_encoding import EncodedProblem as EncodedProblem
from pinops.problem._linear_encoding import SquareMap as SquareMap
from pinops.problem._linear_encoding import encoded as encoded
from pinops.problem._linear_samples import LinearSamples as LinearSamples
from pinops.problem._linear_samples import pixels as pixels
from pinops.problem._manufactured import manufacture as manufacture
from pinops.problem._mixture import CONSTANTS as CONSTANTS
from pinops.problem._mixture import FAMILY as FAMILY
from pinops.problem._mixture import WORDS as WORDS
from pinops.problem._mixture import Mixture as Mixture
from pinops.problem._observed import Observed as Observed
from pinops.problem._observed import observe as observe
from pinops.problem._periodic_family import PeriodicFamily as PeriodicFamily
from pinops.problem._problem import Problem as Problem
from pinops.problem._problem import check_family as check_family
from pinops.problem._problem import features_at as features_at
from pinops.problem._problem import names_of as names_of
from pinops.problem._problem import positive as positive
from pinops.problem._problem import residual_signature as residual_signature
from pinops.problem._problem import sample_members as sample_members
from pinops.problem._problem import unstacked as unstacked
from pinops.problem._problem import values_at as values_at
from pinops.problem._random_linear import RandomLinearProblems as RandomLinearProblems
from pinops.problem._registry import available as available
from pinops.problem._registry import load_folder as load_folder
from pinops.problem._registry import load_problem as load_problem
from pinops.problem._registry import name_of as name_of
from pinops.problem._registry import register as register
from pinops.problem._scales import Scales as Scales
from pinops.problem._scales import check_resolved as check_resolved
from pinops.problem._scales import scales_of as scales_of
from pinops.problem._scales import scales_of_family as scales_of_family
from pinops.problem._term_library import TermLibrary as TermLibrary
from pinops.problem._term_library import evolution_terms as evolution_terms
from pinops.problem._tokens import Tokens as Tokens
from pinops.problem._tokens import constants_of as constants_of
from pinops.problem._tokens import tokens as tokens
from pinops.problem._vocabulary import VOCABULARY as VOCABULARY
from pinops.problem._walls import Held as Held
from pinops.problem._walls import held as held
from pinops.problem._walls import is_on_walls as is_on_walls
from pinops.problem._walls import tip_features as tip_features
from pinops.problem._walls import tips as tips
from pinops.problem._windows import TimeWindows as TimeWindows
from pinops.problem._windows import Window as Window
from pinops.problem._windows import nodes_of as nodes_of
from pinops.problem._windows import series_of as series_of
from pinops.problem._windows import space_of as space_of
