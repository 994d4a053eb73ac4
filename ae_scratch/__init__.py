"""Autoencoders from scratch: backprop written out by hand, gradients checked, numpy and numba and nothing else.

Start reading at ``kernels/reference.py`` (the operations), then ``layers.py``, ``network.py``, ``training.py``,
``autoencoder.py``.
"""

import logging
from typing import TYPE_CHECKING

from .autoencoder import Autoencoder
from .callbacks import CSVLogger, EarlyStopping, LearningRateSchedule, ModelCheckpoint
from .comparison import compare
from .errors import CheckpointError, DataFormatError, DivergedError, DownloadError, NotFittedError
from .layers import Dense, Identity, Layer, ReLU, Sigmoid, Tanh, TiedDense
from .losses import BinaryCrossEntropy, MeanSquaredError
from .machine import show_versions
from .network import Network
from .noise import GaussianNoise, MaskingNoise, SaltAndPepperNoise
from .optimizers import SGD, Adam
from .penalties import KLActivity, L1Activity

if TYPE_CHECKING:
    from . import datasets, diagnostics, plots

__version__ = "0.1.0"

__all__ = [
    "Autoencoder", "Network",
    "Dense", "Identity", "Layer", "ReLU", "Sigmoid", "Tanh", "TiedDense", "KLActivity", "L1Activity",
    "BinaryCrossEntropy", "MeanSquaredError", "SGD", "Adam",
    "GaussianNoise", "MaskingNoise", "SaltAndPepperNoise",
    "CSVLogger", "EarlyStopping", "LearningRateSchedule", "ModelCheckpoint",
    "CheckpointError", "DataFormatError", "DivergedError", "DownloadError", "NotFittedError",
    "compare", "show_versions", "datasets", "diagnostics", "plots",
]
LAZY = "datasets", "diagnostics", "plots"

logging.getLogger(__name__).addHandler(logging.NullHandler())  # what is logged is shown where a program asks for it

if not TYPE_CHECKING:  # a type checker knows the three by their imports above, and no other name passes
    def __getattr__(name: str) -> object:
        """Import one of the modules that few programs need, when it is first asked for."""
        if name not in LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return import_module(f".{name}", __name__)

    def __dir__() -> list[str]:
        return [*globals(), *LAZY]
