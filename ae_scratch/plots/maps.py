"""Maps: weights and errors of single pixels or features, by colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..inputs import whole
from ..kernels.reference import Array
from .style import PER_ROW, PLOT, SQUARE, TEXT, image_grid, plot_axes
from .values import as_images, as_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUANTILE = 0.99  # of the values is inside the scale: a few large ones do not wash out the others
NAMED = 40  # features at most whose names fit on an axis
ABREAST = 40  # letters at most of names that fit side by side


def filters(W: Any, title: str = "", count: int = 10, ax: Axes | None = None) -> tuple[Figure, Array]:
    """Return a figure with the weights of the first ``count`` units as images, and its axes (rows, columns); drawn into the
    place of ``ax`` if one is given.

    W: (pixels, units) of square images, or (height, width, units).

    All share one scale, from -w to w where w is the 99 % quantile of the absolute weights drawn: dark below 0, grey at 0, bright
    above. Weights beyond are drawn like its ends, so that a few large ones do not wash out the others.

    Raises ValueError for other shapes, NaN or infinity, or a number of pixels that is not a square.

    >>> figure, axes = filters(np.random.default_rng(0).normal(size=(784, 32)), "First layer", count=20)
    >>> axes.shape
    (2, 10)
    """
    if np.ndim(W) not in (2, 3):
        raise ValueError("expected W of shape (pixels, units), such as ae.get_weights()['encoder.0.W'], or (height, width, "
                         f"units), got shape {np.shape(W)}")
    images = as_images(np.moveaxis(np.asarray(W), -1, 0), "W", count)
    end = float(np.quantile(np.abs(images), QUANTILE) or 1.0)
    return _maps(images, (-end, end), "both", "weight of the pixel", title, ax)


def error_images(errors: Any, title: str = "", count: int = 10, ax: Axes | None = None) -> tuple[Figure, Array]:
    """Return a figure with the errors of each pixel as images, and its axes (rows, columns); drawn into the place of ``ax`` if
    one is given.

    errors: (n, pixels) of square images, such as ``ae.reconstruction_error(X, per_feature=True)``, or (n, height, width), of
    which the first ``count`` are drawn; its mean over n, as ``[mean]``, is a map of where the model errs. All share one scale,
    from 0 (dark) to the 99 % quantile.

    Raises ValueError for negative numbers, NaN or infinity, or a number of pixels that is not a square.

    >>> figure, axes = error_images(np.random.default_rng(0).random((3, 784)), "Squared errors")
    >>> axes.shape
    (1, 3)
    """
    images = as_images(errors, "errors", count)
    if images.min() < 0:
        raise ValueError(f"expected errors of at least 0, got {images.min():g}")
    return _maps(images, (0.0, float(np.quantile(images, QUANTILE) or 1.0)), "max", "squared error of the pixel", title, ax)


def feature_errors(errors: Any, names: Sequence[str] | None = None, title: str = "", count: int = 30,
                   ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a figure with the errors of each feature in each row of a table, and its axes; drawn into ``ax`` if one is given.

    errors: (n, features), such as ``ae.reconstruction_error(X, per_feature=True)``, of which the first ``count`` rows are drawn.
    names: of the features. The scale reaches from 0 (dark) to the 99 % quantile.

    Raises ValueError for other shapes, negative numbers, NaN or infinity, or other than one name for each feature.

    >>> figure, ax = feature_errors(np.random.default_rng(0).random((5, 3)), ["pressure", "flow", "temperature"])
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['pressure', 'flow', 'temperature']
    """
    table = as_numbers(errors, "errors")
    if table.ndim != 2 or table.min() < 0:
        raise ValueError(f"expected errors (n, features) of at least 0, got shape {table.shape}, smallest {table.min():g}")
    table = table[:whole(count, "count")]
    if names is not None and len(names) != table.shape[1]:
        raise ValueError(f"expected {table.shape[1]} names, one for each feature, got {len(names)}")
    slanted = names is not None and len("".join(names)) > ABREAST
    figure, ax = plot_axes(ax, title, "" if names else "feature", "row", size=SQUARE if slanted else PLOT)
    drawn = ax.imshow(table, cmap="cividis", vmin=0, vmax=np.quantile(table, QUANTILE) or 1.0, aspect="auto",
                      interpolation="nearest")
    ax.grid(False)
    ax.locator_params(integer=True)
    if names is not None and len(names) <= NAMED:
        ax.set_xticks(range(len(names)), names, rotation=60 if slanted else 0, ha="right" if slanted else "center",
                      rotation_mode="anchor")
    figure.colorbar(drawn, ax=ax, extend="max").set_label("squared error of the feature", fontsize=TEXT)
    return figure, ax


def _maps(images: Array, limits: tuple[float, float], extend: str, label: str, title: str,
          ax: Axes | None) -> tuple[Figure, Array]:
    """The images in rows on one scale, which a bar below explains."""
    figure, axes = image_grid(-(-len(images) // PER_ROW), min(len(images), PER_ROW), title, below=0.8, ax=ax)
    for image, place in zip(images, axes.flat):
        drawn = place.imshow(image, cmap="cividis", vmin=limits[0], vmax=limits[1], interpolation="nearest")
    for place in axes.flat[len(images):]:
        place.set_visible(False)
    bar = figure.colorbar(drawn, ax=axes if ax is None else ax, location="bottom", aspect=40, extend=extend)
    bar.set_label(label, fontsize=TEXT)
    return figure, axes
