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
from ._csg import Difference as Difference
from ._csg import Intersection as Intersection
from ._csg import Union as Union
from ._domain import TERMINAL as TERMINAL
from ._domain import Domain as Domain
from ._edges import nearest_on_edges as nearest_on_edges
from ._mesh import Mesh as Mesh
from ._polygon import Polygon as Polygon
from ._product import Product as Product
from ._triangulated import triangulated as triangulated
