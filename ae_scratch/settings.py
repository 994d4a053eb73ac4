"""Settings: what an autoencoder is to be, as its constructor takes it, checked, and the network they describe."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import inputs
from .callbacks import EarlyStopping
from .kernels.philox import Stream
from .kernels.reference import Array
from .layers import ACTIVATIONS, Dense, Layer, TiedDense, Uniform
from .losses import LOSSES
from .network import Network
from .noise import Noise
from .optimizers import OPTIMIZERS, SGD, Adam
from .penalties import REDUCTIONS, KLActivity, L1Activity
from .scaling import SCALINGS

if TYPE_CHECKING:
    from typing_extensions import Self

ENGINES = ("numpy", "numba")


class Settings:
    """The constructor's arguments, which ``Autoencoder`` describes: stored as they are, checked when they are used."""

    def __init__(self, hidden_sizes: Sequence[int] = (128,), code_size: int = 32, *, decoder_sizes: Sequence[int] | None = None,
                 activation: str | Sequence[str] = "relu", code_activation: str = "relu", output_activation: str | None = None,
                 tied_weights: bool = False, loss: str = "binary_crossentropy", l1_activity: float = 0.0,
                 activity_reduction: str = "mean", kl_beta: float = 0.0, kl_rho: float = 0.05, weight_decay: float = 0.0,
                 scaling: str | None = None, noise: Noise | None = None, optimizer: str | SGD | Adam = "adam",
                 learning_rate: float = 1e-3, batch_size: int = 32, epochs: int = 10, validation_fraction: float = 0.0,
                 early_stopping: EarlyStopping | None = None, dtype: str = "float32", engine: str = "numba",
                 threads: int | None = None, random_state: int | None = None, verbose: int = 0):
        self.hidden_sizes = hidden_sizes
        self.code_size = code_size
        self.decoder_sizes = decoder_sizes
        self.activation = activation
        self.code_activation = code_activation
        self.output_activation = output_activation
        self.tied_weights = tied_weights
        self.loss = loss
        self.l1_activity = l1_activity
        self.activity_reduction = activity_reduction
        self.kl_beta = kl_beta
        self.kl_rho = kl_rho
        self.weight_decay = weight_decay
        self.scaling = scaling
        self.noise = noise
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.dtype = dtype
        self.engine = engine
        self.threads = threads
        self.random_state = random_state
        self.verbose = verbose

    __init__.__qualname__ = "Autoencoder.__init__"  # whose arguments they are, as an error about an unknown one says

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments and their values."""
        return {name: getattr(self, name) for name in _arguments()}

    def set_params(self, **params: Any) -> Self:
        """Set constructor arguments by name; a fitted model keeps what it learned until the next ``fit``."""
        known = _arguments()
        for name in params:
            inputs.choose(name, known, "parameter")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        defaults = _arguments()
        changed = {name: value for name, value in self.get_params().items() if repr(value) != repr(defaults[name])}
        return f"Autoencoder({', '.join(f'{name}={value!r}' for name, value in changed.items())})"

    def _check_settings(self) -> None:
        """Raise TypeError or ValueError for a constructor argument that makes no sense."""
        inputs.whole_numbers(self.hidden_sizes, "hidden_sizes")
        inputs.whole_numbers(() if self.decoder_sizes is None else self.decoder_sizes, "decoder_sizes")
        for name in ("code_size", "batch_size", "epochs"):
            inputs.whole(getattr(self, name), name)
        if self.random_state is not None:
            inputs.whole(self.random_state, "random_state", 0, 2**32 - 1)
        if self.threads is not None:
            inputs.whole(self.threads, "threads")
            if self.engine == "numpy":
                raise ValueError("threads belongs to engine='numba'; NumPy's are set by variables such as OPENBLAS_NUM_THREADS")
        for name in ("l1_activity", "kl_beta", "weight_decay"):
            inputs.number(getattr(self, name), name)
        inputs.number(self.kl_rho, "kl_rho", positive=True, below=1)
        inputs.number(self.learning_rate, "learning_rate", positive=True)
        inputs.choose(self.loss, LOSSES, "loss")
        if self.scaling is not None:
            inputs.choose(self.scaling, SCALINGS, "scaling")
        inputs.choose(self.activity_reduction, REDUCTIONS, "activity_reduction")
        inputs.choose(self.dtype, ("float32", "float64"), "dtype")
        inputs.choose(self.engine, ENGINES, "engine")
        self._hidden_activations()
        inputs.choose(self.code_activation, ACTIVATIONS, "code_activation")
        if self.output_activation is not None:
            inputs.choose(self.output_activation, ACTIVATIONS, "output_activation")
        if not isinstance(self.optimizer, (SGD, Adam)):
            inputs.choose(self.optimizer, OPTIMIZERS, "optimizer")
        if self.noise is not None and not isinstance(self.noise, Noise):
            raise TypeError(f"noise must be None or a noise object such as GaussianNoise(0.4), got {self.noise!r}")
        inputs.number(self.validation_fraction, "validation_fraction", below=1)
        if self.early_stopping is not None and not isinstance(self.early_stopping, EarlyStopping):
            raise TypeError(f"early_stopping must be None or an EarlyStopping, got {self.early_stopping!r}")
        if self.kl_beta and self.code_activation != "sigmoid":
            raise ValueError(f"kl_beta needs code_activation='sigmoid', with outputs from 0 to 1, got {self.code_activation!r}")
        if self.tied_weights and self._sizes_back() != list(self.hidden_sizes)[::-1]:
            raise ValueError("tied_weights needs a decoder that mirrors the encoder: leave out decoder_sizes, got "
                             f"{self.decoder_sizes!r}")
        if self.loss == "binary_crossentropy" and self.output_activation not in (None, "sigmoid"):
            raise ValueError("loss='binary_crossentropy' needs output_activation='sigmoid' (or None), got "
                             f"{self.output_activation!r}; use loss='mse' for other outputs")

    def _build(self, n_features: int, seed: int | None) -> tuple[Network, int]:
        """A network of all layers, output activation included, and how many of its layers are the encoder. The weights are fresh,
        or zero for no seed."""
        dtype = np.dtype(self.dtype)
        rng = _NoWeights(dtype) if seed is None else Stream(seed)
        hidden, back = list(self.hidden_sizes), self._sizes_back()
        output = ACTIVATIONS[self.output_activation] if self.output_activation else LOSSES[self.loss].output_activation
        between, code = self._hidden_activations(), ACTIVATIONS[self.code_activation]
        there = _dense([n_features, *hidden, self.code_size], rng, dtype, self.weight_decay)
        encoder = _activated(there, [*between[:len(hidden)], code])
        if self.l1_activity:
            encoder.append(L1Activity(self.l1_activity, self.activity_reduction))
        if self.kl_beta:
            encoder.append(KLActivity(self.kl_beta, self.kl_rho))
        home = [TiedDense(layer) for layer in there[::-1]] if self.tied_weights else _dense(
            [self.code_size, *back, n_features], rng, dtype, self.weight_decay)
        decoder = _activated(home, [*between[len(hidden):], output])
        names = [f"encoder.{i}" for i in range(len(hidden) + 1)] + [f"decoder.{i}" for i in range(len(back) + 1)]
        return Network(encoder + decoder, names), len(encoder)

    def _sizes_back(self) -> list[int]:
        """The units of the decoder's hidden layers."""
        return list(self.hidden_sizes)[::-1] if self.decoder_sizes is None else list(self.decoder_sizes)

    def _hidden_activations(self) -> list[type[Layer]]:
        """The activations of the hidden layers, those of the encoder first; ValueError for unknown ones or a wrong number."""
        there, back, given = len(self.hidden_sizes), len(self._sizes_back()), self.activation
        each = isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, str)
        known = [ACTIVATIONS[inputs.choose(name, ACTIVATIONS, "activation")] for name in (given if each else [given])]
        if not each:
            return known * (there + back)
        if len(known) == there and self.decoder_sizes is None:
            return known + known[::-1]
        if len(known) != there + back:
            raise ValueError(f"expected activation as one name, or one for each of the {there} + {back} hidden layers of encoder "
                             f"and decoder, got {given!r}")
        return known

    def _optimizer(self) -> SGD | Adam:
        """A fresh optimizer; a given one is copied, so that its moments never carry over from one fit to the next."""
        if isinstance(self.optimizer, str):
            return OPTIMIZERS[self.optimizer](self.learning_rate)
        return copy.deepcopy(self.optimizer)


class _NoWeights:
    """A source of zeros, which takes neither time nor memory, for a network whose weights are set next."""

    def __init__(self, dtype: np.dtype[Any]):
        self.zero = dtype.type(0)

    def uniform(self, low: float, high: float, size: tuple[int, ...]) -> Array:
        return np.broadcast_to(self.zero, size)


def _dense(sizes: list[int], rng: Uniform, dtype: np.dtype[Any], weight_decay: float) -> list[Dense]:
    """A Dense layer from each size to the next."""
    return [Dense(n_in, n_out, rng, dtype, weight_decay) for n_in, n_out in zip(sizes, sizes[1:])]


def _activated(layers: Sequence[Layer], activations: list[type[Layer]]) -> list[Layer]:
    """Each layer, followed by its activation."""
    return [step for layer, activation in zip(layers, activations) for step in (layer, activation())]


def _arguments() -> dict[str, Any]:
    """The constructor's arguments and their defaults."""
    import inspect  # slow to import, and training needs none of it

    return {name: parameter.default for name, parameter in inspect.signature(Settings).parameters.items()}
