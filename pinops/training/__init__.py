"""Training: the model that is trained, its points, the loop, checkpoints and progress."""

from pinops.training._checkpoint import difference as difference
from pinops.training._checkpoint import history_arrays as history_arrays
from pinops.training._checkpoint import load_checkpoint as load_checkpoint
from pinops.training._checkpoint import load_params as load_params
from pinops.training._checkpoint import save_checkpoint as save_checkpoint
from pinops.training._continuation import Continuation as Continuation
from pinops.training._devices import agreed as agreed
from pinops.training._devices import gathered as gathered
from pinops.training._devices import mesh_of as mesh_of
from pinops.training._model import Model as Model
from pinops.training._model import Params as Params
from pinops.training._model import evaluate as evaluate
from pinops.training._model import interior_score as interior_score
from pinops.training._model import split as split
from pinops.training._points import Collocation as Collocation
from pinops.training._points import draw as draw
from pinops.training._progress import Progress as Progress
from pinops.training._progress import StopAt as StopAt
from pinops.training._train import Callback as Callback
from pinops.training._train import Outcome as Outcome
from pinops.training._train import Phase as Phase
from pinops.training._train import Report as Report
from pinops.training._train import Training as Training
from pinops.training._train import TrainState as TrainState
from pinops.training._train import train as train
