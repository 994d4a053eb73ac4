"""What the page is told about a model and its data: a dict for JSON, in which arrays are float32 in base64."""

from __future__ import annotations

import base64
import copy
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import inputs
from ..autoencoder import Autoencoder
from ..kernels.reference import Array
from ..layers import ACTIVATIONS, TiedDense
from ..noise import GaussianNoise, MaskingNoise, SaltAndPepperNoise
from ..trace import Entry

SAMPLES, SAMPLE_BYTES = 40, 75_000  # rows to pick from: at most so many, and about so many bytes
POINTS, CLASSES = 1000, 26  # codes on the map; labels that it tells apart
SMALLEST_IMAGE = 7  # pixels high and wide, from where a square number of features is taken for an image
WHOLE = 1024  # numbers of an array of the training step up to which it is in the page
QUANTILES = 0.01, 0.99  # of the codes: the ends of the sliders
BOUNDS = {"relu": (0.0, None), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "identity": (None, None)}  # of what they return
NAMES = {activation: name for name, activation in ACTIVATIONS.items()}

Json = dict[str, Any]


def describe(ae: Autoencoder, X: Any = None, labels: Any = None, feature_names: Sequence[str] | None = None,
             image_shape: Sequence[int] | None = None) -> Json:
    """Return all that the page is told about ``ae``. Arguments and errors as in ``export``."""
    if not isinstance(ae, Autoencoder):
        raise TypeError(f"expected a fitted Autoencoder, got {type(ae).__name__}")
    names, encoder, n_features = getattr(ae, "feature_names_in_", None), ae.encoder, ae.n_features_in_
    if X is not None:
        inputs.require_names(X, names, stacklevel=4)
    ae = copy.copy(ae)
    vars(ae).pop("feature_names_in_", None)  # what follows are arrays, which have none
    rows = None if X is None else inputs.as_data(X, np.dtype(np.float64), n_features, exact=True)
    classes = None if labels is None else _labels(labels, rows)
    form = _form(n_features, names if feature_names is None else feature_names, image_shape)
    codes = np.asarray(ae.encode(_random_rows(ae) if rows is None else rows), np.float64)
    steps = sum(bool(layer.parameters) for layer in encoder.layers)
    data = _data(ae, rows, classes, form["shape"] is not None)
    described = {**_network(ae), "encoderLayers": steps, **form, **data,
                 "centre": _like_digits(form["shape"], rows, data["levels"][0]), "noise": _noise(ae),
                 "codeRanges": np.quantile(codes, QUANTILES, axis=0).T.tolist(), "map": None, "step": None}
    if rows is not None:
        described["step"] = _step(ae, rows, steps)
        if ae.code_size > 1:
            described["map"] = {**_map(codes, classes), "bounds": BOUNDS[ae.code_activation]}
    return described


def _network(ae: Autoencoder) -> Json:
    """Layers, each with its activation, and their parameters in a row: W (unless tied) and b of each."""
    network, described = ae.network_, list[Json]()
    learning = [layer for layer in network.layers if layer.parameters]
    for layer, n_in, units in zip(network.layers, network.widths, network.widths[1:]):
        if layer.parameters:
            tied = learning.index(layer.source) if isinstance(layer, TiedDense) else None
            described.append({"name": _layer_names(ae)[len(described)], "inputs": n_in, "units": units, "activation": "identity",
                              "tied": tied})
        elif type(layer) in NAMES:
            described[-1]["activation"] = NAMES[type(layer)]
    return {"layers": described, "parameters": _base64(*network.params.values())}


def _layer_names(ae: Autoencoder) -> list[str]:
    """encoder.0, ..., decoder.0, ..."""
    return [name.removesuffix(".b") for name in ae.network_.params if name.endswith(".b")]


