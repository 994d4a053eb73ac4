"""A network as data: what its layers are, as a list that JSON can hold, and a file for it and its parameters."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import safetensors
from .errors import DataFormatError
from .inputs import number
from .kernels.reference import Array
from .layers import Dense, Identity, Layer, ReLU, Sigmoid, Tanh, TiedDense
from .network import Network
from .penalties import KLActivity, L1Activity

Description = list[dict[str, Any]]  # of each layer its kind, and the numbers that make it
LAYERS: dict[str, tuple[type[Layer], tuple[str, ...]]] = {  # those without parameters, and the names of the numbers
    "ReLU": (ReLU, ()), "Sigmoid": (Sigmoid, ()), "Tanh": (Tanh, ()), "Identity": (Identity, ()),
    "L1Activity": (L1Activity, ("lam", "reduction")), "KLActivity": (KLActivity, ("beta", "rho"))}


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network to a file: see ``Network.save``."""
    if not network.params:
        raise ValueError(f"expected a network with at least one layer that has parameters, got {network!r}")
    safetensors.write(path, "network", {"layers": json.dumps(describe(network))}, arrays_of(network))


def load(path: str | os.PathLike[str]) -> Network:
    """Return the network that was saved to a file: see ``Network.load``."""
    with safetensors.format_errors(path):
        metadata, arrays = safetensors.read(path, "network")
        description = safetensors.document(metadata["layers"])
        network = build(description, arrays)
        if describe(network) != description or set(arrays_of(network)) != set(arrays):
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
    names = _names(network)
    return [_without_parameters(layer) if layer not in names else _tied(names, layer) if _is_tied(layer, names)
            else _own(names[layer], layer) for layer in network.layers]


def build(description: Description, arrays: Mapping[str, Array]) -> Network:
    """Return the network of these layers, with parameters from ``arrays``; they must be finite and fit."""
    layers: list[Layer] = []
    learning: dict[str, Any] = {}
    for data in description:
        settings = {name: value for name, value in data.items() if name not in ("kind", "name", "n_in", "n_out")}
        if data["kind"] == "Dense":
            learning[data["name"]] = _dense(data["name"], arrays, **settings)
        elif data["kind"] == "TiedDense":
            learning[data["name"]] = _tied_dense(data["name"], arrays, learning[data["source"]])
        layers.append(learning[data["name"]] if "name" in data else LAYERS[data["kind"]][0](**settings))
    return Network(layers, list(learning))


def arrays_of(network: Network) -> dict[str, Array]:
    """Return the parameters under their names; the W of a tied layer whose source is not in the network as its own."""
    names, arrays = _names(network), {}
    for layer, name in names.items():
        if not _is_tied(layer, names):
            arrays[f"{name}.W"] = layer.source.W.T if isinstance(layer, TiedDense) else layer.W
        arrays[f"{name}.b"] = layer.b
    return arrays


def _names(network: Network) -> dict[Any, str]:
    """Each layer that has parameters, and its name: "0" for "0.W" and "0.b"."""
    learning = [layer for layer in network.layers if layer.parameters]
    for layer in learning:
        if type(layer) not in (Dense, TiedDense):
            raise TypeError(f"cannot save a layer {layer!r}: expected Dense or one of {', '.join(LAYERS)}")
    return dict(zip(learning, dict.fromkeys(name.rpartition(".")[0] for name in network.params)))


def _is_tied(layer: Layer, names: Mapping[Any, str]) -> bool:
    return isinstance(layer, TiedDense) and layer.source in names


def _tied(names: Mapping[Any, str], layer: Any) -> dict[str, Any]:
    return {"kind": "TiedDense", "name": names[layer], "source": names[layer.source]}


def _own(name: str, layer: Any) -> dict[str, Any]:
    n_in, n_out = layer.source.W.T.shape if isinstance(layer, TiedDense) else layer.W.shape
    decay = getattr(layer, "weight_decay", 0)
    return {"kind": "Dense", "name": name, "n_in": n_in, "n_out": n_out, **({"weight_decay": decay} if decay else {})}


def _without_parameters(layer: Layer) -> dict[str, Any]:
    kind = type(layer).__name__
    if LAYERS.get(kind, (None,))[0] is not type(layer):
        raise TypeError(f"cannot save a layer {layer!r}: expected Dense or one of {', '.join(LAYERS)}")
    return {"kind": kind, **{name: getattr(layer, name) for name in LAYERS[kind][1]}}


def _dense(name: str, arrays: Mapping[str, Array], weight_decay: float = 0.0) -> Dense:
    """A layer of the given parameters: its constructor would draw others first."""
    layer = Dense.__new__(Dense)
    layer.W = _parameter(f"{name}.W", arrays, ndim=2)
    layer.b = _parameter(f"{name}.b", arrays, layer.W.shape[1])
    layer.weight_decay = number(weight_decay, "weight_decay")
    return layer


def _tied_dense(name: str, arrays: Mapping[str, Array], source: Dense) -> TiedDense:
    if type(source) is not Dense:
        raise DataFormatError(f"expected the source of {name} to be a Dense, got {source!r}")
    layer = TiedDense(source)
    layer.b = _parameter(f"{name}.b", arrays, len(source.W))
    return layer


def _parameter(name: str, arrays: Mapping[str, Array], *shape: int, ndim: int = 1) -> Array:
    array = arrays[name]
    if array.ndim != ndim or shape not in ((), array.shape) or not array.size or array.dtype.kind != "f":
        raise DataFormatError(f"expected {name} as floats of shape {shape or 'n_in, n_out'}, got {array.dtype} {array.shape}")
    if not np.isfinite(array).all():
        raise DataFormatError(f"{name} contains NaN or infinity")
    return array
