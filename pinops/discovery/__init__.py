"""Equations found from data: sparse regression on the columns of a term library.

What is special here is that the noise of the data is followed into every row of the regression: it
says how rows are weighted, how large error bars are, and which of two supports is better.
"""

from ._discover import discover as discover
from ._discovery import Candidate as Candidate
from ._discovery import Discovery as Discovery
from ._forms import Form as Form
from ._forms import Strong as Strong
from ._forms import Weak as Weak
from ._library import library_for as library_for
from ._problem import DiscoveredProblem as DiscoveredProblem
from ._regression import Fit as Fit
