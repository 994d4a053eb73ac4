"""Autoencoders from scratch: backprop written out by hand, gradients checked, numpy and numba and nothing else.

Start reading at ``kernels/reference.py`` (the operations), then ``layers.py``, ``network.py``, ``training.py``, ``autoencoder.py``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import datasets, experiments, gradcheck, plots
    from .autoencoder import Autoencoder
    from .errors import DataFormatError, DivergedError, DownloadError, NotFittedError
    from .layers import Dense, Identity, Layer, ReLU, Sigmoid, Tanh
    from .losses import BinaryCrossEntropy, MeanSquaredError
    from .network import Network
    from .noise import GaussianNoise
    from .optimizers import SGD, Adam
    from .penalties import L1Activity

__version__ = "0.1.0"

_HOME = {
    "autoencoder": ("Autoencoder",),
    "errors": ("DataFormatError", "DivergedError", "DownloadError", "NotFittedError"),
    "layers": ("Dense", "Identity", "Layer", "ReLU", "Sigmoid", "Tanh"),
    "losses": ("BinaryCrossEntropy", "MeanSquaredError"),
    "network": ("Network",),
    "noise": ("GaussianNoise",),
    "optimizers": ("SGD", "Adam"),
    "penalties": ("L1Activity",),
}
_MODULES = ("datasets", "experiments", "gradcheck", "plots")

__all__ = ["__version__", *(name for names in _HOME.values() for name in names), *_MODULES]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that importing the package costs no more than importing NumPy (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
