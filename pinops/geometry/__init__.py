"""Where an equation lives: domains with named coordinates, boundaries, normals and distances.

    square = Box(x=(0, 1), y=(0, 1))      # parts "x_min", "x_max", "y_min", "y_max"
    hole = Disk(x=0.3, y=0.3, radius=0.1, name="hole")
    plate = (square - hole) * Time(0, 2)  # coordinates ("x", "y", "t")

A domain is immutable and hashable, a pytree without leaves: static data of a problem. All
its arrays are NumPy float64, so that points keep their digits whatever the precision of the
training.
"""

from ._ball import Ball as Ball
from ._ball import Disk as Disk
from ._box import Box as Box
from ._box import Interval as Interval
from ._box import Time as Time
from ._corners import Corner as Corner
from ._corners import corners as corners
from ._csg import Difference as Difference
from ._csg import Intersection as Intersection
from ._csg import Union as Union
from ._curves import Ellipse as Ellipse
from ._curves import Spline as Spline
from ._domain import TERMINAL as TERMINAL
from ._domain import Cube as Cube
from ._domain import Domain as Domain
from ._edges import nearest_on_edges as nearest_on_edges
from ._interface import sample_interface as sample_interface
from ._level_sets import Ends as Ends
from ._level_sets import Wall as Wall
from ._level_sets import distance as distance
from ._level_sets import stretch as stretch
from ._mesh import Mesh as Mesh
from ._morphing import MAPS as MAPS
from ._morphing import TARGETS as TARGETS
from ._morphing import Morphed as Morphed
from ._morphing import Target as Target
from ._morphing import all_morphed as all_morphed
from ._morphing import morphed as morphed
from ._morphing import target_of as target_of
from ._polygon import Polygon as Polygon
from ._product import Product as Product
from ._revolution import Revolution as Revolution
from ._rounded import RoundedRectangle as RoundedRectangle
from ._surface import Surface as Surface
from ._surface_files import LARGEST_SURFACE_FILE as LARGEST_SURFACE_FILE
from ._transformed import Transformed as Transformed
from ._triangles import boundary_loops as boundary_loops
from ._triangles import corners_of as corners_of
from ._triangles import interpolation as interpolation
from ._triangles import mass as mass
from ._triangles import mean_values as mean_values
from ._triangles import oriented_triangles as oriented_triangles
from ._triangles import outermost_of as outermost_of
from ._triangles import quartered as quartered
from ._triangles import stiffness as stiffness
from ._triangulated import triangulated as triangulated
