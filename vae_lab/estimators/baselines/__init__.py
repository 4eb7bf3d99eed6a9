"""Parts of a baseline for score-function gradients."""

from vae_lab.estimators.baselines.batch_mean import BatchMean
from vae_lab.estimators.baselines.leave_one_out import LeaveOneOut
from vae_lab.estimators.baselines.network import Network
from vae_lab.estimators.baselines.running_mean import RunningMean
from vae_lab.estimators.baselines.variance_normalization import VarianceNormalization

__all__ = ["BatchMean", "LeaveOneOut", "Network", "RunningMean", "VarianceNormalization"]
