"""A whole autoencoder in a file: settings, parameters, what was learned beside them, and where its training stands.

Settings are JSON; whatever is an array or a long list of numbers is an array of the file. Objects among the settings are
written as {"kind": name, argument: value, ...} and read by the fixed table KINDS: a name in a file never leads to any other
class. docs/model-files.md describes all names.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from . import __version__, architecture, safetensors
from .autoencoder import Autoencoder
from .callbacks import EarlyStopping
from .errors import DataFormatError
from .fitting import Fitted
from .inputs import number, whole
from .kernels.memory import Arrays, Shape
from .kernels.reference import Array
from .losses import LOSSES
from .network import Network
from .noise import GaussianNoise, MaskingNoise, SaltAndPepperNoise
from .optimizers import SGD, Adam
from .scaling import Scaling


class Kind(NamedTuple):
    """How an object is written: the constructor's arguments and the attributes that hold them, and the state it gathers."""

    create: type
    arguments: Mapping[str, str]
    numbers: Sequence[str] = ()  # of the state
    arrays: Sequence[str] = ()  # of the state, shaped like the parameters; None before the first step


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


KINDS = {
    "GaussianNoise": Kind(GaussianNoise, _same("sigma", "clip", "redraw")),
    "MaskingNoise": Kind(MaskingNoise, _same("fraction", "redraw")),
    "SaltAndPepperNoise": Kind(SaltAndPepperNoise, _same("fraction", "low", "high", "redraw")),
    "EarlyStopping": Kind(EarlyStopping, _same("patience", "min_delta", "monitor", "restore_best")),
    "SGD": Kind(SGD, {"learning_rate": "lr", **_same("momentum")}, arrays=("velocity",)),
    "Adam": Kind(Adam, {"learning_rate": "lr", **_same("beta1", "beta2", "eps")}, ("beta1_t", "beta2_t"), ("m", "v")),
}


NOT_FINITE = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}  # {"kind": "float", "value": ...}: JSON has no other way


def save(model: Autoencoder, path: str | os.PathLike[str], more: Mapping[str, str] = MappingProxyType({}),
         more_arrays: Mapping[str, Array] = MappingProxyType({})) -> None:
    """Write a fitted model to a file: see ``Autoencoder.save``. more, more_arrays: what a checkpoint has beside a model."""
    _require_settings_of(model)
    state, moments = _optimizer_state(model.optimizer_, model.network_)
    metadata = {"written_by": f"ae_scratch {__version__}", "layers": json.dumps(architecture.describe(model.network_)),
                "settings": to_json(model.get_params()), "seed": str(model.seed_), "optimizer": to_json(state), **more}
    arrays = {**model.network_.params, **_scaling_state(model), **_history_arrays(model.history_), **moments, **more_arrays}
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names"] = np.frombuffer(json.dumps(list(model.feature_names_in_)).encode(), np.uint8)
    safetensors.write(path, "autoencoder", metadata, arrays)


def load(path: str | os.PathLike[str], engine: str | None = None, threads: int | None = None,
         create: type[Autoencoder] = Autoencoder) -> Autoencoder:
    """Return the model that was saved to a file: see ``Autoencoder.load``. create: its class."""
    with safetensors.format_errors(path):
        metadata, arrays = safetensors.read(path, "autoencoder")
        model = restored(metadata, arrays, create)
    if engine is not None or threads is not None:
        model.set_params(engine=engine or model.engine, threads=threads)
        model._check_settings()
    return model


# ---- what is saved ------------------------------------------------------------------------------------------------------


def _require_settings_of(model: Autoencoder) -> None:
    """Raise ValueError or TypeError for settings that would not lead to the fitted network again."""
    model._fitted()
    model._check_settings()
    network, _ = model._build(model.n_features_in_, seed=None)
    of_settings = [architecture.describe(network), network.dtype, repr(LOSSES[model.loss]())]
    if of_settings != [architecture.describe(model.network_), model.network_.dtype, repr(model.loss_)]:
        raise ValueError("the settings were changed after fit and no longer describe the fitted network: fit again, or set them "
                         "back")


