"""Training: epochs over shuffled batches, what is remembered of them, and the same figures for data that is not trained on."""

from __future__ import annotations

import copy
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .errors import DivergedError
from .inputs import as_floats
from .kernels import philox
from .kernels.memory import Arrays
from .kernels.reference import Array
from .losses import Loss
from .network import Network, objective_and_gradients
from .noise import Noise
from .optimizers import SGD, Adam
from .progress import Progress
from .scaling import Scaling
from .streaming import Batches, mapping, release

log = logging.getLogger(__name__)

Figures = dict[str, float]
History = dict[str, list[float]]


class Watch(NamedTuple):
    """What happens between epochs: ``measure`` returns further figures of the epoch; then, when the history has them all,
    ``enough`` says whether training ends here."""

    measure: Callable[[], Figures]
    enough: Callable[[Figures], bool]


class Position(NamedTuple):
    """How far a training has come: whole epochs done, and steps of the next one.

    sums: of these steps, (k, 3): loss, penalty and rows as the engine adds them up, in one row or a row per step. ended: a
    callback has said that the last whole epoch is enough.
    """

    epoch: int = 0
    step: int = 0
    sums: Array = np.zeros((0, 3))
    ended: bool = False


class Saving:
    """When the position of a training is handed to ``write``, if to any: after every so many steps, or after whole epochs if
    ``every`` is None; when the training ends, and when Ctrl-C stops it.

    start: the position where the training begins.
    """

    def __init__(self, write: Callable[[Position], None] | None = None, every: int | None = None, start: Position = Position()):
        self.write, self.every, self.start = write, every if write else None, start
        self.left = self.every or math.inf  # steps until the next time

    def begin(self, epoch: int) -> Position:
        """Return where an epoch begins: at its first step, or where the training does."""
        return self.start if epoch == self.start.epoch else Position(epoch)

    def due(self, steps: int) -> bool:
        """Return whether it is time, after so many steps more."""
        self.left -= steps
        return self.left <= 0

    def save(self, position: Position) -> None:
        self.left = self.every or math.inf
        if self.write:
            self.write(position)


class Job(NamedTuple):
    """What is trained, on what, how: inputs X (n, n_in), targets T (n, n_out), or batches of inputs that are targets as well.

    scaling: what is done to both, if anything, as they are read; noise is added after that. rows: the numbers of the rows to
    train on, all by default.
    """

    network: Network
    loss: Loss
    optimizer: SGD | Adam
    X: Any  # an Array, or Batches
    T: Any
    batch_size: int
    seed: int
    noise: Noise | None = None
    scaling: Scaling | None = None
    rows: Array | None = None

    def order(self, epoch: int) -> Array:
        """Return the order in which an epoch visits the rows, or the batches."""
        n = len(self.X if self.rows is None else self.rows)
        order = philox.permutation(self.seed, epoch, n)
        return order if self.rows is None else self.rows[order]


def train(job: Job, epochs: int, history: History, progress: Progress | None = None, first: int = 0,
          watch: Watch | None = None, saving: Saving | None = None) -> None:
    """Train ``job.network`` in place for so many epochs, the first of which has the number ``first``, and append the figures of
    each to ``history``.

    Every epoch visits all rows in a new order; the last batch may be smaller. ``history`` gains ``objective = loss +
    penalty``, ``loss`` and ``penalty``: means over the batches, weighted by their rows, measured while the parameters move; and
    what ``watch`` measures besides. saving: where in its first epoch the training begins, and how it is saved on its way.

    Raises DivergedError in the first step whose objective is not finite, or that leaves a parameter or a moment of the
    optimizer that is not: parameters and optimizer then are, to the byte, as they were before that step, and the history ends
    with the last whole epoch. Ctrl-C raises KeyboardInterrupt after the current step.
    """
    saving = saving or Saving()
    with interrupt_deferred() as interrupted, np.errstate(over="ignore", invalid="ignore"):
        for epoch in range(first, first + epochs):
            figures = train_epoch(job, epoch, progress, saving, interrupted)
            ended = record(history, figures, epoch, progress, watch)
            save_epoch(saving, epoch, ended, last=epoch + 1 == first + epochs)
            if ended:
                return
        if interrupted.is_set():  # in the last moments of the last epoch
            raise KeyboardInterrupt


