"""From settings and data to a fitted model: how data are read, what a training begins with, and what it leaves."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import inputs, scaling
from .callbacks import Callbacks, Training
from .errors import DivergedError
from .kernels.philox import permutation
from .kernels.reference import Array
from .losses import LOSSES, BinaryCrossEntropy, Loss
from .network import Network
from .optimizers import SGD, Adam
from .progress import Progress
from .scaling import Scaling
from .settings import Settings
from .streaming import Batches, is_sequence_of_batches, mapping
from .training import Checkpoint, Figures, History, Job, Saving, Watch, evaluate, interrupt_deferred, train

if TYPE_CHECKING:
    from typing_extensions import Self

    from .checkpoints import Run

HELD_OUT = 2**32 - 1  # the epoch whose shuffle says which rows are for validation: none is ever trained


class Fitted(NamedTuple):
    """What ``fit`` makes: taken over as a whole, at its end."""

    network: Network
    encoder_layers: int
    loss: Loss
    scaling: Scaling | None
    optimizer: SGD | Adam
    history: History
    seed: int
    feature_names: Array | None = None


class Fitting(Settings):
    """What ``fit`` and ``partial_fit`` are made of."""

    def _start(self, X: Any, y: Any) -> tuple[Array | Batches, Array | Batches, Fitted]:
        """The data as training reads them, and a model that has seen nothing yet."""
        loss, dtype, names = LOSSES[self.loss](), np.dtype(self.dtype), inputs.column_names(X)
        seed = int.from_bytes(os.urandom(4), "little") if self.random_state is None else int(self.random_state)
        learned = None if self.scaling is None else scaling.learn(self.scaling, self._training_data(X, None, None, dtype)[0])
        X, T = self._training_data(X, y, loss, dtype, learned)
        network, encoder_layers = self._build(X.shape[1], seed)
        return X, T, Fitted(network, encoder_layers, loss, learned, self._optimizer(), {}, seed, names)

    def _go_on(self, X: Any, y: Any) -> tuple[Array | Batches, Array | Batches, Fitted]:
        """The data as training reads them, and the model as it is, or a new one."""
        self._check_settings()
        if not hasattr(self, "network_"):
            return self._start(X, y)
        model = self._as_fitted()
        inputs.require_names(X, model.feature_names, stacklevel=4)
        return *self._training_data(X, y, model.loss, model.network.dtype, model.scaling, self.n_features_in_), model

    def _as_fitted(self) -> Fitted:
        """The model as it is."""
        return Fitted(self.network_, self._encoder_layers, self.loss_, self.scaling_, self.optimizer_, self.history_, self.seed_,
                      getattr(self, "feature_names_in_", None))

    def _training_data(self, X: Any, y: Any, loss: Loss | None, dtype: np.dtype[Any], learned: Scaling | None = None,
                       n_features: int | None = None) -> tuple[Array | Batches, Array | Batches]:
        """Inputs and targets, checked; the targets' range too, if there is a loss."""
        exact = self.scaling in ("minmax", "standard")

        def read(part: Any, name: str, target: Any = None) -> tuple[Array, Array]:
            return pair(part, target, loss, dtype, learned, n_features, name, exact)

        if is_sequence_of_batches(X):
            if y is not None and np.ndim(y) != 1:
                raise ValueError("a sequence of batches is its own target: expected y=None")
            batches = Batches(X, lambda part, name: read(part, name)[0])
            n_features = batches.shape[1]
            return batches, batches
        return read(X, "X", y)

    def _validation(self, X: Array | Batches, T: Array | Batches, given: Any, model: Fitted) -> tuple[Array | None, Any]:
        """The rows to train on, None for all, and inputs and targets to measure on, None for none."""
        if given is not None:
            X, y = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
            return None, pair(X, y, model.loss, model.network.dtype, model.scaling, model.network.widths[0], "validation data")
        if not self.validation_fraction:
            return None, None
        if isinstance(X, Batches) or isinstance(T, Batches):
            raise ValueError("validation_fraction needs rows to draw from, not a sequence of batches: use validation_data")
        order, held = permutation(model.seed, HELD_OUT, len(X)), max(1, round(self.validation_fraction * len(X)))
        if held == len(X):
            raise ValueError(f"validation_fraction={self.validation_fraction} leaves nothing of {len(X)} rows to train on")
        rows = np.sort(order[:held])
        return np.sort(order[held:]), (X[rows], X[rows] if T is X else T[rows])

    def _train(self, model: Fitted, X: Array | Batches, T: Array | Batches, epochs: int, rows: Array | None = None,
               validation: Any = None, callbacks: Sequence[Callable[[Training], Any]] = (), run: Run | None = None) -> Self:
        """Train the model for so many more epochs, and take it over. run: where to save it on its way, and what was saved."""
        network, loss, noise = model.network, model.loss, self.noise
        once = noise is not None and noise.redraw == "once" and model.scaling is None and mapping(X) is None
        if noise and once and isinstance(X, np.ndarray) and X.dtype == network.dtype:  # others: per epoch, rather than a copy
            X, noise = noise.corrupt(X, model.seed), None
        job = Job(without_output(network, loss), loss, model.optimizer, X, T, self.batch_size, model.seed, noise, model.scaling,
                  rows)
        first = len(model.history.get("objective", ()))
        told = Callbacks(callbacks, Training(copy.copy(self)._adopt(model), job, model.history, first + epochs))

        def measure() -> Figures:
            measured = {} if validation is None else self._figures(network, loss, model.scaling, *validation)
            return {f"val_{name}": value for name, value in measured.items()}

        watch = Watch(measure, told.epoch)
        progress = Progress(first + epochs, lines=self.verbose > 1) if self.verbose else None
        in_place = model.network is getattr(self, "network_", None)  # as partial_fit trains it
        with interrupt_deferred() as interrupted, unharmed(job, model.history) if in_place else nullcontext():
            try:
                saving = Saving() if run is None else run.saving(told, validation)
                told.tell("begin")
                if run:
                    run.ready(told)
                if epochs and not saving.start.ended:
                    self._epochs(job, epochs, model.history, progress, first, watch, saving)
                told.tell("end")
            except KeyboardInterrupt:
                self._adopt(model)
                raise
            finally:
                if progress:
                    progress.close()
            self._adopt(model)
        if interrupted.is_set():  # in the last moments
            raise KeyboardInterrupt
        return self

    def _epochs(self, job: Job, epochs: int, history: History, progress: Progress | None, first: int, watch: Watch,
                saving: Saving) -> None:
        """Do what ``training.train`` does, by the engine that is set."""
        if progress:
            progress.begin(first, "compiling (on first use)" if self.engine == "numba" else "")
        if self.engine == "numba":
            compiled().train(job, epochs, history, progress, first, watch, self.threads, saving)
        else:
            train(job, epochs, history, progress, first, watch, saving)

    def _figures(self, network: Network, loss: Loss, learned: Scaling | None, X: Array, T: Array) -> Figures:
        """Objective, loss and penalty of checked data, by the engine that is set."""
        network = without_output(network, loss)
        if self.engine == "numba":
            figures: Figures = compiled().evaluate(network, loss, X, T, self.batch_size, self.threads, learned)
            return figures
        return evaluate(network, loss, X, T, self.batch_size, scaling=learned)

    def _adopt(self, model: Fitted) -> Self:
        """Take over what ``fit`` has made, all at once."""
        self.network_, self._encoder_layers, self.loss_, self.scaling_, self.optimizer_, self.history_, self.seed_ = model[:-1]
        self.n_features_in_ = model.network.widths[0]
        vars(self).pop("feature_names_in_", None)  # there is one after a fit to a data frame only
        if model.feature_names is not None:
            self.feature_names_in_ = model.feature_names
        return self


