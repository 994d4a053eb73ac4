"""``ae-scratch info``: everything about a model file, or about the installation."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..machine import facts, show_versions
from .options import add_messages, command, load, put_json

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder

EXAMPLES = """  ae-scratch info pump.safetensors
  ae-scratch info pump.safetensors --json > pump.json
  ae-scratch info                                     versions and machine, for a report of a bug
"""
LAST = 5  # epochs shown


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "info", run, "[MODEL] [options]", "tell all about a model file, or about the installation",
                     "Print settings, layers, training, scaling and features of a stored model, and the SHA-256 of its weights;\n"
                     "without one, the versions of what is installed, and the machine.", EXAMPLES)
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a file that train has written")
    add_messages(parser, json="print JSON, the whole history and all settings included")


def run(options: argparse.Namespace) -> int:
    """Print what is known of the model, or of the installation."""
    if options.model is None:
        put_json(facts()) if options.json else show_versions()
        return 0
    model, names = load(options, engine=None)  # as it was trained
    about = _about(model, names, options.model)
    if options.json:
        put_json(about)
    else:
        print(_text(model, about))
    return 0


def _about(model: Autoencoder, names: list[str] | None, path: str) -> dict[str, Any]:
    from ..safetensors import read

    weights = model.get_weights()
    digest = hashlib.sha256()
    for array in weights.values():
        digest.update(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data)
    scaling = model.scaling_
    return {"file": path, "bytes": Path(path).stat().st_size, "written_by": read(path, "autoencoder")[0]["written_by"],
            "settings": model.get_params(), "seed": model.seed_, "dtype": str(model.network_.dtype),
            "parameters": sum(array.size for array in weights.values()), "sha256": digest.hexdigest(),
            "shapes": {name: array.shape for name, array in weights.items()},
            "scaling": None if scaling is None else {"scale": scaling.scale, "offset": scaling.offset},
            "features": model.n_features_in_, "feature_names": names,
            "epochs": len(model.history_.get("loss", ())), "history": model.history_}


def _text(model: Autoencoder, about: dict[str, Any]) -> str:
    """The same to read."""
    lines = [f"{about['file']}: {about['bytes']:,} bytes, written by {about['written_by']}",
             f"{model!r}, seed {about['seed']}", "", model.summary(), "",
             f"SHA-256 of all parameters: {about['sha256']}", ""]
    return "\n".join([*lines, *_features(model, about), *_history(model, about["epochs"])])


def _features(model: Autoencoder, about: dict[str, Any]) -> list[str]:
    """The scaling and the names of the features, in one table if it has an entry for each."""
    names, scaling = about["feature_names"], about["scaling"]
    how = f"scaling {model.scaling or 'none'}"
    if scaling is None or scaling["offset"] is None or names is None:
        return [f"{about['features']:,} features{', ' + ', '.join(names) if names else ''}; {how}", ""]
    width = max(map(len, names))
    rows = zip(names, scaling["offset"], scaling["scale"])
    return [f"{about['features']:,} features, {how}: (x - offset) / scale", f"{'':<{width}}  {'offset':>12}  {'scale':>12}",
            *(f"{name:<{width}}  {offset:12.6g}  {scale:12.6g}" for name, offset, scale in rows), ""]


def _history(model: Autoencoder, epochs: int) -> list[str]:
    """The figures of the last epochs."""
    figures = {name: values for name, values in model.history_.items() if len(values) == epochs}
    if not epochs:
        return ["never trained here: its weights were set"]
    first = max(0, epochs - LAST)
    rows = [f"{epoch + 1:>6}" + "".join(f"  {values[epoch]:>13.6g}" for values in figures.values())
            for epoch in range(first, epochs)]
    return [f"trained for {epochs:,} epochs, the last:", f"{'epoch':>6}" + "".join(f"  {name:>13}" for name in figures), *rows]
