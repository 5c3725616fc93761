"""The front doors: solve, invert, train, load; and what they return.

**All doors share one way** (`_door.py`): options are checked, a plan is assembled for each seed,
and one training or an ensemble of them runs in one vectorised program. What a training leaves is a
`Trained`.

**A warm start keeps the sizes of its network.** An unknown is centre + spread times the output of
the network (`pinops.problem.Scales`): in hundreds of dimensions a sum is far from 0 and varies
little, and Adam would spend its steps on its size. The numbers are kept in ``run.json``, and a warm
start of `solve` goes on with those of the run that it starts from.
"""

from pinops.data import read_run as read_run
from pinops.solvers._acquire import acquire as acquire
from pinops.solvers._allowed import allowed as allowed
from pinops.solvers._answer import Answer as Answer
from pinops.solvers._distill import distill as distill
from pinops.solvers._ensemble import Ensemble as Ensemble
from pinops.solvers._load import load as load
from pinops.solvers._multifidelity import MultiFidelity as MultiFidelity
from pinops.solvers._prediction import Prediction as Prediction
from pinops.solvers._pretrained import MODELS as MODELS
from pinops.solvers._pretrained import pretrained as pretrained
from pinops.solvers._recipe import default_collocation as default_collocation
from pinops.solvers._solution import Solution as Solution
from pinops.solvers._solve import invert as invert
from pinops.solvers._solve import solve as solve
from pinops.solvers._train import train as train
from pinops.solvers._trained import Trained as Trained
from pinops.solvers._trained_hypernetwork import TrainedHypernetwork as TrainedHypernetwork
from pinops.solvers._trained_map import TrainedMap as TrainedMap
from pinops.solvers._trained_mmgp import TrainedMMGP as TrainedMMGP
from pinops.solvers._trained_multifidelity import TrainedMultiFidelity as TrainedMultiFidelity
from pinops.solvers._trained_operator import TrainedOperator as TrainedOperator
from pinops.solvers._trained_point_map import TrainedPointMap as TrainedPointMap
from pinops.solvers._trained_point_surrogate import TrainedPointSurrogate as TrainedPointSurrogate
from pinops.solvers._trained_surrogate import TrainedSurrogate as TrainedSurrogate
from pinops.solvers._trained_uncertain import TrainedUncertain as TrainedUncertain
from pinops.solvers._windows import WindowedSolution as WindowedSolution