@contextmanager
def unharmed(job: Job, history: History) -> Iterator[None]:
    """What ends a training anywhere but after a good step puts back what it had changed."""
    before, first = Checkpoint(job), len(history.get("objective", ()))
    try:
        yield
    except (KeyboardInterrupt, DivergedError):
        raise
    except BaseException:
        before.restore()
        for figures in history.values():
            del figures[first:]
        raise


def has_offset(learned: Scaling | None) -> bool:
    return learned is not None and learned.offset is not None


def compiled() -> Any:
    """The compiled engine, which imports numba: only when asked for."""
    from . import engine

    return engine


def pair(X: Any, y: Any, loss: Loss | None, dtype: np.dtype[Any], learned: Scaling | None, n_features: int | None = None,
         name: str = "X", exact: bool | None = None) -> tuple[Array, Array]:
    """Inputs and targets, checked; the inputs twice if y is None, or labels that a pipeline hands on. exact: of ``as_data``."""
    exact = has_offset(learned) if exact is None else exact

    def limits(name: str) -> inputs.Limits | None:
        """What the loss asks of a target, in scaled units."""
        if not isinstance(loss, BinaryCrossEntropy):
            return None
        return lambda low, high: inputs.require_unit_interval(low, high, name, dtype, learned)

    shape = None if y is None else np.asarray(y).shape
    if shape is None or len(shape) == 1:
        X = inputs.as_data(X, dtype, n_features, name, exact, limits(name))
        return X, X
    X = inputs.as_data(X, dtype, n_features, name, exact)
    if shape and shape != X.shape:
        raise ValueError(f"expected y of X's shape {X.shape}, or 1-D (labels, ignored), got shape {shape}")
    return X, inputs.as_data(y, dtype, X.shape[1], "y", exact, limits("y"))


def without_output(network: Network, loss: Loss) -> Network:
    """The network that the loss is applied to: a loss that contains the output activation takes what comes before it."""
    return network[:-1] if isinstance(network.layers[-1], loss.output_activation) else network
