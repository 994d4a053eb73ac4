"""Keras as one writes it: a Sequential model and ``fit``, which shuffles by itself."""

from __future__ import annotations

import os

import keras
import numpy as np

from .worker import BETA1, BETA2, EPS, LEARNING_RATE, Job

ROWS = 1024  # encoded at a time


class Fit:
    """model.fit(X, X), one epoch per call."""

    steps_per_execution = 1

    def __init__(self, job: Job):
        if os.environ["KERAS_BACKEND"] == "tensorflow":
            import tensorflow

            tensorflow.config.threading.set_intra_op_parallelism_threads(job.threads)
            tensorflow.config.threading.set_inter_op_parallelism_threads(job.threads)
        self.X, self.batch = job.X, job.batch
        relu = ["relu"] * (len(job.weights) - 1) + [None]
        dense = [keras.layers.Dense(W.shape[1], activation=name) for (W, _), name in zip(job.weights, relu)]
        self.model = keras.Sequential([keras.Input((job.X.shape[1],)), *dense])
        self.model.set_weights([array for pair in job.weights for array in pair])
        self.model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE, BETA1, BETA2, EPS),
                           loss=keras.losses.BinaryCrossentropy(from_logits=True),
                           steps_per_execution=self.steps_per_execution)
        self.encoder = keras.Sequential([keras.Input((job.X.shape[1],)), *dense[:len(dense) // 2]])

    def epoch(self, order: np.ndarray) -> float:
        return self.model.fit(self.X, self.X, batch_size=self.batch, epochs=1, verbose=0).history["loss"][0]

    def encode(self) -> np.ndarray:
        return self.encoder.predict(self.X, batch_size=ROWS, verbose=0)


class FitTuned(Fit):
    """The same with many steps in one compiled call."""

    steps_per_execution = 25
