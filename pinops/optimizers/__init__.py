"""Parameter update rules: optax through one adapter, self-scaled quasi-Newton and least-squares
methods.
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
from pinops.optimizers._quasi_newton import SSBFGS as SSBFGS
from pinops.optimizers._quasi_newton import SSBroyden as SSBroyden
from pinops.optimizers._soap import SOAP as SOAP
from pinops.optimizers._wolfe import strong_wolfe as strong_wolfe
