"""Autoencoders from scratch: backprop written out by hand, gradients checked, numpy and numba and nothing else.

Start reading at ``kernels/reference.py`` (the operations), then ``layers.py``, ``network.py``, ``training.py``,
``autoencoder.py``.
"""

import logging

from .autoencoder import Autoencoder
from .comparison import compare
from .errors import DataFormatError, DivergedError, DownloadError, NotFittedError
from .layers import Dense, Identity, Layer, ReLU, Sigmoid, Tanh, TiedDense
from .losses import BinaryCrossEntropy, MeanSquaredError
from .machine import show_versions
from .network import Network
from .noise import GaussianNoise, MaskingNoise, SaltAndPepperNoise
from .optimizers import SGD, Adam
from .penalties import KLActivity, L1Activity

__version__ = "0.1.0"

__all__ = [
    "Autoencoder", "Network",
    "Dense", "Identity", "Layer", "ReLU", "Sigmoid", "Tanh", "TiedDense", "KLActivity", "L1Activity",
    "BinaryCrossEntropy", "MeanSquaredError", "SGD", "Adam",
    "GaussianNoise", "MaskingNoise", "SaltAndPepperNoise",
    "DataFormatError", "DivergedError", "DownloadError", "NotFittedError",
    "compare", "show_versions",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())  # what is logged is shown where a program asks for it
