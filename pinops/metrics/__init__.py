"""How far answers are from the truth, and whether they know it.

Two instances: `errors` of a solution against its reference, and `calibration` of an ensemble, which
compares its spread with its errors. NumPy arrays go in, numbers come out; NaN in the truth is a
missing value, which nothing counts.
"""

from pinops.metrics._alarms import auroc as auroc
from pinops.metrics._alarms import rank_correlation as rank_correlation
from pinops.metrics._calibration import Calibration as Calibration
from pinops.metrics._calibration import calibration as calibration
from pinops.metrics._conformal import ConformalBands as ConformalBands
from pinops.metrics._conformal import conformal as conformal
from pinops.metrics._errors import deviations as deviations
from pinops.metrics._errors import errors as errors
from pinops.metrics._errors import ratio as ratio
from pinops.metrics._forecast import prediction_band as prediction_band
from pinops.metrics._rollouts import rollout_metrics as rollout_metrics
from pinops.metrics._rollouts import snapshot_errors as snapshot_errors
from pinops.metrics._rollouts import spectrum as spectrum
from pinops.metrics._scaling_law import Estimate as Estimate
from pinops.metrics._scaling_law import ScalingLaw as ScalingLaw
from pinops.metrics._scaling_law import scaling_law as scaling_law
from pinops.metrics._scores import crps as crps
from pinops.metrics._scores import gaussian_crps as gaussian_crps
from pinops.metrics._scores import pit as pit
from pinops.metrics._scores import rank_histogram as rank_histogram
