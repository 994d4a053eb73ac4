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

PROGRAM = '''"""An autoencoder trained by ae_scratch, {widths}. Its weights are in the .weights.npz beside this file."""

import pathlib

import numpy as np

weights = dict(np.load(pathlib.Path(__file__).with_suffix(".weights.npz")))

{activations}
def table(rows, width):
    rows = np.asarray(rows)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"expected a table of shape (rows, {{width}}), got {{rows.shape}}")
    return rows


def encode(X):  # (rows, {features}) to (rows, {code_size})
    A = {scaled}.astype("{dtype}")
{encoder}
    return A


def decode(codes):  # (rows, {code_size}) to (rows, {features})
    A = table(codes, {code_size}).astype("{dtype}")
{decoder}
    return {unscaled}


def reconstruct(X):
    return decode(encode(X))
'''
FORMULAS = {"relu": "np.maximum(Z, 0)", "sigmoid": "(1 + np.tanh(Z / 2)) / 2", "tanh": "np.tanh(Z)"}  # no exp: it can overflow


def export(model: Autoencoder, path: str | os.PathLike[str]) -> None:
    """Write a Python file that needs NumPy alone, and its weights beside it: see ``Autoencoder.export``."""
    path = Path(path)
    if path.suffix != ".py":
        raise ValueError(f"expected a name that ends in .py, got {os.fspath(path)!r}")
    weights = {**architecture.arrays_of(model.encoder), **architecture.arrays_of(model.decoder), **_vectors(model.scaling_)}
    with replacing(path.with_suffix(".weights.npz")) as part, replacing(path) as program:  # both are written before either counts
        with open(part, "xb") as file:
            np.savez(file, **weights)  # type: ignore[arg-type]
        program.write_text(_program(model), encoding="utf-8")


def _program(model: Autoencoder) -> str:
    """The file: a line for each layer, and what these lines need."""
    encoder, decoder = _steps(model.encoder), _steps(model.decoder)
    features, code_size = model.n_features_in_, model.decoder.widths[0]
    widths = "-".join(map(str, [features, *(b.size for name, b in model.network_.params.items() if name.endswith(".b"))]))
    used = {activation for _, activation in encoder + decoder} & set(FORMULAS)
    activations = "".join(f"\ndef {name}(Z):\n    return {FORMULAS[name]}\n\n" for name in sorted(used))
    scaled, unscaled = _scaling(model.scaling_, f"table(X, {features})")
    return PROGRAM.format(widths=widths, activations=activations, features=features, code_size=code_size, scaled=scaled,
                          unscaled=unscaled, dtype=model.network_.dtype, encoder=_lines(encoder), decoder=_lines(decoder))


def _steps(network: Network) -> list[tuple[str, str]]:
    """The name of each layer that has parameters, and of the activation behind it."""
    names = {kind.__name__: name for name, kind in ACTIVATIONS.items()}
    layers = [layer for layer in architecture.describe(network) if layer["kind"] in ("Dense", *names)]
    return [(dense["name"], names[activation["kind"]]) for dense, activation in zip(layers[::2], layers[1::2])]


def _lines(steps: list[tuple[str, str]]) -> str:
    formulas = [(f'A @ weights["{name}.W"] + weights["{name}.b"]', activation) for name, activation in steps]
    return "\n".join(f"    A = {activation}({Z})" if activation in FORMULAS else f"    A = {Z}" for Z, activation in formulas)


def _vectors(scaling: Scaling | None) -> dict[str, np.ndarray]:
    if scaling is None or scaling.offset is None:
        return {}
    return {"scale": np.asarray(scaling.scale), "offset": scaling.offset}


def _scaling(scaling: Scaling | None, X: str) -> tuple[str, str]:
    """What scales X, and what undoes it in A."""
    if scaling is None:
        return X, "A"
    if scaling.offset is None:
        return f"({X} / {scaling.scale:g})", f"A * {scaling.scale:g}"
    return f'(({X} - weights["offset"]) / weights["scale"])', '(A * weights["scale"] + weights["offset"]).astype(A.dtype)'
