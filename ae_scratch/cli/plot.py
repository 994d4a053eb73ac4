"""``ae-scratch plot``: pictures of a stored model."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..datasets.tables import read_column
from .options import (add_image_shape, add_messages, add_model, add_output, add_reading, at_least_one, command, load, read,
                      require_free, say)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..autoencoder import Autoencoder

EXAMPLES = """  ae-scratch plot reconstructions digits.safetensors digits.npy -o reconstructions.png
  ae-scratch plot filters digits.safetensors --count 20 -o filters.png
  ae-scratch plot scatter digits.safetensors digits.npz:X --labels digits.npz:y -o codes.png
  ae-scratch plot filters faces.safetensors --image-shape 24 32 -o faces.png
  ae-scratch plot errors pump.safetensors new.csv -o errors.png

kinds of pictures:
  reconstructions   images of DATA above what the model makes of them
  filters           weights of the first layer, an image for each unit
  loss              figures of every epoch; with DATA, the floor no cross-entropy gets below
  codes             how often which value of the code occurs
  activity          in how many rows each unit of the code is active, and which are dead
  scatter           codes in a plane: as they are (2 units), by PCA or t-SNE (--method)
  grid              what the decoder makes of codes all over a plane (2 units)
  interpolation     what lies between two images: strips from the first half of rows to the second
  errors            the squared error of each feature, in the first rows
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "plot", run, "KIND MODEL [DATA] -o FILE.png [options]", "draw a model and what it does",
                     "Draw a picture of a stored model (needs matplotlib: pip install 'ae_scratch[plot]').", EXAMPLES)
    parser.add_argument("kind", metavar="KIND", choices=tuple(PICTURES), help=", ".join(PICTURES))
    add_model(parser)
    parser.add_argument("data", metavar="DATA", nargs="?", help="rows to draw, which all kinds but filters and loss need")
    parser.add_argument("--count", type=at_least_one, metavar="N", help="how many images, rows or points (default: by kind)")
    add_image_shape(parser, "of the images that are drawn (default: a square)")
    parser.add_argument("--labels", metavar="FILE", help="scatter: the class of each row, in one column")
    parser.add_argument("--method", choices=("pca", "tsne"), help="scatter: default: pca for more than 2 units")
    parser.add_argument("--title", default="", help="above the picture")
    add_output(parser, "a .png file", required=True)
    add_messages(parser)
    add_reading(parser)
    parser.set_defaults(usage_error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Draw and save one picture."""
    if options.data is None and options.kind not in WITHOUT_DATA:
        options.usage_error(f"{options.kind} needs DATA")
    if options.output.suffix.lower() != ".png":
        raise ValueError(f"expected an output file named .png, got {str(options.output)!r}")
    require_free(options.output, options.force)
    from ..plots import save

    model, names = load(options)
    X = None if options.data is None else read(options, columns=names).X
    save(PICTURES[options.kind](model, X, names, options), options.output)
    if not options.quiet:
        say(f"{options.output}: {options.kind} of {options.model}")
    return 0


def _reconstructions(model: Autoencoder, X: np.ndarray, names: Sequence[str] | None, options: argparse.Namespace) -> Figure:
    from ..plots import image_rows

    X, shape = X[:options.count or 10], _shape(model, options)
    rows = {"original": X.reshape(-1, *shape), "reconstruction": model.reconstruct(X).reshape(-1, *shape)}
    return image_rows(rows, options.title, len(X), white=_white(model, X))[0]


def _filters(model: Autoencoder, X: Any, names: Any, options: argparse.Namespace) -> Figure:
    from ..plots import filters

    W = model.get_weights()["encoder.0.W"].reshape(*_shape(model, options), -1)
    return filters(W, options.title, options.count or 10)[0]


def _loss(model: Autoencoder, X: np.ndarray | None, names: Any, options: argparse.Namespace) -> Figure:
    from ..diagnostics import loss_floor
    from ..plots import loss_curves

    floor = None
    if X is not None and model.loss == "binary_crossentropy":
        floor = loss_floor(X if model.scaling_ is None else model.scaling_.apply(X, np.dtype(np.float64)))
    shown = {name: values for name, values in model.history_.items() if name in ("objective", "loss", "val_loss")}
    if shown.get("objective") == shown.get("loss"):
        shown.pop("objective", None)
    unit = "nats per feature" if model.loss == "binary_crossentropy" else "squared error per feature, scaled units"
    return loss_curves(shown, title=options.title, ylabel=f"loss ({unit})", floor=floor)[0]


def _codes(model: Autoencoder, X: np.ndarray, names: Any, options: argparse.Namespace) -> Figure:
    from ..plots import code_densities

    return code_densities({"codes": model.encode(X[:options.count])}, options.title)[0]


def _activity(model: Autoencoder, X: np.ndarray, names: Any, options: argparse.Namespace) -> Figure:
    from ..diagnostics import code_statistics
    from ..plots import unit_activity

    return unit_activity(code_statistics(model, X[:options.count]), options.title)[0]


def _scatter(model: Autoencoder, X: np.ndarray, names: Any, options: argparse.Namespace) -> Figure:
    from ..plots import latent_scatter

    count = options.count or 2000
    labels = None if options.labels is None else read_column(options.labels)[:count]
    return latent_scatter(model.encode(X[:count]), labels, options.method, options.title, count)[0]


def _grid(model: Autoencoder, X: np.ndarray, names: Any, options: argparse.Namespace) -> Figure:
    from ..plots import decoded_grid

    shape = _shape(model, options)
    return decoded_grid(model, model.encode(X), options.count or 15, options.title, _white(model, X), shape)[0]


def _interpolation(model: Autoencoder, X: np.ndarray, names: Any, options: argparse.Namespace) -> Figure:
    from ..plots import interpolation

    pairs, half, images = options.count or 5, len(X) // 2, X.reshape(-1, *_shape(model, options))
    starts, ends = images[:half][:pairs], images[half:2 * half][:pairs]
    return interpolation(model, starts, ends, title=options.title, white=_white(model, X))[0]


def _errors(model: Autoencoder, X: np.ndarray, names: Sequence[str] | None, options: argparse.Namespace) -> Figure:
    """Images where the features can be pixels, else a table."""
    from ..plots import error_images, feature_errors

    images = options.image_shape is not None or (names is None and math.isqrt(X.shape[1]) ** 2 == X.shape[1])
    count = options.count or (10 if images else 30)
    errors = model.reconstruction_error(X[:count], per_feature=True)
    if images:
        return error_images(errors.reshape(-1, *_shape(model, options)), options.title, count)[0]
    return feature_errors(errors, names, options.title, count)[0]


def _shape(model: Autoencoder, options: argparse.Namespace) -> tuple[int, int]:
    """Height and width of an image: what the user asked for, or a square."""
    pixels = model.n_features_in_
    height, width = options.image_shape or (math.isqrt(pixels), math.isqrt(pixels))
    if height * width != pixels:
        asked = "no square" if options.image_shape is None else f"not {height} x {width}"
        raise ValueError(f"an image of this model has {pixels:,} pixels, {asked}: name both sides, as in --image-shape 24 32")
    return height, width


def _white(model: Autoencoder, X: np.ndarray) -> float:
    """The value to draw white."""
    return {None: 1.0, "bytes": 255.0}.get(model.scaling) or float(X.max())


WITHOUT_DATA = "filters", "loss"
PICTURES = {"reconstructions": _reconstructions, "filters": _filters, "loss": _loss, "codes": _codes, "activity": _activity,
            "scatter": _scatter, "grid": _grid, "interpolation": _interpolation, "errors": _errors}