def _optimizer_state(optimizer: Any, network: Network) -> tuple[dict[str, Any], dict[str, Array]]:
    """Settings and numbers of an optimizer, and its arrays by the names of the parameters: "optimizer.m.encoder.0.W", ..."""
    kind = KINDS[type(optimizer).__name__]
    numbers = {name: getattr(optimizer, name) for name in kind.numbers}
    arrays = {f"optimizer.{name}.{parameter}": array for name in kind.arrays if getattr(optimizer, name) is not None
              for parameter, array in Arrays(network.params.shapes, network.dtype, getattr(optimizer, name)).items()}
    return {"settings": optimizer, "numbers": numbers}, arrays


def _history_arrays(history: Mapping[str, Sequence[float]]) -> dict[str, Array]:
    return {f"history.{name}": np.array(values, np.float64) for name, values in history.items()}


def _scaling_state(model: Autoencoder) -> dict[str, Array]:
    scaling = model.scaling_
    if scaling is None:
        return {}
    offset = {} if scaling.offset is None else {"scaling.offset": scaling.offset}
    return {"scaling.scale": np.array(scaling.scale, np.float64), **offset}


# ---- what is restored ---------------------------------------------------------------------------------------------------


def restored(metadata: Mapping[str, str], arrays: dict[str, Array], create: type[Autoencoder]) -> Autoencoder:
    """Return the model of a file, or of a checkpoint, with the arrays that are its own; to be called within ``format_errors``."""
    settings, model = _from_json(metadata["settings"]), create()
    if unknown := sorted(set(settings) - set(model.get_params())):
        raise DataFormatError(f"unknown settings {', '.join(unknown)}: this is ae_scratch {__version__}, and "
                              f"{metadata['written_by']} wrote the file")
    if "checkpoint" in metadata:
        arrays = {name: array for name, array in arrays.items() if not name.startswith("checkpoint.")}
    _restore(model.set_params(**settings), metadata, arrays)
    return model


def _restore(model: Autoencoder, metadata: Mapping[str, str], arrays: dict[str, Array]) -> None:
    """Make the model the fitted one of a file; DataFormatError for anything that does not fit or is left over."""
    model._check_settings()
    sizes = _sizes(model, arrays)
    network, encoder_layers = model._build(sizes["encoder.0.W"][0], seed=None)
    if network.params.shapes != sizes or architecture.describe(network) != json.loads(metadata["layers"]):
        raise DataFormatError("its settings, its layers and its arrays do not fit together")
    _fill(network.params, arrays, "")
    optimizer = _restored_optimizer(_from_json(metadata["optimizer"]), network, arrays)
    history = {name.removeprefix("history."): arrays.pop(name).tolist() for name in list(arrays) if name.startswith("history.")}
    scaling, names = _restored_scaling(arrays, network.widths[0]), _feature_names(arrays)
    if arrays:
        raise DataFormatError(f"unknown arrays: {', '.join(arrays)}")
    seed = whole(json.loads(metadata["seed"]), "seed", 0, 2**32 - 1)
    model._adopt(Fitted(network, encoder_layers, LOSSES[model.loss](), scaling, optimizer, history, seed))
    if names is not None:
        setattr(model, "feature_names_in_", names)


def _sizes(model: Autoencoder, arrays: Mapping[str, Array]) -> dict[str, Shape]:
    """The shapes of the parameters that the settings ask for; DataFormatError unless arrays have them.

    To be called before a network is built: the file has paid for this much memory.
    """
    back = model.hidden_sizes[::-1] if model.decoder_sizes is None else model.decoder_sizes
    names = [f"encoder.{i}" for i in range(len(model.hidden_sizes) + 1)] + [f"decoder.{i}" for i in range(len(back) + 1)]
    shapes: dict[str, Shape] = {}
    n_in = len(arrays["encoder.0.W"])
    for name, n_out in zip(names, [*model.hidden_sizes, model.code_size, *back, n_in]):
        if not (model.tied_weights and name.startswith("decoder")):
            shapes[f"{name}.W"] = n_in, n_out
        shapes[f"{name}.b"] = n_out,
        n_in = n_out
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise DataFormatError(f"its settings ask for {name} of shape {shape}, got {arrays[name].shape}")
    return shapes


