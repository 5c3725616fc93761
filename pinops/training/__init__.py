"""Training: the model that is trained, its points, the loop, checkpoints and progress.

**Three contracts and one loop** (`_contracts.py`). The loop knows what is trained, where its points
come from and which stages there are, and nothing of networks, operators or surrogates.

**Points come from one object**: a `Collocation` for a problem, a `Draw` for a family or a data set,
`Batches` for trajectories. A `Collocation` holds the numbers of points, the sampler and the
refinement.

**The gradient of a step is a sum over chunks** of points or trajectories that stay in the cache
(`_chunks.py`): the same numbers in less time.

**A surrogate is trained by the same loop.** Its points are trajectories, and its stages are those
of the curriculum. Their numbers are traced, so that nothing is compiled again as more snapshots
follow from predictions.
"""

from pinops.training._bootstrap import Bootstrap as Bootstrap
from pinops.training._checkpoint import check_checkpoint as check_checkpoint
from pinops.training._checkpoint import difference as difference
from pinops.training._checkpoint import difference_of_problems as difference_of_problems
from pinops.training._checkpoint import filled as filled
from pinops.training._checkpoint import history_arrays as history_arrays
from pinops.training._checkpoint import load_checkpoint as load_checkpoint
from pinops.training._checkpoint import load_params as load_params
from pinops.training._checkpoint import named_leaves as named_leaves
from pinops.training._checkpoint import save_checkpoint as save_checkpoint
from pinops.training._chunks import chunk_for as chunk_for
from pinops.training._chunks import chunk_of as chunk_of
from pinops.training._chunks import mean_of_chunks as mean_of_chunks
from pinops.training._clouds import CloudBatches as CloudBatches
from pinops.training._compilation import compiled as compiled
from pinops.training._continuation import Continuation as Continuation
from pinops.training._contracts import Params as Params
from pinops.training._contracts import Source as Source
from pinops.training._contracts import Stages as Stages
from pinops.training._contracts import Trainable as Trainable
from pinops.training._curriculum import Curriculum as Curriculum
from pinops.training._curriculum import Epochs as Epochs
from pinops.training._devices import Device as Device
from pinops.training._devices import agreed as agreed
from pinops.training._devices import check_shared as check_shared
from pinops.training._devices import gathered as gathered
from pinops.training._devices import mesh_of as mesh_of
from pinops.training._finetuning import FineTuning as FineTuning
from pinops.training._finetuning import Given as Given
from pinops.training._finetuning import Tunable as Tunable
from pinops.training._grid_equation import GridEquation as GridEquation
from pinops.training._grid_equation import check_on_grid as check_on_grid
from pinops.training._grid_equation import grid_residuals as grid_residuals
from pinops.training._hypernetwork import SUPERVISED as SUPERVISED
from pinops.training._hypernetwork import HypernetworkModel as HypernetworkModel
from pinops.training._hypernetwork import RandomDraw as RandomDraw
from pinops.training._hypernetwork import divided as divided
from pinops.training._hypernetwork import drawn_problems as drawn_problems
from pinops.training._hypernetwork import sizes_of as sizes_of
from pinops.training._hypernetwork import streams as streams
from pinops.training._inputs import in_a_row as in_a_row
from pinops.training._inputs import inputs_of as inputs_of
from pinops.training._inputs import mean_and_deviation as mean_and_deviation
from pinops.training._inputs import names_in_a_row as names_in_a_row
from pinops.training._inputs import numbers_of as numbers_of
from pinops.training._inputs import statistics_of as statistics_of
from pinops.training._keys import key_of as key_of
from pinops.training._logs import JSONLines as JSONLines
from pinops.training._logs import Log as Log
from pinops.training._logs import MLflow as MLflow
from pinops.training._logs import TensorBoard as TensorBoard
from pinops.training._logs import WeightsAndBiases as WeightsAndBiases
from pinops.training._map import LOSSES as LOSSES
from pinops.training._map import MapModel as MapModel
from pinops.training._map import SampleBatches as SampleBatches
from pinops.training._map import Samples as Samples
from pinops.training._map import mean_and_scale as mean_and_scale
from pinops.training._map import samples_of as samples_of
from pinops.training._map import samples_of_members as samples_of_members
from pinops.training._map_inputs import MapInputs as MapInputs
from pinops.training._map_inputs import fields_in as fields_in
from pinops.training._map_inputs import interpolation as interpolation
from pinops.training._map_inputs import places_on as places_on
from pinops.training._members import SMALLEST as SMALLEST
from pinops.training._members import SolvedMembers as SolvedMembers
from pinops.training._members import evaluate_at_own as evaluate_at_own
from pinops.training._members import evaluate_members as evaluate_members
from pinops.training._memory import check_functions_fit as check_functions_fit
from pinops.training._memory import check_network_fits as check_network_fits
from pinops.training._memory import check_points_fit as check_points_fit
from pinops.training._model import Model as Model
from pinops.training._model import cast as cast
from pinops.training._model import evaluate as evaluate
from pinops.training._model import interior_residuals as interior_residuals
from pinops.training._model import interior_score as interior_score
from pinops.training._model import quantity as quantity
from pinops.training._model import split as split
from pinops.training._operator import DATA as DATA
from pinops.training._operator import Draw as Draw
from pinops.training._operator import Functions as Functions
from pinops.training._operator import Members as Members
from pinops.training._operator import OperatorModel as OperatorModel
from pinops.training._point_inputs import Clouds as Clouds
from pinops.training._point_inputs import PointInputs as PointInputs
from pinops.training._point_inputs import PointSample as PointSample
from pinops.training._point_inputs import fitted_inputs as fitted_inputs
from pinops.training._point_inputs import samples_in as samples_in
from pinops.training._point_map import PointMapModel as PointMapModel
from pinops.training._point_map import evaluate_clouds as evaluate_clouds
from pinops.training._point_steps import PointStepModel as PointStepModel
from pinops.training._point_steps import rolled_clouds as rolled_clouds
from pinops.training._points import Collocation as Collocation
from pinops.training._points import draw as draw
from pinops.training._progress import Progress as Progress
from pinops.training._progress import StopAt as StopAt
from pinops.training._scaling import MAPS as MAPS
from pinops.training._scaling import ParameterScaling as ParameterScaling
from pinops.training._scaling import rounded as rounded
from pinops.training._sizes import size_of as size_of
from pinops.training._state import STEPS as STEPS
from pinops.training._state import UNLIMITED as UNLIMITED
from pinops.training._state import Callback as Callback
from pinops.training._state import Ends as Ends
from pinops.training._state import Outcome as Outcome
from pinops.training._state import Phase as Phase
from pinops.training._state import Report as Report
from pinops.training._state import TrainState as TrainState
from pinops.training._state import endless as endless
from pinops.training._surrogate import Batches as Batches
from pinops.training._surrogate import SurrogateModel as SurrogateModel
from pinops.training._surrogate import Trajectories as Trajectories
from pinops.training._surrogate import Unsolved as Unsolved
from pinops.training._surrogate import as_frames as as_frames
from pinops.training._surrogate import as_real as as_real
from pinops.training._surrogate import frames_of as frames_of
from pinops.training._train import Training as Training
from pinops.training._train import train as train