def train_epoch(job: Job, epoch: int, progress: Progress | None, saving: Saving, interrupted: threading.Event) -> Figures:
    """Train for an epoch, or what is left of it, and return its figures."""
    grads, batches, start = job.network.params.zeros_like(), batches_of(job, epoch), saving.begin(epoch)
    sums, good = start.sums.sum(axis=0), Checkpoint(job, start.step)  # one row, or none
    for step, batch in enumerate(batches[start.step:], start=start.step + 1):
        X, T = batch_of(job, epoch, batch)
        figures, stop = take_step(job, X, T, grads), interrupted.is_set()
        last, due = step == len(batches), saving.due(1)
        if not all_finite(figures) or ((stop or last or due) and problem(job, figures)):
            figures = replay(job, good, epoch, step, lambda step: take_step(job, *batch_of(job, epoch, batches[step]), grads))
        sums += len(X) * figures[0], len(X) * figures[1], len(X)
        if progress:
            progress.batch(epoch, step / len(batches), sums[:2].sum() / sums[2])
        if stop or (due and not last):
            save_step(saving, Position(epoch, step, sums[None].copy()), stop)
    return figures_of(*(sums[:2] / sums[2]))


def batches_of(job: Job, epoch: int) -> list[Array]:
    """Return the batches of an epoch: the numbers of the rows of each, or the number of a batch."""
    order = job.order(epoch)
    return list(order) if isinstance(job.X, Batches) else np.split(order, range(job.batch_size, len(order), job.batch_size))


def take_step(job: Job, X: Array, T: Array, grads: Arrays) -> Array:
    """Train on a batch, and return loss and penalty as they were before."""
    figures = objective_and_gradients(job.network, job.loss, X, T, grads)
    job.optimizer.step(job.network.params.vector, grads.vector)
    return np.array(figures)


def batch_of(job: Job, epoch: int, rows: Array) -> tuple[Array, Array]:
    """Return inputs and targets of a batch: in the network's dtype, scaled, the inputs noisy if they shall be.

    rows: the numbers of its rows, or its own number in a sequence of batches.
    """
    X = T = as_floats(job.X[rows], job.network.dtype, job.scaling)
    if isinstance(job.X, Batches):
        rows = (int(rows) << 32) + np.arange(len(X))  # the address of their noise, whatever the sizes of the other batches
    else:
        T = X if job.T is job.X else as_floats(job.T[rows], job.network.dtype, job.scaling)
        release(job.X, job.T)
    return X if job.noise is None else job.noise.corrupt(X, job.seed, epoch, rows), T


def evaluate(network: Network, loss: Loss, X: Array, T: Array, batch_size: int, chunk: int = 1024,
             scaling: Scaling | None = None) -> Figures:
    """Return objective, loss and penalty over all rows of X and T, with the parameters as they are.

    The penalty is that of a batch of ``batch_size`` average rows, so that it compares with training and does not depend on
    ``chunk``, the number of rows that are computed at a time. scaling: what is done to X and T, if anything, as they are read.
    """
    loss_sum = 0.0
    sums: list[Array | float] = [0.0] * len(network.layers)
    for start in range(0, len(X), chunk):
        Y, A = network.forward(as_floats(X[start:start + chunk], network.dtype, scaling))
        value, _ = loss.forward(Y, as_floats(T[start:start + chunk], network.dtype, scaling))
        loss_sum += len(Y) * value
        sums = [total + part for total, part in zip(sums, network.statistics(A))]
        release(X, T)
    return figures_of(loss_sum / len(X), network.penalty_of([total / len(X) for total in sums], batch_size))


def record(history: History, figures: Figures, epoch: int, progress: Progress | None, watch: Watch | None) -> bool:
    """Append the figures of an epoch to the history, report it, and return whether training ends here."""
    if watch:
        figures.update(watch.measure())
    log.info("epoch %d: %s", epoch + 1, ", ".join(f"{name} {value:.6g}" for name, value in figures.items()))
    for name, value in figures.items():
        history.setdefault(name, []).append(value)
    if progress:
        progress.epoch(epoch, figures)
    return watch is not None and watch.enough(figures)


def save_step(saving: Saving, position: Position, stop: bool) -> None:
    """Save a training within an epoch; raise KeyboardInterrupt if it is to stop there."""
    saving.save(position)
    if stop:
        raise KeyboardInterrupt


def save_epoch(saving: Saving, epoch: int, ended: bool, last: bool) -> None:
    """Save a training after a whole epoch, if it is time or there is none to follow."""
    if saving.every is None or saving.due(0) or ended or last:
        saving.save(Position(epoch + 1, ended=ended))


def figures_of(loss: float, penalty: float) -> Figures:
    """Return loss and penalty and their sum, the objective, by name."""
    return {"objective": float(loss + penalty), "loss": float(loss), "penalty": float(penalty)}


