"""Images: rows of them, such as reconstructions, and what the decoder makes of codes between and around those of examples."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..inputs import number, whole
from ..kernels.reference import Array
from .style import SQUARE, TEXT, image_grid, plot_axes
from .values import as_images, as_numbers, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..autoencoder import Autoencoder

CODE_RANGE = (0.01, 0.99)  # quantiles of the codes that a grid is laid over


def image_rows(rows: Mapping[str, Any], title: str = "", count: int = 10, white: float = 1.0,
               ax: Axes | None = None) -> tuple[Figure, Array]:
    """Return a figure with rows of images, such as originals above their reconstructions, and its axes (rows, columns); drawn
    into the place of ``ax`` if one is given.

    rows: label -> square images (n, pixels), or (n, height, width). The first ``count`` of each are drawn, or as many as the
    shortest row has; 0 is black, ``white`` is white (255 for bytes), values beyond are drawn like these.

    Raises ValueError for no rows, no images, NaN or infinity, or a number of pixels that is not a square.

    >>> X = np.random.default_rng(0).random((5, 16))
    >>> figure, axes = image_rows({"original": X, "reconstruction": X ** 2}, "Five images")
    >>> axes.shape
    (2, 5)
    """
    number(white, "white", positive=True)
    images = {label: as_images(values, label, count) for label, values in named(rows, "rows").items()}
    figure, axes = image_grid(len(images), min(map(len, images.values())), title, left=1.4, ax=ax)
    for (label, row), places in zip(images.items(), axes):
        places[0].set_ylabel(textwrap.fill(label, 16), rotation=0, ha="right", va="center", fontsize=TEXT)
        for image, place in zip(row, places):
            place.imshow(image, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    return figure, axes


def interpolation(ae: Autoencoder, X_from: Any, X_to: Any, steps: int = 8, title: str = "", white: float = 1.0,
                  ax: Axes | None = None) -> tuple[Figure, Array]:
    """Return a figure with a strip of images for each pair of examples, and its axes (pairs, steps + 2); drawn into the place
    of ``ax`` if one is given.

    X_from, X_to: examples (pairs, pixels) or (pairs, height, width), which stand at the ends of the strips. Between them: what
    the decoder makes of codes on the straight line from the code of one to that of the other, ends included.

    Raises NotFittedError before ``fit``, ValueError for other shapes or a number of pixels that is not a square.

    >>> from ae_scratch import Autoencoder
    >>> X = np.random.default_rng(0).random((50, 16))
    >>> ae = Autoencoder((), 2, epochs=1, engine="numpy", random_state=0).fit(X)
    >>> figure, axes = interpolation(ae, X[:3], X[3:6], steps=5)
    >>> axes.shape
    (3, 7)
    """
    whole(steps, "steps", least=2)
    number(white, "white", positive=True)
    X_from, X_to = np.asarray(X_from), np.asarray(X_to)
    starts, ends = (ae.encode(X.reshape(len(X), -1)) for X in (X_from, X_to))
    if len(starts) != len(ends):
        raise ValueError(f"expected as many examples in X_to as in X_from, got {len(ends)} and {len(starts)}")
    figure, axes = image_grid(len(starts), steps + 2, title, ax=ax)
    for x, x_to, start, end, places in zip(X_from, X_to, starts, ends, axes):
        between = ae.decode(np.linspace(start, end, steps)).reshape(steps, *x.shape)
        for image, place in zip(as_images(np.stack([x, *between, x_to]), "X_from", steps + 2), places):
            place.imshow(image, cmap="gray", vmin=0, vmax=white, interpolation="nearest")
    for place, name in ((axes[0, 0], "from"), (axes[0, -1], "to")):
        place.set_title(name, fontsize=TEXT)
    return figure, axes


def decoded_grid(ae: Autoencoder, codes: Any, count: int = 15, title: str = "", white: float = 1.0,
                 image_shape: tuple[int, int] | None = None, ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a figure with what the decoder makes of count x count codes in the plane of a 2-D code, and its axes; drawn into
    ``ax`` if one is given.

    codes: those of examples (n, 2); the grid reaches from their 1 % to their 99 % quantiles. The axes show code values; the
    centre of an image is its code. image_shape: height and width of an image; None is a square.

    Raises NotFittedError before ``fit``, ValueError for a code of other than 2 units.

    >>> from ae_scratch import Autoencoder
    >>> X = np.random.default_rng(0).random((50, 16))
    >>> ae = Autoencoder((), 2, code_activation="identity", epochs=1, engine="numpy", random_state=0).fit(X)
    >>> figure, ax = decoded_grid(ae, ae.encode(X), count=5)
    >>> ax.images[0].get_array().shape
    (20, 20)
    """
    number(white, "white", positive=True)
    codes = as_numbers(codes, "codes")
    if codes.ndim != 2 or codes.shape[1] != 2:
        raise ValueError(f"expected codes of 2 units, (n, 2), got shape {codes.shape}: train with code_size=2, or see "
                         "interpolation")
    lows, highs = np.quantile(codes, CODE_RANGE, axis=0)
    across, up = (np.linspace(low, high, whole(count, "count", least=2)) if high > low else low + np.linspace(-1, 1, count)
                  for low, high in zip(lows, highs))
    decoded = ae.decode([[a, b] for b in up[::-1] for a in across])
    images = as_images(decoded if image_shape is None else decoded.reshape(-1, *image_shape), "the reconstructions", count ** 2)
    height, width = images.shape[1:]
    mosaic = images.reshape(count, count, height, width).swapaxes(1, 2).reshape(count * height, count * width)
    figure, ax = plot_axes(ax, title, "code unit 0", "code unit 1", size=SQUARE)
    (left, right), (below, above) = (_outer(across), _outer(up))
    ax.imshow(mosaic, cmap="gray", vmin=0, vmax=white, interpolation="nearest", extent=(left, right, below, above),
              aspect=(right - left) / (above - below) * height / width)
    ax.grid(False)
    return figure, ax


def _outer(centres: Array) -> tuple[float, float]:
    """The edges of cells with these centres."""
    half = (centres[1] - centres[0]) / 2
    return float(centres[0] - half), float(centres[-1] + half)
