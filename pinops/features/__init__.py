"""Functions that have the steep or singular part of a solution in closed form.

Networks are smooth on the scale of the domain. What is not smooth is often known before anything
is computed, from the shape of the domain, the data and the coefficients alone: it goes into
`Problem.features`, which networks see, or into `Problem.lift`, which is part of the solution. Two
instances, each one line of a problem:

* ``features``: ``(po.features.layer(1 - x, width=0.01),)``, of a boundary layer at x = 1;
* ``lift``: ``self.strength * po.features.corner(x, y, at=(0, 0), opening=1.5 * jnp.pi)``, where
  ``strength`` is trainable: the singular part at a corner, with a free coefficient.

Each function returns one number, finite with finite derivatives at the singular point itself.
"""

from pinops.features._corners import angle as angle
from pinops.features._corners import corner as corner
from pinops.features._layers import front as front
from pinops.features._layers import layer as layer
from pinops.features._layers import similarity as similarity