def _form(n: int, names: Sequence[str] | None, image_shape: Sequence[int] | None) -> Json:
    """Whether a row of n features is an image or a table, and what its features are called."""
    if names is not None and len(names) != n:
        raise ValueError(f"expected feature_names of {n} features, got {len(names)}")
    side = math.isqrt(n)
    if image_shape is None and names is None and side * side == n and side >= SMALLEST_IMAGE:
        image_shape = side, side
    if image_shape is None:
        return {"shape": None, "features": [f"x{i}" for i in range(n)] if names is None else list(map(str, names))}
    if names is not None:
        raise ValueError("expected image_shape, or feature_names (the model's own, if it has some), got both: a row is an image "
                         "or a table")
    shape = inputs.whole_numbers(image_shape, "image_shape")
    if len(shape) != 2 or shape[0] * shape[1] != n:
        raise ValueError(f"expected image_shape as (height, width) of {n} pixels, got {tuple(shape)}")
    return {"shape": shape, "features": None}


def _data(ae: Autoencoder, rows: Array | None, classes: list[str] | None, image: bool) -> Json:
    """Samples, the range of each feature, what a picture shows as black and white, and the scaling."""
    n, learned = ae.n_features_in_, ae.scaling_
    scale, offset = (1.0, None) if learned is None else (learned.scale, learned.offset)
    offset = np.zeros(1) if offset is None else offset
    unit = np.stack([offset, offset + scale]) * np.ones(n)  # what the model reads as 0 and 1
    kept = np.empty((0, n)) if rows is None else rows[:max(1, min(SAMPLES, SAMPLE_BYTES // (4 * n)))]
    low, high = unit if rows is None else (rows.min(axis=0), rows.max(axis=0))
    exact = ae.scaling in (None, "bytes") and ae.loss == "binary_crossentropy"
    levels = [0.0, float(np.max(scale))] if exact else [float(low.min()), float(high.max())]
    return {"samples": {"values": _base64(kept), "labels": classes and classes[:len(kept)]},
            "featureRanges": np.stack([low, high], axis=1).tolist(), "levels": levels,
            "blank": [levels[0]] * n if image else unit[0].tolist(),
            "scaling": {"scale": np.atleast_1d(scale).tolist(), "offset": offset.tolist()}, "scaled": learned is not None}


def _like_digits(shape: list[int] | None, rows: Array | None, black: float) -> bool:
    """Whether the rows are images like MNIST's digits: nearly all that is not black within the middle 20 x 20 of 28 x 28."""
    if rows is None or shape is None or list(shape) != [28, 28]:
        return False
    ink = rows[:POINTS].reshape(-1, 28, 28) - black
    return bool(ink[:, 4:24, 4:24].sum() > 0.95 * ink.sum())


def _noise(ae: Autoencoder) -> Json:
    """The kind of noise that the page begins with, the model's own if it has one."""
    noise, unit = ae.noise, ae.loss == "binary_crossentropy"
    about: Json = {"kind": "gaussian", "low": 0.0, "high": 1.0, "clip": [0.0, 1.0] if unit else None, "trained": None}
    if isinstance(noise, GaussianNoise):
        about |= {"clip": noise.clip, "trained": noise.sigma}
    elif isinstance(noise, SaltAndPepperNoise):
        about |= {"kind": "salt_and_pepper", "low": noise.low, "high": noise.high, "trained": noise.fraction}
    elif isinstance(noise, MaskingNoise):
        about |= {"kind": "masking", "trained": noise.fraction}
    return about


def _map(codes: Array, classes: list[str] | None) -> Json:
    """The plane that shows most of the codes (two units are a plane themselves), where they lie on it, and their classes."""
    origin, axes, explained = np.zeros(2), np.eye(2), None
    if codes.shape[1] > 2:
        origin = codes.mean(axis=0)
        _, spread, directions = np.linalg.svd(codes - origin, full_matrices=False)
        axes, explained = directions[:2], float(np.sum(spread[:2] ** 2) / max(np.sum(spread**2), 1e-300))
    points = (codes - origin) @ axes.T
    low, high = np.quantile(points, QUANTILES, axis=0)
    margin = np.where(high > low, 0.1 * (high - low), 1.0)
    shown = sorted(set(classes or ()), key=lambda name: (len(name), name))
    numbers = {name: i for i, name in enumerate(shown)}
    return {"origin": origin.tolist(), "axes": axes.tolist(), "explained": explained, "points": _base64(points[:POINTS]),
            "low": (low - margin).tolist(), "high": (high + margin).tolist(), "classes": shown or None,
            "classOf": [numbers[name] for name in (classes or ())[:POINTS]]}


def _step(ae: Autoencoder, rows: Array, encoder_layers: int) -> Json | None:
    """A training step on the first row that can be a target; None if there is none among the first ones."""
    usable = np.arange(len(rows))
    if ae.loss == "binary_crossentropy":
        T = inputs.as_floats(rows[:SAMPLES], ae.network_.dtype, ae.scaling_)
        usable = np.flatnonzero(((T >= 0) & (T <= 1)).all(axis=1))
    if not len(usable):
        return None
    row, names = int(usable[0]), _layer_names(ae)
    step = ae.trace(rows[row:row + 1])
    entries = [{**_entry(entry), "column": _column(entry.name, names, encoder_layers)} for entry in step.entries]
    return {"row": row, "loss": step.loss, "optimizer": step.optimizer, "entries": entries}


def _entry(entry: Entry) -> Json:
    """A number of the step: what it is, where it is computed, and the numbers themselves unless they are too many."""
    about = entry.to_dict(values=False)
    return {**{name: about[name] for name in ("name", "kind", "formula", "inputs", "shape", "stats")},
            "source": str(entry.source), "code": entry.source.text, "definition": entry.definition and entry.definition.text,
            "label": re.sub(r"(en|de)coder\.\d+\.", "", entry.name),
            "values": _base64(entry.value) if entry.value.size <= WHOLE else None}


def _column(name: str, layers: list[str], encoder_layers: int) -> int:
    """Where an entry of the step is shown: 0 for the data, then a column for each layer, and one for the loss."""
    of_layer = next((i for i, layer in enumerate(layers, 1) if f"{layer}." in name), None)
    numbered = re.fullmatch(r"d?[za](\d+)(_\w+)?", name)
    if of_layer is not None:
        return of_layer
    if numbered:
        return int(numbered[1])
    if re.fullmatch(r"d?code(_\w+)?", name):
        return encoder_layers
    if re.fullmatch(r"d?(logits|y)", name):
        return len(layers)
    return 0 if re.fullmatch(r"d?(x(_\w+)?|t)", name) else len(layers) + 1


def _labels(labels: Any, rows: Array | None) -> list[str]:
    """The labels as text; ValueError unless there is one for each row, and few enough kinds of them to be told apart."""
    array = np.asarray(labels)
    if rows is None:
        raise ValueError("labels are those of the rows of X: expected X too")
    if array.shape != (len(rows),):
        raise ValueError(f"expected a label for each of the {len(rows)} rows of X, got shape {array.shape}")
    if array.dtype.kind == "f" and np.array_equal(array, np.round(array)):
        array = array.astype(np.int64)  # 7, rather than 7.0
    if len(np.unique(array)) > CLASSES:
        raise ValueError(f"expected labels of at most {CLASSES} classes, got {len(np.unique(array))}")
    return [str(label) for label in array]


def _random_rows(ae: Autoencoder) -> Array:
    """Rows like nothing in particular, in the units of the data: standard normal or uniform in [0, 1] once scaled."""
    rng, shape = np.random.default_rng(0), (256, ae.n_features_in_)
    rows = rng.standard_normal(shape) if ae.loss == "mse" and ae.scaling in (None, "standard") else rng.random(shape)
    return rows if ae.scaling_ is None else ae.scaling_.undo(rows)


def _base64(*arrays: Array) -> str:
    """The arrays one after the other, as little-endian float32."""
    return base64.b64encode(b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays)).decode()