class Checkpoint:
    """What steps change, the parameters and the state of the optimizer, as it was before some step of an epoch."""

    def __init__(self, job: Job, step: int = 0):
        self.job, self.step, self.made = job, step, time.monotonic()
        self.theta, self.state = job.network.params.vector.copy(), copy.deepcopy(vars(job.optimizer))

    def renew(self, step: int) -> None:
        """Take the state as it is now, before some step, in place of the one before: into the same memory, which is faster."""
        self.step, self.made, self.theta[:] = step, time.monotonic(), self.job.network.params.vector
        for name, value in vars(self.job.optimizer).items():
            if isinstance(value, np.ndarray):
                self.state[name][:] = value
            else:
                self.state[name] = value

    def restore(self) -> None:
        """Put it back, into the same arrays."""
        self.job.network.params.vector[:] = self.theta
        for name, value in self.state.items():
            if isinstance(value, np.ndarray):
                getattr(self.job.optimizer, name)[:] = value
            else:
                setattr(self.job.optimizer, name, value)


def replay(job: Job, good: Checkpoint, epoch: int, stop: int, take: Callable[[int], Array]) -> Array:
    """Go back to the checkpoint, take the steps to before ``stop`` again, with a closer look, and raise DivergedError before
    the first bad one; return the last one's figures if none is bad, as where data that are read again have changed.

    A value that is not finite stays so, step by step: hence training looks at parameters and moments now and then only, and
    comes here when it finds one, or an objective that is not finite. take: takes a step and returns its figures.
    """
    good.restore()
    for step in range(good.step, stop):
        before = Checkpoint(job, step)
        figures = take(step)
        if what := problem(job, figures):
            layer = None if what == "the objective" else bad_parameter(job)
            before.restore()
            layer = layer or bad_output(job, epoch, step, figures)
            where = f"the {layer}" if layer in ("inputs", "loss", "penalty") else f"layer {layer}"
            raise DivergedError(f"training diverged: {what} is no longer finite in {where}, epoch {epoch + 1}, step {step + 1}; "
                                "try a smaller learning_rate, or inputs of a smaller scale", epoch=epoch, step=step, layer=layer)
    return figures


def bad_parameter(job: Job) -> str:
    """Return the name of the first layer that has a parameter, or a moment of one, that is not finite: one has."""
    params, optimizer = job.network.params, vars(job.optimizer).values()
    vectors = params.vector, *(array for array in optimizer if isinstance(array, np.ndarray))
    return next(name.rpartition(".")[0] for vector in vectors
                for name, array in Arrays(params.shapes, params.dtype, vector).items() if not all_finite(array))


def bad_output(job: Job, epoch: int, step: int, figures: Array) -> str:
    """Return the name of the first layer whose output for the batch of a step is not finite; else "loss" or "penalty"; "inputs"
    if they are no longer there."""
    if any(file is not None and file.size() < len(file) for file in map(mapping, (job.X, job.T))):
        return "inputs"  # a file that was cut off since it was mapped: reading behind its end would kill the process
    X, _ = batch_of(job, epoch, batches_of(job, epoch)[step])
    names, name = iter(job.network.params), ""
    with np.errstate(over="ignore", invalid="ignore"):
        _, A = job.network.forward(X)
    for layer, Y in zip(job.network.layers, A[1:]):
        for _ in layer.parameters:
            name = next(names).rpartition(".")[0]
        if not all_finite(Y):
            return name
    return "penalty" if np.isfinite(figures[0]) else "loss"


def problem(job: Job, figures: Array) -> str | None:
    """Return what is not finite after steps with these figures, or None."""
    moments = [array for array in vars(job.optimizer).values() if isinstance(array, np.ndarray)]
    if not all_finite(figures):
        return "the objective"
    if not all_finite(job.network.params.vector):
        return "a parameter"
    return None if all(map(all_finite, moments)) else "a moment of the optimizer"


def all_finite(values: Array) -> bool:
    """Return whether no value is infinite or NaN. A finite sum, which is quicker, tells; one that overflows does not."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum()) or np.isfinite(values).all())


class Deferred:
    """A handler of Ctrl-C that sets an event rather than strike; a second Ctrl-C strikes at once."""

    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self, *_: object) -> None:
        if self.event.is_set():
            raise KeyboardInterrupt
        self.event.set()


@contextmanager
def interrupt_deferred() -> Iterator[threading.Event]:
    """Let Ctrl-C set the event that is yielded rather than strike in the middle of a step: one event for all such contexts within
    one another.

    Only where Python's own handler is in place and in the main thread, which alone may set handlers.
    """
    main = threading.current_thread() is threading.main_thread()
    handler, deferred = signal.getsignal(signal.SIGINT) if main else None, Deferred()
    if isinstance(handler, Deferred):
        yield handler.event
        return
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, deferred)
    try:
        yield deferred.event
    finally:
        if handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, handler)
