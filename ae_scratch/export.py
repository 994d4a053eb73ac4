"""A fitted model as a program of its own: a short file of NumPy beside its weights, for places where nothing can be installed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from . import architecture
from .autoencoder import Autoencoder
from .files import replacing
from .layers import ACTIVATIONS
from .network import Network
from .scaling import Scaling

PROGRAM = '''"""An autoencoder that ae_scratch has trained, in plain NumPy; its weights are in the .weights.npz beside this file.

X has shape (rows, {features}), codes have shape (rows, {code_size}).
"""

import pathlib

import numpy as np

weights = dict(np.load(pathlib.Path(__file__).with_suffix(".weights.npz")))


def sigmoid(Z):
    e = np.exp(-np.abs(Z))  # of a negative number: it cannot overflow
    return np.where(Z >= 0, 1, e) / (1 + e)


ACTIVATIONS = {{"relu": lambda Z: np.maximum(Z, 0), "sigmoid": sigmoid, "tanh": np.tanh, "identity": lambda Z: Z}}
ENCODER = {encoder}
DECODER = {decoder}


def run(layers, A):
    for name, activation in layers:
        A = ACTIVATIONS[activation](A @ weights[name + ".W"] + weights[name + ".b"])
    return A


def encode(X):
    return run(ENCODER, ((np.asarray(X) - weights["offset"]) / weights["scale"]).astype("{dtype}"))


def decode(codes):
    return (run(DECODER, np.asarray(codes, "{dtype}")) * weights["scale"] + weights["offset"]).astype("{dtype}")


def reconstruct(X):
    return decode(encode(X))
'''


def export(model: Autoencoder, path: str | os.PathLike[str]) -> None:
    """Write a Python file that needs NumPy alone, and its weights beside it: see ``Autoencoder.export``."""
    path = Path(path)
    if path.suffix != ".py":
        raise ValueError(f"expected a name that ends in .py, got {os.fspath(path)!r}")
    weights = {**architecture.arrays_of(model.encoder), **architecture.arrays_of(model.decoder), **_scaling(model)}
    text = PROGRAM.format(features=model.n_features_in_, code_size=model.decoder.widths[0], dtype=model.network_.dtype,
                          encoder=_steps(model.encoder), decoder=_steps(model.decoder))
    with replacing(path.with_suffix(".weights.npz")) as part, replacing(path) as program:  # both are written before either counts
        with open(part, "xb") as file:
            np.savez(file, **weights)  # type: ignore[arg-type]
        program.write_text(text, encoding="utf-8")


def _scaling(model: Autoencoder) -> dict[str, np.ndarray]:
    scaling = model.scaling_ or Scaling(1.0)
    return {"scale": np.array(scaling.scale), "offset": np.array(0.0 if scaling.offset is None else scaling.offset)}


def _steps(network: Network) -> list[tuple[str, str]]:
    """The name of each layer that has parameters, and of the activation behind it."""
    names = {kind.__name__: name for name, kind in ACTIVATIONS.items()}
    layers = [layer for layer in architecture.describe(network) if layer["kind"] in ("Dense", *names)]
    return [(dense["name"], names[activation["kind"]]) for dense, activation in zip(layers[::2], layers[1::2])]
