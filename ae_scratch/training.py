"""Training: epochs over shuffled batches, what is remembered of them, and the same figures for data that is not trained on."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from .errors import DivergedError
from .inputs import as_floats
from .kernels import philox
from .kernels.reference import Array
from .losses import Loss
from .network import Network, objective_and_gradients
from .noise import GaussianNoise
from .optimizers import SGD, Adam
from .progress import Progress

Figures = dict[str, float]
History = dict[str, list[float]]


class Job(NamedTuple):
    """What is trained, on what, how: inputs X (n, n_in), targets T (n, n_out), of the network's dtype or uint8.

    divisor: what both are divided by, if anything, as they are read; noise is added after that.
    """

    network: Network
    loss: Loss
    optimizer: SGD | Adam
    X: Array
    T: Array
    batch_size: int
    seed: int
    noise: GaussianNoise | None = None
    divisor: float | None = None


def train(job: Job, epochs: int, history: History, progress: Progress | None = None) -> None:
    """Train ``job.network`` in place for so many epochs, and append the figures of each to ``history``.

    Every epoch visits all rows in a new order; the last batch may be smaller. ``history`` gains ``objective = loss +
    penalty``, ``loss`` and ``penalty``: means over the batches, weighted by their rows, measured while the parameters move.

    Raises DivergedError when the objective or a parameter is no longer finite. Ctrl-C raises KeyboardInterrupt after the
    current step.
    """
    network, n = job.network, len(job.X)
    grads = network.params.zeros_like()
    with interrupt_deferred() as interrupted, np.errstate(over="ignore", invalid="ignore"):
        for epoch in range(epochs):
            order, sums = philox.permutation(job.seed, epoch, n), np.zeros(2)
            for start in range(0, n, job.batch_size):
                rows = order[start:start + job.batch_size]
                X, T = batch_of(job, epoch, rows)
                loss, penalty = objective_and_gradients(network, job.loss, X, T, grads)
                require_finite(np.array([loss, penalty]), "the objective", epoch, start // job.batch_size)
                job.optimizer.step(network.params.vector, grads.vector)
                sums += len(rows) * np.array([loss, penalty])
                if progress:
                    progress.batch(epoch, (start + len(rows)) / n, sums.sum() / (start + len(rows)))
                if interrupted.is_set():
                    raise KeyboardInterrupt
            require_finite(network.params.vector, "a parameter", epoch, start // job.batch_size)
            record(history, figures_of(*(sums / n)), epoch, progress)
        if interrupted.is_set():  # in the last moments of the last epoch
            raise KeyboardInterrupt


def batch_of(job: Job, epoch: int, rows: Array) -> tuple[Array, Array]:
    """Return inputs and targets of these rows in an epoch: in the network's dtype, scaled, the inputs noisy if they shall be."""
    X = as_floats(job.X[rows], job.network.dtype, job.divisor)
    T = X if job.T is job.X else as_floats(job.T[rows], job.network.dtype, job.divisor)
    return X if job.noise is None else job.noise.corrupt(X, job.seed, epoch, rows), T


def evaluate(network: Network, loss: Loss, X: Array, T: Array, batch_size: int, chunk: int = 1024,
             divisor: float | None = None) -> Figures:
    """Return objective, loss and penalty over all rows of X and T, with the parameters as they are.

    The penalty is that of a batch of ``batch_size`` average rows, so that it compares with training and does not depend on
    ``chunk``, the number of rows that are computed at a time. divisor: what X and T are divided by, if anything, as they are
    read.
    """
    sums = np.zeros(2)
    for start in range(0, len(X), chunk):
        Y, A = network.forward(as_floats(X[start:start + chunk], network.dtype, divisor))
        value, _ = loss.forward(Y, as_floats(T[start:start + chunk], network.dtype, divisor))
        sums += len(Y) * value, batch_size * network.penalty(A, batch_size)
    return figures_of(*(sums / len(X)))


def record(history: History, figures: Figures, epoch: int, progress: Progress | None) -> None:
    """Append the figures of an epoch to the history, and report it."""
    for name, value in figures.items():
        history.setdefault(name, []).append(value)
    if progress:
        progress.epoch(epoch, figures["objective"])


def figures_of(loss: float, penalty: float) -> Figures:
    """Return loss and penalty and their sum, the objective, by name."""
    return {"objective": float(loss + penalty), "loss": float(loss), "penalty": float(penalty)}


def require_finite(values: Array, what: str, epoch: int, step: int) -> None:
    """Raise DivergedError unless all values are finite."""
    if not np.isfinite(values).all():
        raise DivergedError(f"training diverged: {what} is no longer finite in epoch {epoch + 1}, step {step + 1}; try a smaller "
                            "learning_rate, or inputs of a smaller scale", epoch=epoch, step=step)


@contextmanager
def interrupt_deferred() -> Iterator[threading.Event]:
    """Let Ctrl-C set the event that is yielded rather than strike in the middle of a step.

    Only where Python's own handler is in place and in the main thread, which alone may set handlers; a second Ctrl-C strikes
    at once.
    """
    interrupted = threading.Event()
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def remember(*_: object) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if ours:
        signal.signal(signal.SIGINT, remember)
    try:
        yield interrupted
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
