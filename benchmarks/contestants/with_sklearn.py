"""scikit-learn's MLPRegressor: the same layers and optimizer; it knows no cross-entropy here, so it minimises squared error."""

from __future__ import annotations

import numpy as np
from sklearn.neural_network import MLPRegressor

from .worker import BETA1, BETA2, EPS, LEARNING_RATE, Job


class Regressor:
    """One call of partial_fit is one epoch, in batches; it draws its own weights and order."""

    def __init__(self, job: Job):
        self.X = job.X
        self.model = MLPRegressor(hidden_layer_sizes=[W.shape[1] for W, _ in job.weights[:-1]], activation="relu", solver="adam",
                                  alpha=0, batch_size=job.batch, learning_rate_init=LEARNING_RATE, beta_1=BETA1, beta_2=BETA2,
                                  epsilon=EPS, random_state=0)

    def epoch(self, order: np.ndarray) -> float:
        return self.model.partial_fit(self.X, self.X).loss_

    def encode(self) -> np.ndarray:
        raise NotImplementedError("it gives no access to hidden layers")