def _fill(params: Arrays, arrays: dict[str, Array], prefix: str) -> None:
    """Move the arrays of these names into ``params``."""
    for name, target in params.items():
        array = arrays.pop(prefix + name)
        if (array.shape, array.dtype) != (target.shape, target.dtype) or not np.isfinite(array).all():
            raise DataFormatError(f"expected {prefix + name} as finite {target.dtype} of shape {target.shape}")
        target[...] = array


def _restored_optimizer(state: Any, network: Network, arrays: dict[str, Array]) -> SGD | Adam:
    optimizer = state["settings"]
    if not isinstance(optimizer, (SGD, Adam)):
        raise DataFormatError(f"expected the state of an optimizer, got {optimizer!r}")
    kind = KINDS[type(optimizer).__name__]
    for name in kind.numbers:
        setattr(optimizer, name, number(state["numbers"][name], name))
    for name in kind.arrays if any(name.startswith("optimizer.") for name in arrays) else ():
        moment = network.params.zeros_like()
        _fill(moment, arrays, f"optimizer.{name}.")
        setattr(optimizer, name, moment.vector)
    return optimizer


def _restored_scaling(arrays: dict[str, Array], n_features: int) -> Scaling | None:
    scale, offset = arrays.pop("scaling.scale", None), arrays.pop("scaling.offset", None)
    if scale is None:
        return None
    shapes = [()] if offset is None else [(n_features,), offset.shape]
    if any(shape != scale.shape for shape in shapes) or not (np.isfinite(scale) & (scale > 0)).all():
        raise DataFormatError(f"expected scaling.scale above 0, one number or {n_features} with as many in scaling.offset")
    if offset is None:
        return Scaling(float(scale))
    if not np.isfinite(offset).all():
        raise DataFormatError("scaling.offset contains NaN or infinity")
    return Scaling(scale, offset)


def _feature_names(arrays: dict[str, Array]) -> Array | None:
    text = arrays.pop("feature_names", None)
    return None if text is None else np.array(json.loads(text.tobytes()), dtype=object)


# ---- settings as JSON ---------------------------------------------------------------------------------------------------


def to_json(value: Any) -> str:
    """Return settings as JSON; TypeError for objects of other classes than KINDS lists."""
    return json.dumps(_to_data(value), allow_nan=False)


def _to_data(value: Any) -> Any:
    """The value as JSON can hold it; numbers keep every bit."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_to_data(item) for item in value]
    if isinstance(value, dict):
        return {name: _to_data(item) for name, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return {"kind": "float", "value": repr(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    kind = KINDS.get(type(value).__name__)
    if kind is None or kind.create is not type(value):
        raise TypeError(f"cannot save {value!r}: expected numbers, names, sequences of them, or one of {', '.join(KINDS)}")
    return {"kind": type(value).__name__, **{name: _to_data(getattr(value, held)) for name, held in kind.arguments.items()}}


def _from_json(text: str) -> Any:
    return _from_data(json.loads(text))


def _from_data(data: Any) -> Any:
    """What ``_to_data`` was given; sequences as tuples."""
    if isinstance(data, list):
        return tuple(map(_from_data, data))
    if not isinstance(data, dict):
        return data
    values = {name: _from_data(item) for name, item in data.items() if name != "kind"}
    if "kind" not in data:
        return values
    return NOT_FINITE[values["value"]] if data["kind"] == "float" else KINDS[data["kind"]].create(**values)
