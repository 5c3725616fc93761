"""Parameter update rules: optax through one adapter, quasi-Newton and least-squares methods.

**Methods that remember need one objective.** An optimizer that uses the value and gradient of the
last step again (`Optimizer.remembers`) refuses losses that are new in every step.

**Corrections of the inverse Hessian wait beside it**: each step takes one product with the matrix,
and one step in sixteen a pass that writes it. A rank-2 update of the whole matrix in each step
would be bound by memory for thousands of parameters.

**What a training answers with need not be where its next step begins** (`Optimizer.answered`): the
mean of `Averaged` is scored, saved and called, and the steps hardly notice.

**The matrix is stored as 8 blocks of rows**, which devices can share: each multiplies its own rows
and receives the products of the others. Everything before and after is whole on each device (an
explicit `shard_map`; the partitioner, left to itself, splits every vector too).
"""

from pinops.optimizers._least_squares import GaussNewton as GaussNewton
from pinops.optimizers._least_squares import LevenbergMarquardt as LevenbergMarquardt
from pinops.optimizers._least_squares import TruncatedGaussNewton as TruncatedGaussNewton
from pinops.optimizers._least_squares import normal_equations as normal_equations
from pinops.optimizers._newton_cg import NystromNewtonCG as NystromNewtonCG
from pinops.optimizers._only import Only as Only
from pinops.optimizers._optimizer import LBFGS as LBFGS
from pinops.optimizers._optimizer import Adam as Adam
from pinops.optimizers._optimizer import LeastSquares as LeastSquares
from pinops.optimizers._optimizer import Objective as Objective
from pinops.optimizers._optimizer import Optax as Optax
from pinops.optimizers._optimizer import OptaxMethod as OptaxMethod
from pinops.optimizers._optimizer import Optimizer as Optimizer
from pinops.optimizers._optimizer import Step as Step
from pinops.optimizers._optimizer import as_optimizer as as_optimizer
from pinops.optimizers._quasi_newton import MOST_PARAMETERS as MOST_PARAMETERS
from pinops.optimizers._quasi_newton import SSBFGS as SSBFGS
from pinops.optimizers._quasi_newton import SSBroyden as SSBroyden
from pinops.optimizers._soap import SOAP as SOAP
from pinops.optimizers._wolfe import strong_wolfe as strong_wolfe
from pinops.optimizers._wrappers import Accumulated as Accumulated
from pinops.optimizers._wrappers import Averaged as Averaged
from pinops.optimizers._wrappers import innermost as innermost
