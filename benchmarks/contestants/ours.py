"""ae_scratch itself, with both engines; its epoch includes the shuffling, which is handed to the others for free."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ae_scratch.inputs import as_floats
from ae_scratch.kernels.philox import Stream
from ae_scratch.layers import Dense, ReLU
from ae_scratch.losses import BinaryCrossEntropy
from ae_scratch.network import Network
from ae_scratch.optimizers import Adam
from ae_scratch.scaling import BYTES, Scaling
from ae_scratch.training import Job as TrainingJob
from ae_scratch.training import train

from .worker import BETA1, BETA2, EPS, LEARNING_RATE, SEED, Job

FOREVER = 10**9  # epochs


class Interpreted:
    """The NumPy engine. Training runs in a thread that waits at the end of each epoch until the next one is wanted."""

    def __init__(self, job: Job):
        self.threads, self.X = job.threads, job.X
        self.scaling = Scaling(BYTES) if job.X.dtype == np.uint8 else None
        self.network = network_of([len(W) for W, _ in job.weights] + [job.X.shape[1]])
        for array, (name, own) in zip((array for pair in job.weights for array in pair), self.network.params.items()):
            own[...] = array
        adam = Adam(LEARNING_RATE, BETA1, BETA2, EPS)
        self.job = TrainingJob(self.network, BinaryCrossEntropy(), adam, job.X, job.X, job.batch, SEED, scaling=self.scaling)
        self.history: dict[str, list[float]] = {}
        self.wanted, self.done = threading.Semaphore(0), threading.Semaphore(0)
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._train, daemon=True)

    def run(self) -> None:
        train(self.job, FOREVER, self.history, Pauses(self))  # type: ignore[arg-type]

    def predict(self, encoder: Network) -> np.ndarray:
        return encoder.predict(as_floats(self.X, encoder.dtype, self.scaling))

    def epoch(self, order: np.ndarray) -> float:
        if self.thread.ident is None:
            self.thread.start()
        self.wanted.release()
        self.done.acquire()
        if self.failure:
            raise self.failure
        return self.history["loss"][-1]

    def encode(self) -> np.ndarray:
        return self.predict(self.network[:len(self.network.layers) // 2 + 1])

    def _train(self) -> None:
        self.wanted.acquire()
        try:
            self.run()
        except BaseException as error:
            self.failure = error
        self.done.release()


class Compiled(Interpreted):
    """The compiled engine."""

    def __init__(self, job: Job):
        from ae_scratch import engine

        self.engine = engine
        super().__init__(job)

    def settle(self) -> None:
        from ae_scratch.kernels import linked

        linked.load(np.float32, linked.matrix_adam)

    def run(self) -> None:
        self.engine.train(self.job, FOREVER, self.history, Pauses(self), threads=self.threads)

    def predict(self, encoder: Network) -> np.ndarray:
        return self.engine.predict(encoder, self.X, self.threads, self.scaling)


class Pauses:
    """Stands where training reports its progress, and keeps it waiting there."""

    def __init__(self, contestant: Interpreted):
        self.contestant = contestant

    def batch(self, *_: Any) -> None:
        pass

    def epoch(self, *_: Any) -> None:
        self.contestant.done.release()
        self.contestant.wanted.acquire()


def network_of(sizes: list[int]) -> Network:
    """Dense layers of these sizes with ReLU between them, with the weights that seed 0 gives."""
    rng, layers = Stream(SEED), []
    for n_in, n_out in zip(sizes, sizes[1:]):
        layers += [Dense(n_in, n_out, rng, np.dtype("float32")), ReLU()]
    return Network(layers[:-1])
