"""A network as data: what its layers are, as a list that JSON can hold, and a file for it and its parameters."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import safetensors
from .errors import DataFormatError
from .kernels.reference import Array
from .layers import Dense, Identity, Layer, ReLU, Sigmoid, Tanh
from .network import Network
from .penalties import L1Activity

Description = list[dict[str, Any]]  # of each layer its kind, and the numbers that make it
LAYERS: dict[str, tuple[type[Layer], tuple[str, ...]]] = {  # those without parameters, and the names of the numbers
    "ReLU": (ReLU, ()), "Sigmoid": (Sigmoid, ()), "Tanh": (Tanh, ()), "Identity": (Identity, ()),
    "L1Activity": (L1Activity, ("lam", "reduction"))}


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to a file: see ``Network.save``."""
    safetensors.write(path, "network", {"layers": json.dumps(describe(network))}, arrays_of(network))


def load(path: str | os.PathLike[str]) -> Network:
    """Return the network that was saved to a file: see ``Network.load``."""
    with safetensors.format_errors(path):
        metadata, arrays = safetensors.read(path, "network")
        description = json.loads(metadata["layers"])
        network = build(description, arrays)
        if describe(network) != description or set(network.params) != set(arrays):
            raise DataFormatError("its layers and its arrays do not fit together")
        return network


def describe(network: Network) -> Description:
    """Return the layers as data; TypeError for a layer of some other class than the package's own.

    >>> from ae_scratch import Dense, ReLU
    >>> for layer in describe(Network([Dense(4, 2, np.random.default_rng(0)), ReLU()])):
    ...     print(layer)
    {'kind': 'Dense', 'name': '0', 'n_in': 4, 'n_out': 2}
    {'kind': 'ReLU'}
    """
    names = iter(_names(network))
    return [{"kind": "Dense", "name": next(names), "n_in": layer.W.shape[0], "n_out": layer.W.shape[1]}
            if isinstance(layer, Dense) else _without_parameters(layer) for layer in network.layers]


def build(description: Description, arrays: Mapping[str, Array]) -> Network:
    """Return the network of these layers, with parameters from ``arrays``; they must be finite and fit."""
    layers: list[Layer] = []
    for layer in description:
        settings = {name: value for name, value in layer.items() if name != "kind"}
        layers.append(_dense(layer["name"], arrays) if layer["kind"] == "Dense" else LAYERS[layer["kind"]][0](**settings))
    return Network(layers, [layer["name"] for layer in description if layer["kind"] == "Dense"])


def arrays_of(network: Network) -> dict[str, Array]:
    """Return the parameters under their names, each whole and by itself."""
    learning = [layer for layer in network.layers if layer.parameters]
    return {f"{name}.{parameter}": getattr(layer, parameter) for name, layer in zip(_names(network), learning)
            for parameter in layer.parameters}


def _names(network: Network) -> list[str]:
    """The name of each layer that has parameters: "0" for "0.W" and "0.b"."""
    return list(dict.fromkeys(name.rpartition(".")[0] for name in network.params))


def _without_parameters(layer: Layer) -> dict[str, Any]:
    kind = type(layer).__name__
    if LAYERS.get(kind, (None,))[0] is not type(layer):
        raise TypeError(f"cannot save a layer {layer!r}: expected Dense or one of {', '.join(LAYERS)}")
    return {"kind": kind, **{name: getattr(layer, name) for name in LAYERS[kind][1]}}


def _dense(name: str, arrays: Mapping[str, Array]) -> Dense:
    """A layer of the given parameters: its constructor would draw others first."""
    W, b = arrays[f"{name}.W"], arrays[f"{name}.b"]
    if W.ndim != 2 or b.shape != W.shape[1:] or 0 in W.shape or W.dtype.kind != "f":
        raise DataFormatError(f"expected {name}.W and {name}.b as a matrix and a vector, got shapes {W.shape} and {b.shape}")
    if not (np.isfinite(W).all() and np.isfinite(b).all()):
        raise DataFormatError(f"{name}.W or {name}.b contains NaN or infinity")
    layer = Dense.__new__(Dense)
    layer.W, layer.b = W, b
    return layer
