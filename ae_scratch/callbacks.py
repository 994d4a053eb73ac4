"""Callbacks: what looks at a training after each epoch, and may end it.

Any callable that takes a ``Training`` is one, and returns True to end it; an object may have ``begin`` and ``end`` besides. Where
a training goes on from a checkpoint, ``begin`` finds the figures of the epochs done in ``training.history``.

>>> from ae_scratch import Autoencoder
>>> X = np.random.default_rng(0).random((64, 6))
>>> def watch(training):
...     print(training.epoch, sorted(training.figures), training.model.encode(X).shape)
...     return training.epoch == 2
>>> ae = Autoencoder(code_size=2, epochs=5, engine="numpy", random_state=0).fit(X, callbacks=[watch])
1 ['loss', 'objective', 'penalty'] (64, 2)
2 ['loss', 'objective', 'penalty'] (64, 2)
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .inputs import number, whole
from .training import Checkpoint, Figures, History, Job


class Training:
    """A training between two epochs.

    model: the Autoencoder as it is now, usable and savable; what is kept of it changes with the next epoch unless it is copied.
    history: the figures of the epochs done, ``figures`` those of the last one; ``epochs``: how many there shall be in all.
    """

    def __init__(self, model: Any, job: Job, history: History, epochs: int):
        self.model, self.job, self.history, self.epochs = model, job, history, epochs
        self.figures: Figures = {}

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.history.get("objective", ()))

    def checkpoint(self) -> Checkpoint:
        """Return a copy of parameters and optimizer, whose ``restore()`` puts them back."""
        return Checkpoint(self.job)

    def monitored(self, name: str | None) -> list[float]:
        """Return that figure of each epoch done; None is val_objective if there are validation data, else objective."""
        if not self.epoch:
            return []
        name = name or ("val_objective" if "val_objective" in self.history else "objective")
        if name not in self.history:
            raise ValueError(f"expected monitor to be one of {', '.join(self.history)}, got {name!r}")
        return self.history[name]


class Callbacks:
    """Several callbacks as one, each of which sees every epoch."""

    def __init__(self, callbacks: Sequence[Callable[[Training], Any]], training: Training):
        for callback in callbacks:
            if not callable(callback):
                raise TypeError(f"expected callbacks that can be called with a Training, got {callback!r}")
        self.callbacks, self.training = callbacks, training

    def tell(self, when: str) -> None:
        """Call ``begin`` or ``end`` of those that have it."""
        self.training.figures = {}
        for callback in self.callbacks:
            getattr(callback, when, lambda training: None)(self.training)

    def stoppings(self) -> list[EarlyStopping]:
        """Return those that keep the best parameters."""
        return [callback for callback in self.callbacks if isinstance(callback, EarlyStopping)]

    def describe(self) -> list[str]:
        """Return what tells those that may change the training from others; of an early stopping, its settings too."""
        changing = [callback for callback in self.callbacks if not isinstance(callback, (CSVLogger, ModelCheckpoint))]
        return [repr(callback) if isinstance(callback, EarlyStopping) else
                getattr(callback, "__qualname__", type(callback).__name__) for callback in changing]

    def epoch(self, figures: Figures) -> bool:
        """Return whether any of them wants the training to end, after an epoch with these figures."""
        self.training.figures = figures
        return any([bool(callback(self.training)) for callback in self.callbacks])  # a list: all of them are to be called


class EarlyStopping:
    """End the training when a figure has not fallen by more than ``min_delta`` for ``patience`` epochs, and go back to the
    parameters, and the state of the optimizer, of the best epoch.

    monitor: a name in ``history_``; None is "val_objective" if there are validation data, else "objective". Afterwards
    ``best`` is the least figure and ``best_epoch`` the epoch that had it, counted from 1, of an object among the ``callbacks``;
    the estimator's argument ``early_stopping`` stays as it is, as all arguments do.

    >>> from ae_scratch import Autoencoder
    >>> X, stopping = np.random.default_rng(0).random((64, 6)), EarlyStopping(patience=2, min_delta=1.0)
    >>> ae = Autoencoder(code_size=2, epochs=9, engine="numpy", random_state=0).fit(X, callbacks=[stopping])
    >>> stopping.best_epoch, len(ae.history_["loss"])
    (1, 3)
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0, monitor: str | None = None, restore_best: bool = True):
        self.patience, self.min_delta = whole(patience, "patience"), number(min_delta, "min_delta")
        self.monitor, self.restore_best = monitor, restore_best

    def begin(self, training: Training) -> None:
        self.best, self.best_epoch = np.inf, 0
        self.best_state: Checkpoint | None = None
        for epoch, value in enumerate(training.monitored(self.monitor), start=1):
            self._is_best(value, epoch)

    def __call__(self, training: Training) -> bool:
        if self._is_best(training.monitored(self.monitor)[-1], training.epoch) and self.restore_best:
            self.best_state = training.checkpoint()
        return training.epoch - self.best_epoch >= self.patience

    def end(self, training: Training) -> None:
        if self.best_state is not None:
            self.best_state.restore()
        self.best_state = None

    def _is_best(self, value: float, epoch: int) -> bool:
        better = value < self.best - self.min_delta
        if better:
            self.best, self.best_epoch = value, epoch
        return better

    def __repr__(self) -> str:
        return (f"EarlyStopping(patience={self.patience}, min_delta={self.min_delta:g}, monitor={self.monitor!r}, "
                f"restore_best={self.restore_best})")


class CSVLogger:
    """Write the figures of each epoch to a CSV file, a line as soon as the epoch is done; a file of that name is replaced."""

    def __init__(self, path: str | os.PathLike[str]):
        self.path = path

    def begin(self, training: Training) -> None:
        self._mode = "w"
        for epoch in range(training.epoch):
            self._write(epoch + 1, {name: values[epoch] for name, values in training.history.items()})

    def __call__(self, training: Training) -> None:
        self._write(training.epoch, training.figures)

    def _write(self, epoch: int, figures: Figures) -> None:
        with open(self.path, self._mode, newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if self._mode == "w":
                writer.writerow(["epoch", *figures])
            writer.writerow([epoch, *map(repr, figures.values())])
        self._mode = "a"


class ModelCheckpoint:
    """Save the model after each epoch, or after those that are the best so far (``best_only``) by the figure ``monitor``, as in
    ``EarlyStopping``; the file is replaced as a whole."""

    def __init__(self, path: str | os.PathLike[str], best_only: bool = True, monitor: str | None = None):
        self.path, self.best_only, self.monitor = path, best_only, monitor

    def begin(self, training: Training) -> None:
        self.best = min(training.monitored(self.monitor), default=np.inf)

    def __call__(self, training: Training) -> None:
        value = training.monitored(self.monitor)[-1]
        if value < self.best or not self.best_only:
            training.model.save(self.path)
        self.best = min(self.best, value)


class LearningRateSchedule:
    """Set the learning rate of each epoch to ``schedule(epoch)``, epochs counted from 0.

    >>> halved = LearningRateSchedule(lambda epoch: 1e-3 * 0.5 ** epoch)
    """

    def __init__(self, schedule: Callable[[int], float]):
        self.schedule = schedule

    def begin(self, training: Training) -> None:
        self(training)

    def __call__(self, training: Training) -> None:
        training.job.optimizer.lr = number(self.schedule(training.epoch), "the learning rate", positive=True)
