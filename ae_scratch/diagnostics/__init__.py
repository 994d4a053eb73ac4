"""Questions to a model and its data: is the code alive, do the data suit, does it learn, is it worth it, what is anomalous.

Functions beside the estimator. What they return prints as a table; ``to_dict`` makes it ready for JSON.
"""

from .anomalies import FeatureError, anomalous_features, anomaly_threshold
from .baselines import Baseline, Comparison, ExcessLoss, compare_baselines, excess_loss, loss_floor
from .codes import CodeStatistics, code_statistics
from .data import DataWarning, check_data
from .sanity import SanityCheck, SanityReport, sanity_check
from .tables import to_dict

__all__ = [
    "anomalous_features", "anomaly_threshold", "check_data", "code_statistics", "compare_baselines", "excess_loss",
    "loss_floor", "sanity_check", "to_dict",
    "Baseline", "CodeStatistics", "Comparison", "DataWarning", "ExcessLoss", "FeatureError", "SanityCheck", "SanityReport",
]
